//! Real servers and real client processes for tests, each with its own port and directory, none outliving its test.
//!
//! ```no_run
//! use mq_tests::{Server, Waiter};
//!
//! let server = Server::start();
//! let mut c = server.connect();
//! let waiter = Waiter::spawn(&server, "MQ.CLAIM q worker BLOCK 0");
//! c.int("MQ.PUSH q MSG hello");
//! assert_eq!(waiter.claims()[0].payload, "hello");
//! ```
//!
//! What is tested is chosen by the environment, so that one suite serves every server:
//!
//! | variable | default | |
//! |---|---|---|
//! | `MQ_SERVER` | `redis-server` | the server binary |
//! | `MQ_MODULE` | `target/release/libmq.so` | the module it loads |
//! | `MQ_CLIENT` | `target/release/client` | the client binary |
//! | `MQ_PATIENCE` | 1 | how many times longer all may take; above 1, servers are ended in good order, to report what was seen |
//!
//! A test waits for a fact with [`eventually`] or [`until`], never for a time to pass; a test that needs what a server
//! lacks says so with [`skip!`].

mod bulk;
pub mod chaos;
mod clock;
mod cluster;
mod conn;
mod cpu_clock;
mod document;
mod example;
mod fake;
mod faulty;
pub mod history;
mod parent;
mod peer;
mod pings;
mod proxy;
mod queues;
mod records;
mod reply;
mod sentinel;
mod server;
mod terminal;
mod wait;
mod waiter;
mod wire;

pub use bulk::{BATCH, Bulk, Crowd, clients_at_most};
pub use clock::OtherClock;
pub use cluster::{migrate, two_nodes};
pub use conn::{Conn, Words};
pub use cpu_clock::CpuClock;
pub use document::{Block, Document};
pub use example::run_example;
pub use fake::{Asked, FakeServer};
pub use faulty::with_faults;
pub use history::{Fault, Verdict};
pub use peer::{Finished, Peer, full_pipe, left_pipe};
pub use pings::{Pings, Stall};
pub use proxy::Proxy;
pub use queues::{Churn, EveryState, every_state};
pub use records::Record;
pub use redis::Value;
pub use reply::{Claim, Drained, Fields, Leadership, strings, text_of};
pub use sentinel::Sentinel;
pub use server::{Builder, Server};
pub use terminal::Terminal;
pub use wait::{DEADLINE, eventually, median, patience, until};
pub use waiter::Waiter;
pub use wire::Wire;

/// Ends the test, saying past the test runner's capture which test did not run and what the server lacks for it.
#[macro_export]
macro_rules! skip {
    ($lack:expr) => {{
        $crate::announce_skip($lack);
        return;
    }};
}

/// Prints the line of [`skip!`].
pub fn announce_skip(lack: &str) {
    use std::io::Write as _;
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    // Not eprintln!, which the test runner keeps to itself while a test passes. A closed stderr is no reason to fail.
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {lack}");
}

/// A file of this build: from the environment, else from the workspace's `target/release`.
pub(crate) fn built(variable: &str, name: &str) -> std::path::PathBuf {
    let path = std::env::var_os(variable).map_or_else(|| target().join("release").join(name), Into::into);
    path.canonicalize()
        .unwrap_or_else(|e| panic!("{}: {e} (built by `make build`; {variable} names another)", path.display()))
}

/// Where this workspace is built.
pub(crate) fn target() -> std::path::PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/../target").into(), std::path::PathBuf::from)
}
