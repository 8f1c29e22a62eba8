//! How fast messages may be claimed: the setting `rate`.
//!
//! A token bucket, kept as the moment until which the claims so far have used up the rate (the generic cell rate
//! algorithm, ITU-T I.371). It holds a tenth of a second's claims, or one: so within any second at most 1.1 × `rate` + 1
//! are given, and consumers still get batches.

use crate::Time;

const NS_PER_MS: u64 = 1_000_000;
const NS_PER_SECOND: u64 = 1_000_000_000;

/// What the bucket holds, in time (ns).
const BURST_NS: u64 = 100 * NS_PER_MS;

/// The largest rate, claims per second: above it the pace of single claims is lost in the rounding of nanoseconds.
pub(crate) const FASTEST: u32 = 1_000_000;

/// Nanoseconds since 1970 until which the claims given so far have used up the rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pace {
    pub used_until_ns: u64,
}

fn ns(now: Time) -> u64 {
    now.0.saturating_mul(NS_PER_MS)
}

fn interval(rate: u32) -> u64 {
    NS_PER_SECOND / u64::from(rate.max(1))
}

impl Pace {
    /// How many claims may be given at `now`.
    pub fn allowed(self, rate: u32, now: Time) -> u64 {
        let interval = interval(rate);
        let end = ns(now).saturating_add(BURST_NS.max(interval));
        end.saturating_sub(self.used_until_ns.max(ns(now))) / interval
    }

    /// Notes claims given at `now`.
    pub fn spend(&mut self, rate: u32, claims: u64, now: Time) {
        self.used_until_ns = self.used_until_ns.max(ns(now)).saturating_add(interval(rate).saturating_mul(claims));
    }

    /// A new rate: what the claims so far have used up is measured by it, but no more than the bucket holds.
    pub fn change(&mut self, from: u32, to: u32, now: Time) {
        let used = self.used_until_ns.saturating_sub(ns(now));
        if from == 0 || to == 0 || used == 0 {
            *self = Pace::default();
            return;
        }
        let claims = used.div_ceil(interval(from));
        let used = claims.saturating_mul(interval(to)).min(BURST_NS.max(interval(to)));
        self.used_until_ns = ns(now).saturating_add(used);
    }

    /// When the next claim may be given.
    pub fn next_at(self, rate: u32) -> Time {
        let interval = interval(rate);
        let at = self.used_until_ns.saturating_add(interval).saturating_sub(BURST_NS.max(interval));
        Time(at.div_ceil(NS_PER_MS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes whatever is allowed, whenever something is, and returns the moment of each claim.
    fn claims(rate: u32, from: u64, until: u64) -> Vec<u64> {
        let (mut pace, mut now, mut given) = (Pace::default(), from, Vec::new());
        while now < until {
            let allowed = pace.allowed(rate, Time(now));
            assert!(allowed > 0, "next_at names a moment at which a claim is allowed");
            pace.spend(rate, allowed, Time(now));
            given.extend(std::iter::repeat_n(now, allowed as usize));
            assert_eq!(pace.allowed(rate, Time(now)), 0);
            now = pace.next_at(rate).0;
            assert_eq!(pace.allowed(rate, Time(now - 1)), 0, "nor is it later than needed");
        }
        given
    }

    #[test]
    fn within_any_second_the_rate_is_kept_and_over_a_minute_it_is_reached() {
        const START: u64 = 1_800_000_000_000;
        for rate in [1, 3, 10, 999, 25_000] {
            let given = claims(rate, START, START + 60_000);
            let limit = rate as usize * 11 / 10 + 1;
            for window in given.windows(limit + 1) {
                assert!(window[limit] - window[0] >= 1000, "{rate}: {} in a second", limit + 1);
            }
            assert!(given.len() >= 60 * rate as usize, "{rate}: {} in a minute", given.len());
        }
    }

    #[test]
    fn a_new_rate_holds_at_once() {
        let now = Time(5000);
        let after = |from, claims, to| {
            let mut pace = Pace::default();
            pace.spend(from, claims, now);
            assert_eq!(pace.allowed(from, now), 0);
            pace.change(from, to, now);
            pace
        };
        assert_eq!(after(1, 1, 1000).allowed(1000, now), 99, "one of a hundred is used up");
        assert_eq!(after(100, 10, 1).next_at(1), Time(6000), "at most what the bucket holds");
        assert_eq!(after(1, 1, 0), Pace::default());
        let mut none = Pace::default();
        none.change(0, 10, now);
        assert_eq!(none.allowed(10, now), 1);
    }
}
