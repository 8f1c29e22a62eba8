//! A queue that comes back under another system clock, a week later or earlier, is the one that it was, and goes on.

use std::time::{SystemTime, UNIX_EPOCH};

use mq_tests::{Churn, Conn, EveryState, OtherClock, Server, Waiter, every_state, skip, until};

const HOUR_MS: i64 = 3_600_000;
const WEEK_S: i64 = 7 * 24 * 3600;

const NO_OTHER_CLOCK: &str = "no program can be shown another clock on this system";

/// How a server keeps its keys, and what rewrites its log half-way.
struct Keeping {
    lines: &'static [&'static str],
    rewrite: bool,
}

const LOG: Keeping = Keeping { lines: &["appendonly yes", "appendfsync always"], rewrite: false };
const LOG_WITH_PREAMBLE: Keeping =
    Keeping { lines: &["appendonly yes", "appendfsync always", "aof-use-rdb-preamble yes"], rewrite: true };
const LOG_OF_COMMANDS: Keeping =
    Keeping { lines: &["appendonly yes", "appendfsync always", "aof-use-rdb-preamble no"], rewrite: true };
const SNAPSHOT: Keeping = Keeping { lines: &["save 3600 1"], rewrite: false };

/// What was there before the server was killed.
struct Before {
    digests: [String; 3],
    states: EveryState,
    /// The largest id and receipt in `short`, and its leader's token.
    id: i64,
    receipt: i64,
    token: i64,
    /// When it had all been done, by the clock that was right.
    clock_ms: i64,
}

/// Three queues: one in every state, with an hour left for all of it; one with a random history; one in which all that
/// has an end ends soon.
fn histories(c: &mut Conn, rewrite: bool) -> (EveryState, i64, i64, i64) {
    let states = every_state(c, "states");
    let mut churn = Churn::new(11);
    (0..1000).for_each(|_| churn.step(c, "churned"));
    if rewrite {
        c.ok("BGREWRITEAOF");
        until("the log is rewritten", || {
            ["aof_rewrite_in_progress", "aof_rewrite_scheduled"]
                .iter()
                .all(|name| c.server_count("persistence", name) == 0)
        });
    }
    (0..1000).for_each(|_| churn.step(c, "churned"));
    c.int("MQ.PUSH short MSG a b c d");
    c.int("MQ.PUSH short DELAY 600 MSG delayed");
    c.int("MQ.PUSH short TTL 700 UNIQUE once MSG perishes");
    let id = c.int("MQ.PUSH short GROUP g MSG grouped");
    c.claim("MQ.CLAIM short worker LEASE 400");
    c.claim("MQ.CLAIM short worker LEASE 600000 SESSION");
    let receipt = c.claim("MQ.CLAIM short worker LEASE 600").receipt;
    let token = c.leader("MQ.LEADER short leader LEASE 500").token;
    (states, id, receipt, token)
}

fn digests(c: &mut Conn) -> [String; 3] {
    ["states", "churned", "short"].map(|queue| {
        c.balanced(queue);
        c.digest(queue)
    })
}

/// Makes [`histories`], kills the server, and starts it with a clock so far ahead. `None`: there are no such clocks here.
fn under_another_clock(keeping: &Keeping, ahead_s: i64) -> Option<(Server, Conn, Before)> {
    let clock = OtherClock::ahead(ahead_s)?;
    let mut server = keeping.lines.iter().fold(Server::builder(), |builder, line| builder.config(*line)).start();
    let mut c = server.connect();
    let (states, id, receipt, token) = histories(&mut c, keeping.rewrite);
    let before = Before { digests: digests(&mut c), states, id, receipt, token, clock_ms: c.clock_ms() };
    if keeping.lines == SNAPSHOT.lines {
        c.ok("SAVE");
    }
    // The connection must not close before the server does: its end would be part of what is logged.
    server.kill9();
    server.start_again_with(clock);
    drop(c);
    let mut c = server.connect();
    let right_ms = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as i64;
    let error_ms = c.clock_ms() - right_ms - 1000 * ahead_s;
    assert!(error_ms.abs() < 60_000, "the server's clock is {error_ms} ms off what it was told to be");
    assert_eq!(digests(&mut c), before.digests);
    c.ok("DEBUG RELOAD");
    assert_eq!(digests(&mut c), before.digests);
    Some((server, c, before))
}

/// Numbers go on above those that were given, whatever the clock shows.
fn numbers_go_on(c: &mut Conn, before: &Before) {
    for queue in ["states", "short"] {
        let id = if queue == "states" { before.states.last_id } else { before.id };
        let token = if queue == "states" { before.states.token } else { before.token };
        assert!(c.refusal(format!("MQ.PUSH {queue} FENCE {token} MSG late")).starts_with("FENCED"));
        assert!(c.int(format!("MQ.PUSH {queue} MSG new")) > id, "{queue}");
        assert!(c.leader(format!("MQ.LEADER {queue} next LEASE 5000")).token > token, "{queue}");
    }
    assert!(c.claim("MQ.CLAIM short w").receipt > before.receipt);
    assert!(c.claim("MQ.CLAIM states w").receipt > before.states.draining);
    let mut churn = Churn::new(12);
    (0..500).for_each(|_| churn.step(c, "churned"));
    digests(c);
}

/// A week later all leases, delays and times to live are over, and the first write finds that out.
fn all_is_over(keeping: &Keeping) {
    let Some((_server, mut c, before)) = under_another_clock(keeping, WEEK_S) else { skip!(NO_OTHER_CLOCK) };
    let info = c.balanced("short");
    assert_eq!((info.int("ready"), info.int("delayed"), info.int("claimed")), (3, 1, 3), "a queue rests");
    assert!(info.int("overdue") >= 4, "three claims, a delay, a time to live: {info:?}");
    assert_eq!(c.int(format!("MQ.ACK short {}", before.receipt)), 0);
    assert_eq!(c.int(format!("MQ.ACK states {} {}", before.states.claimed, before.states.draining)), 0);
    c.int("MQ.PUSH states MSG first-write");
    c.int("MQ.PUSH short MSG first-write");
    let info = c.balanced("short");
    assert_eq!((info.int("overdue"), info.int("delayed"), info.int("claimed")), (0, 0, 0));
    assert_eq!((info.int("expired"), info.int("ttl-expired"), info.int("errors")), (3, 1, 1));
    let again = c.claims("MQ.CLAIM short worker COUNT 3");
    assert!(again.iter().all(|claim| claim.deliveries == 2), "{again:?}");
    let info = c.balanced("states");
    assert_eq!((info.int("overdue"), info.int("delayed"), info.int("claimed")), (0, 0, 0));
    numbers_go_on(&mut c, &before);
}

/// This claim with a short lease, beside which nothing is due.
fn ends_after_its_time(c: &mut Conn, queue: &str, receipt: i64) {
    until("the lease ends", || c.balanced(queue).int("overdue") == 1);
    assert_eq!(c.int(format!("MQ.ACK {queue} {receipt}")), 0);
}

/// What is due in an hour, is.
fn stands_at_an_hour(c: &mut Conn) {
    let delayed = c.maps("MQ.PEEK states DELAYED");
    assert!(!delayed.is_empty());
    for message in delayed {
        let due_ms = message.int("due-in-ms");
        assert!((HOUR_MS - 60_000..=HOUR_MS).contains(&due_ms), "time went back, or on: {message:?}");
    }
}

/// A week earlier nothing is over that was not, and the queue's time goes on from where it was: a lease that begins now
/// ends after its time, not in a week.
fn time_goes_on(keeping: &Keeping) {
    let Some((server, mut c, before)) = under_another_clock(keeping, -WEEK_S) else { skip!(NO_OTHER_CLOCK) };
    let ahead = c.refusal(format!("MQ.PUSH fresh FENCE {} MSG a", before.token));
    assert!(ahead.contains("ahead of the server's clock"), "the module sees the other clock: {ahead}");
    stands_at_an_hour(&mut c);
    assert_eq!(c.int(format!("MQ.ACK states {} {}", before.states.claimed, before.states.draining)), 2);
    stands_at_an_hour(&mut c);
    c.int("MQ.PUSH short MSG first-write");
    until("its leases end, its delay is due, its time to live over", || {
        c.int("MQ.PUSH short MSG more");
        let info = c.balanced("short");
        (info.int("claimed"), info.int("delayed"), info.int("ttl-expired")) == (0, 0, 1)
    });
    let claim = c.claim("MQ.CLAIM short w LEASE 30");
    c.claims("MQ.CLAIM states w COUNT 65536");
    c.int("MQ.PUSH states DELAY 50 MSG soon");
    let waiter = Waiter::spawn_for_a_while(&server, "MQ.CLAIM states w BLOCK 0");
    assert_eq!(waiter.claims()[0].payload, "soon", "the timer knows when");
    assert!(c.leader("MQ.LEADER states first LEASE 50").is("first"));
    let standby = Waiter::spawn_for_a_while(&server, "MQ.LEADER states standby LEASE 50 BLOCK 0");
    assert!(standby.leader().0.is("standby"), "the timer knows when");
    ends_after_its_time(&mut c, "short", claim.receipt);
    numbers_go_on(&mut c, &before);
    assert!(c.clock_ms() < before.clock_ms, "the clock is still behind");
}

#[test]
fn a_log_replayed_a_week_later_gives_the_same_digest_and_all_leases_are_over() {
    all_is_over(&LOG);
}

#[test]
fn a_log_rewritten_with_preamble_and_replayed_a_week_later_gives_the_same_digest() {
    all_is_over(&LOG_WITH_PREAMBLE);
}

#[test]
fn a_log_rewritten_as_commands_and_replayed_a_week_later_gives_the_same_digest() {
    all_is_over(&LOG_OF_COMMANDS);
}

#[test]
fn a_snapshot_loaded_a_week_later_gives_the_same_digest() {
    all_is_over(&SNAPSHOT);
}

#[test]
fn a_log_replayed_a_week_earlier_gives_the_same_digest_and_time_goes_on() {
    time_goes_on(&LOG);
}

#[test]
fn a_log_rewritten_with_preamble_and_replayed_a_week_earlier_gives_the_same_digest() {
    time_goes_on(&LOG_WITH_PREAMBLE);
}

#[test]
fn a_log_rewritten_as_commands_and_replayed_a_week_earlier_gives_the_same_digest() {
    time_goes_on(&LOG_OF_COMMANDS);
}

#[test]
fn a_snapshot_loaded_a_week_earlier_gives_the_same_digest() {
    time_goes_on(&SNAPSHOT);
}

#[test]
fn a_replica_whose_clock_is_a_week_behind_has_the_same_digest_and_goes_on_when_it_is_promoted() {
    let Some(clock) = OtherClock::ahead(-WEEK_S) else { skip!(NO_OTHER_CLOCK) };
    let primary = Server::start();
    let mut c = primary.connect();
    let states = every_state(&mut c, "states");
    let mut replica = Server::builder().replica_of(&primary);
    replica.kill9();
    replica.start_again_with(clock);
    replica.until_in_step_with(&primary);
    assert!(replica.connect().clock_ms() < c.clock_ms() - 1000 * (WEEK_S - 60), "its clock is behind");
    let mut churn = Churn::new(13);
    (0..500).for_each(|_| churn.step(&mut c, "churned"));
    let claimed = c.int("MQ.PUSH states MSG last");
    replica.until_in_step_with(&primary);
    let mut promoted = replica.connect();
    for queue in ["states", "churned"] {
        assert_eq!(promoted.digest(queue), c.digest(queue), "{queue}");
    }
    stands_at_an_hour(&mut promoted);
    promoted.ok("REPLICAOF NO ONE");
    assert!(promoted.int("MQ.PUSH states MSG new") > claimed);
    let claim = promoted.claim("MQ.CLAIM states w LEASE 30");
    assert!(claim.receipt > states.draining);
    ends_after_its_time(&mut promoted, "states", claim.receipt);
    promoted.balanced("states");
}
