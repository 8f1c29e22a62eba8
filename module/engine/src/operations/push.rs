//! PUSH: (nothing) → READY, or → DELAYED.

use super::replay_operation;
use crate::codec::{Corrupt, Reader, Writer};
use crate::faults::{self, Fault};
use crate::numbers::NUMBER_LIMIT;
use crate::operation::{Operation, Refusal, Timing, Verdict};
use crate::producers::Standing;
use crate::{Id, Label, Moment, Priority, Queue, Span, Time, Token};

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
    /// What is attached to each of them. A unique key is for one payload only, and not beside a sequence.
    pub label: Label<'a>,
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
    /// The id of the first message; the others follow. Of a repeated push, the id given then, or that of the message that
    /// has the unique key; `None`: a repeated push that was not its producer's last.
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
        if first.saturating_add(self.payloads.len() as u64) >= NUMBER_LIMIT {
            return Err(Refusal::SequenceExhausted);
        }
        match queue.producers.standing(producer, first, self.payloads.len() as u64) {
            Standing::Next if queue.producers.has_room(producer) => Ok(Verdict::Go),
            Standing::Next => Err(Refusal::ProducersFull),
            Standing::Seen(first) => Ok(Verdict::Answered(Pushed { first, duplicate: true })),
            Standing::OutOfOrder(expected) => Err(Refusal::OutOfOrder { expected }),
        }
    }

    /// Whose messages go to a parked lane: no cursor walks over them, and their labels are looked for.
    fn is_parked(&self) -> bool {
        self.delayed() || !self.label.is_empty()
    }

    /// The message that has this push's unique key and is not done.
    fn judge_unique(&self, queue: &Queue, moment: &Moment) -> Verdict<Pushed> {
        let known = self.label.unique.and_then(|key| queue.texts.find(key)).and_then(|key| queue.labels.with_key(key));
        match known.filter(|id| !queue.is_old_error(*id, moment)) {
            Some(id) => Verdict::Answered(Pushed { first: Some(id), duplicate: true }),
            None => Verdict::Go,
        }
    }

    fn judge_length(&self, queue: &Queue, moment: &Moment) -> Result<(), Refusal> {
        let count = self.payloads.len() as u64;
        let max_length = queue.settings.max_length;
        let over = queue
            .messages
            .live()
            .saturating_add(count)
            .saturating_sub(max_length + u64::from(faults::on(Fault::LengthOffByOne)));
        if max_length > 0 && over > 0 {
            let limit = usize::try_from(over).unwrap_or(usize::MAX);
            if queue.old_errors(moment, limit) < over {
                return Err(Refusal::QueueFull { max_length });
            }
        }
        if queue.stamps.at(moment).has_room(self.payloads.len()) { Ok(()) } else { Err(Refusal::NumbersExhausted) }
    }
}

impl Operation for Push<'_> {
    type Output = Pushed;
    const TAG: u8 = 1;

    fn judge(&self, queue: &Queue, moment: &Moment) -> Result<Verdict<Pushed>, Refusal> {
        self.judge_fence(queue, moment)?;
        for verdict in [self.judge_sequence(queue)?, self.judge_unique(queue, moment)] {
            if verdict != Verdict::Go {
                return Ok(verdict);
            }
        }
        self.judge_length(queue, moment)?;
        Ok(Verdict::Go)
    }

    /// Only a delay, a TTL, and the opening of a segment, which carries its time, depend on the moment.
    fn timing(&self, queue: &Queue, now: Time) -> Timing {
        let lane = Queue::lane(self.priority, self.is_parked());
        let fits = queue.messages.has_room(lane, Id(queue.stamps.next_id), self.payloads, now);
        if fits && !self.delayed() && self.label.ttl.is_none() { Timing::Timeless } else { Timing::Timed }
    }

    fn apply(&self, queue: &mut Queue) -> Pushed {
        let lane = Queue::lane(self.priority, self.is_parked());
        if let Some(old) =
            self.label.unique.and_then(|key| queue.texts.find(key)).and_then(|key| queue.labels.with_key(key))
        {
            queue.drop_old_error(old); // what was judged as if it were done is done now
        }
        let first = queue.stamps.ids(self.payloads.len());
        queue.messages.append(lane, first, self.payloads, queue.now);
        if lane.parked {
            let due_at = self.delay.filter(|_| self.delayed()).map(|delay| queue.now.after(delay));
            for offset in 0..self.payloads.len() as u64 {
                queue.settle_in(lane, Id(first.0 + offset), due_at, &self.label);
            }
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
        for text in [self.label.unique, self.label.group] {
            out.text(text.unwrap_or_default());
        }
        out.number(self.label.ttl.map_or(0, |ttl| ttl.0));
        out.payloads(self.payloads);
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
    let (unique, group) = (read_label(reader)?, read_label(reader)?);
    let ttl = Some(Span(reader.number()?)).filter(|ttl| ttl.0 > 0);
    let label = Label { unique, group, ttl };
    let payloads = reader.payloads()?;
    if payloads.is_empty() || (unique.is_some() && payloads.len() > 1) {
        return Err(Corrupt("push of nothing, or of one key for several messages"));
    }
    let push = Push { delay, priority, fence, sequence, label, payloads: &payloads };
    if push.judge_unique(queue, moment) != Verdict::Go {
        return Err(Corrupt("push with a unique key that is another message's"));
    }
    replay_operation(&push, queue, moment);
    Ok(())
}

/// A name of a label is never empty.
fn read_label<'a>(reader: &mut Reader<'a>) -> Result<Option<&'a [u8]>, Corrupt> {
    Ok(Some(reader.text()?).filter(|text| !text.is_empty()))
}
