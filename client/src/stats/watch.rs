//! `client stats --watch` at a terminal: looks once a second, and shows what it saw until somebody has seen enough.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::screen::{Screen, Wish, wishes};
use super::sight::Sight;
use super::snapshot::{Snapshot, look};
use super::ticks;
use super::view::{Watched, draw};
use crate::connection::Endpoint;
use crate::error::Result;
use crate::queue::Queue;
use crate::shutdown::Shutdown;

/// The picture is drawn at least this often: leases count down also while the server is silent.
const REDRAW: Duration = Duration::from_millis(500);

/// Shows the queue on the whole terminal until q, Esc, Ctrl-C, or until asked to end. Errors: the first look fails, or
/// (the inner one) the terminal does; a server that goes away later is waited for, and the view says so.
pub async fn view(queue: Queue, endpoint: &Arc<Endpoint>, shutdown: &Shutdown) -> Result<io::Result<()>> {
    let mut sight = Sight::new(queue, endpoint);
    let first = tokio::select! {
        first = sight.look(look) => first?,
        () = shutdown.requested() => return Ok(Ok(())),
    };
    let watched = Watched::new(endpoint.queue(), endpoint.address(), first);
    let (tell, seen) = mpsc::channel(1);
    tokio::select! {
        never = keep_looking(sight, tell) => match never {},
        shown = show(watched, seen) => Ok(shown),
        () = shutdown.requested() => Ok(Ok(())),
    }
}

async fn show(mut watched: Watched, mut seen: mpsc::Receiver<Result<Snapshot>>) -> io::Result<()> {
    let mut screen = Screen::take()?;
    let mut wishes = wishes();
    loop {
        screen.draw(|frame| draw(frame, &watched, Instant::now()))?;
        tokio::select! {
            Some(look) = seen.recv() => watched.note(look, Instant::now()),
            wish = wishes.recv() => match wish {
                Some(Wish::Redraw) => {}
                Some(Wish::Quit) => return Ok(()),
                None => return Err(io::Error::other("the terminal takes no keys any more")),
            },
            () = tokio::time::sleep(REDRAW) => {}
        }
    }
}

/// Looks once a second and tells what it saw, or why it saw nothing.
async fn keep_looking(mut sight: Sight, tell: mpsc::Sender<Result<Snapshot>>) -> Infallible {
    let mut ticks = ticks();
    loop {
        ticks.tick().await;
        let seen = sight.look(look).await;
        if tell.send(seen).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
