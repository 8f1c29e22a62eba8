//! The handler: claims messages, runs an event handler on many of them at once, completes them.
//!
//! ```text
//!   claims (connection 1) ──► one task per message ──► settling (connection 2)
//!     CLAIM … BLOCK SESSION      EventHandler            ACK, FAIL in batches
//!     RELEASE                                            EXTEND, CLIENT UNBLOCK
//!        ▲                                                   │
//!        └────────────────── slots, given back ──────────────┘
//! ```
//!
//! A message holds its slot from before it is claimed until the server has heard of its completion; so there are
//! never more than `concurrency` messages in one process, and an unreachable server stops the claiming.

mod assignment;
mod claims;
mod extending;
mod retry;
mod running;
mod settling;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};

pub use self::assignment::Assignment;
pub use self::retry::Retries;
use self::running::Running;
use crate::connection::Endpoint;
use crate::ledger::Ledger;
use crate::queue::Message;

/// How often it is looked for claims that ended because nobody could extend them: so often per lease …
const LOOKS_PER_LEASE: u32 = 8;
/// … and no more rarely than this.
const RAREST_LOOK: Duration = Duration::from_secs(1);

/// What an event handler answers: done, or failed for this reason.
pub type Outcome = std::result::Result<(), String>;

/// Processes messages. One value serves all messages of a process, many at the same time.
pub trait EventHandler: Send + Sync + 'static {
    /// Processes one message. `Err`: the message is tried again, or goes to the error store with this reason, as
    /// [`Handling::retries`] has it; so after a panic. The future is dropped when the claim is lost: somebody else processes the message then.
    fn handle(&self, message: &Message) -> impl Future<Output = Outcome> + Send;
}

/// What the claiming part of a peer may do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stance {
    /// Claim and handle.
    Claim,
    /// Claim nothing; finish and complete what runs.
    Pause,
    /// As `Pause`, then end.
    Finish,
}

/// A handling process, ready to run.
#[derive(Debug)]
pub struct Handling<H> {
    /// Where the queue is.
    pub endpoint: Arc<Endpoint>,
    /// Under which name it claims.
    pub consumer: String,
    /// For how long it claims; claims of handlers that take longer are extended.
    pub lease: Duration,
    /// At most so many messages at once.
    pub concurrency: u32,
    /// What it does with them.
    pub handler: Arc<H>,
    /// What becomes of those that fail.
    pub retries: Retries,
    /// Where completions are noted, if anywhere.
    pub ledger: Option<Ledger>,
}

impl<H: EventHandler> Handling<H> {
    /// Handles messages until the stance is `Finish` (or its sender is gone) and everything that was started is
    /// completed. Reconnects for ever.
    pub async fn run(self, mut stance: watch::Receiver<Stance>) {
        tracing::info!(consumer = self.consumer, concurrency = self.concurrency, "handling");
        let (settle, inbox) = mpsc::unbounded_channel();
        let running = Arc::new(Running::new(self.concurrency, settle));
        let settling = tokio::spawn(settling::Settling::new(&self, &running).run(inbox));
        let work = async {
            self.claim_until_finished(&running, &mut stance).await;
            running.all_done().await;
        };
        tokio::select! {
            () = work => {}
            never = cancel_lapsed_claims(&running, self.lease) => match never {},
        }
        // Dropped by itself the inbox would stay open: tasks that were cancelled may still hold the table.
        running.close();
        if let Err(error) = settling.await {
            tracing::error!(%error, "the settling of completions ended early");
        }
    }
}

/// Ends the work on claims that are over, while the server cannot be reached to tell or to be told.
async fn cancel_lapsed_claims(running: &Running, lease: Duration) -> Infallible {
    let mut looks = tokio::time::interval((lease / LOOKS_PER_LEASE).min(RAREST_LOOK));
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let cancelled = running.cancel_lapsed(Instant::now());
        if cancelled > 0 {
            tracing::warn!(
                cancelled,
                "claims ended because the server could not be reached to extend them; their handlers are cancelled, \
                 others get their messages"
            );
        }
    }
}
