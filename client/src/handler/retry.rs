//! Whether a failed message is tried again, and when.

use std::time::Duration;

/// How often a failing message is tried again before it goes to the error store, and how long it rests in between.
///
/// After *d* deliveries it rests for a time chosen at random between `shortest` and the smaller of `longest` and
/// `shortest` × 2^*d*: messages that failed together do not come back together ("full jitter", Brooker, "Exponential
/// Backoff And Jitter", 2015; here over all that lies above the shortest time, so that both bounds hold).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retries {
    /// So many times a message is tried again; 0: it goes to the error store at once.
    pub count: u32,
    /// No rest is shorter.
    pub shortest: Duration,
    /// No rest is longer.
    pub longest: Duration,
}

impl Retries {
    /// Every failure goes to the error store.
    pub const NONE: Self = Self { count: 0, shortest: Duration::ZERO, longest: Duration::ZERO };

    /// For how long a message rests that failed at its delivery number `deliveries`; `None`: it is not tried again. A
    /// delivery that ended with its claim, because the handler died, counts as one that failed.
    pub fn rest_after(&self, deliveries: u64) -> Option<Duration> {
        (deliveries <= u64::from(self.count)).then(|| self.rest(deliveries, rand::random()))
    }

    /// `random` in 0 … 1 chooses between the bounds.
    fn rest(&self, deliveries: u64, random: f64) -> Duration {
        let exponent = u32::try_from(deliveries).unwrap_or(u32::MAX);
        let ceiling = self.shortest.saturating_mul(2_u32.saturating_pow(exponent)).min(self.longest);
        self.shortest + ceiling.saturating_sub(self.shortest).mul_f64(random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRIES: Retries =
        Retries { count: u32::MAX, shortest: Duration::from_secs(1), longest: Duration::from_secs(300) };

    #[test]
    fn a_message_is_tried_again_while_its_deliveries_allow_it() {
        let thrice = Retries { count: 3, ..RETRIES };
        assert!([1, 2, 3].into_iter().all(|deliveries| thrice.rest_after(deliveries).is_some()));
        assert_eq!((thrice.rest_after(4), thrice.rest_after(u64::MAX)), (None, None));
        assert_eq!(Retries::NONE.rest_after(1), None);
    }

    #[test]
    fn rests_grow_by_doubling_up_to_the_longest() {
        let longest_of = |deliveries| RETRIES.rest(deliveries, 1.0).as_secs();
        assert_eq!([1, 2, 3, 8].map(longest_of), [2, 4, 8, 256]);
        assert_eq!([9, 10, 40].map(longest_of), [300; 3]);
    }

    #[test]
    fn the_largest_count_of_deliveries_does_not_overflow() {
        for deliveries in [31, 32, 33, u64::from(u32::MAX), u64::MAX] {
            assert_eq!(RETRIES.rest(deliveries, 1.0), RETRIES.longest, "{deliveries}");
        }
        let extreme = Retries { shortest: Duration::MAX, longest: Duration::MAX, ..RETRIES };
        assert_eq!(extreme.rest(u64::from(u32::MAX), 1.0), Duration::MAX);
        assert!(RETRIES.rest_after(u64::from(u32::MAX)).is_some());
        assert_eq!(RETRIES.rest_after(u64::from(u32::MAX) + 1), None);
    }

    #[test]
    fn chance_decides_between_the_bounds_and_never_beyond_them() {
        for deliveries in 1..20 {
            let rests: Vec<_> = (0..200).filter_map(|_| RETRIES.rest_after(deliveries)).collect();
            let ceiling = RETRIES.rest(deliveries, 1.0);
            assert!(rests.iter().all(|rest| (RETRIES.shortest..=ceiling).contains(rest)), "{rests:?}");
            assert!(rests.iter().any(|rest| *rest != rests[0]), "no two alike");
        }
        assert_eq!(RETRIES.rest(5, 0.0), RETRIES.shortest);
    }

    #[test]
    fn equal_bounds_are_a_fixed_rest() {
        let fixed = Retries { longest: RETRIES.shortest, ..RETRIES };
        assert_eq!((fixed.rest(1, 0.7), fixed.rest(9, 0.2)), (RETRIES.shortest, RETRIES.shortest));
    }
}
