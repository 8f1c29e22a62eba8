//! A lane: the messages of one priority, as two lines of segments, and what of them is ready.

use crate::memory::{allocated, tree_bytes};
use crate::table::Table;
use crate::{Id, Priority};
use std::collections::BTreeMap;

/// A line of segments with ascending ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LaneKey {
    pub priority: Priority,
    /// Its messages did not become ready by being pushed (a delay, say), so no cursor walks over them.
    pub parked: bool,
}

/// Where one message lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub(crate) segment: u32,
    pub(crate) slot: u16,
}

/// A ready message that has left the line of never-claimed ones: returned, retried, redriven, or due after a delay.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Returned {
    pub place: Place,
    pub deliveries: u32,
}

/// A message about to be claimed, taken out of the ready ones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    pub id: Id,
    pub place: Place,
    pub deliveries: u32,
}

/// All messages of one priority.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lane {
    /// By first id: the segments whose messages became ready by being pushed.
    pub line: BTreeMap<u64, u32>,
    /// By first id: the others.
    pub parked: BTreeMap<u64, u32>,
    /// Those of `line` that still hold never-claimed messages.
    pub fresh: BTreeMap<u64, u32>,
    /// Never-claimed ready messages.
    pub fresh_count: u64,
    pub returned: Table<Id, Returned>,
}

/// The lanes of a queue, by priority. There are at most 256 and mostly one: a sorted list takes a tenth of a tree's node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lanes(Vec<(Priority, Lane)>);

impl Lanes {
    fn find(&self, priority: Priority) -> Result<usize, usize> {
        self.0.binary_search_by_key(&priority, |(known, _)| *known)
    }

    pub fn get(&self, priority: Priority) -> Option<&Lane> {
        self.find(priority).ok().map(|at| &self.0[at].1)
    }

    pub fn get_mut(&mut self, priority: Priority) -> Option<&mut Lane> {
        self.find(priority).ok().map(|at| &mut self.0[at].1)
    }

    /// The lane of a priority, a new one if there is none.
    pub fn get_or_add(&mut self, priority: Priority) -> &mut Lane {
        let at = self.find(priority).unwrap_or_else(|at| {
            self.0.reserve_exact(1);
            self.0.insert(at, (priority, Lane::default()));
            at
        });
        &mut self.0[at].1
    }

    /// By priority, the lowest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (Priority, &Lane)> {
        self.0.iter().map(|(priority, lane)| (*priority, lane))
    }

    /// By priority, the lowest first.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &Lane> {
        self.0.iter().map(|(_, lane)| lane)
    }

    /// By priority, the lowest first.
    pub fn values_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut Lane> {
        self.0.iter_mut().map(|(_, lane)| lane)
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        allocated(self.0.capacity() * size_of::<(Priority, Lane)>())
            + self.values().map(Lane::heap_bytes).sum::<usize>()
    }
}

impl Lane {
    pub fn segments(&self, parked: bool) -> &BTreeMap<u64, u32> {
        if parked { &self.parked } else { &self.line }
    }

    pub fn segments_mut(&mut self, parked: bool) -> &mut BTreeMap<u64, u32> {
        if parked { &mut self.parked } else { &mut self.line }
    }

    /// Bytes on the heap, without the lane itself.
    pub fn heap_bytes(&self) -> usize {
        let trees = [self.line.len(), self.parked.len(), self.fresh.len()];
        self.returned.heap_bytes() + trees.map(tree_bytes::<u64, u32>).iter().sum::<usize>()
    }

    pub fn ready(&self) -> u64 {
        self.fresh_count + self.returned.len() as u64
    }

    pub fn tail(&self, parked: bool) -> Option<u32> {
        self.segments(parked).last_key_value().map(|(_, segment)| *segment)
    }
}
