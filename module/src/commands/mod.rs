//! The commands, one file each, all of one shape: the syntax, then parse → engine → replicate → reply.
//!
//! To add one: a file here, a line in the table of the front page, an engine operation, its reference, a test.

pub mod ack;
pub mod apply;
pub mod claim;
pub mod config;
pub mod drain_errors;
pub mod extend;
pub mod fail;
pub mod info;
pub mod leader;
pub mod peek;
pub mod purge;
pub mod push;
pub mod redrive;
pub mod release;
pub mod remove;
pub mod seq;

pub use ack::Ack;
pub use apply::Apply;
pub use claim::Claim;
pub use config::Config;
pub use drain_errors::DrainErrors;
pub use extend::Extend;
pub use fail::Fail;
pub use info::Info;
pub use leader::Leader;
pub use peek::Peek;
pub use purge::Purge;
pub use push::Push;
pub use redrive::Redrive;
pub use release::Release;
pub use remove::Remove;
pub use seq::Seq;

use mq_engine::{SessionId, Span};

use crate::failure::Failure;
use crate::keyspace::{self, Opened};
use crate::server::{Arguments, Context, Flags, Reply, Text};
use crate::syntax::{Bounds, Malformed, Parsed, Slot, Syntax, Words, parse};
use crate::waiting::Sender;

/// One command.
pub trait Command {
    /// Its table.
    const SYNTAX: &'static Syntax;

    /// Does it, and writes its answer when all that could go wrong has gone well.
    ///
    /// # Errors
    /// What is answered instead; nothing was changed then.
    fn run(call: &Call<'_>) -> Result<(), Failure>;
}

/// A well-formed call of a command.
pub struct Call<'c> {
    /// The server's side of it.
    pub context: Context<'c>,
    /// Under which circumstances.
    pub flags: Flags,
    /// All its words.
    pub arguments: Arguments<'c>,
    /// The queue's name.
    pub queue: Text<'c>,
    parsed: Parsed<'c, Arguments<'c>>,
}

impl<'c> Words<'c> for Arguments<'c> {
    fn count(self) -> usize {
        self.len()
    }

    fn word(self, at: usize) -> Option<&'c [u8]> {
        self.get(at)
    }
}

impl<'c> std::ops::Deref for Call<'c> {
    type Target = Parsed<'c, Arguments<'c>>;

    fn deref(&self) -> &Self::Target {
        &self.parsed
    }
}

impl<'c> Call<'c> {
    fn new(context: Context<'c>, arguments: Arguments<'c>, syntax: &'static Syntax) -> Result<Call<'c>, Malformed> {
        let flags = context.flags();
        let bounds = if flags.is_copy() { Bounds::NoSizes } else { Bounds::All };
        let parsed = parse(syntax, arguments, bounds)?;
        let queue = arguments.text(1).ok_or_else(|| Malformed("queue is missing".into()))?;
        Ok(Call { context, flags, arguments, queue, parsed })
    }

    /// Opens the queue for changes, and closes it. However `act` ends, what it has changed is told to the copies and to
    /// whoever waits for it.
    ///
    /// # Errors
    /// The key holds something else; or those of `act`.
    pub fn change(&self, act: impl FnOnce(&mut Opened<'c>) -> Result<(), Failure>) -> Result<(), Failure> {
        let mut queue = Opened::for_command(self.context, self.flags, self.queue)?;
        let done = queue.attempt(act);
        queue.finish();
        done.unwrap_or(Err(Failure::Internal))
    }

    /// The words from an argument to the end, as they came.
    pub fn rest(&self, slot: Slot) -> Arguments<'c> {
        self.position(slot).map_or(Arguments::none(), |at| self.arguments.from(at))
    }

    /// The answer.
    pub fn reply(&self) -> Reply<'c> {
        self.context.reply()
    }

    /// Who sent it.
    pub fn sender(&self) -> Sender {
        {
            let connection = self.context.session();
            let command = self.arguments.get(0).unwrap_or_default().into();
            Sender { connection, user: self.context.user_of(connection), command }
        }
    }

    /// An argument that is a duration.
    pub fn span(&self, slot: Slot) -> Option<Span> {
        self.number(slot).map(Span)
    }

    /// An argument that is a number of things.
    pub fn count(&self, slot: Slot) -> Option<usize> {
        self.number(slot).map(|count| usize::try_from(count).unwrap_or(usize::MAX))
    }

    /// An argument that must be there, as its table says; the table's reader has seen to it.
    pub fn given(&self, slot: Slot) -> &'c [u8] {
        self.bytes(slot).unwrap_or_default()
    }

    /// The connection whose end ends what this command gives, if SESSION was said.
    ///
    /// # Errors
    /// A script has no connection.
    pub fn session(&self, slot: Slot) -> Result<Option<SessionId>, Failure> {
        match self.has(slot) {
            false => Ok(None),
            true if self.flags.in_script() || !self.context.has_connection() => Err(Failure::SessionInScript),
            true => Ok(Some(self.context.session())),
        }
    }
}

/// Runs a command from its words to its answer.
pub fn run<C: Command>(context: Context<'_>, arguments: Arguments<'_>) {
    let done = Call::new(context, arguments, C::SYNTAX).map_err(Failure::from).and_then(|call| C::run(&call));
    let Err(failure) = done else { return };
    if !context.flags().is_copy() {
        return context.reply().error(&failure.to_string());
    }
    // The primary has done what this server cannot. An error would reach nobody.
    if let Some(queue) = arguments.text(1).filter(|_| !matches!(failure, Failure::Broken)) {
        keyspace::break_off(context, queue, &failure);
    }
    context.reply().status(c"OK");
}
