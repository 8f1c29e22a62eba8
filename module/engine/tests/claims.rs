//! What the engine promises, one claim a test, with a given `now`.
#![allow(missing_docs)]

use mq_engine::operations::*;
use mq_engine::*;

/// A queue at a clock that only the test moves.
struct Bench {
    queue: Queue,
    now: u64,
    term: Option<TermStart>,
    copy: Option<Queue>,
    /// The payloads of the last push, which may travel beside its effect.
    beside: Vec<Vec<u8>>,
}

impl Bench {
    fn new() -> Bench {
        let term = Some(TermStart { floor: 1, skip: 0 });
        Bench { queue: Queue::new(Settings::default()), now: 1_000_000, term, copy: None, beside: vec![] }
    }

    fn configured(settings: &[Setting]) -> Bench {
        let mut bench = Bench::new();
        bench.run(&Configure { settings });
        bench
    }

    fn try_run<O: Operation>(&mut self, operation: &O) -> Result<(O::Output, Record), Refusal> {
        let moment = Moment { term: self.term.take(), ..Moment::at(Time(self.now)) };
        let executed = self.queue.execute(operation, moment)?;
        match &executed.record {
            Record::Nothing => {}
            Record::Verbatim => {
                self.copy.as_mut().expect("created by an effect").apply(operation);
            }
            Record::Effect(effect) => {
                let beside: Vec<&[u8]> = self.beside.iter().map(Vec::as_slice).collect();
                let beside = if effect.payloads_apart { &beside[..] } else { &[] };
                apply_record(&mut self.copy, &effect.bytes, beside).expect("a copy understands");
            }
        }
        self.queue.check_invariants().expect("invariants");
        Ok((executed.output, executed.record))
    }

    fn run<O: Operation>(&mut self, operation: &O) -> O::Output {
        self.try_run(operation).expect("not refused").0
    }

    fn push(&mut self, payloads: &[&[u8]]) -> Id {
        self.beside = payloads.iter().map(|payload| payload.to_vec()).collect();
        self.run(&plain(payloads)).first.expect("new messages have an id")
    }

    fn claim(&mut self, count: usize, lease: u64) -> Vec<Delivery> {
        self.run(&claim(count, lease, None)).deliveries
    }
}

fn plain<'a>(payloads: &'a [&'a [u8]]) -> Push<'a> {
    Push { delay: None, priority: Priority(0), fence: None, sequence: None, label: Label::default(), payloads }
}

fn claim(count: usize, lease: u64, session: Option<SessionId>) -> Claim<'static> {
    Claim { consumer: b"w", count, lease: Some(Span(lease)), session, acks: &[] }
}

fn chunks(queue: &Queue) -> Vec<Vec<u8>> {
    let mut chunks = Vec::new();
    queue.encode(&mut |chunk| chunks.push(chunk.to_vec()));
    chunks
}

fn load(chunks: &[Vec<u8>]) -> Result<Queue, Corrupt> {
    let mut decoder = Decoder::default();
    chunks.iter().try_for_each(|chunk| decoder.feed(chunk))?;
    decoder.finish()
}

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
fn a_step_takes_back_at_most_a_thousand_ended_claims_and_the_rest_is_void_all_the_same() {
    let mut bench = Bench::new();
    let payloads: Vec<&[u8]> = vec![b"x"; 2500];
    bench.push(&payloads);
    let claims = bench.claim(2500, 50);
    bench.now += 50;
    assert_eq!(bench.run(&Ack { receipts: &[claims[2499].receipt] }), 0);
    let info = bench.queue.info(Time(bench.now));
    assert_eq!((info.ready, info.claimed, info.overdue), (1000, 1500, 1500));
    bench.run(&Settle);
    bench.run(&Settle);
    let info = bench.queue.info(Time(bench.now));
    assert_eq!((info.ready, info.claimed, info.overdue), (2500, 0, 0));
    assert_eq!(chunks(&bench.queue), chunks(bench.copy.as_ref().unwrap()));
}

#[test]
fn ended_claims_come_back_in_the_order_of_their_deadlines() {
    let mut bench = Bench::new();
    let payloads: Vec<&[u8]> = vec![b"x"; 1200];
    bench.push(&payloads);
    let long = bench.claim(600, 400);
    let short = bench.claim(600, 200);
    bench.run(&Extend { lease: Span(100), receipts: &[long[599].receipt] });
    bench.now += 400;
    bench.run(&Settle);
    // One extended to the front, 600 short ones, and the first 399 of the long ones.
    let left: Vec<Id> = bench.queue.peek(PeekState::Claimed, None, 1000).iter().map(|peeked| peeked.id).collect();
    assert_eq!(left, long[399..599].iter().map(|delivery| delivery.id).collect::<Vec<_>>());
    assert_eq!(short.len(), 600);
}

#[test]
fn claims_and_delays_come_back_in_one_order_of_due_times() {
    for (lease, delay, claimed_left, delayed_left) in [(300, 200, 200, 0), (200, 300, 0, 200)] {
        let mut bench = Bench::new();
        let payloads: Vec<&[u8]> = vec![b"x"; 600];
        bench.push(&payloads);
        bench.claim(600, lease);
        bench.run(&Push { delay: Some(Span(delay)), ..plain(&payloads) });
        bench.now += 300;
        bench.run(&Settle);
        let info = bench.queue.info(Time(bench.now));
        assert_eq!((info.claimed, info.delayed), (claimed_left, delayed_left));
    }
}

#[test]
fn a_closed_session_ends_its_claims_and_its_leadership_and_nothing_else() {
    let mut bench = Bench::new();
    bench.push(&[b"a", b"b", b"c"]);
    let session = Some(SessionId(9));
    let held = bench.run(&claim(1, 60_000, session)).deliveries[0];
    let kept = bench.claim(1, 60_000)[0];
    let lead = Lead { candidate: b"c", lease: None, session, renew: None };
    let token = bench.run(&lead).leader.unwrap().token;
    assert_eq!(bench.run(&EndSession { session: SessionId(9) }), 2);
    assert_eq!(bench.run(&Ack { receipts: &[held.receipt, kept.receipt] }), 1);
    let fenced = bench.try_run(&Push { fence: Some(token), ..plain(&[b"late"]) }).unwrap_err();
    assert_eq!(fenced, Refusal::Fenced);
    assert_eq!(bench.claim(1, 10)[0].id, held.id);
    assert_eq!(bench.run(&EndSession { session: SessionId(9) }), 0);
}

#[test]
fn a_new_term_ends_leadership_and_sessions_and_never_gives_a_number_twice() {
    let mut bench = Bench::new();
    bench.push(&[b"a", b"b"]);
    let session = bench.run(&claim(1, 60_000, Some(SessionId(4)))).deliveries[0];
    let kept = bench.claim(1, 60_000)[0];
    let lead = Lead { candidate: b"c", lease: None, session: None, renew: None };
    let token = bench.run(&lead).leader.unwrap().token;
    bench.term = Some(TermStart { floor: 0, skip: 1 << 24 });
    assert_eq!(bench.run(&Ack { receipts: &[session.receipt, kept.receipt] }), 1);
    let again = bench.claim(1, 10)[0];
    assert_eq!(again.id, session.id);
    assert!(again.receipt.0 > kept.receipt.0 + (1 << 24));
    assert!(bench.run(&lead).leader.unwrap().token.0 > token.0 + (1 << 24));
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

/// A queue with something of everything in it.
fn varied() -> Bench {
    let mut bench = Bench::configured(&[Setting::MaxDeliveries(3)]);
    bench.push(&[b"a", b"b", b"c", b"d", b"e", b"f", b"g", b"h"]);
    bench.run(&Push { priority: Priority(3), delay: Some(Span(500)), ..plain(&[b"later", b"later still"]) });
    bench.run(&Push { priority: Priority(3), ..plain(&[b"high"]) });
    let sequence = Some(Sequence { producer: b"p", first: 5 });
    bench.run(&Push { sequence, ..plain(&[b"numbered"]) });
    let claims = bench.run(&claim(6, 5000, Some(SessionId(3)))).deliveries;
    bench.run(&Ack { receipts: &[claims[0].receipt] });
    bench.run(&Release { receipts: &[claims[1].receipt] });
    for failed in &claims[2..4] {
        bench.run(&Fail { receipt: failed.receipt, retry: None, reason: b"broken" });
    }
    bench.run(&Fail { receipt: claims[4].receipt, retry: Some(Span(70)), reason: b"" });
    bench.run(&DrainErrors { count: 1, lease: Some(Span(900)), session: None });
    bench.run(&Lead { candidate: b"c", lease: None, session: Some(SessionId(3)), renew: None });
    bench
}

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

#[test]
fn a_malformed_effect_changes_nothing() {
    let mut bench = varied();
    let moment = Moment::at(Time(bench.now + 10_000));
    let push = Push { delay: Some(Span(9)), ..plain(&[b"x", b"y"]) };
    let mut copy = bench.copy.clone();
    let Record::Effect(effect) = bench.queue.execute(&push, moment).unwrap().record else { panic!("timed") };
    let before = chunks(copy.as_ref().unwrap());
    for length in 0..effect.bytes.len() {
        assert!(apply_record(&mut copy, &effect.bytes[..length], &[]).is_err());
        assert_eq!(chunks(copy.as_ref().unwrap()), before);
    }
    apply_record(&mut copy, &effect.bytes, &[]).unwrap();
    assert_eq!(chunks(copy.as_ref().unwrap()), chunks(&bench.queue));
}
