//! Three servers, the clients of one queue, and what becomes of them.
//!
//! One server is the primary; the others are its replicas, each as far behind as chance has it. The world holds the
//! records of the surviving history, with the model's state after each: so what a server holds at any position can be
//! compared, and a failover or a crash that loses records goes back to the model of that time.
//!
//! **What the numbers rest on.** A writer that lacks records must start its term above the numbers in them: by its clock,
//! or, after a promotion, by the skip. The world lets a server write only where one of the two does that (see
//! `is_fresh`); it counts how often it had to hold one back.

use super::WorldFault;
use super::actors::Actors;
use super::known::Known;
use super::ledger::Ledger;
use super::op::Op;
use super::report::Report;
use super::rng::Rng;
use super::rules::{Deposed, Refusing};
use super::server::{Log, PROMOTION_SKIP, Server};
use super::waiting::Lines;
use mq_engine::NUMBERS_PER_MS;
use std::cell::Cell;
use std::collections::VecDeque;

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
    pub(super) actors: Actors,
    pub(super) ledger: Ledger,
    pub(super) known: Known,
    /// Those who wait on the primary, and connections to it that have closed.
    pub(super) lines: Lines,
    pub(super) closed: VecDeque<u64>,
    /// Why the primary refuses writes; and whether it did, and the module has not acted by itself since.
    pub(super) refusing: Option<Refusing>,
    pub(super) was_refusing: bool,
    pub(super) deposed: Option<Deposed>,
    /// How many promotions there were.
    pub(super) reign: u64,
    /// Whether a step may do but a few pieces of due work.
    pub(super) busy: bool,
    pub report: Report,
    pub steps: u64,
    pub trace: VecDeque<String>,
    pub(super) fault: Option<WorldFault>,
}

impl World {
    pub fn new(seed: u64, fault: Option<WorldFault>) -> World {
        let mut rng = Rng::new(seed);
        let (shard, busy) = (rng.chance(150), rng.chance(600));
        let servers = (0..3).map(|_| Server::new(skew(&mut rng))).collect();
        World {
            rng,
            time: START,
            servers,
            primary: 0,
            log: Log::new(),
            actors: Actors::new(shard),
            ledger: Ledger::default(),
            known: Known::new(!matches!(fault, Some(WorldFault::DeposedHandsOver | WorldFault::DeposedMakesLeader))),
            lines: Lines::default(),
            closed: VecDeque::new(),
            refusing: None,
            was_refusing: false,
            deposed: None,
            reign: 0,
            busy,
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
        match self.rng.below(1000) {
            0..800 => self.command(),
            800..920 => self.act_alone(),
            _ => self.fate(),
        }
        self.deposed_goes_on();
        if self.servers[self.primary].up {
            self.rules_change();
            self.pass_on();
        }
    }

    /// A client's command reaches the primary.
    fn command(&mut self) {
        let wall = self.servers[self.primary].wall(self.time);
        let op = match &self.servers[self.primary].queue {
            None => self.actors.create(&mut self.rng, wall),
            Some(_) => {
                let live = self.log.at(self.log.end()).0.messages.len();
                self.actors.next(&mut self.rng, wall, live)
            }
        };
        match op {
            Op::EndSession(session) => self.connection_closes(session),
            _ if self.refusing.is_some() => self.refuse(),
            op => self.execute(&op),
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
                let goes_on = self.deposed.as_ref().is_some_and(|deposed| deposed.index == index);
                if !self.is_cut_off() && self.rng.chance(if goes_on { 12 } else { 60 }) {
                    self.copy_whole(index);
                }
                continue;
            }
            if self.rng.chance(600) || server.position == self.log.end() || self.refusing == Some(Refusing::CutOff) {
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
            && self.is_fresh(server.position, PROMOTION_SKIP, server.mark, server.wall(self.time))
    }
}

/// Most clocks are nearly right, a few are not.
pub(super) fn skew(rng: &mut Rng) -> i64 {
    let most = rng.pick(&[5, 300, 300, 20_000, 3_600_000]);
    rng.below(2 * most + 1) as i64 - most as i64
}
