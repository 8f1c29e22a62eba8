//! What must be true of one queue after a step: its invariants, and that it looks like the model.

use crate::model::{Message, Model, State};
use mq_engine::*;
use std::hash::{DefaultHasher, Hash, Hasher};

pub fn chunks(queue: &Queue) -> Vec<Vec<u8>> {
    let mut chunks = Vec::new();
    queue.encode(&mut |chunk| chunks.push(chunk.to_vec()));
    chunks
}

pub fn loaded(chunks: &[Vec<u8>]) -> Queue {
    let mut decoder = Decoder::default();
    chunks.iter().for_each(|chunk| decoder.feed(chunk).expect("a saved queue can be loaded"));
    decoder.finish().expect("a saved queue is whole")
}

/// Of all bytes that a queue is saved as: equal for equal states.
pub fn digest(queue: Option<&Queue>) -> u64 {
    let mut hasher = DefaultHasher::new();
    if let Some(queue) = queue {
        queue.encode(&mut |chunk| chunk.hash(&mut hasher));
    }
    hasher.finish()
}

/// Every count is the model's.
pub fn counts(queue: &Queue, model: &Model) {
    let info = queue.info(Time(0));
    let mut levels = [0; 4];
    for message in &model.messages {
        levels[match message.state {
            State::Ready => 0,
            State::Delayed { .. } => 1,
            State::Claimed { .. } => 2,
            State::Errored { .. } => 3,
        }] += 1;
    }
    assert_eq!([info.ready, info.delayed, info.claimed, info.errors], levels, "ready, delayed, claimed, errors");
    let t = info.totals;
    let got = [t.pushed, t.delivered, t.redelivered, t.acked, t.failed, t.dead, t.retried];
    let Model { pushed, delivered, redelivered, acked, failed, dead, retried, .. } = *model;
    assert_eq!(got, [pushed, delivered, redelivered, acked, failed, dead, retried], "totals, from pushed to retried");
    let got = [t.expired, t.released, t.drained, t.redriven, t.removed, t.dropped, t.ttl_expired];
    let Model { expired, released, drained, redriven, removed, dropped, ttl_expired, .. } = *model;
    assert_eq!(got, [expired, released, drained, redriven, removed, dropped, ttl_expired], "totals, from expired on");
    assert_eq!(info.leader.map(|leader| leader.token.0), model.leader().map(|leader| leader.token), "the leader");
}

/// Every message is the model's, in everything that PEEK shows.
pub fn messages(queue: &Queue, model: &Model) {
    let mut seen = 0;
    for state in [PeekState::Ready, PeekState::Delayed, PeekState::Claimed, PeekState::Errors] {
        for peeked in queue.peek(state, None, usize::MAX) {
            let at = model.messages.binary_search_by_key(&peeked.id.0, |message| message.id);
            let message = &model.messages[at.unwrap_or_else(|_| panic!("message {} is not in the model", peeked.id))];
            same(state, &peeked, message);
            seen += 1;
        }
    }
    assert_eq!(seen, model.messages.len(), "no message is missing");
}

fn same(state: PeekState, peeked: &Peeked<'_>, message: &Message) {
    let (id, payload) = (peeked.id.0, peeked.payload);
    assert_eq!(
        (id, payload, peeked.deliveries, peeked.priority.0),
        (message.id, &message.payload[..], message.deliveries, message.priority)
    );
    assert_eq!(
        (peeked.unique, peeked.group, peeked.expires_at),
        (message.unique.as_deref(), message.group.as_deref(), message.expires.map(Time)),
        "the label of message {id}"
    );
    let agree = match &message.state {
        State::Ready => state == PeekState::Ready,
        State::Delayed { due } => state == PeekState::Delayed && peeked.due_at == Some(Time(*due)),
        State::Claimed { receipt, deadline, consumer, .. } => {
            state == PeekState::Claimed
                && (peeked.receipt, peeked.lease_ends_at) == (Some(Receipt(*receipt)), Some(Time(*deadline)))
                && peeked.consumer == Some(&consumer[..])
        }
        State::Errored { reason, consumer, at, drain, .. } => {
            state == PeekState::Errors
                && (peeked.reason, peeked.consumer) == (Some(&reason[..]), Some(&consumer[..]))
                && peeked.failed_at == Some(Time(*at))
                && (peeked.receipt, peeked.lease_ends_at)
                    == (drain.map(|(receipt, ..)| Receipt(receipt)), drain.map(|(_, deadline, _)| Time(deadline)))
        }
    };
    assert!(agree, "message {id} is {state:?} {peeked:?}, in the model {:?}", message.state);
}
