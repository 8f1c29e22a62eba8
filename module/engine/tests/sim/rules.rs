//! Rules that forbid a primary to write: its disk fails, or it is cut off from the replicas that it must have
//! (min-replicas-to-write). Commands are refused then and change nothing, and the module does nothing by itself, until that
//! ends, or until a replica takes over from a primary that does not know of it.

use super::WorldFault;
use super::checks::digest;
use super::known::Teller;
use super::op::{Execute, Op, Reply};
use super::waiting::Lines;
use super::world::World;
use mq_engine::{Form, Moment, Time};
use std::collections::VecDeque;

/// Why writes are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusing {
    Disk,
    CutOff,
}

/// A primary that was cut off when a replica took over. It goes on for a while with those who wait there.
#[derive(Debug)]
pub struct Deposed {
    pub index: usize,
    reign: u64,
    pub lines: Lines,
    pub closed: VecDeque<u64>,
}

impl World {
    pub(super) fn start_refusing(&mut self) {
        let why = if self.rng.chance(600) { Refusing::CutOff } else { Refusing::Disk };
        self.tell(|| format!("writes are refused: {why:?}"));
        self.refusing = Some(why);
    }

    pub(super) fn is_cut_off(&self) -> bool {
        self.refusing == Some(Refusing::CutOff)
    }

    /// The primary is another one, or the same one anew: nobody waits there, and no connection of before is open.
    pub(super) fn starts_anew(&mut self) {
        self.refusing = None;
        self.was_refusing = false;
        self.lines.clear();
        self.closed.clear();
        self.known.accepts(self.primary);
    }

    /// A client's command comes while writes are refused; another client reads.
    pub(super) fn refuse(&mut self) {
        self.report.saw("rule: writes refused");
        let seen = digest(self.servers[self.primary].queue.as_ref());
        assert!(seen == self.log.at(self.log.end()).1, "who refuses changes nothing");
        self.known.refused(self.primary, seen);
    }

    /// The rules may allow writes again; or the primary that is cut off loses its place.
    pub(super) fn rules_change(&mut self) {
        let Some(why) = self.refusing else { return };
        if self.rng.chance(60) {
            self.tell(|| "writes are allowed again".into());
            self.known.accepts(self.primary);
            (self.refusing, self.was_refusing) = (None, true);
        } else if why == Refusing::CutOff && self.rng.chance(if self.lines.is_empty() { 30 } else { 200 }) {
            let replicas: Vec<usize> = (0..self.servers.len()).filter(|index| *index != self.primary).collect();
            let chosen = self.rng.pick(&replicas);
            if self.may_lead(chosen) {
                self.depose(chosen);
            }
        }
    }

    /// A replica takes over while the primary, cut off, goes on with some of those who wait there.
    fn depose(&mut self, chosen: usize) {
        self.report.saw("rule: cut off, and a replica takes over");
        let mut lines = std::mem::take(&mut self.lines);
        lines.consumers.retain(|_| self.rng.chance(900));
        lines.candidates.retain(|_| self.rng.chance(900));
        let closed = std::mem::take(&mut self.closed);
        let (index, reign) = (self.primary, self.reign);
        self.fail_over(chosen);
        self.deposed = Some(Deposed { index, reign, lines, closed });
    }

    /// What becomes of a primary that was cut off: it does nothing, if it keeps the rules.
    pub(super) fn deposed_goes_on(&mut self) {
        let Some(mut deposed) = self.deposed.take() else { return };
        if self.rng.chance(25) {
            // A client that does not know of the other primary either.
            let seen = digest(self.servers[deposed.index].queue.as_ref());
            self.known.refused(deposed.index, seen);
            self.report.saw("rule: writes refused");
        }
        if self.rng.chance(200) {
            self.report.add("rule: nothing done by itself", (!deposed.lines.is_empty()).into());
            if matches!(self.fault, Some(WorldFault::DeposedHandsOver | WorldFault::DeposedMakesLeader)) {
                self.hand_over(&mut deposed);
            }
        }
        self.deposed = Some(deposed);
    }

    /// What it must not do: the module's timer as if it could write. Those who wait there hear of it.
    fn hand_over(&mut self, deposed: &mut Deposed) {
        let server = &mut self.servers[deposed.index];
        let moment = Moment::at(Time(server.clock(self.time)));
        let Some(queue) = &mut server.queue else { return };
        let usual = queue.settings().lease.0;
        let mut execute = |op: &Op| {
            let done = op.visit(Execute { queue: &mut *queue, moment, form: Form::Effect });
            done.map(|(reply, ..)| reply).expect("what waits is never refused")
        };
        execute(&Op::Settle);
        deposed.closed.drain(..).for_each(|session| drop(execute(&Op::EndSession(session))));
        let mut given = Vec::new();
        let line = match self.fault {
            Some(WorldFault::DeposedMakesLeader) => &mut deposed.lines.candidates,
            _ => &mut deposed.lines.consumers,
        };
        line.retain(|op| {
            let reply = execute(op);
            let waits = match &reply {
                Reply::Claimed { got, .. } => got.is_empty(),
                reply => matches!(reply, Reply::Led { won: false, .. }),
            };
            if !waits {
                given.push((op.clone(), reply));
            }
            waits
        });
        let by = Teller { server: deposed.index, reign: deposed.reign };
        for (op, reply) in given {
            self.tell(|| format!("the primary that was cut off: {op:?} → {reply:?}"));
            self.known.told(by, self.time, usual, &op, &reply);
        }
    }
}
