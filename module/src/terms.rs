//! Terms: the times during which this server, as primary, goes on writing to one queue under one name.
//!
//! A term starts with the first write after creation, load, promotion, or arrival under another name or database. Here is
//! what the server as a whole knows of them: how often it was promoted, and a number above all that it has seen.

use std::collections::BTreeMap;

use mq_engine::{NUMBER_LIMIT, NUMBERS_PER_MS, TermStart, Time};

use crate::moment;
use crate::server::{Global, log_without_context};

/// How often this server has become a primary since it started. A queue that it got to know before the last time may lack
/// numbers that the old primary gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(u64);

/// The room left after a promotion for numbers that the old primary gave and that never arrived here: a million messages
/// a second for 16 seconds.
const PROMOTION_SKIP: u64 = 1 << 24;

/// So far ahead of the clock (ms) the mark may be: ten years. A dump that somebody has made up can hold any number; it
/// shall not use up those of every queue of this server.
const MARK_AHEAD_MS: u64 = 10 * 365 * 24 * 60 * 60 * 1000;

/// An hour: a mark that moves this far, to more than this ahead of the clock, comes from a host whose clock is wrong, or
/// from somebody's made-up dump.
const WORTH_A_WORD: u64 = 60 * 60 * 1000 * NUMBERS_PER_MS;

struct Terms {
    epoch: Epoch,
    /// Above every id, receipt and token in any queue that this server has seen. Kept in RDB files.
    mark: u64,
    /// Where the mark ends, as of when it was asked for last.
    mark_limit: u64,
    /// How often a database's keys have been exchanged for another's, where they ever were.
    swaps: BTreeMap<i32, u64>,
}

static TERMS: Global<Terms> = Global::new(Terms { epoch: Epoch(0), mark: 0, mark_limit: 0, swaps: BTreeMap::new() });

/// How often this server has become a primary so far.
pub fn epoch() -> Epoch {
    TERMS.read().epoch
}

/// This server has become a primary.
pub fn promoted() {
    TERMS.with(|terms| terms.epoch.0 += 1);
}

fn clock() -> Time {
    moment::wall(moment::now())
}

/// From where the numbers of a term go on that starts when the wall clock shows `wall`, for a queue known since `since`.
pub fn start(wall: Time, since: Epoch) -> TermStart {
    let terms = TERMS.read();
    let floor = terms.mark.max(wall.0.saturating_mul(NUMBERS_PER_MS)).min(NUMBER_LIMIT);
    TermStart { floor, skip: if since < terms.epoch { PROMOTION_SKIP } else { 0 } }
}

/// Numbers below `end` have been seen.
pub fn saw_numbers(end: u64) {
    if let Some(hours) = TERMS.with(|terms| terms.saw_numbers(end)) {
        log_without_context(&format!(
            "a queue has come whose numbers are {hours} hours ahead of this server's clock: those of all queues go on above them"
        ));
    }
}

impl Terms {
    /// By how many hours that moved the mark ahead of the clock, if it is worth a word.
    fn saw_numbers(&mut self, end: u64) -> Option<u64> {
        if end <= self.mark {
            return None;
        }
        if end > self.mark_limit {
            self.mark_limit = clock().0.saturating_add(MARK_AHEAD_MS).saturating_mul(NUMBERS_PER_MS);
        }
        let before = self.mark;
        self.mark = before.max(end.min(self.mark_limit));
        if self.mark - before <= WORTH_A_WORD {
            return None;
        }
        let ahead = self.mark.saturating_sub(clock().0.saturating_mul(NUMBERS_PER_MS));
        (ahead > WORTH_A_WORD).then_some(ahead / WORTH_A_WORD)
    }
}

/// How often the keys of this database have been exchanged for another's.
pub fn swaps(db: i32) -> u64 {
    TERMS.read().swaps.get(&db).copied().unwrap_or_default()
}

/// The keys of this database are another's now.
pub fn swapped(db: i32) {
    TERMS.with(|terms| *terms.swaps.entry(db).or_default() += 1);
}

/// Above every number that this server has seen.
pub fn mark() -> u64 {
    TERMS.read().mark
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_up_number_leaves_numbers_to_the_other_queues() {
        let _alone = crate::server::alone();
        let hours = TERMS.with(|terms| terms.saw_numbers(NUMBER_LIMIT));
        assert!(hours.is_some_and(|hours| hours > 24 * 365 * 9), "the log tells of it: {hours:?}");
        assert_eq!(TERMS.with(|terms| terms.saw_numbers(u64::MAX)), None, "once");
        let now = moment::now();
        let floor = start(now, Epoch(0)).floor;
        let ten_years_ahead = (now.0 + MARK_AHEAD_MS) * NUMBERS_PER_MS;
        assert!(floor <= ten_years_ahead && ten_years_ahead < NUMBER_LIMIT / 2, "{floor}");
    }
}
