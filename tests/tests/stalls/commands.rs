//! Shapes of one large command.

use std::ops::Range;

use mq_tests::{BATCH, Stall};

use crate::{
    due::push_delayed,
    stage::{Due, MILLION, Stage},
};

/// A payload of 100 bytes.
const HUNDRED: &str =
    "----------------------------------------------------------------------------------------------------";

/// Messages of the shapes whose command takes ten thousand of them, so that it can be sent twenty times.
const MANY: usize = 20 * BATCH;

/// Pushes `count` messages, and returns their ids.
pub fn messages(stage: &mut Stage, count: usize) -> Range<i64> {
    let first = stage.c.int(["MQ.PUSH", "q", "MSG", HUNDRED]);
    stage.bulk.push("MQ.PUSH q MSG", count - 1, HUNDRED);
    stage.expect("mq_ready", count);
    first..first + count as i64
}

/// Makes `count` errors, and returns their ids.
pub fn errors(stage: &mut Stage, count: usize) -> Range<i64> {
    let first = stage.c.int("MQ.PUSH q MSG payload8");
    stage.push("q", "", count - 1);
    for receipt in stage.receipts(count) {
        stage.bulk.send(&format!("MQ.FAIL q {receipt} REASON some-reason"));
    }
    stage.bulk.done();
    stage.expect("mq_errors", count);
    first..first + count as i64
}

/// A command sent several times to a queue with many errors.
pub fn on_errors(stage: &mut Stage, count: usize, times: usize, line: &str) -> Stall {
    errors(stage, count);
    stage.measure(times, |bulk, _| bulk.ask(line))
}

/// A command sent several times to a queue with many messages.
pub fn on_messages(stage: &mut Stage, times: usize, line: &str) -> Stall {
    messages(stage, MANY);
    stage.measure(times, |bulk, _| bulk.ask(line))
}

/// A command that names ten thousand ids, each time others.
pub fn by_id(stage: &mut Stage, times: usize, line: &str, make: fn(&mut Stage, usize) -> Range<i64>) -> Stall {
    let ids = make(stage, times * BATCH);
    stage.measure(times, |bulk, n| bulk.ask_with(line, slice(&ids, n)))
}

/// A command that names ten thousand receipts, each time others.
pub fn by_receipt(stage: &mut Stage, line: &str) -> Stall {
    messages(stage, MANY);
    let receipts = stage.receipts(MANY);
    stage.measure(MANY / BATCH, |bulk, n| bulk.ask_with(line, slice(&receipts, n)))
}

/// The `n`-th ten thousand.
fn slice(numbers: &Range<i64>, n: usize) -> impl ExactSizeIterator<Item = i64> + use<> {
    let first = numbers.start + (n * BATCH) as i64;
    (0..BATCH).map(move |offset| first + offset as i64)
}

pub fn push(stage: &mut Stage) -> Stall {
    stage.measure(20, |bulk, _| bulk.ask_with("MQ.PUSH q MSG", std::iter::repeat_n(HUNDRED, BATCH)))
}

/// A hundred thousand consumers with one claim each.
pub fn info_of_consumers(stage: &mut Stage) -> Stall {
    stage.push("q", "", 100_000);
    for n in 0..100_000 {
        stage.bulk.send(&format!("MQ.CLAIM q consumer-{n}"));
    }
    stage.bulk.done();
    stage.expect("mq_claimed", 100_000);
    stage.measure(10, |bulk, _| bulk.ask("MQ.INFO q CONSUMERS"))
}

/// A million delays that are over, and no write has taken notice.
pub fn info_of_overdue(stage: &mut Stage) -> Stall {
    let due = Due::in_seconds(4);
    push_delayed(stage, "q", due);
    due.wait();
    stage.measure(10, |bulk, _| bulk.ask("MQ.INFO q"))
}

/// The largest COUNT that is accepted, ten times: on a busy machine the PINGs may miss a short command.
pub fn purge(stage: &mut Stage, state: &str) -> Stall {
    match state {
        "ERRORS" => drop(errors(stage, MILLION)),
        "DELAYED" => stage.push("q", "DELAY 600000", MILLION),
        _ => stage.push("q", "", MILLION),
    }
    stage.measure(10, |bulk, _| {
        let [larger, smaller] = [100_000, 25_000].map(|count| format!("MQ.PURGE q {state} COUNT {count}"));
        bulk.ask(&larger).or_else(|_| bulk.ask(&smaller))
    })
}

/// A million keys, each made by `line` with its number for `{n}`.
pub fn flush(stage: &mut Stage, line: &str) -> Stall {
    for n in 0..MILLION {
        stage.bulk.send(&line.replace("{n}", &n.to_string()));
    }
    stage.bulk.done();
    assert_eq!(stage.c.int("DBSIZE"), MILLION as i64);
    stage.measure(1, |bulk, _| bulk.ask("FLUSHALL SYNC"))
}
