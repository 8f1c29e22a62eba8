//! CLAIM: READY → CLAIMED.

use super::{read_receipts, replay_operation};
use crate::claims::Kind;
use crate::codec::{Corrupt, Reader, Writer};
use crate::lane::Place;
use crate::operation::Operation;
use crate::queue::REPLY_BYTES;
use crate::{Id, Moment, Queue, Receipt, SessionId, Span};

/// Completes `acks`, then claims ready messages: the highest priority first, within it the smallest id.
#[derive(Clone, Debug)]
pub struct Claim<'a> {
    /// Who claims, 1…255 bytes.
    pub consumer: &'a [u8],
    /// At most so many.
    pub count: usize,
    /// For so long; `None`: the queue's `lease`.
    pub lease: Option<Span>,
    /// Also ends with this connection.
    pub session: Option<SessionId>,
    /// Completed first, as by [`super::Ack`].
    pub acks: &'a [Receipt],
}

/// What a claim got. Nothing, if nothing is ready or the settings allow no claim now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claimed {
    /// How many of `acks` counted.
    pub acked: u64,
    /// The claimed messages.
    pub deliveries: Vec<Delivery>,
    /// Messages on the way whose last moment had passed, beyond those that were taken back as due work.
    pub(crate) expired: u64,
}

/// One claimed message. Its payload stays in the queue: [`Queue::payload`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Names the claim.
    pub receipt: Receipt,
    /// Names the message.
    pub id: Id,
    /// How often it has been claimed, this time included.
    pub deliveries: u32,
    pub(crate) place: Place,
}

impl Queue {
    /// The payload of a message that was delivered by the last step.
    pub fn payload(&self, delivery: &Delivery) -> &[u8] {
        self.messages.payload(delivery.place)
    }
}

impl Operation for Claim<'_> {
    type Output = Claimed;
    const TAG: u8 = 2;

    fn apply(&self, queue: &mut Queue) -> Claimed {
        let acked = queue.complete(self.acks);
        if !queue.claimable(queue.now) || !queue.stamps.has_room(self.count) {
            return Claimed { acked, ..Claimed::default() };
        }
        let possible = queue.messages.ready().min(queue.claims_allowed(queue.now));
        let count = self.count.min(usize::try_from(possible).unwrap_or(usize::MAX));
        let mut deliveries = Vec::with_capacity(count);
        let expired_before = queue.totals.ttl_expired;
        let owner = queue.owners.find_or_add(&mut queue.texts, self.consumer, self.session);
        let deadline = queue.now.after(self.lease.unwrap_or(queue.settings.lease));
        let mut room = usize::MAX; // the first one may be of any size
        while deliveries.len() < count {
            let Some(mut taken) = queue.take_ready(room) else { break };
            room = room.min(REPLY_BYTES).saturating_sub(queue.messages.payload(taken.place).len());
            taken.deliveries = taken.deliveries.saturating_add(1);
            queue.totals.delivered += 1;
            queue.totals.redelivered += u64::from(taken.deliveries > 1);
            let receipt = queue.start_claim(Kind::Message, taken, owner, deadline);
            let (id, place) = (taken.id, taken.place);
            deliveries.push(Delivery { receipt, id, deliveries: taken.deliveries, place });
        }
        queue.owners.drop_if_idle(&mut queue.texts, owner);
        if queue.settings.rate > 0 && !deliveries.is_empty() {
            queue.pace.spend(queue.settings.rate, deliveries.len() as u64, queue.now);
        }
        Claimed { acked, deliveries, expired: queue.totals.ttl_expired - expired_before }
    }

    fn changed(output: &Claimed) -> bool {
        output.acked > 0 || !output.deliveries.is_empty() || output.expired > 0
    }

    fn encode(&self, out: &mut Writer) {
        out.text(self.consumer);
        out.number(self.count as u64);
        out.optional(self.lease.map(|lease| lease.0));
        out.optional(self.session.map(|session| session.0));
        out.numbers(self.acks.iter().map(|receipt| receipt.0));
    }
}

pub(super) fn replay(queue: &mut Queue, moment: &Moment, reader: &mut Reader<'_>) -> Result<(), Corrupt> {
    let consumer = reader.text()?;
    let count = usize::try_from(reader.number()?).map_err(|_| Corrupt("count above its limit"))?;
    let lease = reader.optional()?.map(Span);
    let session = reader.optional()?.map(SessionId);
    let acks = read_receipts(reader)?;
    replay_operation(&Claim { consumer, count, lease, session, acks: &acks }, queue, moment);
    Ok(())
}
