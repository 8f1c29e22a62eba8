//! Those who wait on the primary: consumers and standbys, each in the order of coming, served in the record of whatever made
//! their turn come; and what the module does by itself.

use super::op::{Op, Reply};
use super::turn::Turn;
use super::world::World;
use super::{WorldFault, wrong};
use mq_engine::{Queue, SessionId, Time};
use std::collections::VecDeque;

/// So many wait at most.
const LONGEST: usize = 4;

/// The commands of those who wait.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    pub consumers: VecDeque<Op>,
    pub candidates: VecDeque<Op>,
}

impl Lines {
    pub fn is_empty(&self) -> bool {
        self.consumers.is_empty() && self.candidates.is_empty()
    }

    pub fn clear(&mut self) {
        *self = Lines::default();
    }

    /// A connection has closed: it waits no more.
    pub fn remove_session(&mut self, closed: u64) {
        let stays = |op: &Op| op.session() != Some(closed);
        self.consumers.retain(stays);
        self.candidates.retain(stays);
    }

    fn join(&mut self, op: Op) {
        let line = if matches!(op, Op::Claim { .. }) { &mut self.consumers } else { &mut self.candidates };
        if line.len() < LONGEST {
            line.push_back(op);
        }
    }

    /// The standby that is next: the first one of all if nobody leads, else the first one of the leader's name.
    pub fn next_candidate(&self, leader: Option<&[u8]>) -> Option<usize> {
        let of_leader = |op: &Op| match op {
            Op::Lead { candidate, .. } => leader.is_none_or(|leader| leader == [b'c', *candidate]),
            _ => false,
        };
        self.candidates.iter().position(of_leader)
    }
}

impl World {
    /// A client's command, on a primary that may write.
    pub(super) fn execute(&mut self, op: &Op) {
        let mut turn = self.open(false);
        let mut op = op.clone();
        if matches!(op, Op::Claim { .. } | Op::Lead { .. }) && !self.lines.is_empty() {
            self.bring_up_to_date(&mut turn);
            self.serve(&mut turn);
        }
        let blocks = self.rng.chance(if matches!(op, Op::Lead { .. }) { 900 } else { 500 });
        let reply = match &mut op {
            // Who comes later waits behind those who wait; what it acknowledges counts at once.
            Op::Claim { acks, .. } if !self.lines.consumers.is_empty() => {
                let acks = std::mem::take(acks);
                if !acks.is_empty() {
                    self.step_in(&mut turn, &Op::Ack(acks));
                }
                Some(Reply::Claimed { acked: 0, got: Vec::new() })
            }
            op => self.step_in(&mut turn, op),
        };
        if turn.has_changed() {
            self.serve(&mut turn);
        }
        self.close(turn);
        let waits = match (&mut op, reply) {
            (Op::Claim { acks, .. }, Some(Reply::Claimed { got, .. })) => {
                acks.clear();
                got.is_empty()
            }
            (Op::Lead { renew: None, .. }, Some(Reply::Led { won, .. })) => !won,
            _ => false,
        };
        if waits && blocks {
            self.lines.join(op);
        }
    }

    fn queue(&self) -> Option<&Queue> {
        self.servers[self.primary].queue.as_ref()
    }

    fn is_pending(&self) -> bool {
        self.servers[self.primary].term(self.time, self.fault).is_some()
    }

    fn bring_up_to_date(&mut self, turn: &mut Turn) {
        let is_due = |queue: &Queue| queue.next_due().is_some_and(|due| due <= queue.time().max(Time(turn.now)));
        if self.is_pending() || self.queue().is_some_and(is_due) {
            self.step_in(turn, &Op::Settle);
        }
    }

    /// Hands over what has come.
    fn serve(&mut self, turn: &mut Turn) {
        while self.queue().is_some_and(|queue| queue.claimable(Time(turn.now)))
            && let Some(op) = self.lines.consumers.front().cloned()
        {
            match self.step_in(turn, &op) {
                Some(Reply::Claimed { got, .. }) if !got.is_empty() => {}
                _ => break,
            }
            self.lines.consumers.pop_front();
            self.report.saw("waiters: a consumer is served");
        }
        while let Some(op) = self.next_candidate(turn) {
            let led = self.step_in(turn, &op);
            assert!(matches!(led, Some(Reply::Led { won: true, .. })), "the standby whose turn it is leads");
            self.report.saw("waiters: a standby leads");
        }
    }

    fn next_candidate(&mut self, turn: &Turn) -> Option<Op> {
        let queue = self.servers[self.primary].queue.as_ref();
        let leader = queue.filter(|_| !self.is_pending()).and_then(|queue| {
            let now = queue.time().max(Time(turn.now));
            queue.leader(now)
        });
        let next = self.lines.next_candidate(leader.as_ref().map(|leader| &leader.candidate[..]))?;
        self.lines.candidates.remove(next)
    }

    /// Whether the module would do something by itself.
    fn has_own_work(&self) -> bool {
        let now = Time(self.servers[self.primary].clock(self.time));
        self.queue().is_some_and(|queue| {
            let is_due = queue.next_due().is_some_and(|due| due <= now);
            let serves = is_due || queue.claimable(now) || queue.leader(now).is_none();
            !self.closed.is_empty() || (serves && !self.lines.is_empty())
        })
    }

    /// The module's timer goes off.
    pub(super) fn act_alone(&mut self) {
        let has_work = self.has_own_work();
        if self.refusing.is_some() {
            self.report.add("rule: nothing done by itself", has_work.into());
            match self.fault {
                Some(WorldFault::TimerForgetsRules) => self.tend(),
                Some(WorldFault::SessionEndForgetsRules) => self.end_a_session(),
                _ => {}
            }
            return;
        }
        if has_work && std::mem::take(&mut self.was_refusing) {
            self.report.saw("rule: afterwards it goes on");
        }
        if self.rng.chance(600) { self.end_a_session() } else { self.tend() }
    }

    /// Does what is due, and serves those who wait. Where nobody waits it starts no term.
    fn tend(&mut self) {
        if self.queue().is_none() || (self.lines.is_empty() && self.is_pending()) {
            return;
        }
        let mut turn = self.open(true);
        self.bring_up_to_date(&mut turn);
        self.serve(&mut turn);
        self.close(turn);
    }

    /// Ends what a closed connection holds, as much as one turn may. A new term ends all sessions.
    fn end_a_session(&mut self) {
        let Some(session) = self.closed.pop_front().filter(|_| self.queue().is_some() && !self.is_pending()) else {
            return;
        };
        let mut turn = self.open(true);
        let ended = self.step_in(&mut turn, &Op::EndSession(session));
        let now = Time(self.servers[self.primary].clock(self.time));
        if self.queue().is_some_and(|queue| queue.is_held_by(SessionId(session), now)) {
            self.report.saw("session: ended in slices");
            self.closed.push_back(session);
        }
        if ended.is_none() {
            wrong("the end of a session is never refused");
        }
        if turn.has_changed() {
            self.serve(&mut turn);
        }
        self.close(turn);
    }

    /// A connection closes: the timer will end what it holds.
    pub(super) fn connection_closes(&mut self, session: u64) {
        self.tell(|| format!("connection {session} closes"));
        self.lines.remove_session(session);
        self.closed.push_back(session);
        if let Some(deposed) = &mut self.deposed {
            deposed.lines.remove_session(session);
            deposed.closed.push_back(session); // its process has ended, with all its connections
        }
    }
}
