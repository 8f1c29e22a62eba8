//! What ends with a connection: SESSION claims, drains and leaderships, at once and only these.

use std::time::{Duration, Instant};

use mq_tests::{Conn, Server, Waiter, median, until};

/// The promise is milliseconds; other tests share this machine.
const AT_ONCE: Duration = Duration::from_secs(1);

#[track_caller]
fn at_once(what: &str, took: Vec<Duration>) {
    let (worst, rounds) = (*took.iter().max().expect("measured"), took.len());
    println!("{what}: median {:?}, worst {worst:?} of {rounds}", median(took));
    assert!(worst < AT_ONCE, "{what}: {worst:?}");
}

/// Ends `holder`'s connection, by its own closed socket or by the server's axe; the moment of it.
fn close(c: &mut Conn, holder: &mut Option<Conn>, by_the_server: bool) -> Instant {
    let mut holder = holder.take().expect("a connection");
    let kill = format!("CLIENT KILL ID {}", holder.int("CLIENT ID"));
    let closed = Instant::now();
    if by_the_server {
        c.int(kill);
    }
    drop(holder);
    closed
}

#[test]
fn a_connection_that_closes_gives_its_messages_to_a_waiter_at_once() {
    let server = Server::start();
    let mut c = server.connect();
    c.ok("MQ.CONFIG q max-deliveries 0");
    c.int("MQ.PUSH q MSG a");
    let mut holder = Some(server.connect());
    let mut held = holder.as_mut().expect("a connection").claim("MQ.CLAIM q w0 LEASE 3600000 SESSION");
    let took = (1..=10)
        .map(|n| {
            let waiter = Waiter::spawn(&server, format!("MQ.CLAIM q w{n} LEASE 3600000 BLOCK 0 SESSION"));
            let closed = close(&mut c, &mut holder, n % 2 == 0);
            let (conn, value, at) = waiter.answer();
            holder = Some(conn);
            assert!(value.is_ok());
            let info = c.balanced("q");
            assert_eq!((info.int("expired"), info.int("redelivered"), info.int("claimed")), (n, n, 1));
            assert_eq!(c.int(format!("MQ.ACK q {}", held.receipt)), 0, "a dead consumer's ack counts nothing");
            held.receipt = c.maps("MQ.PEEK q CLAIMED")[0].int("receipt");
            at - closed
        })
        .collect();
    at_once("a dead consumer's message is claimed by a waiter after", took);
}

#[test]
fn a_leaders_connection_that_closes_hands_over_to_a_standby_at_once() {
    let server = Server::start();
    let mut c = server.connect();
    let mut holder = Some(server.connect());
    let mut led = holder.as_mut().expect("a connection").leader("MQ.LEADER q c0 LEASE 3600000 SESSION");
    let took = (1..=10)
        .map(|n| {
            let standby = Waiter::spawn(&server, format!("MQ.LEADER q c{n} LEASE 3600000 BLOCK 0 SESSION"));
            c.int(format!("MQ.PUSH q FENCE {} SEQ generator {} MSG {n}", led.token, n - 1));
            let closed = close(&mut c, &mut holder, n % 2 == 0);
            let (next, at, conn) = standby.leader();
            holder = Some(conn);
            assert!(next.is(&format!("c{n}")) && next.token > led.token, "{next:?}");
            let late = format!("MQ.PUSH q FENCE {} SEQ generator {n} MSG late", led.token);
            assert!(c.refusal(late).starts_with("FENCED"));
            led = next;
            at - closed
        })
        .collect();
    at_once("a dead leader is followed by a standby after", took);
    assert_eq!(c.balanced("q").int("pushed"), 10);
}

#[test]
fn only_what_was_taken_with_session_ends_with_the_connection() {
    let server = Server::start();
    let mut c = server.connect();
    c.int("MQ.PUSH q MSG a b c");
    let mut holder = server.connect();
    let kept = holder.claim("MQ.CLAIM q w LEASE 3600000");
    holder.claim("MQ.CLAIM q w LEASE 3600000 SESSION");
    let token = holder.leader("MQ.LEADER q me LEASE 3600000").token;
    drop(holder);
    until("the session's claim has ended", || c.fields("MQ.INFO q").int("expired") == 1);
    assert_eq!(c.balanced("q").int("claimed"), 1);
    assert_eq!(c.int(format!("MQ.ACK q {}", kept.receipt)), 1);
    assert!(c.leader("MQ.LEADER q").is("me"));
    c.int(format!("MQ.PUSH q FENCE {token} MSG d"));
}

#[test]
fn another_connection_may_ack_and_extend_a_sessions_claim_but_not_outlive_it() {
    let server = Server::start();
    let mut c = server.connect();
    c.int("MQ.PUSH q MSG a b");
    let mut holder = server.connect();
    let claims = holder.claims("MQ.CLAIM q w COUNT 2 LEASE 60000 SESSION");
    assert_eq!(c.int(format!("MQ.ACK q {}", claims[0].receipt)), 1);
    assert_eq!(c.int(format!("MQ.EXTEND q 3600000 {}", claims[1].receipt)), 1);
    drop(holder);
    until("the claim has ended", || c.fields("MQ.INFO q").int("ready") == 1);
    assert_eq!(c.int(format!("MQ.ACK q {}", claims[1].receipt)), 0);
}

#[test]
fn a_leadership_follows_the_latest_connection_that_renewed_with_session() {
    let server = Server::start();
    let mut c = server.connect();
    let (mut one, mut two) = (server.connect(), server.connect());
    let token = one.leader("MQ.LEADER q me LEASE 3600000 SESSION").token;
    two.leader(format!("MQ.LEADER q me LEASE 3600000 SESSION TOKEN {token}"));
    // A renewal without SESSION moves nothing.
    c.leader("MQ.LEADER q me LEASE 3600000");
    let gone = one.int("CLIENT ID");
    drop(one);
    until("the first connection is gone", || !server.has_client(gone));
    c.int(format!("MQ.PUSH q FENCE {token} MSG a"));
    assert!(c.leader("MQ.LEADER q").is("me"));
    drop(two);
    until("the leadership has ended", || c.leader("MQ.LEADER q").leader.is_none());
    assert!(c.refusal(format!("MQ.PUSH q FENCE {token} MSG a")).starts_with("FENCED"));
}

#[test]
fn a_drainer_that_dies_loses_nothing() {
    let server = Server::start();
    let mut c = server.connect();
    c.int("MQ.PUSH q MSG a b");
    for claim in c.claims("MQ.CLAIM q w COUNT 2") {
        c.int(format!("MQ.FAIL q {}", claim.receipt));
    }
    let mut drainer = server.connect();
    assert_eq!(drainer.drained("MQ.DRAINERRORS q LEASE 3600000 SESSION").len(), 2);
    assert_eq!(c.drained("MQ.DRAINERRORS q"), []);
    drop(drainer);
    let mut again = Vec::new();
    until("the errors are back", || {
        again.extend(c.drained("MQ.DRAINERRORS q"));
        again.len() == 2
    });
    assert_eq!(c.balanced("q").int("drained"), 2);
}

#[test]
fn a_closed_session_counts_as_a_delivery_like_an_ended_lease() {
    let server = Server::start();
    let mut c = server.connect();
    c.ok("MQ.CONFIG q max-deliveries 1");
    c.int("MQ.PUSH q MSG a");
    server.connect().claim("MQ.CLAIM q crasher SESSION");
    until("it is dead", || c.fields("MQ.INFO q").int("dead") == 1);
    assert_eq!(c.drained("MQ.DRAINERRORS q")[0].reason, "max-deliveries");
}

#[test]
fn a_session_that_ends_inside_another_clients_transaction_is_taken_back_after_it() {
    let server = Server::builder().config("appendonly yes").start();
    let mut c = server.connect();
    c.int("MQ.PUSH q MSG a");
    let mut holder = server.connect();
    holder.claim("MQ.CLAIM q w LEASE 3600000 SESSION");
    holder.leader("MQ.LEADER q me LEASE 3600000 SESSION");
    let waiter = Waiter::spawn(&server, "MQ.CLAIM q waiter BLOCK 0");
    let standby = Waiter::spawn(&server, "MQ.LEADER q you BLOCK 0");
    let kill = format!("CLIENT KILL ID {}", holder.int("CLIENT ID"));
    c.exec(&["MQ.PUSH q DELAY 3600000 MSG b", &kill, "MQ.PUSH q DELAY 3600000 MSG c"]);
    assert_eq!(waiter.claims()[0].payload, "a");
    assert!(standby.leader().0.is("you"));
    c.balanced("q");
}

#[test]
fn a_client_that_kills_itself_in_a_transaction_leaves_no_claim() {
    let server = Server::start();
    let mut c = server.connect();
    c.int("MQ.PUSH q MSG a");
    let mut suicide = server.connect();
    let id = suicide.int("CLIENT ID");
    suicide.ok("MULTI");
    suicide.ok("MQ.CLAIM q w LEASE 3600000 SESSION");
    suicide.ok(format!("CLIENT KILL ID {id} SKIPME no"));
    let _ = suicide.call("EXEC");
    until("its claim has ended", || c.fields("MQ.INFO q").int("ready") == 1);
    c.balanced("q");
}

#[test]
fn a_session_that_ends_while_writes_are_paused_waits_for_the_end_of_the_pause() {
    // With a log and a replica, because it is their traffic that must rest.
    let server = Server::builder().config("appendonly yes").start();
    let replica = Server::builder().replica_of(&server);
    let mut c = server.connect();
    c.int("MQ.PUSH q MSG a");
    let mut holder = server.connect();
    let holders_id = holder.int("CLIENT ID");
    holder.claim("MQ.CLAIM q w LEASE 3600000 SESSION");
    let waiter = Waiter::spawn(&server, "MQ.CLAIM q waiter LEASE 3600000 BLOCK 0");
    replica.until_in_step_with(&server);
    let before = c.digest("q");
    c.ok("CLIENT PAUSE 60000 WRITE");
    drop(holder);
    until("the connection is gone", || !server.has_client(holders_id));
    assert_eq!(c.digest("q"), before, "nothing is written while writes are paused");
    assert!(waiter.waits());
    c.ok("CLIENT UNPAUSE");
    assert_eq!(waiter.claims()[0].deliveries, 2);
    until("the replica has it too", || replica.connect().digest("q") == c.digest("q"));
    c.balanced("q");
}

#[test]
fn a_lease_that_ends_while_writes_are_paused_waits_for_the_end_of_the_pause() {
    let server = Server::builder().config("appendonly yes").start();
    let mut c = server.connect();
    c.int("MQ.PUSH q MSG a");
    let receipt = c.claim("MQ.CLAIM q w LEASE 3600000").receipt;
    c.leader("MQ.LEADER q me LEASE 3600000");
    let waiter = Waiter::spawn(&server, "MQ.CLAIM q waiter COUNT 2 BLOCK 0");
    let standby = Waiter::spawn(&server, "MQ.LEADER q you BLOCK 0");
    // In one go, so that nothing ends before the pause begins.
    let extend = format!("MQ.EXTEND q 300 {receipt}");
    let all = [&extend, "MQ.PUSH q DELAY 300 MSG late", "MQ.LEADER q me LEASE 300", "CLIENT PAUSE 60000 WRITE"];
    assert!(c.pipeline(&all).expect("a whole connection").iter().all(Result::is_ok));
    until("all is over", || c.fields("MQ.INFO q").int("overdue") == 2);
    assert!(waiter.waits() && standby.waits());
    c.ok("CLIENT UNPAUSE");
    assert!(!waiter.claims().is_empty());
    assert!(standby.leader().0.is("you"));
}

#[test]
fn a_hundred_sessions_that_die_together_give_everything_back() {
    let server = Server::builder().config("appendonly yes").start();
    let mut c = server.connect();
    let mut push = vec!["MQ.PUSH", "q", "MSG"];
    push.resize(3 + 3000, "x");
    c.int(push);
    let holders: Vec<_> = (0..100)
        .map(|n| {
            let mut holder = server.connect();
            assert_eq!(holder.claims(format!("MQ.CLAIM q w{n} COUNT 30 LEASE 3600000 SESSION")).len(), 30);
            holder
        })
        .collect();
    assert_eq!(c.balanced("q").int("claimed"), 3000);
    c.int("CLIENT KILL TYPE normal SKIPME yes");
    until("all are ready", || c.fields("MQ.INFO q").int("ready") == 3000);
    assert_eq!(c.balanced("q").int("expired"), 3000);
    drop(holders);
}

#[test]
fn a_waiters_session_begins_with_the_claim_it_is_served() {
    let server = Server::start();
    let mut c = server.connect();
    let waiter = Waiter::spawn(&server, "MQ.CLAIM q w LEASE 3600000 BLOCK 0 SESSION");
    c.int("MQ.PUSH q MSG a");
    let (conn, claims, _) = waiter.answer();
    assert!(claims.is_ok());
    assert_eq!(c.balanced("q").int("claimed"), 1);
    drop(conn);
    until("the claim has ended", || c.fields("MQ.INFO q").int("ready") == 1);
}
