//! The only clock.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use mq_engine::{Span, Time};

/// The wall clock when the module was loaded, and the monotonic one.
static START: OnceLock<(Time, Instant)> = OnceLock::new();

fn start() -> (Time, Instant) {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (Time(u64::try_from(wall.as_millis()).unwrap_or(u64::MAX)), Instant::now())
}

/// Milliseconds since 1970: the wall time of the module's load, and from there on the time that has passed. It never goes
/// back, and does not follow when the wall clock is set. To be read once per command.
pub fn now() -> Time {
    let (wall, instant) = START.get_or_init(start);
    let passed = instant.elapsed();
    wall.after(Span(passed.as_secs().saturating_mul(1000).saturating_add(passed.subsec_millis().into())))
}

#[cfg(test)]
mod tests {
    use super::now;

    #[test]
    fn time_never_goes_back() {
        let mut last = now();
        for _ in 0..10_000 {
            let next = now();
            assert!(next >= last);
            last = next;
        }
    }
}
