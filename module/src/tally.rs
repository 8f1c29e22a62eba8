//! What this server has counted over all its queues since it started, for `INFO mq`, and what it tells of each step.

use std::ffi::CStr;
use std::sync::atomic::{AtomicU64, Ordering};

use mq_engine::{Queue, Totals};

use crate::server::{Global, InfoPage};
use crate::waiting;

/// What one step has counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counted {
    totals: Totals,
    leader_changes: u64,
}

/// Counted by the server for all queues; those of [`crate::entry::Sightings`] too.
struct Tally {
    counted: Counted,
    stale: u64,
    fenced: u64,
    duplicates: u64,
}

static TALLY: Global<Tally> = Global::new(Tally {
    counted: Counted { totals: Totals::NONE, leader_changes: 0 },
    stale: 0,
    fenced: 0,
    duplicates: 0,
});

/// Queues in memory. Counted atomically, since a queue may be freed in another thread.
static QUEUES: AtomicU64 = AtomicU64::new(0);

/// Before a step.
pub fn before(queue: &Queue) -> Counted {
    Counted { totals: *queue.totals(), leader_changes: queue.leader_changes() }
}

/// After it: what it has counted.
pub fn after(before: &Counted, queue: &Queue) -> Counted {
    let counted = Counted {
        totals: queue.totals().since(&before.totals),
        leader_changes: queue.leader_changes().wrapping_sub(before.leader_changes),
    };
    TALLY.with(|tally| {
        tally.counted.totals.add(&counted.totals);
        tally.counted.leader_changes += counted.leader_changes;
    });
    counted
}

/// Refused or recognised; see [`crate::entry::Sightings`].
pub fn saw(stale: u64, fenced: u64, duplicates: u64) {
    TALLY.with(|tally| {
        tally.stale += stale;
        tally.fenced += fenced;
        tally.duplicates += duplicates;
    });
}

/// A queue has come into memory.
pub fn queue_made() {
    QUEUES.fetch_add(1, Ordering::Relaxed);
}

/// A queue has gone from it.
pub fn queue_gone() {
    QUEUES.fetch_sub(1, Ordering::Relaxed);
}

impl Counted {
    /// The keyspace events of this step, in the order of a message's life.
    pub fn events(&self) -> impl Iterator<Item = &'static CStr> {
        let totals = &self.totals;
        let events = [
            (self.leader_changes, c"mq.leader"),
            (totals.expired + totals.ttl_expired, c"mq.expire"),
            (totals.pushed, c"mq.push"),
            (totals.acked, c"mq.ack"),
            (totals.delivered, c"mq.claim"),
            (totals.failed + totals.retried, c"mq.fail"),
            (totals.released, c"mq.release"),
            (totals.drained, c"mq.drainerrors"),
            (totals.redriven, c"mq.redrive"),
            (totals.removed + totals.dropped, c"mq.remove"),
        ];
        events.into_iter().filter(|(count, _)| *count > 0).map(|(_, event)| event)
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
    for (name, total) in Totals::NAMES.iter().zip(tally.counted.totals.all()) {
        page.number(name, total);
    }
    page.number("leader_changes", tally.counted.leader_changes);
    page.number("stale", tally.stale);
    page.number("fenced", tally.fenced);
    page.number("duplicates", tally.duplicates);
}
