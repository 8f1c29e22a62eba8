//! What copies are told: one record for all that one command does.

use crate::bench::{Bench, chunks, claim, plain, varied};
use mq_engine::operations::*;
use mq_engine::*;

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

fn effect<O: Operation>(bench: &mut Bench, operation: &O) -> Effect {
    let moment = Moment { term: bench.term.take(), ..Moment::at(Time(bench.now)) };
    match bench.queue.execute_in_form(operation, moment, Form::Effect).expect("not refused").record {
        Record::Effect(effect) => effect,
        record => panic!("asked for as an effect: {record:?}"),
    }
}

#[test]
fn a_record_of_several_steps_does_what_its_steps_do_one_after_the_other() {
    let mut bench = varied();
    let (mut joined, mut single) = (bench.copy.clone(), bench.copy.clone());
    bench.now += 30;
    let pushed = effect(&mut bench, &plain(&[b"for the first", b"for the second"]));
    let claimed = effect(&mut bench, &claim(1, 900, Some(SessionId(7))));
    bench.now += 40; // what the failed message's retry waits for is due by then
    let settled = effect(&mut bench, &Settle);
    let configured = effect(&mut bench, &Configure { settings: &[Setting::MaxClaimed(4)] });
    let ended = effect(&mut bench, &EndSession { session: SessionId(3) });
    let steps = [pushed, claimed, settled, configured, ended];
    let mut record = steps[0].clone();
    steps[1..].iter().for_each(|step| record.append(step));
    apply_record(&mut joined, &record.bytes, &[]).expect("a joined record");
    steps.iter().for_each(|step| apply_record(&mut single, &step.bytes, &[]).expect("a step"));
    assert_eq!(chunks(&joined.expect("a copy")), chunks(&bench.queue));
    assert_eq!(chunks(&single.expect("a copy")), chunks(&bench.queue));
}

#[test]
fn the_first_of_several_steps_may_create_the_queue() {
    let mut bench = Bench::new();
    let mut record = effect(&mut bench, &plain(&[b"a"]));
    record.append(&effect(&mut bench, &claim(1, 100, None)));
    let mut copy = None;
    apply_record(&mut copy, &record.bytes, &[]).expect("a joined record");
    assert_eq!(chunks(copy.as_ref().expect("created")), chunks(&bench.queue));
    assert!(apply_record(&mut copy, &record.bytes, &[]).is_err(), "it exists already");
}

#[test]
fn payloads_beside_a_record_must_be_there_and_all_be_asked_for() {
    let mut bench = varied();
    let copy = bench.copy.clone();
    let (large, small) = (vec![7; 20_000], b"small".to_vec());
    let beside: [&[u8]; 2] = [&large, &small];
    let alone = effect(&mut bench, &plain(&beside));
    let mut record = alone.clone();
    record.append(&effect(&mut bench, &claim(2, 100, None)));
    assert!(record.payloads_apart && record.bytes.len() < 200, "{} bytes", record.bytes.len());
    for missing in [&[][..], &beside[..1]] {
        let mut other = copy.clone();
        assert_eq!(apply_record(&mut other, &record.bytes, missing), Err(Corrupt("payloads are missing")));
        assert_eq!(chunks(other.as_ref().unwrap()), chunks(copy.as_ref().unwrap()), "nothing was done yet");
    }
    let more = [beside[0], beside[1], b"one too many"];
    assert_eq!(apply_record(&mut copy.clone(), &record.bytes, &more), Err(Corrupt("payloads left over")));
    let small_push = effect(&mut varied(), &plain(&[b"x"]));
    assert_eq!(apply_record(&mut copy.clone(), &small_push.bytes, &beside[1..]), Err(Corrupt("payloads left over")));
    let mut whole = copy;
    apply_record(&mut whole, &record.bytes, &beside).expect("a record with what it needs");
    assert_eq!(chunks(&whole.unwrap()), chunks(&bench.queue));
}
