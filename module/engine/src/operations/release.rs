//! RELEASE: CLAIMED → READY.

use super::{read_receipts, replay_operation};
use crate::claims::Kind;
use crate::codec::{Corrupt, Reader, Writer};
use crate::faults::{self, Fault};
use crate::operation::{Operation, Timing};
use crate::{Moment, Queue, Receipt, Time};

/// Gives messages back unprocessed, this delivery not counted; errors being drained go back unchanged. The output is how
/// many of the receipts named current claims.
#[derive(Clone, Debug)]
pub struct Release<'a> {
    /// Any receipts.
    pub receipts: &'a [Receipt],
}

impl Operation for Release<'_> {
    type Output = u64;
    const TAG: u8 = 6;

    fn timing(&self, _: &Queue, _: Time) -> Timing {
        Timing::Timeless
    }

    fn apply(&self, queue: &mut Queue) -> u64 {
        let mut released = 0;
        for receipt in self.receipts {
            if !queue.is_current(*receipt) {
                continue;
            }
            released += 1;
            queue.finish_claim(*receipt, |queue, claim| match claim.kind {
                Kind::Error => queue.errors.stop_draining(queue.messages.id(claim.place)),
                Kind::Message => {
                    let not_counted = u32::from(!faults::on(Fault::ReleaseCountsDelivery));
                    queue.make_ready(claim.place, claim.deliveries - not_counted);
                    queue.totals.released += 1;
                }
            });
        }
        released
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
    replay_operation(&Release { receipts: &receipts }, queue, moment);
    Ok(())
}
