//! A thin client of MQ, the work queue inside Redis.
//!
//! * [`queue`] — a typed method per command of the module, and nothing else: no policy, no retries.
//! * [`connection`] — opening, asking with a time limit, noticing that the other side is gone.
//! * [`leadership`], [`generator`] — standing by for the leadership, and publishing 0, 1, 2 … while it lasts.
//! * [`handler`] — claiming, running an [`handler::EventHandler`] many times at once, completing in batches.
//! * [`peer`] — one copy of the application: it handles until it is elected, then it generates.
//! * [`get_errors`], [`list_errors`], [`stats`], [`demo`] — the subcommands of the binary.
//!
//! The server decides everything that matters: who leads, whose claim is current, which number comes next. What
//! this crate adds is patience (it reconnects for ever) and restraint (it does nothing for which its lease may
//! have ended).

pub mod connection;
pub mod demo;
pub mod error;
pub mod generator;
pub mod get_errors;
pub mod handler;
pub mod leadership;
pub mod ledger;
mod legible;
pub mod list_errors;
pub mod options;
pub mod output;
pub mod peer;
pub mod queue;
pub mod shutdown;
pub mod stats;

pub use error::{Error, Result};
