//! Who holds claims, and what has failed.

use std::time::{Duration, Instant};

use ratatui::text::{Line, Span};

use super::super::snapshot::LONGEST_LIST;
use super::{BAD, FAINT, HEADING, PLAIN, WARNING, Watched};
use crate::legible::{count, left, plain, right, span};
use crate::list_errors::{age, consumer, excerpt, reason};

/// Claims that end so soon should have been extended.
const SOON: Duration = Duration::from_secs(2);

/// Columns of an id, the largest of which has 16 digits, and of other columns, a blank behind included.
const ID: usize = 17;
const DELIVERIES: usize = 7;
const AGE: usize = 8;
const CLAIMS: usize = 10;
const DEADLINE: usize = 10;

/// Columns of names and reasons where there is little room, and where there is much.
const NAME: std::ops::RangeInclusive<usize> = 14..=44;
const REASON: std::ops::RangeInclusive<usize> = 24..=48;

/// Consumers that hold claims, by name, on `height` lines.
pub(super) fn consumers(watched: &Watched, now: Instant, height: u16, width: u16) -> Vec<Line<'static>> {
    let all = &watched.latest.consumers;
    let rows = usize::from(height).saturating_sub(1);
    let name = usize::from(width).saturating_sub(CLAIMS + DEADLINE);
    let or_more = if all.len() as u64 >= LONGEST_LIST { " or more" } else { "" };
    let first = if all.len() > rows { format!(", first {rows} by name") } else { String::new() };
    let title = match all.len() {
        0 => "consumers".to_owned(),
        number => format!("consumers: {number}{or_more} hold claims{first}"),
    };
    let head = left(&title, name) + &right("claims", CLAIMS) + &right("ends in", DEADLINE);
    let mut lines = vec![Line::styled(head, HEADING)];
    if all.is_empty() {
        lines.push(Line::styled("nobody holds a claim", FAINT));
    }
    lines.extend(all.iter().take(rows).map(|consumer| {
        let deadline = watched.left(consumer.nearest_deadline_in, now);
        let (text, style) = match deadline {
            Duration::ZERO => ("ended".to_owned(), BAD),
            deadline if deadline < SOON => (span(deadline), WARNING),
            deadline => (span(deadline), PLAIN),
        };
        Line::from(vec![
            Span::raw(left(&plain(consumer.name.as_bytes()), name)),
            Span::raw(right(&count(consumer.claims), CLAIMS)),
            Span::styled(right(&text, DEADLINE), style),
        ])
    }));
    lines
}

/// Errors, by id, on `height` lines.
pub(super) fn errors(watched: &Watched, now: Instant, height: u16, width: u16) -> Vec<Line<'static>> {
    let all = &watched.latest.errors;
    let total = watched.latest.number("errors");
    if all.is_empty() {
        let head = left("errors", width.into());
        return vec![Line::styled(head, HEADING), Line::styled("no errors", FAINT)];
    }
    let rows = usize::from(height).saturating_sub(1).min(all.len());
    let [name, reasons, payload] = widths(width.into());
    let title = if rows as u64 == total { "errors".to_owned() } else { format!("first {rows} errors") };
    let line = |id: &str, deliveries: &str, age: &str, who: &str, why: &str, what: &str| {
        format!(
            "{}{}{} {} {}",
            left(id, ID),
            right(deliveries, DELIVERIES),
            right(age, AGE),
            left(who, name),
            left(why, reasons)
        ) + &if payload > 0 { format!(" {}", left(what, payload)) } else { String::new() }
    };
    let mut lines = vec![Line::styled(line(&title, "deliv.", "failed", "consumer", "reason", "payload"), HEADING)];
    let now_ms = watched.latest.server_ms + watched.age(now).as_millis() as u64;
    lines.extend(all.iter().take(rows).map(|error| {
        Line::raw(line(
            &error.id.to_string(),
            &error.deliveries.to_string(),
            &age(error, now_ms),
            &consumer(error),
            &reason(error),
            &excerpt(error),
        ))
    }));
    lines
}

/// Columns for consumer, reason and payload. First the reason gets what it needs, then the name; a payload has a column
/// only where much is left.
fn widths(width: usize) -> [usize; 3] {
    // A blank before each of them.
    let room = width.saturating_sub(ID + DELIVERIES + AGE + 3);
    let name = (room / 3).clamp(*NAME.start(), *NAME.end());
    let reason = room.saturating_sub(name);
    if reason <= *REASON.end() {
        return [name, reason, 0];
    }
    let reason = (reason / 2).clamp(*REASON.start(), *REASON.end());
    [name, reason, room - name - reason]
}
