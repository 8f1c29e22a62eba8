//! A queue in random use: every operation, with arguments that fit or do not.

use mq_engine::operations::*;
use mq_engine::*;

use crate::dice::Dice;

/// A queue with its clock, and numbers that it has given, for operations to name.
pub struct Used {
    pub queue: Queue,
    pub now: u64,
    ids: Vec<Id>,
    receipts: Vec<Receipt>,
    term: Option<TermStart>,
    /// By how much the wall clock is ahead, and how many pieces of due work a step may do.
    ahead: u64,
    due: usize,
    /// What the copies were told by the last step, with the payloads that travel beside it.
    effect: Option<(Effect, Vec<Vec<u8>>)>,
    /// The payloads of the push that is being done.
    payloads: Vec<Vec<u8>>,
    /// Whether each step is an effect, to be joined to others.
    joins: bool,
}

const NAMES: [&[u8]; 3] = [b"a", b"worker", b"zzz"];

impl Used {
    /// A new queue.
    pub fn new() -> Used {
        let term = Some(TermStart { floor: 1000, skip: 0 });
        Used::made(Queue::new(Settings::default()), 5000, term)
    }

    fn made(queue: Queue, now: u64, term: Option<TermStart>) -> Used {
        let (ids, receipts, payloads) = (vec![], vec![], vec![]);
        Used { queue, now, ids, receipts, term, ahead: 0, due: DUE_PER_STEP, effect: None, payloads, joins: false }
    }

    /// One that was loaded, to be written by whoever loads it.
    pub fn loaded(queue: Queue, dice: &mut Dice) -> Used {
        let ids = [PeekState::Ready, PeekState::Delayed, PeekState::Claimed, PeekState::Errors]
            .iter()
            .flat_map(|state| queue.peek(*state, None, 5))
            .map(|message| (message.id, message.receipt))
            .collect::<Vec<_>>();
        let term = (!dice.one_in(3)).then(|| TermStart { floor: dice.edge(5000), skip: dice.edge(0) >> 20 });
        let receipts = ids.iter().filter_map(|(_, receipt)| *receipt).collect();
        let ids = ids.into_iter().map(|(id, _)| id).collect();
        Used { ids, receipts, ..Used::made(queue, dice.edge(6000) >> 8, term) }
    }

    fn run<O: Operation>(&mut self, operation: &O) -> Option<O::Output> {
        let wall = Time(self.now.saturating_add(self.ahead));
        let moment = Moment { term: self.term, wall, due: self.due, ..Moment::at(Time(self.now)) };
        let form = if self.joins { Form::Effect } else { Form::Shortest };
        let executed = self.queue.execute_in_form(operation, moment, form).ok()?;
        if executed.record != Record::Nothing {
            self.term = None;
        }
        if let Record::Effect(effect) = executed.record {
            let beside = if effect.payloads_apart { self.payloads.clone() } else { vec![] };
            self.effect = Some((effect, beside));
        }
        Some(executed.output)
    }

    fn some_receipts(&self, dice: &mut Dice) -> Vec<Receipt> {
        let some = (0..dice.below(4)).map(|_| match self.receipts.len() {
            0 => Receipt(7),
            count => self.receipts[dice.below(count)],
        });
        some.collect()
    }

    fn some_ids(&self, dice: &mut Dice) -> Vec<Id> {
        let some = (0..dice.below(4)).map(|_| match self.ids.len() {
            0 => Id(7),
            count => self.ids[dice.below(count)],
        });
        some.collect()
    }

    /// Some operations of one record: that, with the payloads beside it, if it holds anything.
    pub fn recorded(&mut self, dice: &mut Dice) -> Option<(Effect, Vec<Vec<u8>>)> {
        let mut record: Option<(Effect, Vec<Vec<u8>>)> = None;
        let steps = if dice.one_in(2) { 1 } else { 2 + dice.below(4) };
        self.joins = steps > 1;
        for _ in 0..steps {
            self.effect = None;
            self.step(dice);
            let Some((effect, beside)) = self.effect.take() else { continue };
            match &mut record {
                Some((record, payloads)) if !(record.payloads_apart && effect.payloads_apart) => {
                    record.append(&effect);
                    payloads.extend(beside);
                }
                other => *other = Some((effect, beside)),
            }
        }
        self.joins = false;
        record
    }

    /// One operation.
    pub fn step(&mut self, dice: &mut Dice) {
        self.now = self.now.saturating_add(dice.below(30) as u64);
        if dice.one_in(8) {
            self.due = if dice.one_in(2) { DUE_PER_STEP } else { dice.below(6) };
            self.ahead = if dice.one_in(2) { 0 } else { dice.edge(5000) >> dice.below(60) };
        }
        let name = NAMES[dice.below(NAMES.len())];
        let span = |dice: &mut Dice| dice.one_in(2).then(|| Span(1 + dice.below(200) as u64));
        let session = dice.one_in(3).then(|| SessionId(1 + dice.below(3) as u64));
        match dice.below(24) {
            0..6 => self.push(name, dice),
            6..11 => {
                let acks = self.some_receipts(dice);
                let (count, lease) = (1 + dice.below(4), span(dice));
                let claimed = self.run(&Claim { consumer: name, count, lease, session, acks: &acks });
                for delivery in claimed.into_iter().flat_map(|claimed| claimed.deliveries) {
                    self.receipts.push(delivery.receipt);
                    std::hint::black_box(self.queue.payload(&delivery).len());
                }
            }
            11 => drop(self.run(&Ack { receipts: &self.some_receipts(dice) })),
            12 | 13 => {
                let receipt = self.some_receipts(dice).first().copied().unwrap_or(Receipt(1));
                let retry = dice.one_in(2).then(|| Span(dice.below(50) as u64));
                self.run(&Fail { receipt, retry, reason: name });
            }
            14 => drop(self.run(&Extend { lease: Span(dice.below(100) as u64), receipts: &self.some_receipts(dice) })),
            15 => drop(self.run(&Release { receipts: &self.some_receipts(dice) })),
            16 => {
                let renew = dice.one_in(3).then(|| Token(dice.edge(1000)));
                self.run(&Lead { candidate: name, lease: span(dice), session, renew });
            }
            17 => {
                let lease = span(dice);
                let count = dice.one_in(2).then(|| 1 + dice.below(3));
                let session = session.filter(|_| lease.is_some());
                let drained = self.run(&DrainErrors { count: count.unwrap_or(usize::MAX), lease, session });
                self.receipts.extend(drained.into_iter().flatten().map(|error| error.receipt));
            }
            18 => drop(self.run(&Redrive::Count(1 + dice.below(3)))),
            19 => drop(self.run(&Remove { ids: &self.some_ids(dice) })),
            20 => {
                let state = [Purged::Ready, Purged::Delayed, Purged::Errors][dice.below(3)];
                self.run(&Purge { state, count: 1 + dice.below(2) });
            }
            21 => drop(self.run(&EndSession { session: SessionId(1 + dice.below(3) as u64) })),
            22 => drop(self.run(&Settle)),
            _ => self.configure(dice),
        }
    }

    fn push(&mut self, name: &[u8], dice: &mut Dice) {
        let length = [5000, 17_000][usize::from(dice.one_in(3))];
        let payload = vec![b'p'; if dice.one_in(12) { length } else { dice.below(20) }];
        let unique: Option<&[u8]> = dice.one_in(6).then_some(name);
        let group = dice.one_in(4).then(|| NAMES[dice.below(3)]);
        let ttl = dice.one_in(5).then(|| Span(1 + dice.below(200) as u64));
        let payloads = vec![&payload[..]; if unique.is_some() { 1 } else { 1 + dice.below(3) }];
        self.payloads = payloads.iter().map(|payload| payload.to_vec()).collect();
        let next = self.queue.next_sequence(name);
        let sequence = (unique.is_none() && dice.one_in(4)).then_some(Sequence { producer: name, first: next });
        let push = Push {
            delay: dice.one_in(5).then(|| Span(dice.below(100) as u64)),
            priority: Priority([0, 0, 9, 255][dice.below(4)]),
            fence: dice.one_in(8).then(|| Token(dice.edge(1000))),
            sequence,
            label: Label { unique, group, ttl },
            payloads: &payloads,
        };
        if let Some(first) = self.run(&push).and_then(|pushed| pushed.first) {
            self.ids.push(first);
        }
    }

    fn configure(&mut self, dice: &mut Dice) {
        let small = dice.below(40) as u64;
        let setting = match dice.below(8) {
            0 => Setting::Lease(Span(1 + small)),
            1 => Setting::MaxDeliveries(small as u32 % 4),
            2 => Setting::MaxLength(if small < 20 { 0 } else { 100 * small }),
            3 => Setting::Paused(dice.one_in(4)),
            4 => Setting::LeaderOnly(dice.one_in(6)),
            5 => Setting::ErrorsKeep(Span(if small < 20 { 0 } else { small })),
            6 => Setting::MaxClaimed(if small < 20 { 0 } else { small }),
            _ => Setting::Rate(if small < 20 { 0 } else { 50 * small as u32 }),
        };
        self.run(&Configure { settings: &[setting] });
    }
}
