//! What messages need, and leave when they are done.

use mq_tests::{BATCH, Bulk};

use crate::stage::Stage;

fn push(bulk: &mut Bulk, options: &str, count: usize) {
    bulk.push(&format!("MQ.PUSH q {options} MSG"), count, "payload8");
}

pub fn acked(stage: &mut Stage, count: usize) {
    let mut bulk = Bulk::open(&stage.server);
    push(&mut bulk, "", count);
    let receipts = bulk.receipts(&mut stage.c, "q", count);
    stage.at_peak();
    bulk.send_numbers("MQ.ACK q", receipts);
    stage.expect_nothing_is_left();
}

/// The one in the middle stays, and is done when the shape runs again.
pub fn acked_but_one(stage: &mut Stage, count: usize) {
    let mut bulk = Bulk::open(&stage.server);
    stage.c.int("MQ.PURGE q READY");
    push(&mut bulk, "", count);
    let receipts = bulk.receipts(&mut stage.c, "q", count);
    stage.at_peak();
    let one = receipts.start + count as i64 / 2;
    stage.c.int(format!("MQ.RELEASE q {one}"));
    bulk.send_numbers("MQ.ACK q", receipts);
    stage.expect("mq_ready", 1);
    stage.expect("mq_claimed", 0);
}

/// Each message has a key of its own.
pub fn with_keys(stage: &mut Stage, count: usize, option: &str) {
    let mut bulk = Bulk::open(&stage.server);
    for n in 0..count {
        bulk.send(&format!("MQ.PUSH q {option} key-{n} MSG payload8"));
    }
    bulk.done();
    let receipts = bulk.receipts(&mut stage.c, "q", count);
    stage.expect("mq_claimed", count);
    stage.at_peak();
    bulk.send_numbers("MQ.ACK q", receipts);
    stage.expect_nothing_is_left();
}

pub fn delayed(stage: &mut Stage, count: usize) {
    let mut bulk = Bulk::open(&stage.server);
    push(&mut bulk, "DELAY 600000", count);
    stage.expect("mq_delayed", count);
    stage.at_peak();
    in_batches(&mut bulk, count, BATCH, "MQ.PURGE q DELAYED");
    stage.expect_nothing_is_left();
}

/// Each error has a reason of its own.
pub fn errors(stage: &mut Stage, count: usize) {
    let mut bulk = Bulk::open(&stage.server);
    push(&mut bulk, "", count);
    for receipt in bulk.receipts(&mut stage.c, "q", count) {
        bulk.send(&format!("MQ.FAIL q {receipt} REASON the-reason-of-{receipt}"));
    }
    bulk.done();
    stage.expect("mq_errors", count);
    stage.at_peak();
    in_batches(&mut bulk, count, LARGEST_DRAIN.min(BATCH), "MQ.DRAINERRORS q");
    stage.expect_nothing_is_left();
}

/// The largest COUNT of MQ.DRAINERRORS.
const LARGEST_DRAIN: usize = 5000;

fn in_batches(bulk: &mut Bulk, count: usize, batch: usize, line: &str) {
    for _ in 0..count.div_ceil(batch) {
        bulk.send(&format!("{line} COUNT {batch}"));
    }
    bulk.done();
}
