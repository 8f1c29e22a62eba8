//! The current claims, by receipt.
//!
//! Receipts are given one after the other, so claims lie in blocks of 64 consecutive receipts: finding one is a look-up
//! of its block, and a claim costs no allocation, no hash and no entry of its own in the order of deadlines. That order
//! is kept by block: each has a lower bound of its deadlines, made exact when it is reached.

use crate::block::{BLOCK, Block};
use crate::lane::Place;
use crate::memory::{Mover, tree_bytes};
use crate::pages::Pages;
use crate::{Receipt, Time};
use std::collections::{BTreeMap, BTreeSet};

/// No claim: the end of an owner's list.
const NONE: u32 = u32::MAX;

/// So many blocks have addresses below [`NONE`]: four billion claims, if they lie side by side.
const MOST_BLOCKS: usize = (NONE / BLOCK as u32) as usize;

/// What was claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A ready message, to be processed.
    Message,
    /// An errored message, to be drained.
    Error,
}

/// One current claim. Its consumer and session are its owner's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    pub deadline: Time,
    pub place: Place,
    pub kind: Kind,
    pub deliveries: u32,
    pub owner: u32,
    /// Addresses of the owner's claims before and behind this one, by receipt.
    previous: u32,
    next: u32,
}

/// The claims of one consumer on one connection (or on none).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chain {
    first: u32,
    last: u32,
    /// Claims in it.
    pub length: u64,
}

impl Default for Chain {
    fn default() -> Chain {
        Chain { first: NONE, last: NONE, length: 0 }
    }
}

/// All current claims.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    blocks: Pages<Block>,
    by_number: BTreeMap<u64, u32>,
    /// (bound, block number) of every block with claims.
    due: BTreeSet<(Time, u64)>,
    messages: u64,
    errors: u64,
    heap_bytes: usize,
}

/// A copy has its own room, mostly less.
impl Clone for Claims {
    fn clone(&self) -> Claims {
        let blocks = self.blocks.clone();
        let heap_bytes = blocks.iter().map(|(_, block)| block.heap_bytes()).sum();
        Claims { blocks, by_number: self.by_number.clone(), due: self.due.clone(), heap_bytes, ..*self }
    }
}

impl Claims {
    /// Claims of messages, and of errors being drained.
    pub fn counts(&self) -> (u64, u64) {
        (self.messages, self.errors)
    }

    /// Places of blocks, empty ones too.
    pub fn places(&self) -> usize {
        self.blocks.end()
    }

    /// Moves the memory of the block in this place, if there is one.
    pub fn move_block(&mut self, index: usize, mover: &mut impl Mover) {
        if let Some(block) = self.blocks.get_mut(index) {
            block.move_memory(mover);
        }
    }

    pub fn block_count(&self) -> usize {
        self.blocks.len()
    }

    pub fn heap_bytes(&self) -> usize {
        self.heap_bytes
            + self.blocks.heap_bytes()
            + tree_bytes::<u64, u32>(self.by_number.len())
            + tree_bytes::<(Time, u64), ()>(self.due.len())
    }

    fn count_mut(&mut self, kind: Kind) -> &mut u64 {
        match kind {
            Kind::Message => &mut self.messages,
            Kind::Error => &mut self.errors,
        }
    }

    fn address(&self, receipt: Receipt) -> Option<u32> {
        let block = *self.by_number.get(&(receipt.0 / BLOCK))?;
        let slot = (receipt.0 % BLOCK) as u32;
        self.blocks[block as usize].holds(slot).then_some(block * BLOCK as u32 + slot)
    }

    fn at_mut(&mut self, address: u32) -> &mut Claim {
        self.blocks[(address / BLOCK as u32) as usize].at_mut(address % BLOCK as u32)
    }

    /// The claim at an address that a segment or a chain holds, and its receipt. Addresses name current claims (I3).
    pub fn at(&self, address: u32) -> (Receipt, &Claim) {
        let block = &self.blocks[(address / BLOCK as u32) as usize];
        let slot = address % BLOCK as u32;
        (block.receipt(slot), block.at(slot))
    }

    pub fn get(&self, receipt: Receipt) -> Option<&Claim> {
        self.address(receipt).map(|address| self.at(address).1)
    }

    /// Adds a claim with a receipt above all others to the end of its owner's chain; returns its address.
    pub fn insert(&mut self, receipt: Receipt, mut claim: Claim, chain: &mut Chain) -> u32 {
        let (number, slot) = (receipt.0 / BLOCK, (receipt.0 % BLOCK) as u32);
        let index = match self.by_number.get(&number) {
            Some(index) => *index,
            None => self.open_block(number),
        };
        let address = index * BLOCK as u32 + slot;
        (claim.previous, claim.next) = (chain.last, NONE);
        match chain.last {
            NONE => chain.first = address,
            last => self.at_mut(last).next = address,
        }
        chain.last = address;
        chain.length += 1;
        *self.count_mut(claim.kind) += 1;
        self.with(index, |block| block.push(slot, claim));
        self.lower_bound(index, claim.deadline);
        address
    }

    /// Changes one block and keeps the sum of bytes.
    fn with<T>(&mut self, index: u32, change: impl FnOnce(&mut Block) -> T) -> T {
        let block = &mut self.blocks[index as usize];
        let before = block.heap_bytes();
        let result = change(block);
        self.heap_bytes = self.heap_bytes + block.heap_bytes() - before;
        result
    }

    fn open_block(&mut self, number: u64) -> u32 {
        // The last block stays while receipts of it may still be given; here it is the last no longer.
        if let Some(last) = self.by_number.last_key_value().map(|(_, index)| *index) {
            self.free_if_empty(last);
        }
        let index = self.blocks.insert(Block::new(number));
        assert!(index < MOST_BLOCKS, "every block has an address");
        let index = index as u32;
        self.by_number.insert(number, index);
        index
    }

    fn free_if_empty(&mut self, index: u32) {
        if self.blocks[index as usize].is_empty() {
            let block = self.blocks.remove(index as usize);
            self.by_number.remove(&block.number);
            self.heap_bytes -= block.heap_bytes();
        }
    }

    fn lower_bound(&mut self, index: u32, deadline: Time) {
        let block = &self.blocks[index as usize];
        if block.bound.is_none_or(|bound| deadline < bound) {
            self.set_bound(index, Some(deadline));
        }
    }

    fn set_bound(&mut self, index: u32, bound: Option<Time>) {
        let block = &mut self.blocks[index as usize];
        let before = std::mem::replace(&mut block.bound, bound);
        let number = block.number;
        if before != bound {
            before.map(|before| self.due.remove(&(before, number)));
            bound.map(|bound| self.due.insert((bound, number)));
        }
    }

    /// Ends a claim; `chain` is its owner's.
    pub fn remove(&mut self, receipt: Receipt, chain: &mut Chain) -> Option<Claim> {
        let address = self.address(receipt)?;
        let (index, slot) = (address / BLOCK as u32, address % BLOCK as u32);
        let is_last = self.by_number.last_key_value().is_some_and(|(_, last)| *last == index);
        let claim = self.with(index, |block| block.take(slot, is_last));
        *self.count_mut(claim.kind) -= 1;
        match claim.previous {
            NONE => chain.first = claim.next,
            previous => self.at_mut(previous).next = claim.next,
        }
        match claim.next {
            NONE => chain.last = claim.previous,
            next => self.at_mut(next).previous = claim.previous,
        }
        chain.length -= 1;
        if self.blocks[index as usize].is_empty() {
            self.set_bound(index, None);
            if !is_last {
                self.free_if_empty(index);
            }
        }
        Some(claim)
    }

    /// Gives a current claim a new deadline.
    pub fn set_deadline(&mut self, receipt: Receipt, deadline: Time) {
        if let Some(address) = self.address(receipt) {
            self.at_mut(address).deadline = deadline;
            self.lower_bound(address / BLOCK as u32, deadline);
        }
    }

    /// Receipts of a chain, in order.
    pub fn receipts(&self, chain: &Chain) -> Vec<Receipt> {
        self.chain(chain).map(|(receipt, _)| receipt).collect()
    }

    /// The first receipt of a chain.
    pub fn first_of(&self, chain: &Chain) -> Option<Receipt> {
        (chain.first != NONE).then(|| self.at(chain.first).0)
    }

    /// Claims of a chain, by receipt.
    pub fn chain(&self, chain: &Chain) -> impl Iterator<Item = (Receipt, &Claim)> {
        let at = |address: u32| (address != NONE).then(|| self.at(address));
        std::iter::successors(at(chain.first), move |(_, claim)| at(claim.next))
    }

    /// No claim ends before this moment.
    pub fn next_bound(&self) -> Option<Time> {
        self.due.first().map(|(bound, _)| *bound)
    }

    /// The claim that ends first, if it has ended at `now`: smallest deadline, then smallest receipt.
    pub fn first_ended(&mut self, now: Time) -> Option<(Time, Receipt)> {
        loop {
            // Blocks are ordered by bound, then number. Where the first bound is exact, no other block holds an earlier
            // deadline, and one with an equal deadline holds larger receipts.
            let (bound, number) = *self.due.first().filter(|(bound, _)| *bound <= now)?;
            let index = self.by_number[&number];
            let first = self.blocks[index as usize].first().expect("a block with a bound holds a claim");
            if first.0 == bound {
                return Some(first);
            }
            self.set_bound(index, Some(first.0));
        }
    }

    /// When the next claim ends: the exact moment, which may lie behind the first bound.
    pub fn next_end(&self) -> Option<Time> {
        let mut first: Option<Time> = None;
        for (bound, number) in &self.due {
            if first.is_some_and(|first| first <= *bound) {
                break;
            }
            let end = self.blocks[self.by_number[number] as usize].first().map(|(end, _)| end);
            first = first.into_iter().chain(end).min();
        }
        first
    }

    /// The claims that have ended at `now`.
    pub fn ended(&self, now: Time) -> impl Iterator<Item = (Receipt, &Claim)> {
        let blocks = self.due.iter().take_while(move |(bound, _)| *bound <= now);
        let claims = blocks.flat_map(|(_, number)| self.blocks[self.by_number[number] as usize].iter());
        claims.filter(move |(_, claim)| claim.deadline <= now)
    }

    /// The largest receipt that names a claim.
    pub fn last_receipt(&self) -> Option<Receipt> {
        self.iter().last().map(|(receipt, _)| receipt)
    }

    /// Every claim, by receipt.
    pub fn iter(&self) -> impl Iterator<Item = (Receipt, &Claim)> {
        self.by_number.values().flat_map(|index| self.blocks[*index as usize].iter())
    }
}

impl Claim {
    /// A claim not yet in any chain.
    pub fn new(kind: Kind, place: Place, deliveries: u32, owner: u32, deadline: Time) -> Claim {
        Claim { deadline, place, kind, deliveries, owner, previous: NONE, next: NONE }
    }
}
