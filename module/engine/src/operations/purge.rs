//! PURGE: all of READY, DELAYED or ERRORED → gone, a slice at a time.

use super::replay_operation;
use crate::codec::{Corrupt, Reader, Writer};
use crate::operation::{Operation, Timing};
use crate::{Id, Moment, Queue, Time};

/// Deletes messages of one state, at most `count`. The output is how many; fewer than `count`: the state is empty now.
#[derive(Clone, Copy, Debug)]
pub struct Purge {
    /// Of which state.
    pub state: Purged,
    /// At most so many.
    pub count: usize,
}

/// A state that can be purged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purged {
    /// In the order in which they would be claimed, then those that wait for another message of their group, by id.
    Ready,
    /// By due time, then id.
    Delayed,
    /// By id, but for those being drained.
    Errors,
}

impl Purge {
    fn purge_one(self, queue: &mut Queue) -> bool {
        match self.state {
            Purged::Ready => {
                let place = queue.messages.first_ready().map(|(_, place)| place);
                let held = || queue.labels.groups.held.first().map(|(_, returned)| returned.place);
                let Some(place) = place.or_else(held) else { return false };
                queue.take_out(place);
                queue.forget(place);
                true
            }
            Purged::Delayed => {
                let Some((_, id)) = queue.delays.first_due() else { return false };
                let Some(place) = queue.delays.get(id).map(|delayed| delayed.place) else { return false };
                queue.take_out(place);
                queue.forget(place);
                true
            }
            Purged::Errors => {
                let first: Option<Id> = queue.errors.all_waiting().next().map(|(id, _)| id);
                let errored = first.and_then(|id| queue.errors.take(id));
                queue.drop_error(errored)
            }
        }
    }
}

impl Operation for Purge {
    type Output = u64;
    const TAG: u8 = 15;

    fn timing(&self, _: &Queue, _: Time) -> Timing {
        Timing::Timeless
    }

    fn apply(&self, queue: &mut Queue) -> u64 {
        let removed = (0..self.count).take_while(|_| self.purge_one(queue)).count() as u64;
        queue.totals.removed += removed;
        removed
    }

    fn changed(output: &u64) -> bool {
        *output > 0
    }

    fn encode(&self, out: &mut Writer) {
        out.byte(match self.state {
            Purged::Ready => 0,
            Purged::Delayed => 1,
            Purged::Errors => 2,
        });
        out.number(self.count as u64);
    }
}

pub(super) fn replay(queue: &mut Queue, moment: &Moment, reader: &mut Reader<'_>) -> Result<(), Corrupt> {
    let state = match reader.byte()? {
        0 => Purged::Ready,
        1 => Purged::Delayed,
        2 => Purged::Errors,
        _ => return Err(Corrupt("purge of an unknown state")),
    };
    let count = usize::try_from(reader.number()?).unwrap_or(usize::MAX);
    replay_operation(&Purge { state, count }, queue, moment);
    Ok(())
}
