//! Random histories: after every step the engine answers and looks like the model, its invariants hold, a replica fed
//! with the records is the same to the byte, and saving and loading changes nothing.
#![allow(missing_docs)]

mod model;

use model::{Label as Labelling, Model, Refused, State};
use mq_engine::operations::*;
use mq_engine::*;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Push {
        payloads: Vec<Vec<u8>>,
        priority: u8,
        delay: u64,
        fence: Fence,
        sequence: Option<(u8, i8)>,
        label: Tags,
    },
    Claim {
        consumer: u8,
        count: usize,
        lease: Option<u64>,
        session: Option<u64>,
        acks: Vec<u8>,
    },
    Ack(Vec<u8>),
    Fail {
        receipt: u8,
        retry: Option<u64>,
        reason: u8,
    },
    Extend {
        lease: u64,
        receipts: Vec<u8>,
    },
    Release(Vec<u8>),
    Lead {
        candidate: u8,
        lease: Option<u64>,
        session: Option<u64>,
        renew: bool,
    },
    Resign(u8),
    Drain {
        count: Option<usize>,
        lease: Option<u64>,
        session: Option<u64>,
    },
    Redrive {
        count: Option<usize>,
        ids: Option<Vec<u8>>,
    },
    Remove(Vec<u8>),
    Purge {
        state: u8,
        count: usize,
    },
    Configure(Setting),
    RaiseFence {
        producer: u8,
        ahead: i64,
    },
    EndSession(u64),
    Settle,
    Term {
        skip: bool,
    },
    Reload,
    /// The next steps are one record.
    Together(u8),
    /// The wall clock is set so far ahead of the server's time, or to it.
    Wall(u64),
}

/// Which unique key, which group, which TTL.
type Tags = (Option<u8>, Option<u8>, Option<u64>);

#[derive(Clone, Copy, Debug)]
enum Fence {
    None,
    Current,
    Other(i64),
}

fn session() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![2 => Just(None), 1 => (1..4u64).prop_map(Some)]
}

fn lease() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![1 => Just(None), 3 => (1..200u64).prop_map(Some), 1 => Just(Some(5))]
}

fn receipts() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..6)
}

fn payloads() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let payload = prop_oneof![8 => 0..20usize, 1 => 3000..6000usize]
        .prop_flat_map(|length| any::<u8>().prop_map(move |byte| vec![byte; length]));
    prop::collection::vec(payload, 1..6)
}

fn setting() -> impl Strategy<Value = Setting> {
    prop_oneof![
        (1..500u64).prop_map(|lease| Setting::Lease(Span(lease))),
        (0..4u32).prop_map(Setting::MaxDeliveries),
        prop_oneof![Just(0), 1..60u64].prop_map(Setting::MaxLength),
        prop::bool::weighted(0.2).prop_map(Setting::Paused),
        prop::bool::weighted(0.2).prop_map(Setting::LeaderOnly),
        prop_oneof![Just(0), 1..200u64].prop_map(|keep| Setting::ErrorsKeep(Span(keep))),
        prop_oneof![2 => Just(0), 1 => 1..6u64].prop_map(Setting::MaxClaimed),
        prop_oneof![2 => Just(0), 1 => Just(7), 1 => Just(40), 1 => Just(5000)].prop_map(Setting::Rate),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let fence = prop_oneof![6 => Just(Fence::None), 2 => Just(Fence::Current), 1 => (-2..3i64).prop_map(Fence::Other)];
    let sequence = prop::option::weighted(0.3, (0..3u8, -3..3i8));
    let priority = prop_oneof![4 => Just(0u8), 1 => Just(9), 1 => Just(255)];
    let delay = prop_oneof![3 => Just(0u64), 1 => 1..100u64];
    let ttl = prop_oneof![2 => 1..100u64, 1 => 100..1000u64];
    let labelled = (prop::option::weighted(0.4, 0..4u8), prop::option::weighted(0.6, 0..3u8), prop::option::of(ttl));
    let label = prop_oneof![1 => Just((None, None, None)), 1 => labelled];
    let push = (payloads(), priority, delay, fence, sequence, label).prop_map(
        |(payloads, priority, delay, fence, sequence, label)| Step::Push {
            payloads,
            priority,
            delay,
            fence,
            sequence,
            label,
        },
    );
    let claim = (0..3u8, 1..5usize, lease(), session(), receipts())
        .prop_map(|(consumer, count, lease, session, acks)| Step::Claim { consumer, count, lease, session, acks });
    let fail = (any::<u8>(), prop::option::of(0..50u64), 0..3u8);
    let lead = (0..3u8, lease(), session(), any::<bool>());
    prop_oneof![
        6 => push,
        8 => claim,
        4 => receipts().prop_map(Step::Ack),
        4 => fail.prop_map(|(receipt, retry, reason)| Step::Fail { receipt, retry, reason }),
        2 => (0..100u64, receipts()).prop_map(|(lease, receipts)| Step::Extend { lease, receipts }),
        2 => receipts().prop_map(Step::Release),
        3 => lead.prop_map(|(candidate, lease, session, renew)| Step::Lead { candidate, lease, session, renew }),
        1 => (0..3u8).prop_map(Step::Resign),
        2 => (prop::option::of(1..3usize), lease(), session())
            .prop_map(|(count, lease, session)| Step::Drain { count, lease, session }),
        1 => (prop::option::of(1..3usize), prop::option::of(receipts()))
            .prop_map(|(count, ids)| Step::Redrive { count, ids }),
        1 => prop::collection::vec(any::<u8>(), 0..4).prop_map(Step::Remove),
        1 => (0..3u8, 1..4usize).prop_map(|(state, count)| Step::Purge { state, count }),
        2 => setting().prop_map(Step::Configure),
        1 => (0..3u8, -2..3i64).prop_map(|(producer, ahead)| Step::RaiseFence { producer, ahead }),
        2 => (1..4u64).prop_map(Step::EndSession),
        1 => Just(Step::Settle),
        1 => any::<bool>().prop_map(|skip| Step::Term { skip }),
        1 => Just(Step::Reload),
        1 => (2..6u8).prop_map(Step::Together),
        1 => prop_oneof![Just(0), 1..5000u64].prop_map(Step::Wall),
    ]
}

fn encoded(queue: &Queue) -> Vec<Vec<u8>> {
    let mut chunks = Vec::new();
    queue.encode(&mut |chunk| chunks.push(chunk.to_vec()));
    chunks
}

fn reloaded(queue: &Queue) -> Queue {
    let mut decoder = Decoder::default();
    encoded(queue).iter().for_each(|chunk| decoder.feed(chunk).expect("a saved queue can be loaded"));
    decoder.finish().expect("a saved queue is whole")
}

/// The engine as primary, its replica, and the model, kept in step.
struct Run {
    primary: Queue,
    replica: Option<Queue>,
    model: Model,
    clock: u64,
    term: Option<TermStart>,
    /// By how much the wall clock is ahead of `clock`.
    ahead: u64,
    /// Every receipt and id ever seen, for steps to name.
    receipts: Vec<u64>,
    ids: Vec<u64>,
    /// The payloads of the push that is being done.
    beside: Vec<Vec<u8>>,
    /// How many steps more go into one record, and what it holds so far.
    together: u8,
    record: Option<(Effect, Vec<Vec<u8>>)>,
}

impl Run {
    fn new() -> Run {
        let term = Some(TermStart { floor: 1000, skip: 0 });
        let primary = Queue::new(Settings::default());
        let (replica, model, record) = (None, Model::new(), None);
        let (receipts, ids, beside) = (vec![], vec![], vec![]);
        Run { primary, replica, model, clock: 5000, term, ahead: 0, receipts, ids, beside, together: 0, record }
    }

    /// Adds an effect to the record, and sends that when it is whole.
    fn send(&mut self, effect: Effect) {
        let beside = if effect.payloads_apart { std::mem::take(&mut self.beside) } else { vec![] };
        if effect.payloads_apart && self.record.as_ref().is_some_and(|(record, _)| record.payloads_apart) {
            self.flush();
        }
        match &mut self.record {
            Some((record, payloads)) => {
                record.append(&effect);
                payloads.extend(beside);
            }
            none => *none = Some((effect, beside)),
        }
        if self.together == 0 {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if let Some((record, payloads)) = self.record.take() {
            let beside: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
            apply_record(&mut self.replica, &record.bytes, &beside).expect("a replica understands its primary");
        }
    }

    fn receipt(&self, index: u8) -> Receipt {
        let near = self.receipts.len().saturating_sub(1 + usize::from(index) % 24);
        Receipt(self.receipts.get(near).copied().unwrap_or(7))
    }

    fn receipts(&self, indices: &[u8]) -> Vec<Receipt> {
        indices.iter().map(|index| self.receipt(*index)).collect()
    }

    /// Executes on all three. The model is asked as if the due work were done, and keeps what it did unless refused.
    fn execute<O: Operation, M>(
        &mut self,
        operation: &O,
        on_model: impl FnOnce(&mut Model) -> Result<M, Refused>,
    ) -> Result<(O::Output, M), Refused> {
        let wall = Time(self.clock + self.ahead);
        let moment = Moment { term: self.term, wall, ..Moment::at(Time(self.clock)) };
        let mut model = self.model.clone();
        model.wall_clock = wall.0;
        model.settle(self.clock, self.term.map(|term| (term.floor, term.skip)));
        let expected = on_model(&mut model);
        let before = encoded(&self.primary);
        let form = if self.together == 0 { Form::Shortest } else { Form::Effect };
        let executed = self.primary.execute_in_form(operation, moment, form);
        match (executed, expected) {
            (Ok(executed), Ok(expected)) => {
                match &executed.record {
                    Record::Nothing => assert_eq!(encoded(&self.primary), before, "an unrecorded step changes nothing"),
                    Record::Verbatim => {
                        self.replica.as_mut().expect("created by an effect").apply(operation);
                    }
                    Record::Effect(effect) => self.send(effect.clone()),
                }
                if executed.record != Record::Nothing {
                    self.term = None;
                    if executed.record == Record::Verbatim {
                        model.now = self.model.now;
                    }
                    self.model = model;
                }
                Ok((executed.output, expected))
            }
            (Err(refusal), Err(refused)) => {
                assert_eq!(encoded(&self.primary), before, "a refused step changes nothing");
                match (&refusal, &refused) {
                    (Refusal::Fenced, Refused::Fenced) | (Refusal::QueueFull { .. }, Refused::QueueFull) => {}
                    (Refusal::OutOfOrder { expected }, Refused::OutOfOrder(model)) => assert_eq!(expected, model),
                    _ => panic!("refused as {refusal:?}, not {refused:?}"),
                }
                Err(refused)
            }
            (Ok(_), Err(refused)) => panic!("not refused as {refused:?}"),
            (Err(refusal), Ok(_)) => panic!("refused as {refusal:?}"),
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Push { payloads, priority, delay, fence, sequence, label } => {
                self.push(payloads, *priority, *delay, *fence, *sequence, *label);
            }
            Step::Remove(indices) => {
                let ids = self.named(indices);
                let named: Vec<Id> = ids.iter().copied().map(Id).collect();
                self.same(&Remove { ids: &named }, |model| model.remove(&ids));
            }
            Step::Purge { state, count } => {
                let purged = [Purged::Ready, Purged::Delayed, Purged::Errors][usize::from(*state)];
                self.same(&Purge { state: purged, count: *count }, |model| model.purge(*state, *count));
            }
            Step::Claim { consumer, count, lease, session, acks } => {
                self.claim(*consumer, *count, *lease, *session, acks);
            }
            Step::Drain { count, lease, session } => self.drain(*count, *lease, *session),
            Step::Lead { candidate, lease, session, renew } => self.lead(*candidate, *lease, *session, *renew),
            Step::Ack(receipts) => {
                let receipts = self.receipts(receipts);
                let raw: Vec<u64> = receipts.iter().map(|receipt| receipt.0).collect();
                self.same(&Ack { receipts: &receipts }, |model| model.ack(&raw));
            }
            Step::Extend { lease, receipts } => {
                let receipts = self.receipts(receipts);
                let raw: Vec<u64> = receipts.iter().map(|receipt| receipt.0).collect();
                self.same(&Extend { lease: Span(*lease), receipts: &receipts }, |model| model.extend(*lease, &raw));
            }
            Step::Release(receipts) => {
                let receipts = self.receipts(receipts);
                let raw: Vec<u64> = receipts.iter().map(|receipt| receipt.0).collect();
                self.same(&Release { receipts: &receipts }, |model| model.release(&raw));
            }
            Step::Fail { receipt, retry, reason } => {
                let (receipt, reason) = (self.receipt(*receipt), [b'r', *reason]);
                let fail = Fail { receipt, retry: retry.map(Span), reason: &reason };
                let (failed, expected) =
                    self.execute(&fail, |model| Ok(model.fail(receipt.0, *retry, &reason))).unwrap();
                let code = match failed {
                    Failed::Stale => 0,
                    Failed::Errored => 1,
                    Failed::Retried => 2,
                };
                assert_eq!(code, expected);
            }
            Step::Resign(candidate) => {
                let token = self.model.leader.as_ref().map_or(3, |leader| leader.token);
                let name = [b'c', *candidate];
                let resign = Resign { candidate: &name, token: Token(token) };
                self.same(&resign, |model| model.resign(&name, token));
            }
            Step::Redrive { count, ids: Some(ids) } => {
                let _ = count;
                let ids = self.named(ids);
                let named: Vec<Id> = ids.iter().copied().map(Id).collect();
                self.same(&Redrive::Ids(&named), |model| model.redrive(Some(&ids), usize::MAX));
            }
            Step::Redrive { count, ids: None } => {
                let redrive = Redrive::Count(count.unwrap_or(usize::MAX));
                self.same(&redrive, |model| model.redrive(None, count.unwrap_or(usize::MAX)));
            }
            Step::Configure(setting) => self.configure(*setting),
            Step::RaiseFence { producer, ahead } => self.raise_fence(*producer, *ahead),
            Step::EndSession(session) => {
                self.same(&EndSession { session: SessionId(*session) }, |model| model.end_session(*session));
            }
            Step::Settle => {
                self.same(&Settle, |_| ());
            }
            Step::Term { skip } => {
                let floor = self.primary.numbers_end() + 10;
                self.term = Some(TermStart { floor, skip: if *skip { 1 << 24 } else { 0 } });
            }
            Step::Together(steps) => self.together = *steps,
            Step::Wall(ahead) => self.ahead = *ahead,
            // Only what a copy knows can have been saved.
            Step::Reload if self.replica.is_none() => {}
            Step::Reload => {
                self.flush();
                self.primary = reloaded(&self.primary);
                self.replica = self.replica.as_ref().map(reloaded);
            }
        }
    }

    fn named(&self, indices: &[u8]) -> Vec<u64> {
        indices.iter().filter_map(|index| self.ids.get(usize::from(*index) % 40).copied()).collect()
    }

    fn same<O: Operation<Output: PartialEq + std::fmt::Debug>>(
        &mut self,
        operation: &O,
        on_model: impl FnOnce(&mut Model) -> O::Output,
    ) {
        let (output, expected) = self.execute(operation, |model| Ok(on_model(model))).expect("never refused");
        assert_eq!(output, expected);
    }

    fn push(
        &mut self,
        payloads: &[Vec<u8>],
        priority: u8,
        delay: u64,
        fence: Fence,
        sequence: Option<(u8, i8)>,
        (unique, group, ttl): Tags,
    ) {
        // A unique key is for one payload, and not beside a sequence.
        let sequence = sequence.filter(|_| unique.is_none());
        let payloads = if unique.is_some() { &payloads[..1] } else { payloads };
        let tags =
            Labelling { unique: unique.map(|key| vec![b'u', key]), group: group.map(|group| vec![b'g', group]), ttl };
        let label = Label { unique: tags.unique.as_deref(), group: tags.group.as_deref(), ttl: ttl.map(Span) };
        let current = self.model.leader.as_ref().map_or(self.model.fence_seen, |leader| leader.token);
        let fence = match fence {
            Fence::None => None,
            Fence::Current => Some(current),
            Fence::Other(offset) => Some(current.saturating_add_signed(offset)),
        };
        let names = [[b'p', 0], [b'p', 1], [b'p', 2]];
        let sequence = sequence.map(|(producer, offset)| {
            let name = &names[usize::from(producer)][..];
            let next = self.model.producers.get(name).map_or(5, |producer| producer.0);
            (name, next.saturating_add_signed(offset.into()))
        });
        self.beside = payloads.to_vec();
        let slices: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
        let push = Push {
            delay: (delay > 0).then_some(Span(delay)),
            priority: Priority(priority),
            fence: fence.map(Token),
            sequence: sequence.map(|(producer, first)| Sequence { producer, first }),
            label,
            payloads: &slices,
        };
        let pushed = self.execute(&push, |model| {
            match model.judge_push(payloads.len() as u64, fence, sequence, tags.unique.as_deref())? {
                Some(seen) => Ok((seen, true)),
                None => Ok((model.push(payloads, priority, delay, fence, sequence, &tags), false)),
            }
        });
        if let Ok((pushed, (id, duplicate))) = pushed {
            assert_eq!((pushed.first.map_or(0, |id| id.0), pushed.duplicate), (id, duplicate));
            self.ids.splice(0..0, id..id + payloads.len() as u64);
        }
    }

    fn claim(&mut self, consumer: u8, count: usize, lease: Option<u64>, session: Option<u64>, acks: &[u8]) {
        let acks = self.receipts(acks);
        let raw: Vec<u64> = acks.iter().map(|receipt| receipt.0).collect();
        let name = [b'w', consumer];
        let claim =
            Claim { consumer: &name, count, lease: lease.map(Span), session: session.map(SessionId), acks: &acks };
        let on_model = |model: &mut Model| {
            let acked = model.ack(&raw);
            Ok((acked, model.claim(&name, count, lease, session)))
        };
        let (claimed, (acked, messages)) = self.execute(&claim, on_model).expect("a claim is never refused");
        assert_eq!(claimed.acked, acked);
        let got = claimed.deliveries.iter().map(|delivery| {
            self.receipts.push(delivery.receipt.0);
            (delivery.receipt.0, delivery.id.0, delivery.deliveries, self.primary.payload(delivery).to_vec())
        });
        let got: Vec<_> = got.collect();
        let expected = messages.into_iter().map(|message| {
            let State::Claimed { receipt, .. } = message.state else { panic!("claimed") };
            (receipt, message.id, message.deliveries, message.payload)
        });
        assert_eq!(got, expected.collect::<Vec<_>>());
    }

    fn lead(&mut self, candidate: u8, lease: Option<u64>, session: Option<u64>, renew: bool) {
        let name = [b'c', candidate];
        let renew = renew.then(|| self.model.leader.as_ref().map_or(3, |leader| leader.token));
        let lead =
            Lead { candidate: &name, lease: lease.map(Span), session: session.map(SessionId), renew: renew.map(Token) };
        let on_model = |model: &mut Model| Ok((model.lead(&name, lease, session, renew), model.leader()));
        let (led, (won, leader)) = self.execute(&lead, on_model).expect("a candidate is never refused");
        assert_eq!(led.won, won);
        assert_eq!(led.leader.map(|leader| leader.token.0), leader.map(|leader| leader.token));
    }

    fn drain(&mut self, count: Option<usize>, lease: Option<u64>, session: Option<u64>) {
        let session = session.filter(|_| lease.is_some());
        let drain =
            DrainErrors { count: count.unwrap_or(usize::MAX), lease: lease.map(Span), session: session.map(SessionId) };
        let on_model = |model: &mut Model| Ok(model.drain(count.unwrap_or(usize::MAX), lease, session));
        let (drained, expected) = self.execute(&drain, on_model).expect("a drain is never refused");
        let got = drained.into_iter().map(|message| {
            self.receipts.push(message.receipt.0);
            (message.receipt.0, message.id.0, message.payload, message.reason, message.consumer, message.failed_at.0)
        });
        let got: Vec<_> = got.collect();
        let expected = expected.into_iter().map(|(receipt, message)| {
            let State::Errored { reason, consumer, at, .. } = message.state else { panic!("errored") };
            (receipt, message.id, message.payload, reason, consumer, at)
        });
        assert_eq!(got, expected.collect::<Vec<_>>());
    }

    fn configure(&mut self, setting: Setting) {
        self.same(&Configure { settings: &[setting] }, |model| match setting {
            Setting::Lease(lease) => model.lease = lease.0,
            Setting::MaxDeliveries(limit) => model.max_deliveries = limit,
            Setting::MaxLength(limit) => model.max_length = limit,
            Setting::Paused(paused) => model.paused = paused,
            Setting::LeaderOnly(leader_only) => model.leader_only = leader_only,
            Setting::ErrorsKeep(keep) => model.errors_keep = keep.0,
            Setting::MaxClaimed(limit) => model.max_claimed = limit,
            Setting::Rate(rate) => model.set_rate(rate.into()),
        });
    }

    fn raise_fence(&mut self, producer: u8, ahead: i64) {
        let token = self.model.leader.as_ref().map_or(self.model.fence_seen, |leader| leader.token);
        let token = token.saturating_add_signed(ahead);
        let name = [b'p', producer];
        let raised = self.execute(&RaiseFence { producer: &name, token: Token(token) }, |model| {
            model.judge_fence(token)?;
            model.fence_seen = model.fence_seen.max(token);
            Ok(model.producers.get(&name[..]).map_or(0, |producer| producer.0))
        });
        if let Ok((next, expected)) = raised {
            assert_eq!(next, expected);
        }
    }

    /// What can be seen of the engine is what is in the model.
    fn check(&self) {
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
                State::Errored { reason, drain, .. } => {
                    assert_eq!(peeked.reason, Some(&reason[..]));
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

/// `PROPTEST_CASES` histories, 1,500 unless said.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(1500)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_history_is_that_of_the_model_and_of_every_copy(steps in prop::collection::vec((0..40u64, step()), 1..120)) {
        let mut run = Run::new();
        for (passed, step) in &steps {
            // Mostly small steps of time, now and then one that opens a new segment.
            run.clock += if *passed == 39 { 1500 } else { *passed };
            run.step(step);
            run.together = run.together.saturating_sub(u8::from(!matches!(step, Step::Together(_))));
            if run.together == 0 {
                run.flush();
            }
            run.check();
        }
    }
}
