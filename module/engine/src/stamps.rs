//! The numbers that a queue gives: ids, receipts, tokens.

use crate::faults::{self, Fault};
use crate::numbers::NUMBER_LIMIT;
use crate::{Id, Moment, Receipt, TermStart, Token};

/// The next number of each kind. They only grow; inside a term without gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamps {
    pub next_id: u64,
    pub next_receipt: u64,
    pub next_token: u64,
}

impl Default for Stamps {
    fn default() -> Stamps {
        Stamps { next_id: 1, next_receipt: 1, next_token: 1 }
    }
}

impl Stamps {
    /// Goes on from `max(previous + 1 + skip, floor)`, which never passes 2^53: there the numbers are used up.
    pub fn start_term(&mut self, term: TermStart) {
        for next in [&mut self.next_id, &mut self.next_receipt, &mut self.next_token] {
            *next = next.saturating_add(term.skip).max(term.floor).min(NUMBER_LIMIT);
        }
    }

    /// As they will be when a step at this moment has begun.
    pub fn at(mut self, moment: &Moment) -> Stamps {
        moment.term.into_iter().for_each(|term| self.start_term(term));
        self
    }

    /// Takes `count` consecutive ids; the first of them.
    pub fn ids(&mut self, count: usize) -> Id {
        Id(take(&mut self.next_id, count as u64))
    }

    pub fn receipt(&mut self) -> Receipt {
        let step = u64::from(!faults::on(Fault::ReceiptTwice) || !self.next_receipt.is_multiple_of(8));
        Receipt(take(&mut self.next_receipt, step))
    }

    pub fn token(&mut self) -> Token {
        Token(take(&mut self.next_token, 1))
    }

    /// Above every number given.
    pub fn end(&self) -> u64 {
        self.next_id.max(self.next_receipt).max(self.next_token)
    }

    /// Whether `count` more of each would stay below 2^53.
    pub fn has_room(&self, count: usize) -> bool {
        self.end().saturating_add(count as u64) < NUMBER_LIMIT
    }
}

fn take(next: &mut u64, count: u64) -> u64 {
    let first = *next;
    *next += count;
    first
}
