//! Whatever a primary accepts, at whatever limit, every copy accepts too: a replica, a log replayed and rewritten, a dump.

use mq_tests::{Conn, Server, Value, Waiter, text_of, until};

const TEN_YEARS_MS: u64 = 315_360_000_000;
const LAST_NUMBER: u64 = (1 << 53) - 2;
const MIB: usize = 1 << 20;

/// Payloads around every size at which something changes; the large ones are rare.
const SIZES: [usize; 14] = [0, 0, 1, 1, 20, 20, 300, 4096, 16_383, 16_384, 16_385, 65_536, MIB, 3 * MIB];

/// Random choices that a seed repeats: xorshift64 (Marsaglia 2003).
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 11) % bound as u64) as usize
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// One of few names, the shortest and the longest, of any bytes.
    fn name(&mut self) -> Vec<u8> {
        let byte = self.one_of(&[0, b'\n', b'a', b'*', 0xFF]);
        vec![byte; self.one_of(&[1, 1, 2, 254, 255])]
    }

    fn payload(&mut self) -> Vec<u8> {
        let most = if self.below(12) == 0 { SIZES.len() } else { SIZES.len() - 3 };
        let size = SIZES[self.below(most)];
        vec![self.below(256) as u8; size]
    }

    fn span(&mut self, least: u64) -> Vec<u8> {
        let span = self.one_of(&[least, 1, 5, 3_600_000, TEN_YEARS_MS]);
        number(span)
    }
}

fn number(n: u64) -> Vec<u8> {
    n.to_string().into_bytes()
}

/// Words to which options are added.
struct Line(Vec<Vec<u8>>);

impl Line {
    fn new(command: &str, q: &str) -> Self {
        Self(vec![command.into(), q.into()])
    }

    fn and(mut self, words: impl IntoIterator<Item = Vec<u8>>) -> Self {
        self.0.extend(words);
        self
    }

    fn option(self, name: &str, value: Vec<u8>) -> Self {
        self.and([name.into(), value])
    }

    /// The option, half of the time.
    fn maybe(self, dice: &mut Dice, name: &str, value: impl FnOnce(&mut Dice) -> Vec<u8>) -> Self {
        if dice.below(2) == 0 { self } else { self.option(name, value(dice)) }
    }
}

/// A random history of one queue, at its limits.
struct History<'s> {
    server: &'s Server,
    c: Conn,
    q: String,
    dice: Dice,
    receipts: Vec<u64>,
    token: u64,
    last_id: u64,
    /// Messages that a consumer was given who had waited for them.
    handed_over: usize,
    /// Whether there is always somebody who waits, and who does.
    waits: bool,
    consumer: Option<Waiter>,
    standby: Option<Waiter>,
}

impl History<'_> {
    fn receipt(&mut self) -> Vec<u8> {
        let known = self.receipts.len();
        if known == 0 || self.dice.below(8) == 0 {
            return number(self.dice.one_of(&[0, 1, LAST_NUMBER + 1]));
        }
        let at = self.dice.below(known);
        number(self.receipts.swap_remove(at))
    }

    fn push(&mut self) -> Line {
        let (dice, q) = (&mut self.dice, &self.q);
        let mut line = Line::new("MQ.PUSH", q).maybe(dice, "PRIORITY", |dice| number(dice.one_of(&[0, 255]))).maybe(
            dice,
            "GROUP",
            Dice::name,
        );
        if dice.below(3) == 0 {
            line = line.option("DELAY", dice.span(0));
        }
        if dice.below(3) == 0 {
            line = line.option("TTL", dice.span(1));
        }
        let fence = dice.one_of(&[0, 1, self.token, self.token, LAST_NUMBER + 1]);
        if dice.below(4) == 0 {
            line = line.option("FENCE", number(fence));
        }
        let mut payloads = 1 + dice.below(4);
        match dice.below(4) {
            0 => (line, payloads) = (line.option("UNIQUE", dice.name()), 1),
            1 => {
                line = line.option("SEQ", dice.name()).and([number(dice.one_of(&[0, 1, LAST_NUMBER]))]);
                payloads = 1;
            }
            _ => {}
        }
        line.and([b"MSG".to_vec()]).and((0..payloads).map(|_| dice.payload()))
    }

    /// A claim; with BLOCK only for who is to wait.
    fn claim(&mut self) -> Line {
        let dice = &mut self.dice;
        Line::new("MQ.CLAIM", &self.q).and([dice.name()]).option("COUNT", number(dice.one_of(&[1, 2, 65_536]))).maybe(
            dice,
            "LEASE",
            |dice| dice.span(1),
        )
    }

    fn settings(&mut self) -> Line {
        let ends: [(&str, &[u64]); 6] = [
            ("lease", &[1, 30_000, TEN_YEARS_MS]),
            ("max-deliveries", &[0, 1, u32::MAX as u64]),
            ("max-length", &[0, 5, LAST_NUMBER + 1]),
            ("errors-keep", &[0, 1, TEN_YEARS_MS]),
            ("max-claimed", &[0, 1, LAST_NUMBER + 1]),
            ("rate", &[0, 1, 1_000_000]),
        ];
        let dice = &mut self.dice;
        let line = ends.into_iter().fold(Line::new("MQ.CONFIG", &self.q), |line, (name, values)| {
            line.maybe(dice, name, |dice| number(dice.one_of(values)))
        });
        let yes_or_no = |dice: &mut Dice| dice.one_of(&["yes", "no", "no"]).into();
        line.maybe(dice, "paused", yes_or_no).option("leader-only", yes_or_no(dice))
    }

    fn command(&mut self) -> Line {
        let q = self.q.clone();
        match self.dice.below(17) {
            0..5 => self.push(),
            5 => self.claim(),
            6 => {
                let acked = [b"ACK".to_vec(), self.receipt(), self.receipt()];
                self.claim().and(acked)
            }
            7 => Line::new("MQ.ACK", &q).and([self.receipt(), self.receipt()]),
            8 => {
                let line = Line::new("MQ.FAIL", &q).and([self.receipt()]);
                let line = line.maybe(&mut self.dice, "RETRY", |dice| dice.span(0));
                line.maybe(&mut self.dice, "REASON", |dice| vec![0xFE; dice.one_of(&[0, 1023, 1024, 1025, 70_000])])
            }
            9 => Line::new("MQ.RELEASE", &q).and([self.receipt(), self.receipt()]),
            10 => Line::new("MQ.EXTEND", &q).and([self.dice.span(0), self.receipt(), self.receipt()]),
            11 => self.leads(),
            12 => {
                let line = Line::new("MQ.DRAINERRORS", &q).option("COUNT", number(self.dice.one_of(&[1, 5000])));
                line.maybe(&mut self.dice, "LEASE", |dice| dice.span(1))
            }
            13 => Line::new("MQ.REDRIVE", &q).option("COUNT", number(self.dice.one_of(&[1, 25_000]))),
            14 => self.settings(),
            15 => Line::new("MQ.REMOVE", &q).and([number(self.last_id), number(0)]),
            _ => {
                let state = self.dice.one_of(&["READY", "DELAYED", "ERRORS"]);
                Line::new("MQ.PURGE", &q).and([state.into()]).option("COUNT", number(self.dice.one_of(&[1, 2])))
            }
        }
    }

    fn leads(&mut self) -> Line {
        let (dice, q) = (&mut self.dice, &self.q);
        match dice.below(3) {
            0 => Line::new("MQ.LEADER", q).and([b"me".to_vec()]).option("RESIGN", number(self.token)),
            1 => Line::new("MQ.SEQ", q).and([dice.name()]).option("FENCE", number(dice.one_of(&[0, self.token]))),
            _ => Line::new("MQ.LEADER", q).and([b"me".to_vec()]).maybe(dice, "LEASE", |dice| dice.span(1)),
        }
    }

    /// Has a consumer and a standby wait, unless they do. What the last consumer was served is acknowledged by later commands.
    fn wait(&mut self) {
        if let Some(consumer) = self.consumer.take_if(|consumer| !consumer.waits()) {
            // Refused, if the server was told to end the wait.
            let served = receipts(&consumer.answer().1.unwrap_or(Value::Nil));
            self.handed_over += served.len();
            self.receipts.extend(served);
        }
        if self.waits && self.consumer.is_none() {
            let claim = self.claim().option("BLOCK", number(0));
            self.consumer = Some(Waiter::send(self.server.connect(), claim.0));
        }
        if self.waits && self.standby.as_ref().is_none_or(|standby| !standby.waits()) {
            let lead = Line::new("MQ.LEADER", &self.q).and([self.dice.name()]).option("BLOCK", number(0));
            self.standby = Some(Waiter::send(self.server.connect(), lead.0));
        }
    }

    /// One command; whether it was accepted.
    fn step(&mut self) -> bool {
        self.wait();
        let Line(words) = self.command();
        let command = String::from_utf8_lossy(&words[0]).into_owned();
        let answer = match self.c.call(words) {
            Ok(answer) => answer,
            Err(refusal) => {
                assert!(!refusal.is_io_error() && refusal.code() != Some("BROKEN"), "{command}: {refusal}");
                return false;
            }
        };
        match (command.as_str(), answer.as_sequence()) {
            ("MQ.LEADER", Some([_, Value::Int(token), ..])) => self.token = *token as u64,
            ("MQ.PUSH", _) => self.last_id = text_of(&answer).and_then(|id| id.parse().ok()).unwrap_or(0),
            ("MQ.CLAIM", Some([Value::Int(_), claims])) => self.receipts.extend(receipts(claims)),
            ("MQ.CLAIM" | "MQ.DRAINERRORS", _) => self.receipts.extend(receipts(&answer)),
            _ => {}
        }
        true
    }
}

/// The first element of each.
fn receipts(claims: &Value) -> Vec<u64> {
    let receipt = |claim: &Value| match claim.as_sequence()?.first()? {
        Value::Int(receipt) => u64::try_from(*receipt).ok(),
        _ => None,
    };
    claims.as_sequence().unwrap_or_default().iter().filter_map(receipt).collect()
}

/// A server whose log has what it has done when it is killed, and is rewritten as commands, when a test says so. Its replica
/// is sent everything as commands, however much that is.
fn logged() -> mq_tests::Builder {
    Server::builder()
        .config("appendonly yes")
        .config("appendfsync no")
        .config("aof-use-rdb-preamble no")
        .config("auto-aof-rewrite-percentage 0")
        .config("client-output-buffer-limit replica 0 0 0")
}

fn digests(c: &mut Conn, queues: &[String]) -> Vec<String> {
    queues.iter().map(|q| c.digest(q)).collect()
}

/// Every copy of the queues there is: each is the same.
fn every_copy_is_the_same(mut primary: Server, replica: &Server, queues: &[String]) {
    let mut c = primary.connect();
    // Who waits would go on being served.
    c.int("CLIENT KILL TYPE normal SKIPME yes");
    until("nobody waits", || primary.blocked_clients() == 0);
    let mut r = replica.connect();
    until("the replica is the same", || {
        replica.until_in_step_with(&primary);
        digests(&mut c, queues) == digests(&mut r, queues)
    });
    assert_eq!(c.int("WAIT 1 5000"), 1);
    assert_eq!(c.server_count("stats", "sync_full"), 1, "it was sent commands");
    for q in queues {
        c.balanced(q);
        let Value::BulkString(dump) = c.ok(["DUMP", q]) else { panic!("a dump") };
        c.ok([&b"RESTORE"[..], b"restored", b"0", &dump, b"REPLACE"]);
        assert_eq!(c.digest("restored"), c.digest(q), "{q}: a dump");
    }
    let before = digests(&mut c, queues);
    primary.kill9();
    primary.start_again();
    assert_eq!(digests(&mut primary.connect(), queues), before, "the log");
    primary.rewrite_log();
    primary.kill9();
    primary.start_again();
    assert_eq!(digests(&mut primary.connect(), queues), before, "the rewritten log");
}

/// Random histories; with `waits`, messages and leaderships are handed over in the records of others' commands.
fn histories_at_the_limits(waits: bool) {
    let primary = logged().start();
    let replica = Server::builder().replica_of(&primary);
    let queues: Vec<String> = (0..12).map(|seed| format!("q{seed}")).collect();
    let (mut pushed, mut handed_over) = (0, 0);
    for (seed, q) in queues.iter().enumerate() {
        let mut history = History {
            server: &primary,
            c: primary.connect(),
            q: q.clone(),
            dice: Dice::new(seed as u64 + 1),
            receipts: Vec::new(),
            token: 0,
            last_id: 0,
            handed_over: 0,
            waits,
            consumer: None,
            standby: None,
        };
        let accepted = (0..200).filter(|_| history.step()).count();
        assert!(accepted > 100, "{q}: {accepted} of 200 were accepted");
        handed_over += history.handed_over;
        pushed += history.c.balanced(q).int("pushed");
    }
    assert!(pushed > 300 && (handed_over > 50) == waits, "{pushed} pushed, {handed_over} handed over");
    every_copy_is_the_same(primary, &replica, &queues);
}

#[test]
fn what_is_accepted_at_the_limits_is_accepted_by_every_copy() {
    histories_at_the_limits(false);
}

#[test]
fn what_is_handed_over_at_the_limits_is_accepted_by_every_copy() {
    histories_at_the_limits(true);
}

#[test]
fn ten_thousand_payloads_of_one_push_are_accepted_by_every_copy() {
    let primary = logged().start();
    let replica = Server::builder().replica_of(&primary);
    let mut c = primary.connect();
    let payloads: Vec<Vec<u8>> = (0..10_000).map(|n| vec![n as u8; n % 5]).collect();
    let push = |q: &str| Line::new("MQ.PUSH", q).and([b"MSG".to_vec()]).and(payloads.iter().cloned()).0;
    c.int(push("plain"));
    let delayed = Line::new("MQ.PUSH", "delayed").option("DELAY", number(TEN_YEARS_MS)).and([b"MSG".to_vec()]);
    c.int(delayed.and(payloads.iter().cloned()).0);
    let waiters: Vec<_> = [1, 500, 65_536]
        .map(|count| Waiter::spawn(&primary, format!("MQ.CLAIM waited w COUNT {count} LEASE {TEN_YEARS_MS} BLOCK 0")))
        .into();
    c.int(push("waited"));
    let claimed: Vec<usize> = waiters.into_iter().map(|waiter| waiter.claims().len()).collect();
    assert_eq!(claimed, [1, 500, 9499]);
    c.int(push("released"));
    let receipts = c.claims("MQ.CLAIM released w COUNT 65536 LEASE 3600000");
    let receipts = receipts.iter().map(|claim| number(claim.receipt as u64));
    assert_eq!(c.int(Line::new("MQ.RELEASE", "released").and(receipts).0), 10_000);
    let queues = ["plain", "delayed", "waited", "released"].map(String::from);
    every_copy_is_the_same(primary, &replica, &queues);
}

/// Pushes payloads of these sizes, in one push, onto a queue for which a consumer waits and onto one for which none does.
fn huge(sizes: &[usize]) {
    let mut primary = logged().start();
    let replica = Server::builder().replica_of(&primary);
    let mut c = primary.connect();
    let payload = vec![b'h'; *sizes.iter().max().expect("a size")];
    let waiter = Waiter::spawn(&primary, format!("MQ.CLAIM waited w LEASE {TEN_YEARS_MS} BLOCK 0"));
    for push in
        [&["MQ.PUSH", "q", "MSG"][..], &["MQ.PUSH", "waited", "MSG"], &["MQ.PUSH", "ttl", "TTL", "3600000", "MSG"]]
    {
        let mut words: Vec<&[u8]> = push.iter().map(|word| word.as_bytes()).collect();
        words.extend(sizes.iter().map(|size| &payload[..*size]));
        c.int(words);
        assert_eq!(c.int("WAIT 1 120000"), 1, "{push:?}");
    }
    assert_eq!(waiter.claims()[0].bytes.len(), sizes[0]);
    let queues = ["q", "waited", "ttl"].map(String::from);
    let before = digests(&mut c, &queues);
    assert_eq!(digests(&mut replica.connect(), &queues), before, "the replica");
    assert_eq!(c.server_count("stats", "sync_full"), 1, "it was sent commands");
    primary.kill9();
    primary.start_again();
    assert_eq!(digests(&mut primary.connect(), &queues), before, "the log");
    primary.rewrite_log();
    primary.kill9();
    primary.start_again();
    assert_eq!(digests(&mut primary.connect(), &queues), before, "the rewritten log");
}

#[test]
#[ignore = "gigabytes; `make soak`"]
fn payloads_that_are_larger_together_than_one_argument_are_accepted_by_every_copy() {
    huge(&[300 * MIB, 300 * MIB]);
}

#[test]
#[ignore = "gigabytes; `make soak`"]
fn the_largest_payload_is_accepted_by_every_copy() {
    huge(&[512 * MIB]);
}
