//! A queue so simple that it is obviously right: one list of messages, searched from end to end for everything.
#![allow(missing_docs, dead_code)]

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
        Model { next: [1; 3], lease: 30_000, max_deliveries: 20, ..Model::default() }
    }

    fn number(&mut self, kind: usize) -> u64 {
        self.next[kind] += 1;
        self.next[kind] - 1
    }

    /// Time passes: claims end and delays come due.
    pub fn settle(&mut self, now: u64, term: Option<(u64, u64)>) {
        self.now = self.now.max(now);
        self.wall = self.wall_clock.max(self.now);
        if let Some((floor, skip)) = term {
            self.next.iter_mut().for_each(|next| *next = (*next + skip).max(floor));
            self.leader = None;
            self.end_sessions(|_| true);
        }
        for index in 0..self.messages.len() {
            self.settle_message(index);
        }
        self.end_lives();
    }

    /// What has outlived its time.
    fn end_lives(&mut self) {
        let (now, at) = (self.now, self.wall);
        for message in &mut self.messages {
            if matches!(message.state, State::Ready | State::Delayed { .. })
                && message.expires.is_some_and(|expires| expires <= now)
            {
                let (reason, consumer) = (b"expired".to_vec(), Vec::new());
                message.state = State::Errored { reason, consumer, entered: now, at, drain: None };
                message.expires = None;
                self.ttl_expired += 1;
            }
        }
        let keep = self.errors_keep;
        let old = |message: &Message| matches!(message.state, State::Errored { entered, drain: None, .. } if keep > 0 && entered + keep <= now);
        let before = self.messages.len();
        self.messages.retain(|message| !old(message));
        self.dropped += (before - self.messages.len()) as u64;
    }

    fn settle_message(&mut self, index: usize) {
        let now = self.now;
        match self.messages[index].state.clone() {
            State::Delayed { due } if due <= now => self.messages[index].state = State::Ready,
            State::Claimed { deadline, consumer, .. } if deadline <= now => self.end_claim(index, consumer),
            State::Errored { drain: Some((_, deadline, _)), .. } if deadline <= now => self.stop_drain(index),
            _ => {}
        }
    }

    fn end_claim(&mut self, index: usize, consumer: Vec<u8>) {
        self.expired += 1;
        let (limit, entered, at) = (self.max_deliveries, self.now, self.wall);
        let message = &mut self.messages[index];
        if limit > 0 && message.deliveries >= limit {
            self.dead += 1;
            message.state = State::Errored { reason: b"max-deliveries".to_vec(), consumer, entered, at, drain: None };
        } else {
            message.state = State::Ready;
        }
    }

    fn stop_drain(&mut self, index: usize) {
        if let State::Errored { drain, .. } = &mut self.messages[index].state {
            *drain = None;
        }
    }

    fn end_sessions(&mut self, of: impl Fn(u64) -> bool) -> u64 {
        let now = self.now;
        let mut ended = 0;
        for message in &mut self.messages {
            if let State::Claimed { deadline, session: Some(session), .. }
            | State::Errored { drain: Some((_, deadline, Some(session))), .. } = &mut message.state
                && of(*session)
                && *deadline > now
            {
                *deadline = now;
                ended += 1;
            }
        }
        ended
    }

    pub fn end_session(&mut self, session: u64) -> u64 {
        let mut ended = self.end_sessions(|of| of == session);
        if self.leader().is_some_and(|leader| leader.session == Some(session)) {
            self.leader = None;
            ended += 1;
        }
        (0..self.messages.len()).for_each(|index| self.settle_message(index));
        self.end_lives();
        ended
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

    /// `Ok(None)`: to be pushed. `Ok(Some(id))`: seen before, the id given then or 0.
    pub fn judge_push(
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

    pub fn remove(&mut self, ids: &[u64]) -> u64 {
        let before = self.messages.len();
        self.messages.retain(|message| {
            let fixed = matches!(message.state, State::Claimed { .. } | State::Errored { drain: Some(_), .. });
            fixed || !ids.contains(&message.id)
        });
        self.removed += (before - self.messages.len()) as u64;
        (before - self.messages.len()) as u64
    }

    /// All of one state, in the order in which they go.
    pub fn purge(&mut self, state: u8, count: usize) -> u64 {
        let mut removed = 0;
        while (removed as usize) < count {
            let of = |wanted: fn(&Message) -> bool| self.messages.iter().filter(move |message| wanted(message));
            let id = match state {
                0 => self
                    .next_ready()
                    .map(|index| self.messages[index].id)
                    .or_else(|| of(|message| message.state == State::Ready).map(|message| message.id).min()),
                1 => of(|message| matches!(message.state, State::Delayed { .. }))
                    .min_by_key(|message| match message.state {
                        State::Delayed { due } => (due, message.id),
                        _ => unreachable!(),
                    })
                    .map(|message| message.id),
                _ => of(|message| matches!(message.state, State::Errored { drain: None, .. }))
                    .map(|message| message.id)
                    .min(),
            };
            let Some(id) = id else { break };
            removed += self.remove(&[id]);
        }
        removed
    }

    fn current(&self, receipt: u64) -> Option<usize> {
        self.messages.iter().position(|message| match &message.state {
            State::Claimed { receipt: r, deadline, .. } => *r == receipt && *deadline > self.now,
            State::Errored { drain: Some((r, deadline, _)), .. } => *r == receipt && *deadline > self.now,
            _ => false,
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
            self.settle_message(index);
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

    pub fn drain(&mut self, count: usize, lease: Option<u64>, session: Option<u64>) -> Vec<(u64, Message)> {
        let mut drained = Vec::new();
        while drained.len() < count {
            let waits = |message: &Message| matches!(message.state, State::Errored { drain: None, .. });
            let waiting = self.messages.iter().enumerate().filter(|(_, message)| waits(message));
            let Some((index, _)) = waiting.min_by_key(|(_, message)| message.id) else { break };
            let taken = self.messages[index].clone();
            match lease {
                None => {
                    self.messages.remove(index);
                    self.drained += 1;
                    drained.push((0, taken));
                }
                Some(lease) => {
                    let (receipt, until) = (self.number(RECEIPT), self.now + lease);
                    if let State::Errored { drain, .. } = &mut self.messages[index].state {
                        *drain = Some((receipt, until, session));
                    }
                    drained.push((receipt, taken));
                }
            }
        }
        drained
    }

    pub fn redrive(&mut self, ids: Option<&[u64]>, count: usize) -> u64 {
        let mut redriven = 0;
        for message in &mut self.messages {
            let named = ids.is_none_or(|ids| ids.contains(&message.id));
            if named && redriven < count as u64 && matches!(message.state, State::Errored { drain: None, .. }) {
                (message.state, message.deliveries, message.expires) = (State::Ready, 0, None);
                redriven += 1;
            }
        }
        self.redriven += redriven;
        redriven
    }
}
