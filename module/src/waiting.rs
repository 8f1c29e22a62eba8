//! Who waits for which queue, in the order in which they came. Nothing here calls the server.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::rc::Rc;

use mq_engine::{Id, LeaderView, Receipt, SessionId, Span, Time};

use crate::entry::Place;
use crate::failure::Failure;
use crate::server::{Blocked, Global, WaiterId};

/// Who sent the command of a waiter.
#[derive(Debug)]
pub struct Sender {
    /// On which connection.
    pub connection: SessionId,
    /// Which user, if the server has one for it. A user that is deleted leaves its connections to another one until they close.
    pub user: Option<Box<[u8]>>,
    /// The command's name, as it was sent.
    pub command: Box<[u8]>,
}

/// A client that begins to wait.
pub struct Wait {
    /// Names the wait.
    pub id: WaiterId,
    /// For this queue.
    pub place: Place,
    /// The server's handle.
    pub blocked: Blocked,
    /// When its time is over, if ever.
    pub until: Option<Time>,
}

/// A CLAIM … BLOCK that found nothing.
#[derive(Debug)]
pub struct Consumer {
    /// Its rights are judged again when it is served.
    pub sender: Sender,
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
    /// Its rights are judged again when it is served.
    pub sender: Sender,
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
    /// The candidates by name: those of a process that waits on several connections stand together.
    by_name: BTreeSet<(Box<[u8]>, WaiterId)>,
}

/// Where a waiter stands, and until when.
struct Whereabouts {
    place: Place,
    until: Option<Time>,
}

struct Waiting {
    last: u64,
    lines: BTreeMap<Place, Line>,
    whereabouts: BTreeMap<WaiterId, Whereabouts>,
    /// The waiters whose time will be over, by that time.
    by_until: BTreeSet<(Time, WaiterId)>,
    /// How many candidates there are.
    candidates: usize,
    /// Of those that were woken, until the server asks for it.
    answers: BTreeMap<WaiterId, Answer>,
}

static WAITING: Global<Waiting> = Global::new(Waiting {
    last: 0,
    lines: BTreeMap::new(),
    whereabouts: BTreeMap::new(),
    by_until: BTreeSet::new(),
    candidates: 0,
    answers: BTreeMap::new(),
});

/// The name of the next wait.
pub fn next_id() -> WaiterId {
    WAITING.with(|waiting| {
        waiting.last += 1;
        WaiterId(NonZeroU64::new(waiting.last).unwrap_or(NonZeroU64::MIN))
    })
}

/// A consumer begins to wait.
pub fn add_consumer(wait: Wait, consumer: Consumer) {
    WAITING.with(|waiting| {
        let (id, blocked) = (wait.id, wait.blocked);
        waiting.line(wait).consumers.insert(id, (blocked, Rc::new(consumer)));
    });
}

/// A candidate begins to wait.
pub fn add_candidate(wait: Wait, candidate: Candidate) {
    WAITING.with(|waiting| {
        let (id, blocked) = (wait.id, wait.blocked);
        waiting.candidates += 1;
        let line = waiting.line(wait);
        line.by_name.insert((candidate.name.clone(), id));
        line.candidates.insert(id, (blocked, Rc::new(candidate)));
    });
}

/// The waiters whose time has been over for `grace` and whom the server has not told so, each once, so many at a time.
pub fn take_overdue(now: Time, grace: Span) -> Vec<Blocked> {
    const AT_A_TIME: usize = 1000;
    WAITING.with(|waiting| {
        let mut overdue = Vec::new();
        while overdue.len() < AT_A_TIME
            && let Some((until, id)) = waiting.by_until.first().copied().filter(|(until, _)| until.after(grace) <= now)
        {
            waiting.by_until.remove(&(until, id));
            overdue.extend(waiting.blocked(id));
        }
        overdue
    })
}

/// Whether anybody waits for any queue.
pub fn is_anybody() -> bool {
    !WAITING.read().lines.is_empty()
}

/// How many consumers and candidates wait for any queue.
pub fn everywhere() -> (usize, usize) {
    let waiting = WAITING.read();
    (waiting.whereabouts.len() - waiting.candidates, waiting.candidates)
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
    let line = waiting.lines.get(place).filter(|line| !line.candidates.is_empty())?;
    let first = (Box::from(name), WaiterId(NonZeroU64::MIN));
    let (_, id) = line.by_name.range(first..).next().filter(|(known, _)| **known == *name)?;
    line.candidates.get(id).map(|(_, candidate)| (*id, Rc::clone(candidate)))
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
    WAITING.read().whereabouts.get(&id).map(|whereabouts| whereabouts.place.clone())
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
    /// Leadership; who asked for it.
    Leadership(Rc<Candidate>),
}

/// A waiter's wait is over, for whatever reason.
pub fn take_answer(id: WaiterId) -> Due {
    WAITING.with(|waiting| {
        if let Some(answer) = waiting.answers.remove(&id) {
            return Due::Answer(answer);
        }
        let Some(place) = waiting.whereabouts.get(&id).map(|whereabouts| whereabouts.place.clone()) else {
            return Due::Nothing;
        };
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
    fn line(&mut self, wait: Wait) -> &mut Line {
        let Wait { id, place, until, .. } = wait;
        if let Some(until) = until {
            self.by_until.insert((until, id));
        }
        self.whereabouts.insert(id, Whereabouts { place: place.clone(), until });
        self.lines.entry(place).or_default()
    }

    fn blocked(&self, id: WaiterId) -> Option<Blocked> {
        let line = self.lines.get(&self.whereabouts.get(&id)?.place)?;
        let consumer = line.consumers.get(&id).map(|(blocked, _)| *blocked);
        consumer.or_else(|| line.candidates.get(&id).map(|(blocked, _)| *blocked))
    }

    fn leave(&mut self, id: WaiterId) -> Option<(Blocked, Kind)> {
        let Whereabouts { place, until } = self.whereabouts.remove(&id)?;
        if let Some(until) = until {
            self.by_until.remove(&(until, id));
        }
        let line = self.lines.get_mut(&place)?;
        let consumer = line.consumers.remove(&id).map(|(blocked, waiter)| (blocked, Kind::Messages(waiter.acked)));
        let candidate = line.candidates.remove(&id).map(|(blocked, candidate)| {
            line.by_name.remove(&(candidate.name.clone(), id));
            self.candidates -= 1;
            (blocked, Kind::Leadership(candidate))
        });
        if line.consumers.is_empty() && line.candidates.is_empty() {
            self.lines.remove(&place);
        }
        consumer.or(candidate)
    }
}
