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
    /// What the copies were told by the last step.
    effect: Option<Effect>,
}

const NAMES: [&[u8]; 3] = [b"a", b"worker", b"zzz"];

impl Used {
    /// A new queue.
    pub fn new() -> Used {
        let term = Some(TermStart { floor: 1000, skip: 0 });
        Used { queue: Queue::new(Settings::default()), now: 5000, ids: vec![], receipts: vec![], term, effect: None }
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
        Used { queue, now: dice.edge(6000) >> 8, ids, receipts, term, effect: None }
    }

    fn run<O: Operation>(&mut self, operation: &O) -> Option<O::Output> {
        let moment = Moment { term: self.term, ..Moment::at(Time(self.now)) };
        let executed = self.queue.execute(operation, moment).ok()?;
        if executed.record != Record::Nothing {
            self.term = None;
        }
        if let Record::Effect(effect) = executed.record {
            self.effect = Some(effect);
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

    /// One operation; its effect, if it had one.
    pub fn step_recorded(&mut self, dice: &mut Dice, note: &mut dyn FnMut(&Effect)) {
        self.effect = None;
        self.step(dice);
        if let Some(effect) = &self.effect {
            note(effect);
        }
    }

    /// One operation.
    pub fn step(&mut self, dice: &mut Dice) {
        self.now = self.now.saturating_add(dice.below(30) as u64);
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
        let payload = vec![b'p'; if dice.one_in(12) { 5000 } else { dice.below(20) }];
        let unique: Option<&[u8]> = dice.one_in(6).then_some(name);
        let group = dice.one_in(4).then(|| NAMES[dice.below(3)]);
        let ttl = dice.one_in(5).then(|| Span(1 + dice.below(200) as u64));
        let payloads = vec![&payload[..]; if unique.is_some() { 1 } else { 1 + dice.below(3) }];
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
