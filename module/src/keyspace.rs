//! A queue, opened by its name: every step on a queue goes through here, and from here to the replicas and the log.

use mq_engine::{LeaderView, Operation, Queue, Receipt, Record, Time};

use crate::entry::{Entry, Place};
use crate::failure::Failure;
use crate::server::{Access, Context, Flags, Key, Text};
use crate::tally::{self, Happened};
use crate::{guard, moment, serving, settings};

/// What a step on a missing queue does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// Nothing: a missing queue is an empty one.
    Empty,
    /// Creates it, with the server's default settings.
    Create,
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
    name: Text<'c>,
    db: i32,
    key: Key<'c>,
    /// What the server's clock shows, read once.
    clock: Time,
    origin: Origin,
    /// Whether others must wait until a script or transaction has ended.
    in_transaction: bool,
    changed: bool,
    /// Whether more work may be due than was done.
    more_due: bool,
    /// Told when the key is closed: who listens may be another module, which may do anything to it.
    happened: Happened,
}

impl<'c> Opened<'c> {
    /// For a command.
    ///
    /// # Errors
    /// The key holds something else.
    pub fn for_command(context: Context<'c>, flags: Flags, name: Text<'c>) -> Result<Opened<'c>, Failure> {
        let origin = if flags.is_copy() { Origin::Copy } else { Origin::Client };
        Opened::new(context, name, origin, flags.in_transaction(), moment::now())
    }

    /// For the module's own doing, in the database that the context has selected.
    ///
    /// # Errors
    /// The key holds something else.
    pub fn for_timer(context: Context<'c>, name: Text<'c>, clock: Time) -> Result<Opened<'c>, Failure> {
        Opened::new(context, name, Origin::Module, false, clock)
    }

    fn new(
        context: Context<'c>,
        name: Text<'c>,
        origin: Origin,
        in_transaction: bool,
        clock: Time,
    ) -> Result<Opened<'c>, Failure> {
        let key = Key::open(context, name, Access::Write)?;
        let db = context.db();
        Ok(Opened {
            context,
            name,
            db,
            key,
            clock,
            origin,
            in_transaction,
            changed: false,
            more_due: false,
            happened: Happened::default(),
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

    /// What the server's clock shows in this step.
    pub fn clock(&self) -> Time {
        self.clock
    }

    /// Whether a claim would get a message now, due work aside.
    pub fn is_claimable(&mut self) -> bool {
        let clock = self.clock;
        self.entry().is_some_and(|entry| entry.queue().is_ok_and(|queue| queue.claimable(entry.time(clock))))
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

    /// Whether this is a script or transaction.
    pub fn in_transaction(&self) -> bool {
        self.in_transaction
    }

    /// Whether more work is due than this step was allowed to do.
    pub fn has_more_due(&self) -> bool {
        self.more_due
    }

    /// Does one thing to the queue and sends it on. `None`: the queue is missing, and stays so.
    ///
    /// # Errors
    /// Broken or refused; nothing was changed then.
    pub fn step<O: Operation>(&mut self, operation: &O, absent: Absent) -> Result<Option<O::Output>, Failure> {
        if self.origin == Origin::Copy {
            return self.copy(operation);
        }
        let home = (self.db, self.name.bytes());
        let Some(entry) = self.key.entry() else {
            return match absent {
                Absent::Empty => Ok(None),
                Absent::Create => self.create(operation).map(Some),
            };
        };
        let (executed, happened) = entry.execute(operation, self.clock, home)?;
        self.more_due |= matches!(executed.record, Record::Effect(_)) && is_due(entry, self.clock);
        self.send(executed.record);
        self.saw(happened);
        Ok(Some(executed.output))
    }

    fn create<O: Operation>(&mut self, operation: &O) -> Result<O::Output, Failure> {
        let mut entry = Box::new(Entry::new(Some(Queue::new(settings::defaults()))));
        let (executed, happened) = entry.execute(operation, self.clock, (self.db, self.name.bytes()))?;
        if executed.record != Record::Nothing {
            self.key.put(entry);
            self.send(executed.record);
            self.saw(happened);
        }
        Ok(executed.output)
    }

    /// Something to be told to whoever listens to keyspace events, once the key is closed.
    pub fn saw(&mut self, happened: Happened) {
        self.happened = self.happened.and(happened);
    }

    fn send(&mut self, record: Record) {
        match record {
            Record::Nothing => return,
            Record::Verbatim => {
                assert!(self.origin == Origin::Client, "what the module does by itself depends on the moment");
                self.context.replicate_verbatim();
            }
            Record::Effect(effect) => self.context.replicate_effect(self.name, &effect),
        }
        self.context.signal_modified(self.name);
        self.changed = true;
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
        let name = String::from_utf8_lossy(self.name.bytes()).into_owned();
        self.context.warn(&format!("the queue '{name}' is BROKEN from now on: {why}"));
        self.key.put(Box::new(Entry::new(None)));
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

    /// The end of a command, after its answer: whoever waits for what it changed is served. A fault there is not the
    /// command's any more.
    pub fn finish(mut self) {
        if self.changed && self.origin != Origin::Copy {
            guard::contained(|| serving::after_change(&mut self));
        }
        self.close();
    }

    /// Closes the key, and tells what has happened.
    pub fn close(self) {
        let Opened { context, name, key, happened, .. } = self;
        drop(key);
        happened.events().for_each(|event| context.notify(event, name));
    }
}

/// Whether a claim may have ended, or a delay be due, when the server's clock shows `clock`.
pub fn is_due(entry: &Entry, clock: Time) -> bool {
    entry.queue().is_ok_and(|queue| queue.next_due().is_some_and(|due| due <= entry.time(clock)))
}

/// Looks at a queue without changing it. `None`: it is missing.
///
/// # Errors
/// The key holds something else, or the queue is broken.
pub fn look<R>(
    context: Context<'_>,
    name: Text<'_>,
    act: impl FnOnce(&Queue, &Glance<'_>) -> R,
) -> Result<Option<R>, Failure> {
    let mut key = Key::open(context, name, Access::Read)?;
    let Some(entry) = key.entry() else { return Ok(None) };
    let entry: &Entry = entry;
    // A copy has no terms of its own: who led on the primary leads, until this server writes.
    let is_pending = context.flags().is_serving_primary() && entry.is_pending(context.db(), name.bytes());
    let glance = Glance { entry, now: entry.time(moment::now()), is_pending };
    Ok(Some(act(entry.queue()?, &glance)))
}

impl Glance<'_> {
    /// Who leads.
    pub fn leader(&self, queue: &Queue) -> Option<LeaderView> {
        if self.is_pending { None } else { queue.leader(self.now) }
    }
}

/// What there is beside the queue's state.
pub struct Glance<'e> {
    /// Its value.
    pub entry: &'e Entry,
    /// The moment, as the queue's time has it.
    pub now: Time,
    /// Whether nobody leads until the next write, whatever the state says.
    pub is_pending: bool,
}
