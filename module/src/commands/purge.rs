//! MQ.PURGE: deletes all messages of one state, a slice at a time.

use mq_engine::operations::{Purge as Operation, Purged};

use super::{Call, Command};
use crate::failure::Failure;
use crate::keyspace::Absent;
use crate::syntax::{Argument, Choice, KeyUse, Position, Slot, Syntax};

/// `MQ.PURGE queue READY|DELAYED|ERRORS [COUNT n]`
///
/// How many were deleted; fewer than COUNT: there are no more.
pub struct Purge;

/// The most messages of one slice: some milliseconds of the server's time.
const LARGEST_COUNT: u64 = 25_000;

const DEFAULT_COUNT: usize = 10_000;

const SYNTAX: Syntax = Syntax {
    name: "MQ.PURGE",
    summary: "Deletes the messages of one state, a slice at a time.",
    since: "0.1.0",
    complexity: "O(N log M) with N messages deleted and M in the queue",
    flags: "write",
    key: KeyUse::Deletes,
    positions: &[Position::once(Argument::word("state", &["READY", "DELAYED", "ERRORS"]))],
    options: &[Choice::new("COUNT", &[Argument::count(LARGEST_COUNT)])],
    one_of: None,
};
const STATE: Slot = SYNTAX.slot("state");
const COUNT: Slot = SYNTAX.slot("COUNT");

impl Command for Purge {
    const SYNTAX: &'static Syntax = &SYNTAX;

    fn run(call: &Call<'_>) -> Result<(), Failure> {
        let state = match call.number(STATE) {
            Some(1) => Purged::Delayed,
            Some(2) => Purged::Errors,
            _ => Purged::Ready,
        };
        let operation = Operation { state, count: call.count(COUNT).unwrap_or(DEFAULT_COUNT) };
        call.change(|queue| {
            let removed = queue.step(&operation, Absent::Empty)?.unwrap_or_default();
            call.reply().integer(removed);
            Ok(())
        })
    }
}
