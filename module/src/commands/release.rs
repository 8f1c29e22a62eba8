//! MQ.RELEASE: gives messages back unprocessed.

use mq_engine::Receipt;
use mq_engine::operations::Release as Operation;

use super::{Call, Command};
use crate::failure::Failure;
use crate::keyspace::Absent;
use crate::syntax::{Argument, KeyUse, Position, Slot, Syntax};

/// `MQ.RELEASE queue receipt [receipt ...]`
///
/// How many of the receipts were current claims.
pub struct Release;

const SYNTAX: Syntax = Syntax {
    name: "MQ.RELEASE",
    summary: "Gives claimed messages back unprocessed; the delivery is not counted.",
    since: "0.1.0",
    complexity: "O(N log M) with N receipts and M returned messages",
    flags: "write fast",
    key: KeyUse::Updates,
    positions: &[Position::repeated(Argument::stamp("receipt"))],
    options: &[],
    one_of: None,
};
const RECEIPTS: Slot = SYNTAX.slot("receipt");

impl Command for Release {
    const SYNTAX: &'static Syntax = &SYNTAX;

    fn run(call: &Call<'_>) -> Result<(), Failure> {
        let receipts = call.numbers(RECEIPTS, Receipt);
        call.change(|queue| {
            let released = queue.step(&Operation { receipts: &receipts }, Absent::Empty)?.unwrap_or_default();
            queue.saw_receipts(&receipts, released);
            call.reply().integer(released);
            Ok(())
        })
    }
}
