//! MQ.PEEK: reads messages without claiming them.

use mq_engine::{Id, PeekState, Peeked, REPLY_BYTES, Time};

use super::{Call, Command};
use crate::failure::Failure;
use crate::keyspace::look;
use crate::server::Reply;
use crate::syntax::{Argument, Choice, KeyUse, Position, Slot, Syntax};

/// `MQ.PEEK queue READY|DELAYED|CLAIMED|ERRORS [AFTER id] [COUNT n]`
///
/// An array, by id, of maps with what is known in that state.
pub struct Peek;

/// The most messages of one look.
const LARGEST_COUNT: u64 = 1_000;

const DEFAULT_COUNT: usize = 10;

const SYNTAX: Syntax = Syntax {
    name: "MQ.PEEK",
    summary: "Reads the messages of one state without claiming them.",
    since: "0.1.0",
    complexity: "O(N + S) with N messages shown and S segments skipped",
    flags: "readonly",
    key: KeyUse::Shows,
    positions: &[Position::once(Argument::word("state", &["READY", "DELAYED", "CLAIMED", "ERRORS"]))],
    options: &[Choice::new("AFTER", &[Argument::stamp("id")]), Choice::new("COUNT", &[Argument::count(LARGEST_COUNT)])],
};
const STATE: Slot = SYNTAX.slot("state");
const AFTER: Slot = SYNTAX.slot("AFTER");
const COUNT: Slot = SYNTAX.slot("COUNT");

impl Command for Peek {
    const SYNTAX: &'static Syntax = &SYNTAX;

    fn run(call: &Call<'_>) -> Result<(), Failure> {
        let state = match call.number(STATE) {
            Some(1) => PeekState::Delayed,
            Some(2) => PeekState::Claimed,
            Some(3) => PeekState::Errors,
            _ => PeekState::Ready,
        };
        let (after, count) = (call.number(AFTER).map(Id), call.count(COUNT).unwrap_or(DEFAULT_COUNT));
        let shown = look(call.context, call.queue, |queue, glance| {
            let messages = queue.peek(state, after, count);
            let shown = within_a_reply(&messages);
            call.reply().array(shown.len());
            shown.iter().for_each(|message| reply(call.reply(), message, glance.now));
        })?;
        if shown.is_none() {
            call.reply().array(0);
        }
        Ok(())
    }
}

/// As many of them as one reply carries, at least one.
fn within_a_reply<'m>(messages: &'m [Peeked<'m>]) -> &'m [Peeked<'m>] {
    let mut bytes = 0usize;
    let fitting = messages.iter().take_while(|message| {
        bytes = bytes.saturating_add(message.payload.len());
        bytes <= REPLY_BYTES
    });
    let count = fitting.count().max(1);
    messages.get(..count).unwrap_or(messages)
}

fn reply(reply: Reply<'_>, message: &Peeked<'_>, now: Time) {
    let left = |at: Time| at.since(now).0;
    let texts = [("consumer", message.consumer), ("reason", message.reason)];
    let numbers = [
        ("receipt", message.receipt.map(|receipt| receipt.0)),
        ("due-in-ms", message.due_at.map(left)),
        ("lease-left-ms", message.lease_ends_at.map(left)),
        ("failed-at-ms", message.failed_at.map(|at| at.0)),
    ];
    let known = texts.iter().filter(|(_, text)| text.is_some()).count()
        + numbers.iter().filter(|(_, number)| number.is_some()).count();
    reply.map(4 + known);
    reply.bytes(b"id");
    reply.integer(message.id.0);
    reply.bytes(b"payload");
    reply.bytes(message.payload);
    reply.bytes(b"deliveries");
    reply.integer(message.deliveries.into());
    reply.bytes(b"priority");
    reply.integer(message.priority.0.into());
    for (name, number) in numbers {
        if let Some(number) = number {
            reply.bytes(name.as_bytes());
            reply.integer(number);
        }
    }
    for (name, text) in texts {
        if let Some(text) = text {
            reply.bytes(name.as_bytes());
            reply.bytes(text);
        }
    }
}
