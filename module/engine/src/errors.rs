//! The error store: errored messages by id.

use crate::faults::{self, Fault};
use crate::lane::Place;
use crate::table::Table;
use crate::texts::{TextId, Texts};
use crate::{Id, Span, Time};

/// One errored message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Errored {
    pub place: Place,
    pub deliveries: u32,
    /// The queue's time at which it entered the store: what `errors-keep` counts from.
    pub entered_at: Time,
    /// The wall clock at that moment: what clients are told.
    pub failed_at: Time,
    /// Who failed it, or held it last.
    pub consumer: TextId,
    pub reason: TextId,
}

/// Errored messages, those being drained apart from those that may be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Errors {
    waiting: Table<Id, Errored>,
    /// Each has a claim of kind error.
    draining: Table<Id, Errored>,
    /// Those of `waiting`, by age.
    by_age: Table<(Time, Id)>,
}

impl Errors {
    pub fn len(&self) -> u64 {
        (self.waiting.len() + self.draining.len()) as u64
    }

    /// How many are being drained.
    pub fn draining(&self) -> u64 {
        self.draining.len() as u64
    }

    pub fn get(&self, id: Id) -> Option<&Errored> {
        self.waiting.get(&id).or_else(|| self.draining.get(&id))
    }

    /// One that nobody is draining.
    pub fn waiting(&self, id: Id) -> Option<&Errored> {
        self.waiting.get(&id)
    }

    /// Adds one that nobody is draining. False, and nothing changed, if the id is here already.
    pub fn insert(&mut self, id: Id, errored: Errored) -> bool {
        let new = self.get(id).is_none();
        if new {
            self.by_age.add((errored.entered_at, id));
            self.waiting.insert(id, errored);
        }
        new
    }

    /// Takes out one that nobody is draining.
    pub fn take(&mut self, id: Id) -> Option<Errored> {
        let errored = self.waiting.remove(&id)?;
        self.by_age.remove(&(errored.entered_at, id));
        Some(errored)
    }

    /// Takes out one that is being drained.
    pub fn take_drained(&mut self, id: Id) -> Option<Errored> {
        self.draining.remove(&id)
    }

    /// By id: every errored message above `after`.
    pub fn after(&self, after: Option<Id>) -> impl Iterator<Item = (Id, &Errored)> {
        let mut waiting = self.waiting.after(after.as_ref()).peekable();
        let mut draining = self.draining.after(after.as_ref()).peekable();
        std::iter::from_fn(move || {
            let first_waits = match (waiting.peek(), draining.peek()) {
                (Some((waiting, _)), Some((draining, _))) => waiting < draining,
                (waiting, _) => waiting.is_some(),
            };
            let next = if first_waits { waiting.next() } else { draining.next() };
            next.map(|(id, errored)| (*id, errored))
        })
    }

    /// By id: those that nobody is draining.
    pub fn all_waiting(&self) -> impl Iterator<Item = (Id, &Errored)> {
        self.waiting.iter().map(|(id, errored)| (*id, errored))
    }

    /// The oldest one that nobody is draining.
    pub fn oldest(&self) -> Option<(Time, Id)> {
        self.by_age.first().map(|(first, ())| *first)
    }

    /// How many that nobody is draining have been here for `keep` at `now`, counted up to `limit`.
    pub fn older(&self, keep: Span, now: Time, limit: usize) -> u64 {
        self.by_age.count_while(limit, |(entered_at, _)| entered_at.after(keep) <= now) as u64
    }

    /// A drain claim begins.
    pub fn start_draining(&mut self, id: Id) {
        if let Some(errored) = self.take(id) {
            self.draining.insert(id, errored);
        }
    }

    /// A drain claim ends without an acknowledgement.
    pub fn stop_draining(&mut self, id: Id) {
        if let Some(errored) = self.draining.remove(&id).filter(|_| !faults::on(Fault::DrainLosesError)) {
            self.insert(id, errored);
        }
    }

    /// Bytes on the heap but for the texts.
    pub fn heap_bytes(&self) -> usize {
        self.waiting.heap_bytes() + self.draining.heap_bytes() + self.by_age.heap_bytes()
    }

    /// The orders must agree.
    pub fn check(&self) -> Result<(), String> {
        let aged = |(id, errored): (&Id, &Errored)| self.by_age.contains_key(&(errored.entered_at, *id));
        if self.waiting.iter().all(aged) && self.waiting.len() == self.by_age.len() {
            Ok(())
        } else {
            Err("the two orders of errors differ".into())
        }
    }
}

impl Errored {
    /// Lets go of what it holds.
    pub fn release(&self, texts: &mut Texts) {
        texts.release(self.consumer);
        texts.release(self.reason);
    }
}
