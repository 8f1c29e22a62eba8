//! `client stats`: the queue at a glance, once, every second, or as a view of the whole terminal.
//!
//! ```text
//!   text, json, prometheus ◄── Info ──────────────────────────────┐
//!   view ◄── Watched ◄── Snapshot (Info, consumers, errors) ◄── Looker ◄── MQ.INFO, MQ.PEEK
//!    └── pure: a snapshot, the totals of the last minute, and the time become lines
//! ```

mod figures;
mod prometheus;
mod screen;
mod snapshot;
mod text;
mod view;
mod watch;

use std::io;
use std::time::Duration;

pub use self::watch::view;
use crate::error::Result;
use crate::output::{Format, show};
use crate::queue::{Info, Queue};
use crate::shutdown::Shutdown;

/// Between two looks with `--watch`.
const REFRESH: Duration = Duration::from_secs(1);

/// Prints the figures once.
pub async fn print_once(queue: &Queue, format: Format) -> Result<io::Result<()>> {
    let info = queue.info().await?;
    Ok(show(&render(queue.name(), &info, format)))
}

/// Prints the figures every second until asked to end, or until nobody reads them.
pub async fn print_again_and_again(queue: &Queue, format: Format, shutdown: &Shutdown) -> Result<io::Result<()>> {
    let mut ticks = tokio::time::interval(REFRESH);
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                if let Err(error) = print_once(queue, format).await? {
                    return Ok(Err(error));
                }
            }
            () = shutdown.requested() => return Ok(Ok(())),
        }
    }
}

fn render(name: &str, info: &Info, format: Format) -> String {
    match format {
        Format::Text => text::text(name, info),
        Format::Json => text::json(name, info),
        Format::Prometheus => prometheus::exposition(name, info),
    }
}
