//! What consumers, sessions, waiting clients and the names of queues need, and leave when they are gone.

use mq_tests::{Bulk, Conn, Crowd, Value, clients_at_most, until};

use crate::stage::{CLIENTS, Stage};

/// Connections that wait for many queues, one after the other.
const CONNECTIONS: usize = 1000;

/// Queues in one pipeline.
const TOGETHER: usize = 1000;

/// Consumers that hold one claim each, all on one connection.
pub fn consumers(stage: &mut Stage, count: usize, option: &str) {
    let mut bulk = Bulk::open(&stage.server);
    bulk.push("MQ.PUSH q MSG", count, "payload8");
    let first = stage.c.claim("MQ.CLAIM q consumer-0 LEASE 600000").receipt;
    for n in 1..count {
        bulk.send(&format!("MQ.CLAIM q consumer-{n} LEASE 600000 {option}"));
    }
    bulk.done();
    stage.expect("mq_claimed", count);
    stage.at_peak();
    bulk.send_numbers("MQ.ACK q", first..first + count as i64);
    stage.expect_nothing_is_left();
}

pub fn open_session(stage: &mut Stage, count: usize) {
    stage.open = Some(session(stage, count));
}

pub fn closed_session(stage: &mut Stage, count: usize) {
    drop(session(stage, count));
}

/// A connection that has claimed and acked a message of each of many queues, all deleted since.
fn session(stage: &mut Stage, count: usize) -> Conn {
    let mut session = stage.server.connect();
    let queues: Vec<_> = (0..count).map(|n| format!("session-{n}")).collect();
    for queues in queues.chunks(TOGETHER) {
        let of_each = |command: &dyn Fn(&String) -> String| queues.iter().map(command).collect::<Vec<_>>();
        session.pipeline(&of_each(&|queue| format!("MQ.PUSH {queue} MSG payload8"))).expect("a whole connection");
        let claims = session.pipeline(&of_each(&|queue| format!("MQ.CLAIM {queue} w SESSION")));
        let claims = claims.expect("a whole connection");
        let receipts = claims.iter().map(|claim| receipt_of(claim.as_ref().expect("a claim")));
        let acks: Vec<_> =
            queues.iter().zip(receipts).map(|(queue, receipt)| format!("MQ.ACK {queue} {receipt}")).collect();
        session.pipeline(&acks).expect("a whole connection");
    }
    stage.expect_nothing_is_left();
    stage.at_peak();
    for queues in queues.chunks(TOGETHER) {
        session.int(["DEL"].into_iter().chain(queues.iter().map(String::as_str)).collect::<Vec<_>>());
    }
    session
}

/// The receipt of a reply with one claim.
fn receipt_of(claims: &Value) -> i64 {
    match claims {
        Value::Array(claims) => match claims.as_slice() {
            [Value::Array(claim)] => match claim.first() {
                Some(Value::Int(receipt)) => *receipt,
                other => panic!("a receipt was expected, not {other:?}"),
            },
            other => panic!("one claim was expected, not {other:?}"),
        },
        other => panic!("claims were expected, not {other:?}"),
    }
}

/// Clients wait for a short while for a queue that does not come, each for one queue after the other.
pub fn waited_for(stage: &mut Stage, count: usize) {
    stage.c.int("DEL finished");
    let connections = CONNECTIONS.min(count);
    let each = count / connections;
    let crowd = Crowd::send(&stage.server, connections, |connection| {
        let waits = (0..each).map(|n| format!("MQ.CLAIM waited-{} w BLOCK 1\n", connection * each + n));
        waits.collect::<String>() + "INCR finished"
    });
    until("all have waited", || stage.c.int("INCRBY finished 0") == connections as i64);
    stage.at_peak();
    drop(crowd);
}

/// Clients that wait, each under a name of its own, and then close their connections.
pub fn waiters(stage: &mut Stage, count: usize, line: &str) {
    stage.c.leader("MQ.LEADER q first LEASE 600000");
    let count = clients_at_most(CLIENTS).min(count);
    let crowd = Crowd::send(&stage.server, count, |n| line.replace("{n}", &n.to_string()));
    let name = if line.starts_with("MQ.CLAIM") { "mq_blocked_consumers" } else { "mq_blocked_candidates" };
    stage.until_count(name, count);
    stage.at_peak();
    drop(crowd);
    stage.until_count(name, 0);
}
