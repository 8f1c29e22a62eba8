//! A connection has closed: its claims and its leadership end.

use super::replay_operation;
use crate::codec::{Corrupt, Reader, Writer};
use crate::operation::Operation;
use crate::queue::DUE_PER_STEP;
use crate::{Moment, Queue, SessionId};

/// Ends everything held with SESSION by one connection, as leases that end now. The messages go back as due work, the
/// first [`DUE_PER_STEP`] of it in this step. The output is how many claims and leaderships that were.
#[derive(Clone, Debug)]
pub struct EndSession {
    /// The connection.
    pub session: SessionId,
}

impl Operation for EndSession {
    type Output = u64;
    const TAG: u8 = 13;

    fn apply(&self, queue: &mut Queue) -> u64 {
        let ended = queue.end_session(self.session);
        if ended > 0 {
            queue.take_back(DUE_PER_STEP);
        }
        ended
    }

    fn changed(output: &u64) -> bool {
        *output > 0
    }

    fn encode(&self, out: &mut Writer) {
        out.number(self.session.0);
    }
}

pub(super) fn replay(queue: &mut Queue, moment: &Moment, reader: &mut Reader<'_>) -> Result<(), Corrupt> {
    let session = SessionId(reader.number()?);
    replay_operation(&EndSession { session }, queue, moment, reader)
}
