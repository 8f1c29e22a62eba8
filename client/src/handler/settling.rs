//! The completing side: hears of ended handlers, tells the server in batches, and keeps long claims alive.

use std::sync::Arc;
use std::time::Duration;

use redis::ConnectionAddr;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::claims::UNBLOCK_AGAIN;
use super::extending::extend;
use super::running::{Completion, Errand, Running};
use super::{Handling, Retries};
use crate::connection::{Backoff, Complaint, Connection, Endpoint, LONGEST_SILENCE};
use crate::error::{Error, Result};
use crate::ledger::{Entry, Ledger};
use crate::queue::{Failed, Failure, Queue, Receipt, Settled};

/// Completions per exchange with the server.
const BATCH: usize = 1_000;

/// Receipts per MQ.EXTEND.
const EXTEND_BATCH: usize = 1_000;

/// With more messages than this in the process, a batch waits a little for company; with fewer, every completion goes
/// at once.
const LINGER_ABOVE: usize = 64;
/// How long it waits.
const LINGER: Duration = Duration::from_millis(4);

/// How long one attempt to end a blocked claim may take: completions wait meanwhile.
const UNBLOCK_PATIENCE: Duration = Duration::from_secs(1);

/// The part of a process that tells the server what became of the messages.
pub(super) struct Settling {
    endpoint: Arc<Endpoint>,
    lease: Duration,
    retries: Retries,
    ledger: Option<Ledger>,
    running: Arc<Running>,
    /// Opened when it is needed, dropped when it fails.
    queue: Option<Queue>,
    /// What the server has yet to hear; each holds a slot, so there are no more of them than slots.
    pending: Vec<Pending>,
    /// When it is told again; `None`: at once, the last exchange went well.
    again_at: Option<Instant>,
    backoff: Backoff,
    complaint: Complaint,
    /// About completions that are given up. Others may count meanwhile, so no success ends it.
    refusals: Complaint,
    /// How many were given up since that was told.
    refused: usize,
}

/// A completion that the server has not heard of, as far as we know.
struct Pending {
    completion: Completion,
    /// It was told before, and may have counted then.
    told: bool,
}

/// What one command told the server.
struct Told {
    completions: Vec<Pending>,
    /// How many of them counted.
    counted: Result<u64>,
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
            pending: Vec::new(),
            again_at: None,
            backoff: Backoff::new(),
            complaint: Complaint::new(),
            refusals: Complaint::new(),
            refused: 0,
        }
    }

    /// Runs until the inbox is closed and empty; it is closed when nothing is pending.
    pub(super) async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Errand>) {
        // A claim is extended when less than half of its lease is left: four looks per lease are enough.
        let mut looks = tokio::time::interval(self.lease / 4);
        let mut pings = tokio::time::interval(LONGEST_SILENCE);
        let mut errands = Vec::with_capacity(BATCH);
        loop {
            let again_at = self.again_at.unwrap_or_else(Instant::now);
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
                _ = looks.tick() => {
                    self.extend_long_claims().await;
                    // While the server is silent a look takes long. The next one must not be due at its end: errands wait.
                    looks.reset();
                }
                _ = pings.tick() => {
                    self.ping().await;
                    pings.reset();
                }
                () = tokio::time::sleep_until(again_at), if self.again_at.is_some() => self.tell_pending().await,
            }
        }
    }

    async fn run_errands(&mut self, errands: impl Iterator<Item = Errand>) {
        let mut unblock = None;
        for errand in errands {
            match errand {
                Errand::Complete(completion) => self.pending.push(Pending { completion, told: false }),
                // One attempt per batch is enough. Whoever has stopped asking needs none.
                Errand::Unblock { server, id, asked_at } => {
                    unblock = (asked_at.elapsed() < 2 * UNBLOCK_AGAIN).then_some((server, id));
                }
            }
        }
        if let Some((server, id)) = unblock {
            let result = tokio::time::timeout(UNBLOCK_PATIENCE, self.unblock(&server, id)).await;
            self.report("unblock a claim", result.unwrap_or(Err(Error::Unanswered(UNBLOCK_PATIENCE))));
        }
        if self.again_at.is_none() {
            self.tell_pending().await;
        }
    }

    /// Tells the server what it has not heard yet, one attempt; what must be told again stays pending, for as long as its
    /// claim may be current. Telling twice is harmless: a receipt counts once.
    async fn tell_pending(&mut self) {
        let mut left = std::mem::take(&mut self.pending);
        let mut heard = true;
        while !left.is_empty() {
            let batch = split_batch(&mut left);
            heard &= self.tell(batch).await;
            if self.queue.is_none() {
                self.keep(std::mem::take(&mut left));
            }
        }
        if self.pending.is_empty() {
            self.again_at = None;
            self.backoff.reset();
            if heard && self.complaint.is_over() {
                tracing::info!("completing messages again");
            }
        } else {
            self.again_at = Some(Instant::now() + self.backoff.next_wait());
        }
    }

    /// One exchange with the server; whether it heard all of them. All were told before, or none was.
    async fn tell(&mut self, batch: Vec<Pending>) -> bool {
        let told_before = batch.first().is_some_and(|pending| pending.told);
        let queue = match self.queue().await {
            Ok(queue) => queue,
            // Whatever the reason, another attempt to connect may succeed.
            Err(error) => {
                self.report("complete messages", Err(error));
                self.keep(batch);
                return false;
            }
        };
        let (mut lost, mut unheard, mut again) = (0, None, Vec::new());
        for Told { completions, counted } in self.send(&queue, batch).await {
            match counted {
                Ok(counted) => {
                    lost += (completions.len() as u64).saturating_sub(counted);
                    self.let_go(&completions);
                }
                Err(error) if error.is_passing() => {
                    again.extend(completions.into_iter().map(|pending| Pending { told: true, ..pending }));
                    unheard = Some(error);
                }
                Err(error) => {
                    self.give_up(&completions, &error);
                }
            }
        }
        let heard = unheard.is_none();
        if let Some(error) = unheard {
            self.report("complete messages", Err(error));
        }
        match lost {
            0 => {}
            // Those may be the ones that counted before, when the answer did not arrive.
            _ if told_before => tracing::debug!(count = lost, "completed by an earlier attempt, or claims were lost"),
            _ => tracing::warn!(count = lost, "messages were processed, but their claims had been lost"),
        }
        self.keep(again);
        heard
    }

    /// Tells all of them at once: noted ones through the ledger, the others with MQ.ACK and MQ.FAIL.
    async fn send(&self, queue: &Queue, batch: Vec<Pending>) -> Vec<Told> {
        let mut told = Vec::new();
        let in_ledger = |pending: &Pending| self.ledger.is_some() && pending.completion.number.is_some();
        let (noted, plain): (Vec<_>, Vec<_>) = batch.into_iter().partition(in_ledger);
        if let Some(ledger) = &self.ledger
            && !noted.is_empty()
        {
            let entries: Vec<Entry> = noted.iter().filter_map(|pending| self.entry(pending)).collect();
            let counted = ledger.settle(queue, &entries).await;
            told.push(Told { completions: noted, counted });
        }
        let (failures, acks): (Vec<_>, Vec<_>) =
            plain.into_iter().partition(|pending| pending.completion.outcome.is_err());
        if acks.is_empty() && failures.is_empty() {
            return told;
        }
        let receipts: Vec<Receipt> = acks.iter().map(|pending| pending.completion.receipt).collect();
        let told_failures: Vec<Failure<'_>> = failures.iter().filter_map(|pending| self.failure(pending)).collect();
        match queue.settle(&receipts, &told_failures).await {
            Ok(Settled { acked, failed }) => {
                told.push(Told { completions: acks, counted: acked });
                told.extend(failures.into_iter().zip(failed).map(|(failure, failed)| Told {
                    completions: vec![failure],
                    counted: failed.map(|failed| u64::from(failed != Failed::Stale)),
                }));
            }
            Err(error) => {
                let completions = acks.into_iter().chain(failures).collect();
                told.push(Told { completions, counted: Err(error) });
            }
        }
        told
    }

    /// A failure as the server is told of it, if it is one.
    fn failure<'a>(&self, Pending { completion, .. }: &'a Pending) -> Option<Failure<'a>> {
        let reason = completion.outcome.as_ref().err()?;
        Some(Failure { receipt: completion.receipt, retry: self.retries.rest_after(completion.deliveries), reason })
    }

    /// A completion as the ledger notes it, if its message has a number.
    fn entry<'a>(&self, pending: &'a Pending) -> Option<Entry<'a>> {
        let Completion { receipt, number, .. } = pending.completion;
        Some(Entry { receipt, number: number?, failure: self.failure(pending) })
    }

    /// Keeps these for another attempt, but for those whose claims are over for certain.
    fn keep(&mut self, completions: Vec<Pending>) {
        let now = Instant::now();
        let (open, ended): (Vec<_>, Vec<_>) =
            completions.into_iter().partition(|pending| self.running.may_be_current(pending.completion.receipt, now));
        if !ended.is_empty() {
            tracing::warn!(
                count = ended.len(),
                "claims ended before their completion could be told; others will process them"
            );
            self.let_go(&ended);
        }
        self.pending.extend(open);
    }

    /// Completions that the server does not want, and will not want.
    fn give_up(&mut self, completions: &[Pending], error: &Error) {
        self.refused += completions.len();
        self.let_go(completions);
        if self.refusals.is_due(error) {
            let count = std::mem::take(&mut self.refused);
            tracing::warn!(%error, count, "completions were refused; their messages will be delivered again");
        }
    }

    fn let_go(&self, completions: &[Pending]) {
        self.running.settled(completions.iter().map(|pending| pending.completion.receipt));
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
        let (current, hold) = extend(&queue, self.lease, receipts).await?;
        let of = |wanted: bool| -> Vec<Receipt> {
            receipts
                .iter()
                .zip(&current)
                .filter(|(_, current)| **current == wanted)
                .map(|(receipt, _)| *receipt)
                .collect()
        };
        self.running.extended(&of(true), hold);
        let lost = of(false);
        if !lost.is_empty() {
            self.running.cancel(&lost);
            tracing::warn!(count = lost.len(), "claims were lost; their handlers are cancelled");
        }
        Ok(())
    }

    /// Keeps the server from closing a connection that has nothing to tell for long. One that is gone is opened again when
    /// it is needed.
    async fn ping(&mut self) {
        if let Some(queue) = &self.queue
            && let Err(error) = queue.connection().ping().await
            && error.is_lost()
        {
            tracing::debug!(%error, "the connection for completions is gone");
            self.queue = None;
        }
    }

    /// Ends the blocking command of the connection whose number `id` is `server`'s. After a failover that may be another
    /// server than the one that completions go to, where somebody else has the number.
    async fn unblock(&mut self, server: &ConnectionAddr, id: i64) -> Result<()> {
        let queue = self.queue().await?;
        if queue.connection().server() != server {
            return Ok(());
        }
        let command = redis::cmd("CLIENT").arg("UNBLOCK").arg(id).to_owned();
        queue.connection().ask(&command, Duration::ZERO).await.map(drop)
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
                if self.complaint.is_due(&error) {
                    tracing::warn!(%error, "cannot {what}");
                }
                if error.is_lost() {
                    self.queue = None;
                }
                None
            }
        }
    }
}

/// Takes a batch off `pending`: of those that were told before, while there are any. What counts of these cannot be known,
/// so they are not counted together with the others.
fn split_batch(pending: &mut Vec<Pending>) -> Vec<Pending> {
    pending.sort_by_key(|pending| !pending.told);
    let alike = pending.iter().filter(|other| other.told == pending[0].told).count();
    let rest = pending.split_off(alike.min(BATCH));
    std::mem::replace(pending, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_before_is_told_apart_from_the_rest() {
        let pending = |(number, told)| {
            let completion = Completion { receipt: Receipt(number), deliveries: 1, number: None, outcome: Ok(()) };
            Pending { completion, told }
        };
        let told = (0..1_500).map(|number| (number, number % 3 == 0));
        let mut left: Vec<_> = told.map(pending).collect();
        let mut batches = Vec::new();
        while !left.is_empty() {
            let batch = split_batch(&mut left);
            assert!(batch.iter().all(|pending| pending.told == batch[0].told));
            batches.push((batch[0].told, batch.len()));
        }
        assert_eq!(batches, [(true, 500), (false, 1_000)]);
    }
}
