//! A history: each step is done by the engine, its copy and the model.

use crate::check::{encoded, reloaded};
use crate::model::{Label as Labelling, Model, Refused, State};
use crate::step::{Fence, Step, Tags};
use mq_engine::operations::*;
use mq_engine::*;

/// The engine as primary, its replica, and the model, kept in step.
pub struct Run {
    pub primary: Queue,
    pub replica: Option<Queue>,
    pub model: Model,
    pub clock: u64,
    term: Option<TermStart>,
    /// By how much the wall clock is ahead of `clock`.
    ahead: u64,
    /// Pieces of due work that a step may do.
    due: usize,
    /// Every receipt and id ever seen, for steps to name.
    receipts: Vec<u64>,
    ids: Vec<u64>,
    /// The payloads of the push that is being done.
    beside: Vec<Vec<u8>>,
    /// How many steps more go into one record, and what it holds so far.
    pub together: u8,
    pub record: Option<(Effect, Vec<Vec<u8>>)>,
}

impl Run {
    pub fn new() -> Run {
        let (term, due) = (Some(TermStart { floor: 1000, skip: 0 }), DUE_PER_STEP);
        let primary = Queue::new(Settings::default());
        let (replica, model, record) = (None, Model::new(), None);
        let (receipts, ids, beside) = (vec![], vec![], vec![]);
        Run { primary, replica, model, clock: 5000, term, ahead: 0, due, receipts, ids, beside, together: 0, record }
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

    pub fn flush(&mut self) {
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
        let moment = Moment { term: self.term, wall, due: self.due, ..Moment::at(Time(self.clock)) };
        let mut model = self.model.clone();
        (model.wall_clock, model.due) = (wall.0, self.due);
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

    pub fn step(&mut self, step: &Step) {
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
            Step::Fail { receipt, retry, reason } => self.fail(*receipt, *retry, *reason),
            rarer => self.rarer_step(rarer),
        }
    }

    fn fail(&mut self, receipt: u8, retry: Option<u64>, reason: u8) {
        let (receipt, reason) = (self.receipt(receipt), [b'r', reason]);
        let fail = Fail { receipt, retry: retry.map(Span), reason: &reason };
        let (failed, expected) = self.execute(&fail, |model| Ok(model.fail(receipt.0, retry, &reason))).unwrap();
        let code = match failed {
            Failed::Stale => 0,
            Failed::Errored => 1,
            Failed::Retried => 2,
        };
        assert_eq!(code, expected);
    }

    fn rarer_step(&mut self, step: &Step) {
        match step {
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
            around => self.around(around),
        }
    }

    /// What happens around the queue.
    fn around(&mut self, step: &Step) {
        match step {
            Step::Term { skip } => {
                let floor = self.primary.numbers_end() + 10;
                self.term = Some(TermStart { floor, skip: if *skip { 1 << 24 } else { 0 } });
            }
            Step::Together(steps) => self.together = *steps,
            Step::Wall(ahead) => self.ahead = *ahead,
            Step::Due(due) => self.due = *due,
            // Only what a copy knows can have been saved.
            Step::Reload if self.replica.is_none() => {}
            Step::Reload => {
                self.flush();
                self.primary = reloaded(&self.primary);
                self.replica = self.replica.as_ref().map(reloaded);
            }
            _ => unreachable!("a command: {step:?}"),
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
}

impl Run {
    /// With enough steps everything that is due is done, however little each may do: nothing is lost on the way.
    pub fn finish(&mut self) {
        self.together = 0;
        self.flush();
        for due in (1..4).cycle() {
            if !self.model.has_due_at(self.clock) {
                break;
            }
            self.due = due;
            self.step(&Step::Settle);
            self.check();
        }
        assert_eq!(self.primary.info(Time(self.clock)).overdue, 0);
    }
}
