//! MQ.CLAIM: completes, then claims.

use mq_engine::operations::{Claim as Operation, Delivery};
use mq_engine::{Id, Receipt};

use super::{Call, Command};
use crate::failure::Failure;
use crate::keyspace::Absent;
use crate::server::Reply;
use crate::syntax::{Argument, Choice, KeyUse, Position, Slot, Syntax};
use crate::waiting::Consumer;
use crate::{blocking, serving, sessions};

/// `MQ.CLAIM queue consumer [COUNT n] [LEASE ms] [BLOCK ms] [SESSION] [ACK receipt [receipt ...]]`
///
/// An array of `[receipt, id, deliveries, payload]`; with ACK `[acked, claims]`.
pub struct Claim;

/// The most messages of one claim.
const LARGEST_COUNT: u64 = 65_536;

const SYNTAX: Syntax = Syntax {
    name: "MQ.CLAIM",
    summary: "Claims ready messages of a queue for a consumer, until a deadline.",
    since: "0.1.0",
    complexity: "O(N) with N messages claimed and completed",
    flags: "write blocking",
    key: KeyUse::ShowsAndUpdates,
    positions: &[Position::once(Argument::name("consumer"))],
    options: &[
        Choice::new("COUNT", &[Argument::count(LARGEST_COUNT)]),
        Choice::new("LEASE", &[Argument::lease()]),
        Choice::new("BLOCK", &[Argument::span()]),
        Choice::new("SESSION", &[]),
        Choice::new("ACK", &[Argument::stamp("receipt")]).repeated(),
    ],
    one_of: None,
};
const CONSUMER: Slot = SYNTAX.slot("consumer");
const COUNT: Slot = SYNTAX.slot("COUNT");
const LEASE: Slot = SYNTAX.slot("LEASE");
const BLOCK: Slot = SYNTAX.slot("BLOCK");
const SESSION: Slot = SYNTAX.slot("SESSION");
const ACK: Slot = SYNTAX.slot("ACK");

impl Command for Claim {
    const SYNTAX: &'static Syntax = &SYNTAX;

    fn run(call: &Call<'_>) -> Result<(), Failure> {
        let acks = call.numbers(ACK, Receipt);
        let (count, lease, session) = (call.count(COUNT).unwrap_or(1), call.span(LEASE), call.session(SESSION)?);
        call.change(|queue| {
            let others_wait = serving::serve_earlier(queue);
            let at_once = if others_wait { 0 } else { count };
            let operation = Operation { consumer: call.given(CONSUMER), count: at_once, lease, session, acks: &acks };
            let claimed = queue.step(&operation, Absent::Empty)?.unwrap_or_default();
            queue.saw_receipts(&acks, claimed.acked);
            let acked = call.has(ACK).then_some(claimed.acked);
            if claimed.deliveries.is_empty()
                && let Some(limit) = call.span(BLOCK).filter(|_| call.flags.may_block())
            {
                let consumer =
                    Consumer { sender: call.sender(), name: call.given(CONSUMER).into(), count, lease, session, acked };
                if blocking::await_messages(call, queue, consumer, limit) {
                    return Ok(());
                }
            }
            if let Some(session) = session.filter(|_| !claimed.deliveries.is_empty()) {
                sessions::note(session, queue.place());
            }
            match queue.queue() {
                Some(queue) => {
                    let payload = |claim: &Delivery| (claim.receipt, claim.id, claim.deliveries, queue.payload(claim));
                    reply(call.reply(), acked, claimed.deliveries.iter().map(payload));
                }
                None => reply(call.reply(), acked, std::iter::empty()),
            }
            Ok(())
        })
    }
}

/// The answer, now or after a wait.
pub fn reply<'p>(
    reply: Reply<'_>,
    acked: Option<u64>,
    claims: impl ExactSizeIterator<Item = (Receipt, Id, u32, &'p [u8])>,
) {
    if let Some(acked) = acked {
        reply.array(2);
        reply.integer(acked);
    }
    reply.array(claims.len());
    for (receipt, id, deliveries, payload) in claims {
        reply.array(4);
        reply.integer(receipt.0);
        reply.integer(id.0);
        reply.integer(deliveries.into());
        reply.bytes(payload);
    }
}
