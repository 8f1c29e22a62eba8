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
mod sight;
mod snapshot;
mod text;
mod view;
mod watch;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior};

use self::sight::Sight;
pub use self::watch::view;
use crate::connection::{Complaint, Endpoint};
use crate::error::Result;
use crate::output::{Format, show, show_aside};
use crate::queue::{Info, Queue};
use crate::shutdown::Shutdown;

/// Between two looks with `--watch`.
const REFRESH: Duration = Duration::from_secs(1);

/// Prints the figures once.
pub async fn print_once(queue: &Queue, format: Format) -> Result<io::Result<()>> {
    let info = queue.info().await?;
    Ok(show(&render(queue.name(), &info, format)))
}

/// Prints the figures every second until asked to end, or until nobody reads them. Errors: the first look fails; a server
/// that goes away later is waited for, and the log says so.
pub async fn print_again_and_again(
    queue: Queue,
    endpoint: &Arc<Endpoint>,
    format: Format,
    shutdown: &Shutdown,
) -> Result<io::Result<()>> {
    let mut sight = Sight::new(queue, endpoint);
    let first = tokio::select! {
        first = sight.look(Queue::info) => first?,
        () = shutdown.requested() => return Ok(Ok(())),
    };
    tokio::select! {
        error = keep_printing(first, sight, endpoint.queue(), format) => Ok(Err(error)),
        () = shutdown.requested() => Ok(Ok(())),
    }
}

/// Prints on until that fails, and why it did.
async fn keep_printing(first: Info, mut sight: Sight, name: &str, format: Format) -> io::Error {
    let (mut ticks, mut complaint) = (ticks(), Complaint::new());
    let mut seen = Ok(first);
    loop {
        ticks.tick().await;
        match seen {
            Ok(info) => {
                if complaint.is_over() {
                    tracing::info!("the queue is in sight again");
                }
                if let Err(error) = show_aside(render(name, &info, format)).await {
                    return error;
                }
            }
            Err(error) => {
                if complaint.is_due(&error) {
                    tracing::warn!(%error, "the queue is out of sight, trying again");
                }
            }
        }
        seen = sight.look(Queue::info).await;
    }
}

/// When it is time to look again. After a stall it is time once, not once for each second of it.
fn ticks() -> Interval {
    let mut ticks = tokio::time::interval(REFRESH);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

fn render(name: &str, info: &Info, format: Format) -> String {
    match format {
        Format::Text => text::text(name, info),
        Format::Json => text::json(name, info),
        Format::Prometheus => prometheus::exposition(name, info),
    }
}
