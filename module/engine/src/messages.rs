//! Where the messages are: segments, and for each priority what of it is ready.

use crate::codec::Corrupt;
use crate::faults::{self, Fault};
use crate::lane::{Lane, LaneKey, Lanes, Place, Returned, Taken};
use crate::memory::Mover;
use crate::pages::Pages;
use crate::segment::{NO_CLAIM, Segment};
use crate::{Id, Time};

/// Every message of the queue, and which of them are ready.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    segments: Pages<Segment>,
    pub lanes: Lanes,
    ready: u64,
    /// Messages in all states.
    live: u64,
    /// Bytes of all segments.
    heap_bytes: usize,
}

/// A copy has its own room, mostly less.
impl Clone for Messages {
    fn clone(&self) -> Messages {
        let segments = self.segments.clone();
        let heap_bytes = segments.iter().map(|(_, segment)| segment.heap_bytes()).sum();
        Messages { segments, lanes: self.lanes.clone(), heap_bytes, ..*self }
    }
}

impl Messages {
    pub fn ready(&self) -> u64 {
        self.ready
    }

    pub fn live(&self) -> u64 {
        self.live
    }

    pub fn heap_bytes(&self) -> usize {
        self.heap_bytes + self.segments.heap_bytes() + self.lanes.heap_bytes()
    }

    pub fn segment_count(&self) -> usize {
        self.segments.len()
    }

    /// Places of segments, empty ones too.
    pub fn places(&self) -> usize {
        self.segments.end()
    }

    /// Moves the memory of the segment in this place, if there is one.
    pub fn move_segment(&mut self, index: usize, mover: &mut impl Mover) {
        if let Some(segment) = self.segments.get_mut(index) {
            segment.move_memory(mover);
        }
    }

    pub fn segment(&self, index: u32) -> &Segment {
        &self.segments[index as usize]
    }

    pub fn id(&self, place: Place) -> Id {
        self.segment(place.segment).id(place.slot.into())
    }

    pub fn payload(&self, place: Place) -> &[u8] {
        self.segment(place.segment).payload(place.slot.into())
    }

    pub fn lane_of(&self, place: Place) -> LaneKey {
        self.segment(place.segment).lane
    }

    /// Changes one segment and keeps the sum of bytes.
    fn with<T>(&mut self, segment: u32, change: impl FnOnce(&mut Segment) -> T) -> T {
        let segment = &mut self.segments[segment as usize];
        let before = segment.heap_bytes();
        let result = change(segment);
        self.heap_bytes = self.heap_bytes + segment.heap_bytes() - before;
        result
    }

    /// Whether these messages, ids from `first`, fit into the lane's last segment at `now`.
    pub fn has_room(&self, key: LaneKey, first: Id, payloads: &[&[u8]], now: Time) -> bool {
        let Some(tail) = self.lanes.get(key.priority).and_then(|lane| lane.tail(key.parked)) else { return false };
        let (mut bytes, mut largest) = (0, 0);
        for payload in payloads {
            bytes += payload.len();
            largest = largest.max(payload.len());
        }
        let last = Id(first.0 + payloads.len() as u64 - 1);
        self.segment(tail).has_room(payloads.len(), bytes, largest, last, now)
    }

    /// Appends messages with consecutive ids above all others. In a lane that is not parked they are ready.
    pub fn append(&mut self, key: LaneKey, first: Id, payloads: &[&[u8]], now: Time) {
        let mut next = first;
        let mut left = payloads;
        while !left.is_empty() {
            let tail = self.lanes.get(key.priority).and_then(|lane| lane.tail(key.parked));
            let has_room = |tail: &u32| self.segment(*tail).has_room(1, left[0].len(), left[0].len(), next, now);
            let index = tail.filter(has_room).unwrap_or_else(|| self.open_segment(key, next, now));
            let had_fresh = self.segment(index).fresh < self.segment(index).len();
            let count = self.with(index, |segment| segment.append_some(next, left, now));
            if !key.parked {
                let first = self.segment(index).first;
                let lane = self.lanes.get_or_add(key.priority);
                if !had_fresh {
                    lane.fresh.insert(first, index);
                }
                lane.fresh_count += count as u64;
                self.ready += count as u64;
            }
            self.live += count as u64;
            next.0 += count as u64;
            left = &left[count..];
        }
    }

    fn open_segment(&mut self, key: LaneKey, first: Id, now: Time) -> u32 {
        let lane = self.lanes.get_or_add(key.priority);
        if let Some(full) = lane.tail(key.parked) {
            self.with(full, Segment::seal);
            self.drop_if_empty(full);
        }
        self.add_segment(Segment::new(key, now, first))
    }

    fn drop_if_empty(&mut self, index: u32) {
        if self.segment(index).live > 0 {
            return;
        }
        let segment = self.segments.remove(index as usize);
        self.heap_bytes -= segment.heap_bytes();
        let lane = self.lanes.get_or_add(segment.lane.priority);
        lane.segments_mut(segment.lane.parked).remove(&segment.first);
        if !segment.lane.parked {
            lane.fresh.remove(&segment.first);
        }
    }

    /// The next message to claim: highest priority first, then smallest id.
    pub fn first_ready(&self) -> Option<(Id, Place)> {
        let lane = self.lanes.values().rev().find(|lane| lane.ready() > 0)?;
        let fresh = lane.fresh.first_key_value().map(|(_, index)| {
            let segment = &self.segments[*index as usize];
            (segment.next_fresh(), Place { segment: *index, slot: segment.fresh as u16 })
        });
        let returned = lane.returned.first().map(|(id, returned)| (*id, returned.place));
        fresh.into_iter().chain(returned).min_by_key(|(id, _)| *id)
    }

    /// The next message to claim: highest priority first, then smallest id. It is ready no longer. `None`: none is ready,
    /// or its payload is larger than `limit`.
    pub fn take_ready(&mut self, limit: usize) -> Option<Taken> {
        let lane = self.lanes.values_mut().rev().find(|lane| lane.ready() > 0)?;
        let fresh = lane.fresh.first_key_value().map(|(_, index)| *index);
        let returned = lane.returned.first().map(|(id, returned)| (*id, *returned));
        let taken = match (fresh, returned) {
            (Some(index), returned)
                if faults::on(Fault::ReturnedComeLast)
                    || returned.is_none_or(|(id, _)| self.segments[index as usize].next_fresh() < id) =>
            {
                let segment = &mut self.segments[index as usize];
                let (id, slot) = (segment.next_fresh(), segment.fresh);
                if segment.payload(slot).len() > limit {
                    return None;
                }
                if segment.advance() {
                    lane.fresh.pop_first();
                }
                lane.fresh_count -= 1;
                Taken { id, place: Place { segment: index, slot: slot as u16 }, deliveries: 0 }
            }
            (_, Some((id, Returned { place, deliveries }))) => {
                if self.segments[place.segment as usize].payload(place.slot.into()).len() > limit {
                    return None;
                }
                lane.returned.pop_first();
                Taken { id, place, deliveries }
            }
            _ => return None,
        };
        self.ready -= 1;
        Some(taken)
    }

    /// Makes a message ready (again) that is in no other state.
    pub fn put_back(&mut self, place: Place, deliveries: u32) {
        let (id, priority) = (self.id(place), self.lane_of(place).priority);
        self.lanes.get_or_add(priority).returned.insert(id, Returned { place, deliveries });
        self.ready += 1;
    }

    /// Takes a ready message out of the line, or from the returned ones. How often it was delivered; `None`: it is in neither.
    pub fn withdraw(&mut self, place: Place) -> Option<u32> {
        let segment = &mut self.segments[place.segment as usize];
        let slot = usize::from(place.slot);
        let lane = self.lanes.get_mut(segment.lane.priority)?;
        let deliveries = if slot >= segment.fresh {
            if slot == segment.fresh && segment.advance() {
                lane.fresh.remove(&segment.first);
            }
            lane.fresh_count -= 1;
            0
        } else {
            lane.returned.remove(&segment.id(slot))?.deliveries
        };
        self.ready -= 1;
        Some(deliveries)
    }

    /// Where a message is, whatever its lane.
    pub fn find_anywhere(&self, id: Id) -> Option<Place> {
        let lines = self.lanes.values().flat_map(|lane| [&lane.line, &lane.parked]);
        lines.into_iter().find_map(|segments| {
            let (_, index) = segments.range(..=id.0).next_back()?;
            let segment = self.segment(*index);
            let slot = segment.find(id).filter(|slot| !segment.is_gone(*slot))?;
            Some(Place { segment: *index, slot: slot as u16 })
        })
    }

    /// How often a ready message was delivered that can be claimed; `None`: it is not.
    pub fn ready_deliveries(&self, place: Place) -> Option<u32> {
        let segment = self.segment(place.segment);
        let slot = usize::from(place.slot);
        if slot >= segment.fresh {
            return Some(0);
        }
        self.lanes.get(segment.lane.priority)?.returned.get(&segment.id(slot)).map(|returned| returned.deliveries)
    }

    /// Forgets a message that is in no state any more.
    pub fn remove(&mut self, place: Place) {
        let key = self.lane_of(place);
        let is_tail = self.lanes.get(key.priority).and_then(|lane| lane.tail(key.parked)) == Some(place.segment);
        self.live -= 1;
        self.with(place.segment, |segment| {
            segment.remove(place.slot.into());
            if !is_tail && segment.live > 0 && segment.wants_compaction() {
                segment.compact();
            }
        });
        if !is_tail {
            self.drop_if_empty(place.segment);
        }
    }

    pub fn set_claim(&mut self, place: Place, address: u32) {
        self.with(place.segment, |segment| segment.set_claim(place.slot.into(), address));
    }

    pub fn clear_claim(&mut self, place: Place) {
        self.set_claim(place, NO_CLAIM);
    }

    /// When the segment of the oldest ready message was opened.
    pub fn oldest_ready(&self) -> Option<Time> {
        let of_lane = |lane: &Lane| {
            let fresh = lane.fresh.first_key_value().map(|(_, index)| self.segment(*index).created_at);
            let returned = lane.returned.first().map(|(_, r)| self.segment(r.place.segment).created_at);
            fresh.into_iter().chain(returned).min()
        };
        self.lanes.values().filter_map(of_lane).min()
    }

    /// Live and never-claimed messages of a segment with ids above `after`, in order.
    pub fn fresh_in<'a>(&'a self, segment: &'a Segment, after: Id) -> impl Iterator<Item = usize> + 'a {
        let start = segment.fresh.max(segment.lower_bound(Id(after.0 + 1)));
        (start..segment.len()).filter(|slot| !segment.is_gone(*slot))
    }

    /// The segments with never-claimed messages whose ids may lie above `after`.
    pub fn fresh_segments<'a>(&'a self, lane: &'a Lane, after: Id) -> impl Iterator<Item = (u32, &'a Segment)> + 'a {
        let from = lane.fresh.range(..=after.0).next_back().map_or(0, |(first, _)| *first);
        lane.fresh.range(from..).map(|(_, index)| (*index, self.segment(*index)))
    }

    /// All segments of a lane and kind from the one that may hold `after` on.
    pub fn segments_from<'a>(
        &'a self,
        lane: &'a Lane,
        parked: bool,
        after: Id,
    ) -> impl Iterator<Item = (u32, &'a Segment)> + 'a {
        let segments = lane.segments(parked);
        let from = segments.range(..=after.0).next_back().map_or(0, |(first, _)| *first);
        segments.range(from..).map(|(_, index)| (*index, self.segment(*index)))
    }
}

/// For loading.
impl Messages {
    /// Adds a whole segment behind the others of its lane.
    pub fn add_segment(&mut self, segment: Segment) -> u32 {
        let (key, first) = (segment.lane, segment.first);
        let fresh = (segment.fresh..segment.len()).filter(|slot| !segment.is_gone(*slot)).count() as u64;
        self.heap_bytes += segment.heap_bytes();
        self.live += segment.live as u64;
        self.ready += fresh;
        let index = u32::try_from(self.segments.insert(segment)).expect("fewer than 2^32 segments fit in memory");
        let lane = self.lanes.get_or_add(key.priority);
        if let Some(before) = lane.tail(key.parked) {
            self.segments[before as usize].seal_loaded();
        }
        lane.segments_mut(key.parked).insert(first, index);
        if fresh > 0 {
            lane.fresh.insert(first, index);
            lane.fresh_count += fresh;
        }
        index
    }

    /// Adds a segment that was saved. One without a message can only be the last of its lane.
    pub fn add_loaded_segment(&mut self, segment: Segment) -> Result<(), Corrupt> {
        let tail = self.lanes.get(segment.lane.priority).and_then(|lane| lane.tail(segment.lane.parked));
        if tail.is_some_and(|tail| self.segment(tail).live == 0) {
            return Err(Corrupt("empty segment"));
        }
        self.add_segment(segment);
        Ok(())
    }

    /// The place of a live message that has left the line of never-claimed ones.
    pub fn find(&self, key: LaneKey, id: Id) -> Option<Place> {
        let lane = self.lanes.get(key.priority)?;
        let (_, index) = lane.segments(key.parked).range(..=id.0).next_back()?;
        let segment = self.segment(*index);
        let slot = segment.find(id).filter(|slot| *slot < segment.fresh && !segment.is_gone(*slot))?;
        Some(Place { segment: *index, slot: slot as u16 })
    }

    /// The last id of the lane so far.
    pub fn last_id(&self, key: LaneKey) -> Option<Id> {
        let segment = self.segment(self.lanes.get(key.priority)?.tail(key.parked)?);
        Some(segment.id(segment.len().checked_sub(1)?))
    }

    /// Live messages that are not never-claimed ready ones: each must be in exactly one other state.
    pub fn not_fresh(&self) -> u64 {
        self.live - self.lanes.values().map(|lane| lane.fresh_count).sum::<u64>()
    }

    /// Every segment, by lane and id.
    pub fn all_segments(&self) -> impl Iterator<Item = &Segment> {
        self.lanes
            .values()
            .flat_map(move |lane| lane.line.values().chain(lane.parked.values()).map(move |index| self.segment(*index)))
    }

    /// Sums and indexes that must agree with the segments.
    pub fn check(&self) -> Result<(), String> {
        let (mut live, mut ready, mut bytes, mut count) = (0, 0, 0, 0);
        for (priority, lane) in self.lanes.iter() {
            let mut fresh_count = 0;
            for (kind, segments) in [(false, &lane.line), (true, &lane.parked)] {
                let mut last = None;
                for (first, index) in segments {
                    let segment = self.segment(*index);
                    segment.check()?;
                    let key = LaneKey { priority, parked: kind };
                    if segment.lane != key || segment.first != *first || last.is_some_and(|last| last >= segment.id(0))
                    {
                        return Err(format!("segment {first} is not where it belongs"));
                    }
                    last = Some(segment.id(segment.len() - 1));
                    let fresh = (segment.fresh..segment.len()).filter(|slot| !segment.is_gone(*slot)).count() as u64;
                    if (fresh > 0) != lane.fresh.contains_key(first) && !kind {
                        return Err(format!("segment {first}: {fresh} fresh messages, index says otherwise"));
                    }
                    if segment.live == 0 && lane.tail(kind) != Some(*index) {
                        return Err(format!("segment {first} is empty and still there"));
                    }
                    fresh_count += fresh;
                    live += segment.live as u64;
                    bytes += segment.heap_bytes();
                    count += 1;
                }
            }
            if fresh_count != lane.fresh_count {
                return Err(format!("lane {priority}: fresh_count is wrong"));
            }
            ready += lane.ready();
        }
        if (live, ready, bytes, count) != (self.live, self.ready, self.heap_bytes, self.segments.len()) {
            return Err("messages: sums differ from the segments".into());
        }
        Ok(())
    }
}
