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
    /// Whether it also works on a queue into which others than the generators of `producer` have pushed.
    pub any_queue: bool,
}

impl<H: EventHandler> Peer<H> {
    /// Runs until asked to end. Then it claims no more, gives back what it has not started, resigns, and finishes what
    /// it has started. Errors: the server cannot serve this queue at all (no module, another type, no permission), found
    /// out at the beginning; later the peer only waits for better times. `NotOurs`, at the beginning and when it was elected:
    /// others have pushed into the queue.
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
        let ended = match led {
            Ok(Some(leader)) => {
                leader.resign().await;
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(refusal) => Err(refusal),
        };
        if let Some(handling) = handling
            && let Err(error) = handling.await
        {
            tracing::error!(%error, "the handling ended early");
        }
        tracing::info!("stopped");
        ended
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
        let queue = Queue::new(connection, self.endpoint.queue());
        let info = queue.info().await?;
        if !self.any_queue {
            // Asked for after the figures, because the generators push on meanwhile.
            self.check_pushed(&info, queue.seq(&self.producer, None).await?)?;
        }
        Ok(info)
    }

    /// Errors: more was pushed than the generators, from which number `next` is expected, can have pushed.
    fn check_pushed(&self, info: &Info, next: u64) -> Result<()> {
        let pushed = info.number("pushed")?;
        match pushed > next {
            true => Err(Error::NotOurs { queue: self.endpoint.queue().to_owned(), pushed, generated: next }),
            false => Ok(()),
        }
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

    /// Stands by and leads until asked to end. Returns the leadership that is held then, if any. Errors: `NotOurs`; the
    /// leadership is given up.
    async fn lead_again_and_again(
        &self,
        stance: &watch::Sender<Stance>,
        shutdown: &Shutdown,
    ) -> Result<Option<Leader>> {
        if self.role == Role::Handler {
            shutdown.requested().await;
            return Ok(None);
        }
        let candidate = Candidate {
            endpoint: Arc::clone(&self.endpoint),
            name: self.name.clone(),
            lease: self.lease,
            producer: self.producer.clone(),
        };
        let mut backoff = Backoff::new();
        loop {
            let leader = tokio::select! {
                leader = candidate.stand_by() => leader,
                () = shutdown.requested() => return Ok(None),
            };
            stance.send_replace(Stance::Pause);
            let error = tokio::select! {
                error = self.lead(&leader) => error,
                () = shutdown.requested() => return Ok(Some(leader)),
            };
            if matches!(error, Error::NotOurs { .. }) {
                leader.resign().await;
                return Err(error);
            }
            tracing::warn!(token = %leader.token(), %error, "no longer leading");
            stance.send_replace(Stance::Claim);
            if leader.has_published() {
                backoff.reset();
                continue;
            }
            // Whoever elects and then refuses is not asked in a tight loop.
            tokio::select! {
                () = backoff.wait() => {}
                () = shutdown.requested() => return Ok(None),
            }
        }
    }

    /// Generates until the leadership ends, if the queue is the generators' own. Returns why it does not lead any more.
    async fn lead(&self, leader: &Leader) -> Error {
        if !self.any_queue {
            let checked = leader.queue().info().await.and_then(|info| self.check_pushed(&info, leader.next_number()));
            if let Err(error) = checked {
                return error;
            }
        }
        self.generator.generate(leader).await
    }
}
