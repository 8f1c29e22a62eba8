//! How often everything happened that the simulation is there for.

use super::op::{Op, Reply};
use crate::model::{Message, Model, Refused, State};
use mq_engine::{Refusal, Totals};
use std::collections::BTreeMap;

/// What a long run must have done often enough to be worth anything.
pub const ALL: [&str; 67] = [
    "arrow: (nothing) → ready, PUSH",
    "arrow: (nothing) → delayed, PUSH DELAY",
    "arrow: delayed → ready, due",
    "arrow: ready → claimed, CLAIM",
    "arrow: claimed → done, ACK",
    "arrow: claimed → done, CLAIM ACK",
    "arrow: claimed → ready, RELEASE",
    "arrow: claimed → ready, claim ended",
    "arrow: claimed → errored, no delivery left",
    "arrow: claimed → errored, FAIL",
    "arrow: claimed → delayed, FAIL RETRY",
    "arrow: claimed → ready, FAIL RETRY 0",
    "arrow: claimed → claimed, EXTEND",
    "arrow: errored → ready, REDRIVE",
    "arrow: errored → taken, DRAINERRORS",
    "arrow: errored → being drained",
    "arrow: being drained → taken, ACK",
    "arrow: being drained → errored",
    "arrow: errored → dropped, errors-keep",
    "arrow: ready or delayed → errored, TTL",
    "arrow: ready → removed, PURGE",
    "arrow: delayed → removed, PURGE",
    "arrow: errored → removed, PURGE",
    "arrow: any → removed, REMOVE",
    "leadership: won",
    "leadership: renewed",
    "leadership: resigned",
    "leadership: held by another",
    "stream: published",
    "refused: FENCED, another's token",
    "refused: FENCED, no token",
    "refused: OUTOFORDER",
    "refused: QUEUEFULL",
    "refused: token ahead of the clock",
    "refused: sequence used up",
    "answered: number seen before",
    "answered: key in use",
    "answered: stale receipt",
    "record: nothing",
    "record: verbatim",
    "record: effect",
    "record: several steps",
    "record: payloads beside",
    "waiters: a consumer is served",
    "waiters: a standby leads",
    "due: left for later",
    "answered: claim over, not taken back",
    "session: ended",
    "session: ended in slices",
    "term: started",
    "term: after a promotion",
    "term: another name",
    "wall clock: set ahead",
    "wall clock: set back",
    "rule: writes refused",
    "rule: nothing done by itself",
    "rule: afterwards it goes on",
    "rule: cut off, and a replica takes over",
    "crash: primary, nothing lost",
    "crash: primary, tail lost",
    "crash: replica",
    "restart: snapshot and log",
    "restart: clock earlier",
    "failover: nothing lost",
    "failover: records lost",
    "copy: whole queue",
    "copy: old primary rejoins",
];

#[derive(Clone, Debug, Default)]
pub struct Report {
    pub counts: BTreeMap<&'static str, u64>,
    pub steps: u64,
    pub worlds: u64,
}

impl Report {
    pub fn saw(&mut self, what: &'static str) {
        self.add(what, 1);
    }

    pub fn add(&mut self, what: &'static str, times: u64) {
        debug_assert!(ALL.contains(&what) || what.starts_with("held back"), "{what}");
        if times > 0 {
            *self.counts.entry(what).or_default() += times;
        }
    }

    pub fn merge(&mut self, other: &Report) {
        other.counts.iter().for_each(|(what, times)| *self.counts.entry(what).or_default() += times);
        self.steps += other.steps;
        self.worlds += other.worlds;
    }

    pub fn times(&self, what: &str) -> u64 {
        self.counts.get(what).copied().unwrap_or_default()
    }

    pub fn print(&self) {
        println!("{} steps in {} worlds", self.steps, self.worlds);
        ALL.iter().for_each(|what| println!("{:>12}  {what}", self.times(what)));
        for (what, times) in self.counts.iter().filter(|(what, _)| !ALL.contains(what)) {
            println!("{times:>12}  {what}");
        }
    }

    pub fn refused(&mut self, op: &Op, refusal: &Refusal) {
        let without_token = matches!(op, Op::Push(push) if push.fence.is_none());
        self.saw(match refusal {
            Refusal::Fenced if without_token => "refused: FENCED, no token",
            Refusal::Fenced => "refused: FENCED, another's token",
            Refusal::OutOfOrder { .. } => "refused: OUTOFORDER",
            Refusal::QueueFull { .. } => "refused: QUEUEFULL",
            Refusal::TokenAhead => "refused: token ahead of the clock",
            Refusal::SequenceExhausted => "refused: sequence used up",
            Refusal::ProducersFull | Refusal::NumbersExhausted => panic!("{refusal:?}: not in worlds of this size"),
        });
    }

    /// What a step did; `before` is the model before it, with the due work not yet done.
    pub fn done(&mut self, op: &Op, reply: &Reply, done: &Totals, before: &Model, after: &Model) {
        let at = after.now;
        let fewer = |what: &dyn Fn(&Message) -> bool| {
            let count = |model: &Model| model.messages.iter().filter(|message| what(message)).count() as u64;
            count(before).saturating_sub(count(after))
        };
        let due = |message: &Message| matches!(message.state, State::Delayed { due } if due <= at);
        self.add("arrow: delayed → ready, due", fewer(&due));
        let ended = |message: &Message| matches!(message.state, State::Errored { drain: Some((_, deadline, _)), .. } if deadline <= at);
        self.add("arrow: being drained → errored", fewer(&ended));
        let over = after.messages.iter().filter_map(Message::claim).filter(|claim| after.has_ended(claim));
        let named = over.filter(|claim| op.receipts().contains(&claim.receipt)).count();
        self.add("answered: claim over, not taken back", named as u64);
        self.add("arrow: ready → claimed, CLAIM", done.delivered);
        self.add("arrow: claimed → ready, RELEASE", done.released);
        self.add("arrow: claimed → ready, claim ended", done.expired - done.dead);
        self.add("arrow: claimed → errored, no delivery left", done.dead);
        self.add("arrow: claimed → errored, FAIL", done.failed);
        self.add("arrow: errored → ready, REDRIVE", done.redriven);
        self.add("arrow: errored → dropped, errors-keep", done.dropped);
        self.add("arrow: ready or delayed → errored, TTL", done.ttl_expired);
        self.answered(op, reply, done, before, at);
    }

    /// What the replies tell beside the totals.
    fn answered(&mut self, op: &Op, reply: &Reply, done: &Totals, before: &Model, at: u64) {
        match (op, reply) {
            (Op::Push(push), Reply::Pushed { duplicate, .. }) => self.pushed(push, *duplicate),
            (Op::Claim { .. }, Reply::Claimed { .. }) => {
                self.add("arrow: claimed → done, CLAIM ACK", done.acked);
                self.add("arrow: being drained → taken, ACK", done.drained);
            }
            (Op::Ack(receipts), Reply::Count(count)) => {
                self.add("arrow: claimed → done, ACK", done.acked);
                self.add("arrow: being drained → taken, ACK", done.drained);
                self.add("answered: stale receipt", receipts.len() as u64 - count);
            }
            (Op::Fail { retry, .. }, Reply::Failed(2)) => self.saw(match retry {
                Some(0) => "arrow: claimed → ready, FAIL RETRY 0",
                _ => "arrow: claimed → delayed, FAIL RETRY",
            }),
            (Op::Fail { .. }, Reply::Failed(0)) => self.saw("answered: stale receipt"),
            (Op::Extend { lease: 1.., .. }, Reply::Count(count)) => {
                self.add("arrow: claimed → claimed, EXTEND", *count)
            }
            (Op::Drain { .. }, Reply::Drained(got)) => {
                self.add("arrow: errored → taken, DRAINERRORS", done.drained);
                self.add("arrow: errored → being drained", got.iter().filter(|drained| drained.0 > 0).count() as u64);
            }
            (Op::Purge { state, .. }, Reply::Count(count)) => {
                let arrow = [
                    "arrow: ready → removed, PURGE",
                    "arrow: delayed → removed, PURGE",
                    "arrow: errored → removed, PURGE",
                ];
                self.add(arrow[usize::from(*state)], *count);
            }
            (Op::Remove(_), Reply::Count(count)) => self.add("arrow: any → removed, REMOVE", *count),
            (Op::EndSession(_), Reply::Count(1..)) => self.saw("session: ended"),
            (Op::Resign { .. }, Reply::Flag(true)) => self.saw("leadership: resigned"),
            (Op::Lead { candidate, .. }, Reply::Led { won, .. }) => {
                let leader = before.leader.as_ref().filter(|leader| leader.deadline > at);
                let renewed = leader.is_some_and(|leader| leader.candidate == [b'c', *candidate]);
                match won {
                    true if renewed => self.saw("leadership: renewed"),
                    true => self.saw("leadership: won"),
                    false => self.saw("leadership: held by another"),
                }
            }
            _ => {}
        }
    }

    fn pushed(&mut self, push: &super::op::PushOp, duplicate: bool) {
        match (duplicate, push.sequence) {
            (true, Some(_)) => self.saw("answered: number seen before"),
            (true, None) => self.saw("answered: key in use"),
            (false, sequence) => {
                let count = push.payloads.len() as u64;
                self.add(
                    match push.delay {
                        0 => "arrow: (nothing) → ready, PUSH",
                        _ => "arrow: (nothing) → delayed, PUSH DELAY",
                    },
                    count,
                );
                if sequence.is_some_and(|(producer, _)| producer == super::ledger::STREAM) {
                    self.add("stream: published", count);
                }
            }
        }
    }

    pub fn model_refusal(refused: &Refused, refusal: &Refusal) -> bool {
        match (refused, refusal) {
            (Refused::Fenced, Refusal::Fenced) | (Refused::QueueFull, Refusal::QueueFull { .. }) => true,
            (Refused::OutOfOrder(number), Refusal::OutOfOrder { expected }) => number == expected,
            _ => false,
        }
    }
}
