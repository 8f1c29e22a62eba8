//! The things that the commands name and return.

use std::fmt;
use std::time::Duration;

use crate::error::Result;

/// A number that the queue gave out; below 2^53, never given twice for the same key name.
macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// Names one message.
    Id
}
number! {
    /// Names one claim of one message; a later claim of the same message has a larger one.
    Receipt
}
number! {
    /// The fencing token of one leadership.
    Token
}

/// A claimed message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What completes, extends or releases this claim.
    pub receipt: Receipt,
    /// The message's own number.
    pub id: Id,
    /// How often the message has been claimed, this claim included.
    pub deliveries: u64,
    /// The bytes that were pushed.
    pub payload: Vec<u8>,
}

/// A message taken, or claimed, from the error store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErroredMessage {
    /// What acknowledges the taking; 0 when the message is gone from Redis already.
    pub receipt: Receipt,
    /// The message's own number.
    pub id: Id,
    /// How often it had been claimed when it failed.
    pub deliveries: u64,
    /// The bytes that were pushed.
    pub payload: Vec<u8>,
    /// Why it failed, as the consumer said; `max-deliveries` when its last claim just ended.
    pub reason: Vec<u8>,
    /// Who held it.
    pub consumer: Vec<u8>,
    /// When, in milliseconds since 1970 by the server's clock.
    pub failed_at_ms: u64,
}

/// A message as MQ.PEEK shows it: what is known of it in its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peeked {
    /// The message's own number.
    pub id: Id,
    /// The bytes that were pushed, or the first of them, as was asked for.
    pub payload: Vec<u8>,
    /// How many bytes were pushed, where only the first were asked for.
    pub payload_bytes: Option<u64>,
    /// How often it has been claimed.
    pub deliveries: u64,
    /// 0 … 255, higher first.
    pub priority: u64,
    /// The current claim: of a consumer, or of somebody who drains the error store.
    pub receipt: Option<Receipt>,
    /// When it will be ready.
    pub due_in: Option<Duration>,
    /// What is left of the claim.
    pub lease_left: Option<Duration>,
    /// Why it failed.
    pub reason: Option<Vec<u8>>,
    /// Who holds it, or held it when it failed.
    pub consumer: Option<Vec<u8>>,
    /// When it failed, in milliseconds since 1970 by the server's clock.
    pub failed_at_ms: Option<u64>,
}

/// Who leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leadership {
    /// The candidate that leads; `None`: nobody.
    pub leader: Option<String>,
    /// Its token; 0: nobody leads.
    pub token: Token,
    /// What is left of its lease.
    pub remaining: Duration,
}

impl Leadership {
    /// Whether `candidate` leads.
    pub fn is_held_by(&self, candidate: &str) -> bool {
        self.leader.as_deref() == Some(candidate)
    }
}

/// What became of a failed message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// It is in the error store now.
    Stored,
    /// It will be ready again after the RETRY time.
    Retried,
    /// The receipt was not a current claim; nothing was changed.
    Stale,
}

/// What became of the commands of one [`Queue::settle`](super::Queue::settle).
#[derive(Debug)]
pub struct Settled {
    /// How many of the acks counted.
    pub acked: Result<u64>,
    /// What became of each failure, in the order they were told.
    pub failed: Vec<Result<Failed>>,
}

/// Which messages [`Queue::redrive`](super::Queue::redrive) makes ready again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redrive {
    /// The first ones, by id: as many as the server takes for one command.
    First,
    /// The first so many, by id.
    Count(u64),
    /// These.
    Ids(Vec<Id>),
}

/// One of the four states of a message, as MQ.PEEK names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Can be claimed.
    Ready,
    /// Will be ready at its time.
    Delayed,
    /// Is claimed.
    Claimed,
    /// Is in the error store.
    Errors,
}

impl State {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Ready => "READY",
            Self::Delayed => "DELAYED",
            Self::Claimed => "CLAIMED",
            Self::Errors => "ERRORS",
        }
    }
}
