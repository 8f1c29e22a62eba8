//! EXTEND: a new deadline for current claims.

use super::{read_receipts, replay_operation};
use crate::codec::{Corrupt, Reader, Writer};
use crate::operation::Operation;
use crate::{Moment, Queue, Receipt, Span};

/// New deadline = now + `lease`; 0 ends the claim now, as its lease would. The output is how many of the receipts named
/// current claims.
#[derive(Clone, Debug)]
pub struct Extend<'a> {
    /// From now on.
    pub lease: Span,
    /// Any receipts.
    pub receipts: &'a [Receipt],
}

impl Operation for Extend<'_> {
    type Output = u64;
    const TAG: u8 = 5;

    fn apply(&self, queue: &mut Queue) -> u64 {
        let mut extended = 0;
        for receipt in self.receipts {
            if !queue.is_current(*receipt) {
                continue;
            }
            extended += 1;
            if self.lease.0 == 0 {
                queue.end_claim(*receipt);
            } else {
                queue.claims.set_deadline(*receipt, queue.now.after(self.lease));
            }
        }
        extended
    }

    fn changed(output: &u64) -> bool {
        *output > 0
    }

    fn encode(&self, out: &mut Writer) {
        out.number(self.lease.0);
        out.numbers(self.receipts.iter().map(|receipt| receipt.0));
    }
}

pub(super) fn replay(queue: &mut Queue, moment: &Moment, reader: &mut Reader<'_>) -> Result<(), Corrupt> {
    let lease = Span(reader.number()?);
    let receipts = read_receipts(reader)?;
    replay_operation(&Extend { lease, receipts: &receipts }, queue, moment);
    Ok(())
}
