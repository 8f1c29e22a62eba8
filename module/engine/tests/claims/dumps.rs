//! Saved queues, whole and damaged.

use crate::bench::{chunks, claim, load, plain, varied};
use mq_engine::operations::*;
use mq_engine::*;

#[test]
fn a_saved_queue_cut_short_anywhere_is_refused() {
    let whole = chunks(&varied().queue);
    assert_eq!(chunks(&load(&whole).unwrap()), whole);
    for kept in 0..whole.len() {
        assert!(load(&whole[..kept]).is_err(), "{kept} chunks");
    }
    for index in 0..whole.len() - 1 {
        for length in 0..whole[index].len() {
            let mut cut = whole.clone();
            cut[index].truncate(length);
            assert!(load(&cut).is_err(), "chunk {index} cut to {length} bytes");
        }
    }
}

#[test]
fn whatever_loads_of_a_damaged_queue_is_a_valid_queue() {
    let whole = chunks(&varied().queue);
    let mut loaded = 0;
    for index in 0..whole.len() {
        for at in 0..whole[index].len() {
            for value in [0, 1, 0x7f, 0x80, 0xff, whole[index][at] ^ 1, whole[index][at].wrapping_add(1)] {
                let mut damaged = whole.clone();
                damaged[index][at] = value;
                let Ok(mut queue) = load(&damaged) else { continue };
                loaded += 1;
                queue.check_invariants().unwrap_or_else(|broken| panic!("chunk {index} byte {at} = {value}: {broken}"));
                use_every_operation(&mut queue);
            }
        }
    }
    assert!(loaded > 500, "only {loaded} damaged queues loaded: the test shows little");
}

fn use_every_operation(queue: &mut Queue) {
    let moment = Moment::at(Time(2_000_000));
    let _ = queue.execute(&plain(&[b"more"]), moment);
    if let Ok(claimed) = queue.execute(&claim(20, 10, None), moment) {
        for delivery in &claimed.output.deliveries {
            let _ = queue.payload(delivery);
            let _ = queue.execute(&Fail { receipt: delivery.receipt, retry: None, reason: b"r" }, moment);
        }
    }
    let _ = queue.execute(&Redrive::Count(1), moment);
    let _ = queue.execute(&DrainErrors { count: usize::MAX, lease: None, session: None }, moment);
    let _ = queue.execute(&EndSession { session: SessionId(3) }, moment);
    queue.check_invariants().expect("a loaded queue stays valid");
}
