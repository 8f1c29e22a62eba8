//! The error store: errored messages by id.

use crate::messages::Place;
use crate::texts::{TextId, Texts};
use crate::{Id, Time};
use std::collections::BTreeMap;

/// One errored message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Errored {
    pub place: Place,
    pub deliveries: u32,
    pub failed_at: Time,
    /// Who failed it, or held it last.
    pub consumer: TextId,
    pub reason: TextId,
}

/// Errored messages, those being drained apart from those that may be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Errors {
    pub waiting: BTreeMap<Id, Errored>,
    /// Each has a claim of kind error.
    pub draining: BTreeMap<Id, Errored>,
}

impl Errors {
    pub fn len(&self) -> u64 {
        (self.waiting.len() + self.draining.len()) as u64
    }

    /// By id: every errored message above `after`.
    pub fn after(&self, after: Option<Id>) -> impl Iterator<Item = (Id, &Errored)> {
        let from = after.map_or(Id(0), |after| Id(after.0.saturating_add(1)));
        let mut waiting = self.waiting.range(from..).peekable();
        let mut draining = self.draining.range(from..).peekable();
        std::iter::from_fn(move || {
            let first_waits = match (waiting.peek(), draining.peek()) {
                (Some((waiting, _)), Some((draining, _))) => waiting < draining,
                (waiting, _) => waiting.is_some(),
            };
            let next = if first_waits { waiting.next() } else { draining.next() };
            next.map(|(id, errored)| (*id, errored))
        })
    }

    /// The smallest one that nobody is draining.
    pub fn first_waiting(&self) -> Option<(Id, Errored)> {
        self.waiting.first_key_value().map(|(id, errored)| (*id, *errored))
    }

    /// A drain claim begins.
    pub fn start_draining(&mut self, id: Id) {
        if let Some(errored) = self.waiting.remove(&id) {
            self.draining.insert(id, errored);
        }
    }

    /// A drain claim ends without an acknowledgement.
    pub fn stop_draining(&mut self, id: Id) {
        if let Some(errored) = self.draining.remove(&id) {
            self.waiting.insert(id, errored);
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
