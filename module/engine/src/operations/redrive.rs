//! REDRIVE: ERRORED → READY.

use super::replay_operation;
use crate::codec::{Corrupt, Reader, Writer};
use crate::operation::{Operation, Timing};
use crate::{Id, Moment, Queue, Time};

/// Errored messages become ready again, deliveries 0 and without the TTL of their push; not those being drained. The output is how many.
#[derive(Clone, Debug)]
pub enum Redrive<'a> {
    /// At most so many, by id.
    Count(usize),
    /// These.
    Ids(&'a [Id]),
}

impl Operation for Redrive<'_> {
    type Output = u64;
    const TAG: u8 = 10;

    fn timing(&self, _: &Queue, _: Time) -> Timing {
        Timing::Timeless
    }

    fn apply(&self, queue: &mut Queue) -> u64 {
        let count = match self {
            Redrive::Ids(ids) => {
                return ids.iter().map(|id| u64::from(queue.redrive(*id))).sum();
            }
            Redrive::Count(count) => *count,
        };
        let ids: Vec<Id> = queue.errors.all_waiting().take(count).map(|(id, _)| id).collect();
        ids.into_iter().map(|id| u64::from(queue.redrive(id))).sum()
    }

    fn changed(output: &u64) -> bool {
        *output > 0
    }

    fn encode(&self, out: &mut Writer) {
        match self {
            Redrive::Count(count) => {
                out.byte(1);
                out.number(*count as u64);
            }
            Redrive::Ids(ids) => {
                out.byte(2);
                out.numbers(ids.iter().map(|id| id.0));
            }
        }
    }
}

pub(super) fn replay(queue: &mut Queue, moment: &Moment, reader: &mut Reader<'_>) -> Result<(), Corrupt> {
    let ids: Vec<Id>;
    let redrive = match reader.byte()? {
        1 => Redrive::Count(usize::try_from(reader.number()?).unwrap_or(usize::MAX)),
        2 => {
            ids = reader.numbers()?.into_iter().map(Id).collect();
            Redrive::Ids(&ids)
        }
        _ => return Err(Corrupt("unknown kind of redrive")),
    };
    replay_operation(&redrive, queue, moment);
    Ok(())
}
