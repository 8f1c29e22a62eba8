//! One copy of the application: it handles messages and stands by for the leadership; elected, it generates.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::connection::{Backoff, Complaint, Connection, Endpoint};
use crate::error::{Error, Result};
use crate::generator::Generator;
use crate::handler::{EventHandler, Handling, Retries, Stance};
use crate::leadership::{Candidate, Leader};
use crate::ledger::Ledger;
use crate::queue::{Info, Queue};
use crate::shutdown::Shutdown;

/// What a copy may become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// A handler that stands by, and the generator once elected.
    #[default]
    Auto,
    /// A handler for ever.
    Handler,
    /// Stands by and generates; handles nothing.
    Generator,
}

/// A copy of the application, ready to run.
#[derive(Debug)]
pub struct Peer<H> {
    /// Where the queue is.
    pub endpoint: Arc<Endpoint>,
    /// A name that no other process has.
    pub name: String,
    /// What it may become.
    pub role: Role,
    /// For how long it claims and leads.
    pub lease: Duration,
    /// The producer under whose name all generators of this queue number their messages.
    pub producer: String,
    /// How it generates.
    pub generator: Generator,
    /// How many messages it handles at once.
    pub concurrency: u32,
    /// What it does with them.
    pub handler: Arc<H>,
    /// What becomes of messages that fail.
    pub retries: Retries,
    /// Where completions are noted, if anywhere.
    pub ledger: Option<Ledger>,
}

impl<H: EventHandler> Peer<H> {
    /// Runs until asked to end. Then it claims no more, gives back what it has not started, resigns, and finishes what
    /// it has started. Errors: the server cannot serve this queue at all (no module, another type, no permission), found
    /// out at the beginning; later the peer only waits for better times.
    pub async fn run(self, shutdown: &Shutdown) -> Result<()> {
        let info = tokio::select! {
            checked = self.check() => checked?,
            () = shutdown.requested() => return Ok(()),
        };
        self.warn_of_fewer_retries(&info);
        let (stance, watched) = watch::channel(Stance::Claim);
        let handling = self.start_handling(watched);
        let led = self.lead_again_and_again(&stance, shutdown).await;
        stance.send_replace(Stance::Finish);
        if let Some(leader) = led {
            leader.resign().await;
        }
        if let Some(handling) = handling
            && let Err(error) = handling.await
        {
            tracing::error!(%error, "the handling ended early");
        }
        tracing::info!("stopped");
        Ok(())
    }

    /// Waits for the server, then asks it for the queue.
    async fn check(&self) -> Result<Info> {
        let (mut backoff, mut complaint) = (Backoff::new(), Complaint::new());
        loop {
            match self.ask_once().await {
                Ok(info) => return Ok(info),
                // Somebody can repair a broken queue while we wait, with DEL or RESTORE.
                Err(error) if error.is_passing() || matches!(error, Error::Broken(_)) => {
                    if complaint.is_due(&error) {
                        tracing::warn!(%error, "the queue cannot be served yet, waiting");
                    }
                }
                Err(error) => return Err(error),
            }
            backoff.wait().await;
        }
    }

    async fn ask_once(&self) -> Result<Info> {
        let connection = Connection::open(&self.endpoint).await?;
        Queue::new(connection, self.endpoint.queue()).info().await
    }

    /// The queue has the last word on how often a message is delivered.
    fn warn_of_fewer_retries(&self, info: &Info) {
        let retries = self.retries.count;
        if self.role != Role::Generator
            && let Ok(max_deliveries @ 1..) = info.number("max-deliveries")
            && u64::from(retries) >= max_deliveries
        {
            tracing::warn!(
                retries,
                max_deliveries,
                "the queue ends the retries earlier; MQ.CONFIG … max-deliveries changes it"
            );
        }
    }

    fn start_handling(&self, stance: watch::Receiver<Stance>) -> Option<JoinHandle<()>> {
        if self.role == Role::Generator {
            return None;
        }
        let handling = Handling {
            endpoint: Arc::clone(&self.endpoint),
            consumer: self.name.clone(),
            lease: self.lease,
            concurrency: self.concurrency,
            handler: Arc::clone(&self.handler),
            retries: self.retries,
            ledger: self.ledger.clone(),
        };
        Some(tokio::spawn(handling.run(stance)))
    }

    /// Stands by and leads until asked to end; the leadership that is held then, if any.
    async fn lead_again_and_again(&self, stance: &watch::Sender<Stance>, shutdown: &Shutdown) -> Option<Leader> {
        if self.role == Role::Handler {
            shutdown.requested().await;
            return None;
        }
        let candidate = Candidate {
            endpoint: Arc::clone(&self.endpoint),
            name: self.name.clone(),
            lease: self.lease,
            producer: self.producer.clone(),
        };
        loop {
            let leader = tokio::select! {
                leader = candidate.stand_by() => leader,
                () = shutdown.requested() => return None,
            };
            stance.send_replace(Stance::Pause);
            tokio::select! {
                error = self.generator.generate(&leader) => {
                    tracing::warn!(token = %leader.token(), %error, "no longer leading");
                }
                () = shutdown.requested() => return Some(leader),
            }
            stance.send_replace(Stance::Claim);
        }
    }
}
