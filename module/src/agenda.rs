//! When the module has to act by itself, and the one timer that makes it.
//!
//! The timer looks after queues that somebody waits for, queues with more due work than one step may do, and what closed
//! connections held. All other due work waits for the next command.

use std::collections::{BTreeMap, BTreeSet};

use mq_engine::{Span, Time};

use crate::entry::Place;
use crate::server::{Context, Global, Timer, writes_are_paused};
use crate::{guard, moment, serving, sessions, waiting};

/// Queues that one turn of the timer looks after at most; then clients have their turn.
const PLACES_PER_TURN: usize = 256;

/// While writes are paused, the timer asks again this often.
const PAUSE_RETRY: Span = Span(10);

/// A queue in whose turn an internal fault struck is looked after again so much later: not at once, lest the log be filled.
const FAULT_RETRY: Span = Span(20);

/// So late is no timer by itself: the wall clock, which the server's timers follow, has been set back.
const LATE: Span = Span(20);

/// Why a queue is looked after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Somebody waits for it.
    #[default]
    Waiters,
    /// More work is due than one step may do.
    Rest,
}

struct Agenda {
    by_place: BTreeMap<Place, (Time, Reason)>,
    by_time: BTreeSet<(Time, Place)>,
    alarm: Option<(Time, Timer)>,
}

static AGENDA: Global<Agenda> =
    Global::new(Agenda { by_place: BTreeMap::new(), by_time: BTreeSet::new(), alarm: None });

impl Agenda {
    /// Whether that is earlier than planned.
    fn plan(&mut self, place: &Place, at: Time, reason: Reason) -> bool {
        let planned = self.by_place.get(place).copied();
        let reason = reason.max(planned.map_or(reason, |(_, planned)| planned));
        let sooner = planned.is_none_or(|(planned, _)| at < planned);
        let at = planned.map_or(at, |(planned, _)| at.min(planned));
        if sooner {
            if let Some((planned, _)) = planned {
                self.by_time.remove(&(planned, place.clone()));
            }
            self.by_time.insert((at, place.clone()));
        }
        self.by_place.insert(place.clone(), (at, reason));
        sooner
    }

    fn forget(&mut self, place: &Place) -> Option<Reason> {
        let (at, reason) = self.by_place.remove(place)?;
        self.by_time.remove(&(at, place.clone()));
        Some(reason)
    }

    /// Those that are due, at most so many.
    fn take_due(&mut self, now: Time, most: usize) -> Vec<(Place, Reason)> {
        let due = self.by_time.iter().take_while(|(at, _)| *at <= now).take(most);
        let places: Vec<Place> = due.map(|(_, place)| place.clone()).collect();
        places.into_iter().filter_map(|place| self.forget(&place).map(|reason| (place, reason))).collect()
    }
}

/// Looks after this queue at that moment, or earlier. (Whoever is looked after too early is planned anew.)
pub fn plan(place: &Place, at: Time, reason: Reason) {
    if AGENDA.with(|agenda| agenda.plan(place, at, reason)) {
        set_alarm(at);
    }
}

/// Nobody waits for this queue any more.
pub fn nobody_waits(place: &Place) {
    AGENDA.with(|agenda| {
        if agenda.by_place.get(place).is_some_and(|(_, reason)| *reason == Reason::Waiters) {
            agenda.forget(place);
        }
    });
}

/// Looks after every queue that somebody waits for, in one database or in all: its keys are gone, or others.
pub fn plan_all(db: Option<i32>) {
    let now = moment::now();
    waiting::places(db).iter().for_each(|place| plan(place, now, Reason::Waiters));
}

/// Lets the timer go off at that moment, or earlier.
pub fn set_alarm(at: Time) {
    let is_set = AGENDA.read().alarm.as_ref().is_some_and(|(set, _)| *set <= at);
    if is_set {
        return;
    }
    if let Some((_, timer)) = AGENDA.with(|agenda| agenda.alarm.take()) {
        timer.stop();
    }
    let timer = Timer::start(at.since(moment::now()));
    AGENDA.with(|agenda| agenda.alarm = Some((at, timer)));
}

/// The timer has gone off.
pub fn timer(context: Context<'_>) {
    AGENDA.with(|agenda| agenda.alarm = None);
    if !context.flags().is_serving_primary() {
        return;
    }
    let now = moment::now();
    if writes_are_paused() {
        return set_alarm(now.after(PAUSE_RETRY));
    }
    let most = sessions::end_closed(context, now, PLACES_PER_TURN);
    // Each has one turn; what it leaves is planned for the next, and clients come first.
    for (place, reason) in AGENDA.with(|agenda| agenda.take_due(now, most)) {
        if guard::contained(|| serving::tend(context, &place, reason, now)).is_none() {
            plan(&place, now.after(FAULT_RETRY), Reason::Waiters); // the queue is broken now, which its waiters are to learn
        }
    }
    let next = AGENDA.read().by_time.first().map(|(at, _)| *at);
    if let Some(at) = next {
        set_alarm(at);
    }
    if sessions::are_closed() {
        set_alarm(now);
    }
}

/// Now and then: finds a timer that is late because the wall clock was set, and sets one that a fault has prevented.
pub fn tick() {
    let (alarm, planned) = {
        let agenda = AGENDA.read();
        (agenda.alarm.as_ref().map(|(at, _)| *at), agenda.by_time.first().map(|(at, _)| *at))
    };
    if alarm.is_none()
        && let Some(at) = planned
    {
        set_alarm(at);
    }
    if let Some(at) = alarm
        && moment::now().since(at) > LATE
    {
        if let Some((_, timer)) = AGENDA.with(|agenda| agenda.alarm.take()) {
            timer.stop();
        }
        set_alarm(at);
    }
}

/// This server is a primary no more: what is due is another's to do.
pub fn clear() {
    AGENDA.with(|agenda| {
        agenda.by_place.clear();
        agenda.by_time.clear();
    });
}
