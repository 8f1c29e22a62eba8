//! The figures as plain text and as JSON.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::figures::{Group, KNOWN, Kind, Known, of};
use crate::legible::plain;
use crate::output::json_line;
use crate::queue::{Figure, Info};

/// The figures by group; those that are not known here come last. What has no value now is left out; a setting that is 0
/// says what that means.
pub(super) fn text(queue: &str, info: &Info) -> String {
    let value = |name: &str, figure: &Figure| match (figure, of(name).and_then(Known::zero)) {
        (Figure::Number(0), Some(zero)) => zero.to_owned(),
        _ => plain(figure.to_string().as_bytes()),
    };
    let mut text = format!("queue {}\n", plain(queue.as_bytes()));
    for group in Group::ALL {
        let known = KNOWN.iter().filter(|known| known.group == group);
        let figures = known.filter_map(|known| Some((known.name, info.get(known.name)?)));
        let unknown = info.iter().filter(|(name, _)| group == Group::Besides && of(name).is_none());
        let mut lines = figures
            .chain(unknown)
            .filter(|(_, figure)| **figure != Figure::Nothing)
            .map(|(name, figure)| format!("    {:<24} {}\n", plain(name.as_bytes()), value(name, figure)))
            .peekable();
        if lines.peek().is_some() {
            // Writing to a String cannot fail.
            let _infallible = writeln!(text, "  {}", group.title());
            lines.for_each(|line| text.push_str(&line));
        }
    }
    text
}

/// One object on one line: the queue's name under `queue`, and every figure by its name in MQ.INFO with underscores for
/// dashes. A switch is true or false; what has no value now is null.
pub(super) fn json(queue: &str, info: &Info) -> String {
    let value = |name: &str, figure: &Figure| match figure {
        Figure::Number(number) => Value::from(*number),
        Figure::Text(text) => match (of(name).map(|known| known.kind), text.as_str()) {
            (Some(Kind::Switch), "yes") => Value::Bool(true),
            (Some(Kind::Switch), "no") => Value::Bool(false),
            _ => Value::from(text.as_str()),
        },
        Figure::Nothing => Value::Null,
    };
    let mut object = Map::from_iter([("queue".to_owned(), Value::from(queue))]);
    object.extend(info.iter().map(|(name, figure)| (name.replace('-', "_"), value(name, figure))));
    json_line(&Value::Object(object))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn info() -> Info {
        let number = |name: &str, number| (name.to_owned(), Figure::Number(number));
        Info::from_iter([
            number("ready", 5),
            number("acked", 7),
            number("memory-bytes", 900),
            number("brand-new-ms", 3),
            ("leader".to_owned(), Figure::Text("12".to_owned())),
            ("next-due-in-ms".to_owned(), Figure::Nothing),
            ("paused".to_owned(), Figure::Text("yes".to_owned())),
        ])
    }

    #[test]
    fn figures_stand_in_groups_and_unknown_ones_are_shown_too() {
        let text = text("q", &info());
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        let expected: [&[&str]; 12] = [
            &["queue", "q"],
            &["now"],
            &["ready", "5"],
            &["leader"],
            &["leader", "12"],
            &["in", "total"],
            &["acked", "7"],
            &["settings"],
            &["paused", "yes"],
            &["besides"],
            &["memory-bytes", "900"],
            &["brand-new-ms", "3"],
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_setting_of_0_says_what_that_means() {
        let zeros = ["errors-keep", "rate", "max-length", "failed"].map(|name| (name.to_owned(), Figure::Number(0)));
        let text = text("q", &Info::from_iter(zeros));
        for (name, expected) in
            [("errors-keep", "for ever"), ("rate", "no limit"), ("max-length", "no limit"), ("failed", "0")]
        {
            let said = text.lines().find_map(|line| line.trim().strip_prefix(name)).map(str::trim);
            assert_eq!(said, Some(expected), "{name}: {text}");
        }
    }

    #[test]
    fn what_others_named_forges_no_line_and_controls_no_terminal() {
        let leader = Figure::Text("evil\x1b[31m\n    ready   99".to_owned());
        let unknown = ("new\x1b[2J\n    ready".to_owned(), Figure::Number(7));
        let text = text("q\x1b[2J", &Info::from_iter([("leader".to_owned(), leader), unknown]));
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let expected = [
            "queue q·[2J",
            "leader",
            "leader                   evil·[31m·    ready   99",
            "besides",
            "new·[2J·    ready        7",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn json_is_one_object_in_which_numbers_are_numbers() {
        let line = json("a \"q\"", &info());
        assert_eq!(line.lines().count(), 1);
        let object: Value = serde_json::from_str(&line).unwrap();
        let expected = json!({
            "queue": "a \"q\"", "ready": 5, "acked": 7, "memory_bytes": 900, "brand_new_ms": 3, "leader": "12",
            "next_due_in_ms": null, "paused": true,
        });
        assert_eq!(object, expected);
    }
}
