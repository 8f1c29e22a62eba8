//! How many messages to ask for at once, where a slow link may take its time for their payloads.

use std::time::{Duration, Instant};

/// A number of messages that falls to one when their payloads arrive too late, and doubles whenever they arrive with time to
/// spare.
#[derive(Debug)]
pub struct Portion {
    count: usize,
    most: usize,
    /// With an answer that took less than this, twice as much arrives in good time.
    brief: Duration,
}

impl Portion {
    /// `first` messages and never more than `most`, whose payloads should arrive within `good_time`.
    pub fn new(first: usize, most: usize, good_time: Duration) -> Self {
        Self { count: first.clamp(1, most), most, brief: good_time / 4 }
    }

    /// So many messages may be asked for.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Notes that all is well with an answer to what was asked at `asked_at`.
    pub fn arrived(&mut self, asked_at: Instant) {
        if asked_at.elapsed() < self.brief {
            self.count = self.count.saturating_mul(2).min(self.most);
        }
    }

    /// Notes that an answer came too late, or not at all. False: nothing less can be asked for.
    pub fn was_too_much(&mut self) -> bool {
        if self.count == 1 {
            return false;
        }
        self.count = 1;
        tracing::warn!("the reply takes too long to arrive; asking for fewer messages");
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3_600);

    #[test]
    fn after_too_much_there_is_one_and_nothing_less() {
        let mut portion = Portion::new(1_000, 1_000, LONG);
        assert!(portion.was_too_much());
        assert_eq!(portion.count(), 1);
        assert!(!portion.was_too_much());
    }

    #[test]
    fn what_arrives_with_time_to_spare_is_doubled_up_to_the_most() {
        let mut portion = Portion::new(32, 100, LONG);
        let mut next = || {
            portion.arrived(Instant::now());
            portion.count()
        };
        assert_eq!([next(), next(), next()], [64, 100, 100]);
    }

    #[test]
    fn what_takes_a_good_part_of_its_time_stays_as_it_is() {
        let mut portion = Portion::new(32, 100, Duration::ZERO);
        portion.arrived(Instant::now());
        assert_eq!(portion.count(), 32);
    }
}
