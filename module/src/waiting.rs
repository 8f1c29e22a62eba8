//! Who waits for which queue, in the order in which they came. Nothing here calls the server.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::rc::Rc;

use mq_engine::{Id, LeaderView, Receipt, SessionId, Span};

use crate::entry::Place;
use crate::failure::Failure;
use crate::server::{Blocked, Global, WaiterId};

/// A CLAIM … BLOCK that found nothing.
#[derive(Debug)]
pub struct Consumer {
    /// As in the command.
    pub name: Box<[u8]>,
    /// As in the command.
    pub count: usize,
    /// As in the command.
    pub lease: Option<Span>,
    /// As in the command.
    pub session: Option<SessionId>,
    /// With ACK: how many of the receipts counted, at once.
    pub acked: Option<u64>,
}

/// A LEADER … BLOCK that found another leading.
#[derive(Debug)]
pub struct Candidate {
    /// As in the command.
    pub name: Box<[u8]>,
    /// As in the command.
    pub lease: Option<Span>,
    /// As in the command.
    pub session: Option<SessionId>,
}

/// One message of an answer that is given later than it was claimed.
#[derive(Debug)]
pub struct Claimed {
    /// Names the claim.
    pub receipt: Receipt,
    /// Names the message.
    pub id: Id,
    /// How often it has been claimed.
    pub deliveries: u32,
    /// A copy of it.
    pub payload: Box<[u8]>,
}

/// What a waiter is told.
#[derive(Debug)]
pub enum Answer {
    /// To a consumer.
    Claims {
        /// With ACK: how many of the receipts counted.
        acked: Option<u64>,
        /// What was claimed for it; nothing when its time is over.
        claims: Vec<Claimed>,
    },
    /// To a candidate.
    Leader(Option<LeaderView>),
    /// To both.
    Failed(Failure),
}

/// Those who wait for one queue; a smaller id came earlier.
#[derive(Default)]
struct Line {
    consumers: BTreeMap<WaiterId, (Blocked, Rc<Consumer>)>,
    candidates: BTreeMap<WaiterId, (Blocked, Rc<Candidate>)>,
}

struct Waiting {
    last: u64,
    lines: BTreeMap<Place, Line>,
    whereabouts: BTreeMap<WaiterId, Place>,
    /// Of those that were woken, until the server asks for it.
    answers: BTreeMap<WaiterId, Answer>,
}

static WAITING: Global<Waiting> =
    Global::new(Waiting { last: 0, lines: BTreeMap::new(), whereabouts: BTreeMap::new(), answers: BTreeMap::new() });

/// The name of the next wait.
pub fn next_id() -> WaiterId {
    WAITING.with(|waiting| {
        waiting.last += 1;
        WaiterId(NonZeroU64::new(waiting.last).unwrap_or(NonZeroU64::MIN))
    })
}

/// A consumer begins to wait.
pub fn add_consumer(id: WaiterId, place: &Place, blocked: Blocked, consumer: Consumer) {
    WAITING.with(|waiting| waiting.line(id, place).consumers.insert(id, (blocked, Rc::new(consumer))));
}

/// A candidate begins to wait.
pub fn add_candidate(id: WaiterId, place: &Place, blocked: Blocked, candidate: Candidate) {
    WAITING.with(|waiting| waiting.line(id, place).candidates.insert(id, (blocked, Rc::new(candidate))));
}

/// Whether anybody waits for any queue.
pub fn is_anybody() -> bool {
    !WAITING.read().lines.is_empty()
}

/// How many consumers and candidates wait for any queue.
pub fn everywhere() -> (usize, usize) {
    let add = |(consumers, candidates): (usize, usize), line: &Line| {
        (consumers + line.consumers.len(), candidates + line.candidates.len())
    };
    WAITING.read().lines.values().fold((0, 0), add)
}

/// How many consumers and candidates wait for a queue.
pub fn count(place: &Place) -> (usize, usize) {
    WAITING.read().lines.get(place).map_or((0, 0), |line| (line.consumers.len(), line.candidates.len()))
}

/// The consumer that came first.
pub fn first_consumer(place: &Place) -> Option<(WaiterId, Rc<Consumer>)> {
    let waiting = WAITING.read();
    let (id, (_, consumer)) = waiting.lines.get(place)?.consumers.first_key_value()?;
    Some((*id, Rc::clone(consumer)))
}

/// The candidate that came first.
pub fn first_candidate(place: &Place) -> Option<(WaiterId, Rc<Candidate>)> {
    let waiting = WAITING.read();
    let (id, (_, candidate)) = waiting.lines.get(place)?.candidates.first_key_value()?;
    Some((*id, Rc::clone(candidate)))
}

/// The first candidate of that name: a process that waits on two connections.
pub fn candidate_named(place: &Place, name: &[u8]) -> Option<(WaiterId, Rc<Candidate>)> {
    let waiting = WAITING.read();
    let mut candidates = waiting.lines.get(place)?.candidates.iter();
    candidates
        .find(|(_, (_, candidate))| *candidate.name == *name)
        .map(|(id, (_, candidate))| (*id, Rc::clone(candidate)))
}

/// Everybody who waits for a queue.
pub fn everybody(place: &Place) -> Vec<WaiterId> {
    WAITING
        .read()
        .lines
        .get(place)
        .map_or_else(Vec::new, |line| line.consumers.keys().chain(line.candidates.keys()).copied().collect())
}

/// The candidates for a queue.
pub fn candidates(place: &Place) -> Vec<WaiterId> {
    WAITING.read().lines.get(place).map_or_else(Vec::new, |line| line.candidates.keys().copied().collect())
}

/// The queues that somebody waits for, in one database or in all.
pub fn places(db: Option<i32>) -> Vec<Place> {
    let waiting = WAITING.read();
    waiting.lines.keys().filter(|place| db.is_none_or(|db| place.db == db)).cloned().collect()
}

/// The queue that a waiter waits for.
pub fn place_of(id: WaiterId) -> Option<Place> {
    WAITING.read().whereabouts.get(&id).cloned()
}

/// The queue of that name, if candidates wait for it.
pub fn place_with_candidates(db: i32, name: &[u8]) -> Option<Place> {
    if !is_anybody() {
        return None;
    }
    let place = Place::new(db, name);
    (count(&place).1 > 0).then_some(place)
}

/// A waiter leaves its line with an answer. Who gets the handle wakes it.
pub fn answer(id: WaiterId, answer: Answer) -> Option<Blocked> {
    WAITING.with(|waiting| {
        let (blocked, _) = waiting.leave(id)?;
        waiting.answers.insert(id, answer);
        Some(blocked)
    })
}

/// What the server asks for when a waiter is to be answered.
pub enum Due {
    /// It was woken with this.
    Answer(Answer),
    /// Its time is over; a candidate is told who leads there.
    TimeIsOver(Kind, Place),
    /// It is not known: answered already.
    Nothing,
}

/// What a waiter waits for.
pub enum Kind {
    /// Messages; with ACK, how many receipts counted.
    Messages(Option<u64>),
    /// Leadership.
    Leadership,
}

/// A waiter's wait is over, for whatever reason.
pub fn take_answer(id: WaiterId) -> Due {
    WAITING.with(|waiting| {
        if let Some(answer) = waiting.answers.remove(&id) {
            return Due::Answer(answer);
        }
        let Some(place) = waiting.whereabouts.get(&id).cloned() else { return Due::Nothing };
        waiting.leave(id).map_or(Due::Nothing, |(_, kind)| Due::TimeIsOver(kind, place))
    })
}

/// Nothing more can be told to a waiter.
pub fn forget(id: WaiterId) {
    WAITING.with(|waiting| {
        waiting.leave(id);
        waiting.answers.remove(&id);
    });
}

impl Waiting {
    fn line(&mut self, id: WaiterId, place: &Place) -> &mut Line {
        self.whereabouts.insert(id, place.clone());
        self.lines.entry(place.clone()).or_default()
    }

    fn leave(&mut self, id: WaiterId) -> Option<(Blocked, Kind)> {
        let place = self.whereabouts.remove(&id)?;
        let line = self.lines.get_mut(&place)?;
        let consumer = line.consumers.remove(&id).map(|(blocked, waiter)| (blocked, Kind::Messages(waiter.acked)));
        let candidate = line.candidates.remove(&id).map(|(blocked, _)| (blocked, Kind::Leadership));
        if line.consumers.is_empty() && line.candidates.is_empty() {
            self.lines.remove(&place);
        }
        consumer.or(candidate)
    }
}
