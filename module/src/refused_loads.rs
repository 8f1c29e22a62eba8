//! What the log is told of values that could not be read. RESTORE takes any bytes from a client, as fast as it sends them: it
//! shall not fill the disk with lines.

use mq_engine::{Span, Time};

use crate::server::{Global, shown_name};

/// Lines in a [`WINDOW`]; what comes more is only counted.
const LINES: u64 = 10;

const WINDOW: Span = Span(1000);

struct Refused {
    since: Time,
    /// In this window.
    lines: u64,
    left_out: u64,
}

static REFUSED: Global<Refused> = Global::new(Refused { since: Time(0), lines: 0, left_out: 0 });

/// The line about a value that was not read just now, or none.
pub fn line(now: Time, place: Option<(i32, &[u8])>, why: &str) -> Option<String> {
    REFUSED.with(|refused| refused.line(now, place, why))
}

impl Refused {
    fn line(&mut self, now: Time, place: Option<(i32, &[u8])>, why: &str) -> Option<String> {
        if now.since(self.since) >= WINDOW {
            (self.since, self.lines) = (now, 0);
        }
        if self.lines == LINES {
            self.left_out += 1;
            return None;
        }
        self.lines += 1;
        let name = match place {
            Some((db, name)) => format!("the queue {} in database {db}", shown_name(name)),
            None => "a queue".to_owned(),
        };
        let others = match std::mem::take(&mut self.left_out) {
            0 => String::new(),
            count => format!(" (and {count} others before it, of which nothing was said)"),
        };
        Some(format!("{name} cannot be loaded: {why}{others}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_refused_loads_a_few_lines_tell_and_none_is_left_uncounted() {
        let mut refused = Refused { since: Time(0), lines: 0, left_out: 0 };
        let mut told = |ms: u64| refused.line(Time(5000 + ms), Some((3, b"jobs")), "cut short");
        let lines = (0..2500).filter_map(&mut told).collect::<Vec<_>>();
        assert_eq!(lines.len(), 30);
        assert_eq!(lines[0], "the queue 'jobs' in database 3 cannot be loaded: cut short");
        assert!(
            lines[10].ends_with("cut short (and 990 others before it, of which nothing was said)"),
            "{}",
            lines[10]
        );
        assert!(!lines[11].contains("others"));
        assert!(told(9000).is_some_and(|line| line.contains("and 490 others")));
    }
}
