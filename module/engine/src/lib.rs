//! The state machine of an MQ queue.
//!
//! A [`Queue`] is a plain value. Every change of it is an [`Operation`]: a function of the state, the arguments and a
//! [`Moment`], and of nothing else. There is no clock, no randomness, no logging and no Redis type in this crate, and no
//! order that reaches a result comes from anything but the serialised state. So a replica that applies the same
//! [`Record`]s holds the same bytes, a log replayed a week later gives the same queue, and everything can be tested
//! without a server.
//!
//! The life of a message:
//!
//! ```text
//!              PUSH                    CLAIM                       ACK
//!   (nothing) ───────► READY ─────────────────────► CLAIMED ───────────────────► done, nothing kept
//!        │              ▲ ▲ ▲                        │  │ │
//!        │ DELAY        │ │ └─ RELEASE, claim ended ─┘  │ │ FAIL; or claim ended
//!        ▼              │ │    (lease or session)       │ │ and no delivery left
//!     DELAYED ── due ───┘ │                             │ ▼
//!        ▲                └────── REDRIVE ─────────── ERRORED ── DRAINERRORS ──► taken, nothing kept
//!        └───────────── FAIL … RETRY ms ────────────────┘ ▲ └── errors-keep ───► dropped, nothing kept
//!        TTL over while READY or DELAYED ─────────────────┘
//!
//!     READY, DELAYED or ERRORED ── REMOVE, PURGE ──────────────────────────────► removed, nothing kept
//! ```

mod block;
mod claims;
mod codec;
mod delays;
mod due;
mod errors;
#[cfg(feature = "faults")]
pub mod faults;
#[cfg(not(feature = "faults"))]
mod faults;
mod groups;
mod invariants;
mod labels;
mod lane;
mod leader;
mod load;
mod memory;
mod messages;
mod numbers;
mod operation;
pub mod operations;
mod owners;
mod pace;
mod pages;
mod producers;
mod queue;
mod save;
mod segment;
mod settings;
mod stamps;
mod states;
mod table;
mod texts;
mod totals;
mod view;

pub use codec::{Corrupt, Writer};
pub use labels::Label;
pub use load::Decoder;
pub use memory::{Mover, allocated};
pub use numbers::{
    DUE_PER_STEP, Id, Moment, NUMBER_LIMIT, NUMBERS_PER_MS, Priority, Receipt, SessionId, Span, TermStart, Time, Token,
};
pub use operation::{Effect, Executed, Form, Operation, Record, Refusal, Timing, Verdict, apply_record};
pub use queue::{MAX_DELIVERIES_REASON, Queue, REPLY_BYTES, TTL_REASON};
pub use settings::{Setting, Settings};
pub use totals::Totals;
pub use view::{ConsumerView, Info, LeaderView, PeekState, Peeked};
