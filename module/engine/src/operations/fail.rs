//! FAIL: CLAIMED → ERRORED, or → DELAYED for a retry.

use super::replay_operation;
use crate::claims::Kind;
use crate::codec::{Corrupt, Reader, Writer};
use crate::operation::Operation;
use crate::{Moment, Queue, Receipt, Span};

/// A handler could not process its message.
#[derive(Clone, Debug)]
pub struct Fail<'a> {
    /// Any receipt.
    pub receipt: Receipt,
    /// Try again that much later (0: at once), if a delivery is left and the message lives that long; `None`: to the error
    /// store.
    pub retry: Option<Span>,
    /// Kept in the error store.
    pub reason: &'a [u8],
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// The receipt names no current claim.
    Stale,
    /// Now in the error store.
    Errored,
    /// To be tried again.
    Retried,
}

impl Operation for Fail<'_> {
    type Output = Failed;
    const TAG: u8 = 4;

    fn apply(&self, queue: &mut Queue) -> Failed {
        if !queue.is_current(self.receipt) {
            return Failed::Stale;
        }
        let mut failed = Failed::Errored;
        queue.finish_claim(self.receipt, |queue, claim| match (claim.kind, self.retry) {
            (Kind::Error, _) => queue.errors.stop_draining(queue.messages.id(claim.place)),
            (Kind::Message, Some(retry)) if queue.has_another_delivery(&claim, queue.now.after(retry)) => {
                failed = Failed::Retried;
                queue.totals.retried += 1;
                if retry.0 == 0 {
                    queue.make_ready(claim.place, claim.deliveries);
                } else {
                    queue.retry_later(&claim, queue.now.after(retry));
                }
            }
            (Kind::Message, _) => {
                queue.totals.failed += 1;
                queue.add_failed(&claim, self.reason);
            }
        });
        failed
    }

    fn changed(output: &Failed) -> bool {
        *output != Failed::Stale
    }

    fn encode(&self, out: &mut Writer) {
        out.number(self.receipt.0);
        out.optional(self.retry.map(|retry| retry.0));
        out.text(self.reason);
    }
}

pub(super) fn replay(queue: &mut Queue, moment: &Moment, reader: &mut Reader<'_>) -> Result<(), Corrupt> {
    let receipt = Receipt(reader.number()?);
    let retry = reader.optional()?.map(Span);
    let reason = reader.text()?;
    replay_operation(&Fail { receipt, retry, reason }, queue, moment);
    Ok(())
}
