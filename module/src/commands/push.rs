//! MQ.PUSH: adds messages, all or none.

use mq_engine::operations::{Push as Operation, Sequence};
use mq_engine::{Label, Priority, Token};

use super::{Call, Command};
use crate::failure::Failure;
use crate::keyspace::Absent;
use crate::syntax::{Argument, Choice, KeyUse, Malformed, Slot, Syntax};

/// `MQ.PUSH queue [DELAY ms] [PRIORITY p] [FENCE token] [SEQ producer n | UNIQUE key] [GROUP key] [TTL ms] MSG payload
/// [payload ...]`
///
/// The id of the first message, the others following it. For a repeated push the id given then, or 0; with a UNIQUE key that a
/// message has, the id of that one.
pub struct Push;

const SYNTAX: Syntax = Syntax {
    name: "MQ.PUSH",
    summary: "Adds messages to a queue, all or none.",
    since: "0.1.0",
    complexity: "O(N) with N messages",
    flags: "write deny-oom fast",
    key: KeyUse::Inserts,
    positions: &[],
    options: &[
        Choice::new("DELAY", &[Argument::span()]),
        Choice::new("PRIORITY", &[Argument::number("p", 0, u8::MAX as u64)]),
        Choice::new("FENCE", &[Argument::stamp("token")]),
        Choice::new("SEQ", &[Argument::name("producer"), Argument::stamp("n")]),
        Choice::new("UNIQUE", &[Argument::name("key")]).excludes(&["SEQ"]),
        Choice::new("GROUP", &[Argument::name("key")]),
        Choice::new("TTL", &[Argument::lease()]),
        Choice::new("MSG", &[Argument::payload()]).repeated().required(),
    ],
    one_of: None,
};
const MSG: Slot = SYNTAX.slot("MSG");
const DELAY: Slot = SYNTAX.slot("DELAY");
const PRIORITY: Slot = SYNTAX.slot("PRIORITY");
const FENCE: Slot = SYNTAX.slot("FENCE");
const SEQ: Slot = SYNTAX.slot("SEQ");
const UNIQUE: Slot = SYNTAX.slot("UNIQUE");
const GROUP: Slot = SYNTAX.slot("GROUP");
const TTL: Slot = SYNTAX.slot("TTL");

impl Command for Push {
    const SYNTAX: &'static Syntax = &SYNTAX;

    fn run(call: &Call<'_>) -> Result<(), Failure> {
        let payloads = call.words(MSG);
        let label = Label { unique: call.bytes(UNIQUE), group: call.bytes(GROUP), ttl: call.span(TTL) };
        if label.unique.is_some() && payloads.len() > 1 {
            return Err(Malformed("UNIQUE key names one message: expected one payload".into()).into());
        }
        let operation = Operation {
            delay: call.span(DELAY),
            priority: Priority(call.number(PRIORITY).and_then(|p| u8::try_from(p).ok()).unwrap_or_default()),
            fence: call.number(FENCE).map(Token),
            sequence: call.number(SEQ).map(|first| Sequence { producer: call.given(SEQ), first }),
            label,
            payloads: &payloads,
        };
        call.change(|queue| {
            queue.set_payloads(call.rest(MSG));
            let pushed = queue.step(&operation, Absent::Create)?;
            if pushed.is_some_and(|pushed| pushed.duplicate) {
                queue.saw_duplicate();
            }
            call.reply().integer(pushed.and_then(|pushed| pushed.first).map_or(0, |id| id.0));
            Ok(())
        })
    }
}
