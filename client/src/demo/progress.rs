//! How far the demo is: a bar for a person at a terminal, a plain line now and then for everybody else. On stderr.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use tokio::time::Instant;

use crate::output::tell;

/// Between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Shows progress.
#[derive(Debug)]
pub(super) enum Progress {
    Bar(ProgressBar),
    Lines { messages: u64, begun_at: Instant, shown_at: Instant },
}

impl Progress {
    pub(super) fn new(messages: u64) -> Self {
        if !(io::stdout().is_terminal() && io::stderr().is_terminal()) {
            let now = Instant::now();
            return Self::Lines { messages, begun_at: now, shown_at: now };
        }
        let template = "{bar:32} {human_pos} of {human_len} done, {per_sec}, {eta} left, {msg}";
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        Self::Bar(ProgressBar::new(messages).with_style(style))
    }

    /// So many messages are done, so many processes were killed.
    pub(super) fn show(&mut self, done: u64, kills: u32) {
        match self {
            Self::Bar(bar) => {
                bar.set_position(done);
                bar.set_message(format!("{kills} kills"));
            }
            Self::Lines { messages, begun_at, shown_at } => {
                if shown_at.elapsed() >= LINE_EVERY {
                    *shown_at = Instant::now();
                    let seconds = begun_at.elapsed().as_secs();
                    let (done, messages) = (HumanCount(done), HumanCount(*messages));
                    tell(&format!("{seconds:>4} s   {done} of {messages} done, {kills} kills"));
                }
            }
        }
    }

    /// A plain line beside the progress.
    pub(super) fn say(&self, line: &str) {
        match self {
            Self::Bar(bar) => bar.println(line),
            Self::Lines { .. } => tell(line),
        }
    }

    pub(super) fn finish(self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}
