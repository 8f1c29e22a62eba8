//! How much work the module may do by itself: due work and hand-overs take at most about half of the server's time, in pieces
//! of a millisecond or two, however many queues and waiters there are, so that clients have their turn.
//!
//! A bucket of pieces that fills with time. A piece is one due claim, delay, TTL or error, about a microsecond; a served waiter
//! counts as several.

use mq_engine::{DUE_PER_STEP, Time};

use crate::server::Global;

/// Pieces that the bucket holds.
const FULL: usize = DUE_PER_STEP;

/// Pieces that flow into it in a millisecond.
const PIECES_PER_MS: u64 = 500;

/// Pieces that a client's command may do whatever others have done: so that a claim finds what is due.
const COMMAND_PIECES: usize = 64;

/// Below this many pieces the timer waits for more.
const TIMER_PIECES: usize = 100;

/// What serving one waiter counts as.
pub const WAITER_PIECES: usize = 4;

/// What the turn of one queue counts as, beside what is done in it.
pub const TURN_PIECES: usize = 4;

/// The least that one queue may do in its turn, however many others are due.
const LEAST_SHARE: usize = 24;

struct Bucket {
    pieces: usize,
    at: Time,
    /// What one queue may do in its turn.
    share: usize,
}

impl Bucket {
    const NEW: Bucket = Bucket { pieces: FULL, at: Time(0), share: FULL };
}

static BUCKET: Global<Bucket> = Global::new(Bucket::NEW);

impl Bucket {
    fn fill(&mut self, now: Time) -> usize {
        let passed = now.since(self.at).0;
        if passed > 0 {
            let more = usize::try_from(passed.saturating_mul(PIECES_PER_MS)).unwrap_or(FULL);
            self.pieces = self.pieces.saturating_add(more).min(FULL);
            self.at = now;
        }
        self.pieces
    }
}

/// The pieces of due work that a client's command may do now.
pub fn for_command(now: Time) -> usize {
    BUCKET.with(|bucket| bucket.fill(now)).max(COMMAND_PIECES)
}

/// The pieces of due work that the timer may do for one queue now; 0 if it should wait a millisecond.
pub fn for_timer(now: Time) -> usize {
    let (pieces, share) = BUCKET.with(|bucket| (bucket.fill(now), bucket.share));
    if pieces < TIMER_PIECES { 0 } else { pieces.min(share) }
}

/// So many queues are due: each gets its share, so that one with little to do does not wait for those with much.
pub fn divide(queues: usize) {
    BUCKET.with(|bucket| bucket.share = (FULL / queues.max(1)).max(LEAST_SHARE));
}

/// On whose turn pieces of work are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spender {
    /// A client's command: it leaves the timer a reserve, so that many commands do not keep it from its turn.
    Command,
    /// The timer.
    Timer,
}

/// What commands leave of the bucket.
const RESERVE: usize = 2 * TIMER_PIECES;

/// Notes pieces that have been done.
pub fn spend(spender: Spender, pieces: usize) {
    BUCKET.with(|bucket| {
        let kept = if spender == Spender::Command { RESERVE.min(bucket.pieces) } else { 0 };
        bucket.pieces = bucket.pieces.saturating_sub(pieces).max(kept);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_time_is_left_to_clients_and_a_command_can_always_do_something() {
        let _alone = crate::server::alone();
        BUCKET.with(|bucket| *bucket = Bucket::NEW);
        let mut now = Time(1_000_000);
        assert_eq!(for_timer(now), FULL);
        let (mut done, until) = (0, now.0 + 1000);
        while now.0 < until {
            let pieces = for_timer(now);
            spend(Spender::Timer, pieces);
            done += pieces;
            assert!(pieces <= FULL && for_timer(now) == 0);
            assert_eq!(for_command(now), COMMAND_PIECES);
            now.0 += 1;
        }
        assert!((490_000..510_000).contains(&done), "{done} pieces in a second");
    }

    #[test]
    fn commands_leave_the_timer_enough_for_a_turn() {
        let _alone = crate::server::alone();
        BUCKET.with(|bucket| *bucket = Bucket::NEW);
        let now = Time(2_000_000);
        assert_eq!(for_timer(now), FULL);
        (0..1000).for_each(|_| spend(Spender::Command, for_command(now)));
        assert_eq!(for_timer(now), RESERVE);
    }
}
