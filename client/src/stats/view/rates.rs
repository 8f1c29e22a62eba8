//! What happens per second, and what has happened in total.

use std::time::Duration;

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::super::snapshot::{LONGEST, RATES};
use super::{AIRY, BAD, FAINT, HEADING, PLAIN, STRONG, Watched};
use crate::legible::{count, right};

/// Columns of a line's name.
const NAME: usize = 8;

/// Columns of a total, blanks in front included: `redelivered` is the longest name.
const TOTAL: usize = 12;

/// The shorter time over which rates are taken.
const SHORT: Duration = Duration::from_secs(10);

/// The heights of a column in a course.
const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// How many of [`RATES`] find room.
pub(super) fn shown(columns: u16) -> usize {
    (usize::from(columns).saturating_sub(NAME) / TOTAL).min(RATES.len())
}

/// A heading, the rates of the last second, ten seconds, minute, and the totals; on a large terminal also their course.
pub(super) fn lines(watched: &Watched, rows: u16, columns: u16) -> Vec<Line<'static>> {
    let history = &watched.history;
    let names = || RATES.iter().enumerate().take(shown(columns));
    let rates = |title: &str, style: Style, rate: &dyn Fn(usize) -> Option<f64>| {
        let cells = names().map(|(which, name)| {
            let rate = rate(which);
            let style = if rate.is_some_and(|rate| rate > 0.0) { style_of(name, style) } else { FAINT };
            cell(&rate.map_or("-".to_owned(), per_second), style)
        });
        row(title, FAINT, cells)
    };
    let mut lines = vec![
        row("per s", HEADING, names().map(|(_, name)| cell(name, HEADING))),
        rates("now", STRONG, &|which| history.latest(which)),
    ];
    if rows >= AIRY {
        let cells = names().map(|(which, name)| cell(&course(history.course(which)), style_of(name, PLAIN)));
        lines.push(row("", FAINT, cells));
    }
    lines.push(rates("10 s", PLAIN, &|which| history.per_second(which, SHORT)));
    lines.push(rates("1 min", PLAIN, &|which| history.per_second(which, LONGEST)));
    let totals = names().map(|(_, name)| cell(&total(watched.latest.number(name)), PLAIN));
    lines.push(row("total", FAINT, totals));
    lines
}

fn row(title: &str, style: Style, cells: impl Iterator<Item = Span<'static>>) -> Line<'static> {
    std::iter::once(Span::styled(format!("{title:NAME$}"), style)).chain(cells).collect()
}

fn cell(text: &str, style: Style) -> Span<'static> {
    Span::styled(right(text, TOTAL), style)
}

/// What should not happen is red when it does.
fn style_of(name: &str, style: Style) -> Style {
    if matches!(name, "failed" | "expired" | "dead" | "ttl-expired") { BAD } else { style }
}

/// With a decimal below a hundred.
fn per_second(rate: f64) -> String {
    if rate < 99.95 { format!("{rate:.1}") } else { count(rate.round() as u64) }
}

/// In millions, or thousands of millions, where it would not fit otherwise.
fn total(number: u64) -> String {
    let in_units = [count(number), format!("{} M", count(number / 1_000_000))];
    let fitting = in_units.into_iter().find(|text| text.len() < TOTAL);
    fitting.unwrap_or_else(|| format!("{} G", count(number / 1_000_000_000)))
}

/// The last rates as a row of columns, the highest of them full.
fn course(rates: impl DoubleEndedIterator<Item = f64>) -> String {
    let mut last: Vec<f64> = rates.rev().take(TOTAL - 1).collect();
    last.reverse();
    let most = last.iter().copied().fold(0.0, f64::max);
    last.into_iter()
        .filter_map(|rate| {
            let share = if most > 0.0 { rate / most } else { 0.0 };
            HEIGHTS.get((share * (HEIGHTS.len() - 1) as f64).round() as usize)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_totals_fit_their_columns() {
        for (rate, text) in [(0.0, "0.0"), (2.04, "2.0"), (99.94, "99.9"), (99.96, "100"), (26_778.4, "26,778")] {
            assert_eq!(per_second(rate), text);
        }
        for (number, text) in
            [(0, "0"), (999_999_999, "999,999,999"), (1_234_567_890, "1,234 M"), (1 << 53, "9,007,199 G")]
        {
            assert_eq!(total(number), text);
        }
        assert!(total(1 << 53).len() < TOTAL, "ids end there, and so do totals of messages");
    }

    #[test]
    fn a_course_shows_the_last_looks_and_its_highest_is_full() {
        assert_eq!(course([0.0, 3.5, 7.0].into_iter()), "▁▅█");
        assert_eq!(course([0.0, 0.0].into_iter()), "▁▁");
        assert_eq!(course((0..100).map(f64::from)).chars().count(), TOTAL - 1);
        assert_eq!(course(std::iter::empty()), "");
    }
}
