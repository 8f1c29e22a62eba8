//! Groups: of the messages that share one, at most one is claimed at a time, in the order of the queue.

use crate::lane::Returned;
use crate::table::Table;
use crate::texts::TextId;
use crate::{Id, Priority};
use std::cmp::Reverse;

/// The order in which messages of a group are claimed: that of the queue.
pub(crate) type Turn = (Reverse<Priority>, Id);

/// The groups of a queue.
#[derive(Clone, Debug, Default)]
pub(crate) struct Groups {
    /// Every ready message of a group.
    ready: Table<(TextId, Turn)>,
    /// The message that keeps the others of its group back: it is claimed, or waits for its retry.
    holders: Table<TextId, Id>,
    /// The ready messages that may not be claimed yet. (The heads of groups stand among the returned messages.)
    pub held: Table<Id, Returned>,
}

impl Groups {
    /// The message of a group that a claim may take.
    pub fn head(&self, group: TextId) -> Option<Turn> {
        if self.holders.contains_key(&group) {
            return None;
        }
        let before_all = (group, (Reverse(Priority(u8::MAX)), Id(0)));
        self.ready.after(Some(&before_all)).next().filter(|((of, _), ())| *of == group).map(|((_, turn), ())| *turn)
    }

    /// A message is ready now, and keeps nobody back.
    pub fn join(&mut self, group: TextId, turn: Turn) {
        self.let_go(group, turn.1);
        self.ready.add((group, turn));
    }

    /// A message is ready no longer.
    pub fn leave(&mut self, group: TextId, turn: Turn) {
        self.ready.remove(&(group, turn));
    }

    /// A message, which is not among the ready ones, keeps the others back.
    pub fn hold(&mut self, group: TextId, id: Id) {
        self.holders.insert(group, id);
    }

    /// It does so no longer, if it did.
    pub fn let_go(&mut self, group: TextId, id: Id) {
        if self.is_held_by(group, id) {
            self.holders.remove(&group);
        }
    }

    /// Whether this message is ready.
    pub fn has_ready(&self, group: TextId, turn: Turn) -> bool {
        self.ready.contains_key(&(group, turn))
    }

    /// Whether any message keeps the others of this group back.
    pub fn is_held(&self, group: TextId) -> bool {
        self.holders.contains_key(&group)
    }

    /// Whether this message keeps the others of its group back.
    pub fn is_held_by(&self, group: TextId, id: Id) -> bool {
        self.holders.get(&group) == Some(&id)
    }

    /// Every ready message of a group.
    pub fn all_ready(&self) -> impl Iterator<Item = (TextId, Turn)> {
        self.ready.keys().copied()
    }

    /// Every group that is held, and by which message.
    pub fn all_holders(&self) -> impl Iterator<Item = (TextId, Id)> {
        self.holders.iter().map(|(group, id)| (*group, *id))
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.ready.heap_bytes() + self.holders.heap_bytes() + self.held.heap_bytes()
    }
}
