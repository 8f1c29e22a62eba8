//! The claiming side: one connection, whose end is the end of all claims made on it.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::extending::extend;
use super::running::{Errand, Hold, LARGEST_CLAIM, Running};
use super::{EventHandler, Handling, Stance};
use crate::connection::{Backoff, Complaint, Connection, Portion};
use crate::error::{Error, Result};
use crate::queue::{Bond, Claim, Message, Queue, Receipt};

/// How long one claim waits for messages: a server that vanished silently is noticed within this and the patience of
/// the connection.
const BLOCK: Duration = Duration::from_secs(3);

/// While nothing is claimed: how often the session is checked, which also keeps the server from closing an idle connection.
const SESSION_CHECK: Duration = Duration::from_secs(1);

/// So long a process that was asked to end waits for the rest of an answer, and for an answer to its last words to the server.
/// What it has claimed and not started goes back all the same when its connection closes.
const LAST_ANSWER: Duration = Duration::from_secs(1);

/// How often a blocked claim is asked to end.
pub(super) const UNBLOCK_AGAIN: Duration = Duration::from_millis(100);

/// The first claim is for no more messages than this: nobody knows yet how large they are, nor how slow the link.
const FIRST_CLAIM: usize = 32;

/// What one session leaves to the next.
struct Lessons {
    backoff: Backoff,
    complaint: Complaint,
    portion: Portion,
}

/// A connection with the claims that were made on it.
struct Session {
    queue: Queue,
    /// The server's number for the connection; `None`: it would not tell.
    id: Option<i64>,
}

impl Session {
    /// Errors: the connection is dead, and the session with it. A refused PING (no permission, a busy server, one that
    /// cannot write to its disk) is an answer all the same.
    async fn look(&self) -> Result<()> {
        match self.queue.connection().ping().await {
            Err(error) if error.is_lost() => Err(error),
            _ => Ok(()),
        }
    }
}

impl<H: EventHandler> Handling<H> {
    /// Claims and starts messages as the stance allows, on one session after the other, until it is `Finish`.
    pub(super) async fn claim_until_finished(&self, running: &Arc<Running>, stance: &mut watch::Receiver<Stance>) {
        let portion = Portion::new(FIRST_CLAIM, LARGEST_CLAIM as usize, self.lease);
        let mut lessons = Lessons { backoff: Backoff::new(), complaint: Complaint::new(), portion };
        loop {
            let session = tokio::select! {
                session = self.open_session() => session,
                () = finished(stance) => return,
            };
            let error = match session {
                Ok(session) => match self.claim_in(&session, running, stance, &mut lessons).await {
                    Ok(()) => return self.see_out(&session, running).await,
                    Err(error) => error,
                },
                Err(error) => error,
            };
            end_session(&error, running, &mut lessons.complaint);
            if matches!(error, Error::TooSlow(_)) {
                lessons.portion.was_too_much();
            }
            tokio::select! {
                () = lessons.backoff.wait() => {}
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

    /// Claims until the stance is `Finish`; a claim that is answered ends backoff and complaint. Errors: the session is over.
    async fn claim_in(
        &self,
        session: &Session,
        running: &Arc<Running>,
        stance: &mut watch::Receiver<Stance>,
        lessons: &mut Lessons,
    ) -> Result<()> {
        loop {
            let now = *stance.borrow_and_update();
            let step = match now {
                Stance::Finish => return Ok(()),
                Stance::Pause => self.pause(session, stance).await,
                Stance::Claim => self.claim_once(session, running, stance, &mut lessons.portion).await,
            };
            match step {
                Ok(ControlFlow::Continue(())) => {
                    lessons.backoff.reset();
                    if lessons.complaint.is_over() {
                        tracing::info!("claiming again");
                    }
                }
                Ok(ControlFlow::Break(())) => return Ok(()),
                Err(error) if error.is_lost() => return Err(error),
                Err(error) => {
                    if lessons.complaint.is_due(&error) {
                        tracing::warn!(%error, "cannot claim");
                    }
                    tokio::select! {
                        () = lessons.backoff.wait() => {}
                        () = finished(stance) => {}
                    }
                }
            }
        }
    }

    /// Waits for another stance, and sees to it that a dead session does not go unnoticed.
    async fn pause(&self, session: &Session, stance: &mut watch::Receiver<Stance>) -> Result<ControlFlow<()>> {
        tokio::select! {
            changed = stance.changed() => {
                Ok(if changed.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
            }
            error = session_end(session) => Err(error),
        }
    }

    /// Waits for free slots, claims as many messages, starts them. If the stance changes meanwhile, the claim is
    /// asked to end, and what it still brings is released.
    async fn claim_once(
        &self,
        session: &Session,
        running: &Arc<Running>,
        stance: &mut watch::Receiver<Stance>,
        portion: &mut Portion,
    ) -> Result<ControlFlow<()>> {
        let mut reserved = tokio::select! {
            reserved = running.reserve() => reserved,
            () = unwanted(stance) => return Ok(ControlFlow::Continue(())),
            error = session_end(session) => return Err(error),
        };
        let count = reserved.count().min(portion.count());
        let asked_at = Instant::now();
        let Some(messages) = self.ask_for_messages(session, running, stance, count).await? else {
            return Ok(ControlFlow::Break(()));
        };
        let hold = Hold::granted(asked_at, self.lease);
        if *stance.borrow() != Stance::Claim {
            release(session, &messages, hold, stance).await?;
            return Ok(ControlFlow::Continue(()));
        }
        if messages.is_empty() && asked_at.elapsed() < BLOCK / 2 {
            return Err(Error::answered_early("MQ.CLAIM"));
        }
        let claimed = messages.len();
        let (messages, hold) = self.still_held(session, messages, hold, stance).await?;
        if messages.len() < claimed {
            portion.was_too_much();
        } else {
            portion.arrived(asked_at.into_std());
        }
        for message in messages {
            running.start(&mut reserved, message, hold, &self.handler);
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Claims up to `count` messages and waits for the answer. Returns `None` when the process was asked to end and the
    /// answer does not come: it may have stopped half-way, and the claims in it end with the session.
    async fn ask_for_messages(
        &self,
        session: &Session,
        running: &Running,
        stance: &mut watch::Receiver<Stance>,
        count: usize,
    ) -> Result<Option<Vec<Message>>> {
        let claim = Claim { count, lease: Some(self.lease), block: Some(BLOCK), bond: Bond::Session };
        let answer = session.queue.claim(&self.consumer, &claim);
        tokio::pin!(answer);
        tokio::select! {
            messages = &mut answer => return messages.map(Some),
            () = unwanted(stance) => {}
        }
        let mut unblocks = tokio::time::interval(UNBLOCK_AGAIN);
        let given_up = async {
            finished(stance).await;
            tokio::time::sleep(LAST_ANSWER).await;
        };
        tokio::pin!(given_up);
        loop {
            tokio::select! {
                messages = &mut answer => return messages.map(Some),
                () = &mut given_up => {
                    tracing::warn!("the answer to the last claim does not come; what it claimed goes back with the session");
                    return Ok(None);
                }
                _ = unblocks.tick() => if let Some(id) = session.id {
                    let server = session.queue.connection().server().clone();
                    running.ask(Errand::Unblock { server, id, asked_at: Instant::now() });
                },
            }
        }
    }

    /// The messages that are worth starting. An answer that was long on its way, or reached a process that had been
    /// stopped, may bring claims that are over: where half of the lease may be gone, they are extended first.
    async fn still_held(
        &self,
        session: &Session,
        mut messages: Vec<Message>,
        hold: Hold,
        stance: &mut watch::Receiver<Stance>,
    ) -> Result<(Vec<Message>, Hold)> {
        if messages.is_empty() || hold.until > Instant::now() + self.lease / 2 {
            return Ok((messages, hold));
        }
        let (current, hold) = match extend(&session.queue, self.lease, &receipts_of(&messages)).await {
            Ok(extended) => extended,
            Err(error) if error.is_lost() => return Err(error),
            Err(error) => {
                tracing::warn!(%error, "cannot extend what was claimed long ago, giving it back");
                release(session, &messages, hold, stance).await?;
                return Ok((Vec::new(), hold));
            }
        };
        let claimed = messages.len();
        let mut current = current.into_iter();
        messages.retain(|_| current.next().unwrap_or(false));
        if messages.len() < claimed {
            tracing::warn!(count = claimed - messages.len(), "claims ended before their messages could be started");
        }
        Ok((messages, hold))
    }

    /// Keeps the session alive while the last handlers run.
    async fn see_out(&self, session: &Session, running: &Running) {
        tokio::select! {
            () = running.all_done() => {}
            error = session_end(session) => end_session(&error, running, &mut Complaint::new()),
        }
    }
}

/// Cancels the handlers of a session that is over.
fn end_session(error: &Error, running: &Running, complaint: &mut Complaint) {
    let cancelled = running.cancel_all();
    let is_due = complaint.is_due(error);
    if cancelled > 0 {
        tracing::warn!(
            %error,
            cancelled,
            "the session is over, and the claims with it; handlers that ran are cancelled, others get their messages"
        );
    } else if is_due {
        tracing::info!(%error, "the session is over; no handler ran");
    }
}

/// Gives back what was claimed but will not be started; while the server is too busy to take it, again and again for as
/// long as it is ours. A process that was asked to end does not wait so long: its session gives back what is left.
async fn release(
    session: &Session,
    messages: &[Message],
    hold: Hold,
    stance: &mut watch::Receiver<Stance>,
) -> Result<()> {
    if messages.is_empty() {
        return Ok(());
    }
    let receipts = receipts_of(messages);
    let given_up = async {
        finished(stance).await;
        tokio::time::sleep(LAST_ANSWER).await;
    };
    tokio::select! {
        released = release_patiently(session, &receipts, hold) => released,
        () = given_up => {
            tracing::warn!(n = messages.len(), "the server does not take back what was not started; it goes back with the session");
            Ok(())
        }
    }
}

async fn release_patiently(session: &Session, receipts: &[Receipt], hold: Hold) -> Result<()> {
    let mut backoff = Backoff::new();
    loop {
        match session.queue.release(receipts).await {
            Ok(n) => {
                tracing::info!(n, "released");
                return Ok(());
            }
            Err(error @ Error::Busy { .. }) if Instant::now() < hold.over_at => {
                tracing::debug!(%error, "cannot release yet");
                backoff.wait().await;
            }
            Err(error) => return Err(error),
        }
    }
}

fn receipts_of(messages: &[Message]) -> Vec<Receipt> {
    messages.iter().map(|message| message.receipt).collect()
}

/// Comes back when the connection is found dead; why.
async fn session_end(session: &Session) -> Error {
    loop {
        tokio::time::sleep(SESSION_CHECK).await;
        if let Err(error) = session.look().await {
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
