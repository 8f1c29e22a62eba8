//! MQ.REDRIVE: makes errored messages ready again.

use mq_engine::Id;
use mq_engine::operations::Redrive as Operation;

use super::{Call, Command};
use crate::failure::Failure;
use crate::keyspace::Absent;
use crate::syntax::{Argument, Choice, KeyUse, Slot, Syntax};

/// `MQ.REDRIVE queue [COUNT n | ID id [id ...]]`
///
/// How many became ready.
pub struct Redrive;

/// The most messages of one redrive: some milliseconds of the server's time.
const LARGEST_COUNT: u64 = 25_000;

const DEFAULT_COUNT: usize = 10_000;

const SYNTAX: Syntax = Syntax {
    name: "MQ.REDRIVE",
    summary: "Makes errored messages ready again, a slice at a time.",
    since: "0.1.0",
    complexity: "O(N log M) with N messages redriven and M errored ones",
    flags: "write",
    key: KeyUse::Updates,
    positions: &[],
    options: &[
        Choice::new("COUNT", &[Argument::count(LARGEST_COUNT)]).excludes(&["ID"]),
        Choice::new("ID", &[Argument::stamp("id")]).repeated(),
    ],
    one_of: None,
};
const COUNT: Slot = SYNTAX.slot("COUNT");
const ID: Slot = SYNTAX.slot("ID");

impl Command for Redrive {
    const SYNTAX: &'static Syntax = &SYNTAX;

    fn run(call: &Call<'_>) -> Result<(), Failure> {
        let ids = call.numbers(ID, Id);
        let operation = match call.has(ID) {
            true => Operation::Ids(&ids),
            false => Operation::Count(call.count(COUNT).unwrap_or(DEFAULT_COUNT)),
        };
        call.change(|queue| {
            let redriven = queue.step(&operation, Absent::Empty)?.unwrap_or_default();
            call.reply().integer(redriven);
            Ok(())
        })
    }
}
