//! REMOVE: READY, DELAYED or ERRORED → gone.

use super::replay_operation;
use crate::codec::{Corrupt, Reader, Writer};
use crate::operation::{Operation, Timing};
use crate::{Id, Moment, Queue, Time};

/// Deletes messages by id, unless they are claimed or being drained. The output is how many.
#[derive(Clone, Debug)]
pub struct Remove<'a> {
    /// Any ids.
    pub ids: &'a [Id],
}

impl Queue {
    /// Whether the message was in a state in which it may be deleted.
    fn delete(&mut self, id: Id) -> bool {
        let Some(place) = self.messages.find_anywhere(id) else { return false };
        if self.take_out(place).is_some() {
            self.forget(place);
            return true;
        }
        let errored = self.errors.take(id);
        self.drop_error(errored)
    }
}

impl Operation for Remove<'_> {
    type Output = u64;
    const TAG: u8 = 14;

    fn timing(&self, _: &Queue, _: Time) -> Timing {
        Timing::Timeless
    }

    fn apply(&self, queue: &mut Queue) -> u64 {
        let removed = self.ids.iter().map(|id| u64::from(queue.delete(*id))).sum();
        queue.totals.removed += removed;
        removed
    }

    fn changed(output: &u64) -> bool {
        *output > 0
    }

    fn encode(&self, out: &mut Writer) {
        out.numbers(self.ids.iter().map(|id| id.0));
    }
}

pub(super) fn replay(queue: &mut Queue, moment: &Moment, reader: &mut Reader<'_>) -> Result<(), Corrupt> {
    let ids: Vec<Id> = reader.numbers()?.into_iter().map(Id).collect();
    replay_operation(&Remove { ids: &ids }, queue, moment);
    Ok(())
}
