//! What a crash takes back under each setting of Redis, and what it does not. The rows of a table in DESIGN.md; the rest of
//! them is proved under traffic in `chaos.rs`.

use mq_tests::{Conn, Server, skip, until};

/// A message, a claim on another one, and a leadership.
fn numbers(c: &mut Conn) -> [i64; 3] {
    let id = c.int("MQ.PUSH q MSG a b");
    let receipt = c.claim("MQ.CLAIM q w LEASE 3600000").receipt;
    [id, receipt, c.leader("MQ.LEADER q me LEASE 3600000").token]
}

#[test]
fn without_persistence_a_killed_server_forgets_every_message_and_gives_no_number_again() {
    let mut server = Server::start();
    let before = numbers(&mut server.connect());
    server.kill9();
    server.start_again();
    let mut c = server.connect();
    assert_eq!(c.int("EXISTS q"), 0);
    assert_eq!(c.int(format!("MQ.ACK q {}", before[1])), 0);
    for (before, after) in before.into_iter().zip(numbers(&mut c)) {
        assert!(after > before, "{after} follows {before}");
    }
}

#[test]
fn with_snapshots_a_killed_server_forgets_what_came_after_the_last_one() {
    let mut server = Server::builder().config("save 3600 1000000").start();
    let mut c = server.connect();
    let kept = numbers(&mut c);
    c.ok("SAVE");
    let forgotten = numbers(&mut c);
    server.kill9();
    server.start_again();
    let mut c = server.connect();
    assert_eq!(c.balanced("q").int("pushed"), 2);
    assert_eq!(c.int(format!("MQ.ACK q {}", forgotten[1])), 0);
    assert_eq!(c.int(format!("MQ.ACK q {}", kept[1])), 1);
    for (before, after) in forgotten.into_iter().zip(numbers(&mut c)) {
        assert!(after > before, "{after} follows {before}");
    }
}

#[test]
fn what_waitaof_has_confirmed_survives_a_kill() {
    let mut server = Server::builder().config("appendonly yes").config("appendfsync everysec").start();
    let mut c = server.connect();
    if c.call("WAITAOF 0 0 0").is_err() {
        skip!("no WAITAOF, which came with Redis 7.2");
    }
    for n in 1..=3 {
        c.int("MQ.PUSH q MSG a");
        c.ok("WAITAOF 1 0 5000");
        server.kill9();
        server.start_again();
        c = server.connect();
        assert_eq!(c.balanced("q").int("ready"), n);
    }
}

#[test]
fn a_primary_without_enough_replicas_refuses_and_changes_nothing() {
    let server = Server::start();
    let mut c = server.connect();
    let [_, receipt, _] = numbers(&mut c);
    let digest = c.digest("q");
    c.ok("CONFIG SET min-replicas-to-write 1");
    for refused in ["MQ.PUSH q MSG c".into(), "MQ.CLAIM q w".into(), format!("MQ.ACK q {receipt}")] as [String; 3] {
        assert!(c.refusal(&refused).starts_with("NOREPLICAS"), "{refused}");
    }
    assert_eq!(c.digest("q"), digest);
    let replica = Server::builder().replica_of(&server);
    until("the replica counts", || c.call(format!("MQ.ACK q {receipt}")).is_ok());
    replica.until_in_step_with(&server);
    assert_eq!(replica.connect().digest("q"), c.digest("q"));
}

#[test]
fn eviction_takes_a_whole_queue_and_the_log_has_warned_of_it() {
    let server = Server::builder().config("maxmemory-policy allkeys-lru").start();
    let mut c = server.connect();
    assert!(server.log().contains("allkeys"), "the log warns: {}", server.log());
    c.int(format!("MQ.PUSH q MSG {}", "x".repeat(100_000)));
    c.ok("CONFIG SET maxmemory 1");
    let _ = c.call("SET other key");
    until("it is gone", || c.int("EXISTS q") == 0);
}
