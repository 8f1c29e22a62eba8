//! What time alone does: searched for from end to end, piece by piece, as many pieces as a step may do.

use super::{Message, Model, State};

/// The claim of one message: to process it, or to drain it.
#[derive(Clone, Debug)]
pub struct ClaimOf {
    pub receipt: u64,
    pub deadline: u64,
    pub session: Option<u64>,
    /// Drains have no name.
    pub consumer: Vec<u8>,
}

/// Pieces of due work, in the order of their kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Claim,
    Delay,
    Life,
    OldError,
}

impl Message {
    pub fn claim(&self) -> Option<ClaimOf> {
        match &self.state {
            State::Claimed { receipt, deadline, consumer, session } => {
                let (receipt, deadline, session, consumer) = (*receipt, *deadline, *session, consumer.clone());
                Some(ClaimOf { receipt, deadline, session, consumer })
            }
            State::Errored { drain: Some((receipt, deadline, session)), .. } => {
                let (receipt, deadline, session, consumer) = (*receipt, *deadline, *session, Vec::new());
                Some(ClaimOf { receipt, deadline, session, consumer })
            }
            _ => None,
        }
    }
}

impl Model {
    /// Time passes: claims end and delays come due, as many as the step may do.
    pub fn settle(&mut self, now: u64, term: Option<(u64, u64)>) {
        self.now = self.now.max(now);
        self.wall = self.wall_clock.max(self.now);
        self.due_left = self.due;
        if let Some((floor, skip)) = term {
            self.next.iter_mut().for_each(|next| *next = (*next + skip).max(floor));
            self.leader = None;
            self.void_below = self.next[super::RECEIPT];
        }
        self.take_back();
    }

    pub fn is_void(&self, claim: &ClaimOf) -> bool {
        claim.session.is_some() && claim.receipt < self.void_below
    }

    pub fn has_ended(&self, claim: &ClaimOf) -> bool {
        claim.deadline <= self.now || self.is_void(claim)
    }

    /// How many claims have ended without having been taken back.
    pub fn void_claims(&self) -> usize {
        self.messages.iter().filter_map(Message::claim).filter(|claim| self.has_ended(claim)).count()
    }

    /// Whether there is work that is due by then.
    pub fn has_due_at(&self, now: u64) -> bool {
        self.first_void().is_some() || self.first_due(self.now.max(now)).is_some()
    }

    pub fn take_back(&mut self) {
        while self.due_left > 0 {
            let Some((index, kind)) = self.first_void().or_else(|| self.first_due(self.now)) else { break };
            match kind {
                Kind::Claim => self.end_claim(index),
                Kind::Delay => self.messages[index].state = State::Ready,
                Kind::Life => self.end_life(index),
                Kind::OldError => {
                    self.messages.remove(index);
                    self.dropped += 1;
                }
            }
            self.due_left -= 1;
        }
    }

    fn first_void(&self) -> Option<(usize, Kind)> {
        let claims = self.messages.iter().enumerate().filter_map(|(index, message)| Some((index, message.claim()?)));
        let void = claims.filter(|(_, claim)| self.is_void(claim));
        let first = void.min_by_key(|(_, claim)| (claim.session, claim.consumer.clone(), claim.receipt));
        first.map(|(index, _)| (index, Kind::Claim))
    }

    fn first_due(&self, now: u64) -> Option<(usize, Kind)> {
        let pieces = self.messages.iter().enumerate().flat_map(|(index, message)| {
            self.pieces_of(message).into_iter().flatten().map(move |(at, kind, number)| ((at, kind, number), index))
        });
        let due = pieces.filter(|((at, ..), _)| *at <= now);
        due.min().map(|((_, kind, _), index)| (index, kind))
    }

    /// When something of this message is due: a moment, what it is, and the number that decides between equals.
    fn pieces_of(&self, message: &Message) -> [Option<(u64, Kind, u64)>; 3] {
        let id = message.id;
        let claim = message.claim().map(|claim| (claim.deadline, Kind::Claim, claim.receipt));
        let life = message.expires.map(|at| (at, Kind::Life, id));
        match message.state {
            State::Ready => [life, None, None],
            State::Delayed { due } => [Some((due, Kind::Delay, id)), life, None],
            State::Claimed { .. } => [claim, None, None],
            State::Errored { entered, drain: None, .. } if self.errors_keep > 0 => {
                [Some((entered + self.errors_keep, Kind::OldError, id)), None, None]
            }
            State::Errored { .. } => [claim, None, None],
        }
    }

    /// What has outlived its time.
    pub(super) fn end_life(&mut self, index: usize) {
        let (entered, at) = (self.now, self.wall);
        let message = &mut self.messages[index];
        let (reason, consumer) = (b"expired".to_vec(), Vec::new());
        message.state = State::Errored { reason, consumer, entered, at, drain: None };
        message.expires = None;
        self.ttl_expired += 1;
    }

    pub(super) fn end_claim(&mut self, index: usize) {
        let (limit, entered, at) = (self.max_deliveries, self.now, self.wall);
        let message = &mut self.messages[index];
        let State::Claimed { consumer, .. } = &message.state else { return self.stop_drain(index) };
        let consumer = consumer.clone();
        self.expired += 1;
        if limit > 0 && message.deliveries >= limit {
            self.dead += 1;
            message.state = State::Errored { reason: b"max-deliveries".to_vec(), consumer, entered, at, drain: None };
        } else {
            message.state = State::Ready;
        }
    }

    pub(super) fn stop_drain(&mut self, index: usize) {
        if let State::Errored { drain, .. } = &mut self.messages[index].state {
            *drain = None;
        }
    }

    /// Ends the leadership of a session, and as many of its claims as the step may do pieces of due work.
    pub fn end_session(&mut self, session: u64) -> u64 {
        let mut ended = 0;
        if self.leader().is_some_and(|leader| leader.session == Some(session)) {
            self.leader = None;
            ended += 1;
        }
        while self.due_left > 0 {
            let claims =
                self.messages.iter().enumerate().filter_map(|(index, message)| Some((index, message.claim()?)));
            let own = claims.filter(|(_, claim)| claim.session == Some(session));
            let first = own.min_by_key(|(_, claim)| (claim.consumer.clone(), claim.receipt));
            let Some((index, _)) = first else { break };
            self.end_claim(index);
            self.due_left -= 1;
            ended += 1;
        }
        if ended > 0 {
            self.take_back();
        }
        ended
    }

    /// Whether a session holds something.
    pub fn is_held_by(&self, session: u64) -> bool {
        let leads = self.leader.as_ref().is_some_and(|leader| leader.session == Some(session));
        leads || self.messages.iter().filter_map(Message::claim).any(|claim| claim.session == Some(session))
    }

    /// The message that has this unique key goes. How many that were.
    pub(super) fn forget_key(&mut self, unique: Option<&[u8]>) -> u64 {
        let before = self.messages.len();
        self.messages.retain(|message| unique.is_none() || message.unique.as_deref() != unique);
        (before - self.messages.len()) as u64
    }
}
