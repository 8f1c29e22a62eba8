//! A queue so simple that it is obviously right: one list of messages, searched from end to end for everything.
#![allow(missing_docs, dead_code)]

mod due;
mod store;

use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Ready,
    Delayed { due: u64 },
    Claimed { receipt: u64, deadline: u64, consumer: Vec<u8>, session: Option<u64> },
    Errored { reason: Vec<u8>, consumer: Vec<u8>, entered: u64, at: u64, drain: Option<(u64, u64, Option<u64>)> },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub id: u64,
    pub payload: Vec<u8>,
    pub priority: u8,
    pub deliveries: u32,
    pub state: State,
    pub unique: Option<Vec<u8>>,
    pub group: Option<Vec<u8>>,
    pub expires: Option<u64>,
}

/// What a push attaches to its messages.
#[derive(Clone, Debug, Default)]
pub struct Label {
    pub unique: Option<Vec<u8>>,
    pub group: Option<Vec<u8>>,
    pub ttl: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    pub candidate: Vec<u8>,
    pub token: u64,
    pub deadline: u64,
    pub session: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    Fenced,
    OutOfOrder(u64),
    QueueFull,
}

#[derive(Clone, Debug, Default)]
pub struct Model {
    pub now: u64,
    /// What the wall clock shows.
    pub wall_clock: u64,
    /// The wall clock as the step that is being done takes it.
    pub wall: u64,
    /// How many pieces of due work each step may do.
    pub due: usize,
    /// Those that the step that is being done may still do.
    pub due_left: usize,
    /// Claims of sessions under a smaller receipt are of an earlier term: void.
    pub void_below: u64,
    pub messages: Vec<Message>,
    pub next: [u64; 3],
    pub lease: u64,
    pub max_deliveries: u32,
    pub max_length: u64,
    pub paused: bool,
    pub leader_only: bool,
    pub errors_keep: u64,
    pub max_claimed: u64,
    pub rate: u64,
    /// Until when the claims so far have used up the rate (ns).
    pub used_until: u64,
    pub leader: Option<Leader>,
    pub leader_changes: u64,
    pub fence_seen: u64,
    pub producers: BTreeMap<Vec<u8>, (u64, u64, u64)>,
    pub pushed: u64,
    pub acked: u64,
    pub failed: u64,
    pub dead: u64,
    pub retried: u64,
    pub expired: u64,
    pub released: u64,
    pub drained: u64,
    pub redriven: u64,
    pub delivered: u64,
    pub redelivered: u64,
    pub removed: u64,
    pub dropped: u64,
    pub ttl_expired: u64,
}

pub const ID: usize = 0;
pub const RECEIPT: usize = 1;
pub const TOKEN: usize = 2;

impl Model {
    pub fn new() -> Model {
        Model { next: [1; 3], lease: 30_000, max_deliveries: 20, due: usize::MAX, ..Model::default() }
    }

    fn number(&mut self, kind: usize) -> u64 {
        self.next[kind] += 1;
        self.next[kind] - 1
    }

    pub fn leader(&self) -> Option<Leader> {
        self.leader.clone().filter(|leader| leader.deadline > self.now)
    }

    pub fn judge_fence(&self, token: u64) -> Result<(), Refused> {
        let accepted = if self.leader_changes > 0 {
            self.leader().is_some_and(|leader| leader.token == token)
        } else {
            token >= self.fence_seen
        };
        if accepted { Ok(()) } else { Err(Refused::Fenced) }
    }

    /// As if all due work were done. `Ok(None)`: to be pushed. `Ok(Some(id))`: seen before, the id given then or 0.
    pub fn judge_push(
        &self,
        count: u64,
        fence: Option<u64>,
        sequence: Option<(&[u8], u64)>,
        unique: Option<&[u8]>,
    ) -> Result<Option<u64>, Refused> {
        let mut settled = self.clone();
        settled.due_left = usize::MAX;
        settled.take_back();
        settled.judge_settled(count, fence, sequence, unique)
    }

    fn judge_settled(
        &self,
        count: u64,
        fence: Option<u64>,
        sequence: Option<(&[u8], u64)>,
        unique: Option<&[u8]>,
    ) -> Result<Option<u64>, Refused> {
        match fence {
            Some(token) => self.judge_fence(token)?,
            None if self.leader_only => return Err(Refused::Fenced),
            None => {}
        }
        if let Some((producer, first)) = sequence
            && let Some((next, last_first, last_id)) = self.producers.get(producer)
            && first != *next
        {
            if first + count > *next {
                return Err(Refused::OutOfOrder(*next));
            }
            return Ok(Some(if first == *last_first && first + count == *next { *last_id } else { 0 }));
        }
        let known = self.messages.iter().find(|message| unique.is_some() && message.unique.as_deref() == unique);
        if let Some(message) = known {
            return Ok(Some(message.id));
        }
        if self.max_length > 0 && self.messages.len() as u64 + count > self.max_length {
            return Err(Refused::QueueFull);
        }
        Ok(None)
    }

    pub fn push(
        &mut self,
        payloads: &[Vec<u8>],
        priority: u8,
        delay: u64,
        fence: Option<u64>,
        sequence: Option<(&[u8], u64)>,
        label: &Label,
    ) -> u64 {
        // An error that holds the key has been kept for long enough, or the push would not have come so far.
        self.dropped += self.forget_key(label.unique.as_deref());
        let first = self.next[ID];
        for payload in payloads {
            let id = self.number(ID);
            let state = if delay == 0 { State::Ready } else { State::Delayed { due: self.now + delay } };
            let (payload, Label { unique, group, ttl }) = (payload.clone(), label.clone());
            let expires = ttl.map(|ttl| self.now + delay + ttl);
            self.messages.push(Message { id, payload, priority, deliveries: 0, state, unique, group, expires });
        }
        if let Some((producer, number)) = sequence {
            self.producers.insert(producer.to_vec(), (number + payloads.len() as u64, number, first));
        }
        self.fence_seen = self.fence_seen.max(fence.unwrap_or(0));
        self.pushed += payloads.len() as u64;
        first
    }

    pub fn claim(&mut self, consumer: &[u8], count: usize, lease: Option<u64>, session: Option<u64>) -> Vec<Message> {
        let mut claimed = Vec::new();
        while claimed.len() < count && !self.paused && self.has_room() {
            let Some(index) = self.next_ready() else { break };
            if self.messages[index].expires.is_some_and(|expires| expires <= self.now) {
                self.end_life(index);
                match self.due_left.checked_sub(1) {
                    Some(left) => self.due_left = left,
                    None => break,
                }
                continue;
            }
            self.used_until = self.used_until.max(self.now * 1_000_000) + self.interval();
            let (receipt, deadline) = (self.number(RECEIPT), self.now + lease.unwrap_or(self.lease));
            let message = &mut self.messages[index];
            message.deliveries += 1;
            message.state = State::Claimed { receipt, deadline, consumer: consumer.to_vec(), session };
            self.delivered += 1;
            self.redelivered += u64::from(message.deliveries > 1);
            claimed.push(message.clone());
        }
        claimed
    }

    /// What the claims so far have used up is measured by the new rate, a bucket of it at most.
    pub fn set_rate(&mut self, rate: u64) {
        let (now, before) = (self.now * 1_000_000, self.interval());
        let used = self.used_until.saturating_sub(now);
        if rate == self.rate {
            return;
        }
        self.rate = rate;
        let claims = used.div_ceil(before.max(1));
        let bucket = self.interval().max(100_000_000);
        let kept = before > 0 && rate > 0 && used > 0;
        self.used_until = if kept { now + (claims * self.interval()).min(bucket) } else { 0 };
    }

    fn interval(&self) -> u64 {
        1_000_000_000u64.checked_div(self.rate).unwrap_or(0)
    }

    fn has_room(&self) -> bool {
        let claimed = self.messages.iter().filter(|message| matches!(message.state, State::Claimed { .. })).count();
        let now = self.now * 1_000_000;
        let in_pace =
            self.used_until.max(now) + self.interval() <= now + self.interval().max(100_000_000) || self.rate == 0;
        in_pace && (self.max_claimed == 0 || (claimed as u64) < self.max_claimed)
    }

    /// The highest priority first, then the smallest id; of a group nothing while one of it is being processed or retried.
    fn next_ready(&self) -> Option<usize> {
        let busy = |message: &Message| match message.state {
            State::Claimed { .. } => true,
            State::Delayed { .. } => message.deliveries > 0,
            _ => false,
        };
        let held =
            |group: &Vec<u8>| self.messages.iter().any(|other| other.group.as_ref() == Some(group) && busy(other));
        let ready = self.messages.iter().enumerate().filter(|(_, message)| message.state == State::Ready);
        let free = ready.filter(|(_, message)| !message.group.as_ref().is_some_and(held));
        free.min_by_key(|(_, message)| (255 - message.priority, message.id)).map(|(index, _)| index)
    }

    fn current(&self, receipt: u64) -> Option<usize> {
        self.messages.iter().position(|message| {
            message.claim().is_some_and(|claim| claim.receipt == receipt && !self.has_ended(&claim))
        })
    }

    pub fn ack(&mut self, receipts: &[u64]) -> u64 {
        let mut acked = 0;
        for receipt in receipts {
            let Some(index) = self.current(*receipt) else { continue };
            acked += 1;
            match self.messages.remove(index).state {
                State::Claimed { .. } => self.acked += 1,
                _ => self.drained += 1,
            }
        }
        acked
    }

    /// 0 stale, 1 errored, 2 retried.
    pub fn fail(&mut self, receipt: u64, retry: Option<u64>, why: &[u8]) -> u8 {
        let Some(index) = self.current(receipt) else { return 0 };
        let (now, at, limit) = (self.now, self.wall, self.max_deliveries);
        let message = &mut self.messages[index];
        let State::Claimed { consumer, .. } = message.state.clone() else {
            self.stop_drain(index);
            return 1;
        };
        match retry {
            Some(retry)
                if (limit == 0 || message.deliveries < limit) && message.expires.is_none_or(|at| at > now + retry) =>
            {
                self.retried += 1;
                message.state = if retry == 0 { State::Ready } else { State::Delayed { due: now + retry } };
                2
            }
            _ => {
                self.failed += 1;
                message.state = State::Errored { reason: why.to_vec(), consumer, entered: now, at, drain: None };
                1
            }
        }
    }

    pub fn extend(&mut self, lease: u64, receipts: &[u64]) -> u64 {
        let mut extended = 0;
        for receipt in receipts {
            let Some(index) = self.current(*receipt) else { continue };
            extended += 1;
            let until = self.now + lease;
            if let State::Claimed { deadline, .. } | State::Errored { drain: Some((_, deadline, _)), .. } =
                &mut self.messages[index].state
            {
                *deadline = until;
            }
            if lease == 0 {
                self.end_claim(index);
            }
        }
        extended
    }

    pub fn release(&mut self, receipts: &[u64]) -> u64 {
        let mut released = 0;
        for receipt in receipts {
            let Some(index) = self.current(*receipt) else { continue };
            released += 1;
            if let State::Claimed { .. } = self.messages[index].state {
                self.messages[index].deliveries -= 1;
                self.messages[index].state = State::Ready;
                self.released += 1;
            } else {
                self.stop_drain(index);
            }
        }
        released
    }

    pub fn lead(&mut self, candidate: &[u8], lease: Option<u64>, session: Option<u64>, renew: Option<u64>) -> bool {
        let deadline = self.now + lease.unwrap_or(self.lease);
        match (self.leader(), renew) {
            (Some(leader), renew) if leader.candidate == candidate && renew.is_none_or(|t| t == leader.token) => {
                self.leader = Some(Leader { deadline, session: session.or(leader.session), ..leader });
                true
            }
            (None, None) => {
                let token = self.number(TOKEN);
                self.leader = Some(Leader { candidate: candidate.to_vec(), token, deadline, session });
                self.leader_changes += 1;
                true
            }
            _ => false,
        }
    }

    pub fn resign(&mut self, candidate: &[u8], token: u64) -> bool {
        let leads = self.leader().is_some_and(|leader| leader.candidate == candidate && leader.token == token);
        if leads {
            self.leader = None;
        }
        leads
    }
}
