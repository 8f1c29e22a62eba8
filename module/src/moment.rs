//! The only clock.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use mq_engine::{Span, Time};

/// The wall clock when the module was loaded, and the monotonic one.
static START: OnceLock<(Time, Instant)> = OnceLock::new();

/// By how much the wall clock is ahead of [`now`] (ms), as of the last [`follow_wall`].
static AHEAD_MS: AtomicU64 = AtomicU64::new(0);

/// A wall clock that is ahead by less (ms) counts as being right: that much is rounding, and a clock that is slowed or hurried.
const LEAST_AHEAD_MS: u64 = 1000;

fn wall_clock() -> Time {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(u64::try_from(wall.as_millis()).unwrap_or(u64::MAX))
}

/// Milliseconds since 1970: the wall time of the module's load, and from there on the time that has passed. It never goes
/// back, and does not follow when the wall clock is set. To be read once per command.
pub fn now() -> Time {
    let (wall, instant) = START.get_or_init(|| (wall_clock(), Instant::now()));
    let passed = instant.elapsed();
    wall.after(Span(passed.as_secs().saturating_mul(1000).saturating_add(passed.subsec_millis().into())))
}

/// Compares the two clocks. The server's cron does so, ten times a second unless configured otherwise: so a command reads
/// only one clock, and a wall clock that is set right counts a tenth of a second later.
pub fn follow_wall() {
    let ahead = wall_clock().since(now()).0;
    AHEAD_MS.store(if ahead < LEAST_AHEAD_MS { 0 } else { ahead }, Relaxed);
}

/// What the wall clock shows at the moment `now`, if it is ahead of that; else `now`. Numbers, tokens and the dates of errors
/// follow it.
pub fn wall(now: Time) -> Time {
    now.after(Span(AHEAD_MS.load(Relaxed)))
}

#[cfg(test)]
mod tests {
    use super::{follow_wall, now, wall};

    #[test]
    fn time_never_goes_back() {
        let mut last = now();
        for _ in 0..10_000 {
            let next = now();
            assert!(next >= last);
            last = next;
        }
    }

    #[test]
    fn a_wall_clock_that_nobody_has_set_is_no_other_clock() {
        follow_wall();
        let now = now();
        assert_eq!(wall(now), now);
    }
}
