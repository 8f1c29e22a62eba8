//! The simulation notices what could go wrong: every fault of `mq_engine::faults`, and every one of the module's part in
//! records and terms, breaks a promise in the worlds of a few seeds.
#![allow(missing_docs)]

mod model;
mod sim;

use mq_engine::faults::{Fault, choose};
use sim::report::Report;
use sim::{Failure, WORLD_STEPS, WorldFault};

/// Seeds that a fault may stay hidden in.
const SEEDS: u64 = 60;

/// Seeds that a fault may stay hidden in that needs two primaries and clients of both: one world in seventy has that.
const RARE_SEEDS: u64 = 500;

/// Runs worlds until one of them fails: that one, and how many steps it took in all.
fn caught(engine: Option<Fault>, world: Option<WorldFault>) -> Option<(Failure, u64)> {
    sim::on_thread(move || {
        choose(engine);
        let mut report = Report::default();
        let is_rare = matches!(world, Some(WorldFault::DeposedHandsOver | WorldFault::DeposedMakesLeader));
        let seeds = if is_rare { RARE_SEEDS } else { SEEDS };
        let failure = (1..=seeds).find_map(|seed| sim::run(seed, WORLD_STEPS, world, &mut report).err());
        failure.map(|failure| (failure, report.steps))
    })
}

#[test]
fn every_fault_is_caught_within_a_few_seeds() {
    let engine = Fault::ALL.map(|fault| (format!("{fault:?}"), caught(Some(fault), None)));
    let world = WorldFault::ALL.map(|fault| (format!("{fault:?}"), caught(None, Some(fault))));
    let mut hidden = Vec::new();
    for (fault, caught) in engine.into_iter().chain(world) {
        match caught {
            Some((Failure { seed, step, why, .. }, steps)) => {
                let why: String = why.lines().next().unwrap_or_default().chars().take(90).collect();
                println!("{fault:>22}: {steps:>6} steps, seed {seed:>2} at step {step:>4}: {why}");
            }
            None => hidden.push(fault),
        }
    }
    assert!(hidden.is_empty(), "not caught: {hidden:?}");
}

#[test]
fn without_a_fault_the_same_seeds_are_sound() {
    assert!(caught(None, None).is_none_or(|(failure, _)| panic!("{failure}")));
}
