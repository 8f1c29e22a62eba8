//! `client stats`: the queue at a glance.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use crate::error::Result;
use crate::queue::{Figure, Info, Queue};
use crate::shutdown::Shutdown;

/// Between two looks with `--watch`.
const REFRESH: Duration = Duration::from_secs(1);

/// Moves the cursor home and clears what is below it.
const CLEAR: &str = "\x1b[H\x1b[J";

/// The figures by group; those that a server knows besides come last.
const GROUPS: [(&str, &[&str]); 4] = [
    ("now", &["ready", "delayed", "claimed", "errors", "overdue", "oldest-ready-age-ms", "next-due-in-ms"]),
    ("leader", &["leader", "leader-token", "leader-lease-left-ms", "leader-changes"]),
    (
        "in total",
        &[
            "pushed",
            "delivered",
            "redelivered",
            "acked",
            "failed",
            "dead",
            "retried",
            "expired",
            "released",
            "drained",
            "redriven",
        ],
    ),
    ("settings", &["lease", "max-deliveries", "max-length", "paused", "leader-only"]),
];

/// Prints the figures once.
pub async fn print_once(queue: &Queue) -> Result<io::Result<()>> {
    let info = queue.info().await?;
    Ok(show(&render(queue.name(), &info)))
}

/// Prints the figures every second until asked to end, or until nobody reads them.
pub async fn watch(queue: &Queue, shutdown: &Shutdown) -> Result<io::Result<()>> {
    let clear = if io::stdout().is_terminal() { CLEAR } else { "" };
    let mut ticks = tokio::time::interval(REFRESH);
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                let info = queue.info().await?;
                if let Err(error) = show(&format!("{clear}{}", render(queue.name(), &info))) {
                    return Ok(Err(error));
                }
            }
            () = shutdown.requested() => return Ok(Ok(())),
        }
    }
}

fn show(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

fn render(name: &str, info: &Info) -> String {
    let mut text = format!("queue {name}\n");
    let mut group = |title: &str, figures: &mut dyn Iterator<Item = (&str, &Figure)>| {
        let mut lines = figures
            .filter(|(_, figure)| **figure != Figure::Nothing)
            .map(|(name, value)| format!("    {name:<24} {value}\n"))
            .peekable();
        if lines.peek().is_some() {
            // Writing to a String cannot fail.
            let _infallible = writeln!(text, "  {title}");
            lines.for_each(|line| text.push_str(&line));
        }
    };
    for (title, names) in GROUPS {
        group(title, &mut names.iter().filter_map(|name| Some((*name, info.get(name)?))));
    }
    let grouped = |name: &str| GROUPS.iter().any(|(_, names)| names.contains(&name));
    group("besides", &mut info.iter().filter(|(name, _)| !grouped(name)));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_stand_in_groups_and_unknown_ones_are_shown_too() {
        let figures = [("ready", 5), ("acked", 7), ("memory-bytes", 900)];
        let info = figures.map(|(name, number)| (name.to_owned(), Figure::Number(number))).into_iter().collect();
        let text = render("q", &info);
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        let expected: [&[&str]; 7] = [
            &["queue", "q"],
            &["now"],
            &["ready", "5"],
            &["in", "total"],
            &["acked", "7"],
            &["besides"],
            &["memory-bytes", "900"],
        ];
        assert_eq!(lines, expected);
    }
}
