//! A connection has closed: its claims and its leadership end.

use super::replay_operation;
use crate::codec::{Corrupt, Reader, Writer};
use crate::operation::Operation;
use crate::{Moment, Queue, SessionId};

/// Ends what one connection holds with SESSION, as leases that end now: its leadership, and as many of its claims as the step
/// may do pieces of due work. The output is how many claims and leaderships that were; as long as it is not 0, the operation
/// is to be done again.
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
            queue.take_back(); // what comes back may have expired meanwhile
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
    replay_operation(&EndSession { session }, queue, moment);
    Ok(())
}
