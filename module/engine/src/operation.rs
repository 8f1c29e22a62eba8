//! What every change of a queue has in common: judged, then applied, then recorded for the copies.

use crate::codec::{Corrupt, Reader, Writer};
use crate::faults::{self, Fault};
use crate::numbers::NUMBER_LIMIT;
use crate::operations::apply_encoded;
use crate::{DUE_PER_STEP, Moment, Queue, Settings, Span, TermStart, Time};

/// One way of changing a queue. The files of [`crate::operations`] hold one each.
pub trait Operation {
    /// What the caller is told.
    type Output;

    /// Names the operation in a recorded effect. Never reused for another.
    const TAG: u8;

    /// Decides, before anything is changed, whether the operation may be done at this moment, as if the due work were done.
    ///
    /// # Errors
    /// A refusal changes nothing: no due work, no new term.
    fn judge(&self, queue: &Queue, moment: &Moment) -> Result<Verdict<Self::Output>, Refusal> {
        let _ = (queue, moment);
        Ok(Verdict::Go)
    }

    /// Whether the change would depend on the moment, so that copies must be told it.
    fn timing(&self, queue: &Queue, now: Time) -> Timing {
        let _ = (queue, now);
        Timing::Timed
    }

    /// Does it, at the queue's own time. Never fails: what could be refused was refused by [`Operation::judge`]. Replicas
    /// and replayed logs come here without being judged.
    fn apply(&self, queue: &mut Queue) -> Self::Output;

    /// Whether an application with this output changed the state.
    fn changed(output: &Self::Output) -> bool;

    /// Appends the arguments, for [`apply_record`].
    fn encode(&self, out: &mut Writer);
}

/// What [`Operation::judge`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict<T> {
    /// To be done.
    Go,
    /// Answered without a change but what is due (a repeated push, say).
    Answered(T),
}

/// Whether an operation's effect depends on the moment at which it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timing {
    /// The command as the client sent it does the same on every copy.
    Timeless,
    /// Copies need the moment too.
    Timed,
}

/// A finished step.
#[derive(Debug)]
pub struct Executed<T> {
    /// What the caller is told.
    pub output: T,
    /// What the copies must be told.
    pub record: Record,
    /// Pieces of due work that the step has left of what its moment allowed.
    pub due_left: usize,
}

/// How a step reaches the replicas and the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// Nothing changed; nothing is sent.
    Nothing,
    /// The command as the client sent it, applied there without being judged and without any due work.
    Verbatim,
    /// What was done, for [`apply_record`].
    Effect(Effect),
}

/// What one step did, or several steps one after the other: all that one command of a client, or one act of the module itself,
/// does to a queue is one effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// A version, then the steps.
    pub bytes: Vec<u8>,
    /// Whether the payloads of a push were left out: they travel beside `bytes`, in the order of the push. A string of the
    /// server has a limit, and copying large payloads a cost.
    pub payloads_apart: bool,
}

impl Effect {
    /// Adds the steps of a later effect on the same queue. At most one of the two has payloads apart.
    pub fn append(&mut self, later: &Effect) {
        self.bytes.extend_from_slice(later.bytes.get(1..).unwrap_or_default());
        let kept = self.payloads_apart && !faults::on(Fault::JoinForgetsPayloads);
        self.payloads_apart = kept || later.payloads_apart;
    }
}

/// In which form a step is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As the client's command where that says it all, else as an effect.
    Shortest,
    /// As an effect, to which others can be added.
    Effect,
}

/// Why a command was not done. It changed nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The push carries a token that is not the current leader's, or none where the queue takes only a leader's.
    Fenced,
    /// The push does not continue its producer's sequence.
    OutOfOrder {
        /// The next number that would be accepted.
        expected: u64,
    },
    /// The push would bring the queue above its max-length.
    QueueFull {
        /// The setting.
        max_length: u64,
    },
    /// A token more than a day ahead of the clock, on a queue that never had a leader of its own.
    TokenAhead,
    /// No producer can be forgotten: the last push of each carried a token.
    ProducersFull,
    /// The producer's numbers would reach 2^53.
    SequenceExhausted,
    /// The numbers of this queue are used up (2^53).
    NumbersExhausted,
}

/// Version of the effects' format and meaning; a server refuses those of another one.
const EFFECT_VERSION: u8 = 2;

/// Bytes that the effect of a claim takes, and that of most others.
const SMALL_EFFECT: usize = 64;

/// Bits of a step's first byte: what stands before the operation. Without the time, the step took place at the queue's own;
/// without the wall clock, that was not ahead; without the allowance, it was [`DUE_PER_STEP`].
const HAS_TIME: u8 = 1;
const HAS_WALL: u8 = 2;
const HAS_TERM: u8 = 4;
const HAS_SETTINGS: u8 = 8;
const HAS_DUE: u8 = 16;
const KNOWN_BITS: u8 = HAS_TIME | HAS_WALL | HAS_TERM | HAS_SETTINGS | HAS_DUE;

/// In place of an operation's tag: the step did nothing but due work.
pub(crate) const NO_OPERATION: u8 = 0;

impl Queue {
    /// One whole step on a primary: judged, due work taken back, done, and recorded.
    ///
    /// # Errors
    /// A [`Refusal`], having changed nothing.
    pub fn execute<O: Operation>(&mut self, operation: &O, moment: Moment) -> Result<Executed<O::Output>, Refusal> {
        self.execute_in_form(operation, moment, Form::Shortest)
    }

    /// The same, recorded in the given form: as an effect if the step is one of several in one record.
    ///
    /// # Errors
    /// As [`Queue::execute`].
    pub fn execute_in_form<O: Operation>(
        &mut self,
        operation: &O,
        moment: Moment,
        form: Form,
    ) -> Result<Executed<O::Output>, Refusal> {
        let moment = moment.not_before(self.now);
        if faults::on(Fault::RefusalDoesDueWork) && operation.judge(self, &moment).is_err() {
            self.begin(&moment);
        }
        let verdict = operation.judge(self, &moment)?;
        let settles = moment.term.is_some() || self.has_due(moment.now);
        let unrecorded = |output| Ok(Executed { output, record: Record::Nothing, due_left: moment.due });
        let before = self.now;
        if let Verdict::Answered(output) = verdict {
            if !settles {
                return unrecorded(output);
            }
            self.begin(&moment);
            return Ok(self.recorded(operation, output, &moment, before));
        }
        let is_timeless = operation.timing(self, moment.now) == Timing::Timeless;
        if !settles && is_timeless && form == Form::Shortest {
            let output = operation.apply(self);
            let record = if O::changed(&output) { Record::Verbatim } else { Record::Nothing };
            return Ok(Executed { output, record, due_left: moment.due });
        }
        self.begin(&moment);
        let output = operation.apply(self);
        if !settles && !O::changed(&output) {
            if !faults::on(Fault::TimeMovesUnrecorded) {
                self.now = before; // the copies will not hear of this step
            }
            return unrecorded(output);
        }
        if faults::on(Fault::DueWorkUnrecorded) && self.known && moment.term.is_none() && is_timeless {
            return Ok(Executed { output, record: Record::Verbatim, due_left: 0 });
        }
        Ok(self.recorded(operation, output, &moment, before))
    }

    /// The end of a step that depended on the moment; `before` was the queue's time until then.
    fn recorded<O: Operation>(
        &mut self,
        operation: &O,
        output: O::Output,
        moment: &Moment,
        before: Time,
    ) -> Executed<O::Output> {
        let record = Record::Effect(self.effect(operation, &output, moment, before));
        self.known = true;
        Executed { output, record, due_left: self.due_left }
    }

    /// Does on a copy what a command that was recorded as [`Record::Verbatim`] did on the primary.
    pub fn apply<O: Operation>(&mut self, operation: &O) -> O::Output {
        operation.apply(self)
    }

    fn effect<O: Operation>(&self, operation: &O, output: &O::Output, moment: &Moment, before: Time) -> Effect {
        let has = |bit: u8, it_has: bool| if it_has { bit } else { 0 };
        let has_time = moment.now > before;
        let has_wall = moment.wall > moment.now && !faults::on(Fault::WallUnrecorded);
        let has_due = moment.due != DUE_PER_STEP && !faults::on(Fault::DueLimitForgotten);
        let mut out = Writer::with_capacity(SMALL_EFFECT);
        out.byte(EFFECT_VERSION);
        out.byte(
            has(HAS_TIME, has_time)
                | has(HAS_WALL, has_wall)
                | has(HAS_TERM, moment.term.is_some())
                | has(HAS_SETTINGS, !self.known)
                | has(HAS_DUE, has_due),
        );
        if has_time {
            out.number(moment.now.0);
        }
        if has_wall {
            out.number(moment.wall.since(moment.now).0);
        }
        if let Some(term) = moment.term {
            out.number(term.floor);
            out.number(term.skip);
        }
        if !self.known {
            self.settings.encode(&mut out);
        }
        if has_due {
            out.number(moment.due as u64);
        }
        if O::changed(output) {
            out.byte(O::TAG);
            operation.encode(&mut out);
        } else {
            out.byte(NO_OPERATION);
        }
        let payloads_apart = out.payloads_apart;
        Effect { bytes: out.into_bytes(), payloads_apart }
    }
}

/// Applies a [`Record::Effect`] as a replica or a replayed log does; creates the queue if the effect says so. `payloads` are
/// those that travelled beside it.
///
/// # Errors
/// The effect is malformed, of another version, or for a queue that is not here (or, creating one, that is). Earlier steps of
/// it may have been done then: the queue is not what the primary's is.
pub fn apply_record(queue: &mut Option<Queue>, effect: &[u8], payloads: &[&[u8]]) -> Result<(), Corrupt> {
    let mut reader = Reader::with_apart(effect, payloads);
    if reader.byte()? != EFFECT_VERSION {
        return Err(Corrupt("effect of an unknown version"));
    }
    apply_step(queue, &mut reader)?;
    while !reader.is_empty() {
        apply_step(queue, &mut reader)?;
    }
    reader.end()
}

fn apply_step(queue: &mut Option<Queue>, reader: &mut Reader<'_>) -> Result<(), Corrupt> {
    let bits = reader.byte()?;
    if bits & !KNOWN_BITS != 0 {
        return Err(Corrupt("effect with an unknown flag"));
    }
    let has = |bit: u8| bits & bit != 0;
    let time = if has(HAS_TIME) { Some(Time(reader.number()?)) } else { None };
    let ahead = Span(if has(HAS_WALL) { reader.number()? } else { 0 });
    let term = match has(HAS_TERM) {
        false => None,
        true => Some(TermStart { floor: reader.number_to(NUMBER_LIMIT)?, skip: reader.number_to(NUMBER_LIMIT)? }),
    };
    let mut created = None;
    if has(HAS_SETTINGS) {
        created = Some(Queue { known: true, ..Queue::new(Settings::decode(reader)?) });
        if queue.is_some() {
            return Err(Corrupt("effect creates a queue that exists"));
        }
    }
    let due = if has(HAS_DUE) { reader.number()? } else { DUE_PER_STEP as u64 };
    let target = created.as_mut().or(queue.as_mut()).ok_or(Corrupt("effect for a queue that does not exist"))?;
    let now = time.unwrap_or(target.now);
    let moment = Moment { now, wall: now.after(ahead), term, due: usize::try_from(due).unwrap_or(usize::MAX) };
    let tag = reader.byte()?;
    apply_encoded(target, &moment, tag, reader)?;
    if created.is_some() {
        *queue = created;
    }
    Ok(())
}
