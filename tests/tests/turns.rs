//! Everybody gets a turn: a waiter in time, whoever else has much to do, and nobody who has nothing to do any more.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use mq_tests::{Conn, Crowd, Pings, Server, Waiter, migrate, patience, two_nodes, until};

/// How long a server is watched to see whether it rests.
const WATCHED: Duration = Duration::from_millis(500);

/// How often a server at rest asks itself in that time whether it may write: not at all, but for what has just ended.
const PROBES_AT_REST: i64 = 5;

/// How often a server at rest goes back to sleep in that time: some ten times a second, and more often as a node of a cluster.
/// One whose timer goes on does so nearly a thousand times a second.
const SLEEPS_AT_REST: i64 = 100;

/// The messages that are waited for are delayed by so much at least.
const DELAY: Duration = Duration::from_millis(100);

/// How late they may come. The promise is milliseconds.
const IN_TIME: Duration = Duration::from_millis(300);

/// How often the server's main thread has gone to sleep. `None`: this system does not tell.
fn sleeps(c: &mut Conn) -> Option<i64> {
    let status = fs::read_to_string(format!("/proc/{}/status", c.server_count("server", "process_id"))).ok()?;
    status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?.trim().parse().ok()
}

/// Returns when the module does nothing by itself any more.
#[track_caller]
fn until_at_rest(server: &Server) {
    let mut c = server.connect();
    let mut watch = || (c.command_count("mq.apply", "calls"), sleeps(&mut c).unwrap_or_default());
    until("the module is at rest", || {
        let before = watch();
        thread::sleep(WATCHED);
        let after = watch();
        after.0 - before.0 <= PROBES_AT_REST && after.1 - before.1 <= SLEEPS_AT_REST
    });
}

/// Consumers that wait for queues whose names come before and after all others', and what tells how busy the machine is.
struct Consumers {
    waiting: Vec<(Waiter, String)>,
    pings: Pings,
}

impl Consumers {
    fn spawn(server: &Server) -> Self {
        let queues = (0..10).flat_map(|n| [format!("a{n}"), format!("z{n}")]);
        let wait = |q: String| (Waiter::spawn(server, format!("MQ.CLAIM {q} w LEASE 3600000 BLOCK 0")), q);
        Self { waiting: queues.map(wait).collect(), pings: Pings::start(env!("CARGO_BIN_EXE_ping"), server) }
    }

    /// Each of them gets a delayed message in time. They become due one after the other, for there may be moments at which a
    /// turn is easily had.
    #[track_caller]
    fn are_served_in_time(self, c: &mut Conn) {
        let delays = (0..).map(|n| DELAY + Duration::from_millis(n));
        let waiting: Vec<_> = self.waiting.into_iter().zip(delays).collect();
        let push = waiting.iter().map(|((_, q), delay)| format!("MQ.PUSH {q} DELAY {} MSG a", delay.as_millis()));
        let push: Vec<String> = push.collect();
        let pushed = Instant::now();
        assert!(c.pipeline(&push).expect("a whole connection").iter().all(Result::is_ok));
        let late = waiting.into_iter().map(|((waiter, q), delay)| {
            let (_conn, answer, at) = waiter.answer();
            assert!(answer.is_ok(), "{q}: {answer:?}");
            ((at - pushed).saturating_sub(delay), q)
        });
        let (worst, q) = late.max().expect("somebody waits");
        let stall = self.pings.end();
        println!("{worst:?} late at worst: {q}; {stall:?}");
        // While the machine ran something else, nobody was served.
        let elsewhere = stall.worst.saturating_sub(stall.at_work);
        assert!(worst < IN_TIME * patience() + elsewhere, "{q}: {worst:?} late; {stall:?}");
    }
}

fn push_many(c: &mut Conn, push: &str, count: usize) {
    let words: Vec<&str> = push.split(' ').chain(std::iter::repeat_n("x", count)).collect();
    c.int(words);
}

/// Leads these queues by connections that close after the leases are over.
fn lead_too_long(server: &Server, queues: &[String]) {
    let mut holder = server.connect();
    let lead = |q: &String| format!("MQ.LEADER {q} me LEASE 50 SESSION");
    let led = holder.pipeline(&queues.iter().map(lead).collect::<Vec<_>>()).expect("a whole connection");
    assert!(led.iter().all(Result::is_ok));
    let over = holder.clock_ms() + 60;
    until("the leases are over", || holder.clock_ms() > over);
    let id = holder.int("CLIENT ID");
    drop(holder);
    until("the connection is gone", || !server.has_client(id));
}

#[test]
fn a_connection_that_closes_after_its_lease_was_over_leaves_nothing_to_do() {
    let server = Server::start();
    lead_too_long(&server, &["q".to_owned()]);
    until_at_rest(&server);
    assert!(server.connect().leader("MQ.LEADER q").leader.is_none());
}

#[test]
fn connections_that_close_after_their_leases_were_over_keep_no_waiter_of_another_queue_waiting() {
    let server = Server::start();
    let mut c = server.connect();
    let consumers = Consumers::spawn(&server);
    lead_too_long(&server, &(0..300).map(|n| format!("led{n}")).collect::<Vec<_>>());
    consumers.are_served_in_time(&mut c);
    until_at_rest(&server);
}

#[test]
fn what_a_closed_connection_held_in_a_slot_that_has_moved_is_forgotten() {
    let nodes = two_nodes();
    nodes[0].connect().int("MQ.PUSH q MSG a");
    let mut holder = nodes[0].connect();
    holder.claim("MQ.CLAIM q w LEASE 3600000 SESSION");
    holder.leader("MQ.LEADER q me LEASE 3600000 SESSION");
    migrate(&nodes, "q");
    drop(holder);
    until_at_rest(&nodes[0]);
    // The first write there is the end of every session that was held here.
    let mut there = nodes[1].connect();
    there.int("MQ.PUSH q MSG b");
    assert_eq!(there.claims("MQ.CLAIM q w COUNT 2").len(), 2);
    assert!(there.leader("MQ.LEADER q").leader.is_none());
    there.balanced("q");
}

/// Works off some 500 claims a millisecond, for more than a second in all.
#[test]
fn hundreds_of_thousands_of_claims_that_end_with_their_connections_keep_no_waiter_of_another_queue_waiting() {
    const CLAIMS: usize = 3000;
    let server = Server::start();
    let mut c = server.connect();
    let holders: Vec<Conn> = (0..200)
        .map(|n| {
            push_many(&mut c, &format!("MQ.PUSH held{n} MSG"), CLAIMS);
            let mut holder = server.connect();
            let claims = holder.claims(format!("MQ.CLAIM held{n} w COUNT {CLAIMS} LEASE 3600000 SESSION"));
            assert_eq!(claims.len(), CLAIMS);
            holder
        })
        .collect();
    let consumers = Consumers::spawn(&server);
    drop(holders);
    let theirs = consumers.waiting.len() as i64;
    consumers.are_served_in_time(&mut c);
    assert!(c.server_count("mq", "mq_claimed") > theirs, "all the claims had ended before");
    until("all the claims have ended", || c.server_count("mq", "mq_claimed") == theirs);
}

/// Works off some 500 delays a millisecond, for more than a second in all.
#[test]
fn queues_with_waiters_and_hundreds_of_thousands_of_due_delays_keep_no_waiter_of_another_queue_waiting() {
    const QUEUES: usize = 40;
    let server = Server::start();
    let mut c = server.connect();
    for n in 0..QUEUES {
        c.ok(format!("MQ.CONFIG delays{n} paused yes"));
        // They are due at once, and left alone until somebody waits.
        push_many(&mut c, &format!("MQ.PUSH delays{n} DELAY 1 MSG"), 15_000);
    }
    let consumers = Consumers::spawn(&server);
    let crowd = Crowd::send(&server, QUEUES, |n| format!("MQ.CLAIM delays{n} w BLOCK 0"));
    consumers.are_served_in_time(&mut c);
    assert!(c.server_count("mq", "mq_delayed") > 0, "all the delays had ended before");
    until("all the delays have ended", || c.server_count("mq", "mq_delayed") == 0);
    assert_eq!(server.blocked_clients(), crowd.len() as i64);
}
