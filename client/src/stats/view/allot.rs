//! Who gets how many lines.

use ratatui::Frame;
use ratatui::layout::Rect;

/// A part of a column, with what draws it.
pub(super) struct Part<'a> {
    /// Parts of a smaller rank get their lines first.
    pub rank: u8,
    /// With fewer lines it makes no sense, and gets none.
    pub least: u16,
    /// With more lines it would not know what to do.
    pub wish: u16,
    pub growth: Growth,
    pub draw: Drawing<'a>,
}

/// Draws something on an area.
pub(super) type Drawing<'a> = Box<dyn Fn(&mut Frame<'_>, Rect) + 'a>;

/// What a part does with lines beyond its least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Growth {
    /// Says the rest of what it has to say.
    First,
    /// Goes on, as lists do: such parts share what the others leave.
    Last,
}

/// Draws the parts below each other, `gap` blank lines before those that have lines to spare.
pub(super) fn draw_column(frame: &mut Frame<'_>, area: Rect, gap: u16, parts: &[Part<'_>]) {
    let heights = allot(area.height, gap, parts);
    let mut y = area.y;
    for (at, (part, height)) in parts.iter().zip(heights).enumerate() {
        let blank = if at > 0 && height > part.least { gap } else { 0 };
        if height > 0 {
            (part.draw)(frame, Rect { y: y + blank, height: height - blank, ..area });
        }
        y += height;
    }
}

fn allot(height: u16, gap: u16, parts: &[Part<'_>]) -> Vec<u16> {
    let mut left = height;
    let mut heights = vec![0; parts.len()];
    let mut by_rank: Vec<(usize, &Part<'_>)> = parts.iter().enumerate().collect();
    by_rank.sort_by_key(|(_, part)| part.rank);
    let mut give = |heights: &mut Vec<u16>, at: usize, lines: u16| {
        let given = lines.min(left);
        if let Some(height) = heights.get_mut(at) {
            *height += given;
            left -= given;
        }
        left
    };
    for (at, part) in &by_rank {
        if part.least <= give(&mut heights, *at, 0) {
            give(&mut heights, *at, part.least);
        }
    }
    let lacks = |heights: &[u16], at: usize, part: &Part<'_>| match heights.get(at) {
        Some(0) | None => 0,
        Some(height) => part.wish.saturating_add(if at > 0 { gap } else { 0 }).saturating_sub(*height),
    };
    for (at, part) in by_rank.iter().filter(|(_, part)| part.growth == Growth::First) {
        let lines = lacks(&heights, *at, part);
        give(&mut heights, *at, lines);
    }
    loop {
        let before = heights.clone();
        for (at, part) in by_rank.iter().filter(|(_, part)| part.growth == Growth::Last) {
            let lines = lacks(&heights, *at, part).min(1);
            give(&mut heights, *at, lines);
        }
        if heights == before {
            return heights;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(rank: u8, least: u16, wish: u16, growth: Growth) -> Part<'static> {
        Part { rank, least, wish, growth, draw: Box::new(|_, _| {}) }
    }

    fn parts() -> [Part<'static>; 4] {
        [
            part(0, 1, 1, Growth::First),
            part(1, 2, 5, Growth::First),
            part(3, 2, 30, Growth::Last),
            part(2, 2, 4, Growth::Last),
        ]
    }

    #[test]
    fn what_matters_most_has_its_lines_first() {
        for (height, expected) in [
            (0, [0, 0, 0, 0]),
            (2, [1, 0, 0, 0]),
            (3, [1, 2, 0, 0]),
            (5, [1, 2, 0, 2]),
            (7, [1, 2, 2, 2]),
            (9, [1, 4, 2, 2]),
            (11, [1, 5, 2, 3]),
            (20, [1, 5, 10, 4]),
            (99, [1, 5, 30, 4]),
        ] {
            assert_eq!(allot(height, 0, &parts()), expected, "{height}");
        }
    }

    #[test]
    fn gaps_are_lines_too() {
        assert_eq!(allot(99, 1, &parts()), [1, 6, 31, 5]);
        assert!(allot(30, 1, &parts()).iter().sum::<u16>() <= 30);
    }
}
