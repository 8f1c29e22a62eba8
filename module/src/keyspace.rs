//! A queue, opened by its name: every step on a queue goes through here, and from here to the replicas and the log.
//!
//! Whatever one command of a client, or one act of the timer, does to a queue goes to the copies as one record: the steps are
//! joined, and sent when the queue is closed. Two records would be wrapped in MULTI and EXEC by the server, which then drops
//! them from a log that is loaded where the default user has no rights.

use mq_engine::{Form, LeaderView, Operation, Queue, Receipt, Record, SessionId, Time};

use crate::budget::Spender;
use crate::entry::{Circumstances, Entry, Place};
use crate::failure::Failure;
use crate::server::{Access, Arguments, Blocked, Context, Flags, Key, Text, shown_name};
use crate::tally::{self, Happened};
use crate::{budget, guard, moment, serving, settings, waiting};

/// What a step on a missing queue does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// Nothing: a missing queue is an empty one.
    Empty,
    /// Creates it, with the server's default settings. The server has refused the command if it is full.
    Create,
    /// Creates it unless the server is full.
    CreateUnlessFull,
}

/// On whose behalf the key is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// A client's command on a primary: judged, and recorded.
    Client,
    /// A command from the primary or the append-only file: neither.
    Copy,
    /// The module's own doing: recorded as effects only.
    Module,
}

/// A queue that may be changed, or come into being.
pub struct Opened<'c> {
    context: Context<'c>,
    flags: Flags,
    name: Text<'c>,
    db: i32,
    key: Key<'c>,
    /// What the server's clock shows, read once.
    clock: Time,
    origin: Origin,
    /// What the copies are to be told of all steps so far.
    record: Record,
    /// The payloads of the client's push, which travel beside the record if they are large.
    payloads: Arguments<'c>,
    /// On whose turn this is.
    spender: Spender,
    /// Pieces of due work that may still be done.
    due_left: usize,
    /// Waiters that may still be served.
    waiters_left: usize,
    changed: bool,
    /// Whether more work may be due than was done.
    more_due: bool,
    /// Told when the key is closed: who listens may be another module, which may do anything to it.
    happened: Happened,
    /// Waiters that have their answer. They are woken when the key is closed.
    woken: Vec<Blocked>,
}

/// Waiters that one command serves at most; the timer goes on with the others.
const WAITERS_PER_COMMAND: usize = 250;

impl<'c> Opened<'c> {
    /// For a command.
    ///
    /// # Errors
    /// The key holds something else.
    pub fn for_command(context: Context<'c>, flags: Flags, name: Text<'c>) -> Result<Opened<'c>, Failure> {
        let (origin, clock) = (if flags.is_copy() { Origin::Copy } else { Origin::Client }, moment::now());
        Opened::new(context, flags, name, origin, clock, (budget::for_command(clock), WAITERS_PER_COMMAND))
    }

    /// For the module's own doing, in the database that the context has selected.
    ///
    /// # Errors
    /// The key holds something else.
    pub fn for_timer(context: Context<'c>, name: Text<'c>, clock: Time) -> Result<Opened<'c>, Failure> {
        let due_left = budget::for_timer(clock);
        let left = (due_left, due_left / budget::WAITER_PIECES);
        Opened::new(context, context.flags(), name, Origin::Module, clock, left)
    }

    fn new(
        context: Context<'c>,
        flags: Flags,
        name: Text<'c>,
        origin: Origin,
        clock: Time,
        (due_left, waiters_left): (usize, usize),
    ) -> Result<Opened<'c>, Failure> {
        let key = Key::open(context, name, Access::Write)?;
        Ok(Opened {
            context,
            flags,
            name,
            db: context.db(),
            key,
            clock,
            origin,
            record: Record::Nothing,
            payloads: Arguments::none(),
            spender: if origin == Origin::Module { Spender::Timer } else { Spender::Command },
            due_left,
            waiters_left,
            changed: false,
            more_due: false,
            happened: Happened::default(),
            woken: Vec::new(),
        })
    }

    /// The value; `None` when the key is missing.
    pub fn entry(&mut self) -> Option<&mut Entry> {
        self.key.entry()
    }

    /// The queue, unless it is missing or broken.
    pub fn queue(&mut self) -> Option<&Queue> {
        self.key.entry().and_then(|entry| entry.queue().ok())
    }

    /// The server's side of it.
    pub fn context(&self) -> Context<'c> {
        self.context
    }

    /// What the server's clock shows in this step.
    pub fn clock(&self) -> Time {
        self.clock
    }

    /// Whether a claim would get a message now, due work aside.
    pub fn is_claimable(&mut self) -> bool {
        let clock = self.clock;
        self.entry().is_some_and(|entry| entry.queue().is_ok_and(|queue| queue.claimable(entry.time(clock))))
    }

    /// Whether a connection holds a claim of this queue, or its leadership.
    pub fn is_held_by(&mut self, session: SessionId) -> bool {
        let clock = self.clock;
        let held = |entry: &mut Entry| entry.queue().is_ok_and(|queue| queue.is_held_by(session, entry.time(clock)));
        self.entry().is_some_and(held)
    }

    /// When the server's clock will show the moment that `ask` finds in the queue.
    pub fn clock_at(&mut self, ask: impl FnOnce(&Queue) -> Option<Time>) -> Option<Time> {
        let entry = self.entry()?;
        entry.queue().ok().and_then(ask).map(|time| entry.clock(time))
    }

    /// Where this is.
    pub fn place(&mut self) -> Place {
        let (db, name) = (self.db, self.name.bytes());
        let home = self.key.entry().and_then(|entry| entry.home()).filter(|home| home.is(db, name));
        home.cloned().unwrap_or_else(|| Place::new(db, name))
    }

    /// Whether the next write starts a term. A missing queue's does.
    pub fn is_pending(&mut self) -> bool {
        let (db, name) = (self.db, self.name.bytes());
        self.key.entry().is_none_or(|entry| entry.is_pending(db, name))
    }

    /// Who leads; nobody when a term is pending, or when the queue is missing or broken.
    pub fn leader(&mut self) -> Option<LeaderView> {
        let clock = self.clock;
        if self.is_pending() {
            return None;
        }
        self.entry().and_then(|entry| entry.queue().ok()?.leader(entry.time(clock)))
    }

    /// Runs what the module does by itself in the course of a client's command.
    pub fn on_own_account(&mut self, act: impl FnOnce(&mut Self)) {
        let origin = std::mem::replace(&mut self.origin, Origin::Module);
        act(self);
        self.origin = origin;
    }

    /// Whether this is a script or transaction: others must wait until it has ended.
    pub fn in_transaction(&self) -> bool {
        self.origin != Origin::Module && self.flags.in_transaction()
    }

    /// Whether more work is due than this step was allowed to do.
    pub fn has_more_due(&self) -> bool {
        self.more_due
    }

    /// Whether the key may come into being here: not on a server that is full.
    pub fn may_create(&self) -> bool {
        !self.flags.is_full()
    }

    /// Whether one more waiter may be served; if so, it is counted.
    pub fn may_serve_one(&mut self) -> bool {
        let may = self.waiters_left > 0;
        if may {
            self.waiters_left -= 1;
            budget::spend(self.spender, budget::WAITER_PIECES);
        }
        may
    }

    /// A waiter that has its answer.
    pub fn woke(&mut self, waiter: Blocked) {
        self.woken.push(waiter);
    }

    /// Tells where the payloads of a push are.
    pub fn set_payloads(&mut self, payloads: Arguments<'c>) {
        self.payloads = payloads;
    }

    /// Does one thing to the queue. `None`: the queue is missing, and stays so.
    ///
    /// # Errors
    /// Broken or refused; nothing was changed then.
    pub fn step<O: Operation>(&mut self, operation: &O, absent: Absent) -> Result<Option<O::Output>, Failure> {
        if self.origin == Origin::Copy {
            return self.copy(operation);
        }
        let form = self.form();
        let (clock, due, db, name) = (self.clock, self.due_left, self.db, self.name.bytes());
        let circumstances = Circumstances { clock, due, form, db, name };
        let Some(entry) = self.key.entry() else {
            return match absent {
                Absent::Empty => Ok(None),
                Absent::CreateUnlessFull if self.flags.is_full() => Err(Failure::Full),
                Absent::Create | Absent::CreateUnlessFull => self.create(operation, &circumstances).map(Some),
            };
        };
        let (executed, happened) = entry.execute(operation, &circumstances)?;
        self.more_due |= matches!(executed.record, Record::Effect(_)) && is_due(entry, clock);
        if executed.due_left < due {
            budget::spend(self.spender, due - executed.due_left);
            self.due_left = executed.due_left;
        }
        self.add(executed.record);
        self.saw(happened);
        Ok(Some(executed.output))
    }

    /// How the next step is to be recorded: so that others can be joined to it, if others come.
    fn form(&mut self) -> Form {
        let joins = self.origin == Origin::Module || self.record != Record::Nothing || self.will_serve();
        if joins { Form::Effect } else { Form::Shortest }
    }

    /// Whether a change serves waiters before the queue is closed.
    fn will_serve(&mut self) -> bool {
        waiting::is_anybody() && !self.in_transaction() && {
            let place = self.place();
            waiting::count(&place) != (0, 0)
        }
    }

    fn create<O: Operation>(&mut self, operation: &O, circumstances: &Circumstances<'_>) -> Result<O::Output, Failure> {
        let mut entry = Box::new(Entry::new(Some(Queue::new(settings::defaults()))));
        let (executed, happened) = entry.execute(operation, circumstances)?;
        if executed.record != Record::Nothing {
            self.key.put(entry);
            self.add(executed.record);
            self.saw(happened);
        }
        Ok(executed.output)
    }

    /// Something to be told to whoever listens to keyspace events, once the key is closed.
    pub fn saw(&mut self, happened: Happened) {
        self.happened = self.happened.and(happened);
    }

    /// Joins what a step did to what the copies will be told.
    fn add(&mut self, record: Record) {
        match (record, &mut self.record) {
            (Record::Nothing, _) => return,
            (Record::Effect(later), Record::Effect(effect)) => effect.append(&later),
            (record, Record::Nothing) => self.record = record,
            // Not where `form` foresaw that steps would be joined; two records are right too.
            (record, _) => {
                self.send();
                self.record = record;
            }
        }
        self.changed = true;
    }

    /// Tells the copies what was done.
    fn send(&mut self) {
        match std::mem::replace(&mut self.record, Record::Nothing) {
            Record::Nothing => return,
            Record::Verbatim => self.context.replicate_verbatim(),
            Record::Effect(effect) => {
                let beside = if effect.payloads_apart { self.payloads } else { Arguments::none() };
                self.context.replicate_effect(self.name, &effect.bytes, beside);
            }
        }
        self.context.signal_modified(self.name);
    }

    /// Does what the primary did, and passes it on in any case.
    fn copy<O: Operation>(&mut self, operation: &O) -> Result<Option<O::Output>, Failure> {
        self.send_on();
        match self.key.entry() {
            Some(entry) => {
                let (output, happened) = entry.apply(operation)?;
                self.saw(happened);
                Ok(Some(output))
            }
            None => {
                self.break_off("the primary has changed a queue that is not here");
                Err(Failure::Broken)
            }
        }
    }

    /// The queue cannot be what the primary's is, or what it was when the log was written: it is BROKEN from now on. Absent
    /// or as it is, it would be taken for sound, and the next rewrite of the log would make the loss final.
    pub fn break_off(&mut self, why: &str) {
        warn_broken(self.context, self.name, why);
        self.key.put(Box::new(Entry::new(None)));
    }

    /// Does something with the queue, and survives a fault in it: then the result is `None`, and the waiters learn whether the
    /// queue is broken now. What was done before the fault is told to the copies all the same.
    pub fn attempt<R>(&mut self, act: impl FnOnce(&mut Self) -> R) -> Option<R> {
        let origin = self.origin;
        let done = guard::contained(|| act(self));
        self.changed |= done.is_none();
        self.origin = origin;
        done
    }

    /// Passes a command of the primary's on to this server's own append-only file.
    pub fn send_on(&mut self) {
        self.context.replicate_verbatim();
        self.context.signal_modified(self.name);
    }

    /// Counts the receipts of a command that named no current claims.
    pub fn saw_receipts(&mut self, receipts: &[Receipt], current: u64) {
        if let Some(entry) = self.key.entry() {
            let stale = (receipts.len() as u64).saturating_sub(current);
            entry.sightings.stale += stale;
            tally::saw(stale, 0, 0);
        }
    }

    /// Counts a push that was recognised as a repeated one.
    pub fn saw_duplicate(&mut self) {
        if let Some(entry) = self.key.entry() {
            entry.sightings.duplicates += 1;
            tally::saw(0, 0, 1);
        }
    }

    /// Fills a missing key with what an effect has made.
    pub fn put(&mut self, entry: Entry) {
        self.key.put(Box::new(entry));
    }

    /// The end of a command or of an act of the timer, however it went: whoever waits for what it changed is served. A fault
    /// there is not the command's any more.
    pub fn finish(&mut self) {
        if self.changed && self.origin != Origin::Copy {
            guard::contained(|| serving::after_change(self));
        }
        self.close();
    }

    /// Tells the copies and whoever listens what has happened, closes the key, and wakes the waiters that were served.
    pub fn close(&mut self) {
        self.send();
        self.key.close();
        let happened = std::mem::take(&mut self.happened);
        happened.events().for_each(|event| self.context.notify(event, self.name));
        self.woken.drain(..).for_each(Blocked::wake);
    }
}

/// On a copy: a command of the primary's, or of the log, that this server cannot do. See [`Opened::break_off`].
pub fn break_off(context: Context<'_>, name: Text<'_>, failure: &Failure) {
    warn_broken(context, name, &failure.to_string());
    Key::replace(context, name, Box::new(Entry::new(None)));
    // A fault struck while the command was being done: it has been passed on already.
    if !matches!(failure, Failure::Internal) {
        context.replicate_verbatim();
    }
    context.signal_modified(name);
}

fn warn_broken(context: Context<'_>, name: Text<'_>, why: &str) {
    context.warn(&format!("the queue {} is BROKEN from now on: {why}", shown_name(name.bytes())));
}

/// Whether a claim may have ended, or a delay be due, when the server's clock shows `clock`.
pub fn is_due(entry: &Entry, clock: Time) -> bool {
    entry.queue().is_ok_and(|queue| queue.next_due().is_some_and(|due| due <= entry.time(clock)))
}
