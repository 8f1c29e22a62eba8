//! The numbers of a queue, each a type of its own: none can be taken for another.

use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// Names one message of a queue. Below 2^53, strictly increasing, never used twice under one key name.
    Id(u64)
}
number! {
    /// Names one claim of one message; a later claim of the same message has a larger one.
    Receipt(u64)
}
number! {
    /// The fencing token of one leadership; a later leadership has a larger one.
    Token(u64)
}
number! {
    /// A moment in milliseconds since 1970-01-01 UTC.
    Time(u64)
}
number! {
    /// A length of time in milliseconds.
    Span(u64)
}
number! {
    /// 0…255; the ready message with the highest one is claimed first.
    Priority(u8)
}
number! {
    /// Names one client connection for as long as the server runs; never 0.
    SessionId(u64)
}

/// Ids, receipts and tokens stay below this, so that any client can hold them in a double.
pub const NUMBER_LIMIT: u64 = 1 << 53;

/// Numbers given per millisecond of wall time that the start of a term leaves room for: the first number of a term is
/// at least `unix_ms × 2048`, which stays below 2^53 until the year 2109.
pub const NUMBERS_PER_MS: u64 = 2048;

impl Time {
    /// `span` later.
    pub fn after(self, span: Span) -> Time {
        Time(self.0.saturating_add(span.0))
    }

    /// The span from `earlier` until this moment; zero when it lies ahead.
    pub fn since(self, earlier: Time) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

/// What the world contributes to one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The server's time. A queue whose own time is later goes on from its own.
    pub now: Time,
    /// The wall clock. It counts where it is ahead of `now` (a clock that was set right after the server had started): errors
    /// are dated by it, and tokens judged by it. Leases, delays and TTLs run on `now`.
    pub wall: Time,
    /// Present when this step is the first of a term (specification: creation, load, promotion, another name).
    pub term: Option<TermStart>,
    /// The number of pieces of due work that this step may do.
    pub due: usize,
}

impl Moment {
    /// A moment of a server whose clocks agree, in the middle of a term.
    pub fn at(now: Time) -> Moment {
        Moment { now, wall: now, term: None, due: DUE_PER_STEP }
    }

    /// The same moment for a queue whose own time is `time`: nothing goes back.
    pub(crate) fn not_before(self, time: Time) -> Moment {
        let now = self.now.max(time);
        Moment { now, wall: self.wall.max(now), ..self }
    }
}

/// Pieces of due work that one step does unless its moment says otherwise: bounds the work that a command can find waiting.
pub const DUE_PER_STEP: usize = 1000;

/// From where the numbers of a new term go on: each from `max(previous + 1 + skip, floor)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TermStart {
    /// Above every number that this server has seen, and at least `unix_ms × 2048`.
    pub floor: u64,
    /// 0, or 2^24 after a promotion: room for the numbers that the old primary gave and that never arrived here.
    pub skip: u64,
}
