//! What the engine promises, one claim a test, with a given `now`.
#![allow(missing_docs)]

mod bench;
mod due;
mod dumps;
mod records;

use bench::{Bench, chunks, plain};
use mq_engine::operations::*;
use mq_engine::*;

#[test]
fn an_ack_after_the_lease_is_refused_and_the_message_is_delivered_again() {
    let mut bench = Bench::new();
    bench.push(&[b"a"]);
    let first = bench.claim(1, 100)[0];
    bench.now += 100;
    assert_eq!(bench.run(&Ack { receipts: &[first.receipt] }), 0);
    let second = bench.claim(1, 100)[0];
    assert_eq!((second.id, second.deliveries), (first.id, 2));
    assert!(second.receipt > first.receipt);
    assert_eq!(bench.run(&Ack { receipts: &[first.receipt, second.receipt] }), 1);
}

#[test]
fn returned_messages_come_before_fresh_ones_and_high_priorities_before_all() {
    let mut bench = Bench::new();
    bench.push(&[b"1", b"2", b"3"]);
    let taken = bench.claim(2, 1000);
    bench.run(&Push { priority: Priority(7), ..plain(&[b"urgent"]) });
    bench.run(&Release { receipts: &[taken[1].receipt, taken[0].receipt] });
    let order: Vec<Vec<u8>> =
        bench.claim(9, 1000).iter().map(|delivery| bench.queue.payload(delivery).to_vec()).collect();
    assert_eq!(order, [&b"urgent"[..], b"1", b"2", b"3"]);
}

#[test]
fn a_message_whose_last_delivery_ends_goes_to_the_error_store() {
    let mut bench = Bench::configured(&[Setting::MaxDeliveries(2)]);
    bench.push(&[b"poison"]);
    for _ in 0..2 {
        assert_eq!(bench.claim(1, 10).len(), 1);
        bench.now += 10;
    }
    assert!(bench.claim(1, 10).is_empty());
    let drained = bench.run(&DrainErrors { count: usize::MAX, lease: None, session: None });
    assert_eq!(drained.len(), 1);
    assert_eq!((&drained[0].reason[..], drained[0].deliveries), (MAX_DELIVERIES_REASON, 2));
    assert_eq!(bench.queue.info(Time(bench.now)).totals.dead, 1);
}

#[test]
fn a_refused_push_does_no_due_work() {
    let mut bench = Bench::configured(&[Setting::MaxLength(1)]);
    bench.push(&[b"a"]);
    bench.claim(1, 10);
    bench.now += 10;
    let before = chunks(&bench.queue);
    assert_eq!(bench.try_run(&plain(&[b"b"])).unwrap_err(), Refusal::QueueFull { max_length: 1 });
    assert_eq!(chunks(&bench.queue), before);
}

#[test]
fn a_push_that_fits_needs_no_clock_and_is_recorded_as_it_came() {
    let mut bench = Bench::new();
    bench.push(&[b"first opens a segment"]);
    let (_, record) = bench.try_run(&plain(&[b"second fits"])).unwrap();
    assert_eq!(record, Record::Verbatim);
    bench.now += 1000;
    let (_, record) = bench.try_run(&plain(&[b"a second later the segment has its age"])).unwrap();
    assert!(matches!(record, Record::Effect(_)));
}

#[test]
fn a_full_table_of_producers_forgets_the_one_that_advanced_longest_ago_but_never_a_fenced_one() {
    let mut bench = Bench::new();
    let push = |bench: &mut Bench, name: u32, fence: Option<Token>| {
        let name = name.to_be_bytes();
        let sequence = Some(Sequence { producer: &name, first: 0 });
        let moment = Moment { term: bench.term.take(), ..Moment::at(Time(bench.now)) };
        bench.queue.execute(&Push { sequence, fence, ..plain(&[b""]) }, moment).map(|executed| executed.output)
    };
    push(&mut bench, 0, Some(Token(1))).unwrap();
    for name in 1..10_001 {
        push(&mut bench, name, None).unwrap();
    }
    assert_eq!(bench.queue.next_sequence(&0u32.to_be_bytes()), 1);
    assert_eq!(bench.queue.next_sequence(&1u32.to_be_bytes()), 0);
    assert_eq!(bench.queue.next_sequence(&2u32.to_be_bytes()), 1);
    for name in 2..10_001 {
        let name = name as u32;
        let sequence = Sequence { producer: &name.to_be_bytes(), first: 1 };
        let push = Push { sequence: Some(sequence), fence: Some(Token(1)), ..plain(&[b""]) };
        bench.queue.execute(&push, Moment::at(Time(bench.now))).unwrap();
    }
    assert_eq!(push(&mut bench, 99_999, None).unwrap_err(), Refusal::ProducersFull);
}

#[test]
fn a_token_from_the_far_future_cannot_shut_out_the_real_leaders() {
    let mut bench = Bench::new();
    let ahead = Token((bench.now + 86_400_001) * NUMBERS_PER_MS);
    let refused = bench.try_run(&Push { fence: Some(ahead), ..plain(&[b"x"]) }).unwrap_err();
    assert_eq!(refused, Refusal::TokenAhead);
}

#[test]
fn a_reply_carries_at_most_64_mib_of_payload_but_at_least_one_message() {
    let mut bench = Bench::new();
    let large = vec![7u8; REPLY_BYTES / 2 + 1];
    let huge = vec![8u8; REPLY_BYTES + 1];
    bench.push(&[&large, &large, &huge]);
    assert_eq!(bench.claim(3, 60_000).len(), 1);
    assert_eq!(bench.claim(3, 60_000).len(), 1);
    assert_eq!(bench.claim(3, 60_000).len(), 1);
}

#[test]
fn a_queued_message_takes_little_more_than_its_payload_and_an_acked_one_nothing() {
    let mut bench = Bench::new();
    let payloads: Vec<&[u8]> = vec![b"12345678"; 1000];
    for _ in 0..100 {
        bench.push(&payloads);
    }
    let per_message = bench.queue.memory_bytes() as f64 / 100_000.0;
    assert!(per_message < 11.0, "{per_message} bytes for 8 bytes of payload");
    while let claimed @ [_, ..] = &bench.claim(1000, 60_000)[..] {
        // One in a thousand stays claimed; what is acked around it must go all the same.
        let acked: Vec<Receipt> = claimed.iter().skip(1).map(|delivery| delivery.receipt).collect();
        bench.queue.execute(&Ack { receipts: &acked }, Moment::at(Time(bench.now))).unwrap();
    }
    let per_stuck = bench.queue.memory_bytes() / 100;
    assert!(per_stuck < 7 * 1024, "{per_stuck} bytes for each message that stays");
    bench.now += 60_000;
    let rest: Vec<Receipt> = bench.claim(100, 1000).iter().map(|delivery| delivery.receipt).collect();
    assert_eq!(bench.run(&Ack { receipts: &rest }), 100);
    assert!(bench.queue.memory_bytes() < 20_000, "{} bytes for an empty queue", bench.queue.memory_bytes());
}
