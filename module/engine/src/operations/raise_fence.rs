//! SEQ … FENCE: shuts out every older generator before a new one goes on.

use super::replay_operation;
use crate::codec::{Corrupt, Reader, Writer};
use crate::operation::{Operation, Refusal, Verdict};
use crate::{Moment, Queue, Token};

/// Raises the largest token seen. The output is the next number expected from the producer; 0 if it is unknown.
#[derive(Clone, Debug)]
pub struct RaiseFence<'a> {
    /// Its name, 1…255 bytes.
    pub producer: &'a [u8],
    /// Judged as that of a push.
    pub token: Token,
}

impl Operation for RaiseFence<'_> {
    type Output = u64;
    const TAG: u8 = 12;

    fn judge(&self, queue: &Queue, moment: &Moment) -> Result<Verdict<u64>, Refusal> {
        queue.leadership.judge(self.token, moment)?;
        if self.token > queue.leadership.fence_seen || !queue.known {
            return Ok(Verdict::Go);
        }
        Ok(Verdict::Answered(queue.next_sequence(self.producer)))
    }

    fn apply(&self, queue: &mut Queue) -> u64 {
        queue.leadership.see_fence(self.token);
        queue.next_sequence(self.producer)
    }

    fn changed(_: &u64) -> bool {
        true // what would change nothing was answered when it was judged
    }

    fn encode(&self, out: &mut Writer) {
        out.text(self.producer);
        out.number(self.token.0);
    }
}

pub(super) fn replay(queue: &mut Queue, moment: &Moment, reader: &mut Reader<'_>) -> Result<(), Corrupt> {
    let producer = reader.text()?;
    let token = Token(reader.number()?);
    replay_operation(&RaiseFence { producer, token }, queue, moment);
    Ok(())
}
