//! How many messages are in each state: a bar and a number.

use ratatui::style::{Color, Style};
use ratatui::text::{Line, Span};

use super::{BAD, FAINT, PLAIN, STRONG, Watched};
use crate::legible::count;

/// The four states, as MQ.INFO names them, and their colours.
const STATES: [(&str, Color); 4] =
    [("ready", Color::Cyan), ("delayed", Color::Blue), ("claimed", Color::Green), ("errors", Color::Red)];

/// Columns of a number, 9,999,999,999 and a blank in front.
const NUMBER: usize = 14;

/// Columns of a name.
const NAME: usize = 9;

/// With fewer lines than this all states stand on one.
const ROOMY: u16 = 10;

/// The eight parts of a column, from one to all.
const EIGHTHS: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];

/// Four lines on a terminal of so many `rows`, or one where there is little room.
pub(super) fn lines(watched: &Watched, rows: u16, columns: u16) -> Vec<Line<'static>> {
    let levels = STATES.map(|(name, color)| (name, color, watched.latest.number(name)));
    if rows < ROOMY {
        let spans = levels.into_iter().flat_map(|(name, _, level)| {
            [Span::styled(format!("{name} "), FAINT), Span::styled(format!("{}  ", count(level)), style(name, level))]
        });
        return vec![Line::from_iter(spans)];
    }
    let most = levels.iter().map(|(_, _, level)| *level).max().unwrap_or(0);
    let room = usize::from(columns).saturating_sub(NAME + NUMBER);
    levels
        .into_iter()
        .map(|(name, color, level)| {
            Line::from(vec![
                Span::styled(format!("{name:NAME$}"), STRONG),
                Span::styled(format!("{:room$}", bar(level, most, room)), Style::new().fg(color)),
                Span::styled(format!("{:>NUMBER$}", count(level)), style(name, level)),
            ])
        })
        .collect()
}

fn style(name: &str, level: u64) -> Style {
    match (name, level) {
        (_, 0) => PLAIN,
        ("errors", _) => BAD,
        _ => STRONG,
    }
}

/// A bar of at most `room` columns, as long as `level` is of `most`; something shows wherever there is something.
fn bar(level: u64, most: u64, room: usize) -> String {
    let eighths = (level as f64 / most.max(1) as f64 * (room * EIGHTHS.len()) as f64).round() as usize;
    let eighths = if level > 0 { eighths.max(1) } else { 0 };
    let (whole, part) = (eighths / EIGHTHS.len(), eighths % EIGHTHS.len());
    let mut bar = "█".repeat(whole.min(room));
    if whole < room && part > 0 {
        bar.extend(EIGHTHS.get(part - 1));
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_its_share() {
        for (level, most, expected) in
            [(0, 0, ""), (0, 8, ""), (8, 8, "████"), (4, 8, "██"), (3, 16, "▊"), (1, u64::MAX, "▏")]
        {
            assert_eq!(bar(level, most, 4), expected, "{level} of {most}");
        }
        assert_eq!(bar(u64::MAX, u64::MAX, 3), "███");
        assert_eq!(bar(5, 5, 0), "");
    }
}
