//! Dumps that somebody has made up: whatever the bytes, loading them neither panics nor hangs nor takes more memory than a
//! small multiple of them; and what loads is a queue like any other.
//!
//! `MQ_EXECUTIONS` dumps are tried (100,000 unless said; `make fuzz` tries ten million), from `MQ_SEED` on.
#![allow(missing_docs)]

mod allocator;
mod dice;
mod mutation;
mod usage;

use allocator::{Counting, most_held};
use dice::Dice;
use mq_engine::{Decoder, Effect, Queue, Time, apply_record};
use usage::Used;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes in memory for a byte in a dump, at most: a chunk of one empty message is a dozen bytes, and makes a segment.
const MULTIPLE: usize = 128;

/// Beside that: an empty queue, and the first nodes and places of its tables.
const BASE: usize = 32 * 1024;

/// Mutations tried of one queue.
const OF_ONE: u64 = 50;

fn from_environment(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(otherwise)
}

fn saved(queue: &Queue) -> Vec<Vec<u8>> {
    let mut chunks = Vec::new();
    queue.encode(&mut |chunk| chunks.push(chunk.to_vec()));
    chunks
}

fn load(chunks: &[Vec<u8>]) -> Option<Queue> {
    let mut decoder = Decoder::default();
    for chunk in chunks {
        decoder.feed(chunk).ok()?;
    }
    decoder.finish().ok()
}

/// Runs `act` for one seed; a panic names it.
fn with_seed(seed: u64, act: impl FnOnce(&mut Dice) + std::panic::UnwindSafe) {
    let outcome = std::panic::catch_unwind(move || act(&mut Dice(seed)));
    if let Err(panic) = outcome {
        eprintln!("again with: MQ_SEED={seed} MQ_EXECUTIONS=1");
        std::panic::resume_unwind(panic);
    }
}

fn grown(dice: &mut Dice) -> Used {
    let mut used = Used::new();
    (0..5 + dice.below(120)).for_each(|_| used.step(dice));
    used
}

/// One changed dump: loaded if it can be, and used. Whether it could.
fn try_one(chunks: &[Vec<u8>], dice: &mut Dice) -> bool {
    let size: usize = chunks.iter().map(Vec::len).sum();
    let (loaded, most) = most_held(|| load(chunks));
    assert!(most <= MULTIPLE * size + BASE, "{most} bytes held for a dump of {size}");
    let Some(queue) = loaded else { return false };
    queue.check_invariants().expect("what loads is valid");
    let again = saved(&queue);
    assert_eq!(saved(&load(&again).expect("what was loaded can be saved and loaded")), again);
    let mut used = Used::loaded(queue, dice);
    std::hint::black_box((used.queue.info(Time(used.now)), used.queue.consumers(3)));
    for _ in 0..12 {
        used.step(dice);
        used.queue.check_invariants().expect("what was loaded stays valid in use");
    }
    assert!(load(&saved(&used.queue)).is_some(), "and can be saved and loaded");
    true
}

#[test]
fn a_made_up_dump_is_refused_or_is_a_valid_queue() {
    let executions = from_environment("MQ_EXECUTIONS", 100_000);
    let first = from_environment("MQ_SEED", 1);
    let (mut tried, mut loaded) = (0, 0);
    for seed in first.. {
        if tried >= executions {
            break;
        }
        let counts = std::sync::Mutex::new((0, 0));
        with_seed(seed, |dice| {
            let chunks = saved(&grown(dice).queue);
            for _ in 0..OF_ONE {
                let mut changed = chunks.clone();
                mutation::mutate(&mut changed, dice);
                let could = try_one(&changed, dice);
                let mut counts = counts.lock().expect("never poisoned while it is read");
                *counts = (counts.0 + 1, counts.1 + u64::from(could));
            }
        });
        let (more, more_loaded) = counts.into_inner().expect("no panic came so far");
        tried += more;
        loaded += more_loaded;
    }
    eprintln!("{tried} dumps tried, {loaded} of them loaded and used");
    assert!(executions < 1000 || loaded * 5 >= tried, "only {loaded} of {tried} loaded: the rest shows less");
}

/// Changes an effect, and now and then what travels beside it.
fn change(effect: &mut [u8], payloads: &mut Vec<Vec<u8>>, dice: &mut Dice) {
    for _ in 0..1 + dice.below(3) {
        let at = dice.below(effect.len());
        effect[at] = if dice.one_in(2) { effect[at] ^ (1 << dice.below(8)) } else { dice.number() as u8 };
    }
    match dice.below(20) {
        0 => drop(payloads.pop()),
        1 => payloads.push(b"beside".to_vec()),
        2 => payloads.insert(0, Vec::new()),
        3 => payloads.iter_mut().for_each(|payload| payload.truncate(3)),
        _ => {}
    }
}

#[test]
fn a_made_up_effect_is_refused_or_leaves_a_valid_queue() {
    let executions = from_environment("MQ_EXECUTIONS", 100_000);
    let mut applied = 0;
    for seed in 0..executions / OF_ONE {
        with_seed(seed, |dice| {
            let mut used = Used::new();
            let effects: Vec<_> = (0..5 + dice.below(60)).filter_map(|_| used.recorded(dice)).collect();
            used.queue.check_invariants().expect("before");
            for _ in 0..OF_ONE {
                let (Effect { bytes: mut effect, .. }, mut payloads) = effects[dice.below(effects.len())].clone();
                change(&mut effect, &mut payloads, dice);
                let beside: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
                let mut target = Some(used.queue.clone());
                let applied = apply_record(&mut target, &effect, &beside);
                let target = target.expect("it does not go");
                if let Err(broken) = target.check_invariants() {
                    panic!("{broken} after {effect:?} with {} payloads: {applied:?}", beside.len());
                }
            }
        });
        applied += OF_ONE;
    }
    assert_eq!(applied, executions / OF_ONE * OF_ONE);
}
