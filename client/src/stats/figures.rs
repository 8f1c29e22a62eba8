//! What is known of the figures of MQ.INFO. A figure that is not in the table is shown all the same, as what it looks
//! like: to add one, add a row.

/// A figure of MQ.INFO.
#[derive(Debug)]
pub(super) struct Known {
    /// Its name in MQ.INFO.
    pub name: &'static str,
    pub group: Group,
    pub kind: Kind,
    /// Its name for Prometheus, without the prefix and the endings that the kind asks for.
    pub metric: &'static str,
    /// What it says, for Prometheus.
    pub help: &'static str,
}

impl Known {
    /// What 0 means to people; `None`: 0.
    pub(super) fn zero(&self) -> Option<&'static str> {
        match (self.group, self.name) {
            (Group::Settings, "errors-keep") => Some("for ever"),
            (Group::Settings, _) => Some("no limit"),
            _ => None,
        }
    }
}

/// Figures that are shown together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    Now,
    Leader,
    Totals,
    Settings,
    Besides,
}

impl Group {
    /// In the order in which they are shown.
    pub(super) const ALL: [Self; 5] = [Self::Now, Self::Leader, Self::Totals, Self::Settings, Self::Besides];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Now => "now",
            Self::Leader => "leader",
            Self::Totals => "in total",
            Self::Settings => "settings",
            Self::Besides => "besides",
        }
    }
}

/// How a figure moves, and its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A number that goes up and down, or that somebody sets.
    Level,
    /// A span in milliseconds that does.
    Millis,
    /// A number that only grows.
    Total,
    /// yes or no.
    Switch,
    /// A name.
    Name,
}

const fn known(group: Group, name: &'static str, kind: Kind, metric: &'static str, help: &'static str) -> Known {
    Known { name, group, kind, metric, help }
}

use Group::{Besides, Leader, Now, Settings, Totals};
use Kind::{Level, Millis, Name, Switch, Total};

/// Every figure that is known, in the order in which it is shown.
pub(super) const KNOWN: [Known; 40] = [
    known(Now, "ready", Level, "ready_messages", "Messages that can be claimed."),
    known(Now, "delayed", Level, "delayed_messages", "Messages that become ready at their time."),
    known(Now, "claimed", Level, "claimed_messages", "Messages that a consumer holds."),
    known(Now, "errors", Level, "errored_messages", "Messages in the error store."),
    known(Now, "held", Level, "held_messages", "Messages that wait for others of their group."),
    known(Now, "overdue", Level, "overdue_messages", "Ended claims and due delays that no write has taken back yet."),
    known(Now, "oldest-ready-age-ms", Millis, "oldest_ready_age", "Age of the oldest ready message."),
    known(Now, "next-due-in-ms", Millis, "next_due", "Time until the next delay or claim ends."),
    known(Leader, "leader", Name, "leader", "Who leads."),
    known(Leader, "leader-token", Level, "leader_token", "Fencing token of the leader; 0 when nobody leads."),
    known(Leader, "leader-lease-left-ms", Millis, "leader_lease_left", "What is left of the leader's lease."),
    known(Leader, "leader-changes", Total, "leader_changes", "Leaderships that began."),
    known(Totals, "pushed", Total, "pushed_messages", "Messages accepted."),
    known(Totals, "delivered", Total, "delivered_messages", "Claims of messages."),
    known(Totals, "redelivered", Total, "redelivered_messages", "Claims that were not the first of their message."),
    known(Totals, "acked", Total, "acked_messages", "Messages completed."),
    known(Totals, "failed", Total, "failed_messages", "Messages that FAIL sent to the error store."),
    known(Totals, "dead", Total, "dead_messages", "Messages sent there by an ended claim, having no delivery left."),
    known(Totals, "ttl-expired", Total, "ttl_expired_messages", "Messages whose time to live ended."),
    known(Totals, "retried", Total, "retried_messages", "Failures that are tried again."),
    known(Totals, "expired", Total, "expired_claims", "Claims that ended by lease or session."),
    known(Totals, "released", Total, "released_claims", "Claims given back unprocessed."),
    known(Totals, "drained", Total, "drained_messages", "Errored messages taken for good."),
    known(Totals, "redriven", Total, "redriven_messages", "Errored messages made ready again."),
    known(Totals, "removed", Total, "removed_messages", "Messages deleted by hand."),
    known(Totals, "dropped", Total, "dropped_messages", "Errored messages that were kept long enough."),
    known(Settings, "lease", Millis, "setting_lease", "Setting: default lease of claims."),
    known(Settings, "max-deliveries", Level, "setting_max_deliveries", "Setting: deliveries before dead; 0: no limit."),
    known(Settings, "max-length", Level, "setting_max_length", "Setting: most messages in all states; 0: no limit."),
    known(
        Settings,
        "max-claimed",
        Level,
        "setting_max_claimed",
        "Setting: most messages claimed at once; 0: no limit.",
    ),
    known(Settings, "rate", Level, "setting_rate", "Setting: most claims a second; 0: no limit."),
    known(Settings, "errors-keep", Millis, "setting_errors_keep", "Setting: how long errors are kept; 0: for ever."),
    known(Settings, "paused", Switch, "setting_paused", "Setting: 1 while nothing can be claimed."),
    known(Settings, "leader-only", Switch, "setting_leader_only", "Setting: 1 if only the leader can push."),
    known(Besides, "memory-bytes", Level, "memory_bytes", "Memory of the queue in bytes."),
    known(Besides, "blocked-consumers", Level, "blocked_consumers", "Consumers that wait for a message."),
    known(Besides, "blocked-candidates", Level, "blocked_candidates", "Candidates that stand by."),
    known(Besides, "stale", Total, "stale_receipts", "Receipts refused since the server loaded the queue."),
    known(Besides, "fenced", Total, "fenced_pushes", "Pushes refused since then: not the leader's."),
    known(Besides, "duplicates", Total, "duplicate_pushes", "Repeated pushes recognised since then."),
];

/// The row of a figure.
pub(super) fn of(name: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_figure_and_no_metric_stands_twice() {
        for column in [|known: &Known| known.name, |known: &Known| known.metric] {
            let mut all: Vec<_> = KNOWN.iter().map(column).collect();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), KNOWN.len());
        }
    }
}
