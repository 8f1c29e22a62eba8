//! The producers that number their messages.

use crate::Id;
use crate::faults::{self, Fault};
use crate::memory::allocated;
use crate::table::Table;
use std::sync::Arc;

/// Producers remembered in one queue: bounds the memory that names sent by clients can take (about 1.5 MB of tables).
pub(crate) const PRODUCERS: usize = 10_000;

/// The two counts before the bytes of a shared text.
const ARC: usize = 16;

/// What is known of one producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Producer {
    /// The number expected next.
    pub next: u64,
    /// Its last push: the number of its first message, and the id given to that one. It ended at `next`.
    pub last_first: u64,
    pub last_id: Id,
    /// Whether the last push carried a token: then it is never forgotten.
    pub fenced: bool,
    /// When it advanced last, counted in advances of this queue.
    pub advanced: u64,
}

/// How a push stands to what is known of its producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Continues the sequence, or starts one.
    Next,
    /// Seen before; the id given then, if it was the last push.
    Seen(Option<Id>),
    /// Neither; the number expected.
    OutOfOrder(u64),
}

/// The producers of one queue, the one that advanced longest ago being forgotten first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Producers {
    by_name: Table<Arc<[u8]>, Producer>,
    /// By `advanced`: those that may be forgotten.
    unfenced: Table<u64, Arc<[u8]>>,
    /// Advances so far.
    pub advances: u64,
    bytes: usize,
}

impl Producers {
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    pub fn get(&self, name: &[u8]) -> Option<&Producer> {
        self.by_name.get(name)
    }

    /// By name.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &Producer)> {
        self.by_name.iter().map(|(name, producer)| (&**name, producer))
    }

    /// How messages numbered `first`, `first + 1`, … stand.
    pub fn standing(&self, name: &[u8], first: u64, count: u64) -> Standing {
        match self.get(name) {
            Some(_) if faults::on(Fault::SequenceRepeats) => Standing::Next,
            Some(known) if first == known.next => Standing::Next,
            Some(known) if first.saturating_add(count) <= known.next => {
                let last = first == known.last_first && first + count == known.next;
                Standing::Seen(last.then_some(known.last_id))
            }
            Some(known) => Standing::OutOfOrder(known.next),
            None => Standing::Next,
        }
    }

    /// Whether a producer of this name can be remembered.
    pub fn has_room(&self, name: &[u8]) -> bool {
        self.len() < PRODUCERS || !self.unfenced.is_empty() || self.by_name.contains_key(name)
    }

    /// Notes an accepted push of `count` messages from number `first` on, the first with this id.
    pub fn advance(&mut self, name: &[u8], first: u64, count: u64, id: Id, fenced: bool) {
        self.advances += 1;
        let producer =
            Producer { next: first + count, last_first: first, last_id: id, fenced, advanced: self.advances };
        self.insert(name, producer);
    }

    /// Sets what is known of a producer, forgetting the oldest if there are too many.
    pub fn insert(&mut self, name: &[u8], producer: Producer) {
        let shared = match self.by_name.get_key_value(name) {
            Some((shared, before)) => {
                if !before.fenced {
                    self.unfenced.remove(&before.advanced);
                }
                Arc::clone(shared)
            }
            None => {
                self.forget_one();
                self.bytes += allocated(ARC + name.len());
                name.into()
            }
        };
        if !producer.fenced {
            self.unfenced.insert(producer.advanced, Arc::clone(&shared));
        }
        self.by_name.insert(shared, producer);
    }

    /// For loading: a producer that is not known yet. False, and nothing changed, if another advanced at the same time.
    pub fn insert_loaded(&mut self, name: &[u8], producer: Producer) -> bool {
        let free = producer.fenced || !self.unfenced.contains_key(&producer.advanced);
        if free {
            self.insert(name, producer);
        }
        free
    }

    fn forget_one(&mut self) {
        if self.len() >= PRODUCERS
            && let Some((_, name)) = self.unfenced.pop_first()
        {
            self.by_name.remove(&name);
            self.bytes -= allocated(ARC + name.len());
        }
    }

    /// The last name.
    pub fn last_name(&self) -> Option<&[u8]> {
        self.by_name.last().map(|(name, _)| &**name)
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.bytes + self.by_name.heap_bytes() + self.unfenced.heap_bytes()
    }

    /// The two tables must agree.
    pub fn check(&self) -> Result<(), String> {
        let unfenced = || self.by_name.iter().filter(|(_, producer)| !producer.fenced);
        let agree = unfenced().all(|(name, producer)| self.unfenced.get(&producer.advanced) == Some(name));
        let bounded =
            self.len() <= PRODUCERS && self.by_name.values().all(|producer| producer.advanced <= self.advances);
        if agree && bounded && unfenced().count() == self.unfenced.len() {
            Ok(())
        } else {
            Err("producers: tables differ".into())
        }
    }
}
