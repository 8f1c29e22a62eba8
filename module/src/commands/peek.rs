//! MQ.PEEK: reads messages without claiming them.

use mq_engine::{Id, PeekState, Peeked, REPLY_BYTES, Time};

use super::{Call, Command};
use crate::failure::Failure;
use crate::keyspace::look;
use crate::server::Reply;
use crate::syntax::{Argument, Choice, KeyUse, OneOf, Slot, Syntax};

/// `MQ.PEEK queue READY|DELAYED|CLAIMED|ERRORS [AFTER id] [COUNT n]` or `MQ.PEEK queue ID id [id ...]`
///
/// An array, by id, of maps with what is known in that state; with ID an array of the maps of these messages in the order of
/// the call, nil for those that are done; fewer maps than ids where one reply carries no more.
pub struct Peek;

/// The most messages of one look.
const LARGEST_COUNT: u64 = 1_000;

const DEFAULT_COUNT: usize = 10;

const SYNTAX: Syntax = Syntax {
    name: "MQ.PEEK",
    summary: "Reads messages without claiming them: those of one state, or some by id.",
    since: "0.1.0",
    complexity: "O(N + S) with N messages shown and S segments skipped, for each priority in use",
    flags: "readonly",
    key: KeyUse::Shows,
    positions: &[],
    options: &[
        Choice::new("READY", &[]),
        Choice::new("DELAYED", &[]),
        Choice::new("CLAIMED", &[]),
        Choice::new("ERRORS", &[]),
        Choice::new("ID", &[Argument::stamp("id")]).repeated().excludes(&["AFTER", "COUNT"]),
        Choice::new("AFTER", &[Argument::stamp("id")]),
        Choice::new("COUNT", &[Argument::count(LARGEST_COUNT)]),
    ],
    one_of: Some(OneOf { name: "state", words: &["READY", "DELAYED", "CLAIMED", "ERRORS", "ID"] }),
};
const STATES: [(Slot, PeekState); 4] = [
    (SYNTAX.slot("READY"), PeekState::Ready),
    (SYNTAX.slot("DELAYED"), PeekState::Delayed),
    (SYNTAX.slot("CLAIMED"), PeekState::Claimed),
    (SYNTAX.slot("ERRORS"), PeekState::Errors),
];
const ID: Slot = SYNTAX.slot("ID");
const AFTER: Slot = SYNTAX.slot("AFTER");
const COUNT: Slot = SYNTAX.slot("COUNT");

impl Command for Peek {
    const SYNTAX: &'static Syntax = &SYNTAX;

    fn run(call: &Call<'_>) -> Result<(), Failure> {
        match STATES.iter().find(|(slot, _)| call.has(*slot)) {
            Some((_, state)) => peek_state(call, *state),
            None => peek_ids(call),
        }
    }
}

fn peek_state(call: &Call<'_>, state: PeekState) -> Result<(), Failure> {
    let (after, count) = (call.number(AFTER).map(Id), call.count(COUNT).unwrap_or(DEFAULT_COUNT));
    let shown = look(call.context, call.queue, |queue, glance| {
        let messages = queue.peek(state, after, count);
        let fitting = fitting(messages.iter().map(|message| message.payload.len())).min(messages.len());
        call.reply().array(fitting);
        messages.iter().take(fitting).for_each(|message| reply(call.reply(), state, message, glance.now));
    })?;
    if shown.is_none() {
        call.reply().array(0);
    }
    Ok(())
}

fn peek_ids(call: &Call<'_>) -> Result<(), Failure> {
    let ids = call.numbers(ID, Id);
    let shown = look(call.context, call.queue, |queue, glance| {
        let found: Vec<_> = ids.iter().map(|id| queue.peek_id(*id)).collect();
        let fitting = fitting(found.iter().map(|found| found.as_ref().map_or(0, |(_, message)| message.payload.len())));
        call.reply().array(fitting);
        for found in found.iter().take(fitting) {
            match found {
                Some((state, message)) => reply(call.reply(), *state, message, glance.now),
                None => call.reply().null(),
            }
        }
    })?;
    if shown.is_none() {
        call.reply().array(ids.len());
        ids.iter().for_each(|_| call.reply().null());
    }
    Ok(())
}

/// How many payloads of these lengths one reply carries, at least one.
fn fitting(lengths: impl Iterator<Item = usize>) -> usize {
    let sums = lengths.scan(0usize, |sum, length| {
        *sum = sum.saturating_add(length);
        Some(*sum)
    });
    sums.take_while(|sum| *sum <= REPLY_BYTES).count().max(1)
}

fn reply(reply: Reply<'_>, state: PeekState, message: &Peeked<'_>, now: Time) {
    let left = |at: Time| at.since(now).0;
    let texts = [
        ("consumer", message.consumer),
        ("reason", message.reason),
        ("unique", message.unique),
        ("group", message.group),
    ];
    let numbers = [
        ("receipt", message.receipt.map(|receipt| receipt.0)),
        ("due-in-ms", message.due_at.map(left)),
        ("lease-left-ms", message.lease_ends_at.map(left)),
        ("failed-at-ms", message.failed_at.map(|at| at.0)),
        ("ttl-left-ms", message.expires_at.map(left)),
    ];
    let known = texts.iter().filter(|(_, text)| text.is_some()).count()
        + numbers.iter().filter(|(_, number)| number.is_some()).count();
    reply.map(5 + known);
    reply.bytes(b"id");
    reply.integer(message.id.0);
    reply.bytes(b"state");
    reply.bytes(match state {
        PeekState::Ready => b"ready",
        PeekState::Delayed => b"delayed",
        PeekState::Claimed => b"claimed",
        PeekState::Errors => b"errored",
    });
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
