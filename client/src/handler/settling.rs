//! The completing side: hears of ended handlers, tells the server in batches, and keeps long claims alive.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

use super::running::{Completion, Errand, Running};
use super::{Handling, Retries};
use crate::connection::{Backoff, Connection, Endpoint};
use crate::error::Result;
use crate::ledger::{Entry, Ledger};
use crate::queue::{Failed, Failure, Queue, Receipt};

/// Completions per exchange with the server.
const BATCH: usize = 1_000;

/// Receipts per MQ.EXTEND.
const EXTEND_BATCH: usize = 1_000;

/// With more messages than this in the process, a batch waits a little for company; with fewer, every completion goes
/// at once.
const LINGER_ABOVE: usize = 64;
/// How long it waits.
const LINGER: Duration = Duration::from_millis(4);

/// Completions by the way in which the server is told of them.
#[derive(Default)]
struct Sorted<'a> {
    /// Through the ledger.
    noted: Vec<Entry<'a>>,
    acks: Vec<Receipt>,
    failures: Vec<Failure<'a>>,
}

/// The part of a process that tells the server what became of the messages.
pub(super) struct Settling {
    endpoint: Arc<Endpoint>,
    lease: Duration,
    retries: Retries,
    ledger: Option<Ledger>,
    running: Arc<Running>,
    /// Opened when it is needed, dropped when it fails.
    queue: Option<Queue>,
}

impl Settling {
    pub(super) fn new<H>(handling: &Handling<H>, running: &Arc<Running>) -> Self {
        Self {
            endpoint: Arc::clone(&handling.endpoint),
            lease: handling.lease,
            retries: handling.retries,
            ledger: handling.ledger.clone(),
            running: Arc::clone(running),
            queue: None,
        }
    }

    /// Runs until the inbox is closed and empty.
    pub(super) async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Errand>) {
        // A claim is extended when less than half of its lease is left: four looks per lease are enough.
        let mut looks = tokio::time::interval(self.lease / 4);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut errands = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                received = inbox.recv_many(&mut errands, BATCH) => {
                    if received == 0 {
                        return;
                    }
                    if self.running.count() > LINGER_ABOVE && errands.len() < BATCH {
                        tokio::time::sleep(LINGER).await;
                        while errands.len() < BATCH && let Ok(errand) = inbox.try_recv() {
                            errands.push(errand);
                        }
                    }
                    self.run_errands(errands.drain(..)).await;
                }
                _ = looks.tick() => self.extend_long_claims().await,
            }
        }
    }

    async fn run_errands(&mut self, errands: impl Iterator<Item = Errand>) {
        let mut batch = Vec::with_capacity(BATCH);
        for errand in errands {
            match errand {
                Errand::Complete(completion) => batch.push(completion),
                Errand::Unblock(id) => {
                    let result = self.unblock(id).await;
                    self.report("unblock a claim", result);
                }
            }
        }
        self.complete(batch).await;
    }

    /// Tells the server until it has heard, or until the claims have ended for certain and it need not hear. Repeating
    /// a batch of unknown outcome is harmless: a receipt counts once.
    async fn complete(&mut self, mut batch: Vec<Completion>) {
        let mut backoff = Backoff::new();
        while !batch.is_empty() {
            let result = self.complete_once(&batch).await;
            if self.report("complete messages", result).is_some() {
                break;
            }
            backoff.wait().await;
            let now = Instant::now();
            let (open, ended): (Vec<_>, Vec<_>) =
                batch.into_iter().partition(|completion| self.running.may_be_current(completion.receipt, now));
            if !ended.is_empty() {
                tracing::warn!(
                    count = ended.len(),
                    "claims ended before their completion could be told; others will process them"
                );
                self.running.settled(ended.iter().map(|completion| completion.receipt));
            }
            batch = open;
        }
        self.running.settled(batch.iter().map(|completion| completion.receipt));
    }

    async fn complete_once(&mut self, batch: &[Completion]) -> Result<()> {
        let queue = self.queue().await?;
        let sorted = self.sort(batch);
        let mut counted = 0;
        if let Some(ledger) = &self.ledger
            && !sorted.noted.is_empty()
        {
            counted += ledger.settle(&queue, &sorted.noted).await?;
        }
        if !sorted.acks.is_empty() || !sorted.failures.is_empty() {
            let (acked, failed) = queue.settle(&sorted.acks, &sorted.failures).await?;
            counted += acked + failed.iter().filter(|failed| **failed != Failed::Stale).count() as u64;
        }
        let stale = (batch.len() as u64).saturating_sub(counted);
        tracing::debug!(counted, stale, "completed");
        Ok(())
    }

    fn sort<'a>(&self, batch: &'a [Completion]) -> Sorted<'a> {
        let mut sorted = Sorted::default();
        for completion in batch {
            let receipt = completion.receipt;
            let failure = completion.outcome.as_ref().err().map(|reason| Failure {
                receipt,
                retry: self.retries.rest_after(completion.deliveries),
                reason,
            });
            match (completion.number.filter(|_| self.ledger.is_some()), failure) {
                (Some(number), failure) => sorted.noted.push(Entry { receipt, number, failure }),
                (None, Some(failure)) => sorted.failures.push(failure),
                (None, None) => sorted.acks.push(receipt),
            }
        }
        sorted
    }

    /// Gives the claims that have less than half of their lease left a whole one; cancels the handlers of those that
    /// turn out to be over.
    async fn extend_long_claims(&mut self) {
        let ending = self.running.ending_before(Instant::now() + self.lease / 2);
        for receipts in ending.chunks(EXTEND_BATCH) {
            let result = self.extend(receipts).await;
            if self.report("extend claims", result).is_none() {
                return;
            }
        }
    }

    async fn extend(&mut self, receipts: &[Receipt]) -> Result<()> {
        let queue = self.queue().await?;
        if queue.extend(self.lease, receipts).await? == receipts.len() as u64 {
            self.running.extended(receipts, Instant::now() + self.lease);
            return Ok(());
        }
        // Some are over; the count does not tell which.
        let current = queue.extend_each(self.lease, receipts).await?;
        let ends_at = Instant::now() + self.lease;
        let (held, lost): (Vec<_>, Vec<_>) = receipts.iter().zip(current).partition(|(_, current)| *current);
        let receipts_of =
            |some: Vec<(&Receipt, bool)>| -> Vec<Receipt> { some.into_iter().map(|(receipt, _)| *receipt).collect() };
        let lost = receipts_of(lost);
        self.running.extended(&receipts_of(held), ends_at);
        self.running.cancel(&lost);
        tracing::warn!(count = lost.len(), "claims were lost; their handlers are cancelled");
        Ok(())
    }

    async fn unblock(&mut self, id: i64) -> Result<()> {
        let command = redis::cmd("CLIENT").arg("UNBLOCK").arg(id).to_owned();
        self.queue().await?.connection().ask(&command, Duration::ZERO).await.map(drop)
    }

    /// The queue through a live connection; one attempt to open one.
    async fn queue(&mut self) -> Result<Queue> {
        if let Some(queue) = &self.queue {
            return Ok(queue.clone());
        }
        let connection = Connection::open(&self.endpoint).await?;
        Ok(self.queue.insert(Queue::new(connection, self.endpoint.queue())).clone())
    }

    /// Logs a failure and lets go of a connection that is dead; `None` if it was one.
    fn report(&mut self, what: &str, result: Result<()>) -> Option<()> {
        match result {
            Ok(()) => Some(()),
            Err(error) => {
                tracing::warn!(%error, "cannot {what}");
                if error.is_lost() {
                    self.queue = None;
                }
                None
            }
        }
    }
}
