//! MQ.FAIL: sends a message to the error store, or to a retry.

use mq_engine::Receipt;
use mq_engine::operations::{Fail as Operation, Failed};

use super::{Call, Command};
use crate::failure::Failure;
use crate::keyspace::Absent;
use crate::syntax::{Argument, Choice, KeyUse, Position, Slot, Syntax};

/// `MQ.FAIL queue receipt [RETRY ms] [REASON text]`
///
/// 1: now in the error store; 2: to be tried again; 0: the receipt is not a current claim.
pub struct Fail;

const SYNTAX: Syntax = Syntax {
    name: "MQ.FAIL",
    summary: "Sends a claimed message to the error store, or to another try later.",
    since: "0.1.0",
    complexity: "O(log N) with N errored or delayed messages",
    flags: "write fast",
    key: KeyUse::Updates,
    positions: &[Position::once(Argument::stamp("receipt"))],
    options: &[Choice::new("RETRY", &[Argument::span()]), Choice::new("REASON", &[Argument::text("text")])],
    one_of: None,
};
const RECEIPT: Slot = SYNTAX.slot("receipt");
const RETRY: Slot = SYNTAX.slot("RETRY");
const REASON: Slot = SYNTAX.slot("REASON");

/// So much of a reason is kept, in bytes.
const KEPT_REASON: usize = 1024;

impl Command for Fail {
    const SYNTAX: &'static Syntax = &SYNTAX;

    fn run(call: &Call<'_>) -> Result<(), Failure> {
        let receipt = Receipt(call.number(RECEIPT).unwrap_or_default());
        let reason = call.given(REASON);
        let reason = reason.get(..KEPT_REASON).unwrap_or(reason);
        let operation = Operation { receipt, retry: call.span(RETRY), reason };
        call.change(|queue| {
            let failed = queue.step(&operation, Absent::Empty)?.unwrap_or(Failed::Stale);
            queue.saw_receipts(&[receipt], u64::from(failed != Failed::Stale));
            call.reply().integer(match failed {
                Failed::Stale => 0,
                Failed::Errored => 1,
                Failed::Retried => 2,
            });
            Ok(())
        })
    }
}
