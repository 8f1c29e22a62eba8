//! A wait that begins while CLIENT PAUSE holds the clients back ends as any other: by its message, or by its time.

use std::time::{Duration, Instant};

use mq_tests::{Leadership, Server, Value, Waiter, until};

/// A pause of 400 ms, a wait of 300 ms, and what a busy machine adds.
const LATEST: Duration = Duration::from_secs(3);

/// Sends `command` on a connection of its own while `pause` holds; its answer, and how long it took.
fn while_paused(server: &Server, pause: &str, command: &str) -> (Value, Duration) {
    let mut waits = server.connect();
    waits.give_up_after(LATEST);
    waits.ok("PING");
    server.connect().ok(pause);
    let asked = Instant::now();
    let answer = waits.call(command);
    let took = asked.elapsed();
    (answer.unwrap_or_else(|e| panic!("{pause}, {command}: no answer after {took:?}: {e}")), took)
}

#[test]
fn a_consumer_that_comes_in_a_pause_is_told_when_its_time_is_over() {
    let server = Server::start();
    for pause in ["CLIENT PAUSE 400 ALL", "CLIENT PAUSE 400 WRITE"] {
        let (answer, took) = while_paused(&server, pause, "MQ.CLAIM q w BLOCK 300");
        assert_eq!(answer, Value::Array(vec![]), "{pause}");
        assert!(took >= Duration::from_millis(299), "{pause}: early: {took:?}");
    }
    let (answer, _) = while_paused(&server, "CLIENT PAUSE 400 ALL", "MQ.CLAIM q w BLOCK 300 ACK 5");
    assert_eq!(answer, Value::Array(vec![Value::Int(0), Value::Array(vec![])]));
}

#[test]
fn a_standby_that_comes_in_a_pause_is_told_when_its_time_is_over() {
    let server = Server::start();
    let mut c = server.connect();
    let token = c.leader("MQ.LEADER q me LEASE 3600000").token;
    for pause in ["CLIENT PAUSE 400 ALL", "CLIENT PAUSE 400 WRITE"] {
        let (answer, took) = while_paused(&server, pause, "MQ.LEADER q you BLOCK 300");
        let Value::Array(led) = answer else { panic!("{pause}: {answer:?}") };
        assert_eq!(led[1], Value::Int(token), "{pause}");
        assert!(took >= Duration::from_millis(299), "{pause}: early: {took:?}");
    }
    c.int(format!("MQ.LEADER q me RESIGN {token}"));
    assert_eq!(c.leader("MQ.LEADER q"), Leadership::none(), "nobody stands by any more");
}

#[test]
fn a_consumer_and_a_standby_that_come_in_a_pause_are_served_after_it() {
    let server = Server::start();
    let mut c = server.connect();
    let token = c.leader("MQ.LEADER q me LEASE 3600000").token;
    let (consumers, standbys) = (server.connect(), server.connect());
    let ids = [consumers, standbys].map(|mut conn| (conn.int("CLIENT ID"), conn));
    let [(consumers_id, consumers), (standbys_id, standbys)] = ids;
    // What Waiter::send asks first would be held back as well.
    let waits = [(consumers, "MQ.CLAIM q w LEASE 3600000 BLOCK 0"), (standbys, "MQ.LEADER q you BLOCK 0")];
    c.ok("CLIENT PAUSE 300 WRITE");
    let [consumer, standby] = waits.map(|(conn, wait)| Waiter::send(conn, wait));
    until("both wait", || server.waits(consumers_id) && server.waits(standbys_id));
    assert!(consumer.waits() && standby.waits());
    c.int("MQ.PUSH q MSG a");
    c.int(format!("MQ.LEADER q me RESIGN {token}"));
    assert_eq!(consumer.claims()[0].payload, "a");
    assert!(standby.leader().0.is("you"));
}

#[test]
fn a_wait_that_began_before_a_pause_ends_in_time() {
    let server = Server::start();
    let mut c = server.connect();
    let asked = Instant::now();
    let waiter = Waiter::spawn(&server, "MQ.CLAIM q w BLOCK 300");
    c.ok("CLIENT PAUSE 400 ALL");
    let (_, answer, at) = waiter.answer();
    assert_eq!(answer.expect("an answer"), Value::Array(vec![]));
    assert!(at - asked < LATEST, "{:?}", at - asked);
}
