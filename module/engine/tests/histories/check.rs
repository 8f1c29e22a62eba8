//! What must be true after each step.

use crate::model::{self, State};
use crate::run::Run;
use mq_engine::*;

pub fn encoded(queue: &Queue) -> Vec<Vec<u8>> {
    let mut chunks = Vec::new();
    queue.encode(&mut |chunk| chunks.push(chunk.to_vec()));
    chunks
}

pub fn reloaded(queue: &Queue) -> Queue {
    let mut decoder = Decoder::default();
    encoded(queue).iter().for_each(|chunk| decoder.feed(chunk).expect("a saved queue can be loaded"));
    decoder.finish().expect("a saved queue is whole")
}

impl Run {
    /// What can be seen of the engine is what is in the model.
    pub fn check(&self) {
        self.primary.check_invariants().expect("invariants");
        let Some(replica) = self.replica.as_ref().filter(|_| self.record.is_none()) else { return };
        assert_eq!(encoded(replica), encoded(&self.primary), "a replica is its primary");
        assert_eq!(encoded(&reloaded(&self.primary)), encoded(&self.primary), "loading gives back what was saved");
        let info = self.primary.info(Time(0));
        let (model, totals) = (&self.model, info.totals);
        let count = |wanted: fn(&State) -> bool| model.messages.iter().filter(|m| wanted(&m.state)).count() as u64;
        assert_eq!(info.ready, count(|state| *state == State::Ready));
        assert_eq!(info.delayed, count(|state| matches!(state, State::Delayed { .. })));
        assert_eq!(info.claimed, count(|state| matches!(state, State::Claimed { .. })));
        assert_eq!(info.errors, count(|state| matches!(state, State::Errored { .. })));
        let got = [totals.pushed, totals.delivered, totals.redelivered, totals.acked, totals.failed, totals.dead];
        assert_eq!(got, [model.pushed, model.delivered, model.redelivered, model.acked, model.failed, model.dead]);
        let got = [totals.retried, totals.expired, totals.released, totals.drained, totals.redriven];
        assert_eq!(got, [model.retried, model.expired, model.released, model.drained, model.redriven]);
        let got = [totals.removed, totals.dropped, totals.ttl_expired];
        assert_eq!(got, [model.removed, model.dropped, model.ttl_expired]);
        for state in [PeekState::Ready, PeekState::Delayed, PeekState::Claimed, PeekState::Errors] {
            self.check_peek(state);
        }
    }

    fn check_peek(&self, state: PeekState) {
        let wanted = |message: &&model::Message| match message.state {
            State::Ready => state == PeekState::Ready,
            State::Delayed { .. } => state == PeekState::Delayed,
            State::Claimed { .. } => state == PeekState::Claimed,
            State::Errored { .. } => state == PeekState::Errors,
        };
        let mut expected: Vec<_> = self.model.messages.iter().filter(wanted).collect();
        expected.sort_by_key(|message| message.id);
        let peeked = self.primary.peek(state, None, 1000);
        assert_eq!(peeked.len(), expected.len());
        for (peeked, message) in peeked.iter().zip(&expected) {
            assert_eq!(
                (peeked.id.0, peeked.payload, peeked.deliveries, peeked.priority.0),
                (message.id, &message.payload[..], message.deliveries, message.priority)
            );
            assert_eq!(
                (peeked.unique, peeked.group, peeked.expires_at),
                (message.unique.as_deref(), message.group.as_deref(), message.expires.map(Time))
            );
            assert_eq!(self.primary.peek_id(peeked.id), Some((state, peeked.clone())), "one by one as together");
            match &message.state {
                State::Ready => {}
                State::Delayed { due } => assert_eq!(peeked.due_at, Some(Time(*due))),
                State::Claimed { receipt, deadline, consumer, .. } => {
                    assert_eq!(
                        (peeked.receipt, peeked.lease_ends_at),
                        (Some(Receipt(*receipt)), Some(Time(*deadline)))
                    );
                    assert_eq!(peeked.consumer, Some(&consumer[..]));
                }
                State::Errored { reason, at, drain, .. } => {
                    assert_eq!((peeked.reason, peeked.failed_at), (Some(&reason[..]), Some(Time(*at))));
                    assert_eq!(peeked.receipt, drain.map(|(receipt, ..)| Receipt(receipt)));
                }
            }
        }
        let half = expected.get(expected.len() / 2).map(|message| Id(message.id));
        let after = self.primary.peek(state, half, 3);
        let ids: Vec<u64> = after.iter().map(|peeked| peeked.id.0).collect();
        let later = expected.iter().skip(expected.len() / 2 + 1).take(3);
        if half.is_some() {
            assert_eq!(ids, later.map(|message| message.id).collect::<Vec<_>>());
        }
    }
}
