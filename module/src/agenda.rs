//! When the module has to act by itself, and the one timer that makes it.
//!
//! The timer looks after queues that somebody waits for, queues with more due work than one step may do, and what closed
//! connections held. All other due work waits for the next command.

use std::collections::{BTreeMap, BTreeSet};

use mq_engine::{Span, Time};

use crate::entry::Place;
use crate::server::{Context, Global, Timer, writes_are_paused};
use crate::{moment, serving, sessions, waiting};

/// Queues that one turn of the timer looks after at most; then clients have their turn.
const PLACES_PER_TURN: usize = 256;

/// While writes are paused, the timer asks again this often.
const PAUSE_RETRY: Span = Span(10);

/// So late is no timer by itself: the wall clock, which the server's timers follow, has been set back.
const LATE: Span = Span(20);

struct Agenda {
    by_place: BTreeMap<Place, Time>,
    by_time: BTreeSet<(Time, Place)>,
    alarm: Option<(Time, Timer)>,
}

static AGENDA: Global<Agenda> =
    Global::new(Agenda { by_place: BTreeMap::new(), by_time: BTreeSet::new(), alarm: None });

impl Agenda {
    /// Whether that is earlier than planned.
    fn plan(&mut self, place: &Place, at: Time) -> bool {
        if let Some(planned) = self.by_place.get_mut(place) {
            if *planned <= at {
                return false;
            }
            self.by_time.remove(&(*planned, place.clone()));
            *planned = at;
        } else {
            self.by_place.insert(place.clone(), at);
        }
        self.by_time.insert((at, place.clone()))
    }

    fn take_due(&mut self, now: Time) -> Option<Place> {
        let (at, _) = self.by_time.first()?;
        if *at > now {
            return None;
        }
        let (_, place) = self.by_time.pop_first()?;
        self.by_place.remove(&place);
        Some(place)
    }
}

/// Looks after this queue at that moment, or earlier. (Whoever is looked after too early is planned anew.)
pub fn plan(place: &Place, at: Time) {
    if AGENDA.with(|agenda| agenda.plan(place, at)) {
        set_alarm(at);
    }
}

/// Looks after every queue that somebody waits for, in one database or in all: its keys are gone, or others.
pub fn plan_all(db: Option<i32>) {
    let now = moment::now();
    waiting::places(db).iter().for_each(|place| plan(place, now));
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
    let mut places_left = sessions::end_closed(context, now, PLACES_PER_TURN);
    while places_left > 0
        && let Some(place) = AGENDA.with(|agenda| agenda.take_due(now))
    {
        serving::tend(context, &place, now);
        places_left -= 1;
    }
    let next = AGENDA.read().by_time.first().map(|(at, _)| *at);
    if let Some(at) = next {
        set_alarm(at);
    }
    if sessions::are_closed() {
        set_alarm(now);
    }
}

/// Now and then: finds a timer that is late because the wall clock was set.
pub fn tick() {
    let alarm = AGENDA.read().alarm.as_ref().map(|(at, _)| *at);
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
