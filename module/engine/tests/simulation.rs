//! A small deterministic simulation: crashes, failovers, clocks and clients from a seed. See `sim`.
//!
//! `SEED=n` runs that one world again, `STEPS=n` so many steps.
#![allow(missing_docs)]

mod model;
mod sim;

use sim::report::{ALL, Report};

/// What `make sim` runs.
const LONG: u64 = 10_000_000;

/// Every kind of event happens so often in it.
const OFTEN: u64 = 10_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

fn simulate(steps: u64) -> Report {
    let (first, steps) = match number("SEED") {
        Some(seed) => (seed, 1),
        None => (1, number("STEPS").unwrap_or(steps)),
    };
    sim::run_many(first, steps).unwrap_or_else(|failure| panic!("\n{failure}"))
}

#[test]
fn every_promise_holds_in_worlds_of_crashes_failovers_and_wrong_clocks() {
    simulate(60_000);
}

#[test]
fn a_world_is_the_same_whenever_it_is_made() {
    let run = || {
        sim::on_thread(|| {
            let mut report = Report::default();
            sim::run(77, 1000, None, &mut report).expect("a sound world");
            format!("{report:?}")
        })
    };
    assert_eq!(run(), run());
}

/// `make sim`
#[test]
#[ignore = "ten million steps: make sim"]
fn ten_million_steps_see_everything_ten_thousand_times() {
    let report = simulate(LONG);
    report.print();
    if report.steps >= LONG {
        let rare: Vec<_> = ALL.iter().filter(|what| report.times(what) < OFTEN).collect();
        assert!(rare.is_empty(), "seen too rarely: {rare:?}");
    }
}
