//! Due work, sessions and terms: what ends by itself, and how much of it a step does.

use crate::bench::{Bench, chunks, claim, plain};
use mq_engine::operations::*;
use mq_engine::*;

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

/// So many messages, pushed and claimed on one connection.
fn held(count: usize, session: u64) -> (Bench, Vec<Receipt>) {
    let mut bench = Bench::new();
    let payloads: Vec<&[u8]> = vec![b""; 10_000];
    let mut receipts = Vec::new();
    for _ in 0..count.div_ceil(payloads.len()) {
        // The invariants are looked at in the end: a million claims are many.
        bench.step(&plain(&payloads[..count.min(payloads.len())]), 0);
        let claim = claim(payloads.len(), 600_000, Some(SessionId(session)));
        receipts.extend(bench.step(&claim, 0).0.deliveries.iter().map(|delivery| delivery.receipt));
    }
    (bench, receipts)
}

impl Bench {
    /// A step that may do so many pieces of due work: what it says, and how many it did.
    fn step<O: Operation>(&mut self, operation: &O, due: usize) -> (O::Output, usize) {
        let moment = Moment { term: self.term.take(), due, ..Moment::at(Time(self.now)) };
        let executed = self.queue.execute_in_form(operation, moment, Form::Effect).expect("not refused");
        if let Record::Effect(effect) = &executed.record {
            apply_record(&mut self.copy, &effect.bytes, &[]).expect("a copy understands");
        }
        (executed.output, due - executed.due_left)
    }

    fn is_as_its_copy(&self) {
        self.queue.check_invariants().expect("invariants");
        assert_eq!(chunks(&self.queue), chunks(self.copy.as_ref().expect("a copy")));
    }
}

#[test]
fn a_new_term_makes_a_million_claims_void_and_takes_back_no_more_than_a_step_may() {
    let (mut bench, receipts) = held(1_000_000, 5);
    bench.term = Some(TermStart { floor: 0, skip: 1 << 24 });
    let (acked, done) = bench.step(&Ack { receipts: &[receipts[0], receipts[999_999]] }, 7);
    assert_eq!((acked, done), (0, 7), "taken back or not, they count nothing");
    assert_eq!(bench.queue.info(Time(bench.now)).overdue, 999_993);
    for void in [receipts[7], receipts[500_000]] {
        assert_eq!(bench.step(&Extend { lease: Span(9000), receipts: &[void] }, 0), (0, 0));
        assert_eq!(bench.step(&Release { receipts: &[void] }, 0), (0, 0));
        assert_eq!(bench.step(&Fail { receipt: void, retry: None, reason: b"" }, 0).0, Failed::Stale);
    }
    let (claimed, done) = bench.step(&claim(3, 1000, Some(SessionId(5))), 100);
    assert_eq!((claimed.deliveries.len(), done), (3, 100));
    assert_eq!(bench.step(&Ack { receipts: &[claimed.deliveries[0].receipt] }, 0).0, 1, "a claim of this term counts");
    let mut steps = 0;
    while bench.step(&Settle, 150_000).1 > 0 {
        steps += 1;
    }
    let info = bench.queue.info(Time(bench.now));
    assert_eq!((steps, info.overdue, info.claimed, info.ready), (7, 0, 2, 999_997));
    bench.is_as_its_copy();
}

#[test]
fn a_session_ends_in_slices_that_each_end_as_much_as_a_step_may() {
    let (mut bench, receipts) = held(2500, 5);
    let session = SessionId(5);
    bench.run(&Lead { candidate: b"c", lease: Some(Span(600_000)), session: Some(session), renew: None });
    let slices: Vec<(u64, usize)> = (0..4).map(|_| bench.step(&EndSession { session }, 1000)).collect();
    assert_eq!(slices, [(1001, 1000), (1000, 1000), (500, 500), (0, 0)], "the leadership ends with the first");
    assert!(!bench.queue.is_held_by(session, Time(bench.now)));
    assert_eq!(bench.run(&Ack { receipts: &receipts[..9] }), 0);
    assert_eq!(bench.queue.info(Time(bench.now)).ready, 2500);
    bench.is_as_its_copy();
}

#[test]
fn a_claim_whose_session_has_not_been_ended_yet_still_counts() {
    let (mut bench, receipts) = held(10, 5);
    let session = SessionId(5);
    assert_eq!(bench.step(&EndSession { session }, 4), (4, 4));
    assert!(bench.queue.is_held_by(session, Time(bench.now)));
    assert_eq!(bench.run(&Ack { receipts: &receipts }), 6, "the server has not come to them");
    assert!(!bench.queue.is_held_by(session, Time(bench.now)));
}

#[test]
fn errors_are_dated_by_the_wall_clock_and_aged_by_the_time_of_the_queue() {
    let mut bench = Bench::configured(&[Setting::ErrorsKeep(Span(1000))]);
    bench.push(&[b"a"]);
    let receipt = bench.claim(1, 100)[0].receipt;
    let wall = Time(bench.now + 5_000_000);
    let fail = Fail { receipt, retry: None, reason: b"r" };
    let moment = |now: u64| Moment { wall, ..Moment::at(Time(now)) };
    bench.queue.execute(&fail, moment(bench.now)).expect("not refused");
    assert_eq!(bench.queue.time(), Time(bench.now), "the wall clock moves no time");
    let failed_at = |queue: &Queue| queue.peek(PeekState::Errors, None, 9).first().and_then(|error| error.failed_at);
    assert_eq!(failed_at(&bench.queue), Some(wall));
    bench.queue.execute(&Settle, moment(bench.now + 999)).expect("not refused");
    assert_eq!(failed_at(&bench.queue), Some(wall), "it is not a second old");
    bench.queue.execute(&Settle, moment(bench.now + 1000)).expect("not refused");
    assert_eq!((failed_at(&bench.queue), bench.queue.totals().dropped), (None, 1));
}

#[test]
fn a_token_is_judged_by_the_wall_clock_where_that_is_ahead() {
    let mut bench = Bench::new();
    bench.push(&[b"a"]);
    let day = 86_400_000;
    let token = Some(Token((bench.now + day + 5000) * NUMBERS_PER_MS));
    let push = Push { fence: token, ..plain(&[b"x"]) };
    let at = |wall: u64| Moment { wall: Time(wall), ..Moment::at(Time(bench.now)) };
    assert_eq!(bench.queue.execute(&push, at(bench.now + 4999)).unwrap_err(), Refusal::TokenAhead);
    assert!(bench.queue.execute(&push, at(bench.now + 5000)).is_ok());
}

#[test]
fn consumers_are_listed_up_to_the_number_asked_for_each_with_all_its_claims() {
    let mut bench = Bench::new();
    bench.push(&[&b"x"[..]; 30]);
    for (name, session) in [(b"a", None), (b"b", Some(1)), (b"b", Some(2)), (b"b", None), (b"c", Some(1)), (b"d", None)]
    {
        let claim = Claim { consumer: name, session: session.map(SessionId), ..claim(2, 1000, None) };
        assert_eq!(bench.run(&claim).deliveries.len(), 2);
    }
    let all = bench.queue.consumers(10);
    let listed: Vec<(&[u8], u64)> = all.iter().map(|consumer| (&consumer.name[..], consumer.claims)).collect();
    assert_eq!(listed, [(&b"a"[..], 2), (b"b", 6), (b"c", 2), (b"d", 2)]);
    for count in 0..5 {
        let some = bench.queue.consumers(count);
        assert_eq!(some.len(), count.min(4));
        assert!(some.iter().all(|consumer| all.contains(consumer)), "whoever is listed is listed whole");
    }
}
