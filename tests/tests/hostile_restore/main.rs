//! Payloads of RESTORE that somebody has made up: whatever they hold, the server lives, answers and keeps its memory; what
//! loads is a queue like any other; what does not is told in the log.
//!
//! `MQ_EXECUTIONS` of them are tried (5,000 unless said), from `MQ_SEED` on. A failure prints the payload.

mod mutation;
mod payload;

use std::time::{Duration, Instant};

use mq_tests::{Churn, Conn, Server, Value, every_state, patience, until};
use mutation::{Dice, made_up};
use payload::Payload;

/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(10);

/// Payloads made of the same few queues, tried on the same empty server.
const ROUND: u64 = 500;

/// So many queues that were loaded and used stay until the end of a round.
const KEPT: usize = 20;

/// What a server may hold more at the end of a round than at the end of the first: its own tables, buffers and
/// statistics. Sixteen bytes lost with each payload would be more.
const SLACK_BYTES: i64 = 128 * 1024;

fn from_environment(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().map_or(otherwise, |value| value.parse().expect("a number"))
}

/// A queue's dump in parts, and as it is when the server compresses.
struct Original {
    payload: Payload,
    compressed: Vec<u8>,
}

fn dump(c: &mut Conn, queue: &str) -> Vec<u8> {
    match c.ok(["DUMP", queue]) {
        Value::BulkString(dump) => dump,
        other => panic!("a dump was expected: {other:?}"),
    }
}

/// Queues in every state, and with histories that the seed decides.
fn originals(c: &mut Conn, seed: u64) -> Vec<Original> {
    every_state(c, "original0");
    for n in 1..6 {
        let mut churn = Churn::new(seed.wrapping_mul(8) + n);
        (0..30 * n).for_each(|_| churn.step(c, &format!("original{n}")));
    }
    c.ok("MQ.CONFIG original6 rate 50 leader-only yes");
    c.int("MQ.PUSH original7 MSG kept");
    let large = "x".repeat(3000);
    c.int(format!("MQ.PUSH original7 MSG {}", [large.as_str(); 12].join(" ")));
    c.claims("MQ.CLAIM original7 w COUNT 3 LEASE 60000");
    let taken = (0..8).map(|n| {
        let queue = format!("original{n}");
        c.ok("CONFIG SET rdbcompression yes");
        let compressed = dump(c, &queue);
        c.ok("CONFIG SET rdbcompression no");
        let plain = dump(c, &queue);
        let payload = Payload::parse(&plain);
        assert_eq!(payload.bytes(), plain, "taken apart and put together");
        Original { payload, compressed }
    });
    taken.collect()
}

/// Whether it was loaded. A refusal is an answer, and a broken connection a dead server.
fn restore(c: &mut Conn, queue: &str, payload: &[u8]) -> bool {
    match c.call([b"RESTORE", queue.as_bytes(), b"0", payload, b"REPLACE"]) {
        Ok(_) => true,
        Err(error) => {
            assert!(!error.is_io_error(), "the server is gone: {error}");
            false
        }
    }
}

/// Every command, on a queue of which nothing is known.
fn use_it(c: &mut Conn, queue: &str) {
    let messages = ["READY", "DELAYED", "CLAIMED", "ERRORS"].map(|state| c.maps(["MQ.PEEK", queue, state]));
    let numbers = |name: &str| {
        let numbers = messages.iter().flatten().filter(|message| message.get(name).is_some());
        let mut numbers: Vec<i64> = numbers.map(|message| message.int(name)).take(4).collect();
        numbers.resize(4, 7);
        numbers
    };
    let (ids, receipts) = (numbers("id"), numbers("receipt"));
    let token = c.fields(["MQ.INFO", queue, "CONSUMERS"]).int("leader-token");
    let commands = [
        "MQ.LEADER $".into(),
        "MQ.SEQ $ generator".into(),
        "MQ.CONFIG $".into(),
        format!("MQ.PEEK $ ID {}", ids[0]),
        format!("MQ.PUSH $ FENCE {token} SEQ generator 0 MSG fenced"),
        "MQ.CONFIG $ lease 50 paused no leader-only no max-length 0 max-claimed 0 rate 0".into(),
        format!("MQ.REMOVE $ {} {}", ids[0], ids[3]),
        "MQ.PUSH $ MSG a b c".into(),
        "MQ.PUSH $ PRIORITY 9 DELAY 5 MSG later".into(),
        "MQ.PUSH $ UNIQUE only GROUP group TTL 50 MSG labelled".into(),
        "MQ.PUSH $ SEQ other 42 MSG numbered".into(),
        format!("MQ.ACK $ {}", receipts[0]),
        format!("MQ.FAIL $ {} REASON why", receipts[1]),
        format!("MQ.FAIL $ {} RETRY 5", receipts[2]),
        format!("MQ.EXTEND $ 0 {}", receipts[3]),
        "MQ.CLAIM $ worker COUNT 20 LEASE 20 SESSION".into(),
        "MQ.PUSH $ PRIORITY 255 MSG at-once".into(),
        "MQ.CLAIM $ other BLOCK 1".into(),
        format!("MQ.RELEASE $ {}", receipts[3]),
        "MQ.LEADER $ me LEASE 20".into(),
        "MQ.DRAINERRORS $ COUNT 2 LEASE 30".into(),
        "MQ.REDRIVE $ COUNT 2".into(),
        "MQ.DRAINERRORS $ COUNT 1".into(),
        "MQ.PURGE $ DELAYED COUNT 1".into(),
        "MQ.PURGE $ ERRORS COUNT 1".into(),
        "MQ.PURGE $ READY COUNT 1".into(),
        "MEMORY USAGE $".into(),
        "MQ.CLAIM $ last COUNT 65536 LEASE 3600000".into(),
        "MQ.DRAINERRORS $ LEASE 3600000".into(),
    ];
    let commands: Vec<String> = commands.iter().map(|command: &String| command.replace('$', queue)).collect();
    for (answer, command) in c.pipeline(&commands).expect("the server is there").into_iter().zip(&commands) {
        if let Err(error) = answer {
            let why = error.to_string();
            assert!(!error.is_io_error() && !why.contains("fault") && !why.contains("BROKEN"), "{command}: {why}");
        }
    }
}

/// What was loaded is as it was when it is dumped and loaded again. What is left due after a command (a message given back
/// behind its TTL, say) is done by the module's timer a moment later: then it is looked at once more.
fn is_itself_again(c: &mut Conn, queue: &str) {
    until("nothing is done to it meanwhile", || {
        let before = c.digest(queue);
        let again = dump(c, queue);
        assert!(restore(c, "again", &again), "what was loaded cannot be loaded again");
        let loaded = c.digest("again");
        let rests = c.digest(queue) == before;
        assert!(!rests || loaded == before, "{loaded} of {before}");
        rests
    });
}

/// Loads a payload if it can be, and uses it. Whether it was loaded.
fn try_one(c: &mut Conn, queue: &str, payload: &[u8]) -> bool {
    if !restore(c, queue, payload) {
        return false;
    }
    is_itself_again(c, queue);
    let is_broken = c.call(["MQ.INFO", queue]).is_err_and(|error| error.to_string().contains("BROKEN"));
    if !is_broken {
        c.balanced(queue);
        use_it(c, queue);
        c.balanced(queue);
        is_itself_again(c, queue);
    }
    true
}

/// Prints the payload if what is tried with it fails.
struct OnFailure<'p>(u64, &'p [u8]);

impl Drop for OnFailure<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let hex: String = self.1.iter().map(|byte| format!("{byte:02x}")).collect();
            eprintln!("seed {}, the payload: {hex}", self.0);
        }
    }
}

#[derive(Default)]
struct Outcome {
    tried: u64,
    loaded: u64,
}

/// Payloads of one seed, tried on `c`. At the end the server has loaded its snapshot again, to the same digests.
fn round(c: &mut Conn, seed: u64, count: u64, outcome: &mut Outcome, check: &mut dyn FnMut(&[String])) {
    let originals = originals(c, seed);
    let payloads: Vec<Payload> = originals.iter().map(|original| original.payload.clone()).collect();
    let mut dice = Dice(seed);
    for _ in 0..count {
        let original = dice.pick(&originals);
        let payload = made_up(&original.payload, &original.compressed, &payloads, &mut dice);
        let on_failure = OnFailure(seed, &payload);
        let queue = format!("made-up{}", dice.below(KEPT));
        outcome.loaded += u64::from(try_one(c, &queue, &payload));
        outcome.tried += 1;
        drop(on_failure);
    }
    let kept: Vec<String> =
        (0..KEPT).map(|n| format!("made-up{n}")).filter(|queue| c.int(["EXISTS", queue]) == 1).collect();
    until("all of them rest", || digests(c, &kept) == digests(c, &kept));
    check(&kept);
}

fn digests(c: &mut Conn, queues: &[String]) -> Vec<String> {
    queues.iter().map(|queue| c.digest(queue)).collect()
}

#[test]
fn a_made_up_payload_is_refused_or_is_a_queue_like_any_other_and_leaves_nothing_behind() {
    let executions = from_environment("MQ_EXECUTIONS", 5_000);
    let first = from_environment("MQ_SEED", 1);
    let server = Server::start();
    // Where the server knows this setting, it would keep the names that are looked for below out of its log.
    drop(server.connect().call("CONFIG SET hide-user-data-from-log no"));
    let started = Instant::now();
    let mut outcome = Outcome::default();
    let mut held_bytes = None;
    for seed in first.. {
        let count = ROUND.min(executions - outcome.tried);
        if count == 0 {
            break;
        }
        let mut c = server.connect();
        c.give_up_after(PATIENCE * patience());
        c.ok("DEBUG SET-SKIP-CHECKSUM-VALIDATION 1");
        let mut reloaded = server.connect();
        round(&mut c, seed, count, &mut outcome, &mut |kept| {
            let before = digests(&mut reloaded, kept);
            reloaded.ok("DEBUG RELOAD");
            assert_eq!(digests(&mut reloaded, kept), before, "after a reload");
        });
        drop(c);
        reloaded.ok("FLUSHALL SYNC");
        // What the closed connection held is ended in slices, soon after it has closed.
        let mut held = || reloaded.server_count("memory", "used_memory");
        let at_first = *held_bytes.get_or_insert_with(&mut held);
        until(&format!("seed {seed}: the memory of the first round"), || held() < at_first + SLACK_BYTES);
    }
    let Outcome { tried, loaded } = outcome;
    eprintln!("{tried} payloads tried, {loaded} of them loaded and used");
    assert!(executions < ROUND || loaded * 10 >= tried, "only {loaded} of {tried} loaded: the rest shows less");
    let log = server.log();
    assert!(!log.contains("internal fault"), "{log}");
    let told = log.lines().filter(|line| line.contains("<mq> the queue 'made-up")).count();
    assert!(told > 0, "the log says which queue was refused, and why: {log}");
    let seconds = started.elapsed().as_secs() as usize + 1;
    assert!(told <= 10 * (seconds + 1), "{told} lines in {seconds} s");
}

#[test]
fn a_made_up_queue_in_use_is_the_same_on_a_replica_and_in_a_replayed_log() {
    let executions = from_environment("MQ_EXECUTIONS", 5_000) / 20;
    let server = Server::builder()
        .config("appendonly yes")
        .config("aof-use-rdb-preamble no")
        .config("auto-aof-rewrite-percentage 0")
        .start();
    let replica = Server::builder().replica_of(&server);
    let (mut c, mut copy) = (server.connect(), replica.connect());
    for conn in [&mut c, &mut copy] {
        conn.give_up_after(PATIENCE * patience());
        conn.ok("DEBUG SET-SKIP-CHECKSUM-VALIDATION 1");
    }
    let mut outcome = Outcome::default();
    let mut replaying = server.connect();
    round(&mut c, from_environment("MQ_SEED", 1) + 1_000_000, executions, &mut outcome, &mut |kept| {
        assert!(executions < ROUND || kept.len() > KEPT / 2, "only {} were loaded", kept.len());
        replica.until_in_step_with(&server);
        let here = digests(&mut replaying, kept);
        assert_eq!(digests(&mut copy, kept), here, "the replica");
        replaying.ok("DEBUG LOADAOF");
        assert_eq!(digests(&mut replaying, kept), here, "the log");
    });
    eprintln!("{} payloads tried, {} of them loaded, used and copied", outcome.tried, outcome.loaded);
}
