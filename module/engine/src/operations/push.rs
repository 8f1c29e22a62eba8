//! PUSH: (nothing) → READY, or → DELAYED.

use super::replay_operation;
use crate::codec::{Corrupt, Reader, Writer};
use crate::operation::{Operation, Refusal, Timing, Verdict};
use crate::producers::Standing;
use crate::{Id, Moment, Priority, Queue, Span, Time, Token};

/// Adds messages, all or none.
#[derive(Clone, Debug)]
pub struct Push<'a> {
    /// Ready that much later; `None` or 0: at once.
    pub delay: Option<Span>,
    /// The priority of all of them.
    pub priority: Priority,
    /// Accepted only under this token.
    pub fence: Option<Token>,
    /// Their numbers in a producer's sequence.
    pub sequence: Option<Sequence<'a>>,
    /// At least one.
    pub payloads: &'a [&'a [u8]],
}

/// The payloads are numbers `first`, `first + 1`, … of this producer.
#[derive(Clone, Copy, Debug)]
pub struct Sequence<'a> {
    /// Its name, 1…255 bytes.
    pub producer: &'a [u8],
    /// Below 2^53.
    pub first: u64,
}

/// An accepted push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The id of the first message; the others follow. `None`: a repeated push that was not its producer's last.
    pub first: Option<Id>,
    /// Seen before and not added again.
    pub duplicate: bool,
}

impl Push<'_> {
    fn delayed(&self) -> bool {
        self.delay.is_some_and(|delay| delay.0 > 0)
    }

    fn judge_fence(&self, queue: &Queue, moment: &Moment) -> Result<(), Refusal> {
        match self.fence {
            Some(token) => queue.leadership.judge(token, moment),
            None if queue.settings.leader_only => Err(Refusal::Fenced),
            None => Ok(()),
        }
    }

    fn judge_sequence(&self, queue: &Queue) -> Result<Verdict<Pushed>, Refusal> {
        let Some(Sequence { producer, first }) = self.sequence else {
            return Ok(Verdict::Go);
        };
        match queue.producers.standing(producer, first, self.payloads.len() as u64) {
            Standing::Next if queue.producers.has_room(producer) => Ok(Verdict::Go),
            Standing::Next => Err(Refusal::ProducersFull),
            Standing::Seen(first) => Ok(Verdict::Answered(Pushed { first, duplicate: true })),
            Standing::OutOfOrder(expected) => Err(Refusal::OutOfOrder { expected }),
        }
    }

    fn judge_length(&self, queue: &Queue, moment: &Moment) -> Result<(), Refusal> {
        let count = self.payloads.len() as u64;
        let max_length = queue.settings.max_length;
        if max_length > 0 && queue.messages.live().saturating_add(count) > max_length {
            return Err(Refusal::QueueFull { max_length });
        }
        let mut stamps = queue.stamps;
        moment.term.into_iter().for_each(|term| stamps.start_term(term));
        if stamps.has_room(self.payloads.len()) { Ok(()) } else { Err(Refusal::NumbersExhausted) }
    }
}

impl Operation for Push<'_> {
    type Output = Pushed;
    const TAG: u8 = 1;

    fn judge(&self, queue: &Queue, moment: &Moment) -> Result<Verdict<Pushed>, Refusal> {
        self.judge_fence(queue, moment)?;
        let verdict = self.judge_sequence(queue)?;
        if verdict == Verdict::Go {
            self.judge_length(queue, moment)?;
        }
        Ok(verdict)
    }

    /// Only a delay, and the opening of a segment, which carries its time, depend on the moment.
    fn timing(&self, queue: &Queue, now: Time) -> Timing {
        let lane = Queue::lane(self.priority, self.delayed());
        let fits = queue.messages.has_room(lane, Id(queue.stamps.next_id), self.payloads, now);
        if fits && !self.delayed() { Timing::Timeless } else { Timing::Timed }
    }

    fn apply(&self, queue: &mut Queue) -> Pushed {
        let lane = Queue::lane(self.priority, self.delayed());
        let first = queue.stamps.ids(self.payloads.len());
        queue.messages.append(lane, first, self.payloads, queue.now);
        if let Some(delay) = self.delay.filter(|_| lane.parked) {
            let due_at = queue.now.after(delay);
            (0..self.payloads.len() as u64).for_each(|offset| queue.add_delay(lane, Id(first.0 + offset), due_at));
        }
        if let Some(Sequence { producer, first: number }) = self.sequence {
            let count = self.payloads.len() as u64;
            queue.producers.advance(producer, number, count, first, self.fence.is_some());
        }
        if let Some(token) = self.fence {
            queue.leadership.see_fence(token);
        }
        queue.totals.pushed += self.payloads.len() as u64;
        Pushed { first: Some(first), duplicate: false }
    }

    fn changed(output: &Pushed) -> bool {
        !output.duplicate
    }

    fn encode(&self, out: &mut Writer) {
        out.optional(self.delay.map(|delay| delay.0));
        out.byte(self.priority.0);
        out.optional(self.fence.map(|token| token.0));
        out.optional(self.sequence.map(|sequence| sequence.first));
        if let Some(sequence) = self.sequence {
            out.text(sequence.producer);
        }
        out.number(self.payloads.len() as u64);
        self.payloads.iter().for_each(|payload| out.text(payload));
    }
}

pub(super) fn replay(queue: &mut Queue, moment: &Moment, reader: &mut Reader<'_>) -> Result<(), Corrupt> {
    let delay = reader.optional()?.map(Span);
    let priority = Priority(reader.byte()?);
    let fence = reader.optional()?.map(Token);
    let sequence = match reader.optional()? {
        Some(first) => Some(Sequence { first, producer: reader.text()? }),
        None => None,
    };
    let mut payloads = Vec::new();
    for _ in 0..reader.number()? {
        payloads.push(reader.text()?);
    }
    if payloads.is_empty() {
        return Err(Corrupt("push of nothing"));
    }
    let push = Push { delay, priority, fence, sequence, payloads: &payloads };
    replay_operation(&push, queue, moment, reader)
}
