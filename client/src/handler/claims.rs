//! The claiming side: one connection, whose end is the end of all claims made on it.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::running::{Errand, Running};
use super::{EventHandler, Handling, Stance};
use crate::connection::{Backoff, Connection};
use crate::error::{Error, Result};
use crate::queue::{Bond, Claim, Message, Queue, Receipt};

/// How long one claim waits for messages: a server that vanished silently is noticed within this and the patience of
/// the connection.
const BLOCK: Duration = Duration::from_secs(3);

/// While nothing is claimed but messages are still processed: how often the session is checked.
const SESSION_CHECK: Duration = Duration::from_secs(1);

/// How often a blocked claim is asked to end.
const UNBLOCK_AGAIN: Duration = Duration::from_millis(100);

/// A connection with the claims that were made on it.
struct Session {
    queue: Queue,
    /// The server's number for the connection; `None`: it would not tell.
    id: Option<i64>,
}

impl<H: EventHandler> Handling<H> {
    /// Claims and starts messages as the stance allows, on one session after the other, until it is `Finish`.
    pub(super) async fn claim_until_finished(&self, running: &Arc<Running>, stance: &mut watch::Receiver<Stance>) {
        let mut backoff = Backoff::new();
        loop {
            let session = tokio::select! {
                session = self.open_session() => session,
                () = finished(stance) => return,
            };
            let error = match session {
                Ok(session) => match self.claim_in(&session, running, stance).await {
                    Ok(()) => return self.see_out(&session, running).await,
                    Err(error) => error,
                },
                Err(error) => error,
            };
            let cancelled = running.cancel_all();
            tracing::warn!(%error, cancelled, "the session of the claims is over");
            tokio::select! {
                () = backoff.wait() => {}
                () = finished(stance) => return,
            }
        }
    }

    async fn open_session(&self) -> Result<Session> {
        let connection = Connection::open_patiently(&self.endpoint, "claims").await;
        let id = match connection.id().await {
            Ok(id) => Some(id),
            Err(error) if error.is_lost() => return Err(error),
            Err(error) => {
                tracing::debug!(%error, "a blocked claim will have to run out by itself");
                None
            }
        };
        Ok(Session { queue: Queue::new(connection, self.endpoint.queue()), id })
    }

    /// Claims until the stance is `Finish`. Errors: the session is over.
    async fn claim_in(
        &self,
        session: &Session,
        running: &Arc<Running>,
        stance: &mut watch::Receiver<Stance>,
    ) -> Result<()> {
        let mut backoff = Backoff::new();
        loop {
            let now = *stance.borrow_and_update();
            let step = match now {
                Stance::Finish => return Ok(()),
                Stance::Pause => self.pause(session, running, stance).await,
                Stance::Claim => self.claim_once(session, running, stance).await,
            };
            match step {
                Ok(ControlFlow::Continue(())) => backoff.reset(),
                Ok(ControlFlow::Break(())) => return Ok(()),
                Err(error) if error.is_lost() => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, "cannot claim");
                    backoff.wait().await;
                }
            }
        }
    }

    /// Waits for another stance, and sees to it that a dead session does not go unnoticed.
    async fn pause(
        &self,
        session: &Session,
        running: &Running,
        stance: &mut watch::Receiver<Stance>,
    ) -> Result<ControlFlow<()>> {
        loop {
            tokio::select! {
                changed = stance.changed() => {
                    return Ok(if changed.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) });
                }
                () = tokio::time::sleep(SESSION_CHECK) => {
                    if running.count() > 0 {
                        session.queue.connection().ping().await?;
                    }
                }
            }
        }
    }

    /// Waits for free slots, claims as many messages, starts them. If the stance changes meanwhile, the claim is
    /// asked to end, and what it still brings is released.
    async fn claim_once(
        &self,
        session: &Session,
        running: &Arc<Running>,
        stance: &mut watch::Receiver<Stance>,
    ) -> Result<ControlFlow<()>> {
        let mut reserved = tokio::select! {
            reserved = running.reserve() => reserved,
            () = unwanted(stance) => return Ok(ControlFlow::Continue(())),
            error = session_end(session) => return Err(error),
        };
        let claim = Claim { count: reserved.count(), lease: Some(self.lease), block: Some(BLOCK), bond: Bond::Session };
        let answer = session.queue.claim(&self.consumer, &claim);
        tokio::pin!(answer);
        let messages = tokio::select! {
            messages = &mut answer => messages?,
            () = unwanted(stance) => loop {
                if let Some(id) = session.id {
                    running.ask(Errand::Unblock(id));
                }
                tokio::select! {
                    messages = &mut answer => break messages?,
                    () = tokio::time::sleep(UNBLOCK_AGAIN) => {}
                }
            },
        };
        if *stance.borrow() != Stance::Claim {
            release(session, &messages).await?;
            return Ok(ControlFlow::Continue(()));
        }
        let ends_at = Instant::now() + self.lease;
        for message in messages {
            running.start(&mut reserved, message, ends_at, &self.handler);
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Keeps the session alive while the last handlers run.
    async fn see_out(&self, session: &Session, running: &Running) {
        tokio::select! {
            () = running.all_done() => {}
            error = session_end(session) => {
                let cancelled = running.cancel_all();
                tracing::warn!(%error, cancelled, "the session of the claims is over");
            }
        }
    }
}

/// Gives back what was claimed but will not be started.
async fn release(session: &Session, messages: &[Message]) -> Result<()> {
    let receipts: Vec<Receipt> = messages.iter().map(|message| message.receipt).collect();
    let n = session.queue.release(&receipts).await?;
    tracing::info!(n, "released");
    Ok(())
}

/// Comes back when the connection is found dead; why.
async fn session_end(session: &Session) -> Error {
    loop {
        tokio::time::sleep(SESSION_CHECK).await;
        if let Err(error) = session.queue.connection().ping().await {
            return error;
        }
    }
}

/// Comes back as soon as nothing may be claimed.
async fn unwanted(stance: &mut watch::Receiver<Stance>) {
    // An error means that the sender is gone: nobody wants anything any more.
    let _gone = stance.wait_for(|stance| *stance != Stance::Claim).await.is_err();
}

/// Comes back as soon as the stance is `Finish`.
async fn finished(stance: &mut watch::Receiver<Stance>) {
    // As above.
    let _gone = stance.wait_for(|stance| *stance == Stance::Finish).await.is_err();
}
