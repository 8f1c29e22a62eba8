//! Who and where, what is wrong, facts, the leader, and the settings.

use std::time::{Duration, Instant};

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::super::figures::{Group, KNOWN, Kind, of};
use super::super::snapshot::RATES;
use super::{ALARM, BAD, FAINT, PLAIN, STRONG, WARNING, Watched, rates};
use crate::error::Error;
use crate::legible::{bytes, count, left, plain, shortened, span, width};
use crate::queue::Figure;

/// A lease with less than this left should have been renewed.
const SHORT_LEASE: Duration = Duration::from_secs(2);

/// Lines for what is wrong: its last words say what helps, but the figures need room, too.
const LONGEST_CAUSE: usize = 4;

/// Between two facts on one line.
const BETWEEN: &str = "  ";

/// `MQ queue PAUSED   address   q quits`
pub(super) fn line(watched: &Watched, columns: u16) -> Line<'static> {
    let mut spans = vec![Span::styled("MQ ", STRONG), Span::styled(plain(watched.queue.as_bytes()), STRONG)];
    if is_on(watched, "paused") {
        spans.extend([Span::raw(" "), Span::styled(" PAUSED ", ALARM)]);
    }
    let end = "q quits";
    let taken: usize = spans.iter().map(Span::width).sum();
    let room = usize::from(columns).saturating_sub(taken + 2 + 2 + width(end));
    let address = shortened(&plain(watched.address.as_bytes()), room);
    let fill = room.saturating_sub(width(&address)) + 2;
    spans.extend([
        Span::raw("  "),
        Span::styled(address, FAINT),
        Span::raw(" ".repeat(fill)),
        Span::styled(end, FAINT),
    ]);
    Line::from(spans)
}

/// That the figures are old, for how long, and why; nothing while all is well.
pub(super) fn trouble(watched: &Watched, columns: u16, now: Instant) -> Vec<Line<'static>> {
    let Some(trouble) = &watched.trouble else { return Vec::new() };
    let since = span(now.saturating_duration_since(trouble.since));
    let age = span(watched.age(now));
    let what = match trouble.error {
        Error::Lost(_) | Error::Unanswered(_) | Error::Unreachable { .. } => "NO ANSWER",
        _ => "NO FIGURES",
    };
    let cause = plain(trouble.error.to_string().as_bytes());
    let what = format!("{what} for {since}, trying again; the figures below are {age} old");
    let room = usize::from(columns).saturating_sub(1);
    let lines = std::iter::once(what).chain(wrapped(&cause, room).into_iter().take(LONGEST_CAUSE));
    lines.map(|line| Line::styled(left(&format!(" {line}"), columns.into()), ALARM)).collect()
}

/// The words of `text` on as few lines of so many columns as hold them.
fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if width(line) + 1 + width(word) <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// What stands beside the levels.
pub(super) fn facts(watched: &Watched, now: Instant, columns: u16) -> Vec<Line<'static>> {
    let latest = &watched.latest;
    let mut facts = Vec::new();
    match latest.span("oldest-ready-age-ms") {
        Some(age) => facts.push(fact("oldest ready", span(age + watched.age(now)), STRONG)),
        None => facts.push(fact("oldest ready", "none".to_owned(), PLAIN)),
    }
    let overdue = latest.number("overdue");
    facts.push(fact("overdue", count(overdue), if overdue > 0 { WARNING } else { PLAIN }));
    if let Some(due_in) = latest.span("next-due-in-ms") {
        facts.push(fact("next due in", span(watched.left(due_in, now)), PLAIN));
    }
    let held = latest.number("held");
    if held > 0 {
        facts.push(fact("held", count(held), STRONG));
    }
    let waiting = ["blocked-consumers", "blocked-candidates"].map(|name| count(latest.number(name)));
    let [consumers, candidates] = waiting;
    facts.push(fact("waiting", format!("{consumers} consumers, {candidates} candidates"), PLAIN));
    facts.push(fact("memory", bytes(latest.number("memory-bytes")), PLAIN));
    flowing(&format!("{:9}", ""), facts, columns)
}

/// Who leads, and for how long.
pub(super) fn leader(watched: &Watched, now: Instant, columns: u16) -> Line<'static> {
    let latest = &watched.latest;
    let mut spans = vec![Span::styled(format!("{:9}", "leader"), STRONG)];
    let changes = fact("changes", count(latest.number("leader-changes")), PLAIN);
    match latest.word("leader") {
        None => spans.push(Span::styled("nobody", WARNING)),
        Some(name) => {
            let remaining = watched.left(latest.span("leader-lease-left-ms").unwrap_or_default(), now);
            let token = fact("token", latest.number("leader-token").to_string(), PLAIN);
            let lease = match remaining {
                Duration::ZERO => fact("lease", "ended".to_owned(), BAD),
                short if short < SHORT_LEASE => fact("lease left", span(short), WARNING),
                long => fact("lease left", span(long), STRONG),
            };
            let others: usize = [&token, &lease, &changes].into_iter().flatten().map(Span::width).sum();
            let room = usize::from(columns).saturating_sub(9 + others + 3 * BETWEEN.len()).max(12);
            spans.push(Span::styled(shortened(&plain(name.as_bytes()), room), STRONG));
            for fact in [lease, token] {
                spans.push(Span::raw(BETWEEN));
                spans.extend(fact);
            }
        }
    }
    spans.push(Span::raw(BETWEEN));
    spans.extend(changes);
    Line::from(spans)
}

/// Totals that have no column of their own and are not zero, and figures that are not known here.
pub(super) fn besides(watched: &Watched, columns: u16) -> Vec<Line<'static>> {
    let info = &watched.latest.info;
    let shown = RATES.get(..rates::shown(columns)).unwrap_or(&RATES);
    let totals = KNOWN.iter().filter(|known| known.kind == Kind::Total && known.group != Group::Leader);
    let totals = totals.filter(|known| !shown.contains(&known.name)).filter_map(|known| {
        let total = info.number(known.name).ok().filter(|total| *total > 0)?;
        Some(fact(known.name, count(total), PLAIN))
    });
    let unknown = info.iter().filter(|(name, figure)| of(name).is_none() && **figure != Figure::Nothing);
    let facts: Vec<_> = totals
        .chain(unknown.map(|(name, figure)| fact(&plain(name.as_bytes()), plain(figure.to_string().as_bytes()), PLAIN)))
        .collect();
    if facts.is_empty() { Vec::new() } else { flowing(&format!("{:9}", "besides"), facts, columns) }
}

/// The settings; what keeps messages from moving stands out.
pub(super) fn settings(watched: &Watched, columns: u16) -> Vec<Line<'static>> {
    let info = &watched.latest.info;
    let facts = KNOWN.iter().filter(|known| known.group == Group::Settings).filter_map(|known| {
        let value = match (info.get(known.name)?, known.kind) {
            (Figure::Number(0), _) => known.zero().unwrap_or("0").to_owned(),
            (Figure::Nothing, _) => "none".to_owned(),
            (Figure::Number(millis), Kind::Millis) => span(Duration::from_millis(*millis)),
            (Figure::Number(number), _) => count(*number),
            (Figure::Text(text), _) => plain(text.as_bytes()),
        };
        let alarming = known.name == "paused" && value != "no";
        Some(fact(known.name, value, if alarming { ALARM } else { PLAIN }))
    });
    flowing(&format!("{:9}", "settings"), facts.collect(), columns)
}

fn is_on(watched: &Watched, name: &str) -> bool {
    watched.latest.word(name) == Some("yes")
}

fn fact(name: &str, value: String, style: Style) -> Vec<Span<'static>> {
    vec![Span::styled(format!("{name} "), FAINT), Span::styled(value, style)]
}

/// The facts on as few lines as hold them, behind `title`, or blanks below it.
fn flowing(title: &str, facts: Vec<Vec<Span<'static>>>, columns: u16) -> Vec<Line<'static>> {
    let indent = width(title);
    let begun = |title: String| (indent, vec![Span::styled(title, STRONG)]);
    let (mut lines, (mut taken, mut line)) = (Vec::new(), begun(title.to_owned()));
    for fact in facts {
        let more: usize = fact.iter().map(Span::width).sum();
        if taken > indent && taken + BETWEEN.len() + more > columns.into() {
            let next = begun(" ".repeat(indent));
            lines.push(Line::from(std::mem::replace(&mut line, next.1)));
            taken = next.0;
        }
        if taken > indent {
            line.push(Span::raw(BETWEEN));
            taken += BETWEEN.len();
        }
        taken += more;
        line.extend(fact);
    }
    lines.push(Line::from(line));
    lines
}
