//! The clients: what they want to do next, and what they remember. They know replies, nothing else.

use super::ledger::STREAM;
use super::op::{Op, PushOp, Reply};
use super::rng::Rng;
use mq_engine::{NUMBER_LIMIT, NUMBERS_PER_MS, Refusal, Setting, Span};

/// How many receipts and ids the clients remember between them: current ones and stale ones.
const REMEMBERED: usize = 14;

/// About so many messages the producers let a queue grow to.
const CROWDED: usize = 36;

#[derive(Clone, Debug, Default)]
struct Generator {
    token: Option<u64>,
    /// The next number of the stream, once it has asked.
    next: Option<u64>,
}

#[derive(Debug)]
pub struct Actors {
    generators: [Generator; 3],
    receipts: Vec<u64>,
    drains: Vec<u64>,
    ids: Vec<u64>,
    sessions: [u64; 4],
    /// What each producer with numbers believes to be next.
    numbers: [u64; 4],
    last_session: u64,
    /// Nobody leads this queue; its tokens come from the leader of another one.
    shard: bool,
    shard_token: u64,
    led: bool,
}

fn remember(memory: &mut Vec<u64>, number: u64) {
    if memory.len() >= REMEMBERED {
        memory.remove(0);
    }
    memory.push(number);
}

impl Actors {
    pub fn new(shard: bool) -> Actors {
        Actors {
            generators: Default::default(),
            receipts: vec![7],
            drains: vec![8],
            ids: vec![9],
            sessions: [1, 2, 3, 4],
            numbers: [0, 5, 6, 7],
            last_session: 4,
            shard,
            shard_token: 1,
            led: false,
        }
    }

    /// The first command of a queue: one of those that create it.
    pub fn create(&mut self, rng: &mut Rng, wall: u64) -> Op {
        match rng.below(4) {
            0 => Op::Configure(setting(rng)),
            1 if self.shard => Op::RaiseFence { producer: 1, token: 1 },
            2 if !self.shard => self.lead(rng),
            _ => self.push(rng, wall),
        }
    }

    pub fn next(&mut self, rng: &mut Rng, wall: u64, live: usize) -> Op {
        let crowded = live > CROWDED;
        match rng.below(100) {
            0..22 if !crowded => self.push(rng, wall),
            22..30 if !crowded => self.generate(rng, wall),
            0..46 => self.claim(rng),
            46..57 => Op::Ack(self.some_receipts(rng)),
            57..67 => self.fail(rng),
            67..71 => Op::Extend { lease: rng.pick(&[0, 5, 60, 300]), receipts: self.some_receipts(rng) },
            71..74 => Op::Release(self.some_receipts(rng)),
            74..83 if !self.shard => self.lead(rng),
            74..84 => self.generate(rng, wall),
            84..89 => self.drain(rng),
            89..91 => self.redrive(rng),
            91 => Op::Remove((0..rng.range(1, 3)).map(|_| rng.pick(&self.ids)).collect()),
            92 => Op::Purge { state: rng.below(3) as u8, count: rng.range(1, 3) as usize },
            93..96 => Op::Configure(setting(rng)),
            _ => self.connection_dies(rng),
        }
    }

    fn receipt(&self, rng: &mut Rng) -> u64 {
        if rng.chance(150) { rng.pick(&self.drains) } else { rng.pick(&self.receipts) }
    }

    fn some_receipts(&self, rng: &mut Rng) -> Vec<u64> {
        (0..rng.range(1, 4)).map(|_| self.receipt(rng)).collect()
    }

    fn session(&self, rng: &mut Rng) -> Option<u64> {
        rng.maybe(450, |rng| rng.pick(&self.sessions))
    }

    fn push(&mut self, rng: &mut Rng, wall: u64) -> Op {
        let large = rng.chance(55);
        let length = |rng: &mut Rng| match rng.chance(if large { 900 } else { 30 }) {
            true if large => rng.range(8000, 20_000),
            true => rng.range(3000, 6000),
            false => rng.below(12),
        };
        let payloads = (0..if rng.chance(30) { 5 } else { rng.range(1, 2) })
            .map(|_| vec![rng.below(256) as u8; length(rng) as usize])
            .collect();
        let mut push = PushOp {
            payloads,
            priority: if rng.chance(700) { 0 } else { rng.pick(&[9, 255]) },
            delay: if rng.chance(200) { rng.range(1, 120) } else { 0 },
            fence: None,
            sequence: None,
            unique: None,
            group: rng.maybe(200, |rng| rng.below(3) as u8),
            ttl: rng.maybe(150, |rng| if rng.chance(500) { rng.range(1, 100) } else { rng.range(100, 1500) }),
        };
        match rng.below(10) {
            0..3 => {
                let producer = rng.range(1, 3) as u8;
                let next = self.numbers[usize::from(producer)];
                let number = if rng.chance(600) { next } else { next.saturating_add_signed(rng.below(7) as i64 - 3) };
                push.sequence = Some((producer, if rng.chance(45) { NUMBER_LIMIT - 1 } else { number }));
            }
            3..5 => {
                push.unique = Some(rng.below(5) as u8);
                push.payloads.truncate(1);
            }
            5 if rng.chance(900) && !self.led => push.fence = Some((wall + 10 * 86_400_000) * NUMBERS_PER_MS),
            6 if rng.chance(300) => push.fence = self.generators[rng.below(3) as usize].token,
            _ => {}
        }
        Op::Push(push)
    }

    /// A generator that believes it leads publishes the stream; first it asks where to go on.
    fn generate(&mut self, rng: &mut Rng, wall: u64) -> Op {
        if self.shard && (rng.chance(50) || self.shard_token == 1) {
            self.shard_token += rng.range(1, 3);
            self.generators[rng.below(3) as usize] = Generator { token: Some(self.shard_token), next: None };
        }
        let generator = &self.generators[rng.below(3) as usize];
        match (generator.token, generator.next) {
            (None, _) => self.push(rng, wall),
            (Some(token), None) => Op::RaiseFence { producer: STREAM, token },
            (Some(token), Some(number)) => {
                let payloads = (number..number + rng.range(1, 3)).map(|n| n.to_string().into_bytes()).collect();
                Op::Push(PushOp {
                    payloads,
                    priority: 0,
                    delay: 0,
                    fence: Some(token),
                    sequence: Some((STREAM, number)),
                    unique: None,
                    group: None,
                    ttl: None,
                })
            }
        }
    }

    fn claim(&self, rng: &mut Rng) -> Op {
        Op::Claim {
            consumer: rng.below(3) as u8,
            count: rng.range(1, 4) as usize,
            lease: rng.maybe(800, |rng| rng.pick(&[5, 30, 80, 200, 800])),
            session: self.session(rng),
            acks: if rng.chance(400) { self.some_receipts(rng) } else { Vec::new() },
        }
    }

    fn fail(&self, rng: &mut Rng) -> Op {
        let retry = rng.maybe(500, |rng| if rng.chance(400) { 0 } else { rng.range(1, 80) });
        Op::Fail { receipt: self.receipt(rng), retry, reason: rng.below(3) as u8 }
    }

    fn lead(&mut self, rng: &mut Rng) -> Op {
        let candidate = rng.below(3) as u8;
        let token = self.generators[usize::from(candidate)].token;
        if let Some(token) = token.filter(|_| rng.chance(350)) {
            return Op::Resign { candidate, token };
        }
        let lease = rng.maybe(800, |rng| rng.pick(&[20, 100, 400, 2000]));
        Op::Lead { candidate, lease, session: self.session(rng), renew: token.filter(|_| rng.chance(400)) }
    }

    fn drain(&self, rng: &mut Rng) -> Op {
        let lease = rng.maybe(700, |rng| rng.pick(&[5, 50, 400]));
        let session = self.session(rng).filter(|_| lease.is_some());
        Op::Drain { count: rng.maybe(900, |rng| rng.range(1, 3) as usize), lease, session }
    }

    fn redrive(&self, rng: &mut Rng) -> Op {
        let ids = rng.maybe(300, |rng| (0..rng.range(1, 3)).map(|_| rng.pick(&self.ids)).collect());
        Op::Redrive { count: rng.maybe(600, |rng| rng.range(1, 3) as usize), ids }
    }

    fn connection_dies(&mut self, rng: &mut Rng) -> Op {
        self.last_session += 1;
        Op::EndSession(std::mem::replace(&mut self.sessions[rng.below(4) as usize], self.last_session))
    }

    /// They hear what became of it.
    pub fn heard(&mut self, op: &Op, reply: &Reply) {
        match (op, reply) {
            (Op::Push(push), Reply::Pushed { first, duplicate }) => {
                let count = push.payloads.len() as u64;
                if !duplicate {
                    (*first..first + count).for_each(|id| remember(&mut self.ids, id));
                }
                match push.sequence {
                    Some((STREAM, number)) => self.publish(push.fence, Some(number + count)),
                    Some((producer, number)) => {
                        let next = &mut self.numbers[usize::from(producer)];
                        *next = (*next).max(number + count);
                    }
                    None => {}
                }
            }
            (_, Reply::Claimed { got, .. }) => got.iter().for_each(|claim| remember(&mut self.receipts, claim.0)),
            (_, Reply::Drained(got)) => {
                got.iter().filter(|claim| claim.0 > 0).for_each(|claim| remember(&mut self.drains, claim.0));
            }
            (Op::Lead { candidate, .. }, Reply::Led { won: true, token }) => {
                self.led = true;
                let generator = &mut self.generators[usize::from(*candidate)];
                if generator.token != *token {
                    *generator = Generator { token: *token, next: None };
                }
            }
            (Op::RaiseFence { producer: STREAM, token }, Reply::Count(next)) => self.publish(Some(*token), Some(*next)),
            _ => {}
        }
    }

    /// They hear that it was refused.
    pub fn refused(&mut self, op: &Op, refusal: &Refusal) {
        match (op, refusal) {
            (Op::Push(PushOp { sequence: Some((STREAM, _)), fence, .. }), Refusal::OutOfOrder { expected }) => {
                self.publish(*fence, Some(*expected));
            }
            (Op::Push(PushOp { sequence: Some((producer, _)), .. }), Refusal::OutOfOrder { expected }) => {
                self.numbers[usize::from(*producer)] = *expected;
            }
            _ => {}
        }
    }

    fn publish(&mut self, token: Option<u64>, next: Option<u64>) {
        self.generators.iter_mut().filter(|one| one.token == token).for_each(|one| one.next = next);
    }
}

fn setting(rng: &mut Rng) -> Setting {
    match rng.below(8) {
        0 => Setting::Lease(Span(rng.range(1, 500))),
        1 => Setting::MaxDeliveries(rng.below(4) as u32),
        2 => Setting::MaxLength(if rng.chance(500) { 0 } else { rng.range(1, 40) }),
        3 => Setting::Paused(rng.chance(80)),
        4 => Setting::LeaderOnly(rng.chance(250)),
        5 => Setting::ErrorsKeep(Span(if rng.chance(400) { 0 } else { rng.range(1, 400) })),
        6 => Setting::MaxClaimed(if rng.chance(600) { 0 } else { rng.range(1, 8) }),
        _ => Setting::Rate(if rng.chance(600) { 0 } else { rng.pick(&[7, 40, 5000]) }),
    }
}
