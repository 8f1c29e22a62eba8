//! The judge of histories is handed forged ones: each fault is found, and what only looks like one is not.

use std::time::Duration;

use mq_tests::{
    Fault, Verdict,
    history::{Event, What, Whom},
};

/// What is written down; sent at `.0` ms, answered at `.1`, and settled.
fn event((sent, answered): (u64, u64), what: What) -> Event {
    let ms = Duration::from_millis;
    Event { client: 0, server: 1, sent: ms(sent), answered: ms(answered), settled: true, what }
}

fn unsettled(event: Event) -> Event {
    Event { settled: false, ..event }
}

fn push(at: (u64, u64), payload: &str, id: i64) -> Event {
    event(at, What::Push { payload: payload.into(), fence: None, number: None, id: Some(id) })
}

fn publish(at: (u64, u64), number: i64, token: i64, id: i64) -> Event {
    event(at, What::Push { payload: format!("s{number}"), fence: Some(token), number: Some(number), id: Some(id) })
}

/// For a second.
fn claim(at: (u64, u64), payload: &str, id: i64, receipt: i64) -> Event {
    event(at, What::Claim { payload: payload.into(), id, receipt, lease: Duration::from_secs(1) })
}

fn complete(at: (u64, u64), receipt: i64, counted: bool) -> Event {
    event(at, What::Complete { receipt, counted: Some(counted) })
}

fn release(at: (u64, u64), receipt: i64) -> Event {
    event(at, What::Touch { receipt, counted: Some(true) })
}

fn on_server(server: u16, event: Event) -> Event {
    Event { server, ..event }
}

fn refusal(at: (u64, u64)) -> Event {
    event(at, What::Refusal(Whom::Everyone))
}

/// The first server was replaced by the second one.
fn promotion(at: (u64, u64)) -> Event {
    on_server(2, event(at, What::Promotion))
}

/// Two messages that went their way, the first one by a detour.
fn sound() -> Vec<Event> {
    vec![
        push((0, 1), "a", 10),
        push((1, 2), "b", 11),
        claim((2, 3), "a", 10, 20),
        claim((2, 3), "b", 11, 21),
        complete((4, 5), 21, true),
        release((5, 6), 20),
        claim((6, 7), "a", 10, 22),
        complete((8, 9), 20, false),
        complete((8, 9), 22, true),
    ]
}

/// A sound history with more in it.
fn sound_and(more: impl IntoIterator<Item = Event>) -> Vec<Event> {
    let mut events = sound();
    events.extend(more);
    events.sort_by_key(|event| event.answered);
    events
}

#[track_caller]
fn finds(fault: Fault, events: &[Event]) {
    let verdict = Verdict::of(events);
    for other in Fault::ALL {
        assert_eq!(verdict.count(other) > 0, other == fault, "{fault:?} was forged\n{verdict}");
    }
}

#[track_caller]
fn finds_nothing(events: &[Event]) {
    let verdict = Verdict::of(events);
    assert!(verdict.is_clean(), "{verdict}");
}

#[test]
fn a_sound_history_is_clean() {
    finds_nothing(&sound());
    let verdict = Verdict::of(&sound());
    assert_eq!((verdict.accepted, verdict.delivered, verdict.redelivered), (2, 3, 1));
    assert_eq!((verdict.completed, verdict.refused), (2, 1));
}

#[test]
fn a_lost_message_is_found() {
    let events = sound_and([push((1, 2), "c", 12)]);
    finds(Fault::Lost, &events);
    assert!(Verdict::of_deleted(&events).is_clean(), "it may have been deleted");
    finds(
        Fault::Lost,
        &sound_and([push((1, 2), "c", 12), claim((13, 14), "c", 12, 30), complete((2000, 2001), 30, false)]),
    );
}

#[test]
fn a_message_completed_twice_is_found() {
    finds(Fault::Doubled, &sound_and([claim((1100, 1101), "a", 10, 30), complete((1200, 1201), 30, true)]));
}

#[test]
fn a_completed_message_that_comes_again_is_found() {
    finds(Fault::Doubled, &sound_and([claim((1100, 1101), "a", 10, 30)]));
}

#[test]
fn a_message_that_nobody_pushed_is_found() {
    finds(Fault::Unexpected, &sound_and([claim((10, 11), "x", 12, 30), complete((12, 13), 30, true)]));
    // Pushed only afterwards.
    let late = [claim((10, 11), "x", 12, 30), complete((12, 13), 30, true), push((12, 13), "x", 12)];
    finds(Fault::Unexpected, &sound_and(late));
}

#[test]
fn a_message_under_another_id_is_found() {
    let events = [push((1, 2), "c", 12), claim((3, 4), "c", 13, 30), complete((5, 6), 30, true)];
    let verdict = Verdict::of(&sound_and(events));
    assert!(verdict.count(Fault::Unexpected) > 0, "{verdict}");
}

#[test]
fn a_second_claim_while_the_first_is_current_is_found() {
    let mut events = sound();
    events.retain(|event| event.what != release((0, 0), 20).what);
    finds(Fault::TwoClaims, &events);
}

#[test]
fn an_old_claim_that_counts_after_a_newer_one_was_given_is_found() {
    let events = [push((0, 1), "c", 12), claim((10, 11), "c", 12, 30), claim((1020, 1021), "c", 12, 31)];
    finds(Fault::TwoClaims, &sound_and([events.as_slice(), &[complete((1030, 1031), 30, true)]].concat()));
    finds_nothing(&sound_and([events.as_slice(), &[complete((1030, 1031), 31, true)]].concat()));
}

#[test]
fn a_claim_after_the_lease_or_the_session_has_ended_is_none_too_many() {
    let again = [push((0, 1), "c", 12), claim((10, 20), "c", 12, 30), claim((1009, 1030), "c", 12, 31)];
    let done = complete((1040, 1041), 31, true);
    finds_nothing(&sound_and([again.as_slice(), &[done]].concat()));
    let closed = [
        push((0, 1), "c", 12),
        claim((10, 11), "c", 12, 30),
        event((12, 40), What::SessionEnd { receipts: vec![30] }),
        claim((13, 14), "c", 12, 31),
        complete((15, 16), 31, true),
    ];
    finds_nothing(&sound_and(closed));
}

#[test]
fn a_token_that_counts_after_a_newer_one_is_found() {
    let done = |receipt, number: i64, id| {
        [claim((20, 21), &format!("s{number}"), id, receipt), complete((22, 23), receipt, true)]
    };
    let events = [publish((10, 11), 0, 100, 12), publish((12, 13), 1, 101, 13), publish((14, 15), 2, 100, 14)];
    let all = [events.as_slice(), &done(30, 0, 12), &done(31, 1, 13), &done(32, 2, 14)].concat();
    finds(Fault::TwoTokens, &sound_and(all));
}

#[test]
fn a_gap_a_repetition_and_a_swap_in_the_stream_are_found() {
    let published = |numbers: &[i64]| {
        let events = numbers.iter().zip(0..).flat_map(|(number, n)| {
            let at = 10 + 2 * n as u64;
            let push = publish((at, at + 1), *number, 100, 12 + n);
            [push, claim((40, 41), &format!("s{number}"), 12 + n, 30 + n), complete((42, 43), 30 + n, true)]
        });
        sound_and(events)
    };
    finds_nothing(&published(&[0, 1, 2]));
    finds(Fault::Stream, &published(&[0, 2]));
    finds(Fault::Stream, &published(&[0, 2, 1]));
    finds(Fault::Stream, &published(&[0, 1, 1, 2]));
    finds(Fault::Stream, &published(&[1, 2]));
}

#[test]
fn a_number_given_twice_or_smaller_than_before_is_found() {
    let same_receipt = [push((0, 1), "c", 12), claim((10, 11), "c", 12, 22), complete((12, 13), 22, true)];
    assert!(Verdict::of(&sound_and(same_receipt)).count(Fault::Repeated) > 0);
    let same_id = [push((10, 11), "c", 11), claim((12, 13), "c", 11, 30), complete((14, 15), 30, true)];
    assert!(Verdict::of(&sound_and(same_id)).count(Fault::Repeated) > 0);
    let lead = |token, candidate: &str| event((10, 11), What::Lead { token, candidate: candidate.into() });
    finds(Fault::Repeated, &sound_and([lead(100, "one"), lead(100, "two")]));
    finds_nothing(&sound_and([lead(100, "one"), lead(100, "one"), lead(101, "two")]));
    let falling = [push((10, 11), "c", 9), claim((12, 13), "c", 9, 30), complete((14, 15), 30, true)];
    finds(Fault::Repeated, &sound_and(falling));
}

#[test]
fn what_a_crash_may_have_taken_back_is_no_evidence() {
    finds_nothing(&sound_and([unsettled(push((1, 2), "c", 12))]));
    let mut events = sound();
    let completed = events.iter().position(|event| event.what == complete((0, 0), 22, true).what).expect("it is there");
    events[completed].settled = false;
    events.extend([claim((1100, 1101), "a", 10, 30), complete((1200, 1201), 30, true)]);
    finds_nothing(&events);
}

#[test]
fn what_was_never_answered_may_have_been_done_or_not() {
    let doubtful =
        |payload: &str| event((10, 11), What::Push { payload: payload.into(), fence: None, number: None, id: None });
    finds_nothing(&sound_and([doubtful("c")]));
    finds_nothing(&sound_and([doubtful("c"), claim((12, 13), "c", 12, 30), complete((14, 15), 30, true)]));
    let in_doubt = event((14, 15), What::Complete { receipt: 30, counted: None });
    finds_nothing(&sound_and([push((0, 1), "c", 12), claim((12, 13), "c", 12, 30), in_doubt]));
}

#[test]
fn what_is_done_while_it_is_refused_is_found() {
    for done in [
        push((100, 101), "c", 12),
        claim((100, 101), "c", 12, 30),
        event((100, 101), What::Lead { token: 100, candidate: "one".into() }),
    ] {
        let verdict = Verdict::of(&sound_and([refusal((99, 110)), done.clone()]));
        assert_eq!(verdict.count(Fault::DuringRefusal), 1, "{verdict}");
        let elsewhere = Verdict::of(&sound_and([refusal((99, 110)), on_server(2, done)]));
        assert_eq!(elsewhere.count(Fault::DuringRefusal), 0, "{elsewhere}");
    }
    let late = [push((10, 11), "c", 12), claim((12, 13), "c", 12, 30), refusal((14, 30)), complete((20, 21), 30, true)];
    finds(Fault::DuringRefusal, &sound_and(late.clone()));
    let before = [&late[..2], &[refusal((21, 30)), late[3].clone()]].concat();
    finds_nothing(&sound_and(before));
}

#[test]
fn what_a_waiter_was_given_while_it_was_refused_is_found() {
    // It was sent before the refusal, but the message was pushed later.
    let pushed = [
        on_server(2, push((20, 21), "c", 12)),
        claim((10, 23), "c", 12, 30),
        complete((45, 46), 30, true),
        refusal((15, 30)),
    ];
    finds(Fault::DuringRefusal, &sound_and(pushed));
    // Or the claim before it ended later.
    let again = [
        push((0, 1), "c", 12),
        claim((10, 11), "c", 12, 30),
        claim((500, 1050), "c", 12, 31),
        complete((1101, 1102), 31, true),
    ];
    finds(Fault::DuringRefusal, &sound_and([again.as_slice(), &[refusal((900, 1100))]].concat()));
    finds_nothing(&sound_and([again.as_slice(), &[refusal((1020, 1100))]].concat()));
}

#[test]
fn a_candidate_that_is_made_leader_while_it_is_refused_is_found() {
    // It began to stand by before the refusal, and the leader before it could still push after that.
    let lead = event((10, 40), What::Lead { token: 101, candidate: "two".into() });
    let by_the_old = |at| [publish(at, 0, 100, 12), claim((50, 51), "s0", 12, 30), complete((52, 53), 30, true)];
    let events = |at| sound_and(by_the_old(at).into_iter().chain([lead.clone(), refusal((30, 45))]));
    let verdict = Verdict::of(&events((31, 32)));
    // The push and the leadership.
    assert_eq!(verdict.count(Fault::DuringRefusal), 2, "{verdict}");
    finds_nothing(&events((20, 21)));
}

#[test]
fn a_client_that_is_served_without_its_rights_is_found_and_others_are_not() {
    let mine = |event: Event| Event { client: 7, ..event };
    let served = [push((20, 21), "c", 12), claim((10, 23), "c", 12, 30), complete((45, 46), 30, true)];
    let without = mine(event((15, 30), What::Refusal(Whom::Client)));
    finds_nothing(&sound_and([served.as_slice(), std::slice::from_ref(&without)].concat()));
    let mut events = served.to_vec();
    events[1] = mine(events[1].clone());
    finds(Fault::DuringRefusal, &sound_and([events.as_slice(), &[without]].concat()));
}

#[test]
fn what_a_server_says_itself_of_a_change_while_it_refused_is_evidence() {
    finds(Fault::DuringRefusal, &sound_and([event((20, 30), What::Changed { evidence: "delivered 3, not 2".into() })]));
}

#[test]
fn a_promotion_ends_claims_and_what_the_deposed_primary_does_is_no_part_of_history() {
    let second = |event| on_server(2, event);
    let given_again = [
        push((0, 1), "c", 12),
        claim((10, 11), "c", 12, 30),
        second(claim((24, 25), "c", 12, 31)),
        second(complete((26, 27), 31, true)),
    ];
    finds(Fault::TwoClaims, &sound_and(given_again.clone()));
    let promoted = [given_again.as_slice(), &[promotion((20, 21))]].concat();
    finds_nothing(&sound_and(promoted.clone()));
    // Where it does not know of the completion.
    let again = unsettled(claim((1040, 1041), "c", 12, 33));
    finds_nothing(&sound_and([promoted.as_slice(), std::slice::from_ref(&again)].concat()));
    // The new one does.
    finds(Fault::Doubled, &sound_and([promoted.as_slice(), &[second(again)]].concat()));
}
