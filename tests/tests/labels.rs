//! What a push attaches to its messages: a unique key, a group, a time to live.

use std::time::{Duration, Instant};

use mq_tests::{Conn, Server, Value, Waiter, until};

fn payloads(c: &mut Conn, command: &str) -> Vec<String> {
    c.claims(command).into_iter().map(|claim| claim.payload).collect()
}

#[test]
fn a_unique_key_adds_nothing_while_its_message_is_not_done() {
    let server = Server::start();
    let mut c = server.connect();
    let id = c.int("MQ.PUSH q UNIQUE invoice-7 MSG first");
    let again = |c: &mut Conn| c.int("MQ.PUSH q UNIQUE invoice-7 MSG again");
    assert_eq!(again(&mut c), id, "ready");
    assert_ne!(c.int("MQ.PUSH q UNIQUE other MSG other"), id);
    let claim = c.claim("MQ.CLAIM q w");
    assert_eq!((claim.payload.as_str(), again(&mut c)), ("first", id), "claimed");
    c.int(format!("MQ.FAIL q {} RETRY 60000", claim.receipt));
    assert_eq!(again(&mut c), id, "delayed");
    c.int("MQ.PURGE q DELAYED");
    let id = again(&mut c);
    assert_eq!(c.fields("MQ.INFO q").int("duplicates"), 3);
    let claims = c.claims("MQ.CLAIM q w COUNT 2");
    let claim = claims.iter().find(|claim| claim.id == id).expect("the unique one");
    c.int(format!("MQ.FAIL q {}", claim.receipt));
    assert_eq!(again(&mut c), id, "errored");
    c.drained("MQ.DRAINERRORS q");
    let next = again(&mut c);
    assert!(next > id, "done: the key is free");
    let claim = c.claim("MQ.CLAIM q w");
    c.int(format!("MQ.ACK q {}", claim.receipt));
    assert!(again(&mut c) > next);
    c.balanced("q");
}

#[test]
fn a_unique_key_is_for_one_payload_and_not_beside_a_sequence() {
    let server = Server::start();
    let mut c = server.connect();
    assert_eq!(c.refusal("MQ.PUSH q UNIQUE k MSG a b"), "ERR UNIQUE key names one message: expected one payload");
    assert!(c.refusal("MQ.PUSH q SEQ p 0 UNIQUE k MSG a").starts_with("ERR UNIQUE and SEQ exclude each other"));
    assert_eq!(c.int("EXISTS q"), 0);
}

#[test]
fn of_a_group_one_message_is_claimed_at_a_time_in_order() {
    let server = Server::start();
    let mut c = server.connect();
    c.int("MQ.PUSH q GROUP a MSG a1 a2 a3");
    c.int("MQ.PUSH q GROUP b MSG b1 b2");
    c.int("MQ.PUSH q MSG free");
    let info = c.balanced("q");
    assert_eq!((info.int("ready"), info.int("held")), (6, 3));
    let claims = c.claims("MQ.CLAIM q w COUNT 10");
    let got: Vec<&str> = claims.iter().map(|claim| claim.payload.as_str()).collect();
    assert_eq!(got, ["a1", "b1", "free"]);
    assert!(c.claims("MQ.CLAIM q w COUNT 10").is_empty());
    assert_eq!(c.int(format!("MQ.ACK q {}", claims[0].receipt)), 1);
    let second = c.claim("MQ.CLAIM q w COUNT 10");
    assert_eq!(second.payload, "a2");
    assert_eq!(c.int(format!("MQ.RELEASE q {}", second.receipt)), 1);
    assert_eq!(c.claim("MQ.CLAIM q w COUNT 10").payload, "a2", "given back, it is the first again");
    assert_eq!(c.int(format!("MQ.FAIL q {}", claims[1].receipt)), 1);
    assert_eq!(c.claim("MQ.CLAIM q w COUNT 10").payload, "b2", "an errored message holds nobody back");
    c.balanced("q");
}

#[test]
fn a_retry_keeps_its_group_waiting() {
    let server = Server::start();
    let mut c = server.connect();
    c.int("MQ.PUSH q GROUP a MSG a1 a2");
    let first = c.claim("MQ.CLAIM q w");
    assert_eq!(c.int(format!("MQ.FAIL q {} RETRY 100", first.receipt)), 2);
    assert!(c.claims("MQ.CLAIM q w").is_empty(), "a2 does not overtake a1");
    assert_eq!(c.claim("MQ.CLAIM q w BLOCK 5000").payload, "a1");
}

#[test]
fn a_waiter_gets_the_next_of_a_group_when_the_one_before_is_done() {
    let server = Server::start();
    let mut c = server.connect();
    c.int("MQ.PUSH q GROUP a MSG a1 a2");
    let first = c.claim("MQ.CLAIM q w LEASE 60000");
    let waiter = Waiter::spawn(&server, "MQ.CLAIM q other BLOCK 0");
    c.int(format!("MQ.ACK q {}", first.receipt));
    assert_eq!(waiter.claims()[0].payload, "a2");
    let dies = Waiter::spawn(&server, "MQ.CLAIM q third BLOCK 0");
    c.int("MQ.PUSH q GROUP a MSG a3");
    assert!(dies.waits());
    let second = c.maps("MQ.PEEK q CLAIMED")[0].int("receipt");
    c.int(format!("MQ.EXTEND q 0 {second}"));
    assert_eq!(dies.claims()[0].payload, "a2", "an ended claim lets the group go on, with the same message");
}

#[test]
fn groups_come_by_priority_too() {
    let server = Server::start();
    let mut c = server.connect();
    c.int("MQ.PUSH q GROUP a MSG late");
    c.int("MQ.PUSH q GROUP a PRIORITY 9 MSG urgent");
    assert_eq!(payloads(&mut c, "MQ.CLAIM q w COUNT 10"), ["urgent"]);
}

#[test]
fn a_message_that_is_not_claimed_in_time_is_an_error() {
    let server = Server::start();
    let mut c = server.connect();
    c.int("MQ.PUSH q TTL 50 MSG short");
    c.int("MQ.PUSH q TTL 60000 MSG long");
    until("the first has expired", || c.fields("MQ.INFO q").int("overdue") == 1);
    assert_eq!(payloads(&mut c, "MQ.CLAIM q w COUNT 10"), ["long"]);
    let errors = c.drained("MQ.DRAINERRORS q");
    assert_eq!((errors[0].payload.as_str(), errors[0].reason.as_str()), ("short", "expired"));
    assert_eq!(errors[0].consumer, "");
    let info = c.balanced("q");
    assert_eq!((info.int("ttl-expired"), info.int("expired"), info.int("failed")), (1, 0, 0));
}

#[test]
fn a_claim_in_time_is_enough_but_what_comes_back_late_is_an_error() {
    let server = Server::start();
    let mut c = server.connect();
    c.int("MQ.PUSH q TTL 80 MSG acked");
    c.int("MQ.PUSH q TTL 80 MSG released");
    let claims = c.claims("MQ.CLAIM q w COUNT 2 LEASE 60000");
    let late = Instant::now() + Duration::from_millis(100);
    until("the time is over", || Instant::now() > late);
    assert_eq!(c.int(format!("MQ.ACK q {}", claims[0].receipt)), 1);
    assert_eq!(c.int(format!("MQ.RELEASE q {}", claims[1].receipt)), 1);
    assert!(c.claims("MQ.CLAIM q w").is_empty());
    assert_eq!(c.maps("MQ.PEEK q ERRORS")[0].text("payload"), "released");
}

#[test]
fn a_retry_beyond_the_time_to_live_is_none_and_the_failure_keeps_its_reason() {
    let server = Server::start();
    let mut c = server.connect();
    c.int("MQ.PUSH q TTL 60000 MSG late soon");
    let claims = c.claims("MQ.CLAIM q w COUNT 2 LEASE 60000");
    assert_eq!(c.int(format!("MQ.FAIL q {} RETRY 60000 REASON down", claims[0].receipt)), 1);
    assert_eq!(c.int(format!("MQ.FAIL q {} RETRY 1000 REASON down", claims[1].receipt)), 2);
    let errors = c.drained("MQ.DRAINERRORS q");
    assert_eq!((errors[0].payload.as_str(), errors[0].reason.as_str(), errors.len()), ("late", "down", 1));
    assert_eq!(errors[0].consumer, "w");
    let info = c.balanced("q");
    assert_eq!((info.int("failed"), info.int("retried"), info.int("ttl-expired")), (1, 1, 0));
}

#[test]
fn a_repeated_push_takes_back_what_is_due() {
    let server = Server::start();
    let mut c = server.connect();
    c.ok("MQ.CONFIG q errors-keep 1");
    let first = c.int("MQ.PUSH q UNIQUE nightly TTL 1 MSG a");
    until("its error is outlived, and the key free", || c.int("MQ.PUSH q UNIQUE nightly TTL 1 MSG a") != first);
}

#[test]
fn a_redriven_message_has_no_time_to_live() {
    let server = Server::start();
    let mut c = server.connect();
    c.int("MQ.PUSH q TTL 1 MSG late");
    until("it has expired", || c.int("MQ.REDRIVE q") == 1);
    assert_eq!(payloads(&mut c, "MQ.CLAIM q w"), ["late"]);
}

#[test]
fn a_time_to_live_begins_when_the_message_is_ready() {
    let server = Server::start();
    let mut c = server.connect();
    c.int("MQ.PUSH q DELAY 120 TTL 60 MSG a");
    assert_eq!(c.claim("MQ.CLAIM q w BLOCK 5000").payload, "a", "served when due, not expired by then");
}

#[test]
fn peek_tells_what_a_push_attached() {
    let server = Server::start();
    let mut c = server.connect();
    let id = c.int("MQ.PUSH q UNIQUE k GROUP g TTL 60000 PRIORITY 3 MSG a");
    let message = &c.maps("MQ.PEEK q READY")[0];
    assert_eq!((message.int("id"), message.text("state")), (id, "ready".to_owned()));
    assert_eq!((message.text("unique"), message.text("group")), ("k".to_owned(), "g".to_owned()));
    assert!((1..=60_000).contains(&message.int("ttl-left-ms")));
    c.int("MQ.PUSH q MSG plain");
    let plain = &c.maps("MQ.PEEK q READY AFTER 0 COUNT 2")[1];
    assert!(["unique", "group", "ttl-left-ms"].iter().all(|name| plain.get(name).is_none()));
}

#[test]
fn peek_finds_messages_by_id_in_every_state() {
    let server = Server::start();
    let mut c = server.connect();
    let first = c.int("MQ.PUSH q MSG done claimed errored");
    let ready = c.int("MQ.PUSH q MSG ready");
    let delayed = c.int("MQ.PUSH q DELAY 60000 MSG delayed");
    let held = c.int("MQ.PUSH q GROUP g MSG head held") + 1;
    let claims = c.claims("MQ.CLAIM q w COUNT 3");
    c.int(format!("MQ.ACK q {}", claims[0].receipt));
    c.int(format!("MQ.FAIL q {}", claims[2].receipt));
    let ids = [first, first + 1, first + 2, ready, delayed, held, 1].map(|id| id.to_string()).join(" ");
    let Value::Array(shown) = c.ok(format!("MQ.PEEK q ID {ids}")) else { panic!("an array") };
    assert_eq!((shown.len(), &shown[0], &shown[6]), (7, &Value::Nil, &Value::Nil));
    let id_of_known = [first + 1, first + 2, ready, delayed, held].map(|id| id.to_string()).join(" ");
    let states: Vec<String> =
        c.maps(format!("MQ.PEEK q ID {id_of_known}")).iter().map(|map| map.text("state")).collect();
    assert_eq!(states, ["claimed", "errored", "ready", "delayed", "ready"]);
    assert_eq!(c.ok("MQ.PEEK missing ID 1 2"), Value::Array(vec![Value::Nil, Value::Nil]));
}
