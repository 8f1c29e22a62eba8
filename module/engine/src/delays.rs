//! Delayed messages, by id and by the time at which they become ready.

use crate::lane::Place;
use crate::table::Table;
use crate::{Id, Time};

/// One delayed message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Delayed {
    pub due_at: Time,
    pub place: Place,
    pub deliveries: u32,
}

/// Both orders of the delayed messages.
#[derive(Clone, Debug, Default)]
pub(crate) struct Delays {
    by_id: Table<Id, Delayed>,
    by_due: Table<(Time, Id)>,
}

impl Delays {
    pub fn len(&self) -> u64 {
        self.by_id.len() as u64
    }

    /// False, and nothing changed, if the id is delayed already.
    pub fn insert(&mut self, id: Id, delayed: Delayed) -> bool {
        let new = !self.by_id.contains_key(&id) && self.by_due.add((delayed.due_at, id));
        if new {
            self.by_id.insert(id, delayed);
        }
        new
    }

    pub fn get(&self, id: Id) -> Option<&Delayed> {
        self.by_id.get(&id)
    }

    pub fn remove(&mut self, id: Id) -> Option<Delayed> {
        let delayed = self.by_id.remove(&id)?;
        self.by_due.remove(&(delayed.due_at, id));
        Some(delayed)
    }

    pub fn first_due(&self) -> Option<(Time, Id)> {
        self.by_due.first().map(|(first, ())| *first)
    }

    pub fn pop_first(&mut self) -> Option<(Id, Delayed)> {
        let ((_, id), ()) = self.by_due.pop_first()?;
        self.by_id.remove(&id).map(|delayed| (id, delayed))
    }

    /// How many are due at `now`.
    pub fn due(&self, now: Time) -> u64 {
        self.by_due.count_while(usize::MAX, |(due, _)| *due <= now) as u64
    }

    /// By id: every delayed message above `after`.
    pub fn after(&self, after: Option<Id>) -> impl Iterator<Item = (Id, &Delayed)> {
        self.by_id.after(after.as_ref()).map(|(id, delayed)| (*id, delayed))
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.by_id.heap_bytes() + self.by_due.heap_bytes()
    }

    /// The two orders must agree.
    pub fn check(&self) -> Result<(), String> {
        let agree = self.by_id.iter().all(|(id, delayed)| self.by_due.contains_key(&(delayed.due_at, *id)));
        if agree && self.by_id.len() == self.by_due.len() {
            Ok(())
        } else {
            Err("the two orders of delays differ".into())
        }
    }
}
