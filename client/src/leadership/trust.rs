//! How long a granted lease may be relied upon, on the holder's own clock.
//!
//! The server counts the lease from the moment it ran the command; the holder cannot know that moment, but it
//! knows that it came after the request was sent. So a lease that was granted to a request sent at *t* lasts at
//! least until *t + lease*, and is relied upon until *t + lease − margin*. The margin is for clocks that run at
//! different speeds and for what lies between the look at the clock and the arrival of what was sent.

use std::time::Duration;

use tokio::time::Instant;

use crate::connection::LONGEST_SILENCE;

/// The margin is this part of the lease …
const MARGIN_PART: u32 = 8;
/// … and no more than this.
const LARGEST_MARGIN: Duration = Duration::from_secs(2);

/// The time until which its holder relies on a lease. Monotonic: a step of the wall clock does not move it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrustWindow {
    until: Instant,
}

impl TrustWindow {
    /// The window of a lease granted to a request that was sent at `sent_at`.
    pub fn opened(sent_at: Instant, lease: Duration) -> Self {
        Self { until: sent_at + (lease - margin(lease)) }
    }

    /// Whether the lease may be relied upon at `now`.
    pub fn holds(self, now: Instant) -> bool {
        now < self.until
    }

    /// The end of the window.
    pub fn until(self) -> Instant {
        self.until
    }
}

/// How often a lease is renewed. A renewal that fails is tried again at once, so this leaves it twice as long to succeed.
/// The connection, on which nothing else may happen for long, is not left idle meanwhile.
pub fn renewal_interval(lease: Duration) -> Duration {
    (lease / 3).min(LONGEST_SILENCE)
}

fn margin(lease: Duration) -> Duration {
    (lease / MARGIN_PART).min(LARGEST_MARGIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(8);

    #[test]
    fn a_lease_is_trusted_from_before_the_request_was_sent_and_not_to_its_end() {
        let sent_at = Instant::now();
        let window = TrustWindow::opened(sent_at, LEASE);
        assert!(window.holds(sent_at));
        assert!(window.holds(sent_at + Duration::from_millis(6_999)));
        assert!(!window.holds(sent_at + Duration::from_millis(7_000)));
        assert!(!window.holds(sent_at + LEASE));
    }

    #[test]
    fn an_answer_that_took_longer_than_the_lease_opens_no_window() {
        let sent_at = Instant::now();
        let answered_at = sent_at + LEASE;
        assert!(!TrustWindow::opened(sent_at, LEASE).holds(answered_at));
    }

    #[test]
    fn the_margin_never_eats_the_lease_and_never_exceeds_two_seconds() {
        for lease in [Duration::ZERO, Duration::from_millis(1), LEASE, Duration::from_secs(3600)] {
            assert!(margin(lease) <= lease / 2);
            assert!(margin(lease) <= LARGEST_MARGIN);
        }
    }

    #[test]
    fn a_failed_renewal_has_another_interval_within_the_window() {
        for lease in [Duration::from_millis(100), LEASE, Duration::from_secs(3600)] {
            assert!(renewal_interval(lease) * 2 < lease - margin(lease));
        }
    }
}
