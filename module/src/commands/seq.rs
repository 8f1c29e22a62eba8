//! MQ.SEQ: where a producer's sequence stands.

use mq_engine::Token;
use mq_engine::operations::RaiseFence;

use super::{Call, Command};
use crate::failure::Failure;
use crate::keyspace::Absent;
use crate::looking::look;
use crate::syntax::{Argument, Choice, KeyUse, Position, Slot, Syntax};

/// `MQ.SEQ queue producer [FENCE token]`
///
/// The next number expected from the producer, 0 if it is unknown. With FENCE no older generator can push afterwards.
pub struct Seq;

const SYNTAX: Syntax = Syntax {
    name: "MQ.SEQ",
    summary: "The next sequence number expected from a producer; with FENCE shuts out older generators first.",
    since: "0.1.0",
    complexity: "O(log N) with N producers",
    flags: "write fast",
    key: KeyUse::ShowsAndUpdates,
    positions: &[Position::once(Argument::name("producer"))],
    options: &[Choice::new("FENCE", &[Argument::stamp("token")])],
    one_of: None,
};
const PRODUCER: Slot = SYNTAX.slot("producer");
const FENCE: Slot = SYNTAX.slot("FENCE");

impl Command for Seq {
    const SYNTAX: &'static Syntax = &SYNTAX;

    fn run(call: &Call<'_>) -> Result<(), Failure> {
        let producer = call.given(PRODUCER);
        let Some(token) = call.number(FENCE).map(Token) else {
            let next = look(call.context, call.queue, |queue, _| queue.next_sequence(producer))?;
            call.reply().integer(next.unwrap_or_default());
            return Ok(());
        };
        call.change(|queue| {
            let next = queue.step(&RaiseFence { producer, token }, Absent::CreateUnlessFull)?.unwrap_or_default();
            call.reply().integer(next);
            Ok(())
        })
    }
}
