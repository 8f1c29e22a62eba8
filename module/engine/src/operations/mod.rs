//! Every way of changing a queue, one file each: its arguments, when it is refused, what it does, how it is recorded.
//!
//! To add one: a file here, a line in `apply_encoded`, a row in the model test.

mod ack;
mod claim;
mod configure;
mod drain_errors;
mod end_session;
mod extend;
mod fail;
mod lead;
mod purge;
mod push;
mod raise_fence;
mod redrive;
mod release;
mod remove;
mod settle;

pub use ack::Ack;
pub use claim::{Claim, Claimed, Delivery};
pub use configure::Configure;
pub(crate) use drain_errors::DRAINER;
pub use drain_errors::{DrainErrors, Drained};
pub use end_session::EndSession;
pub use extend::Extend;
pub use fail::{Fail, Failed};
pub use lead::{Lead, Led, Resign};
pub use purge::{Purge, Purged};
pub use push::{Push, Pushed, Sequence};
pub use raise_fence::RaiseFence;
pub use redrive::Redrive;
pub use release::Release;
pub use remove::Remove;
pub use settle::Settle;

use crate::codec::{Corrupt, Reader};
use crate::operation::NO_OPERATION;
use crate::{Moment, Operation, Queue, Receipt};

/// Replays a recorded operation. The queue is unchanged if the bytes do not begin with one.
pub(crate) fn apply_encoded(
    queue: &mut Queue,
    moment: &Moment,
    tag: u8,
    reader: &mut Reader<'_>,
) -> Result<(), Corrupt> {
    let replay = match tag {
        NO_OPERATION => settle::replay,
        Push::TAG => push::replay,
        Claim::TAG => claim::replay,
        Ack::TAG => ack::replay,
        Fail::TAG => fail::replay,
        Extend::TAG => extend::replay,
        Release::TAG => release::replay,
        Lead::TAG => lead::replay_lead,
        Resign::TAG => lead::replay_resign,
        DrainErrors::TAG => drain_errors::replay,
        Redrive::TAG => redrive::replay,
        Configure::TAG => configure::replay,
        RaiseFence::TAG => raise_fence::replay,
        EndSession::TAG => end_session::replay,
        Remove::TAG => remove::replay,
        Purge::TAG => purge::replay,
        _ => return Err(Corrupt("unknown operation")),
    };
    replay(queue, moment, reader)
}

/// The common end of every `replay`: the operation is read, now the queue may change.
fn replay_operation<O: Operation>(operation: &O, queue: &mut Queue, moment: &Moment) {
    queue.begin(moment);
    operation.apply(queue);
}

fn read_receipts(reader: &mut Reader<'_>) -> Result<Vec<Receipt>, Corrupt> {
    Ok(reader.numbers()?.into_iter().map(Receipt).collect())
}
