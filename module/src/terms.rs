//! Terms: the times during which this server, as primary, goes on writing to one queue under one name.
//!
//! A term starts with the first write after creation, load, promotion, or arrival under another name or database. Here is
//! what the server as a whole knows of them: how often it was promoted, and a number above all that it has seen.

use mq_engine::{NUMBER_LIMIT, NUMBERS_PER_MS, TermStart, Time};

use crate::server::Global;

/// How often this server has become a primary since it started. A queue that it got to know before the last time may lack
/// numbers that the old primary gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(u64);

/// The room left after a promotion for numbers that the old primary gave and that never arrived here: a million messages
/// a second for 16 seconds.
const PROMOTION_SKIP: u64 = 1 << 24;

struct Terms {
    epoch: Epoch,
    /// Above every id, receipt and token in any queue that this server has seen. Kept in RDB files.
    mark: u64,
}

static TERMS: Global<Terms> = Global::new(Terms { epoch: Epoch(0), mark: 0 });

/// Now.
pub fn epoch() -> Epoch {
    TERMS.read().epoch
}

/// This server has become a primary.
pub fn promoted() {
    TERMS.with(|terms| terms.epoch.0 += 1);
}

/// From where the numbers of a term go on that starts now, for a queue known since `since`.
pub fn start(now: Time, since: Epoch) -> TermStart {
    let terms = TERMS.read();
    let floor = terms.mark.max(now.0.saturating_mul(NUMBERS_PER_MS)).min(NUMBER_LIMIT);
    TermStart { floor, skip: if since < terms.epoch { PROMOTION_SKIP } else { 0 } }
}

/// Numbers below `end` have been seen.
pub fn saw_numbers(end: u64) {
    TERMS.with(|terms| terms.mark = terms.mark.max(end));
}

/// Above every number that this server has seen.
pub fn mark() -> u64 {
    TERMS.read().mark
}
