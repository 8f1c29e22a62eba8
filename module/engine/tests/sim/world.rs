//! Three servers, the clients of one queue, and what becomes of them.
//!
//! One server is the primary; the others are its replicas, each as far behind as chance has it. The world holds the
//! records of the surviving history, with the model's state after each: so what a server holds at any position can be
//! compared, and a failover or a crash that loses records goes back to the model of that time.
//!
//! **What the numbers rest on.** A writer that lacks records must start its term above the numbers in them: by its clock,
//! or, after a promotion, by the skip. The world lets a server write only where one of the two does that (see
//! `is_fresh`); it counts how often it had to hold one back.

use super::actors::Actors;
use super::checks;
use super::ledger::Ledger;
use super::op::{Execute, Op, Reply};
use super::report::Report;
use super::rng::Rng;
use super::server::{Entry, Log, PROMOTION_SKIP, Server, What};
use super::{WorldFault, wrong};
use crate::model::{Model, Refused};
use mq_engine::*;
use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

/// Where the world's time begins: in 2027.
const START: u64 = 1_800_000_000_000;

/// So many records are kept at most before every server saves itself.
const LONG_LOG: usize = 250;

/// Steps shown of a world that failed.
const TRACED: usize = 25;

/// Characters shown of each.
const WIDEST: usize = 400;

thread_local! {
    pub static TRACING: Cell<bool> = const { Cell::new(false) };
}

pub struct World {
    pub(super) rng: Rng,
    pub(super) time: u64,
    pub(super) servers: Vec<Server>,
    pub(super) primary: usize,
    pub(super) log: Log,
    actors: Actors,
    pub(super) ledger: Ledger,
    pub report: Report,
    pub steps: u64,
    pub trace: VecDeque<String>,
    pub(super) fault: Option<WorldFault>,
}

impl World {
    pub fn new(seed: u64, fault: Option<WorldFault>) -> World {
        let mut rng = Rng::new(seed);
        let shard = rng.chance(150);
        let servers = (0..3).map(|_| Server::new(skew(&mut rng))).collect();
        World {
            rng,
            time: START,
            servers,
            primary: 0,
            log: Log::new(),
            actors: Actors::new(shard),
            ledger: Ledger::default(),
            report: Report::default(),
            steps: 0,
            trace: VecDeque::new(),
            fault,
        }
    }

    pub(super) fn tell(&mut self, what: impl FnOnce() -> String) {
        if TRACING.get() {
            if self.trace.len() == TRACED {
                self.trace.pop_front();
            }
            let (step, time) = (self.steps, self.time - START);
            let mut line = format!("{step} +{time} ms: {}", what());
            if line.chars().count() > WIDEST {
                line = line.chars().take(WIDEST).chain(['…']).collect();
            }
            self.trace.push_back(line);
        }
    }

    /// One thing happens.
    pub fn step(&mut self) {
        self.steps += 1;
        self.time += match self.rng.below(1000) {
            0..500 => 0,
            500..940 => self.rng.below(20),
            940..995 => self.rng.below(300),
            995..999 => self.rng.below(12_000),
            _ => self.rng.below(1_000_000),
        };
        if !self.servers[self.primary].up {
            return self.recover();
        }
        if self.rng.chance(920) {
            self.command()
        } else {
            self.fate()
        }
        if self.servers[self.primary].up {
            self.pass_on();
        }
    }

    /// A command reaches the primary.
    fn command(&mut self) {
        let now = self.servers[self.primary].clock(self.time);
        let op = match &self.servers[self.primary].queue {
            None => self.actors.create(&mut self.rng, now),
            Some(_) => {
                let live = self.log.at(self.log.end()).0.messages.len();
                self.actors.next(&mut self.rng, now, live)
            }
        };
        let server = &mut self.servers[self.primary];
        let term = server.term(self.time, self.fault);
        let promoted = server.since < server.epoch;
        let created = server.queue.is_none();
        let queue = server.queue.get_or_insert_with(|| Queue::new(Settings::default()));
        let totals = *queue.totals();
        let outcome = op.visit(Execute(queue, Moment { term, ..Moment::at(Time(now)) }));
        let (before, digest) = self.log.at(self.log.end());
        let before = Rc::clone(before);
        let mut model = Model::clone(&before);
        model.settle(now, term.map(|term| (term.floor, term.skip)));
        let expected = on_model(&op, &mut model);
        self.tell(|| format!("{op:?} at {now} {term:?} → {outcome:?}"));
        let (reply, record) = match (outcome, expected) {
            (Ok(done), Ok(expected)) => {
                assert_eq!(done.0, expected, "the reply is the model's");
                done
            }
            (Err(refusal), Err(expected)) => {
                assert!(expected.is(&refusal), "refused as {refusal:?}, by the model as {expected:?}");
                self.report.refused(&op, &refusal);
                self.actors.refused(&op, &refusal);
                return self.unchanged(created, digest);
            }
            (outcome, expected) => wrong(&format!("{outcome:?}, by the model {expected:?}")),
        };
        let at = now.max(before.now);
        let done = self.servers[self.primary].queue.as_ref().expect("just used").totals().since(&totals);
        self.report.done(&op, &reply, &done, &before, at);
        let what = match record {
            Record::Nothing => {
                self.report.saw("record: nothing");
                self.actors.heard(&op, &reply);
                return self.unchanged(created, digest);
            }
            Record::Verbatim => {
                self.report.saw("record: verbatim");
                model.now = before.now;
                What::Verbatim(op.clone())
            }
            Record::Effect(effect) => {
                self.report.saw("record: effect");
                let beside = match &op {
                    Op::Push(push) if effect.payloads_apart => push.payloads.clone(),
                    _ => Vec::new(),
                };
                What::Effect(effect, beside)
            }
        };
        if term.is_some() {
            self.report.saw("term: started");
            self.report.add("term: after a promotion", promoted.into());
        }
        self.recorded(&op, &reply, what, model, &totals);
    }

    /// A step that no copy will hear of has changed nothing.
    fn unchanged(&mut self, created: bool, digest: u64) {
        let server = &mut self.servers[self.primary];
        if created {
            server.queue = None; // the module creates it only when something comes of it
        } else if self.steps.is_multiple_of(2) {
            assert!(checks::digest(server.queue.as_ref()) == digest, "a step that is not recorded changes nothing");
        }
    }

    fn recorded(&mut self, op: &Op, reply: &Reply, what: What, model: Model, totals: &Totals) {
        let position = self.log.end();
        let server = &mut self.servers[self.primary];
        (server.home, server.since, server.position) = (true, server.epoch, position + 1);
        server.saw_numbers();
        let queue = server.queue.as_ref().expect("a recorded queue");
        if let Err(broken) = queue.check_invariants() {
            wrong(&broken);
        }
        checks::counts(queue, &model);
        if model.messages.len() < 24 || self.steps.is_multiple_of(4) {
            checks::messages(queue, &model);
        }
        self.ledger.saw(position, op, reply, queue, totals);
        let digest = checks::digest(Some(queue));
        self.log.push(Entry { what, model: Rc::new(model), digest });
        self.actors.heard(op, reply);
        if self.rng.chance(300) {
            self.servers[self.primary].synced = position + 1;
        }
    }

    /// Records reach the replicas, late; now and then one is written to the disk.
    fn pass_on(&mut self) {
        for index in 0..self.servers.len() {
            if index == self.primary {
                continue;
            }
            let server = &mut self.servers[index];
            if !server.up {
                if self.rng.chance(150) {
                    self.restart_replica(index);
                }
                continue;
            }
            if !server.linked {
                if self.rng.chance(60) {
                    self.copy_whole(index);
                }
                continue;
            }
            if self.rng.chance(600) || server.position == self.log.end() {
                continue;
            }
            let until = self.log.end().min(server.position + self.rng.range(1, 8) as usize);
            let now = server.clock(self.time);
            for position in server.position..until {
                server.apply(self.log.entry(position), now, self.fault);
            }
            server.is_as(&self.log, "a replica");
            if self.rng.chance(300) {
                server.synced = until;
            }
        }
        if self.log.end() - self.log.base() > LONG_LOG {
            self.save_all();
        }
    }

    /// Every server that is up saves itself; nobody needs the records before.
    fn save_all(&mut self) {
        for server in self.servers.iter_mut().filter(|server| server.up && server.linked) {
            server.save();
        }
        let live = self.servers.iter().filter(|server| server.up && server.linked);
        let first = live.map(|server| server.snapshot.position).min().unwrap_or(self.log.base());
        self.log.trim(first);
        for server in &mut self.servers {
            server.sound &= server.snapshot.position >= first;
        }
    }

    /// Whether a server at this position, with this skip and mark and time, would give only new numbers.
    pub(super) fn is_fresh(&self, position: usize, skip: u64, mark: u64, clock: u64) -> bool {
        let next = self.log.at(position).0.next;
        let floor = mark.max(clock * NUMBERS_PER_MS);
        (0..3).all(|kind| (next[kind] + skip).max(floor) > self.ledger.highest(kind))
    }

    pub(super) fn may_lead(&self, index: usize) -> bool {
        let server = &self.servers[index];
        server.up
            && server.linked
            && self.is_fresh(server.position, PROMOTION_SKIP, server.mark, server.clock(self.time))
    }
}

/// Most clocks are nearly right, a few are not.
pub(super) fn skew(rng: &mut Rng) -> i64 {
    let most = rng.pick(&[5, 300, 300, 20_000, 3_600_000]);
    rng.below(2 * most + 1) as i64 - most as i64
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
            if model.leader_changes == 0 && token > (model.now + DAY_MS) * NUMBERS_PER_MS {
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
