//! MQ.PEEK: reads messages without claiming them.

use mq_engine::{Id, PeekState, Peeked, REPLY_BYTES, Time};

use super::{Call, Command};
use crate::failure::Failure;
use crate::looking::look;
use crate::server::Reply;
use crate::syntax::{Argument, Choice, KeyUse, OneOf, Slot, Syntax};

/// `MQ.PEEK queue READY|DELAYED|CLAIMED|ERRORS [AFTER id] [COUNT n] [BYTES n]` or `MQ.PEEK queue [BYTES n] ID id [id ...]`
///
/// An array, by id, of maps with what is known in that state; with ID an array of the maps of these messages in the order of
/// the call, nil for those that are done. It holds fewer maps than asked for where one reply carries no more. BYTES cuts each
/// payload after its first n bytes and adds its whole length.
pub struct Peek;

/// The most messages of one look.
const LARGEST_COUNT: u64 = 1_000;

const DEFAULT_COUNT: usize = 10;

/// The most bytes of a payload that can be asked for: no payload is longer.
const LARGEST_BYTES: u64 = 512 << 20;

/// Bytes of a reply that a message takes besides its payload and its texts: the names of 14 fields, numbers, protocol.
const MAP_BYTES: usize = 200;

/// Bytes of a reply that a message takes of which there is nothing to show.
const NIL_BYTES: usize = 5;

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
        Choice::new("BYTES", &[Argument::number("n", 0, LARGEST_BYTES)]),
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
const BYTES: Slot = SYNTAX.slot("BYTES");

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
    let part = Part::asked_for(call);
    let shown = look(call.context, call.queue, |queue, glance| {
        let messages = queue.peek(state, after, count);
        let fitting = fitting(messages.iter().map(|message| part.size(message)));
        call.reply().array(fitting);
        messages.iter().take(fitting).for_each(|message| reply(call.reply(), state, message, part, glance.now));
    })?;
    if shown.is_none() {
        call.reply().array(0);
    }
    Ok(())
}

fn peek_ids(call: &Call<'_>) -> Result<(), Failure> {
    let (ids, part) = (call.numbers(ID, Id), Part::asked_for(call));
    let shown = look(call.context, call.queue, |queue, glance| {
        let found: Vec<_> = ids.iter().map(|id| queue.peek_id(*id)).collect();
        let sizes = found.iter().map(|found| found.as_ref().map_or(NIL_BYTES, |(_, message)| part.size(message)));
        let fitting = fitting(sizes);
        call.reply().array(fitting);
        for found in found.iter().take(fitting) {
            match found {
                Some((state, message)) => reply(call.reply(), *state, message, part, glance.now),
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

/// The part of each payload that is shown.
#[derive(Clone, Copy)]
enum Part {
    Whole,
    /// Its first bytes, and how many there are.
    First(usize),
}

impl Part {
    fn asked_for(call: &Call<'_>) -> Part {
        call.count(BYTES).map_or(Part::Whole, Part::First)
    }

    fn of(self, payload: &[u8]) -> &[u8] {
        match self {
            Part::Whole => payload,
            Part::First(bytes) => payload.get(..bytes).unwrap_or(payload),
        }
    }

    /// How many bytes of a reply a message takes.
    fn size(self, message: &Peeked<'_>) -> usize {
        let texts = [message.consumer, message.reason, message.unique, message.group];
        let texts: usize = texts.into_iter().flatten().map(<[u8]>::len).sum();
        MAP_BYTES + self.of(message.payload).len() + texts
    }
}

/// How many entries of these sizes one reply carries: at least one, if there is any.
fn fitting(sizes: impl ExactSizeIterator<Item = usize>) -> usize {
    let count = sizes.len();
    let sums = sizes.scan(0usize, |sum, size| {
        *sum = sum.saturating_add(size);
        Some(*sum)
    });
    sums.take_while(|sum| *sum <= REPLY_BYTES).count().max(1).min(count)
}

fn reply(reply: Reply<'_>, state: PeekState, message: &Peeked<'_>, part: Part, now: Time) {
    let left = |at: Time| at.since(now).0;
    let texts = [
        ("consumer", message.consumer),
        ("reason", message.reason),
        ("unique", message.unique),
        ("group", message.group),
    ];
    let whole_length = match part {
        Part::Whole => None,
        Part::First(_) => Some(message.payload.len() as u64),
    };
    let numbers = [
        ("payload-bytes", whole_length),
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
    reply.bytes(part.of(message.payload));
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
