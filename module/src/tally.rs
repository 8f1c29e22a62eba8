//! What this server has counted over all its queues since it started, for `INFO mq`, and what it tells of each step.

use std::ffi::CStr;
use std::sync::atomic::{AtomicU64, Ordering};

use mq_engine::{Queue, Totals};

use crate::server::{Global, InfoPage};
use crate::waiting;

/// What a queue had counted before a step.
#[derive(Clone, Copy, Debug)]
pub struct Before {
    totals: Totals,
    leader_changes: u64,
}

/// What a step was, for those who listen to keyspace events: one bit for each of [`EVENTS`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Happened(u16);

/// In the order in which they are told.
const EVENTS: [&CStr; 11] = [
    c"mq.leader",
    c"mq.expire",
    c"mq.dead",
    c"mq.push",
    c"mq.ack",
    c"mq.claim",
    c"mq.fail",
    c"mq.release",
    c"mq.drainerrors",
    c"mq.redrive",
    c"mq.remove",
];

/// Counted by the server for all queues; those of [`crate::entry::Sightings`] too.
struct Tally {
    totals: [u64; Totals::COUNT],
    /// Of all queues, those that have gone included: see [`GONE`].
    levels: [u64; 4],
    leader_changes: u64,
    stale: u64,
    fenced: u64,
    duplicates: u64,
}

impl Tally {
    fn change_levels(&mut self, from: [u64; 4], to: [u64; 4]) {
        for (sum, (from, to)) in self.levels.iter_mut().zip(from.into_iter().zip(to)) {
            *sum = sum.wrapping_add(to).wrapping_sub(from);
        }
    }
}

static TALLY: Global<Tally> = Global::new(Tally {
    totals: [0; Totals::COUNT],
    levels: [0; 4],
    leader_changes: 0,
    stale: 0,
    fenced: 0,
    duplicates: 0,
});

/// Queues in memory. Counted atomically, since a queue may be freed in another thread.
static QUEUES: AtomicU64 = AtomicU64::new(0);

/// What of [`Tally::levels`] has gone with its queues.
static GONE: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];

/// The names of the levels.
const LEVELS: [&str; 4] = ["ready", "delayed", "claimed", "errors"];

/// Nothing, as before the step that creates a queue.
pub const NOTHING: Before = Before { totals: Totals::NONE, leader_changes: 0 };

/// Before a step.
pub fn before(queue: &Queue) -> Before {
    Before { totals: *queue.totals(), leader_changes: queue.leader_changes() }
}

/// After it: what has happened. `levels` are those that the queue had before, and become those that it has.
pub fn after(before: &Before, queue: &Queue, levels: &mut [u64; 4]) -> Happened {
    let leaders = queue.leader_changes().wrapping_sub(before.leader_changes);
    let step = TALLY.with(|tally| {
        tally.leader_changes += leaders;
        let now = queue.levels();
        tally.change_levels(*levels, now);
        *levels = now;
        queue.totals().add_since(&before.totals, &mut tally.totals)
    });
    let counts = [
        leaders,
        step.expired + step.ttl_expired,
        step.dead + step.ttl_expired,
        step.pushed,
        step.acked,
        step.delivered,
        step.failed + step.retried,
        step.released,
        step.drained,
        step.redriven,
        step.removed + step.dropped,
    ];
    let bits = counts.into_iter().rev().fold(0, |bits, count| bits << 1 | u16::from(count > 0));
    Happened(bits)
}

/// Refused or recognised; see [`crate::entry::Sightings`].
pub fn saw(stale: u64, fenced: u64, duplicates: u64) {
    TALLY.with(|tally| {
        tally.stale += stale;
        tally.fenced += fenced;
        tally.duplicates += duplicates;
    });
}

/// A queue has come into memory, with these levels.
pub fn queue_made(levels: [u64; 4]) {
    QUEUES.fetch_add(1, Ordering::Relaxed);
    TALLY.with(|tally| tally.change_levels([0; 4], levels));
}

/// A queue has gone from it.
pub fn queue_gone(levels: [u64; 4]) {
    QUEUES.fetch_sub(1, Ordering::Relaxed);
    for (gone, level) in GONE.iter().zip(levels) {
        gone.fetch_add(level, Ordering::Relaxed);
    }
}

impl Happened {
    /// This and what happened in another step.
    pub fn and(self, other: Happened) -> Happened {
        Happened(self.0 | other.0)
    }

    /// The keyspace events of these steps, each once.
    pub fn events(self) -> impl Iterator<Item = &'static CStr> {
        let bits = std::iter::successors(Some(self.0), |bits| Some(bits & bits.wrapping_sub(1)));
        bits.take_while(|bits| *bits != 0).filter_map(|bits| EVENTS.get(bits.trailing_zeros() as usize).copied())
    }
}

/// The section `mq` of INFO.
pub fn show(page: &mut InfoPage) {
    page.text("version", env!("CARGO_PKG_VERSION"));
    page.text("git_revision", env!("MQ_GIT_REVISION"));
    page.number("queues", QUEUES.load(Ordering::Relaxed));
    let (consumers, candidates) = waiting::everywhere();
    page.number("blocked_consumers", consumers as u64);
    page.number("blocked_candidates", candidates as u64);
    let tally = TALLY.read();
    for (name, (level, gone)) in LEVELS.iter().zip(tally.levels.iter().zip(&GONE)) {
        page.number(name, level.wrapping_sub(gone.load(Ordering::Relaxed)));
    }
    for (name, total) in Totals::NAMES.iter().zip(tally.totals) {
        page.number(name, total);
    }
    page.number("leader_changes", tally.leader_changes);
    page.number("stale", tally.stale);
    page.number("fenced", tally.fenced);
    page.number("duplicates", tally.duplicates);
}
