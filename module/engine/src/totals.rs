//! What a queue has counted since it was created.

use crate::codec::Corrupt;

macro_rules! totals {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counted since the queue was created; part of its state.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Totals {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Totals {
            /// Every total, in the order of the fields.
            pub fn all(&self) -> [u64; Totals::COUNT] {
                [$(self.$name),*]
            }

            /// Nothing counted.
            pub const NONE: Totals = Totals { $($name: 0),* };

            /// The name of each, as MQ.INFO has it but with `_` for `-`.
            pub const NAMES: [&str; Totals::COUNT] = [$(stringify!($name)),*];

            fn from_array(all: [u64; Totals::COUNT]) -> Totals {
                let [$($name),*] = all;
                Totals { $($name),* }
            }

            /// What was counted since an earlier state of the same totals; it is added to `sum` too. (Loops over arrays, which
            /// become a few wide instructions: this runs at every step.)
            pub fn add_since(&self, earlier: &Totals, sum: &mut [u64; Totals::COUNT]) -> Totals {
                let (mut step, earlier) = (self.all(), earlier.all());
                for (step, (earlier, sum)) in step.iter_mut().zip(earlier.iter().zip(sum)) {
                    *step = step.wrapping_sub(*earlier);
                    *sum = sum.wrapping_add(*step);
                }
                Totals::from_array(step)
            }

            /// What was counted since an earlier state of the same totals.
            pub fn since(&self, earlier: &Totals) -> Totals {
                self.add_since(earlier, &mut [0; Totals::COUNT])
            }

            /// How many there are.
            pub const COUNT: usize = [$(stringify!($name)),*].len();

            /// Totals that an earlier version did not count are 0.
            pub(crate) fn from_all(all: &[u64]) -> Result<Totals, Corrupt> {
                if all.len() > Totals::COUNT {
                    return Err(Corrupt("totals of a later version"));
                }
                let mut all = all.iter().copied();
                Ok(Totals { $($name: all.next().unwrap_or(0)),* })
            }
        }
    };
}

// The order is that of the saved format: a new one goes to the end.
totals! {
    /// Messages accepted.
    pushed,
    /// Claims of messages.
    delivered,
    /// Those of them that were not the first of their message.
    redelivered,
    /// Messages completed.
    acked,
    /// Messages that FAIL sent to the error store.
    failed,
    /// Messages that an ended claim sent there, having no delivery left.
    dead,
    /// Messages that FAIL … RETRY put back.
    retried,
    /// Claims that ended by lease, session or EXTEND 0.
    expired,
    /// Claims given back.
    released,
    /// Errored messages taken for good.
    drained,
    /// Errored messages made ready again.
    redriven,
    /// Messages deleted by REMOVE and PURGE.
    removed,
    /// Errored messages that were kept for `errors-keep` and no longer.
    dropped,
    /// Messages that their TTL sent to the error store.
    ttl_expired,
}

impl Totals {
    /// Messages that are no more, whatever became of them.
    pub(crate) fn gone(&self) -> Option<u64> {
        [self.acked, self.drained, self.removed, self.dropped].into_iter().try_fold(0, u64::checked_add)
    }
}
