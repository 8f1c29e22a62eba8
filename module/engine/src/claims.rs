//! The current claims, by receipt.
//!
//! Receipts are given one after the other, so claims lie in blocks of 64 consecutive receipts: finding one is a look-up
//! of its block, and a claim costs no allocation, no hash and no entry of its own in the order of deadlines. That order
//! is kept by block: each has a lower bound of its deadlines, made exact when it is reached.

use crate::messages::Place;
use crate::{Receipt, Time};
use slab::Slab;
use std::collections::{BTreeMap, BTreeSet};

/// Receipts in one block; the cost of looking for the next deadline in it.
const BLOCK: u64 = 64;

/// No claim: the end of an owner's list.
const NONE: u32 = u32::MAX;

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

#[derive(Clone, Debug)]
struct Block {
    number: u64,
    /// Not above any deadline in it; `None` when it holds no claim.
    bound: Option<Time>,
    live: u32,
    claims: Vec<Option<Claim>>,
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
#[derive(Clone, Debug, Default)]
pub(crate) struct Claims {
    blocks: Slab<Block>,
    by_number: BTreeMap<u64, u32>,
    /// (bound, block number) of every block with claims.
    due: BTreeSet<(Time, u64)>,
    messages: u64,
    errors: u64,
    heap_bytes: usize,
}

impl Claims {
    /// Claims of messages, and of errors being drained.
    pub fn counts(&self) -> (u64, u64) {
        (self.messages, self.errors)
    }

    pub fn block_count(&self) -> usize {
        self.blocks.len()
    }

    pub fn heap_bytes(&self) -> usize {
        self.heap_bytes + self.blocks.len() * (size_of::<Block>() + 64)
    }

    fn count_mut(&mut self, kind: Kind) -> &mut u64 {
        match kind {
            Kind::Message => &mut self.messages,
            Kind::Error => &mut self.errors,
        }
    }

    fn address(&self, receipt: Receipt) -> Option<u32> {
        let block = *self.by_number.get(&(receipt.0 / BLOCK))?;
        let slot = (receipt.0 % BLOCK) as usize;
        let held = self.blocks[block as usize].claims.get(slot)?.is_some();
        held.then_some(block * BLOCK as u32 + slot as u32)
    }

    fn at_mut(&mut self, address: u32) -> &mut Claim {
        let (block, slot) = (address / BLOCK as u32, address % BLOCK as u32);
        self.blocks[block as usize].claims[slot as usize].as_mut().expect("addresses name current claims")
    }

    /// The claim at an address that a segment or a chain holds, and its receipt.
    pub fn at(&self, address: u32) -> (Receipt, &Claim) {
        let block = &self.blocks[(address / BLOCK as u32) as usize];
        let slot = address % BLOCK as u32;
        let claim = block.claims[slot as usize].as_ref().expect("addresses name current claims");
        (Receipt(block.number * BLOCK + u64::from(slot)), claim)
    }

    pub fn get(&self, receipt: Receipt) -> Option<&Claim> {
        self.address(receipt).map(|address| self.at(address).1)
    }

    /// Adds a claim with a receipt above all others to the end of its owner's chain; returns its address.
    pub fn insert(&mut self, receipt: Receipt, mut claim: Claim, chain: &mut Chain) -> u32 {
        let (number, slot) = (receipt.0 / BLOCK, (receipt.0 % BLOCK) as usize);
        let index = match self.by_number.get(&number) {
            Some(index) => *index,
            None => self.open_block(number),
        };
        let address = index * BLOCK as u32 + slot as u32;
        (claim.previous, claim.next) = (chain.last, NONE);
        match chain.last {
            NONE => chain.first = address,
            last => self.at_mut(last).next = address,
        }
        chain.last = address;
        chain.length += 1;
        *self.count_mut(claim.kind) += 1;
        let block = &mut self.blocks[index as usize];
        let before = block.claims.capacity();
        block.claims.resize(slot, None);
        block.claims.push(Some(claim));
        block.live += 1;
        self.heap_bytes += (block.claims.capacity() - before) * size_of::<Option<Claim>>();
        self.lower_bound(index, claim.deadline);
        address
    }

    fn open_block(&mut self, number: u64) -> u32 {
        // The last block stays while receipts of it may still be given; here it is the last no longer.
        if let Some(last) = self.by_number.last_key_value().map(|(_, index)| *index) {
            self.free_if_empty(last);
        }
        let block = Block { number, bound: None, live: 0, claims: Vec::new() };
        let index = self.blocks.insert(block) as u32; // 2^26 blocks are 128 GiB
        self.by_number.insert(number, index);
        index
    }

    fn free_if_empty(&mut self, index: u32) {
        if self.blocks[index as usize].live == 0 {
            let block = self.blocks.remove(index as usize);
            self.by_number.remove(&block.number);
            self.heap_bytes -= block.claims.capacity() * size_of::<Option<Claim>>();
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
        let index = address / BLOCK as u32;
        let block = &mut self.blocks[index as usize];
        let claim = block.claims[(address % BLOCK as u32) as usize].take()?;
        block.live -= 1;
        let (live, number) = (block.live, block.number);
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
        if live == 0 {
            self.set_bound(index, None);
            if self.by_number.last_key_value().map(|(last, _)| *last) != Some(number) {
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
            let first = self.first_of(index).expect("a block with a bound holds a claim");
            if first.0 == bound {
                return Some(first);
            }
            self.set_bound(index, Some(first.0));
        }
    }

    /// The first (deadline, receipt) of a block.
    fn first_of(&self, index: u32) -> Option<(Time, Receipt)> {
        let block = &self.blocks[index as usize];
        let receipt = |slot: usize| Receipt(block.number * BLOCK + slot as u64);
        let claims = block.claims.iter().enumerate();
        claims.filter_map(|(slot, claim)| claim.as_ref().map(|claim| (claim.deadline, receipt(slot)))).min()
    }

    /// How many claims have ended at `now`, by kind message.
    pub fn ended(&self, now: Time) -> u64 {
        let blocks = self.due.iter().take_while(|(bound, _)| *bound <= now);
        let claims = blocks.flat_map(|(_, number)| &self.blocks[self.by_number[number] as usize].claims);
        claims.flatten().filter(|claim| claim.deadline <= now).count() as u64
    }

    /// The largest receipt that names a claim.
    pub fn last_receipt(&self) -> Option<Receipt> {
        self.iter().last().map(|(receipt, _)| receipt)
    }

    /// Every claim, by receipt.
    pub fn iter(&self) -> impl Iterator<Item = (Receipt, &Claim)> {
        self.by_number.values().flat_map(|index| {
            let block = &self.blocks[*index as usize];
            block.claims.iter().enumerate().filter_map(move |(slot, claim)| {
                claim.as_ref().map(|claim| (Receipt(block.number * BLOCK + slot as u64), claim))
            })
        })
    }
}

impl Claim {
    /// A claim not yet in any chain.
    pub fn new(kind: Kind, place: Place, deliveries: u32, owner: u32, deadline: Time) -> Claim {
        Claim { deadline, place, kind, deliveries, owner, previous: NONE, next: NONE }
    }
}
