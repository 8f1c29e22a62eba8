//! The value of a key: a queue, and what this server knows of it beside its state.

use std::sync::Arc;

use mq_engine::{Corrupt, Executed, Form, Moment, Mover, Operation, Queue, Record, Refusal, Span, Time, apply_record};

use crate::moment;
use crate::tally::{self, Happened};
use crate::terms::{self, Epoch};

/// A name in a database.
///
/// The name is counted by references, since a queue, its waiters and its sessions all hold it; atomically, since a value
/// may be freed in another thread.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The database's number.
    pub db: i32,
    /// The key.
    pub name: Arc<[u8]>,
}

impl Place {
    /// This key of this database.
    pub fn new(db: i32, name: &[u8]) -> Place {
        Place { db, name: name.into() }
    }

    /// Whether it is that one.
    pub fn is(&self, db: i32, name: &[u8]) -> bool {
        self.db == db && *self.name == *name
    }
}

/// Counted by this server since it loaded the queue; no part of its state.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sightings {
    /// Receipts refused.
    pub stale: u64,
    /// Pushes refused by their token, or for want of one.
    pub fenced: u64,
    /// Repeated pushes recognised.
    pub duplicates: u64,
}

/// The value of a key.
#[derive(Debug)]
pub struct Entry {
    /// `None`: BROKEN, its content unknown.
    queue: Option<Queue>,
    /// Set while the queue is being changed. Found set, the change was struck by a fault: BROKEN.
    busy: bool,
    /// Where its last write took place, which started or continued a term there. None since it was loaded or copied, or has
    /// left that place.
    home: Option<Place>,
    /// How often the keys of that database had been exchanged by then.
    swaps: u64,
    /// Since when this server knows it, or of its last term.
    since: Epoch,
    /// By how much this server's clock was behind the queue's time when its term started. The queue's time goes on from
    /// there; if it waited for the clock, no lease would end and no delay be due until then.
    lag: Span,
    /// The queue's levels, as they are counted among those of all queues.
    levels: [u64; 4],
    /// What this server has refused and recognised in this queue.
    pub sightings: Sightings,
}

/// The queue was struck by a fault while it was being changed.
#[derive(Debug)]
pub struct Broken;

/// Where, when and within which bounds a step is done.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'n> {
    /// What the server's clock shows.
    pub clock: Time,
    /// Pieces of due work that the step may do.
    pub due: usize,
    /// How it is recorded.
    pub form: Form,
    /// The database.
    pub db: i32,
    /// The name of the key.
    pub name: &'n [u8],
}

impl Entry {
    /// A queue that was created, loaded, or made by an effect; `None`: a broken one.
    pub fn new(queue: Option<Queue>) -> Entry {
        terms::saw_numbers(queue.as_ref().map_or(0, Queue::numbers_end));
        Entry::made(queue, terms::epoch())
    }

    fn made(queue: Option<Queue>, since: Epoch) -> Entry {
        let levels = queue.as_ref().map_or([0; 4], Queue::levels);
        tally::queue_made(levels);
        Entry { queue, busy: false, home: None, swaps: 0, since, lag: Span(0), levels, sightings: Sightings::default() }
    }

    /// The same queue under another name, which starts a term of its own.
    pub fn copy(&self) -> Entry {
        Entry::made(self.queue().ok().cloned(), self.since)
    }

    /// The queue.
    ///
    /// # Errors
    /// It is broken.
    pub fn queue(&self) -> Result<&Queue, Broken> {
        self.queue.as_ref().filter(|_| !self.busy).ok_or(Broken)
    }

    /// Where it was written last: after a write, the place at which it is open.
    pub fn home(&self) -> Option<&Place> {
        self.home.as_ref()
    }

    /// Whether the next write at this place starts a term; until then nobody leads, and no session's claims go on.
    pub fn is_pending(&self, db: i32, name: &[u8]) -> bool {
        let is_home = |home: &Place| home.is(db, name) && self.swaps == terms::swaps(db);
        self.since != terms::epoch() || !self.home.as_ref().is_some_and(is_home)
    }

    /// The queue's time when the server's clock shows `clock`: never before that of its last step.
    pub fn time(&self, clock: Time) -> Time {
        let time = clock.after(self.lag);
        self.queue().map_or(time, |queue| time.max(queue.time()))
    }

    /// What the server's clock shows at a moment of the queue's time.
    pub fn clock(&self, time: Time) -> Time {
        Time(time.0.saturating_sub(self.lag.0))
    }

    /// It leaves its place. Should it come back, that is an arrival as any other.
    pub fn leave(&mut self) {
        self.home = None;
    }

    /// One step on a primary.
    ///
    /// # Errors
    /// Broken, or refused; it changed nothing then.
    pub fn execute<O: Operation>(
        &mut self,
        operation: &O,
        circumstances: &Circumstances<'_>,
    ) -> Result<(Executed<O::Output>, Happened), Stopped> {
        let Circumstances { clock, due, form, db, name } = *circumstances;
        let pending = self.is_pending(db, name);
        let lag = if pending { self.queue()?.time().since(clock) } else { self.lag };
        let wall = moment::wall(clock);
        let term = pending.then(|| terms::start(wall, self.since));
        let moment = Moment { now: clock.after(lag), wall, term, due };
        let (executed, happened) = self.change(|queue| queue.execute_in_form(operation, moment, form))?;
        let executed = executed.inspect_err(|refusal| self.count_refusal(refusal)).map_err(Stopped::Refused)?;
        if executed.record != Record::Nothing && pending {
            self.home = Some(Place::new(db, name));
            self.swaps = terms::swaps(db);
            self.since = terms::epoch();
            self.lag = lag;
        }
        Ok((executed, happened))
    }

    fn count_refusal(&mut self, refusal: &Refusal) {
        if *refusal == Refusal::Fenced {
            self.sightings.fenced += 1;
            tally::saw(0, 1, 0);
        }
    }

    /// Does what a command did on the primary that was sent on as it came.
    ///
    /// # Errors
    /// Broken.
    pub fn apply<O: Operation>(&mut self, operation: &O) -> Result<(O::Output, Happened), Broken> {
        self.change(|queue| queue.apply(operation))
    }

    /// Does what an effect says. A queue that cannot is broken from then on: it would differ from the primary's.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn apply_effect(&mut self, effect: &[u8], payloads: &[&[u8]]) -> Result<Happened, Corrupt> {
        let Ok(queue) = self.queue() else {
            return Ok(Happened::default()); // it stays so, whatever comes
        };
        let before = tally::before(queue);
        self.busy = true;
        apply_record(&mut self.queue, effect, payloads)?;
        self.busy = false;
        terms::saw_numbers(self.queue.as_ref().map_or(0, Queue::numbers_end));
        Ok(self.queue.as_ref().map_or_else(Happened::default, |queue| tally::after(&before, queue, &mut self.levels)))
    }

    /// Moves the queue's memory from piece `from` on; where to go on later.
    pub fn defragment(&mut self, mover: &mut impl Mover, from: usize) -> Option<usize> {
        self.queue.as_mut().filter(|_| !self.busy)?.move_memory(mover, from)
    }

    /// Changes the queue. If that panics, it is broken from then on.
    fn change<R>(&mut self, act: impl FnOnce(&mut Queue) -> R) -> Result<(R, Happened), Broken> {
        let Some(queue) = self.queue.as_mut().filter(|_| !self.busy) else { return Err(Broken) };
        let before = tally::before(queue);
        self.busy = true;
        let result = act(queue);
        #[cfg(feature = "faults")]
        crate::faults::pass(crate::faults::Site::Change);
        self.busy = false;
        terms::saw_numbers(queue.numbers_end());
        Ok((result, tally::after(&before, queue, &mut self.levels)))
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        tally::queue_gone(self.levels);
    }
}

/// Why a step was not done.
#[derive(Debug)]
pub enum Stopped {
    /// A fault struck the queue while it was being changed.
    Broken,
    /// The queue's state forbids it.
    Refused(Refusal),
}

impl From<Broken> for Stopped {
    fn from(_: Broken) -> Stopped {
        Stopped::Broken
    }
}

#[cfg(test)]
mod tests {
    use mq_engine::operations::{Lead, Push, Settle};
    use mq_engine::{Label, Priority, Settings, Timing, Writer};

    use super::*;
    use crate::guard::contained;

    /// An operation with a fault.
    struct Faulty;

    impl Operation for Faulty {
        type Output = ();
        const TAG: u8 = 255;

        fn timing(&self, _: &Queue, _: Time) -> Timing {
            Timing::Timeless
        }

        fn apply(&self, _: &mut Queue) {
            panic!("a fault")
        }

        fn changed((): &()) -> bool {
            true
        }

        fn encode(&self, _: &mut Writer) {}
    }

    /// At this moment, in this database, under this name.
    fn at(clock: Time, (db, name): (i32, &[u8])) -> Circumstances<'_> {
        Circumstances { clock, due: 1000, form: Form::Shortest, db, name }
    }

    const HERE: (i32, &[u8]) = (0, b"q");

    fn push() -> Push<'static> {
        Push {
            delay: None,
            priority: Priority(0),
            fence: None,
            sequence: None,
            label: Label::default(),
            payloads: &[b"payload"],
        }
    }

    fn used() -> Entry {
        let mut entry = Entry::new(Some(Queue::new(Settings::default())));
        entry.execute(&push(), &at(Time(1000), HERE)).expect("an accepted push");
        entry
    }

    #[test]
    fn a_queue_struck_by_a_fault_is_broken_in_every_respect_and_so_is_its_copy() {
        let _alone = crate::server::alone();
        let mut entry = used();
        assert!(contained(|| entry.execute(&Faulty, &at(Time(1000), HERE)).is_ok()).is_none());
        for mut broken in [entry.copy(), entry] {
            assert!(broken.queue().is_err());
            assert!(matches!(broken.execute(&push(), &at(Time(1000), HERE)), Err(Stopped::Broken)));
            assert!(broken.apply(&push()).is_err());
            assert!(broken.apply_effect(b"anything", &[]).is_ok(), "it is not looked at");
            assert!(broken.copy().queue().is_err());
        }
    }

    #[test]
    fn an_effect_that_cannot_be_applied_breaks_the_queue() {
        let _alone = crate::server::alone();
        let mut entry = used();
        assert!(entry.apply_effect(b"nonsense", &[]).is_err());
        assert!(entry.queue().is_err());
    }

    #[test]
    fn a_term_starts_with_the_first_write_after_creation_copy_and_arrival() {
        let _alone = crate::server::alone();
        let mut entry = Entry::new(Some(Queue::new(Settings::default())));
        assert!(entry.is_pending(0, b"q"));
        entry.execute(&push(), &at(Time(1000), HERE)).expect("an accepted push");
        assert!(!entry.is_pending(0, b"q"));
        assert!(entry.is_pending(1, b"q") && entry.is_pending(0, b"other"));
        assert!(entry.copy().is_pending(0, b"q"));
        entry.execute(&push(), &at(Time(1000), (1, b"q"))).expect("an accepted push");
        assert!(!entry.is_pending(1, b"q") && entry.is_pending(0, b"q"));
        entry.leave();
        assert!(entry.is_pending(1, b"q"));
    }

    #[test]
    fn where_the_clock_is_behind_the_queues_time_goes_on_beside_it_and_never_back() {
        let _alone = crate::server::alone();
        const HOUR: u64 = 3_600_000;
        let times = |entry: &mut Entry, clock: u64| {
            let clock = Time(clock);
            entry.execute(&push(), &at(clock, HERE)).expect("an accepted push");
            let lead = Lead { candidate: b"me", lease: Some(Span(5)), session: None, renew: None };
            let led = entry.execute(&lead, &at(clock, HERE)).expect("nothing to refuse").0;
            assert!(led.output.leader.is_some_and(|leader| &*leader.candidate == b"me" && leader.left == Span(5)));
            assert_eq!(entry.clock(entry.time(clock)), clock);
            entry.queue().expect("sound").time().0
        };
        let mut entry = used();
        assert_eq!(times(&mut entry, HOUR), HOUR);
        let mut elsewhere = entry.copy();
        assert_eq!(times(&mut elsewhere, 1000), HOUR, "it does not go back");
        assert_eq!(times(&mut elsewhere, 1007), HOUR + 7, "it does not wait for the clock");
        assert_eq!(times(&mut entry, HOUR + 7), HOUR + 7);
        elsewhere.leave();
        assert_eq!(times(&mut elsewhere, 2 * HOUR), 2 * HOUR, "it does not run ahead for ever");
    }

    #[test]
    fn what_changes_nothing_starts_no_term() {
        let _alone = crate::server::alone();
        let mut entry = used();
        let (settled, _) = entry.execute(&Settle, &at(Time(1000), HERE)).expect("nothing to refuse");
        assert_eq!(settled.record, Record::Nothing);
        let fenced = Push { fence: Some(mq_engine::Token(1)), ..push() };
        let lead = Lead { candidate: b"me", lease: None, session: None, renew: None };
        entry.execute(&lead, &at(Time(1000), HERE)).expect("a free leadership");
        let refused = entry.execute(&fenced, &at(Time(1000), (0, b"other")));
        assert!(matches!(refused, Err(Stopped::Refused(Refusal::Fenced))));
        assert!(entry.is_pending(0, b"other"));
        assert_eq!(entry.sightings.fenced, 1);
    }
}
