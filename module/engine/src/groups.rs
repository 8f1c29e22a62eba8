//! Groups: of the messages that share one, at most one is claimed at a time, in the order of the queue.

use crate::messages::Returned;
use crate::texts::TextId;
use crate::{Id, Priority};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// The order in which messages of a group are claimed: that of the queue.
pub(crate) type Turn = (Reverse<Priority>, Id);

/// One group, while a message of it is ready, claimed, or waiting for a retry.
#[derive(Clone, Debug, Default)]
pub(crate) struct Group {
    /// The message that keeps the others back: it is claimed, or waits for its retry.
    pub holder: Option<Id>,
    /// Its ready messages.
    pub ready: BTreeSet<Turn>,
}

impl Group {
    /// The one that a claim may take.
    pub fn head(&self) -> Option<Turn> {
        if self.holder.is_some() { None } else { self.ready.first().copied() }
    }

    /// This message keeps nobody back any more.
    pub fn let_go(&mut self, id: Id) {
        if self.holder == Some(id) {
            self.holder = None;
        }
    }
}

/// The groups of a queue.
#[derive(Clone, Debug, Default)]
pub(crate) struct Groups {
    groups: BTreeMap<TextId, Group>,
    /// The ready messages that may not be claimed yet. (The heads of groups stand among the returned messages.)
    pub held: BTreeMap<Id, Returned>,
}

impl Groups {
    pub fn get(&self, group: TextId) -> Option<&Group> {
        self.groups.get(&group)
    }

    pub fn iter(&self) -> impl Iterator<Item = (TextId, &Group)> {
        self.groups.iter().map(|(text, group)| (*text, group))
    }

    /// Changes a group; its head before and after.
    pub fn change(&mut self, group: TextId, change: impl FnOnce(&mut Group)) -> (Option<Turn>, Option<Turn>) {
        let entry = self.groups.entry(group).or_default();
        let before = entry.head();
        change(entry);
        let after = entry.head();
        if entry.holder.is_none() && entry.ready.is_empty() {
            self.groups.remove(&group);
        }
        (before, after)
    }

    /// Whether this message is ready.
    pub fn has_ready(&self, group: TextId, turn: Turn) -> bool {
        self.groups.get(&group).is_some_and(|group| group.ready.contains(&turn))
    }

    /// Whether this message keeps the others of its group back.
    pub fn is_held_by(&self, group: TextId, id: Id) -> bool {
        self.groups.get(&group).is_some_and(|group| group.holder == Some(id))
    }
}
