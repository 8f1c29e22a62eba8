//! MQ.INFO: a queue at a glance.

use mq_engine::{ConsumerView, Info as View, Queue, Time};

use super::{Call, Command};
use crate::entry::{Place, Sightings};
use crate::failure::Failure;
use crate::looking::look;
use crate::server::Reply;
use crate::syntax::{Argument, Choice, KeyUse, Slot, Syntax};
use crate::{moment, settings, waiting};

/// `MQ.INFO queue [CONSUMERS [COUNT n]]`
///
/// A map; with CONSUMERS it ends with a list of maps, one for each consumer that holds claims.
pub struct Info;

/// The most consumers that one reply lists.
const LARGEST_COUNT: u64 = 1_000;

const SYNTAX: Syntax = Syntax {
    name: "MQ.INFO",
    summary: "Levels, totals and settings of a queue; with CONSUMERS who holds claims.",
    since: "0.1.0",
    complexity: "O(N) with N ended claims that no write has taken back yet, a sixty-fourth of the other overdue messages, and the consumers shown",
    flags: "readonly",
    key: KeyUse::Shows,
    positions: &[],
    options: &[
        Choice::new("CONSUMERS", &[]),
        Choice::new("COUNT", &[Argument::count(LARGEST_COUNT)]).needs("CONSUMERS"),
    ],
    one_of: None,
};
const CONSUMERS: Slot = SYNTAX.slot("CONSUMERS");
const COUNT: Slot = SYNTAX.slot("COUNT");

/// What the map says.
struct Shown {
    view: View,
    settings: mq_engine::Settings,
    sightings: Sightings,
    consumers: Option<Vec<ConsumerView>>,
    now: Time,
}

impl Command for Info {
    const SYNTAX: &'static Syntax = &SYNTAX;

    fn run(call: &Call<'_>) -> Result<(), Failure> {
        let count = call.count(COUNT).unwrap_or(LARGEST_COUNT as usize);
        let show = |queue: &Queue, now: Time, sightings: Sightings| Shown {
            view: queue.info(now),
            settings: queue.settings().clone(),
            sightings,
            consumers: call.has(CONSUMERS).then(|| queue.consumers(count)),
            now,
        };
        let shown = look(call.context, call.queue, |queue, glance| {
            let mut shown = show(queue, glance.now, glance.entry.sightings);
            shown.view.leader = glance.leader(queue);
            shown
        })?;
        // A missing queue shows as an empty one.
        let empty = || {
            let mut shown = show(&Queue::new(settings::defaults()), moment::now(), Sightings::default());
            shown.view.memory_bytes = 0;
            shown
        };
        let waiters = waiting::count(&Place::new(call.context.db(), call.queue.bytes()));
        reply(call.reply(), &shown.unwrap_or_else(empty), waiters);
        Ok(())
    }
}

fn reply(reply: Reply<'_>, shown: &Shown, (consumers, candidates): (usize, usize)) {
    let levels = levels(&shown.view);
    let totals = totals(&shown.view);
    let seen = [
        ("stale", shown.sightings.stale),
        ("fenced", shown.sightings.fenced),
        ("duplicates", shown.sightings.duplicates),
        ("blocked-consumers", consumers as u64),
        ("blocked-candidates", candidates as u64),
    ];
    let with_consumers = usize::from(shown.consumers.is_some());
    reply.map(levels.len() + 1 + totals.len() + settings::ROWS.len() + seen.len() + with_consumers);
    for (name, level) in levels {
        reply.bytes(name.as_bytes());
        level.map_or_else(|| reply.null(), |level| reply.integer(level));
        if name == BEFORE_LEADER {
            reply.bytes(b"leader");
            match &shown.view.leader {
                Some(leader) => reply.bytes(&leader.candidate),
                None => reply.null(),
            }
        }
    }
    for (name, total) in totals {
        reply.bytes(name.as_bytes());
        reply.integer(total);
    }
    settings::reply(reply, &shown.settings);
    for (name, count) in seen {
        reply.bytes(name.as_bytes());
        reply.integer(count);
    }
    if let Some(consumers) = &shown.consumers {
        reply.bytes(b"consumers");
        reply.array(consumers.len());
        consumers.iter().for_each(|consumer| reply_consumer(reply, consumer, shown.now));
    }
}

/// After this level the map names the leader.
const BEFORE_LEADER: &str = "next-due-in-ms";

fn levels(view: &View) -> [(&'static str, Option<u64>); 11] {
    let leader = view.leader.as_ref();
    [
        ("ready", Some(view.ready)),
        ("held", Some(view.held)),
        ("delayed", Some(view.delayed)),
        ("claimed", Some(view.claimed)),
        ("errors", Some(view.errors)),
        ("overdue", Some(view.overdue)),
        ("oldest-ready-age-ms", view.oldest_ready_age.map(|age| age.0)),
        (BEFORE_LEADER, view.next_due_in.map(|left| left.0)),
        ("leader-token", Some(leader.map_or(0, |leader| leader.token.0))),
        ("leader-lease-left-ms", Some(leader.map_or(0, |leader| leader.left.0))),
        ("leader-changes", Some(view.leader_changes)),
    ]
}

fn totals(view: &View) -> [(&'static str, u64); 15] {
    let totals = &view.totals;
    [
        ("pushed", totals.pushed),
        ("delivered", totals.delivered),
        ("redelivered", totals.redelivered),
        ("acked", totals.acked),
        ("failed", totals.failed),
        ("dead", totals.dead),
        ("retried", totals.retried),
        ("expired", totals.expired),
        ("released", totals.released),
        ("drained", totals.drained),
        ("redriven", totals.redriven),
        ("removed", totals.removed),
        ("dropped", totals.dropped),
        ("ttl-expired", totals.ttl_expired),
        ("memory-bytes", view.memory_bytes),
    ]
}

fn reply_consumer(reply: Reply<'_>, consumer: &ConsumerView, now: Time) {
    reply.map(3);
    reply.bytes(b"name");
    reply.bytes(&consumer.name);
    reply.bytes(b"claims");
    reply.integer(consumer.claims);
    reply.bytes(b"nearest-deadline-in-ms");
    reply.integer(consumer.nearest_deadline.since(now).0);
}
