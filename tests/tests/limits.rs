//! Many messages, much memory, bounded work.

use std::time::Instant;

use mq_tests::{Conn, Server, Waiter, until};

/// How many messages [`fill`] makes.
const MANY: usize = 500_000;

fn fill(c: &mut Conn, queue: &str) {
    let batch = ["MQ.PUSH", queue, "MSG"]
        .into_iter()
        .chain(std::iter::repeat_n("payload-of-20-bytes.", 5000))
        .collect::<Vec<_>>();
    for _ in 0..MANY / 5000 {
        c.int(batch.as_slice());
    }
}

fn used(c: &mut Conn) -> i64 {
    c.server_count("memory", "used_memory")
}

#[test]
fn the_memory_of_a_queue_is_known_and_comes_back_when_it_goes() {
    let server = Server::start();
    let mut c = server.connect();
    let before = used(&mut c);
    for go in ["DEL q", "UNLINK q", "FLUSHALL ASYNC", "FLUSHALL SYNC"] {
        fill(&mut c, "q");
        let grown = used(&mut c) - before;
        let stated = [c.balanced("q").int("memory-bytes"), c.int("MEMORY USAGE q")];
        for bytes in stated {
            assert!((grown * 7 / 10..=grown * 13 / 10).contains(&bytes), "{bytes} of {grown}");
        }
        assert!(grown < 60 * MANY as i64, "{grown} bytes for {MANY} messages of 20 bytes");
        let asked = Instant::now();
        c.ok(go);
        println!("{go}: {:?}", asked.elapsed());
        until(&format!("{go} gives the memory back"), || used(&mut c) - before < 4 << 20);
    }
}

#[test]
fn acked_messages_leave_nothing_behind() {
    let server = Server::start();
    let mut c = server.connect();
    let before = used(&mut c);
    fill(&mut c, "q");
    loop {
        let receipts: Vec<_> =
            c.claims("MQ.CLAIM q w COUNT 20000").iter().map(|claim| claim.receipt.to_string()).collect();
        if receipts.is_empty() {
            break;
        }
        let ack: Vec<&str> = ["MQ.ACK", "q"].into_iter().chain(receipts.iter().map(String::as_str)).collect();
        assert_eq!(c.int(ack), receipts.len() as i64);
    }
    assert_eq!(c.balanced("q").int("acked"), MANY as i64);
    until("the memory is back", || used(&mut c) - before < 4 << 20);
    assert!(c.fields("MQ.INFO q").int("memory-bytes") < 1 << 20);
}

#[test]
fn a_queue_with_waiters_may_be_unlinked() {
    let server = Server::start();
    let mut c = server.connect();
    fill(&mut c, "q");
    c.ok("MQ.CONFIG q paused yes");
    let waiters: Vec<_> = (0..20).map(|n| Waiter::spawn(&server, format!("MQ.CLAIM q w{n} BLOCK 0"))).collect();
    c.int("UNLINK q");
    assert_eq!(server.blocked_clients(), 20);
    let mut push = vec!["MQ.PUSH", "q", "MSG"];
    push.resize(3 + 20, "x");
    c.int(push);
    for waiter in waiters {
        assert_eq!(waiter.claims().len(), 1);
    }
}

#[test]
fn a_write_takes_back_a_bounded_number_and_the_timer_does_the_rest() {
    let server = Server::start();
    let mut c = server.connect();
    let mut push = vec!["MQ.PUSH", "q", "MSG"];
    push.resize(3 + 5000, "x");
    c.int(push);
    assert_eq!(c.claims("MQ.CLAIM q w COUNT 5000 LEASE 100").len(), 5000);
    until("all are over", || c.fields("MQ.INFO q").int("overdue") == 5000 || c.fields("MQ.INFO q").int("expired") > 0);
    let answers = c.pipeline(&["MQ.PUSH q MSG y", "MQ.INFO q"]).expect("a whole connection");
    assert!(answers.iter().all(Result::is_ok));
    until("the timer has done all but a write's worth", || c.fields("MQ.INFO q").int("expired") >= 4000);
    let info = c.balanced("q");
    assert!(info.int("overdue") <= 1000, "{info:?}");
    assert_eq!(info.int("expired") + info.int("overdue"), 5000);
}

#[test]
fn who_waits_sends_nothing_while_another_queues_claim_ends() {
    let server = Server::start();
    let waiters: Vec<_> = (0..200).map(|_| Waiter::send(server.connect(), "MQ.CLAIM q w BLOCK 0")).collect();
    server.until_blocked(200);
    let mut c = server.connect();
    c.int("MQ.PUSH other MSG a");
    c.claim("MQ.CLAIM other w LEASE 200");
    let commands = c.server_count("stats", "total_commands_processed");
    let late = Waiter::send(server.connect(), "MQ.CLAIM other waiter BLOCK 0");
    assert_eq!(late.claims().len(), 1);
    let asked = c.server_count("stats", "total_commands_processed") - commands;
    // The one waiter's own few, and the test's look at INFO.
    assert!(asked < 40, "{asked} commands while 200 waited");
    drop(server);
    drop(waiters);
}
