//! ACK: CLAIMED → done.

use super::{read_receipts, replay_operation};
use crate::codec::{Corrupt, Reader, Writer};
use crate::operation::{Operation, Timing};
use crate::{Moment, Queue, Receipt, Time};

/// Completes claims. The output is how many of the receipts named current ones; the others complete nothing.
#[derive(Clone, Debug)]
pub struct Ack<'a> {
    /// Any receipts.
    pub receipts: &'a [Receipt],
}

impl Operation for Ack<'_> {
    type Output = u64;
    const TAG: u8 = 3;

    /// Ended claims are taken back first, at a moment that is recorded; what is left depends on the state alone.
    fn timing(&self, _: &Queue, _: Time) -> Timing {
        Timing::Timeless
    }

    fn apply(&self, queue: &mut Queue) -> u64 {
        queue.complete(self.receipts)
    }

    fn changed(output: &u64) -> bool {
        *output > 0
    }

    fn encode(&self, out: &mut Writer) {
        out.numbers(self.receipts.iter().map(|receipt| receipt.0));
    }
}

pub(super) fn replay(queue: &mut Queue, moment: &Moment, reader: &mut Reader<'_>) -> Result<(), Corrupt> {
    let receipts = read_receipts(reader)?;
    replay_operation(&Ack { receipts: &receipts }, queue, moment);
    Ok(())
}
