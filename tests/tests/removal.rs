//! Deleting messages, and the limits on what is kept, claimed at once, and claimed per second.

use std::time::{Duration, Instant};

use mq_tests::{Server, Waiter, every_state, until};

#[test]
fn remove_deletes_what_is_ready_delayed_or_errored_and_nothing_else() {
    let server = Server::start();
    let mut c = server.connect();
    let first = c.int("MQ.PUSH q MSG claimed errored ready untouched");
    let delayed = c.int("MQ.PUSH q DELAY 60000 MSG delayed");
    let claims = c.claims("MQ.CLAIM q w COUNT 2 LEASE 60000");
    c.int(format!("MQ.FAIL q {}", claims[1].receipt));
    let ids = format!("{first} {} {} {delayed} 1", first + 1, first + 2);
    assert_eq!(c.int(format!("MQ.REMOVE q {ids}")), 3);
    assert_eq!(c.int(format!("MQ.REMOVE q {ids}")), 0, "they are gone; the claimed one is its consumer's");
    let info = c.balanced("q");
    assert_eq!((info.int("removed"), info.int("claimed"), info.int("ready")), (3, 1, 1));
    assert_eq!(c.claim("MQ.CLAIM q w").payload, "untouched");
    assert_eq!(c.int(format!("MQ.ACK q {}", claims[0].receipt)), 1);
    assert_eq!(c.int("MQ.REMOVE missing 1"), 0);
    assert_eq!(c.int("EXISTS missing"), 0);
}

#[test]
fn an_error_that_is_being_drained_is_not_removed() {
    let server = Server::start();
    let mut c = server.connect();
    let id = c.int("MQ.PUSH q MSG a");
    let claim = c.claim("MQ.CLAIM q w");
    c.int(format!("MQ.FAIL q {}", claim.receipt));
    let drained = c.drained("MQ.DRAINERRORS q LEASE 60000");
    assert_eq!((c.int(format!("MQ.REMOVE q {id}")), c.int("MQ.PURGE q ERRORS")), (0, 0));
    assert_eq!(c.int(format!("MQ.ACK q {}", drained[0].receipt)), 1);
}

#[test]
fn purge_deletes_a_whole_state_in_slices() {
    let server = Server::start();
    let mut c = server.connect();
    every_state(&mut c, "q");
    let before = c.balanced("q");
    for (state, level) in [("READY", "ready"), ("DELAYED", "delayed"), ("ERRORS", "errors")] {
        let mut removed = 0;
        loop {
            let slice = c.int(format!("MQ.PURGE q {state} COUNT 3"));
            removed += slice;
            if slice < 3 {
                break;
            }
        }
        let left = i64::from(state == "ERRORS"); // the one that is being drained
        assert_eq!(removed, before.int(level) - left, "{state}");
        assert_eq!(c.balanced("q").int(level), left);
    }
    let info = c.balanced("q");
    assert_eq!((info.int("held"), info.int("claimed")), (0, before.int("claimed")));
    c.int("MQ.PUSH q GROUP group UNIQUE only MSG again");
    assert_eq!(c.claim("MQ.CLAIM q w").payload, "again", "its group and its key are free");
}

#[test]
fn errors_are_kept_as_long_as_the_setting_says() {
    let server = Server::start();
    let mut c = server.connect();
    c.ok("MQ.CONFIG q errors-keep 50");
    c.int("MQ.PUSH q UNIQUE k MSG a");
    let claim = c.claim("MQ.CLAIM q w");
    c.int(format!("MQ.FAIL q {}", claim.receipt));
    assert_eq!(c.int("MQ.PUSH q UNIQUE k MSG b"), claim.id);
    until("its time is over", || c.fields("MQ.INFO q").int("overdue") == 1);
    assert!(c.int("MQ.PUSH q UNIQUE k MSG b") > claim.id, "judged as if it were gone already");
    let info = c.balanced("q");
    assert_eq!((info.int("errors"), info.int("dropped"), info.int("ready")), (0, 1, 1));
}

#[test]
fn an_old_error_makes_room_in_a_full_queue() {
    let server = Server::start();
    let mut c = server.connect();
    c.ok("MQ.CONFIG q errors-keep 60 max-length 1");
    c.int("MQ.PUSH q MSG a");
    let claim = c.claim("MQ.CLAIM q w");
    c.int(format!("MQ.FAIL q {}", claim.receipt));
    assert!(c.refusal("MQ.PUSH q MSG b").starts_with("QUEUEFULL"));
    until("there is room", || c.call("MQ.PUSH q MSG b").is_ok());
    assert_eq!(c.balanced("q").int("dropped"), 1);
}

#[test]
fn max_claimed_holds_claims_back_and_wakes_waiters_when_there_is_room() {
    let server = Server::start();
    let mut c = server.connect();
    c.ok("MQ.CONFIG q max-claimed 3");
    c.int("MQ.PUSH q MSG a b c d e f");
    let held = c.claims("MQ.CLAIM q one COUNT 10 LEASE 60000");
    assert_eq!(held.len(), 3);
    assert!(c.claims("MQ.CLAIM q other").is_empty());
    let waiter = Waiter::spawn(&server, "MQ.CLAIM q other COUNT 10 BLOCK 0 LEASE 60000");
    assert_eq!(c.int(format!("MQ.ACK q {}", held[0].receipt)), 1);
    let woken = waiter.claims();
    assert_eq!(woken.iter().map(|claim| claim.payload.as_str()).collect::<Vec<_>>(), ["d"]);
    let waiter = Waiter::spawn(&server, "MQ.CLAIM q other COUNT 10 BLOCK 0 LEASE 60000");
    c.ok("MQ.CONFIG q max-claimed 0");
    assert_eq!(waiter.claims().len(), 2, "no limit any more");
}

#[test]
fn a_rate_is_kept_and_waiters_are_served_at_its_pace() {
    const RATE: u32 = 50;
    let server = Server::start();
    let mut c = server.connect();
    c.ok(format!("MQ.CONFIG q rate {RATE}"));
    let mut push = vec!["MQ.PUSH".to_owned(), "q".into(), "MSG".into()];
    push.extend((0..40).map(|n| n.to_string()));
    c.int(push);
    let began = Instant::now();
    let mut got = 0;
    while got < 40 {
        got += c.claims("MQ.CLAIM q w COUNT 40 BLOCK 5000 LEASE 60000").len() as u32;
        let most = f64::from(RATE) * (began.elapsed().as_secs_f64() + 0.1) + 2.0;
        assert!(f64::from(got) <= most, "{got} after {:?}", began.elapsed());
    }
    // 40 claims, 5 of them at once, at 50 a second.
    assert!(began.elapsed() >= Duration::from_millis(680), "{:?}", began.elapsed());
    c.ok("MQ.CONFIG q rate 0");
    c.int("MQ.PUSH q MSG a b c d e f g h i j");
    assert_eq!(c.claims("MQ.CLAIM q w COUNT 10").len(), 10);
}
