//! Standing by for the leadership, taking it over, keeping it, giving it up.
//!
//! ```text
//!   standing by ── elected ──► taking over ── renewed with TOKEN, SEQ … FENCE ──► leading
//!       ▲  ▲                        │                                               │
//!       │  └──── already over ──────┘                                               │
//!       └───────────── lease ended, fenced, connection cut, resigned ───────────────┘
//! ```

mod trust;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

pub use self::trust::{TrustWindow, renewal_interval};
use crate::connection::{Backoff, Complaint, Connection, Endpoint};
use crate::error::{Error, Result};
use crate::queue::{Bond, Candidacy, Queue, Token};

/// How long one stand-by lasts before it is asked for again: a server that vanished silently is noticed within
/// this and the patience of the connection.
const STAND_BY: Duration = Duration::from_secs(5);

/// So long a leader that resigns waits for the answer. Its leadership ends with the connection all the same.
const RESIGN_PATIENCE: Duration = Duration::from_secs(1);

/// Somebody who wants to lead.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Where the queue is.
    pub endpoint: Arc<Endpoint>,
    /// A name that no other process has.
    pub name: String,
    /// For how long the leadership lasts without a renewal.
    pub lease: Duration,
    /// The producer under whose name all generators of this queue number their messages.
    pub producer: String,
}

impl Candidate {
    /// Stands by until elected, for ever if need be, and takes over: when this returns, no older generator can
    /// push any more.
    pub async fn stand_by(&self) -> Leader {
        let (mut backoff, mut complaint) = (Backoff::new(), Complaint::new());
        tracing::info!(candidate = self.name, "standing by");
        loop {
            let connection = Connection::open_patiently(&self.endpoint, "leadership").await;
            let queue = Queue::new(connection, self.endpoint.queue());
            loop {
                match self.stand_by_once(&queue).await {
                    Ok(Some(leader)) => return leader,
                    Ok(None) => {
                        backoff.reset();
                        if complaint.is_over() {
                            tracing::info!("standing by again");
                        }
                    }
                    Err(error) => {
                        if complaint.is_due(&error) {
                            tracing::warn!(%error, "cannot stand by for the leadership");
                        }
                        backoff.wait().await;
                        if error.is_lost() {
                            break;
                        }
                    }
                }
            }
        }
    }

    /// One stand-by of a few seconds; `None`: somebody else leads still. Errors: also a stand-by or a leadership that was cut
    /// short, so that whoever cuts it short is asked less and less often.
    async fn stand_by_once(&self, queue: &Queue) -> Result<Option<Leader>> {
        let asked_at = Instant::now();
        let candidacy = Candidacy { block: Some(STAND_BY), ..self.candidacy(None) };
        let leadership = queue.lead(&self.name, &candidacy).await?;
        if leadership.is_held_by(&self.name) {
            return self.take_over(queue, leadership.token).await.map(Some);
        }
        match asked_at.elapsed() < STAND_BY / 2 {
            true => Err(Error::answered_early("MQ.LEADER")),
            false => Ok(None),
        }
    }

    /// An election that came at the end of a wait says nothing about when the lease began. So the leadership is
    /// renewed and trusted from there. Errors: `Fenced` when it is over already.
    async fn take_over(&self, queue: &Queue, token: Token) -> Result<Leader> {
        let sent_at = Instant::now();
        let answer = queue.renew_and_resume(&self.name, &self.candidacy(Some(token)), &self.producer, token).await;
        match answer {
            Ok((leadership, next)) if leadership.is_held_by(&self.name) && leadership.token == token => {
                tracing::info!(%token, next, "leading");
                let (trust, _) = watch::channel(TrustWindow::opened(sent_at, self.lease));
                Ok(Leader {
                    candidate: self.clone(),
                    queue: queue.clone(),
                    token,
                    next,
                    trust,
                    published: AtomicBool::new(false),
                })
            }
            Ok(_) | Err(Error::Fenced(_)) => {
                Err(Error::Fenced("this peer was elected, but its leadership ended before it could begin".to_owned()))
            }
            Err(error) => Err(error),
        }
    }

    fn candidacy(&self, token: Option<Token>) -> Candidacy {
        Candidacy { lease: Some(self.lease), block: None, bond: Bond::Session, token }
    }
}

/// A leadership that this process holds, on the connection to which it is bound.
#[derive(Debug)]
pub struct Leader {
    candidate: Candidate,
    queue: Queue,
    token: Token,
    next: u64,
    /// Moved on by [`keep`](Self::keep), waited for by [`trusted_until`](Self::trusted_until).
    trust: watch::Sender<TrustWindow>,
    /// Whether a push was accepted.
    published: AtomicBool,
}

impl Leader {
    /// The queue, through the connection whose end is the end of this leadership.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// The name under which it leads.
    pub fn candidate(&self) -> &str {
        &self.candidate.name
    }

    /// The producer whose numbers it goes on with.
    pub fn producer(&self) -> &str {
        &self.candidate.producer
    }

    /// The fencing token.
    pub fn token(&self) -> Token {
        self.token
    }

    /// The number from which to go on, as the queue said at the take-over.
    pub fn next_number(&self) -> u64 {
        self.next
    }

    /// Whether it has published anything.
    pub fn has_published(&self) -> bool {
        self.published.load(Ordering::Relaxed)
    }

    /// Notes that it has published something.
    pub(crate) fn note_published(&self) {
        self.published.store(true, Ordering::Relaxed);
    }

    /// Waits while the lease may not be relied upon; then the time until which it may.
    pub async fn trusted_until(&self) -> Instant {
        let mut trust = self.trust.subscribe();
        loop {
            let window = *trust.borrow_and_update();
            if window.holds(Instant::now()) {
                return window.until();
            }
            if trust.changed().await.is_err() {
                // The sender lives in `self`; were it gone, there would be nothing to rely on.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Renews the lease in good time, again and again, until that fails; why it failed. The leadership is then
    /// over, or cannot be known to last.
    pub async fn keep(&self) -> Error {
        let mut complaint = Complaint::new();
        loop {
            tokio::time::sleep(renewal_interval(self.candidate.lease)).await;
            let mut backoff = Backoff::new();
            while let Err(error) = self.renew().await {
                match error {
                    Error::Busy { .. } => {}
                    // A silence is no end yet: the answer to the next attempt may come while the lease is trusted.
                    Error::Unanswered(_) if self.trust.borrow().holds(Instant::now()) => {}
                    error => return error,
                }
                if complaint.is_due(&error) {
                    tracing::warn!(%error, "the lease of the leadership could not be renewed yet");
                }
                backoff.wait().await;
            }
            if complaint.is_over() {
                tracing::info!("the lease of the leadership is renewed again");
            }
        }
    }

    async fn renew(&self) -> Result<()> {
        let sent_at = Instant::now();
        let leadership = self.queue.lead(&self.candidate.name, &self.candidate.candidacy(Some(self.token))).await?;
        if leadership.is_held_by(&self.candidate.name) && leadership.token == self.token {
            self.trust.send_replace(TrustWindow::opened(sent_at, self.candidate.lease));
            return Ok(());
        }
        let leader = leadership.leader.as_deref().unwrap_or("nobody");
        Err(Error::Fenced(format!("the leadership of token {} has ended; {leader} leads now", self.token)))
    }

    /// Gives the leadership up, so that a standby takes over at once.
    pub async fn resign(self) {
        let resigned = tokio::time::timeout(RESIGN_PATIENCE, self.queue.resign(&self.candidate.name, self.token)).await;
        match resigned.unwrap_or(Err(Error::Unanswered(RESIGN_PATIENCE))) {
            Ok(true) => tracing::info!(token = %self.token, "resigned"),
            Ok(false) => tracing::info!(token = %self.token, "the leadership had ended already"),
            Err(error) => tracing::warn!(%error, "cannot resign; the leadership ends with the connection"),
        }
    }
}
