//! A lane: the messages of one priority, as two lines of segments, and what of them is ready.

use crate::memory::tree_bytes;
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
