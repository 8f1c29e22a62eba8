//! A world of servers, clients, clocks and crashes, all of it from one seed. See `world`.
#![allow(missing_docs, dead_code)]

pub mod actors;
pub mod checks;
pub mod fate;
pub mod known;
pub mod ledger;
pub mod op;
pub mod report;
pub mod rng;
pub mod rules;
pub mod server;
pub mod turn;
pub mod waiting;
pub mod world;

use report::Report;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use world::World;

/// Steps that one world is given; then the next seed makes another one.
pub const WORLD_STEPS: u64 = 2000;

/// What could be wrong around the engine: in how its records are applied, where terms begin, and what is done by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorldFault {
    /// A copy takes back what is due by its own clock.
    ReplicaExpires,
    /// Numbers go on by one, whatever was lost.
    CounterForTerms,
    /// A promoted replica leaves no room for the numbers that it did not hear of.
    NoPromotionSkip,
    /// A copy judges what it is told to do.
    ReplaysJudge,
    /// A promoted replica goes on in the term of its primary.
    NoTermAfterPromotion,
    /// The timer does what is due, and serves those who wait, while writes are refused.
    TimerForgetsRules,
    /// What a closed connection held is ended while writes are refused.
    SessionEndForgetsRules,
    /// A primary that is cut off hands messages to consumers that wait there, while another one has taken over.
    DeposedHandsOver,
    /// It makes a standby the leader.
    DeposedMakesLeader,
}

impl WorldFault {
    pub const ALL: [WorldFault; 9] = [
        WorldFault::ReplicaExpires,
        WorldFault::CounterForTerms,
        WorldFault::NoPromotionSkip,
        WorldFault::ReplaysJudge,
        WorldFault::NoTermAfterPromotion,
        WorldFault::TimerForgetsRules,
        WorldFault::SessionEndForgetsRules,
        WorldFault::DeposedHandsOver,
        WorldFault::DeposedMakesLeader,
    ];
}

/// A promise is broken.
pub fn wrong(what: &str) -> ! {
    panic!("{what}")
}

/// A world in which one was.
#[derive(Debug)]
pub struct Failure {
    pub seed: u64,
    pub step: u64,
    pub why: String,
    pub trace: Vec<String>,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.trace.iter().try_for_each(|line| writeln!(f, "  {line}"))?;
        writeln!(f, "SEED={} fails at step {}: {}", self.seed, self.step, self.why)
    }
}

thread_local! {
    static WHY: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Failures of worlds are collected, not printed: the fault tests want them.
pub fn quiet() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let inside = std::thread::current().name() == Some(THREAD);
            if !inside {
                return before(info);
            }
            let place = info.location().map(|place| format!(" ({}:{})", place.file(), place.line()));
            let payload = info.payload();
            let literal = payload.downcast_ref::<&str>().copied();
            let message = literal.or(payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic");
            WHY.set(Some(format!("{message}{}", place.unwrap_or_default())));
        }));
    });
}

/// The name of threads whose panics are collected.
pub const THREAD: &str = "world";

/// One world from its beginning; the same seed makes the same world.
pub fn run(seed: u64, steps: u64, fault: Option<WorldFault>, report: &mut Report) -> Result<(), Failure> {
    let mut world = World::new(seed, fault);
    let outcome = catch_unwind(AssertUnwindSafe(|| (0..steps).for_each(|_| world.step())));
    report.merge(&world.report);
    report.steps += world.steps;
    report.worlds += 1;
    outcome.map_err(|_| Failure {
        seed,
        step: world.steps,
        why: WHY.take().unwrap_or_default(),
        trace: world.trace.iter().cloned().collect(),
    })
}

/// Worlds from this seed on until so many steps are done, on two threads. The first failure is run again for its trace.
pub fn run_many(first: u64, steps: u64) -> Result<Report, Box<Failure>> {
    quiet();
    let worlds = steps.div_ceil(WORLD_STEPS);
    let next = std::sync::atomic::AtomicU64::new(0);
    let failed = std::sync::Mutex::new(None::<u64>);
    let total = std::sync::Mutex::new(Report::default());
    let work = || {
        let mut report = Report::default();
        loop {
            let seed = first + next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if seed >= first + worlds || failed.lock().expect("sound").is_some() {
                break;
            }
            if run(seed, WORLD_STEPS, None, &mut report).is_err() {
                let mut failed = failed.lock().expect("sound");
                *failed = Some(failed.map_or(seed, |before| before.min(seed)));
            }
        }
        total.lock().expect("sound").merge(&report);
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            std::thread::Builder::new().name(THREAD.into()).spawn_scoped(scope, work).expect("a thread");
        }
    });
    match failed.into_inner().expect("sound") {
        None => Ok(total.into_inner().expect("sound")),
        Some(seed) => Err(Box::new(replay(seed))),
    }
}

/// A failing world again, with a trace.
pub fn replay(seed: u64) -> Failure {
    on_thread(move || {
        let mut report = Report::default();
        world::TRACING.set(true);
        run(seed, WORLD_STEPS, None, &mut report).expect_err("a seed fails every time or never")
    })
}

/// Runs this where panics are collected.
pub fn on_thread<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
    quiet();
    let thread = std::thread::Builder::new().name(THREAD.into()).spawn(act).expect("a thread");
    thread.join().unwrap_or_else(|_| panic!("{}", WHY.take().unwrap_or_else(|| "a thread failed".into())))
}
