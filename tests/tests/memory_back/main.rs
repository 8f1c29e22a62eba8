//! Memory that a queue, a client or a name has needed comes back when it is needed no more, while the queue stays.
//!
//! Each shape grows a fresh server to a peak, works everything off, and closes its connections. What the server's memory is
//! above its start may then be a hundredth of the growth. `make memory` prints one row for each shape, then judges.
//!
//! `MQ_SHAPES` picks the shapes whose names contain it.

mod messages;
mod names;
mod stage;

use std::sync::atomic::{AtomicUsize, Ordering};

use stage::Stage;

/// The part of the growth that may stay, in per cent.
const LEFT_PERCENT: f64 = 1.0;

/// Growth that counts for one message, name or client of a shape: MQ needs no more for any of them. A server that needs more
/// for its own buffers and keys would hide what stays of ours.
const COUNTED_BYTES: i64 = 1 << 10;

/// What may stay of the smallest growth: a server's own tables and the buffers of an open connection, and an empty queue.
const NOISE_BYTES: i64 = 96 << 10;

/// One way to need much memory, for so many messages, names or clients.
struct Shape {
    name: &'static str,
    count: usize,
    run: fn(&mut Stage, usize),
}

const fn shape(name: &'static str, count: usize, run: fn(&mut Stage, usize)) -> Shape {
    Shape { name, count, run }
}

/// Size of each shape before it is measured.
const FIRST: usize = 100;

const MILLION: usize = 1_000_000;

const SHAPES: &[Shape] = &[
    shape("messages, acked", MILLION, messages::acked),
    shape("messages, all acked but one", MILLION, messages::acked_but_one),
    shape("messages with UNIQUE, acked", MILLION, |s, n| messages::with_keys(s, n, "UNIQUE")),
    shape("messages with UNIQUE, acked (fewer)", MILLION / 10, |s, n| messages::with_keys(s, n, "UNIQUE")),
    shape("messages with GROUP, acked", MILLION, |s, n| messages::with_keys(s, n, "GROUP")),
    shape("delayed messages, purged", MILLION, messages::delayed),
    shape("errors with a reason each, drained", MILLION, messages::errors),
    shape("consumers with a claim each, acked", MILLION, |s, n| names::consumers(s, n, "")),
    shape("consumers with a SESSION claim each, acked", MILLION, |s, n| names::consumers(s, n, "SESSION")),
    shape("queues of one session, deleted, it is open", MILLION / 10, names::open_session),
    shape("queues of one session, deleted, it has closed", MILLION / 10, names::closed_session),
    shape("queues on which CLAIM has waited", MILLION / 10, names::waited_for),
    shape("consumers that wait come and go", 10_000, |s, n| names::waiters(s, n, "MQ.CLAIM q w{n} BLOCK 0")),
    shape("standbys come and go", 10_000, |s, n| names::waiters(s, n, "MQ.LEADER q w{n} BLOCK 0")),
];

/// As many servers grow at once in [`memory_of_a_twentieth_comes_back`].
const AT_ONCE: usize = 4;

#[test]
fn memory_of_a_twentieth_comes_back() {
    let next = AtomicUsize::new(0);
    let work =
        || std::iter::from_fn(|| SHAPES.get(next.fetch_add(1, Ordering::Relaxed))).filter_map(|s| measure(s, 20));
    let kept = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(|| work().collect::<Vec<_>>())).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a shape that can be measured")).collect()
    });
    judge(kept);
}

#[test]
#[ignore = "minutes; `make memory`"]
fn memory_that_is_needed_no_more_comes_back() {
    println!("{:<60} {:>11} {:>11} {:>11}", "bytes", "before", "growth", "left");
    judge(SHAPES.iter().filter(|shape| wanted(shape.name)).filter_map(|shape| measure(shape, 1)).collect());
}

fn judge(kept: Vec<String>) {
    assert!(kept.is_empty(), "memory did not come back:\n{}", kept.join("\n"));
}

fn wanted(name: &str) -> bool {
    std::env::var("MQ_SHAPES").map_or(true, |part| name.contains(&part))
}

/// Measures a shape at a part of its size, and prints its row. Returns what it keeps if that is more than it may.
fn measure(shape: &Shape, part: usize) -> Option<String> {
    let count = shape.count / part;
    let name = format!("{count} {}", shape.name);
    let mut stage = Stage::new();
    // What a server and a queue allocate once, and keep, is not what is measured.
    (shape.run)(&mut stage, FIRST);
    let before = stage.before();
    (shape.run)(&mut stage, count);
    let growth = stage.peak() - before;
    let counted = growth.min(count as i64 * COUNTED_BYTES);
    let allowed = (counted as f64 * LEFT_PERCENT / 100.0) as i64 + NOISE_BYTES;
    let left = stage.after(before + NOISE_BYTES) - before;
    let percent = left as f64 / growth as f64 * 100.0;
    let mark = if left > allowed { "!" } else { "" };
    println!("{name:<60} {before:>11} {growth:>11} {left:>11} {percent:>5.1} % {mark}");
    (left > allowed).then(|| format!("{name}: {left} bytes of {growth}"))
}
