//! A replica is its primary, byte for byte, and goes on where the primary stopped.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
};

use mq_tests::{Churn, Server, Waiter, every_state, until};

/// Raises a flag when it goes, also when a test fails: threads that look at it then end.
struct RaiseAtEnd<'a>(&'a AtomicBool);

impl Drop for RaiseAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Compares in a quiet state: what the primary still takes back on its own is waited for.
#[track_caller]
fn same(primary: &Server, replica: &Server, queue: &str) {
    let (mut p, mut r) = (primary.connect(), replica.connect());
    until(&format!("{queue} is the same on both"), || {
        replica.until_in_step_with(primary);
        p.digest(queue) == r.digest(queue)
    });
    p.balanced(queue);
    r.balanced(queue);
}

#[test]
fn a_replica_that_was_there_before_is_the_same() {
    let primary = Server::start();
    let replica = Server::builder().replica_of(&primary);
    let mut c = primary.connect();
    every_state(&mut c, "q");
    for seed in 0..8 {
        let mut churn = Churn::new(seed);
        for _ in 0..500 {
            churn.step(&mut c, "churned");
        }
        same(&primary, &replica, "churned");
    }
    same(&primary, &replica, "q");
}

#[test]
fn a_replica_that_comes_afterwards_is_the_same_and_stays_so() {
    let primary = Server::start();
    let mut c = primary.connect();
    let mut churn = Churn::new(21);
    every_state(&mut c, "q");
    (0..1500).for_each(|_| churn.step(&mut c, "churned"));
    let replica = Server::builder().replica_of(&primary);
    for queue in ["q", "churned"] {
        same(&primary, &replica, queue);
    }
    (0..1500).for_each(|_| churn.step(&mut c, "churned"));
    same(&primary, &replica, "churned");
}

#[test]
fn a_replica_that_comes_in_the_middle_of_use_is_the_same() {
    let primary = Server::start();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for seed in [3, 4] {
            let (primary, stop) = (&primary, &stop);
            scope.spawn(move || {
                let mut c = primary.connect();
                let mut churn = Churn::new(seed);
                while !stop.load(Relaxed) {
                    churn.step(&mut c, "churned");
                }
            });
        }
        let stopper = RaiseAtEnd(&stop);
        let mut c = primary.connect();
        until("there is something to copy", || c.fields("MQ.INFO churned").int("acked") > 50);
        let replica = Server::builder().replica_of(&primary);
        let from = c.fields("MQ.INFO churned").int("acked");
        until("it is used further", || c.fields("MQ.INFO churned").int("acked") > from + 50);
        drop(stopper);
        same(&primary, &replica, "churned");
    });
}

#[test]
fn waiters_transactions_scripts_and_sessions_are_replicated_as_what_they_did() {
    let primary = Server::start();
    let replica = Server::builder().replica_of(&primary);
    let mut c = primary.connect();
    for n in 0..10 {
        let q = &format!("q{n}");
        c.leader(format!("MQ.LEADER {q} me LEASE 3600000 SESSION"));
        let waiters: Vec<_> = (0..3)
            .map(|w| Waiter::spawn(&primary, format!("MQ.CLAIM {q} w{w} COUNT 2 LEASE 3600000 BLOCK 0 SESSION")))
            .collect();
        c.exec(&[
            &format!("MQ.PUSH {q} MSG {n}"),
            &format!("MQ.PUSH {q} PRIORITY 1 MSG x"),
            &format!("MQ.CLAIM {q} direct"),
        ]);
        c.eval("redis.call('MQ.PUSH', KEYS[1], 'MSG', 'l'); return redis.call('MQ.CLAIM', KEYS[1], 'lua')", q, &[])
            .expect("a good script");
        c.int(format!("MQ.PUSH {q} MSG a b c d e f"));
        for waiter in waiters {
            // Its connection closes, so its session's claims end.
            assert!(!waiter.claims().is_empty());
        }
    }
    (0..10).for_each(|n| same(&primary, &replica, &format!("q{n}")));
}

#[test]
fn what_changed_nothing_is_not_replicated() {
    let primary = Server::start();
    let replica = Server::builder().replica_of(&primary);
    let mut c = primary.connect();
    let kept = every_state(&mut c, "q");
    c.int("MQ.PUSH empty SEQ p 0 MSG a");
    let r = c.claim("MQ.CLAIM empty w").receipt;
    c.int(format!("MQ.ACK empty {r}"));
    replica.until_in_step_with(&primary);
    let offset = c.server_count("replication", "master_repl_offset");
    for nothing in [
        "MQ.ACK q 1".into(),
        "MQ.FAIL q 1".into(),
        "MQ.RELEASE q 1".into(),
        "MQ.EXTEND q 5 1".into(),
        "MQ.LEADER q".into(),
        "MQ.LEADER q you RESIGN 1".into(),
        "MQ.CLAIM empty w".into(),
        "MQ.CLAIM empty w ACK 1".into(),
        "MQ.DRAINERRORS empty".into(),
        "MQ.REDRIVE empty".into(),
        "MQ.PUSH empty SEQ p 0 MSG a".into(),
        "MQ.SEQ q generator".into(),
        "MQ.INFO q".into(),
        "MQ.CONFIG q".into(),
        "MQ.ACK missing 1".into(),
        "MQ.CLAIM missing w".into(),
    ] as [String; 16]
    {
        c.ok(&nothing);
        assert_eq!(c.server_count("replication", "master_repl_offset"), offset, "{nothing}");
    }
    c.refusal("MQ.PUSH q FENCE 1 MSG a");
    assert_eq!(c.server_count("replication", "master_repl_offset"), offset);
    c.int(format!("MQ.ACK q {}", kept.claimed));
    assert!(c.server_count("replication", "master_repl_offset") > offset, "the offset does move");
}

#[test]
fn a_replica_ends_no_claim_on_its_own() {
    let primary = Server::start();
    let replica = Server::builder().replica_of(&primary);
    let mut c = primary.connect();
    c.int("MQ.PUSH q MSG a");
    c.claim("MQ.CLAIM q w LEASE 20");
    c.int("MQ.PUSH q DELAY 20 MSG late");
    replica.until_in_step_with(&primary);
    let mut r = replica.connect();
    let before = r.digest("q");
    until("all is overdue", || r.fields("MQ.INFO q").int("overdue") == 2);
    assert_eq!(r.digest("q"), before);
    assert_eq!(r.maps("MQ.PEEK q CLAIMED").len(), 1);
    assert!(r.refusal("MQ.CLAIM q w").starts_with("READONLY"));
}

#[test]
fn a_promoted_replica_goes_on_with_larger_numbers_and_keeps_the_claims() {
    let mut primary = Server::start();
    let replica = Server::builder().replica_of(&primary);
    let mut c = primary.connect();
    let kept = every_state(&mut c, "q");
    let session = c.claim("MQ.CLAIM q w SESSION LEASE 3600000");
    same(&primary, &replica, "q");
    primary.kill9();
    let mut r = replica.connect();
    let digest = r.digest("q");
    r.ok("REPLICAOF NO ONE");
    assert_eq!(r.digest("q"), digest, "a promotion alone changes nothing");
    assert!(r.refusal(format!("MQ.PUSH q FENCE {} MSG a", kept.token)).starts_with("FENCED"));
    assert_eq!(r.int(format!("MQ.ACK q {}", session.receipt)), 0);
    assert_eq!(r.int(format!("MQ.ACK q {}", kept.claimed)), 1);
    assert_eq!(r.int(format!("MQ.ACK q {}", kept.draining)), 1);
    // Numbers that the old primary may have given without telling the replica are skipped.
    let jump = 1 << 24;
    assert!(r.int("MQ.PUSH q MSG new") >= kept.last_id + jump);
    assert!(r.claim("MQ.CLAIM q w").receipt > session.receipt + jump - 100);
    let led = r.leader("MQ.LEADER q you");
    assert!(led.is("you") && led.token > kept.token + jump - 100);
    assert_eq!(r.int("MQ.SEQ q generator"), 3);
    assert!(r.balanced("q").int("ready") > 0);
}

#[test]
fn the_old_primary_comes_back_as_a_replica_and_is_the_same() {
    let one = Server::start();
    let two = Server::builder().replica_of(&one);
    let mut c = one.connect();
    every_state(&mut c, "q");
    same(&one, &two, "q");
    let mut t = two.connect();
    t.ok("REPLICAOF NO ONE");
    t.int("MQ.PUSH q MSG after");
    c.ok(format!("REPLICAOF 127.0.0.1 {}", two.port()));
    same(&two, &one, "q");
    let mut churn = Churn::new(5);
    (0..300).for_each(|_| churn.step(&mut t, "q"));
    same(&two, &one, "q");
}

#[test]
fn a_replica_with_other_defaults_is_the_same() {
    let primary = Server::start();
    let replica = Server::builder().config("mq.lease 5").config("mq.max-deliveries 1").replica_of(&primary);
    let mut c = primary.connect();
    let mut churn = Churn::new(9);
    (0..800).for_each(|_| churn.step(&mut c, "q"));
    same(&primary, &replica, "q");
    assert_eq!(replica.connect().fields("MQ.INFO q").int("lease"), 30_000);
}

#[test]
fn a_replica_names_the_leader() {
    let primary = Server::start();
    let replica = Server::builder().replica_of(&primary);
    let token = primary.connect().leader("MQ.LEADER q me LEASE 60000").token;
    replica.until_in_step_with(&primary);
    let info = replica.connect().fields("MQ.INFO q");
    assert_eq!((info.text("leader"), info.int("leader-token")), ("me".to_owned(), token));
    assert!((1..=60_000).contains(&info.int("leader-lease-left-ms")));
}

#[test]
fn a_replica_whose_link_is_cut_again_and_again_catches_up_without_a_full_copy() {
    let primary = Server::builder().config("repl-backlog-size 50mb").start();
    let replica = Server::builder().replica_of(&primary);
    let mut c = primary.connect();
    let full = |c: &mut mq_tests::Conn| c.server_count("stats", "sync_full");
    let before = full(&mut c);
    let mut churn = Churn::new(77);
    for _ in 0..10 {
        (0..200).for_each(|_| churn.step(&mut c, "churned"));
        c.int("CLIENT KILL TYPE replica");
        (0..50).for_each(|_| churn.step(&mut c, "churned"));
        until("the link is up again", || replica.connect().server_info("replication", "master_link_status") == "up");
    }
    same(&primary, &replica, "churned");
    assert_eq!(full(&mut c), before, "it went on where it was cut");
    assert!(c.server_count("stats", "sync_partial_ok") >= 10);
}

#[test]
fn a_queue_that_migrates_to_another_server_arrives_as_it_was() {
    let (from, to) = (Server::start(), Server::start());
    let (mut c, mut there) = (from.connect(), to.connect());
    let kept = every_state(&mut c, "q");
    let digest = c.digest("q");
    c.ok(format!("MIGRATE 127.0.0.1 {} q 0 5000", to.port()));
    assert_eq!((c.int("EXISTS q"), there.digest("q")), (0, digest));
    assert!(there.refusal(format!("MQ.PUSH q FENCE {} MSG a", kept.token)).starts_with("FENCED"), "a new term");
    assert_eq!(there.int(format!("MQ.ACK q {}", kept.claimed)), 1);
    assert!(there.int("MQ.PUSH q MSG a") > kept.last_id);
    there.balanced("q");
}
