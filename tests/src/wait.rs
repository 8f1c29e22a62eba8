//! Waiting for facts.

use std::{
    thread,
    time::{Duration, Instant},
};

/// How long anything may take before a test calls it broken; nothing waits this long when all is well.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// How many times longer everything may take: `MQ_PATIENCE`, where the servers are slowed down by what watches them.
///
/// # Panics
/// If that is no number.
#[must_use]
pub fn patience() -> u32 {
    std::env::var("MQ_PATIENCE").map_or(1, |times| times.parse().expect("MQ_PATIENCE is a number"))
}

/// Asks until there is an answer, and gives it back.
///
/// # Panics
/// Without an answer after [`DEADLINE`] (so many times, see [`patience`]): `what` did not come true.
#[track_caller]
pub fn eventually<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    eventually_within(DEADLINE, what, ask)
}

#[track_caller]
pub(crate) fn eventually_within<T>(deadline: Duration, what: &str, ask: impl FnMut() -> Option<T>) -> T {
    within(deadline, ask).unwrap_or_else(|| panic!("never came true: {what}"))
}

/// The answer, if there is one before the deadline.
pub(crate) fn within<T>(deadline: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let (started, deadline) = (Instant::now(), deadline * patience());
    loop {
        let answer = ask();
        if answer.is_some() || started.elapsed() >= deadline {
            return answer;
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// [`eventually`] for a fact that is true or not yet.
///
/// # Panics
/// When it is not true after [`DEADLINE`].
#[track_caller]
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    eventually(what, || holds().then_some(()));
}

/// The middle one of some times measured.
///
/// # Panics
/// Without any.
#[must_use]
pub fn median(mut times: Vec<Duration>) -> Duration {
    assert!(!times.is_empty(), "a median of nothing");
    times.sort_unstable();
    times[times.len() / 2]
}
