//! What every change of a queue has in common: judged, then applied, then recorded for the copies.

use crate::codec::{Corrupt, Reader, Writer};
use crate::faults::{self, Fault};
use crate::numbers::NUMBER_LIMIT;
use crate::operations::apply_encoded;
use crate::{Moment, Queue, Settings, TermStart, Time};

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
}

/// How a step reaches the replicas and the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// Nothing changed; nothing is sent.
    Nothing,
    /// The command as the client sent it, applied there without being judged and without any due work.
    Verbatim,
    /// These bytes, for [`apply_record`].
    Effect(Vec<u8>),
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

/// Version of the effects' format and meaning; a server refuses those of a later one.
const EFFECT_VERSION: u8 = 1;

/// Bytes that the effect of a claim takes, and that of most others.
const SMALL_EFFECT: usize = 64;

/// Bits of an effect's second byte: what stands before the operation.
const HAS_TERM: u8 = 1;
const HAS_SETTINGS: u8 = 2;

/// In place of an operation's tag: the step did nothing but due work.
pub(crate) const NO_OPERATION: u8 = 0;

impl Queue {
    /// One whole step on a primary: judged, due work taken back, done, and recorded.
    ///
    /// # Errors
    /// A [`Refusal`], having changed nothing.
    pub fn execute<O: Operation>(&mut self, operation: &O, moment: Moment) -> Result<Executed<O::Output>, Refusal> {
        let moment = Moment { now: moment.now.max(self.now), ..moment };
        if faults::on(Fault::RefusalDoesDueWork) && operation.judge(self, &moment).is_err() {
            self.begin(&moment);
        }
        let verdict = operation.judge(self, &moment)?;
        let settles = moment.term.is_some() || self.has_due(moment.now);
        if let Verdict::Answered(output) = verdict {
            if !settles {
                return Ok(Executed { output, record: Record::Nothing });
            }
            self.begin(&moment);
            return Ok(self.recorded(operation, output, &moment));
        }
        if !settles && operation.timing(self, moment.now) == Timing::Timeless {
            let output = operation.apply(self);
            let record = if O::changed(&output) { Record::Verbatim } else { Record::Nothing };
            return Ok(Executed { output, record });
        }
        let before = self.now;
        self.begin(&moment);
        let output = operation.apply(self);
        if !settles && !O::changed(&output) {
            if !faults::on(Fault::TimeMovesUnrecorded) {
                self.now = before; // the copies will not hear of this step
            }
            return Ok(Executed { output, record: Record::Nothing });
        }
        if faults::on(Fault::DueWorkUnrecorded)
            && self.known
            && moment.term.is_none()
            && operation.timing(self, moment.now) == Timing::Timeless
        {
            return Ok(Executed { output, record: Record::Verbatim });
        }
        Ok(self.recorded(operation, output, &moment))
    }

    /// The end of a step that depended on the moment.
    fn recorded<O: Operation>(&mut self, operation: &O, output: O::Output, moment: &Moment) -> Executed<O::Output> {
        let record = Record::Effect(self.effect(operation, &output, moment));
        self.known = true;
        Executed { output, record }
    }

    /// Does on a copy what a command that was recorded as [`Record::Verbatim`] did on the primary.
    pub fn apply<O: Operation>(&mut self, operation: &O) -> O::Output {
        operation.apply(self)
    }

    fn effect<O: Operation>(&self, operation: &O, output: &O::Output, moment: &Moment) -> Vec<u8> {
        let mut out = Writer::with_capacity(SMALL_EFFECT);
        out.byte(EFFECT_VERSION);
        let settings = (!self.known).then_some(&self.settings);
        out.byte(if moment.term.is_some() { HAS_TERM } else { 0 } | if settings.is_some() { HAS_SETTINGS } else { 0 });
        out.number(moment.now.0);
        if let Some(term) = moment.term {
            out.number(term.floor);
            out.number(term.skip);
        }
        if let Some(settings) = settings {
            settings.encode(&mut out);
        }
        if O::changed(output) {
            out.byte(O::TAG);
            operation.encode(&mut out);
        } else {
            out.byte(NO_OPERATION);
        }
        out.into_bytes()
    }
}

/// Applies a [`Record::Effect`] as a replica or a replayed log does; creates the queue if the effect says so.
///
/// # Errors
/// The effect is malformed, of a later version, or for a queue that is not here (or, creating one, that is).
pub fn apply_record(queue: &mut Option<Queue>, effect: &[u8]) -> Result<(), Corrupt> {
    let mut reader = Reader::new(effect);
    if reader.byte()? != EFFECT_VERSION {
        return Err(Corrupt("effect of an unknown version"));
    }
    let flags = reader.byte()?;
    if flags & !(HAS_TERM | HAS_SETTINGS) != 0 {
        return Err(Corrupt("effect with an unknown flag"));
    }
    let now = Time(reader.number()?);
    let term = match flags & HAS_TERM {
        0 => None,
        _ => Some(TermStart { floor: reader.number_to(NUMBER_LIMIT)?, skip: reader.number_to(NUMBER_LIMIT)? }),
    };
    let mut created = None;
    if flags & HAS_SETTINGS != 0 {
        created = Some(Queue { known: true, ..Queue::new(Settings::decode(&mut reader)?) });
        if queue.is_some() {
            return Err(Corrupt("effect creates a queue that exists"));
        }
    }
    let target = created.as_mut().or(queue.as_mut()).ok_or(Corrupt("effect for a queue that does not exist"))?;
    let tag = reader.byte()?;
    apply_encoded(target, &Moment { now, term }, tag, &mut reader)?;
    if created.is_some() {
        *queue = created;
    }
    Ok(())
}
