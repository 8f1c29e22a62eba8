//! A block of claims: up to 64 with consecutive receipts, found by number, taking little more than those that are left.

use crate::claims::Claim;
use crate::memory::Mover;
use crate::{Receipt, Time};

/// Receipts in one block: the bits of a word, and the cost of looking for the next deadline in it.
pub(crate) const BLOCK: u64 = 64;

/// The claims with receipts `number × 64` to `number × 64 + 63`.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub number: u64,
    /// Not above any deadline in it; `None` when it holds no claim.
    pub bound: Option<Time>,
    /// The slots that have a place in `claims`, of which one is the number of those below it.
    placed: u64,
    /// Those of them that hold a current claim.
    live: u64,
    claims: Vec<Claim>,
}

fn bit(slot: u32) -> u64 {
    1 << slot
}

impl Block {
    pub fn new(number: u64) -> Block {
        Block { number, bound: None, placed: 0, live: 0, claims: Vec::new() }
    }

    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    pub fn holds(&self, slot: u32) -> bool {
        self.live & bit(slot) != 0
    }

    fn place(&self, slot: u32) -> usize {
        (self.placed & (bit(slot) - 1)).count_ones() as usize
    }

    /// The claim in a slot that holds one.
    pub fn at(&self, slot: u32) -> &Claim {
        &self.claims[self.place(slot)]
    }

    /// The claim in a slot that holds one.
    pub fn at_mut(&mut self, slot: u32) -> &mut Claim {
        let place = self.place(slot);
        &mut self.claims[place]
    }

    pub fn receipt(&self, slot: u32) -> Receipt {
        Receipt(self.number * BLOCK + u64::from(slot))
    }

    /// Fills a slot above all others so far.
    pub fn push(&mut self, slot: u32, claim: Claim) {
        self.placed |= bit(slot);
        self.live |= bit(slot);
        self.claims.push(claim);
    }

    /// Empties a slot that holds a claim. A block that takes no more claims gives room back when half of it is unused.
    pub fn take(&mut self, slot: u32, is_last: bool) -> Claim {
        let claim = *self.at(slot);
        self.live &= !bit(slot);
        if !is_last && self.live.count_ones() * 2 <= self.placed.count_ones() {
            let left = self.iter().map(|(_, claim)| *claim);
            self.claims = left.collect();
            self.placed = self.live;
        }
        claim
    }

    /// Its current claims, by receipt.
    pub fn iter(&self) -> impl Iterator<Item = (Receipt, &Claim)> {
        let slots = std::iter::successors(Some(self.live), |live| Some(live & live.wrapping_sub(1)));
        slots.take_while(|live| *live != 0).map(|live| {
            let slot = live.trailing_zeros();
            (self.receipt(slot), self.at(slot))
        })
    }

    /// Its first (deadline, receipt).
    pub fn first(&self) -> Option<(Time, Receipt)> {
        self.iter().map(|(receipt, claim)| (claim.deadline, receipt)).min()
    }

    /// Moves its allocation.
    pub fn move_memory(&mut self, mover: &mut impl Mover) {
        mover.move_items(&mut self.claims);
    }

    /// Bytes on the heap, without the block itself.
    pub fn heap_bytes(&self) -> usize {
        self.claims.capacity() * size_of::<Claim>()
    }
}
