//! MQ.REMOVE: deletes messages by id.

use mq_engine::Id;
use mq_engine::operations::Remove as Operation;

use super::{Call, Command};
use crate::failure::Failure;
use crate::keyspace::Absent;
use crate::syntax::{Argument, KeyUse, Position, Slot, Syntax};

/// `MQ.REMOVE queue id [id ...]`
///
/// How many were deleted. Those that are claimed or being drained are not: their consumers have them.
pub struct Remove;

const SYNTAX: Syntax = Syntax {
    name: "MQ.REMOVE",
    summary: "Deletes ready, delayed or errored messages by id.",
    since: "0.1.0",
    complexity: "O(N log M) with N ids and M messages in the queue, for each priority in use",
    flags: "write",
    key: KeyUse::Deletes,
    positions: &[Position::repeated(Argument::stamp("id"))],
    options: &[],
    one_of: None,
};
const ID: Slot = SYNTAX.slot("id");

impl Command for Remove {
    const SYNTAX: &'static Syntax = &SYNTAX;

    fn run(call: &Call<'_>) -> Result<(), Failure> {
        let ids = call.numbers(ID, Id);
        call.change(|queue| {
            let removed = queue.step(&Operation { ids: &ids }, Absent::Empty)?.unwrap_or_default();
            call.reply().integer(removed);
            Ok(())
        })
    }
}
