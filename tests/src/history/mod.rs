//! What clients saw of a queue, written down as they saw it, and the judgement over it.
//!
//! A client knows when it sent a command and when the answer came; the server did it somewhere between. A command whose
//! answer never came may have been done or not. And what was answered may be taken back by a crash, as far as the server's
//! durability goes. So each event says what was answered, when, and whether that is *settled*: beyond the reach of any
//! crash. Only what is settled is evidence against the queue.

mod check;
mod refusal;
mod verdict;

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

pub use verdict::{Fault, Verdict};

/// Since the history's beginning.
pub type At = Duration;

/// What was asked for, and what the answer said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A push of one message whose payload no other message has. Answered: its id.
    Push {
        /// Names the message.
        payload: String,
        /// The token that it was fenced with.
        fence: Option<i64>,
        /// Its number among those of the shared producer.
        number: Option<i64>,
        /// `None` without an answer.
        id: Option<i64>,
    },
    /// A message that came with a claim, of a ready or of an errored message. Always answered.
    Claim {
        /// The message's payload.
        payload: String,
        /// The message.
        id: i64,
        /// The claim.
        receipt: i64,
        /// For how long it lasts, counted from some moment between the two of the event.
        lease: Duration,
    },
    /// An attempt to complete. Answered: whether it counted.
    Complete {
        /// The claim.
        receipt: i64,
        /// `None` without an answer.
        counted: Option<bool>,
    },
    /// An attempt to end a claim in another way, or to prolong it: from its sending on nothing is known of the claim's end.
    Touch {
        /// The claim.
        receipt: i64,
        /// Whether the claim was current; `None` without an answer, and where it does not say.
        counted: Option<bool>,
    },
    /// A connection that claimed with SESSION was given up, or found to be dead.
    SessionEnd {
        /// The claims that it held.
        receipts: Vec<i64>,
    },
    /// A leadership that was won. Always answered.
    Lead {
        /// The fencing token.
        token: i64,
        /// Whose it is.
        candidate: String,
    },
    /// A server was made a primary while the one before may still be alive. Its `sent` is when that was asked for.
    Promotion,
    /// Commands were refused for the whole time from `sent` to `answered`: no write was allowed.
    Refusal(Whom),
    /// A server said itself that its queue changed between `sent` and `answered`, while it refused every write.
    Changed {
        /// What it said.
        evidence: String,
    },
}

/// Whose commands were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// The event's server refused everyone.
    Everyone,
    /// The event's client was refused, whichever server it asked.
    Client,
}

/// One command, as its client saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Which client.
    pub client: u32,
    /// The port of the server that it was connected to.
    pub server: u16,
    /// When it was sent.
    pub sent: At,
    /// When it was answered, or given up.
    pub answered: At,
    /// Whether no crash can take it back any more. Of no meaning without an answer.
    pub settled: bool,
    /// What it was.
    pub what: What,
}

/// What all clients saw. They write to it side by side.
pub struct History {
    began: Instant,
    clients: AtomicU32,
    events: Mutex<Vec<Event>>,
    losses: Mutex<Vec<Loss>>,
}

/// A time whose answers a crash or a failover may have taken back.
struct Loss {
    server: u16,
    from: At,
    to: At,
}

impl Loss {
    fn takes(&self, event: &Event) -> bool {
        event.server == self.server && event.answered >= self.from && event.sent <= self.to
    }
}

impl Default for History {
    fn default() -> Self {
        Self { began: Instant::now(), clients: AtomicU32::new(0), events: Mutex::default(), losses: Mutex::default() }
    }
}

impl History {
    /// Now, as events have it.
    pub fn now(&self) -> At {
        self.began.elapsed()
    }

    /// A number that no other client has.
    pub fn client(&self) -> u32 {
        self.clients.fetch_add(1, Relaxed)
    }

    /// Writes down what `client` sent to `server` at `sent` and has just been answered.
    ///
    /// # Panics
    /// Never, short of a panic elsewhere.
    pub fn add(&self, client: u32, server: u16, sent: At, settled: bool, what: What) {
        let event = Event { client, server, sent, answered: self.now(), settled, what };
        self.events.lock().expect("nobody panics with the lock").push(event);
    }

    /// A crash or a failover has taken back what this server answered in this time, or may have. This also holds for
    /// answers that are written down later.
    ///
    /// # Panics
    /// Never, short of a panic elsewhere.
    pub fn unsettle(&self, server: u16, from: At, to: At) {
        self.losses.lock().expect("nobody panics with the lock").push(Loss { server, from, to });
    }

    /// All events so far, in the order of their answers.
    ///
    /// # Panics
    /// Never, short of a panic elsewhere.
    pub fn events(&self) -> Vec<Event> {
        let mut events = self.events.lock().expect("nobody panics with the lock").clone();
        for loss in self.losses.lock().expect("nobody panics with the lock").iter() {
            events.iter_mut().filter(|event| loss.takes(event)).for_each(|event| event.settled = false);
        }
        events.sort_by_key(|event| event.answered);
        events
    }
}
