//! Delayed messages, by id and by the time at which they become ready.

use crate::messages::Place;
use crate::{Id, Time};
use std::collections::{BTreeMap, BTreeSet};

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
    by_id: BTreeMap<Id, Delayed>,
    by_due: BTreeSet<(Time, Id)>,
}

impl Delays {
    pub fn len(&self) -> u64 {
        self.by_id.len() as u64
    }

    /// False, and nothing changed, if the id is delayed already.
    pub fn insert(&mut self, id: Id, delayed: Delayed) -> bool {
        let new = !self.by_id.contains_key(&id) && self.by_due.insert((delayed.due_at, id));
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
        self.by_due.first().copied()
    }

    pub fn pop_first(&mut self) -> Option<(Id, Delayed)> {
        let (_, id) = self.by_due.pop_first()?;
        self.by_id.remove(&id).map(|delayed| (id, delayed))
    }

    /// How many are due at `now`.
    pub fn due(&self, now: Time) -> u64 {
        self.by_due.range(..(now.after(crate::Span(1)), Id(0))).count() as u64
    }

    /// By id: every delayed message above `after`.
    pub fn after(&self, after: Option<Id>) -> impl Iterator<Item = (Id, &Delayed)> {
        let from = after.map_or(Id(0), |after| Id(after.0.saturating_add(1)));
        self.by_id.range(from..).map(|(id, delayed)| (*id, delayed))
    }

    /// The two orders must agree.
    pub fn check(&self) -> Result<(), String> {
        let agree = self.by_id.iter().all(|(id, delayed)| self.by_due.contains(&(delayed.due_at, *id)));
        if agree && self.by_id.len() == self.by_due.len() {
            Ok(())
        } else {
            Err("the two orders of delays differ".into())
        }
    }
}
