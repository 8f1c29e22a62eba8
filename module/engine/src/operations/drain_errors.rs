//! DRAINERRORS: ERRORED → taken, or claimed to be taken.

use super::replay_operation;
use crate::claims::Kind;
use crate::codec::{Corrupt, Reader, Writer};
use crate::lane::Taken;
use crate::operation::Operation;
use crate::queue::REPLY_BYTES;
use crate::{Id, Moment, Queue, Receipt, SessionId, Span, Time};

/// Takes errored messages that nobody is draining, by id.
#[derive(Clone, Debug)]
pub struct DrainErrors {
    /// At most so many.
    pub count: usize,
    /// Only claim them, for so long; `None`: they are gone at once.
    pub lease: Option<Span>,
    /// With a lease: their claims also end with this connection.
    pub session: Option<SessionId>,
}

/// One drained message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Names the drain claim; 0 without a lease.
    pub receipt: Receipt,
    /// Names the message.
    pub id: Id,
    /// How often it was claimed for processing.
    pub deliveries: u32,
    /// As pushed.
    pub payload: Vec<u8>,
    /// As FAIL gave it, or `max-deliveries`.
    pub reason: Vec<u8>,
    /// Who failed it, or held it last.
    pub consumer: Vec<u8>,
    /// When it entered the error store.
    pub failed_at: Time,
}

/// What an error takes in a reply beside its texts; bounds the reply by what it takes, not by its payloads alone.
const ENTRY_BYTES: usize = 128;

/// The owner of all drain claims of one session: a drainer gives no name.
pub(crate) const DRAINER: &[u8] = b"";

impl Operation for DrainErrors {
    type Output = Vec<Drained>;
    const TAG: u8 = 9;

    fn apply(&self, queue: &mut Queue) -> Vec<Drained> {
        let mut drained = Vec::new();
        let mut bytes = 0;
        while drained.len() < self.count && queue.stamps.has_room(1) {
            let first = queue.errors.all_waiting().next().map(|(id, errored)| (id, *errored));
            let Some((id, errored)) = first else { break };
            let payload = queue.messages.payload(errored.place);
            let (reason, consumer) = (queue.texts.get(errored.reason), queue.texts.get(errored.consumer));
            bytes += payload.len() + reason.len() + consumer.len() + ENTRY_BYTES;
            if bytes > REPLY_BYTES && !drained.is_empty() {
                break;
            }
            let mut message = Drained {
                receipt: Receipt(0),
                id,
                deliveries: errored.deliveries,
                payload: payload.to_vec(),
                reason: reason.to_vec(),
                consumer: consumer.to_vec(),
                failed_at: errored.failed_at,
            };
            match self.lease {
                None => {
                    let errored = queue.errors.take(id);
                    queue.totals.drained += u64::from(queue.drop_error(errored));
                }
                Some(lease) => {
                    let owner = queue.owners.find_or_add(&mut queue.texts, DRAINER, self.session);
                    let taken = Taken { id, place: errored.place, deliveries: errored.deliveries };
                    queue.errors.start_draining(id);
                    message.receipt = queue.start_claim(Kind::Error, taken, owner, queue.now.after(lease));
                }
            }
            drained.push(message);
        }
        drained
    }

    fn changed(output: &Vec<Drained>) -> bool {
        !output.is_empty()
    }

    fn encode(&self, out: &mut Writer) {
        out.number(self.count as u64);
        out.optional(self.lease.map(|lease| lease.0));
        out.optional(self.session.map(|session| session.0));
    }
}

pub(super) fn replay(queue: &mut Queue, moment: &Moment, reader: &mut Reader<'_>) -> Result<(), Corrupt> {
    let count = usize::try_from(reader.number()?).unwrap_or(usize::MAX);
    let lease = reader.optional()?.map(Span);
    let session = reader.optional()?.map(SessionId);
    replay_operation(&DrainErrors { count, lease, session }, queue, moment);
    Ok(())
}
