//! What MEMORY USAGE says of a queue is what the server's memory has grown by.

use mq_tests::{Conn, Server, skip, until};

/// 8 bytes a message.
const PAYLOAD: &str = "payload8";

fn words(head: &[&str], count: usize) -> Vec<String> {
    head.iter().map(ToString::to_string).chain((0..count).map(|_| PAYLOAD.to_owned())).collect()
}

fn push(c: &mut Conn, head: &[&str], count: usize) {
    for first in (0..count).step_by(500) {
        c.int(words(head, 500.min(count - first)));
    }
}

/// One message a command.
fn push_sized(c: &mut Conn, count: usize, bytes: usize) {
    let command = format!("MQ.PUSH q MSG {}", "x".repeat(bytes));
    for first in (0..count).step_by(500) {
        c.pipeline(&vec![&command; 500.min(count - first)]).expect("a whole connection");
    }
}

fn claim(c: &mut Conn, count: usize) -> Vec<i64> {
    let claims = |_| c.claims("MQ.CLAIM q worker COUNT 500 LEASE 100000000");
    (0..count.div_ceil(500)).flat_map(claims).map(|claim| claim.receipt).collect()
}

/// One command for each receipt.
fn settle(c: &mut Conn, count: usize, command: impl Fn(i64) -> String) {
    push(c, &["MQ.PUSH", "q", "MSG"], count);
    for receipts in claim(c, count).chunks(500) {
        let commands: Vec<String> = receipts.iter().map(|receipt| command(*receipt)).collect();
        c.pipeline(&commands).expect("a whole connection");
    }
}

/// Brings so many messages into one state.
type Fill = fn(&mut Conn, usize);

const STATES: [(&str, Fill); 10] = [
    ("ready", |c, n| push(c, &["MQ.PUSH", "q", "MSG"], n)),
    ("ready, 100 bytes", |c, n| push_sized(c, n, 100)),
    ("ready, 5000 bytes", |c, n| push_sized(c, n / 50, 5000)),
    ("delayed", |c, n| push(c, &["MQ.PUSH", "q", "DELAY", "100000000", "MSG"], n)),
    ("claimed", |c, n| {
        push(c, &["MQ.PUSH", "q", "MSG"], n);
        claim(c, n);
    }),
    ("errored", |c, n| settle(c, n, |receipt| format!("MQ.FAIL q {receipt} REASON some-reason"))),
    ("retried", |c, n| settle(c, n, |receipt| format!("MQ.FAIL q {receipt} RETRY 100000000"))),
    ("returned", |c, n| settle(c, n, |receipt| format!("MQ.RELEASE q {receipt}"))),
    ("grouped", |c, n| push(c, &["MQ.PUSH", "q", "GROUP", "g", "MSG"], n)),
    ("with a time to live", |c, n| push(c, &["MQ.PUSH", "q", "TTL", "100000000", "MSG"], n)),
];

#[test]
fn memory_usage_is_what_the_servers_memory_has_grown_by() {
    hold_memory_usage_to_the_servers(&[1_000]);
}

#[test]
#[ignore = "minutes; `make soak`"]
fn memory_usage_of_a_million_messages_is_what_the_servers_memory_has_grown_by() {
    hold_memory_usage_to_the_servers(&[1_000, 10_000, 100_000, 1_000_000]);
}

/// Within 5 %, in every state; prints what was found.
fn hold_memory_usage_to_the_servers(counts: &[usize]) {
    std::thread::scope(|scope| {
        STATES.chunks(STATES.len().div_ceil(2)).for_each(|states| drop(scope.spawn(|| hold_in_states(states, counts))));
    });
}

fn hold_in_states(states: &[(&str, Fill)], counts: &[usize]) {
    // The size classes are those of jemalloc, which Redis comes with.
    let server = Server::start();
    let mut c = server.connect();
    if !c.server_info("memory", "mem_allocator").starts_with("jemalloc") {
        skip!("no jemalloc, whose size classes are counted with");
    }
    for (state, fill) in states {
        for &count in counts {
            // A server's own buffers move by kilobytes, so that few messages are measured in many queues.
            let queues = 90_000_usize.div_ceil(count);
            let fill_all = |c: &mut Conn| {
                (0..queues).for_each(|n| {
                    fill(c, count);
                    c.ok(format!("RENAME q q{n}"));
                });
            };
            // Once for those buffers.
            fill_all(&mut c);
            c.ok("FLUSHALL SYNC");
            let before = c.server_count("memory", "used_memory");
            fill_all(&mut c);
            let grown = c.server_count("memory", "used_memory") - before;
            let said: i64 = (0..queues).map(|n| c.int(format!("MEMORY USAGE q{n} SAMPLES 0"))).sum();
            let off = (said - grown).abs() as f64 / grown as f64;
            let each = said as f64 / (count * queues) as f64;
            println!("{queues:>4} × {count:<8} {state:<20} {each:>6.1} B each, {:.1} % off", off * 100.0);
            assert!(off < 0.05, "{queues} × {count} {state}: {said} bytes said, {grown} grown");
            let one = c.int("MEMORY USAGE q0 SAMPLES 0");
            assert!((c.fields("MQ.INFO q0").int("memory-bytes") - one).abs() < 1000, "INFO says the same");
            c.ok("FLUSHALL SYNC");
        }
    }
}

#[test]
fn active_defragmentation_moves_a_queue_and_changes_nothing() {
    let server = Server::builder()
        .config("active-defrag-ignore-bytes 1kb")
        .config("active-defrag-threshold-lower 1")
        .config("active-defrag-cycle-min 40")
        .config("active-defrag-cycle-max 60")
        .config("hz 100")
        .start();
    let mut c = server.connect();
    if c.call("CONFIG SET activedefrag yes").is_err() {
        skip!("no active defragmentation: the server was built with another jemalloc than its own");
    }
    c.ok("CONFIG SET activedefrag no");
    // Segments of two queues in turn; then one goes.
    for _ in 0..400 {
        push(&mut c, &["MQ.PUSH", "q", "MSG"], 500);
        push(&mut c, &["MQ.PUSH", "other", "MSG"], 500);
    }
    claim(&mut c, 5000);
    let digest = c.digest("q");
    c.int("DEL other");
    c.ok("CONFIG SET activedefrag yes");
    until("much was moved", || c.server_count("stats", "active_defrag_hits") > 200);
    assert!(c.server_count("stats", "active_defrag_key_hits") > 0);
    c.ok("CONFIG SET activedefrag no");
    assert_eq!(c.digest("q"), digest);
    assert_eq!(claim(&mut c, 5000).len(), 5000);
    assert_eq!(c.int("MQ.PURGE q READY COUNT 100000"), 100_000);
    c.balanced("q");
    c.ok("DEBUG RELOAD");
}
