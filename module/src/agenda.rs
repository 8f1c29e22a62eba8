//! When the module has to act by itself, and the timers that make it.
//!
//! The alarm looks after queues that somebody waits for, queues with more due work than one step may do, and what closed
//! connections held. All other due work waits for the next command. What is due becomes tasks, one for each queue, and each
//! task has a timer of its own: what is done in one timer's callback goes to the copies together, and two queues in it would be
//! two records in a MULTI.
//!
//! Nothing is done by itself that a command would be refused: while writes are paused, and while the server refuses them (too
//! few replicas, a disk that fails), what is due stays due.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use mq_engine::{SessionId, Span, Time};

use crate::entry::Place;
use crate::server::{Blocked, Context, Global, MayWrite, OwnedText, Purpose, Timer, writes_are_paused};
use crate::{budget, guard, moment, serving, sessions, waiting};

/// Tasks of one turn at most; then clients have their turn.
const TASKS_PER_TURN: usize = 256;

/// While writes are paused or refused, the alarm asks again this often.
const HELD_RETRY: Span = Span(10);

/// While a key's slot is another node's, its queue is looked after again this often. If the slot goes, the server sends the
/// waiters after it.
const SLOT_RETRY: Span = Span(100);

/// A queue in whose turn an internal fault struck is looked after again so much later: not at once, lest the log be filled.
const FAULT_RETRY: Span = Span(20);

/// So late is no timer by itself: the wall clock, which the server's timers follow, has been set back.
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

/// One act of the module's own, on one queue.
enum Task {
    /// Does what is due, and serves those who wait.
    Tend(Place, Reason),
    /// Ends what a closed connection holds.
    EndSession(SessionId, Place),
}

struct Agenda {
    by_place: BTreeMap<Place, (Time, Reason)>,
    by_time: BTreeSet<(Time, Place)>,
    alarm: Option<(Time, Timer)>,
    /// Each has a timer that goes off at once.
    tasks: VecDeque<Task>,
}

static AGENDA: Global<Agenda> =
    Global::new(Agenda { by_place: BTreeMap::new(), by_time: BTreeSet::new(), alarm: None, tasks: VecDeque::new() });

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
    let timer = Timer::start(at.since(moment::now()), Purpose::Alarm);
    AGENDA.with(|agenda| agenda.alarm = Some((at, timer)));
}

/// A timer has gone off.
pub fn timer(context: Context<'_>, purpose: Purpose) {
    let is_primary = context.flags().is_serving_primary();
    match purpose {
        Purpose::Alarm => {
            AGENDA.with(|agenda| agenda.alarm = None);
            if is_primary {
                alarm(context);
            }
        }
        Purpose::Task => {
            let task = AGENDA.with(|agenda| {
                let task = agenda.tasks.pop_front();
                if agenda.tasks.is_empty() {
                    agenda.tasks = VecDeque::new(); // gives the room back
                }
                task
            });
            if let Some(task) = task.filter(|_| is_primary) {
                run(context, task);
            }
        }
    }
}

/// Makes tasks of what is due. Each queue has one turn; what that leaves is planned for the next, and clients come first.
fn alarm(context: Context<'_>) {
    let now = moment::now();
    if let Some(later) = is_held(context, now) {
        return set_alarm(now.after(later));
    }
    if sessions::are_crowded() {
        sessions::thin_out(context);
    }
    let closed = std::iter::from_fn(sessions::take_closed).take(TASKS_PER_TURN);
    let mut tasks: Vec<Task> = closed.map(|(session, place)| Task::EndSession(session, place)).collect();
    let due = AGENDA.with(|agenda| agenda.take_due(now, TASKS_PER_TURN - tasks.len()));
    tasks.extend(due.into_iter().map(|(place, reason)| Task::Tend(place, reason)));
    for task in tasks.drain(1.min(tasks.len())..) {
        AGENDA.with(|agenda| agenda.tasks.push_back(task));
        Timer::start(Span(0), Purpose::Task);
    }
    if let Some(first) = tasks.pop() {
        run(context, first);
    }
    let next = AGENDA.read().by_time.first().map(|(at, _)| *at);
    if let Some(at) = next {
        set_alarm(at);
    }
    if sessions::are_closed() || sessions::are_crowded() {
        set_alarm(now.after(Span(1)));
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
    let place = AGENDA.read().by_time.first().map(|(_, place)| place.clone()).or_else(sessions::first_closed);
    place.filter(|place| may_write(context, place) == MayWrite::Nowhere).map(|_| HELD_RETRY)
}

fn may_write(context: Context<'_>, place: &Place) -> MayWrite {
    context.select_db(place.db);
    context.may_write(OwnedText::new(&place.name).text())
}

/// Does a task, or puts it off.
fn run(context: Context<'_>, task: Task) {
    let now = moment::now();
    let (Task::Tend(place, _) | Task::EndSession(_, place)) = &task;
    let held = match may_write(context, place) {
        _ if writes_are_paused() => Some(HELD_RETRY),
        MayWrite::Nowhere => Some(HELD_RETRY),
        MayWrite::NotHere => Some(SLOT_RETRY),
        MayWrite::Yes => (budget::for_timer(now) == 0).then_some(Span(1)),
    };
    match (task, held) {
        (Task::Tend(place, reason), Some(later)) => plan(&place, now.after(later), reason),
        (Task::Tend(place, reason), None) => {
            if guard::contained(|| serving::tend(context, &place, reason, now)).is_none() {
                plan(&place, now.after(FAULT_RETRY), Reason::Waiters); // the queue is broken now, which its waiters are to learn
            }
        }
        (Task::EndSession(session, place), Some(later)) => {
            sessions::put_back(session, place);
            set_alarm(now.after(later));
        }
        (Task::EndSession(session, place), None) => {
            if guard::contained(|| sessions::end(context, session, &place)) == Some(true) {
                sessions::put_back(session, place);
                set_alarm(now.after(Span(1)));
            }
        }
    }
}

/// Now and then: follows the wall clock, finds a timer that is late because that was set back, sets one that a fault has
/// prevented, and ends waits that the server has forgotten.
pub fn tick() {
    moment::follow_wall();
    waiting::take_overdue(moment::now(), OVERDUE_WAIT).into_iter().for_each(Blocked::wake);
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
        agenda.tasks.clear();
    });
}
