//! The commands of the simulated clients: owned, so that a log can hold them, and each done by the engine and by the model.

use crate::model::{Label as Labelling, Model, Refused, State};
use mq_engine::operations::*;
use mq_engine::*;

#[derive(Clone, Debug)]
pub struct PushOp {
    pub payloads: Vec<Vec<u8>>,
    pub priority: u8,
    pub delay: u64,
    pub fence: Option<u64>,
    pub sequence: Option<(u8, u64)>,
    pub unique: Option<u8>,
    pub group: Option<u8>,
    pub ttl: Option<u64>,
}

#[derive(Clone, Debug)]
pub enum Op {
    Push(PushOp),
    Claim { consumer: u8, count: usize, lease: Option<u64>, session: Option<u64>, acks: Vec<u64> },
    Ack(Vec<u64>),
    Fail { receipt: u64, retry: Option<u64>, reason: u8 },
    Extend { lease: u64, receipts: Vec<u64> },
    Release(Vec<u64>),
    Lead { candidate: u8, lease: Option<u64>, session: Option<u64>, renew: Option<u64> },
    Resign { candidate: u8, token: u64 },
    Drain { count: Option<usize>, lease: Option<u64>, session: Option<u64> },
    Redrive { count: Option<usize>, ids: Option<Vec<u64>> },
    Remove(Vec<u64>),
    Purge { state: u8, count: usize },
    Configure(Setting),
    RaiseFence { producer: u8, token: u64 },
    EndSession(u64),
    Settle,
}

/// Receipt, id, deliveries, payload, reason, consumer, failed at.
pub type Taken = (u64, u64, u32, Vec<u8>, Vec<u8>, Vec<u8>, u64);

/// What a client is told, the same from the engine and from the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Pushed { first: u64, duplicate: bool },
    Claimed { acked: u64, got: Vec<(u64, u64, u32, Vec<u8>)> },
    Count(u64),
    Failed(u8),
    Led { won: bool, token: Option<u64> },
    Drained(Vec<Taken>),
    Flag(bool),
    Done,
}

/// What is done with an operation of the engine.
pub trait Visit {
    type Out;
    fn visit<O: Operation>(self, operation: &O, reply: impl FnOnce(&Queue, O::Output) -> Reply) -> Self::Out;
}

pub struct Execute<'a> {
    pub queue: &'a mut Queue,
    pub moment: Moment,
    pub form: Form,
}

impl Visit for Execute<'_> {
    /// With the pieces of due work that were left.
    type Out = Result<(Reply, Record, usize), Refusal>;
    fn visit<O: Operation>(self, operation: &O, reply: impl FnOnce(&Queue, O::Output) -> Reply) -> Self::Out {
        let executed = self.queue.execute_in_form(operation, self.moment, self.form)?;
        Ok((reply(self.queue, executed.output), executed.record, executed.due_left))
    }
}

pub struct Apply<'a>(pub &'a mut Queue);

impl Visit for Apply<'_> {
    type Out = ();
    fn visit<O: Operation>(self, operation: &O, _: impl FnOnce(&Queue, O::Output) -> Reply) {
        self.0.apply(operation);
    }
}

fn receipts(raw: &[u64]) -> Vec<Receipt> {
    raw.iter().copied().map(Receipt).collect()
}

fn named(raw: &[u64]) -> Vec<Id> {
    raw.iter().copied().map(Id).collect()
}

impl PushOp {
    fn visit<V: Visit>(&self, visitor: V) -> V::Out {
        let name = |prefix: u8, name: Option<u8>| name.map(|name| [prefix, name]);
        let (unique, group) = (name(b'u', self.unique), name(b'g', self.group));
        let producer = [b'p', self.sequence.map_or(0, |(producer, _)| producer)];
        let payloads: Vec<&[u8]> = self.payloads.iter().map(Vec::as_slice).collect();
        let push = Push {
            delay: (self.delay > 0).then_some(Span(self.delay)),
            priority: Priority(self.priority),
            fence: self.fence.map(Token),
            sequence: self.sequence.map(|(_, first)| Sequence { producer: &producer, first }),
            label: Label {
                unique: unique.as_ref().map(|name| &name[..]),
                group: group.as_ref().map(|name| &name[..]),
                ttl: self.ttl.map(Span),
            },
            payloads: &payloads,
        };
        visitor.visit(&push, |_, pushed| Reply::Pushed {
            first: pushed.first.map_or(0, |id| id.0),
            duplicate: pushed.duplicate,
        })
    }

    fn on_model(&self, model: &mut Model) -> Result<Reply, Refused> {
        let unique = self.unique.map(|name| vec![b'u', name]);
        let producer = [b'p', self.sequence.map_or(0, |(producer, _)| producer)];
        let sequence = self.sequence.map(|(_, first)| (&producer[..], first));
        let count = self.payloads.len() as u64;
        if let Some(id) = model.judge_push(count, self.fence, sequence, unique.as_deref())? {
            return Ok(Reply::Pushed { first: id, duplicate: true });
        }
        let label = Labelling { unique, group: self.group.map(|name| vec![b'g', name]), ttl: self.ttl };
        let first = model.push(&self.payloads, self.priority, self.delay, self.fence, sequence, &label);
        Ok(Reply::Pushed { first, duplicate: false })
    }
}

impl Op {
    /// The connection that it comes from, if it matters.
    pub fn session(&self) -> Option<u64> {
        match self {
            Op::Claim { session, .. } | Op::Lead { session, .. } | Op::Drain { session, .. } => *session,
            _ => None,
        }
    }

    /// The receipts that it names.
    pub fn receipts(&self) -> &[u64] {
        match self {
            Op::Ack(receipts) | Op::Release(receipts) | Op::Extend { receipts, .. } => receipts,
            Op::Claim { acks, .. } => acks,
            Op::Fail { receipt, .. } => std::slice::from_ref(receipt),
            _ => &[],
        }
    }

    /// Shows this operation, as the engine has it, to the visitor.
    pub fn visit<V: Visit>(&self, visitor: V) -> V::Out {
        let count = |_: &Queue, count: u64| Reply::Count(count);
        match self {
            Op::Push(push) => push.visit(visitor),
            Op::Claim { consumer, count, lease, session, acks } => {
                let (name, acks) = ([b'w', *consumer], receipts(acks));
                let (lease, session) = (lease.map(Span), session.map(SessionId));
                visitor.visit(&Claim { consumer: &name, count: *count, lease, session, acks: &acks }, claimed)
            }
            Op::Ack(raw) => visitor.visit(&Ack { receipts: &receipts(raw) }, count),
            Op::Fail { receipt, retry, reason } => {
                let fail = Fail { receipt: Receipt(*receipt), retry: retry.map(Span), reason: &[b'r', *reason] };
                visitor.visit(&fail, |_, failed| {
                    Reply::Failed(match failed {
                        Failed::Stale => 0,
                        Failed::Errored => 1,
                        Failed::Retried => 2,
                    })
                })
            }
            Op::Extend { lease, receipts: raw } => {
                visitor.visit(&Extend { lease: Span(*lease), receipts: &receipts(raw) }, count)
            }
            Op::Release(raw) => visitor.visit(&Release { receipts: &receipts(raw) }, count),
            Op::Lead { candidate, lease, session, renew } => {
                let (lease, session, renew) = (lease.map(Span), session.map(SessionId), renew.map(Token));
                visitor.visit(&Lead { candidate: &[b'c', *candidate], lease, session, renew }, |_, led| Reply::Led {
                    won: led.won,
                    token: led.leader.map(|leader| leader.token.0),
                })
            }
            Op::Resign { candidate, token } => visitor
                .visit(&Resign { candidate: &[b'c', *candidate], token: Token(*token) }, |_, led| Reply::Flag(led)),
            Op::Drain { count, lease, session } => {
                let drain = DrainErrors {
                    count: count.unwrap_or(usize::MAX),
                    lease: lease.map(Span),
                    session: session.map(SessionId),
                };
                visitor.visit(&drain, |_, drained| Reply::Drained(drained.into_iter().map(taken).collect()))
            }
            Op::Redrive { ids: Some(ids), .. } => visitor.visit(&Redrive::Ids(&named(ids)), count),
            Op::Redrive { count: limit, ids: None } => {
                visitor.visit(&Redrive::Count(limit.unwrap_or(usize::MAX)), count)
            }
            Op::Remove(ids) => visitor.visit(&Remove { ids: &named(ids) }, count),
            Op::Purge { state, count: limit } => {
                let state = [Purged::Ready, Purged::Delayed, Purged::Errors][usize::from(*state)];
                visitor.visit(&Purge { state, count: *limit }, count)
            }
            Op::Configure(setting) => visitor.visit(&Configure { settings: &[*setting] }, |_, ()| Reply::Done),
            Op::RaiseFence { producer, token } => {
                visitor.visit(&RaiseFence { producer: &[b'p', *producer], token: Token(*token) }, count)
            }
            Op::EndSession(session) => visitor.visit(&EndSession { session: SessionId(*session) }, count),
            Op::Settle => visitor.visit(&Settle, |_, ()| Reply::Done),
        }
    }

    /// Does the same to the model.
    pub fn on_model(&self, model: &mut Model) -> Result<Reply, Refused> {
        Ok(match self {
            Op::Push(push) => return push.on_model(model),
            Op::Claim { consumer, count, lease, session, acks } => {
                let acked = model.ack(acks);
                let claimed = model.claim(&[b'w', *consumer], *count, *lease, *session);
                let got = claimed.into_iter().map(|message| match message.state {
                    State::Claimed { receipt, .. } => (receipt, message.id, message.deliveries, message.payload),
                    _ => panic!("the model claims"),
                });
                Reply::Claimed { acked, got: got.collect() }
            }
            Op::Ack(receipts) => Reply::Count(model.ack(receipts)),
            Op::Fail { receipt, retry, reason } => Reply::Failed(model.fail(*receipt, *retry, &[b'r', *reason])),
            Op::Extend { lease, receipts } => Reply::Count(model.extend(*lease, receipts)),
            Op::Release(receipts) => Reply::Count(model.release(receipts)),
            Op::Lead { candidate, lease, session, renew } => {
                let won = model.lead(&[b'c', *candidate], *lease, *session, *renew);
                Reply::Led { won, token: model.leader().map(|leader| leader.token) }
            }
            Op::Resign { candidate, token } => Reply::Flag(model.resign(&[b'c', *candidate], *token)),
            Op::Drain { count, lease, session } => {
                let drained = model.drain(count.unwrap_or(usize::MAX), *lease, *session);
                let drained = drained.into_iter().map(|(receipt, message)| match message.state {
                    State::Errored { reason, consumer, at, .. } => {
                        (receipt, message.id, message.deliveries, message.payload, reason, consumer, at)
                    }
                    _ => panic!("the model drains errors"),
                });
                Reply::Drained(drained.collect())
            }
            Op::Redrive { count, ids } => Reply::Count(match ids {
                Some(ids) => model.redrive(Some(ids), usize::MAX),
                None => model.redrive(None, count.unwrap_or(usize::MAX)),
            }),
            Op::Remove(ids) => Reply::Count(model.remove(ids)),
            Op::Purge { state, count } => Reply::Count(model.purge(*state, *count)),
            Op::Configure(setting) => {
                configure(model, *setting);
                Reply::Done
            }
            Op::RaiseFence { producer, token } => {
                model.judge_fence(*token)?;
                model.fence_seen = model.fence_seen.max(*token);
                Reply::Count(model.producers.get(&[b'p', *producer][..]).map_or(0, |producer| producer.0))
            }
            Op::EndSession(session) => Reply::Count(model.end_session(*session)),
            Op::Settle => Reply::Done,
        })
    }
}

fn claimed(queue: &Queue, claimed: Claimed) -> Reply {
    let got = claimed
        .deliveries
        .iter()
        .map(|delivery| (delivery.receipt.0, delivery.id.0, delivery.deliveries, queue.payload(delivery).to_vec()));
    Reply::Claimed { acked: claimed.acked, got: got.collect() }
}

fn taken(message: Drained) -> Taken {
    let Drained { receipt, id, deliveries, payload, reason, consumer, failed_at } = message;
    (receipt.0, id.0, deliveries, payload, reason, consumer, failed_at.0)
}

fn configure(model: &mut Model, setting: Setting) {
    match setting {
        Setting::Lease(lease) => model.lease = lease.0,
        Setting::MaxDeliveries(limit) => model.max_deliveries = limit,
        Setting::MaxLength(limit) => model.max_length = limit,
        Setting::Paused(paused) => model.paused = paused,
        Setting::LeaderOnly(leader_only) => model.leader_only = leader_only,
        Setting::ErrorsKeep(keep) => model.errors_keep = keep.0,
        Setting::MaxClaimed(limit) => model.max_claimed = limit,
        Setting::Rate(rate) => model.set_rate(rate.into()),
    }
}
