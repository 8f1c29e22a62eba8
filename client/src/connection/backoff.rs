//! How long to wait before the next attempt.

use std::time::Duration;

/// First wait after a failure.
const FIRST: Duration = Duration::from_millis(20);
/// No wait is longer: a server that comes back is found within this time.
const LONGEST: Duration = Duration::from_secs(2);

/// Waits that double from 20 ms to 2 s, each scattered over its upper half so that many peers which lost
/// the same server do not come back in step.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// A sequence at its beginning.
    pub fn new() -> Self {
        Self::default()
    }

    /// The wait before the next attempt.
    pub fn next_wait(&mut self) -> Duration {
        let wait = scattered(self.failures, rand::random());
        self.failures = self.failures.saturating_add(1);
        wait
    }

    /// Forgets the failures so far: an attempt succeeded.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Sleeps for [`next_wait`](Self::next_wait).
    pub async fn wait(&mut self) {
        tokio::time::sleep(self.next_wait()).await;
    }
}

/// The wait after so many failures in a row; `jitter` in 0 … 1 chooses within its upper half.
fn scattered(failures: u32, jitter: f64) -> Duration {
    let full = FIRST.saturating_mul(2_u32.saturating_pow(failures)).min(LONGEST);
    full.mul_f64(0.5 + 0.5 * jitter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_cap() {
        assert_eq!(scattered(0, 1.0), FIRST);
        assert_eq!(scattered(3, 1.0), FIRST * 8);
        assert_eq!(scattered(7, 1.0), LONGEST);
        assert_eq!(scattered(u32::MAX, 1.0), LONGEST);
    }

    #[test]
    fn jitter_stays_within_the_upper_half() {
        for failures in 0..10 {
            let full = scattered(failures, 1.0);
            assert_eq!(scattered(failures, 0.0), full / 2);
            let mut backoff = Backoff { failures };
            let wait = backoff.next_wait();
            assert!(wait >= full / 2 && wait <= full, "{wait:?} of {full:?}");
        }
    }

    #[test]
    fn a_success_starts_again_from_the_shortest_wait() {
        let mut backoff = Backoff { failures: 9 };
        backoff.reset();
        assert!(backoff.next_wait() <= FIRST);
    }
}
