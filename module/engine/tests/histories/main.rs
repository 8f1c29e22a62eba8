//! Random histories: after every step the engine answers and looks like the model, its invariants hold, a replica fed
//! with the records is the same to the byte, and saving and loading changes nothing. Also where a step may do but a few
//! pieces of the work that is due.
#![allow(missing_docs)]

mod check;
#[path = "../model/mod.rs"]
mod model;
mod run;
mod step;

use proptest::prelude::*;
use run::Run;
use step::{Step, step};

/// `PROPTEST_CASES` histories, 1,500 unless said.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(1500)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_history_is_that_of_the_model_and_of_every_copy(steps in prop::collection::vec((0..40u64, step()), 1..120)) {
        let mut run = Run::new();
        for (passed, step) in &steps {
            // Mostly small steps of time, now and then one that opens a new segment.
            run.clock += if *passed == 39 { 1500 } else { *passed };
            run.step(step);
            run.together = run.together.saturating_sub(u8::from(!matches!(step, Step::Together(_))));
            if run.together == 0 {
                run.flush();
            }
            run.check();
        }
        run.finish();
    }
}
