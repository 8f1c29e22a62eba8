//! Queues worth copying: one in every state at once, and one with a random history.

use crate::Conn;

/// What [`every_state`] left in the hands of the test.
#[derive(Debug)]
pub struct EveryState {
    /// The leader `leader:1`'s token; an hour is left.
    pub token: i64,
    /// A claim of `worker`; an hour is left.
    pub claimed: i64,
    /// A claim on an errored message of `drainer`'s; an hour is left.
    pub draining: i64,
    /// The largest id given.
    pub last_id: i64,
}

/// Makes a queue that holds messages in every state, a leader, producers, settings, and a history in every counter.
#[track_caller]
pub fn every_state(c: &mut Conn, q: &str) -> EveryState {
    c.ok(format!("MQ.CONFIG {q} lease 3600000 max-deliveries 5 max-length 1000000"));
    c.int(format!("MQ.PUSH {q} MSG a b c d e f g h i j k l"));
    c.int(format!("MQ.PUSH {q} PRIORITY 9 MSG urgent1 urgent2"));
    c.int(format!("MQ.PUSH {q} DELAY 3600000 PRIORITY 200 MSG later1 later2"));
    let token = c.leader(format!("MQ.LEADER {q} leader:1 LEASE 3600000")).token;
    c.int(format!("MQ.PUSH {q} FENCE {token} SEQ generator 0 MSG s0 s1 s2"));
    let last_id = c.int(format!("MQ.PUSH {q} SEQ other 41 MSG s41"));
    let receipts: Vec<i64> =
        c.claims(format!("MQ.CLAIM {q} worker COUNT 10")).iter().map(|claim| claim.receipt).collect();
    let &[done, failed1, failed2, failed3, taken, retried, again, released, claimed, extended] = receipts.as_slice()
    else {
        panic!("ten claims were expected: {receipts:?}");
    };
    assert_eq!(c.int(format!("MQ.ACK {q} {done}")), 1);
    for (receipt, reason) in [(failed1, "first"), (failed2, "second"), (failed3, "third"), (taken, "")] {
        assert_eq!(c.int(format!("MQ.FAIL {q} {receipt} REASON text-{reason}")), 1);
    }
    assert_eq!(c.int(format!("MQ.FAIL {q} {retried} RETRY 3600000")), 2);
    assert_eq!(c.int(format!("MQ.FAIL {q} {again} RETRY 0")), 2);
    assert_eq!(c.int(format!("MQ.RELEASE {q} {released}")), 1);
    assert_eq!(c.int(format!("MQ.EXTEND {q} 7200000 {extended}")), 1);
    assert_eq!(c.drained(format!("MQ.DRAINERRORS {q} COUNT 1")).len(), 1);
    assert_eq!(c.int(format!("MQ.REDRIVE {q} COUNT 1")), 1);
    let draining = c.drained(format!("MQ.DRAINERRORS {q} COUNT 1 LEASE 3600000"))[0].receipt;
    c.int(format!("MQ.PUSH {q} UNIQUE only GROUP group TTL 3600000 MSG labelled"));
    c.int(format!("MQ.PUSH {q} GROUP group PRIORITY 1 MSG head"));
    c.int(format!("MQ.PUSH {q} GROUP other DELAY 3600000 MSG grouped-later"));
    let info = c.balanced(q);
    assert!(["ready", "held", "delayed", "claimed", "errors"].iter().all(|state| info.int(state) > 0), "{info:?}");
    EveryState { token, claimed, draining, last_id }
}

/// Random commands with a seed: a history that can be had again.
pub struct Churn {
    random: u64,
    receipts: Vec<i64>,
    token: i64,
}

impl Churn {
    /// A history; equal seeds give equal choices.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { random: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1, receipts: Vec::new(), token: 0 }
    }

    /// xorshift64 (Marsaglia 2003), below `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) % bound
    }

    fn receipt(&mut self) -> i64 {
        let n = self.receipts.len() as u64;
        let at = self.below(n.max(1)) as usize;
        if at < self.receipts.len() { self.receipts.swap_remove(at) } else { 1 }
    }

    /// One command, any of those that change a queue, legal or not.
    pub fn step(&mut self, c: &mut Conn, q: &str) {
        let n = 1 + self.below(4);
        let short_ms = self.below(40);
        match self.below(20) {
            0..4 => drop(c.ok(format!(
                "MQ.PUSH {q} PRIORITY {} MSG {}",
                self.below(3),
                vec!["payload"; n as usize].join(" ")
            ))),
            4 => drop(c.ok(format!("MQ.PUSH {q} DELAY {short_ms} MSG late"))),
            5..8 => {
                let lease_ms = if n == 1 { 1 + short_ms } else { 3_600_000 };
                let session = if self.below(4) == 0 { "SESSION" } else { "" };
                let claims =
                    c.claims(format!("MQ.CLAIM {q} worker{} COUNT {n} LEASE {lease_ms} {session}", self.below(3)));
                self.receipts.extend(claims.iter().map(|claim| claim.receipt));
            }
            8 => drop(c.ok(format!("MQ.ACK {q} {} {}", self.receipt(), self.receipt()))),
            9 => {
                let acked = self.receipt();
                let (_, claims) = c.acked_and_claims(format!("MQ.CLAIM {q} steady LEASE 3600000 ACK {acked}"));
                self.receipts.extend(claims.iter().map(|claim| claim.receipt));
            }
            10 => drop(c.ok(format!("MQ.FAIL {q} {} REASON why", self.receipt()))),
            11 => drop(c.ok(format!("MQ.FAIL {q} {} RETRY {short_ms}", self.receipt()))),
            12 => drop(c.ok(format!("MQ.RELEASE {q} {}", self.receipt()))),
            13 => drop(c.ok(format!("MQ.EXTEND {q} {short_ms} {}", self.receipt()))),
            14 => match n {
                1 => drop(c.ok(format!("MQ.REDRIVE {q} COUNT 2"))),
                2 => drop(c.ok(format!("MQ.DRAINERRORS {q} COUNT 1"))),
                _ => {
                    let drained = c.drained(format!("MQ.DRAINERRORS {q} COUNT {n} LEASE {}", 1 + short_ms));
                    self.receipts.extend(drained.iter().map(|error| error.receipt));
                }
            },
            15 => drop(c.ok(format!("MQ.PUSH {q} UNIQUE key{} TTL {} MSG once", self.below(4), 1 + short_ms))),
            16 => drop(c.ok(format!("MQ.PUSH {q} GROUP group{} PRIORITY {} MSG a b", self.below(3), self.below(2)))),
            17 => match n {
                1 => drop(c.ok(format!("MQ.PURGE {q} DELAYED COUNT 1"))),
                2 => drop(c.ok(format!("MQ.PURGE {q} ERRORS COUNT 1"))),
                _ => {
                    let id = c.int(format!("MQ.PUSH {q} GROUP group1 MSG removed"));
                    drop(c.ok(format!("MQ.REMOVE {q} {id} 5")));
                    drop(c.ok(format!("MQ.PURGE {q} READY COUNT 1")));
                }
            },
            18 => drop(c.ok(format!("MQ.CONFIG {q} errors-keep {} max-claimed {}", 20 * short_ms, 40 * self.below(3)))),
            _ => {
                self.token = c.leader(format!("MQ.LEADER {q} candidate{} LEASE {}", self.below(3), 1 + short_ms)).token;
                // Refused if the lease was that short: both are right.
                let _ = c.call(format!("MQ.PUSH {q} FENCE {} SEQ generator{n} 0 MSG once", self.token));
            }
        }
    }
}
