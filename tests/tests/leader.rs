//! One leader at a time: how a leadership is won, kept, given up and taken over.

use std::time::{Duration, Instant};

use mq_tests::{Leadership, Server, Waiter, text_of, until};

#[test]
fn the_first_candidate_leads_and_the_others_are_told() {
    let server = Server::start();
    let mut c = server.connect();
    let won = c.leader("MQ.LEADER q me LEASE 5000");
    assert!(won.is("me") && (4000..=5000).contains(&won.remaining_ms), "{won:?}");
    for other in ["MQ.LEADER q", "MQ.LEADER q you LEASE 9000", "MQ.LEADER q you TOKEN 5"] {
        let told = c.leader(other);
        assert!(told.is("me") && told.token == won.token && told.remaining_ms <= 5000, "{other}: {told:?}");
    }
    let info = c.fields("MQ.INFO q");
    assert_eq!(
        (info.text("leader"), info.int("leader-token"), info.int("leader-changes")),
        ("me".into(), won.token, 1)
    );
}

#[test]
fn the_leader_renews_its_lease_and_keeps_its_token() {
    let server = Server::start();
    let mut c = server.connect();
    let token = c.leader("MQ.LEADER q me LEASE 1000").token;
    let renewed = c.leader("MQ.LEADER q me LEASE 3600000");
    assert!(renewed.token == token && renewed.remaining_ms > 3_000_000, "{renewed:?}");
    let renewed = c.leader(format!("MQ.LEADER q me LEASE 7200000 BLOCK 0 TOKEN {token}"));
    assert!(renewed.is("me") && renewed.remaining_ms > 7_000_000, "the leader itself never waits: {renewed:?}");
}

#[test]
fn the_default_lease_is_the_queues() {
    let server = Server::start();
    let mut c = server.connect();
    c.ok("MQ.CONFIG q lease 5000");
    let left = c.leader("MQ.LEADER q me").remaining_ms;
    assert!((4000..=5000).contains(&left), "{left}");
}

#[test]
fn renew_only_never_takes_a_leadership() {
    let server = Server::start();
    let mut c = server.connect();
    let token = c.leader("MQ.LEADER q me").token;
    assert!(
        c.leader(format!("MQ.LEADER q me TOKEN {}", token + 1)).is("me"),
        "another token renews nothing, but reports"
    );
    assert_eq!(c.int(format!("MQ.LEADER q me RESIGN {token}")), 1);
    assert_eq!(c.leader(format!("MQ.LEADER q me TOKEN {token}")), Leadership::none());
}

#[test]
fn only_the_leader_with_its_token_can_resign() {
    let server = Server::start();
    let mut c = server.connect();
    let token = c.leader("MQ.LEADER q me").token;
    assert_eq!(c.int(format!("MQ.LEADER q me RESIGN {}", token - 1)), 0);
    assert_eq!(c.int(format!("MQ.LEADER q you RESIGN {token}")), 0);
    assert!(c.leader("MQ.LEADER q").is("me"));
    assert_eq!(c.int(format!("MQ.LEADER q me RESIGN {token}")), 1);
    assert_eq!(c.int(format!("MQ.LEADER q me RESIGN {token}")), 0);
    assert_eq!(c.leader("MQ.LEADER q"), Leadership::none());
}

#[test]
fn tokens_grow_by_one_with_each_leadership() {
    let server = Server::start();
    let mut c = server.connect();
    let mut tokens = Vec::new();
    for name in ["a", "a", "b"] {
        let led = c.leader(format!("MQ.LEADER q {name}"));
        c.int(format!("MQ.LEADER q {name} RESIGN {}", led.token));
        tokens.push(led.token);
    }
    assert_eq!(tokens, [tokens[0], tokens[0] + 1, tokens[0] + 2]);
    assert_eq!(c.fields("MQ.INFO q").int("leader-changes"), 3);
}

#[test]
fn a_leadership_ends_with_its_lease() {
    let server = Server::start();
    let mut c = server.connect();
    let token = c.leader("MQ.LEADER q me LEASE 30").token;
    until("it is over", || c.leader("MQ.LEADER q") == Leadership::none());
    assert_eq!(c.leader(format!("MQ.LEADER q me LEASE 30 TOKEN {token}")), Leadership::none(), "never revived");
    assert_eq!(c.leader("MQ.LEADER q me").token, token + 1, "the same name wins a new leadership");
}

#[test]
fn standbys_take_over_in_the_order_they_came() {
    let server = Server::start();
    let mut c = server.connect();
    let mut led = c.leader("MQ.LEADER q c0 LEASE 3600000");
    let standbys: Vec<_> =
        (1..=5).map(|n| Waiter::spawn(&server, format!("MQ.LEADER q c{n} LEASE 3600000 BLOCK 0"))).collect();
    assert_eq!(c.fields("MQ.INFO q").int("blocked-candidates"), 5);
    for (n, standby) in standbys.into_iter().enumerate() {
        let resigned = format!("MQ.LEADER q c{n} RESIGN {}", led.token);
        assert_eq!(c.int(resigned), 1);
        let (next, ..) = standby.leader();
        assert!(next.is(&format!("c{}", n + 1)) && next.token == led.token + 1, "{next:?}");
        led = next;
    }
}

#[test]
fn a_standby_takes_over_promptly_when_the_lease_ends_and_never_early() {
    let server = Server::start();
    let asked = Instant::now();
    server.connect().leader("MQ.LEADER q dead LEASE 150");
    let (led, at, _conn) = Waiter::send(server.connect(), "MQ.LEADER q alive BLOCK 0").leader();
    assert!(led.is("alive"), "{led:?}");
    let took = at - asked;
    assert!(took >= Duration::from_millis(149), "early: {took:?}");
    assert!(took < Duration::from_millis(1150), "late: {took:?}");
    println!("taken over {:?} after the end of a 150 ms lease", took.saturating_sub(Duration::from_millis(150)));
}

#[test]
fn a_standby_whose_time_is_over_is_told_who_leads() {
    let server = Server::start();
    let mut c = server.connect();
    let token = c.leader("MQ.LEADER q me LEASE 3600000").token;
    let told = c.leader("MQ.LEADER q you BLOCK 60");
    assert!(told.is("me") && told.token == token);
    assert_eq!(c.fields("MQ.INFO q").int("blocked-candidates"), 0);
}

#[test]
fn a_standby_that_is_gone_is_passed_over() {
    let server = Server::start();
    let mut c = server.connect();
    let token = c.leader("MQ.LEADER q me").token;
    let gone = Waiter::spawn(&server, "MQ.LEADER q gone BLOCK 0");
    let next = Waiter::spawn(&server, "MQ.LEADER q next BLOCK 0");
    c.int(format!("CLIENT KILL ID {}", gone.id()));
    server.until_blocked(1);
    c.int(format!("MQ.LEADER q me RESIGN {token}"));
    assert!(next.leader().0.is("next"));
}

#[test]
fn a_candidate_in_a_transaction_or_script_never_waits() {
    let server = Server::start();
    let mut c = server.connect();
    c.leader("MQ.LEADER q me");
    let answer = &c.exec(&["MQ.LEADER q you BLOCK 0"])[0];
    assert_eq!(text_of(&answer.as_sequence().expect("an array")[0]).as_deref(), Some("me"));
    let answer = c.eval("return redis.call('MQ.LEADER', KEYS[1], 'you', 'BLOCK', 0)", "q", &[]).expect("a good script");
    assert_eq!(text_of(&answer.as_sequence().expect("an array")[0]).as_deref(), Some("me"));
}

#[test]
fn a_resignation_in_a_transaction_serves_the_standby_after_it() {
    let server = Server::start();
    let mut c = server.connect();
    let token = c.leader("MQ.LEADER q me").token;
    let standby = Waiter::spawn(&server, "MQ.LEADER q you BLOCK 0");
    c.exec(&[&format!("MQ.LEADER q me RESIGN {token}"), "MQ.PUSH q MSG a"]);
    assert!(standby.leader().0.is("you"));
}

/// However the key goes: the first standby leads the new queue, with a larger token, and the second goes on waiting.
fn the_first_standby_leads_after(go: &str) {
    let server = Server::start();
    let mut c = server.connect();
    let token = c.leader("MQ.LEADER q me LEASE 3600000").token;
    c.int("MQ.PUSH q MSG a");
    let first = Waiter::spawn(&server, "MQ.LEADER q first LEASE 3600000 BLOCK 0");
    let second = Waiter::spawn(&server, "MQ.LEADER q second BLOCK 0");
    let consumer = Waiter::spawn(&server, "MQ.CLAIM q2 w BLOCK 0");
    c.ok(go);
    let (led, ..) = first.leader();
    assert!(led.is("first") && led.token > token, "{go}: {led:?} after {token}");
    assert_eq!(c.balanced("q").int("ready"), 0, "{go}: a new queue");
    assert!(c.refusal(format!("MQ.PUSH q FENCE {token} MSG b")).starts_with("FENCED"), "{go}");
    assert_eq!(server.blocked_clients(), 2, "{go}");
    c.int(format!("MQ.LEADER q first RESIGN {}", led.token));
    assert!(second.leader().0.is("second"), "{go}");
    drop(consumer);
}

#[test]
fn the_first_standby_leads_the_new_queue_after_del() {
    the_first_standby_leads_after("DEL q");
}

#[test]
fn the_first_standby_leads_the_new_queue_after_unlink() {
    the_first_standby_leads_after("UNLINK q");
}

#[test]
fn the_first_standby_leads_the_new_queue_after_flushall() {
    the_first_standby_leads_after("FLUSHALL");
}

#[test]
fn the_first_standby_leads_the_new_queue_after_expiry() {
    the_first_standby_leads_after("PEXPIRE q 50");
}

#[test]
fn the_first_standby_leads_the_new_queue_after_rename() {
    the_first_standby_leads_after("RENAME q elsewhere");
}

#[test]
fn numbers_grow_through_del_and_re_creation_however_fast() {
    let server = Server::start();
    let mut c = server.connect();
    let mut last = (0, 0, 0);
    for _ in 0..50 {
        let id = c.int("MQ.PUSH q MSG a");
        let now = (id, c.claim("MQ.CLAIM q w").receipt, c.leader("MQ.LEADER q me").token);
        assert!(now.0 > last.0 && now.1 > last.1 && now.2 > last.2, "{now:?} after {last:?}");
        c.ok("DEL q");
        last = now;
    }
}

#[test]
fn numbers_grow_through_del_and_restart() {
    for config in ["save 3600 1", "appendonly yes"] {
        let mut server = Server::builder().config(config).start();
        let mut last = (0, 0, 0);
        for _ in 0..3 {
            let mut c = server.connect();
            let id = c.int("MQ.PUSH q MSG a");
            let now = (id, c.claim("MQ.CLAIM q w").receipt, c.leader("MQ.LEADER q me").token);
            assert!(now.0 > last.0 && now.1 > last.1 && now.2 > last.2, "{config}: {now:?} after {last:?}");
            last = now;
            c.ok("DEL q");
            c.ok("SET something else");
            server.restart();
        }
    }
}
