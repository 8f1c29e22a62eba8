//! Nothing but the due work, and the start of a term if it is one.

use super::replay_operation;
use crate::codec::{Corrupt, Reader, Writer};
use crate::operation::{NO_OPERATION, Operation};
use crate::{Moment, Queue};

/// The timer's step.
#[derive(Clone, Debug)]
pub struct Settle;

impl Operation for Settle {
    type Output = ();
    const TAG: u8 = NO_OPERATION;

    fn apply(&self, _: &mut Queue) {}

    fn changed((): &()) -> bool {
        false
    }

    fn encode(&self, _: &mut Writer) {}
}

pub(super) fn replay(queue: &mut Queue, moment: &Moment, _: &mut Reader<'_>) -> Result<(), Corrupt> {
    replay_operation(&Settle, queue, moment);
    Ok(())
}
