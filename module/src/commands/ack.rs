//! MQ.ACK: completes messages.

use mq_engine::Receipt;
use mq_engine::operations::Ack as Operation;

use super::{Call, Command};
use crate::failure::Failure;
use crate::keyspace::Absent;
use crate::syntax::{Argument, KeyUse, Position, Slot, Syntax};

/// `MQ.ACK queue receipt [receipt ...]`
///
/// How many of the receipts were current claims.
pub struct Ack;

const SYNTAX: Syntax = Syntax {
    name: "MQ.ACK",
    summary: "Completes claimed messages.",
    since: "0.1.0",
    complexity: "O(N) with N receipts",
    flags: "write fast",
    key: KeyUse::Deletes,
    positions: &[Position::repeated(Argument::stamp("receipt"))],
    options: &[],
    one_of: None,
};
const RECEIPTS: Slot = SYNTAX.slot("receipt");

impl Command for Ack {
    const SYNTAX: &'static Syntax = &SYNTAX;

    fn run(call: &Call<'_>) -> Result<(), Failure> {
        let receipts = call.numbers(RECEIPTS, Receipt);
        call.change(|queue| {
            let acked = queue.step(&Operation { receipts: &receipts }, Absent::Empty)?.unwrap_or_default();
            queue.saw_receipts(&receipts, acked);
            call.reply().integer(acked);
            Ok(())
        })
    }
}
