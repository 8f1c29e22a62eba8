//! How long one turn of the server keeps its other clients waiting, in the worst shapes that a queue can have.
//!
//! A process of its own sends a PING each millisecond while the server works off the shape. `make stalls` prints one row for
//! each shape, then judges: in a shape with a bound the server may not be at work for longer than that while a PING waits.
//!
//! | variable | default | |
//! |---|---|---|
//! | `MQ_SHAPES` | all | only the shapes whose names contain this |
//! | `MQ_ROUNDS` | 1 | each shape is measured so often on fresh servers; the smallest times count |
//! | `MQ_PATIENCE` | 1 | the bounds are so many times longer |

mod commands;
mod due;
mod stage;

use std::time::Duration;

use mq_tests::{Stall, clients_at_most, patience};
use stage::Stage;

/// Longest time for which one turn may keep the server from its other clients: a tenth of what a client notices, and far
/// above what this test's own processes cause.
const BOUND: Option<Duration> = Some(Duration::from_millis(10));

/// Shapes that are only printed: the server's own part of them is longer than the bound.
const PRINTED: Option<Duration> = None;

/// One way to give the server much to do.
struct Shape {
    name: &'static str,
    bound: Option<Duration>,
    run: fn(&mut Stage) -> Stall,
}

const fn shape(name: &'static str, bound: Option<Duration>, run: fn(&mut Stage) -> Stall) -> Shape {
    Shape { name, bound, run }
}

const SHAPES: &[Shape] = &[
    shape("an idle server", PRINTED, stage::idle),
    shape("1,000,000 delays due at once, 1,000 consumers wait", BOUND, |s| due::delays(s, 1, 1000)),
    shape("1,000,000 delays due at once, a PUSH each ms", BOUND, |s| due::delays(s, 1, 0)),
    shape("4 × 1,000,000 delays due at once, 1,000 consumers wait", BOUND, |s| due::delays(s, 4, 1000)),
    shape("a session of 1,000,000 claims closes, 1,000 consumers wait", BOUND, |s| due::dying_session(s, 1000)),
    shape("a session of 1,000,000 claims closes, no consumer waits", BOUND, |s| due::dying_session(s, 0)),
    shape("1,000,000 leases end with UNIQUE and GROUP, all dead, 1,000 consumers wait", BOUND, due::dead_letters),
    shape("10 × 100,000 TTLs end, 1,000 consumers wait for paused queues", BOUND, due::times_to_live),
    shape("the first write after a restart ends 1,000,000 session claims", BOUND, due::restart),
    shape("REDRIVE of 300,000 errors", BOUND, |s| commands::on_errors(s, 300_000, 1, "MQ.REDRIVE q")),
    shape("REDRIVE COUNT 25000", BOUND, |s| commands::on_errors(s, 300_000, 10, "MQ.REDRIVE q COUNT 25000")),
    shape("REDRIVE ID with 10,000 ids", BOUND, |s| commands::by_id(s, 10, "MQ.REDRIVE q ID", commands::errors)),
    shape("DRAINERRORS LEASE of 290,000 errors", BOUND, |s| {
        commands::on_errors(s, 290_000, 1, "MQ.DRAINERRORS q LEASE 600000")
    }),
    shape("DRAINERRORS COUNT 5000", BOUND, |s| commands::on_errors(s, 100_000, 20, "MQ.DRAINERRORS q COUNT 5000")),
    shape("DRAINERRORS COUNT 5000 LEASE", BOUND, |s| {
        commands::on_errors(s, 100_000, 20, "MQ.DRAINERRORS q COUNT 5000 LEASE 600000")
    }),
    shape("PEEK ID with 10,000 ids of 100 bytes", BOUND, |s| {
        commands::by_id(s, 20, "MQ.PEEK q ID", commands::messages)
    }),
    shape("PEEK ERRORS COUNT 1000", BOUND, |s| commands::on_errors(s, 100_000, 20, "MQ.PEEK q ERRORS COUNT 1000")),
    shape("INFO CONSUMERS with 100,000 consumers", BOUND, commands::info_of_consumers),
    shape("INFO with 1,000,000 overdue delays", BOUND, commands::info_of_overdue),
    shape("10,000 standbys of one name are told that they lead", BOUND, due::standbys),
    shape("PUSH of 10,000 payloads of 100 bytes", BOUND, commands::push),
    shape("CLAIM COUNT 10000", BOUND, |s| commands::on_messages(s, 20, "MQ.CLAIM q w COUNT 10000")),
    shape("ACK of 10,000", BOUND, |s| commands::by_receipt(s, "MQ.ACK q")),
    shape("RELEASE of 10,000", BOUND, |s| commands::by_receipt(s, "MQ.RELEASE q")),
    shape("EXTEND of 10,000", BOUND, |s| commands::by_receipt(s, "MQ.EXTEND q 900000")),
    shape("REMOVE of 10,000", BOUND, |s| commands::by_id(s, 20, "MQ.REMOVE q", commands::messages)),
    shape("PURGE READY with the largest COUNT", BOUND, |s| commands::purge(s, "READY")),
    shape("PURGE DELAYED with the largest COUNT", BOUND, |s| commands::purge(s, "DELAYED")),
    shape("PURGE ERRORS with the largest COUNT", BOUND, |s| commands::purge(s, "ERRORS")),
    shape("FLUSHALL SYNC of 1,000,000 queues with one message", PRINTED, |s| commands::flush(s, "MQ.PUSH q{n} MSG m")),
    shape("FLUSHALL SYNC of 1,000,000 lists with one element", PRINTED, |s| commands::flush(s, "LPUSH q{n} m")),
];

#[test]
#[ignore = "minutes; `make stalls`"]
fn no_turn_keeps_the_server_from_its_other_clients_for_long() {
    // Above all the servers that are started here need it.
    let _ = clients_at_most(stage::CLIENTS);
    println!("{:<78} {:>9} {:>9} {:>9} {:>9}", "milliseconds", "worst", "at work", "99.9 %", "99 %");
    let late: Vec<_> = SHAPES.iter().filter(|shape| wanted(shape.name)).filter_map(measure).collect();
    assert!(late.is_empty(), "the server was at work for too long while a PING waited:\n{}", late.join("\n"));
}

fn wanted(name: &str) -> bool {
    std::env::var("MQ_SHAPES").map_or(true, |part| name.contains(&part))
}

/// Prints the row of a shape, and returns its name if it is beyond its bound.
fn measure(shape: &Shape) -> Option<&'static str> {
    let rounds = std::env::var("MQ_ROUNDS").map_or(1, |rounds| rounds.parse().expect("MQ_ROUNDS is a number"));
    let mut notes = Vec::new();
    let stalls = (0..rounds).map(|_| {
        let mut stage = Stage::new();
        let stall = (shape.run)(&mut stage);
        notes = stage.notes();
        stall
    });
    let stall = stalls.reduce(Stall::min).expect("MQ_ROUNDS is not 0");
    let bound = shape.bound.map(|bound| bound * patience());
    let is_late = bound.is_some_and(|bound| stall.at_work > bound);
    let [worst, at_work, p999, p99] =
        [stall.worst, stall.at_work, stall.p999, stall.p99].map(|time| time.as_secs_f64() * 1000.0);
    let mark = if is_late { "!" } else { "" };
    println!("{:<78} {worst:>9.1} {at_work:>9.1} {p999:>9.1} {p99:>9.1} {mark} {}", shape.name, notes.join("; "));
    is_late.then_some(shape.name)
}
