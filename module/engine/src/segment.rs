//! A segment: up to 512 messages of one lane, packed one behind the other. No message has an allocation of its own.

use crate::lane::LaneKey;
use crate::memory::Mover;
use crate::{Id, Time};
use std::ops::Range;

/// Payload bytes in one segment: a size class of the common allocators, so that a full one wastes nothing.
pub(crate) const SEGMENT_BYTES: usize = 16 * 1024;

/// Messages in one segment; bounds the work of one compaction, and the bytes (about 3 KiB) that one message which stays
/// long keeps alive beside its own.
pub(crate) const SEGMENT_SLOTS: usize = 512;

/// A payload above this has a segment of its own, exactly as large as it is: at most a quarter of a packed one is lost.
pub(crate) const LARGE_PAYLOAD: usize = SEGMENT_BYTES / 4;

/// A segment takes new messages for this long (ms), so that its age is that of its messages to within this.
pub(crate) const SEGMENT_SPAN_MS: u64 = 1000;

/// Below this many payload bytes a segment is not worth compacting.
const COMPACT_ABOVE: usize = 512;

/// Marks in [`Segment::claim_of`] a slot without a claim.
pub(crate) const NO_CLAIM: u32 = u32::MAX;

/// Messages of one lane with ascending ids. The slots from `fresh` on were never claimed and are ready (unless gone).
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub lane: LaneKey,
    /// When it was opened; no message in it is older.
    pub created_at: Time,
    /// The id of slot 0.
    pub first: u64,
    /// Id − `first` of each slot; empty while the ids are consecutive.
    pub id_offsets: Vec<u32>,
    /// Where each payload starts in `bytes`; it ends where the next one starts.
    pub starts: Vec<u16>,
    pub bytes: Vec<u8>,
    /// The slots below this one have left the line of never-claimed messages.
    pub fresh: usize,
    /// One bit per slot: acked, drained or removed. May be shorter than the slots; what is missing is 0.
    gone: Vec<u64>,
    /// Messages that are not gone.
    pub live: usize,
    /// Payload bytes of the live messages.
    live_bytes: usize,
    /// Payload bytes ever appended: decides when the segment is full, whatever has been compacted since.
    pub appended: usize,
    /// The address of each slot's claim, or [`NO_CLAIM`]; may be shorter than the slots.
    claim_of: Vec<u32>,
    /// Slots with a claim.
    pub claimed: usize,
    /// Takes no more messages.
    sealed: bool,
}

impl Segment {
    pub fn new(lane: LaneKey, created_at: Time, first: Id) -> Segment {
        Segment {
            lane,
            created_at,
            first: first.0,
            id_offsets: Vec::new(),
            starts: Vec::new(),
            bytes: Vec::new(),
            fresh: 0,
            gone: Vec::new(),
            live: 0,
            live_bytes: 0,
            appended: 0,
            claim_of: Vec::new(),
            claimed: 0,
            sealed: false,
        }
    }

    pub fn len(&self) -> usize {
        self.starts.len()
    }

    pub fn id(&self, slot: usize) -> Id {
        let offset = if self.id_offsets.is_empty() { slot as u64 } else { u64::from(self.id_offsets[slot]) };
        Id(self.first + offset)
    }

    /// The slot of this id, live or gone.
    pub fn find(&self, id: Id) -> Option<usize> {
        let offset = id.0.checked_sub(self.first)?;
        if self.id_offsets.is_empty() {
            return usize::try_from(offset).ok().filter(|slot| *slot < self.len());
        }
        self.id_offsets.binary_search(&u32::try_from(offset).ok()?).ok()
    }

    /// The first slot whose id is `id` or larger.
    pub fn lower_bound(&self, id: Id) -> usize {
        let offset = id.0.saturating_sub(self.first);
        if self.id_offsets.is_empty() {
            return usize::try_from(offset).unwrap_or(usize::MAX).min(self.len());
        }
        self.id_offsets.partition_point(|known| u64::from(*known) < offset)
    }

    fn range(&self, slot: usize) -> Range<usize> {
        let end = self.starts.get(slot + 1).map_or(self.bytes.len(), |next| usize::from(*next));
        usize::from(self.starts[slot])..end
    }

    /// The payload of a live message; empty for one that is gone and compacted.
    pub fn payload(&self, slot: usize) -> &[u8] {
        &self.bytes[self.range(slot)]
    }

    pub fn is_gone(&self, slot: usize) -> bool {
        self.gone.get(slot / 64).is_some_and(|word| word >> (slot % 64) & 1 == 1)
    }

    /// Whether `count` more messages of `bytes` in all, the largest of them `largest`, the last with id `last`, can be
    /// appended at `now`.
    pub fn has_room(&self, count: usize, bytes: usize, largest: usize, last: Id, now: Time) -> bool {
        largest <= LARGE_PAYLOAD
            && self.len() + count <= SEGMENT_SLOTS
            && self.appended.saturating_add(bytes) <= SEGMENT_BYTES
            && last.0 - self.first <= u64::from(u32::MAX)
            && now.since(self.created_at).0 < SEGMENT_SPAN_MS
    }

    /// Appends the first of these messages, and of the others as many as have room; how many that were.
    pub fn append_some(&mut self, first: Id, payloads: &[&[u8]], now: Time) -> usize {
        let mut count = 0;
        for payload in payloads {
            let id = Id(first.0 + count as u64);
            if count > 0 && !self.has_room(1, payload.len(), payload.len(), id, now) {
                break;
            }
            self.append(id, payload);
            count += 1;
        }
        count
    }

    /// The id of the message on which the cursor stands.
    pub fn next_fresh(&self) -> Id {
        self.id(self.fresh)
    }

    /// Moves the cursor to the next message that is not gone; whether there is none.
    pub fn advance(&mut self) -> bool {
        self.fresh += 1;
        while self.fresh < self.len() && self.is_gone(self.fresh) {
            self.fresh += 1;
        }
        self.fresh == self.len()
    }

    /// Appends a message whose id is above all others here. In the parked lanes it is not `fresh`.
    pub fn append(&mut self, id: Id, payload: &[u8]) -> usize {
        let slot = self.len();
        let offset = id.0 - self.first;
        if self.id_offsets.is_empty() && offset != slot as u64 {
            self.id_offsets = (0..slot as u32).collect();
        }
        if offset != slot as u64 || !self.id_offsets.is_empty() {
            self.id_offsets.push(u32::try_from(offset).expect("has_room bounds the span of ids"));
        }
        self.starts.push(u16::try_from(self.bytes.len()).expect("a packed segment has at most 16 KiB"));
        self.bytes.extend_from_slice(payload);
        self.appended += payload.len();
        self.live_bytes += payload.len();
        self.live += 1;
        if self.lane.parked {
            self.fresh = slot + 1;
        }
        slot
    }

    /// Adds a slot that is already gone: for loading.
    pub fn append_gone(&mut self, id: Id) {
        let slot = self.append(id, &[]);
        self.mark_gone(slot);
    }

    fn mark_gone(&mut self, slot: usize) {
        if self.gone.len() <= slot / 64 {
            self.gone.resize(slot / 64 + 1, 0);
        }
        self.gone[slot / 64] |= 1 << (slot % 64);
        self.live -= 1;
    }

    /// The message is done: its slot stays, its payload goes with the next compaction.
    pub fn remove(&mut self, slot: usize) {
        self.live_bytes -= self.range(slot).len();
        self.mark_gone(slot);
    }

    /// Whether three quarters of the payload bytes belong to messages that are gone.
    pub fn wants_compaction(&self) -> bool {
        self.bytes.len() > COMPACT_ABOVE && self.live_bytes < self.bytes.len() / 4
    }

    /// Drops the payloads of the messages that are gone. What it keeps is at most a quarter, so that all compactions of a
    /// segment together copy less than half of its bytes.
    pub fn compact(&mut self) {
        let mut kept = Vec::with_capacity(self.live_bytes);
        for slot in 0..self.len() {
            let start = kept.len() as u16; // at most SEGMENT_BYTES / 4
            if !self.is_gone(slot) {
                kept.extend_from_slice(self.payload(slot));
            }
            self.starts[slot] = start; // read already; the slots behind still have their old ones
        }
        self.bytes = kept;
    }

    /// Gives back what a segment that is full will not need.
    pub fn seal(&mut self) {
        self.sealed = true;
        self.bytes.shrink_to_fit();
        self.starts.shrink_to_fit();
        self.id_offsets.shrink_to_fit();
    }

    pub fn claim_of(&self, slot: usize) -> u32 {
        self.claim_of.get(slot).copied().unwrap_or(NO_CLAIM)
    }

    /// Notes the claim of a slot, or with [`NO_CLAIM`] that it ended.
    pub fn set_claim(&mut self, slot: usize, address: u32) {
        if self.claim_of.len() <= slot {
            self.claim_of.resize(self.starts.capacity().max(slot + 1), NO_CLAIM);
        }
        let before = std::mem::replace(&mut self.claim_of[slot], address);
        self.claimed = self.claimed + usize::from(address != NO_CLAIM) - usize::from(before != NO_CLAIM);
        if self.claimed == 0 && self.sealed && self.live * 4 < self.len() {
            self.claim_of = Vec::new();
        }
    }

    /// As [`Segment::seal`], for one that was loaded with exact sizes.
    pub fn seal_loaded(&mut self) {
        self.sealed = true;
    }

    /// Moves its allocations.
    pub fn move_memory(&mut self, mover: &mut impl Mover) {
        mover.move_items(&mut self.bytes);
        mover.move_items(&mut self.starts);
        mover.move_items(&mut self.id_offsets);
        mover.move_items(&mut self.claim_of);
        mover.move_items(&mut self.gone);
    }

    /// Bytes on the heap, without the segment itself.
    pub fn heap_bytes(&self) -> usize {
        self.bytes.capacity()
            + 2 * self.starts.capacity()
            + 4 * (self.id_offsets.capacity() + self.claim_of.capacity())
            + 8 * self.gone.capacity()
    }

    /// Sums that must agree with the slots.
    pub fn check(&self) -> Result<(), String> {
        let live: Vec<usize> = (0..self.len()).filter(|slot| !self.is_gone(*slot)).collect();
        let bytes: usize = live.iter().map(|slot| self.payload(*slot).len()).sum();
        let claimed = (0..self.len()).filter(|slot| self.claim_of(*slot) != NO_CLAIM).count();
        if (live.len(), bytes, claimed) != (self.live, self.live_bytes, self.claimed) {
            return Err(format!("segment {}: sums differ from the slots", self.first));
        }
        if !(1..self.len()).all(|slot| self.id(slot - 1) < self.id(slot)) || self.fresh > self.len() {
            return Err(format!("segment {}: ids or fresh out of order", self.first));
        }
        Ok(())
    }
}
