//! Numbers, spans, and what others wrote, as a person can read them in so many columns.

use std::time::Duration;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Stands for a character that would move the cursor, ring the bell, or worse.
const CONTROL: char = '·';

/// Stands for what there was no room for.
const ELLIPSIS: char = '…';

/// A number with its thousands apart.
pub(crate) fn count(number: u64) -> String {
    indicatif::HumanCount(number).to_string()
}

/// Bytes in a binary unit.
pub(crate) fn bytes(number: u64) -> String {
    indicatif::HumanBytes(number).to_string()
}

/// A span in its two largest units, at most seven columns: `850ms`, `7.3s`, `42s`, `12m 5s`, `3h 12m`, `4d 3h`.
pub(crate) fn span(span: Duration) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let seconds = span.as_secs();
    match seconds {
        0 => format!("{}ms", span.as_millis()),
        1..10 => format!("{seconds}.{}s", span.subsec_millis() / 100),
        10..MINUTE => format!("{seconds}s"),
        MINUTE..HOUR => format!("{}m {}s", seconds / MINUTE, seconds % MINUTE),
        HOUR..DAY => format!("{}h {}m", seconds / HOUR, seconds % HOUR / MINUTE),
        _ => format!("{}d {}h", seconds / DAY, seconds % DAY / HOUR),
    }
}

/// Text of unknown origin on one line, in its own order, without characters that control a terminal or cannot be seen.
pub(crate) fn plain(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().map(|c| if controls(c) { CONTROL } else { c }).collect()
}

/// The same for a text that has several lines.
pub(crate) fn plain_lines(text: &str) -> String {
    text.chars().map(|c| if controls(c) && c != '\n' { CONTROL } else { c }).collect()
}

/// The same for a payload that stands on a line of its own: its line ends show as `\n` and `\r`.
pub(crate) fn plain_payload(payload: &[u8]) -> String {
    let mut shown = String::with_capacity(payload.len());
    for c in String::from_utf8_lossy(payload).chars() {
        match c {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            c if controls(c) => shown.push(CONTROL),
            c => shown.push(c),
        }
    }
    shown
}

/// Whether a character does something to a terminal (C0, DEL, C1), begins another line, turns the direction of what follows,
/// or takes no room so that texts look alike that are not.
pub(crate) fn controls(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}'
                | '\u{200b}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
                | '\u{feff}'
        )
}

/// How many columns a text takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// As much of a text as fits into `columns`; what is cut off shows as an ellipsis.
pub(crate) fn shortened(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut room = columns.saturating_sub(1);
    let mut short: String = text
        .chars()
        .take_while(|c| {
            let left = room.checked_sub(c.width().unwrap_or(0));
            room = left.unwrap_or(0);
            left.is_some()
        })
        .collect();
    if columns > 0 {
        short.push(ELLIPSIS);
    }
    short
}

/// The text, shortened or filled with blanks to exactly `columns`.
pub(crate) fn left(text: &str, columns: usize) -> String {
    let short = shortened(text, columns);
    let blanks = columns.saturating_sub(short.width());
    short + &" ".repeat(blanks)
}

/// The same with the blanks in front.
pub(crate) fn right(text: &str, columns: usize) -> String {
    let short = shortened(text, columns);
    " ".repeat(columns.saturating_sub(short.width())) + &short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units_and_at_most_seven_columns() {
        for (millis, text) in [
            (0, "0ms"),
            (999, "999ms"),
            (7_390, "7.3s"),
            (10_999, "10s"),
            (59_999, "59s"),
            (725_000, "12m 5s"),
            (3_600_000, "1h 0m"),
            (86_399_000, "23h 59m"),
            (10 * 365 * 86_400_000, "3650d 0h"),
        ] {
            assert_eq!(span(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn nothing_of_unknown_origin_controls_the_terminal() {
        assert_eq!(plain(b"a\x1b[2Jb\r\n\xff"), "a·[2Jb··\u{fffd}");
        assert_eq!(plain("a\u{202e}b\u{2028}c\u{9b}d".as_bytes()), "a·b·c·d");
        for hidden in ['\u{61c}', '\u{200b}', '\u{200e}', '\u{200f}', '\u{2066}', '\u{feff}', '\u{7f}', '\u{85}', '\t']
        {
            assert_eq!(plain(format!("a{hidden}b").as_bytes()), "a·b", "{hidden:?}");
        }
        assert_eq!(plain_lines("one\x1b[2J\ntwo\r\u{202e}"), "one·[2J\ntwo··");
        assert_eq!(plain_payload(b"17\n18\r\x1bc\xff"), "17\\n18\\r·c\u{fffd}");
    }

    #[test]
    fn texts_fill_their_columns_exactly() {
        for (text, columns, expected) in [
            ("peer", 6, "peer  "),
            ("peer", 4, "peer"),
            ("peers", 4, "pee…"),
            ("日本語", 5, "日本…"),
            ("日本語", 4, "日… "),
            ("x", 0, ""),
            ("xy", 1, "…"),
        ] {
            let filled = left(text, columns);
            assert_eq!((filled.as_str(), width(&filled)), (expected, columns), "{text}");
        }
        assert_eq!(right("12", 4), "  12");
    }
}
