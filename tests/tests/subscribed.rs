//! A RESP3 connection that has subscribed to a channel. Where the server does not let it block (Valkey), a command that would
//! wait is answered without waiting, as in a transaction; elsewhere it waits as ever.

use std::time::Duration;

use mq_tests::{Server, Value, Waiter, Wire, skip, until};

/// What a wait is given here; an answer that comes well before it did not wait.
const WAIT_MS: u64 = 1500;
const AT_ONCE: Duration = Duration::from_millis(1000);

/// A subscribed connection.
fn subscribed(server: &Server) -> Wire {
    let mut wire = Wire::resp3(server);
    let told = wire.ask("SUBSCRIBE channel");
    assert!(matches!(told, Value::Push { .. }), "{told:?}");
    wire
}

fn empty() -> Value {
    Value::Array(vec![])
}

#[test]
fn a_subscribed_consumer_does_not_wait_where_it_must_not() {
    let server = Server::start();
    let mut c = server.connect();
    let mut wire = subscribed(&server);
    if !server.is_valkey() {
        let (answer, took) = wire.ask_timed("MQ.CLAIM q w BLOCK 60");
        assert_eq!(answer, empty());
        assert!(took >= Duration::from_millis(59), "{took:?}");
        skip!("this server lets a subscribed connection wait");
    }
    let (answer, took) = wire.ask_timed(format!("MQ.CLAIM q w BLOCK {WAIT_MS}"));
    assert_eq!(answer, empty());
    assert!(took < AT_ONCE, "{took:?}");
    assert_eq!((server.blocked_clients(), c.int("EXISTS q")), (0, 0));
}

#[test]
fn a_subscribed_consumers_ack_counts_is_answered_and_makes_room_for_who_waits() {
    let server = Server::start();
    let mut c = server.connect();
    c.ok("MQ.CONFIG q max-claimed 1");
    c.int("MQ.PUSH q MSG a b");
    let mut wire = subscribed(&server);
    let Value::Array(claims) = wire.ask("MQ.CLAIM q w LEASE 3600000") else { panic!("claims") };
    let Value::Array(claim) = &claims[0] else { panic!("a claim") };
    let Value::Int(receipt) = claim[0] else { panic!("a receipt") };
    let waiter = Waiter::spawn(&server, "MQ.CLAIM q waiter LEASE 3600000 BLOCK 0");
    wire.send(format!("MQ.CLAIM q w BLOCK {WAIT_MS} ACK {receipt}"));
    // Before it is looked whether and how the acknowledging client is answered.
    let (_served, claims, _) = waiter.answer();
    assert!(claims.is_ok());
    let (answer, took) = {
        let asked = std::time::Instant::now();
        (wire.receive(), asked.elapsed())
    };
    assert_eq!(answer, Value::Array(vec![Value::Int(1), empty()]));
    let info = c.balanced("q");
    assert_eq!((info.int("acked"), info.int("claimed"), info.int("ready")), (1, 1, 0));
    if server.is_valkey() {
        assert!(took < AT_ONCE, "{took:?}");
    } else {
        until("nobody waits", || server.blocked_clients() == 0);
        skip!("this server lets a subscribed connection wait");
    }
}

#[test]
fn a_subscribed_consumer_claims_what_is_there() {
    let server = Server::start();
    let mut c = server.connect();
    c.int("MQ.PUSH q MSG a");
    let mut wire = subscribed(&server);
    let (answer, _) = wire.ask_timed("MQ.CLAIM q w LEASE 3600000 BLOCK 0");
    assert!(matches!(&answer, Value::Array(claims) if claims.len() == 1), "{answer:?}");
    c.int("PUBLISH channel news");
    let news = wire.receive();
    assert!(matches!(news, Value::Push { .. }), "{news:?}");
    assert_eq!(c.balanced("q").int("claimed"), 1);
}

#[test]
fn a_subscribed_candidate_is_told_who_leads_and_does_not_stand_by_where_it_must_not() {
    let server = Server::start();
    let mut c = server.connect();
    let token = c.leader("MQ.LEADER q me LEASE 3600000").token;
    let mut wire = subscribed(&server);
    let wait_ms = if server.is_valkey() { WAIT_MS } else { 60 };
    let (answer, took) = wire.ask_timed(format!("MQ.LEADER q you LEASE 3600000 BLOCK {wait_ms}"));
    let Value::Array(led) = &answer else { panic!("{answer:?}") };
    assert_eq!((&led[0], &led[1]), (&Value::BulkString(b"me".to_vec()), &Value::Int(token)), "{answer:?}");
    assert!(took < AT_ONCE, "{took:?}");
    assert_eq!(server.blocked_clients(), 0);
    c.int(format!("MQ.LEADER q me RESIGN {token}"));
    let answer = wire.ask("MQ.LEADER q you LEASE 3600000 BLOCK 0");
    assert!(matches!(&answer, Value::Array(led) if led[1] == Value::Int(token + 1)), "{answer:?}");
    if !server.is_valkey() {
        assert!(took >= Duration::from_millis(59), "{took:?}");
        skip!("this server lets a subscribed connection wait");
    }
}
