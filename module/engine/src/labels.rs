//! What a push may attach to its messages: a key that makes one unique, a group, a last moment. Messages without a label
//! pay nothing for them: a labelled one lies in a parked lane, and only there is a label looked for.

use crate::groups::Groups;
use crate::lane::Place;
use crate::table::Table;
use crate::texts::{TextId, Texts};
use crate::{Id, Span, Time};

/// As a push gives it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Label<'a> {
    /// While a message with this key is not done, a push with it adds nothing. Names one message, 1…255 bytes.
    pub unique: Option<&'a [u8]>,
    /// At most one message of this group is claimed at a time, 1…255 bytes.
    pub group: Option<&'a [u8]>,
    /// A message that is not claimed for so long, once it is ready, goes to the error store. At least 1 ms.
    pub ttl: Option<Span>,
}

impl Label<'_> {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == Label::default()
    }
}

/// As a message has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Labelled {
    pub place: Place,
    pub unique: Option<TextId>,
    pub group: Option<TextId>,
    /// From then on it is not claimed any more.
    pub expires_at: Option<Time>,
}

/// The labels of all messages that have one. A label lives exactly as long as its message.
#[derive(Clone, Debug, Default)]
pub(crate) struct Labels {
    by_id: Table<Id, Labelled>,
    unique: Table<TextId, Id>,
    /// The labelled messages that are ready or delayed and have a last moment, by it.
    expiries: Table<(Time, Id)>,
    /// Labels with a last moment.
    timed: u64,
    pub groups: Groups,
}

impl Labels {
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub fn len(&self) -> u64 {
        self.by_id.len() as u64
    }

    pub fn get(&self, id: Id) -> Option<&Labelled> {
        self.by_id.get(&id)
    }

    /// By id.
    pub fn iter(&self) -> impl Iterator<Item = (Id, &Labelled)> {
        self.by_id.iter().map(|(id, labelled)| (*id, labelled))
    }

    /// The message that has this key.
    pub fn with_key(&self, key: TextId) -> Option<Id> {
        self.unique.get(&key).copied()
    }

    /// Attaches a label to a message that has none. False, and nothing changed, if its key is another's.
    pub fn attach(&mut self, id: Id, labelled: Labelled) -> bool {
        if labelled.unique.is_some_and(|key| self.unique.contains_key(&key)) || self.by_id.contains_key(&id) {
            return false;
        }
        labelled.unique.map(|key| self.unique.insert(key, id));
        self.timed += u64::from(labelled.expires_at.is_some());
        self.by_id.insert(id, labelled);
        true
    }

    /// The message is no more.
    pub fn detach(&mut self, id: Id, texts: &mut Texts) {
        self.stop_expiry(id);
        if let Some(labelled) = self.by_id.remove(&id) {
            self.timed -= u64::from(labelled.expires_at.is_some());
            if let Some(key) = labelled.unique {
                self.unique.remove(&key);
                texts.release(key);
            }
            if let Some(group) = labelled.group {
                texts.release(group);
            }
        }
    }

    /// The message may be kept for as long as it takes from now on.
    pub fn clear_expiry(&mut self, id: Id) {
        self.stop_expiry(id);
        if let Some(labelled) = self.by_id.get_mut(&id) {
            self.timed -= u64::from(labelled.expires_at.take().is_some());
            if labelled.unique.is_none() && labelled.group.is_none() {
                self.by_id.remove(&id);
            }
        }
    }

    /// The message is ready or delayed: its last moment counts.
    pub fn start_expiry(&mut self, id: Id) {
        if let Some(at) = self.by_id.get(&id).and_then(|labelled| labelled.expires_at) {
            self.expiries.add((at, id));
        }
    }

    /// It is neither any more.
    pub fn stop_expiry(&mut self, id: Id) {
        if let Some(at) = self.by_id.get(&id).and_then(|labelled| labelled.expires_at) {
            self.expiries.remove(&(at, id));
        }
    }

    /// Whose last moment comes first.
    pub fn first_expiry(&self) -> Option<(Time, Id)> {
        self.expiries.first().map(|(first, ())| *first)
    }

    /// How many messages have a last moment, in whatever state.
    pub fn timed(&self) -> u64 {
        self.timed
    }

    /// How many last moments have passed at `now`.
    pub fn due(&self, now: Time) -> u64 {
        self.expiries.count_while(usize::MAX, |(at, _)| *at <= now) as u64
    }

    /// Texts that the labels hold.
    pub fn texts(&self) -> u64 {
        let held = |labelled: &Labelled| u64::from(labelled.unique.is_some()) + u64::from(labelled.group.is_some());
        self.by_id.values().map(held).sum()
    }

    /// Bytes on the heap but for the texts.
    pub fn heap_bytes(&self) -> usize {
        self.by_id.heap_bytes() + self.unique.heap_bytes() + self.expiries.heap_bytes() + self.groups.heap_bytes()
    }

    /// The tables must agree.
    pub fn check(&self) -> Result<(), String> {
        let keys = self.by_id.values().filter(|labelled| labelled.unique.is_some()).count();
        let owned = |(key, id): (&TextId, &Id)| self.get(*id).is_some_and(|labelled| labelled.unique == Some(*key));
        let timed = |(at, id): &(Time, Id)| self.get(*id).is_some_and(|labelled| labelled.expires_at == Some(*at));
        let all_timed = self.by_id.values().filter(|labelled| labelled.expires_at.is_some()).count() as u64;
        if all_timed != self.timed
            || keys != self.unique.len()
            || !self.unique.iter().all(owned)
            || !self.expiries.keys().all(timed)
        {
            return Err("labels: the tables differ".into());
        }
        Ok(())
    }

    /// Whether the last moment of this message counts at present.
    pub fn is_timed(&self, id: Id) -> bool {
        self.get(id).and_then(|labelled| labelled.expires_at).is_some_and(|at| self.expiries.contains_key(&(at, id)))
    }
}
