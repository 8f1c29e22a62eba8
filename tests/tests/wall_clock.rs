//! A server whose clock is set while it runs: what other servers' clocks are held against follows it at once; what lasts so
//! long, lasts so long.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mq_tests::{Conn, OtherClock, Server, Waiter, skip, until};

const TWO_DAYS_S: i64 = 2 * 24 * 3600;
const NO_OTHER_CLOCK: &str = "no program can be shown another clock on this system";

/// The right time.
fn right_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as i64
}

/// A server whose clock is so far ahead.
fn with_clock(ahead_s: i64) -> Option<Server> {
    let clock = OtherClock::ahead(ahead_s)?;
    let mut server = Server::start();
    server.kill9();
    server.start_again_with(clock);
    let error_ms = server.connect().clock_ms() - right_ms() - 1000 * ahead_s;
    assert!(error_ms.abs() < 60_000, "the clock is {error_ms} ms off what it was told to be");
    Some(server)
}

/// Within a second of the setting, as the module may look at the clock only now and then.
fn soon(what: &str, mut holds: impl FnMut() -> bool) {
    let set = Instant::now();
    until(what, &mut holds);
    assert!(set.elapsed() < Duration::from_secs(1), "{what}: {:?}", set.elapsed());
}

fn fail(c: &mut Conn, q: &str) -> i64 {
    c.int(format!("MQ.PUSH {q} MSG a"));
    let receipt = c.claim(format!("MQ.CLAIM {q} w")).receipt;
    assert_eq!(c.int(format!("MQ.FAIL {q} {receipt}")), 1);
    c.maps(format!("MQ.PEEK {q} ERRORS"))[0].int("failed-at-ms")
}

#[test]
fn a_clock_that_is_set_right_is_right_for_foreign_tokens_and_for_failed_at() {
    let Some(server) = with_clock(-TWO_DAYS_S) else { skip!(NO_OTHER_CLOCK) };
    let mut c = server.connect();
    c.int("MQ.PUSH old MSG a");
    let refusal = c.refusal(format!("MQ.PUSH q FENCE {} MSG a", right_ms() * 2048));
    assert!(refusal.contains("ahead of the server's clock"), "{refusal}");
    server.set_clock(0);
    soon("a token of the right time is accepted", || {
        c.call(format!("MQ.PUSH q FENCE {} MSG a", right_ms() * 2048)).is_ok()
    });
    c.int(format!("MQ.SEQ fresh p FENCE {}", right_ms() * 2048));
    for q in ["failed", "q2"] {
        let failed_at = fail(&mut c, q);
        assert!((failed_at - right_ms()).abs() < 10_000, "{q}: {} ms off", failed_at - right_ms());
    }
    let receipts = c.claims("MQ.CLAIM old w");
    assert_eq!(c.int(format!("MQ.FAIL old {}", receipts[0].receipt)), 1);
    let failed_at = c.drained("MQ.DRAINERRORS old")[0].failed_at_ms;
    assert!((failed_at - right_ms()).abs() < 10_000, "a queue from before: {} ms off", failed_at - right_ms());
    let id = c.int("MQ.PUSH new MSG a");
    assert!(id >= (right_ms() - 10_000) * 2048, "a term that begins now counts from now: {id}");
}

/// All that lasts an hour, and all that lasts 400 ms.
fn lasting(c: &mut Conn, q: &str, ms: i64) {
    c.ok(format!("MQ.CONFIG {q} errors-keep {ms}"));
    fail(c, q);
    c.int(format!("MQ.PUSH {q} MSG claimed"));
    c.claim(format!("MQ.CLAIM {q} w LEASE {ms}"));
    // So that nothing is claimed before its time is over.
    c.ok(format!("MQ.CONFIG {q} paused yes"));
    c.int(format!("MQ.PUSH {q} TTL {ms} MSG perishes"));
    c.int(format!("MQ.PUSH {q} DELAY {ms} MSG delayed"));
    c.leader(format!("MQ.LEADER {q} me LEASE {ms}"));
}

/// Nothing of `q` has ended.
#[track_caller]
fn nothing_has_ended(c: &mut Conn, q: &str) {
    c.ok(format!("MQ.CONFIG {q} max-length 0"));
    let info = c.balanced(q);
    let ended = ["expired", "ttl-expired", "dropped", "overdue"].map(|field| info.int(field));
    assert_eq!((ended, info.int("delayed"), info.text("leader").as_str()), ([0; 4], 1, "me"));
    let due_ms = info.int("next-due-in-ms");
    assert!((3_500_000..=3_600_000).contains(&due_ms), "{due_ms}");
}

/// What lasts 400 ms has ended, once each.
fn all_ends_once(server: &Server, c: &mut Conn, q: &str) {
    let started = Instant::now();
    c.int("MQ.PUSH delayed DELAY 300 MSG a");
    let (_conn, claims, at) = Waiter::send(server.connect(), "MQ.CLAIM delayed waiter BLOCK 0").answer();
    assert!(claims.is_ok());
    assert!((299..2000).contains(&(at - started).as_millis()), "a delay of 300 ms: {:?}", at - started);
    until("all has ended", || {
        c.ok(format!("MQ.CONFIG {q} max-length 0"));
        let info = c.balanced(q);
        let ended = ["expired", "ttl-expired", "dropped"].map(|field| info.int(field));
        // The time to live that is over makes an error, which is not kept for longer than that takes again.
        assert!(ended[0] <= 1 && ended[1] <= 1 && ended[2] <= 2, "twice: {ended:?}");
        info.int("delayed") == 0 && info.text("leader").is_empty() && ended == [1, 1, 2]
    });
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
}

/// Sets the clock from `from` to `to` while things last.
fn what_lasts_is_not_touched(from: i64, to: i64) {
    let Some(server) = with_clock(from) else { skip!(NO_OTHER_CLOCK) };
    let mut c = server.connect();
    lasting(&mut c, "hour", 3_600_000);
    lasting(&mut c, "short", 400);
    server.set_clock(to);
    until("the server sees it", || (c.clock_ms() - right_ms() - 1000 * to).abs() < 60_000);
    nothing_has_ended(&mut c, "hour");
    all_ends_once(&server, &mut c, "short");
    // A failure of now, after one from before: kept for as long, from now on.
    fail(&mut c, "later");
    c.ok("MQ.CONFIG later errors-keep 300");
    until("it is dropped", || {
        c.ok("MQ.CONFIG later max-length 0");
        c.balanced("later").int("dropped") == 1
    });
    nothing_has_ended(&mut c, "hour");
}

#[test]
fn a_clock_that_is_set_on_ends_nothing_early_and_nothing_twice() {
    what_lasts_is_not_touched(-TWO_DAYS_S, 0);
}

#[test]
fn a_clock_that_is_set_back_ends_nothing_late_and_nothing_twice() {
    what_lasts_is_not_touched(0, -TWO_DAYS_S);
}

#[test]
fn after_a_clock_was_set_on_and_back_numbers_still_grow() {
    let Some(server) = with_clock(0) else { skip!(NO_OTHER_CLOCK) };
    let mut c = server.connect();
    let mut last = [0; 3];
    for ahead_s in [0, TWO_DAYS_S, 0, -TWO_DAYS_S, 0] {
        server.set_clock(ahead_s);
        c.int("DEL q");
        let now =
            [c.int("MQ.PUSH q MSG a"), c.claim("MQ.CLAIM q w").receipt, c.leader("MQ.LEADER q me LEASE 60000").token];
        assert!(last.iter().zip(&now).all(|(last, now)| now > last), "{ahead_s}: {now:?} after {last:?}");
        last = now;
    }
}
