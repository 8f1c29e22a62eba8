//! MQ.DRAINERRORS: takes errored messages out.

use mq_engine::operations::{DrainErrors as Operation, Drained};

use super::{Call, Command};
use crate::failure::Failure;
use crate::keyspace::Absent;
use crate::server::Reply;
use crate::sessions;
use crate::syntax::{Argument, Choice, KeyUse, Slot, Syntax};

/// `MQ.DRAINERRORS queue [COUNT n] [LEASE ms [SESSION]]`
///
/// An array of `[receipt, id, deliveries, payload, reason, consumer, failed-at-ms]`; without LEASE the receipt is 0.
pub struct DrainErrors;

/// The most messages of one drain: some milliseconds of the server's time.
const LARGEST_COUNT: u64 = 5_000;

const DEFAULT_COUNT: usize = 1_000;

const SYNTAX: Syntax = Syntax {
    name: "MQ.DRAINERRORS",
    summary: "Takes errored messages out of a queue, or with LEASE only claims them.",
    since: "0.1.0",
    complexity: "O(N log M) with N messages taken and M errored ones",
    flags: "write",
    key: KeyUse::ShowsAndUpdates,
    positions: &[],
    options: &[
        Choice::new("COUNT", &[Argument::count(LARGEST_COUNT)]),
        Choice::new("LEASE", &[Argument::lease()]),
        Choice::new("SESSION", &[]).needs("LEASE"),
    ],
    one_of: None,
};
const COUNT: Slot = SYNTAX.slot("COUNT");
const LEASE: Slot = SYNTAX.slot("LEASE");
const SESSION: Slot = SYNTAX.slot("SESSION");

impl Command for DrainErrors {
    const SYNTAX: &'static Syntax = &SYNTAX;

    fn run(call: &Call<'_>) -> Result<(), Failure> {
        let count = call.count(COUNT).unwrap_or(DEFAULT_COUNT);
        let (lease, session) = (call.span(LEASE), call.session(SESSION)?);
        call.change(|queue| {
            let drained = queue.step(&Operation { count, lease, session }, Absent::Empty)?.unwrap_or_default();
            if let Some(session) = session.filter(|_| !drained.is_empty()) {
                sessions::note(session, queue.place());
            }
            reply(call.reply(), &drained);
            Ok(())
        })
    }
}

fn reply(reply: Reply<'_>, drained: &[Drained]) {
    reply.array(drained.len());
    for message in drained {
        reply.array(7);
        reply.integer(message.receipt.0);
        reply.integer(message.id.0);
        reply.integer(message.deliveries.into());
        reply.bytes(&message.payload);
        reply.bytes(&message.reason);
        reply.bytes(&message.consumer);
        reply.integer(message.failed_at.0);
    }
}
