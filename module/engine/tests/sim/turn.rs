//! One command of a client, or one act of the module itself: some steps, and one record of them all.

use super::checks;
use super::known::Teller;
use super::op::{Execute, Op, Reply};
use super::report::Report;
use super::server::{Entry, What};
use super::world::World;
use super::wrong;
use crate::model::{Model, Refused};
use mq_engine::*;
use std::rc::Rc;

/// What is done between one reading of the clocks and the record.
pub struct Turn {
    pub now: u64,
    pub wall: u64,
    /// Whether the module acts by itself: what it does is never recorded verbatim.
    own: bool,
    /// Pieces of due work that the steps to come may do.
    due_left: usize,
    /// The model after the steps so far, and the digest before the first.
    model: Rc<Model>,
    digest: u64,
    created: bool,
    record: Option<What>,
    recorded_steps: u64,
}

impl Turn {
    /// Whether a step has changed the queue.
    pub fn has_changed(&self) -> bool {
        self.record.is_some()
    }

    fn add(&mut self, what: What) {
        self.recorded_steps += 1;
        match (&mut self.record, what) {
            (Some(What::Effect(effect, payloads)), What::Effect(later, beside)) => {
                effect.append(&later);
                payloads.extend(beside);
            }
            (none @ None, what) => *none = Some(what),
            (Some(_), _) => panic!("what is recorded verbatim stands alone"),
        }
    }
}

impl World {
    pub(super) fn open(&mut self, own: bool) -> Turn {
        let server = &self.servers[self.primary];
        let (model, digest) = self.log.at(self.log.end());
        Turn {
            now: server.clock(self.time),
            wall: server.wall(self.time),
            own,
            due_left: match self.busy {
                true if own => self.rng.below(2) as usize,
                true => self.rng.pick(&[0, 0, 1, 1, 2, 5]),
                false => DUE_PER_STEP,
            },
            model: Rc::clone(model),
            digest,
            created: server.queue.is_none(),
            record: None,
            recorded_steps: 0,
        }
    }

    /// One step, on the primary and on the model. `None`: it was refused.
    pub(super) fn step_in(&mut self, turn: &mut Turn, op: &Op) -> Option<Reply> {
        let server = &self.servers[self.primary];
        let (term, promoted) = (server.term(self.time, self.fault), server.since < server.epoch);
        let totals = server.queue.as_ref().map_or_else(Totals::default, |queue| *queue.totals());
        let ((reply, record, due_left), mut model) = self.on_both(turn, op, term)?;
        let done = self.servers[self.primary].queue.as_ref().expect("just used").totals().since(&totals);
        self.report.done(op, &reply, &done, &turn.model, &model);
        match record {
            Record::Nothing => {
                self.report.saw("record: nothing");
                self.hear(op, &reply);
                return Some(reply);
            }
            Record::Verbatim => {
                self.report.saw("record: verbatim");
                model.now = turn.model.now;
                turn.add(What::Verbatim(op.clone()));
            }
            Record::Effect(effect) => {
                assert_eq!(due_left, model.due_left, "as much due work is done as by the model");
                turn.due_left = due_left;
                turn.add(What::of(effect, op));
            }
        }
        if term.is_some() {
            self.report.saw("term: started");
            self.report.add("term: after a promotion", promoted.into());
        }
        turn.model = Rc::new(model);
        self.changed(op, &reply, &totals);
        Some(reply)
    }

    /// What the primary answers, which is what the model answers, and the model after it.
    fn on_both(&mut self, turn: &Turn, op: &Op, term: Option<TermStart>) -> Option<((Reply, Record, usize), Model)> {
        let joins = turn.own || turn.has_changed() || !self.lines.is_empty();
        let form = if joins { Form::Effect } else { Form::Shortest };
        let queue = self.servers[self.primary].queue.get_or_insert_with(|| Queue::new(Settings::default()));
        let moment = Moment { now: Time(turn.now), wall: Time(turn.wall), term, due: turn.due_left };
        let outcome = op.visit(Execute { queue, moment, form });
        let mut model = Model::clone(&turn.model);
        (model.wall_clock, model.due) = (turn.wall, turn.due_left);
        model.settle(turn.now, term.map(|term| (term.floor, term.skip)));
        let expected = on_model(op, &mut model);
        self.tell(|| format!("{op:?} at {moment:?} → {outcome:?}"));
        match (outcome, expected) {
            (Ok(done), Ok(expected)) => {
                assert_eq!(done.0, expected, "the reply is the model's");
                Some((done, model))
            }
            (Err(refusal), Err(expected)) => {
                assert!(expected.is(&refusal), "refused as {refusal:?}, by the model as {expected:?}");
                self.report.refused(op, &refusal);
                self.actors.refused(op, &refusal);
                None
            }
            (outcome, expected) => wrong(&format!("{outcome:?}, by the model {expected:?}")),
        }
    }

    /// A step has changed the queue.
    fn changed(&mut self, op: &Op, reply: &Reply, totals: &Totals) {
        let position = self.log.end();
        let server = &mut self.servers[self.primary];
        (server.home, server.since) = (true, server.epoch);
        let queue = server.queue.as_ref().expect("a changed queue");
        if let Err(broken) = queue.check_invariants() {
            wrong(&broken);
        }
        self.ledger.saw(position, op, reply, queue, totals);
        self.hear(op, reply);
    }

    /// The client hears what became of its command.
    fn hear(&mut self, op: &Op, reply: &Reply) {
        self.actors.heard(op, reply);
        let usual = self.servers[self.primary].queue.as_ref().map_or(0, |queue| queue.settings().lease.0);
        let by = Teller { server: self.primary, reign: self.reign };
        self.known.told(by, self.time, usual, op, reply);
    }

    /// The end of it: what was done becomes one record, or it has changed nothing.
    pub(super) fn close(&mut self, turn: Turn) {
        let position = self.log.end();
        let server = &mut self.servers[self.primary];
        let Some(what) = turn.record else {
            if turn.created {
                server.queue = None; // the module creates it only when something comes of it
            } else if self.steps.is_multiple_of(2) {
                let digest = checks::digest(server.queue.as_ref());
                assert!(digest == turn.digest, "a step that is not recorded changes nothing");
            }
            return;
        };
        server.position = position + 1;
        server.saw_numbers();
        let queue = server.queue.as_ref().expect("a recorded queue");
        checks::counts(queue, &turn.model);
        if turn.model.messages.len() < 24 || self.steps.is_multiple_of(4) {
            checks::messages(queue, &turn.model);
        }
        if let What::Effect(effect, _) = &what {
            self.report.saw("record: effect");
            self.report.add("record: payloads beside", effect.payloads_apart.into());
            self.report.add("record: several steps", (turn.recorded_steps > 1).into());
        }
        self.report.add("due: left for later", turn.model.has_due_at(turn.now).into());
        self.log.push(Entry { what, digest: checks::digest(Some(queue)), model: turn.model });
        if self.rng.chance(300) {
            self.servers[self.primary].synced = position + 1;
        }
    }
}

/// Why the model refuses, and why the engine would before it is asked.
#[derive(Debug)]
enum Expected {
    Model(Refused),
    TokenAhead,
    SequenceExhausted,
}

impl Expected {
    fn is(&self, refusal: &Refusal) -> bool {
        match self {
            Expected::Model(refused) => Report::model_refusal(refused, refusal),
            Expected::TokenAhead => *refusal == Refusal::TokenAhead,
            Expected::SequenceExhausted => *refusal == Refusal::SequenceExhausted,
        }
    }
}

fn on_model(op: &Op, model: &mut Model) -> Result<Reply, Expected> {
    const DAY_MS: u64 = 24 * 60 * 60 * 1000;
    if let Op::Push(push) = op {
        if let Some(token) = push.fence {
            if model.leader_changes == 0 && token > (model.wall + DAY_MS) * NUMBERS_PER_MS {
                return Err(Expected::TokenAhead);
            }
            model.judge_fence(token).map_err(Expected::Model)?;
        } else if model.leader_only {
            return Err(Expected::Model(Refused::Fenced));
        }
        if push.sequence.is_some_and(|(_, first)| first + push.payloads.len() as u64 >= NUMBER_LIMIT) {
            return Err(Expected::SequenceExhausted);
        }
    }
    op.on_model(model).map_err(Expected::Model)
}
