//! MQ.EXTEND: moves the deadline of claims.

use mq_engine::operations::Extend as Operation;
use mq_engine::{Receipt, Span};

use super::{Call, Command};
use crate::failure::Failure;
use crate::keyspace::Absent;
use crate::syntax::{Argument, KeyUse, Position, Slot, Syntax};

/// `MQ.EXTEND queue ms receipt [receipt ...]`
///
/// How many of the receipts were current claims.
pub struct Extend;

const SYNTAX: Syntax = Syntax {
    name: "MQ.EXTEND",
    summary: "Lets claims go on for so long from now; 0 ends them.",
    since: "0.1.0",
    complexity: "O(N log M) with N receipts and M claims",
    flags: "write fast",
    key: KeyUse::Updates,
    positions: &[Position::once(Argument::span()), Position::repeated(Argument::stamp("receipt"))],
    options: &[],
    one_of: None,
};
const MS: Slot = SYNTAX.slot("ms");
const RECEIPTS: Slot = SYNTAX.slot("receipt");

impl Command for Extend {
    const SYNTAX: &'static Syntax = &SYNTAX;

    fn run(call: &Call<'_>) -> Result<(), Failure> {
        let receipts = call.numbers(RECEIPTS, Receipt);
        let lease = call.span(MS).unwrap_or(Span(0));
        call.change(|queue| {
            let extended = queue.step(&Operation { lease, receipts: &receipts }, Absent::Empty)?.unwrap_or_default();
            queue.saw_receipts(&receipts, extended);
            call.reply().integer(extended);
            Ok(())
        })
    }
}
