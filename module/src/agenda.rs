//! When the module has to act by itself, and the timers that make it.
//!
//! The agenda holds the queues that somebody waits for, the queues with more due work than one step may do, and what closed
//! connections held. All other due work waits for the next command. The alarm goes off when the first item is due. Each item
//! that is due then gets a timer of its own: what is done in one timer's callback goes to the copies together, and two queues
//! in it would be two records in a MULTI.
//!
//! Items are served in the order in which they came due. One that has had its turn and has more to do stands behind all others
//! that are due, and queues with waiters take turns with all other work: so neither a large backlog nor many closed connections
//! keep a waiter waiting.
//!
//! Nothing is done by itself that a command would be refused: while writes are paused, and while the server refuses them (too
//! few replicas, a disk that fails), what is due stays due.

use std::collections::BTreeMap;

use mq_engine::{SessionId, Span, Time};

use crate::budget::Spender;
use crate::entry::Place;
use crate::server::{Blocked, Context, Global, MayWrite, OwnedText, Purpose, Timer, writes_are_paused};
use crate::{budget, guard, looking, moment, serving, sessions, waiting};

/// Items that get their turn in one round of the event loop at most; then clients have theirs.
const ITEMS_PER_TURN: usize = 256;

/// Queues of closed connections that become items in one turn at most.
const CLOSED_PER_TURN: usize = 1000;

/// Closed connections that are ended together in one queue at most.
const SESSIONS_PER_TURN: usize = 64;

/// While writes are paused or refused, the alarm asks again this often.
const HELD_RETRY: Span = Span(10);

/// While a key's slot is another node's, its queue is looked after again this often. If the slot goes, the server sends the
/// waiters after it.
const SLOT_RETRY: Span = Span(100);

/// A queue in whose turn an internal fault struck is looked after again so much later: not at once, lest the log be filled.
const FAULT_RETRY: Span = Span(20);

/// An alarm that is this late has been overtaken: the wall clock, which the server's timers follow, has been set back.
const LATE: Span = Span(20);

/// A wait that the server has not ended this long after its time is ended here. (A server that was paused may forget it.)
const OVERDUE_WAIT: Span = Span(200);

/// Why a queue is looked after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Somebody waits for it.
    #[default]
    Waiters,
    /// More work is due than one step may do.
    Rest,
}

/// What is looked after: one queue in one respect.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Item {
    /// What is due in it is done, and who waits for it is served.
    Queue(Place),
    /// What a closed connection holds of it is ended.
    Session(Place, SessionId),
}

impl Item {
    fn place(&self) -> &Place {
        let (Item::Queue(place) | Item::Session(place, _)) = self;
        place
    }

    /// Queues that somebody waits for take turns with all others.
    fn class(&self) -> Class {
        match self {
            Item::Queue(place) if waiting::count(place) != (0, 0) => Class::Waiters,
            _ => Class::Other,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Waiters,
    Other,
}

/// When an item's turn comes: at this moment, and among those of the same moment in the order in which they were planned.
type Turn = (Time, u64);

#[derive(Clone, Copy, Debug)]
struct Planned {
    turn: Turn,
    class: Class,
    reason: Reason,
}

struct Agenda {
    planned: BTreeMap<Item, Planned>,
    /// The items of each class, by turn.
    turns: [BTreeMap<Turn, Item>; 2],
    /// Turns given so far.
    given: u64,
    /// The class that is served next if both have an item that is due.
    next: Class,
    alarm: Option<(Time, Timer)>,
    /// Timers that will each serve one item.
    runners: usize,
}

static AGENDA: Global<Agenda> = Global::new(Agenda {
    planned: BTreeMap::new(),
    turns: [BTreeMap::new(), BTreeMap::new()],
    given: 0,
    next: Class::Waiters,
    alarm: None,
    runners: 0,
});

impl Agenda {
    /// Plans an item for a moment, or leaves it where it is if that is earlier. Returns whether its turn is earlier than before.
    fn plan(&mut self, item: Item, at: Time, reason: Reason, class: Class) -> bool {
        let before = self.forget(&item);
        let reason = before.map_or(reason, |before| before.reason.max(reason));
        let is_sooner = before.is_none_or(|before| at < before.turn.0);
        self.given += 1;
        let turn = before.map(|before| before.turn).filter(|_| !is_sooner).unwrap_or((at, self.given));
        self.turns[class as usize].insert(turn, item.clone());
        self.planned.insert(item, Planned { turn, class, reason });
        is_sooner
    }

    fn forget(&mut self, item: &Item) -> Option<Planned> {
        let planned = self.planned.remove(item)?;
        self.turns[planned.class as usize].remove(&planned.turn);
        Some(planned)
    }

    fn first_of(&self, class: Class) -> Option<(Time, &Item)> {
        self.turns[class as usize].first_key_value().map(|((at, _), item)| (*at, item))
    }

    /// When the first turn comes.
    fn first_at(&self) -> Option<Time> {
        let first = |class| self.first_of(class).map(|(at, _)| at);
        first(Class::Waiters).into_iter().chain(first(Class::Other)).min()
    }

    /// The item whose turn it is.
    fn due(&self, now: Time) -> Option<&Item> {
        let due = |class| self.first_of(class).filter(|(at, _)| *at <= now).map(|(_, item)| item);
        match self.next {
            Class::Waiters => due(Class::Waiters).or_else(|| due(Class::Other)),
            Class::Other => due(Class::Other).or_else(|| due(Class::Waiters)),
        }
    }

    /// How many items are due, counted up to `limit` in each class.
    fn count_due(&self, now: Time, limit: usize) -> usize {
        self.turns.iter().map(|turns| turns.keys().take(limit).take_while(|(at, _)| *at <= now).count()).sum()
    }

    /// Takes an item off, to be served now.
    fn take(&mut self, item: &Item) -> Option<Reason> {
        let planned = self.forget(item)?;
        self.next = if planned.class == Class::Waiters { Class::Other } else { Class::Waiters };
        Some(planned.reason)
    }
}

impl Agenda {
    /// Takes off the closed connections of a queue whose turn has come.
    fn take_sessions(&mut self, place: &Place, now: Time) -> Vec<SessionId> {
        let all = Item::Session(place.clone(), SessionId(0))..=Item::Session(place.clone(), SessionId(u64::MAX));
        let due = self.planned.range(all).filter(|(_, planned)| planned.turn.0 <= now).take(SESSIONS_PER_TURN);
        let items: Vec<Item> = due.map(|(item, _)| item.clone()).collect();
        let session = |item: &Item| match item {
            Item::Session(_, session) => Some(*session),
            Item::Queue(_) => None,
        };
        items.iter().filter_map(|item| self.forget(item).and_then(|_| session(item))).collect()
    }
}

fn plan_item(item: Item, at: Time, reason: Reason) {
    let class = item.class();
    if AGENDA.with(|agenda| agenda.plan(item, at, reason, class)) {
        set_alarm(at);
    }
}

/// Looks after this queue at that moment, or earlier. (Whoever is looked after too early is planned anew.)
pub fn plan(place: &Place, at: Time, reason: Reason) {
    plan_item(Item::Queue(place.clone()), at, reason);
}

/// Nobody waits for this queue any more.
pub fn nobody_waits(place: &Place) {
    let item = Item::Queue(place.clone());
    AGENDA.with(|agenda| {
        if agenda.planned.get(&item).is_some_and(|planned| planned.reason == Reason::Waiters) {
            agenda.forget(&item);
        }
    });
}

/// Looks after every queue that somebody waits for, in one database or in all: its keys are gone, or others.
pub fn plan_all(db: Option<i32>) {
    let now = moment::now();
    waiting::places(db).iter().for_each(|place| plan(place, now, Reason::Waiters));
}

/// Lets the alarm go off at that moment, or earlier.
pub fn set_alarm(at: Time) {
    let is_set = AGENDA.read().alarm.as_ref().is_some_and(|(set, _)| *set <= at);
    if is_set {
        return;
    }
    if let Some((_, timer)) = AGENDA.with(|agenda| agenda.alarm.take()) {
        timer.stop();
    }
    let timer = Timer::start(at.since(moment::now()), Purpose::Alarm);
    AGENDA.with(|agenda| agenda.alarm = Some((at, timer)));
}

/// A timer has gone off.
pub fn timer(context: Context<'_>, purpose: Purpose) {
    AGENDA.with(|agenda| match purpose {
        Purpose::Alarm => agenda.alarm = None,
        Purpose::Item => agenda.runners = agenda.runners.saturating_sub(1),
    });
    if context.flags().is_serving_primary() {
        match purpose {
            Purpose::Alarm => alarm(context),
            Purpose::Item => serve_one(context),
        }
    }
}

/// Gives turns to the items that are due, and sets the next alarm.
fn alarm(context: Context<'_>) {
    let now = moment::now();
    if let Some(later) = is_held(context, now) {
        return set_alarm(now.after(later));
    }
    if sessions::are_crowded() {
        sessions::thin_out(context);
    }
    for (session, place) in std::iter::from_fn(sessions::take_closed).take(CLOSED_PER_TURN) {
        plan_item(Item::Session(place, session), now, Reason::Rest);
    }
    let due = AGENDA.read().count_due(now, ITEMS_PER_TURN).min(ITEMS_PER_TURN);
    budget::divide(due);
    let runners = due.saturating_sub(1 + AGENDA.read().runners);
    for _ in 0..runners {
        Timer::start(Span(0), Purpose::Item);
    }
    AGENDA.with(|agenda| agenda.runners += runners);
    serve_one(context);
    // What is left is for the next turn: clients come first.
    let next = AGENDA.read().first_at().map(|at| at.max(now.after(Span(1))));
    let more = (sessions::are_closed() || sessions::are_crowded()).then(|| now.after(Span(1)));
    if let Some(at) = next.into_iter().chain(more).min() {
        set_alarm(at);
    }
}

/// How long everything has to wait: while writes are paused or refused, and until the server's clients have had their turn.
fn is_held(context: Context<'_>, now: Time) -> Option<Span> {
    if writes_are_paused() {
        return Some(HELD_RETRY);
    }
    if budget::for_timer(now) == 0 {
        return Some(Span(1));
    }
    let due = AGENDA.read().due(now).map(|item| item.place().clone());
    let place = due.or_else(sessions::first_closed)?;
    (may_write(context, &place) == MayWrite::Nowhere).then_some(HELD_RETRY)
}

fn may_write(context: Context<'_>, place: &Place) -> MayWrite {
    context.select_db(place.db);
    context.may_write(OwnedText::new(&place.name).text())
}

/// Gives one item its turn, if the server's rules allow it and its clients have had theirs.
fn serve_one(context: Context<'_>) {
    let now = moment::now();
    let Some(item) = AGENDA.read().due(now).cloned() else { return };
    if writes_are_paused() || budget::for_timer(now) == 0 {
        return; // the alarm asks again
    }
    let may_write = may_write(context, item.place());
    if may_write == MayWrite::Nowhere {
        return; // the alarm asks again
    }
    let Some(reason) = AGENDA.with(|agenda| agenda.take(&item)) else { return };
    budget::spend(Spender::Timer, budget::TURN_PIECES);
    if may_write == MayWrite::NotHere {
        return put_off(context, item, now, reason);
    }
    let served = guard::contained(|| match &item {
        Item::Queue(place) => serving::tend(context, place, reason, now),
        Item::Session(place, session) => end_sessions(context, place, *session, now),
    });
    if served.is_none() {
        // The queue is broken now, which its waiters are to learn.
        plan(item.place(), now.after(FAULT_RETRY), Reason::Waiters);
    }
}

/// Ends what closed connections hold of one queue: of this one, and of others that are due. They are one act, and its record.
fn end_sessions(context: Context<'_>, place: &Place, first: SessionId, now: Time) {
    let others = AGENDA.with(|agenda| agenda.take_sessions(place, now));
    let sessions: Vec<SessionId> = std::iter::once(first).chain(others).collect();
    for session in sessions::end(context, &sessions, place, now) {
        plan_item(Item::Session(place.clone(), session), now.after(Span(1)), Reason::Rest);
    }
}

/// The slot of the key is another node's, or on its way there. Once the queue has gone there, its waiters are the server's to
/// send after it, and its sessions end with the first write of its new home.
fn put_off(context: Context<'_>, item: Item, now: Time, reason: Reason) {
    if item.class() == Class::Waiters || looking::exists(context, item.place()) {
        plan_item(item, now.after(SLOT_RETRY), reason);
    }
}

/// Now and then: follows the wall clock, finds an alarm that is late because that was set back, sets one that a fault has
/// prevented, and ends waits that the server has forgotten.
pub fn tick() {
    moment::follow_wall();
    let now = moment::now();
    waiting::take_overdue(now, OVERDUE_WAIT).into_iter().for_each(Blocked::wake);
    let (alarm, first) = {
        let agenda = AGENDA.read();
        (agenda.alarm.as_ref().map(|(at, _)| *at), agenda.first_at())
    };
    match alarm {
        None => {
            let more = (sessions::are_closed() || sessions::are_crowded()).then_some(now);
            if let Some(at) = first.into_iter().chain(more).min() {
                set_alarm(at);
            }
        }
        Some(at) if now.since(at) > LATE => {
            let late = AGENDA.with(|agenda| {
                agenda.runners = 0; // their timers are as late
                agenda.alarm.take()
            });
            if let Some((_, timer)) = late {
                timer.stop();
            }
            set_alarm(at);
        }
        Some(_) => {}
    }
}

/// This server is a primary no more: what is due is another's to do.
pub fn clear() {
    AGENDA.with(|agenda| {
        agenda.planned.clear();
        agenda.turns.iter_mut().for_each(BTreeMap::clear);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(name: &str) -> Item {
        Item::Queue(Place::new(0, name.as_bytes()))
    }

    fn empty() -> Agenda {
        let turns = [BTreeMap::new(), BTreeMap::new()];
        Agenda { planned: BTreeMap::new(), turns, given: 0, next: Class::Waiters, alarm: None, runners: 0 }
    }

    /// Serves the items that are due, each of which wants another turn a millisecond later; in which order that was.
    fn served(agenda: &mut Agenda, now: u64, count: usize) -> Vec<Item> {
        let mut served = Vec::new();
        for _ in 0..count {
            let Some(item) = agenda.due(Time(now)).cloned() else { break };
            let class = agenda.planned[&item].class;
            agenda.take(&item);
            agenda.plan(item.clone(), Time(now + 1), Reason::Rest, class);
            served.push(item);
        }
        served
    }

    #[test]
    fn whoever_has_had_its_turn_stands_behind_all_others_whatever_their_names() {
        let mut agenda = empty();
        for name in ["a", "b", "c"] {
            agenda.plan(queue(name), Time(10), Reason::Waiters, Class::Waiters);
        }
        agenda.plan(queue("z"), Time(11), Reason::Waiters, Class::Waiters);
        assert_eq!(served(&mut agenda, 11, 5), ["a", "b", "c", "z"].map(queue));
        assert_eq!(served(&mut agenda, 12, 2), ["a", "b"].map(queue));
        assert_eq!(served(&mut agenda, 13, 4), ["c", "z", "a", "b"].map(queue), "two of the four had no turn before");
    }

    #[test]
    fn queues_with_waiters_take_turns_with_what_closed_connections_held() {
        let mut agenda = empty();
        for n in 0..100u64 {
            let item = Item::Session(Place::new(0, b"held"), SessionId(n));
            agenda.plan(item, Time(1), Reason::Rest, Class::Other);
        }
        agenda.plan(queue("waited for"), Time(5), Reason::Waiters, Class::Waiters);
        assert!(served(&mut agenda, 5, 2).contains(&queue("waited for")));
    }

    #[test]
    fn an_item_is_planned_once_for_the_earlier_of_two_moments() {
        let mut agenda = empty();
        assert!(agenda.plan(queue("q"), Time(20), Reason::Rest, Class::Waiters));
        assert!(!agenda.plan(queue("q"), Time(30), Reason::Waiters, Class::Other));
        assert!(agenda.plan(queue("q"), Time(10), Reason::Waiters, Class::Waiters));
        assert_eq!((agenda.first_at(), agenda.count_due(Time(99), 9)), (Some(Time(10)), 1));
        assert_eq!(agenda.take(&queue("q")), Some(Reason::Rest), "the stronger reason stays");
        assert_eq!((agenda.first_at(), agenda.planned.len()), (None, 0));
    }
}
