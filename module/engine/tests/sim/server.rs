//! One server: what it holds in memory, what is on its disk, its clock, and what it remembers of terms, as the module does.

use super::checks::{chunks, digest, loaded};
use super::op::{Apply, Execute, Op};
use super::{WorldFault, wrong};
use crate::model::Model;
use mq_engine::operations::Settle;
use mq_engine::*;
use std::collections::VecDeque;
use std::rc::Rc;

pub const PROMOTION_SKIP: u64 = 1 << 24;

#[derive(Debug)]
pub enum What {
    Verbatim(Op),
    /// With the payloads that travel beside it.
    Effect(Effect, Vec<Vec<u8>>),
}

impl What {
    /// The effect of this operation.
    pub fn of(effect: Effect, op: &Op) -> What {
        let beside = match op {
            Op::Push(push) if effect.payloads_apart => push.payloads.clone(),
            _ => Vec::new(),
        };
        What::Effect(effect, beside)
    }
}

/// One record, with what the queue is after it.
#[derive(Debug)]
pub struct Entry {
    pub what: What,
    pub model: Rc<Model>,
    pub digest: u64,
}

/// The records of the surviving history. Position p: the first p of them are applied.
#[derive(Debug)]
pub struct Log {
    base: usize,
    at_base: (Rc<Model>, u64),
    entries: VecDeque<Entry>,
}

impl Log {
    pub fn new() -> Log {
        Log { base: 0, at_base: (Rc::new(Model::new()), digest(None)), entries: VecDeque::new() }
    }

    pub fn end(&self) -> usize {
        self.base + self.entries.len()
    }

    pub fn base(&self) -> usize {
        self.base
    }

    pub fn push(&mut self, entry: Entry) {
        self.entries.push_back(entry);
    }

    pub fn entry(&self, position: usize) -> &Entry {
        &self.entries[position - self.base]
    }

    pub fn at(&self, position: usize) -> (&Rc<Model>, u64) {
        match position - self.base {
            0 => (&self.at_base.0, self.at_base.1),
            after => (&self.entries[after - 1].model, self.entries[after - 1].digest),
        }
    }

    pub fn truncate(&mut self, position: usize) {
        self.entries.truncate(position - self.base);
    }

    /// Forgets the records before this position.
    pub fn trim(&mut self, position: usize) {
        let (model, digest) = self.at(position);
        self.at_base = (Rc::clone(model), digest);
        self.entries.drain(..position - self.base);
        self.base = position;
    }
}

#[derive(Clone, Debug)]
pub struct Snapshot {
    pub position: usize,
    pub chunks: Option<Vec<Vec<u8>>>,
    pub mark: u64,
}

#[derive(Debug)]
pub struct Server {
    pub up: bool,
    /// Its memory is part of the surviving history.
    pub linked: bool,
    /// Its disk is.
    pub sound: bool,
    pub queue: Option<Queue>,
    pub position: usize,
    /// Records up to here are on the disk.
    pub synced: usize,
    pub snapshot: Snapshot,
    /// Its clock, beside the world's time.
    pub offset: i64,
    /// By how much its wall clock has been set ahead of that clock since it started.
    pub ahead: u64,
    pub mark: u64,
    /// How often it was promoted since it started.
    pub epoch: u64,
    /// Since when it knows the queue, or of its last term.
    pub since: u64,
    /// Whether its last write took place under this name.
    pub home: bool,
}

impl Server {
    pub fn new(offset: i64) -> Server {
        let snapshot = Snapshot { position: 0, chunks: None, mark: 0 };
        let (up, linked, sound, home) = (true, true, true, false);
        Server {
            up,
            linked,
            sound,
            queue: None,
            position: 0,
            synced: 0,
            snapshot,
            offset,
            ahead: 0,
            mark: 0,
            epoch: 0,
            since: 0,
            home,
        }
    }

    pub fn clock(&self, time: u64) -> u64 {
        time.saturating_add_signed(self.offset)
    }

    pub fn wall(&self, time: u64) -> u64 {
        self.clock(time) + self.ahead
    }

    /// What the module does when a write comes.
    pub fn term(&self, time: u64, fault: Option<WorldFault>) -> Option<TermStart> {
        let pending = self.since != self.epoch || !self.home;
        let mut term = TermStart {
            floor: self.mark.max(self.wall(time) * NUMBERS_PER_MS),
            skip: if self.since < self.epoch { PROMOTION_SKIP } else { 0 },
        };
        match fault {
            Some(WorldFault::CounterForTerms) => term = TermStart { floor: 1, skip: 0 },
            Some(WorldFault::NoPromotionSkip) => term.skip = 0,
            _ => {}
        }
        (pending && (fault != Some(WorldFault::NoTermAfterPromotion) || !self.home)).then_some(term)
    }

    pub fn saw_numbers(&mut self) {
        self.mark = self.mark.max(self.queue.as_ref().map_or(0, Queue::numbers_end));
    }

    /// Applies the next record as a replica or a replayed log does.
    pub fn apply(&mut self, entry: &Entry, now: u64, fault: Option<WorldFault>) {
        match (&entry.what, &mut self.queue) {
            (What::Verbatim(op), Some(queue)) if fault == Some(WorldFault::ReplaysJudge) => {
                let (moment, form) = (Moment::at(Time(now)), Form::Shortest);
                drop(op.visit(Execute { queue, moment, form }));
            }
            (What::Verbatim(op), Some(queue)) => op.visit(Apply(queue)),
            (What::Verbatim(_), None) => panic!("a command came before the effect that creates the queue"),
            (What::Effect(effect, beside), queue) => {
                if queue.is_none() {
                    self.since = self.epoch;
                }
                let beside = if effect.payloads_apart { &beside[..] } else { &[] };
                let beside: Vec<&[u8]> = beside.iter().map(Vec::as_slice).collect();
                if let Err(why) = apply_record(queue, &effect.bytes, &beside) {
                    wrong(&format!("a copy does not understand its primary: {why}"));
                }
            }
        }
        if let (Some(WorldFault::ReplicaExpires), Some(queue)) = (fault, &mut self.queue) {
            drop(queue.execute(&Settle, Moment::at(Time(now))));
        }
        self.position += 1;
        self.saw_numbers();
    }

    pub fn is_as(&self, log: &Log, whose: &str) {
        assert!(digest(self.queue.as_ref()) == log.at(self.position).1, "{whose} differs from its primary");
    }

    pub fn save(&mut self) {
        self.snapshot = Snapshot { position: self.position, chunks: self.queue.as_ref().map(chunks), mark: self.mark };
        self.synced = self.position;
    }

    /// Starts with what is on its disk up to this position.
    pub fn restart(&mut self, log: &Log, kept: usize, offset: i64, fault: Option<WorldFault>, time: u64) {
        let Snapshot { position, chunks, mark } = &self.snapshot;
        let queue = chunks.as_deref().map(loaded);
        let (snapshot, position, mark) = (self.snapshot.clone(), *position, *mark);
        *self = Server { queue, position, mark, snapshot, ..Server::new(offset) };
        self.saw_numbers();
        // What is replayed is judged by nobody and ended by no clock, unless a fault has it so.
        let now = self.clock(time);
        (position..kept).for_each(|position| self.apply(log.entry(position), now, fault));
        self.synced = kept;
        self.is_as(log, "what was saved and replayed");
    }

    /// Becomes a copy of another server as it is now.
    pub fn copy(&mut self, of: &Server) {
        self.queue = of.queue.as_ref().map(|queue| loaded(&chunks(queue)));
        self.mark = self.mark.max(of.mark);
        (self.position, self.since, self.home) = (of.position, self.epoch, false);
        (self.linked, self.sound) = (true, true);
        self.saw_numbers();
        self.save();
    }
}
