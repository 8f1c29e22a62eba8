//! The figures in the text exposition format of Prometheus, version 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).

use std::collections::BTreeSet;

use super::figures::{KNOWN, Kind, of};
use crate::queue::{Figure, Info};

/// A sample per figure with its HELP and TYPE, labelled with the queue. Spans are in seconds, counters end in `_total`,
/// the leader is the label of an info metric. A figure that is not known here is a gauge if it is a number, and left out
/// if it is not; so is what has no value now.
pub(super) fn exposition(queue: &str, info: &Info) -> String {
    let known = KNOWN.iter().filter_map(|known| {
        let labels = [("queue", queue)];
        let metric = format!("mq_{}", known.metric);
        match (known.kind, info.get(known.name)?) {
            (Kind::Level, Figure::Number(number)) => {
                Some(Metric::of(metric, "gauge", known.help, &labels, number.to_string()))
            }
            (Kind::Millis, Figure::Number(millis)) => {
                Some(Metric::of(metric + "_seconds", "gauge", known.help, &labels, seconds(*millis)))
            }
            (Kind::Total, Figure::Number(number)) => {
                Some(Metric::of(metric + "_total", "counter", known.help, &labels, number.to_string()))
            }
            (Kind::Switch, Figure::Text(word)) => {
                let on = if word == "yes" { "1" } else { "0" };
                Some(Metric::of(metric, "gauge", known.help, &labels, on.to_owned()))
            }
            (Kind::Name, Figure::Text(name)) => {
                let labels = [("queue", queue), (known.metric, name.as_str())];
                Some(Metric::of(metric + "_info", "gauge", known.help, &labels, "1".to_owned()))
            }
            _ => None,
        }
    });
    let unknown = info.iter().filter(|(name, _)| of(name).is_none()).filter_map(|(name, figure)| {
        let Figure::Number(number) = figure else { return None };
        let help = format!("{name} of MQ.INFO.");
        let (metric, value) = match name.strip_suffix("-ms") {
            Some(span) => (format!("mq_{}_seconds", identifier(span)), seconds(*number)),
            None => (format!("mq_{}", identifier(name)), number.to_string()),
        };
        Some(Metric::of(metric, "gauge", &help, &[("queue", queue)], value))
    });
    // A name that stands twice would spoil the whole.
    let mut names = BTreeSet::new();
    known.chain(unknown).filter(|metric| names.insert(metric.name.clone())).map(|metric| metric.text).collect()
}

/// A metric with its one sample.
struct Metric {
    name: String,
    text: String,
}

impl Metric {
    fn of(name: String, kind: &str, help: &str, labels: &[(&str, &str)], value: String) -> Self {
        let labels: Vec<String> =
            labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escaped(value, true))).collect();
        let text = format!(
            "# HELP {name} {}\n# TYPE {name} {kind}\n{name}{{{}}} {value}\n",
            escaped(help, false),
            labels.join(",")
        );
        Self { name, text }
    }
}

/// Within HELP a backslash and a line feed are escaped, within a label also the quote.
fn escaped(text: &str, quotes: bool) -> String {
    let text = text.replace('\\', r"\\").replace('\n', r"\n");
    if quotes { text.replace('"', "\\\"") } else { text }
}

/// What a metric's name may hold.
fn identifier(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect()
}

/// Milliseconds as a decimal number of seconds, exactly.
fn seconds(millis: u64) -> String {
    format!("{}.{:03}", millis / 1_000, millis % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exposed(queue: &str, figures: &[(&str, Figure)]) -> String {
        exposition(queue, &figures.iter().map(|(name, figure)| ((*name).to_owned(), figure.clone())).collect())
    }

    fn text(text: &str) -> Figure {
        Figure::Text(text.to_owned())
    }

    #[test]
    fn levels_are_gauges_and_totals_counters() {
        let expected = "# HELP mq_ready_messages Messages that can be claimed.\n\
                        # TYPE mq_ready_messages gauge\n\
                        mq_ready_messages{queue=\"q\"} 5\n\
                        # HELP mq_acked_messages_total Messages completed.\n\
                        # TYPE mq_acked_messages_total counter\n\
                        mq_acked_messages_total{queue=\"q\"} 7\n";
        assert_eq!(exposed("q", &[("acked", Figure::Number(7)), ("ready", Figure::Number(5))]), expected);
    }

    #[test]
    fn spans_are_seconds_switches_are_one_or_zero_and_the_leader_is_a_label() {
        let text = exposed(
            "q",
            &[
                ("oldest-ready-age-ms", Figure::Number(61_007)),
                ("next-due-in-ms", Figure::Nothing),
                ("lease", Figure::Number(30_000)),
                ("paused", text("yes")),
                ("leader-only", text("no")),
                ("leader", text("peer:1")),
            ],
        );
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let expected = [
            "mq_oldest_ready_age_seconds{queue=\"q\"} 61.007",
            "mq_leader_info{queue=\"q\",leader=\"peer:1\"} 1",
            "mq_setting_lease_seconds{queue=\"q\"} 30.000",
            "mq_setting_paused{queue=\"q\"} 1",
            "mq_setting_leader_only{queue=\"q\"} 0",
        ];
        assert_eq!(samples, expected);
    }

    #[test]
    fn figures_of_a_later_server_are_gauges_if_they_are_numbers() {
        let figures = [
            ("brand-new", Figure::Number(1)),
            ("brand-new-ms", Figure::Number(2_500)),
            ("brand-new-word", text("x")),
            // Would be the name of a known one.
            ("ready", Figure::Number(5)),
            ("ready-messages", Figure::Number(6)),
        ];
        let text = exposed("q", &figures);
        assert!(text.contains("# TYPE mq_brand_new gauge\nmq_brand_new{queue=\"q\"} 1\n"), "{text}");
        assert!(text.contains("mq_brand_new_seconds{queue=\"q\"} 2.500\n"), "{text}");
        assert!(!text.contains("word"), "{text}");
        assert_eq!(text.matches("# TYPE mq_ready_messages ").count(), 1, "{text}");
    }

    #[test]
    fn labels_are_escaped() {
        let text = exposed("a\\b\"c\nd", &[("ready", Figure::Number(5))]);
        assert!(text.ends_with("mq_ready_messages{queue=\"a\\\\b\\\"c\\nd\"} 5\n"), "{text}");
    }
}
