//! The view of `stats --watch`: what was seen, as a picture of whatever size the terminal has.
//!
//! Everything here is a function of [`Watched`], the time, and the area. What matters most has its lines first; what
//! finds no room is left out, and lists take what remains.

mod allot;
mod head;
mod levels;
mod lists;
mod rates;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::Paragraph;

use self::allot::{Growth, Part, draw_column};
use super::snapshot::{History, Snapshot};
use crate::error::{Error, Result};

/// From so many columns on, the consumers stand beside the levels and not below them.
const WIDE: u16 = 140;

/// Columns that levels and rates need at least, and at most.
const PANEL: std::ops::RangeInclusive<u16> = 80..=96;

/// Between two parts that stand beside each other.
const GUTTER: u16 = 3;

/// From so many lines on, there are blank ones between the parts.
const AIRY: u16 = 30;

const PLAIN: Style = Style::new();
const FAINT: Style = PLAIN.add_modifier(Modifier::DIM);
const STRONG: Style = PLAIN.add_modifier(Modifier::BOLD);
const WARNING: Style = STRONG.fg(Color::Yellow);
const BAD: Style = STRONG.fg(Color::Red);
const ALARM: Style = STRONG.fg(Color::White).bg(Color::Red);
const HEADING: Style = STRONG.add_modifier(Modifier::UNDERLINED);

/// All that a picture is drawn from, but for the time.
#[derive(Debug)]
pub(super) struct Watched {
    queue: String,
    /// Where it is, without a password.
    address: String,
    latest: Snapshot,
    history: History,
    trouble: Option<Trouble>,
}

/// Why nothing newer than the latest snapshot is known.
#[derive(Debug)]
struct Trouble {
    since: Instant,
    error: Error,
}

impl Watched {
    pub(super) fn new(queue: &str, address: &str, first: Snapshot) -> Self {
        let mut history = History::default();
        history.note(&first);
        Self { queue: queue.to_owned(), address: address.to_owned(), latest: first, history, trouble: None }
    }

    /// Takes in what a look brought.
    pub(super) fn note(&mut self, look: Result<Snapshot>, now: Instant) {
        match look {
            Ok(snapshot) => {
                self.history.note(&snapshot);
                self.latest = snapshot;
                self.trouble = None;
            }
            Err(error) => {
                let since = self.trouble.as_ref().map_or(now, |trouble| trouble.since);
                self.trouble = Some(Trouble { since, error });
            }
        }
    }

    /// How old the latest snapshot is.
    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.latest.at)
    }

    /// What is left now of a span that was left when the server answered.
    fn left(&self, span: Duration, now: Instant) -> Duration {
        span.saturating_sub(self.age(now))
    }
}

/// Draws the picture on the whole of `frame`.
pub(super) fn draw(frame: &mut Frame<'_>, watched: &Watched, now: Instant) {
    let area = frame.area();
    let gap = u16::from(area.height >= AIRY);
    let (columns, wide) = (area.width, area.width >= WIDE);
    let mut parts = vec![text(0, vec![head::line(watched, columns)])];
    let trouble = head::trouble(watched, columns, now);
    if !trouble.is_empty() {
        parts.push(text(1, trouble));
    }
    let consumers =
        || list(9, watched.latest.consumers.len(), |height, width| lists::consumers(watched, now, height, width));
    if wide {
        let left = (columns / 2).clamp(*PANEL.start(), *PANEL.end());
        let panel = panel(watched, now, area.height, left);
        // Its own first gap is that of the whole.
        let own = panel.iter().map(|part| part.wish + gap).sum::<u16>().saturating_sub(gap);
        let others = consumers().wish.min(area.height / 2);
        let split = move |frame: &mut Frame<'_>, area: Rect| {
            draw_column(frame, Rect { width: left, ..area }, gap, &panel);
            let x = area.x + left + GUTTER;
            draw_column(frame, Rect { x, width: area.right() - x, ..area }, gap, &[consumers()]);
        };
        parts.push(Part { rank: 2, least: 1, wish: own.max(others), growth: Growth::First, draw: Box::new(split) });
    } else {
        parts.extend(panel(watched, now, area.height, columns));
        parts.push(consumers());
    }
    parts.push(list(8, watched.latest.errors.len(), |height, width| lists::errors(watched, now, height, width)));
    parts.push(text(7, head::settings(watched, columns)));
    draw_column(frame, area, gap, &parts);
}

/// What is most worth knowing.
fn panel(watched: &Watched, now: Instant, rows: u16, columns: u16) -> Vec<Part<'_>> {
    let levels = levels::lines(watched, rows, columns);
    let level_rows = levels.len() as u16;
    let rates = rates::lines(watched, rows, columns);
    let mut parts = vec![
        Part { least: level_rows, ..text(2, levels) },
        text(5, head::facts(watched, now, columns)),
        text(4, vec![head::leader(watched, now, columns)]),
        Part { least: 2, ..text(6, rates) },
    ];
    let besides = head::besides(watched, columns);
    if !besides.is_empty() {
        parts.push(text(10, besides));
    }
    parts
}

/// Lines of which the first makes sense without the others.
fn text(rank: u8, lines: Vec<Line<'static>>) -> Part<'static> {
    let wish = lines.len() as u16;
    let draw = move |frame: &mut Frame<'_>, area: Rect| frame.render_widget(Paragraph::new(lines.clone()), area);
    Part { rank, least: 1, wish, growth: Growth::First, draw: Box::new(draw) }
}

/// A heading and an entry per line, given the height and the width; without entries a line that says so.
fn list<'a>(rank: u8, entries: usize, lines: impl Fn(u16, u16) -> Vec<Line<'static>> + 'a) -> Part<'a> {
    let wish = u16::try_from(entries.max(1)).unwrap_or(u16::MAX).saturating_add(1);
    let draw = move |frame: &mut Frame<'_>, area: Rect| {
        frame.render_widget(Paragraph::new(lines(area.height, area.width)), area);
    };
    Part { rank, least: 2, wish, growth: Growth::Last, draw: Box::new(draw) }
}
