//! The messages that this process holds, and the slots that are free for more.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::ConnectionAddr;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::{EventHandler, Outcome};
use crate::ledger::Ledger;
use crate::queue::{Message, Receipt};

/// At most so many messages are claimed by one command: bounds the reply and the latency of what comes behind it.
pub(super) const LARGEST_CLAIM: u32 = 1_000;

/// While fewer than one slot in this many is free, a claim waits a little for more of them: under load that makes
/// few large claims out of many small ones.
const SPARE_PART: u32 = 8;
/// How long it waits.
const CLAIM_LINGER: Duration = Duration::from_millis(5);

/// A message whose handler has ended, on its way to the server.
#[derive(Debug)]
pub(super) struct Completion {
    pub receipt: Receipt,
    /// How often the message has been claimed, this claim included.
    pub deliveries: u64,
    /// The message's number, where a ledger wants it.
    pub number: Option<u32>,
    pub outcome: Outcome,
}

/// What the settling task is asked to do.
#[derive(Debug)]
pub(super) enum Errand {
    Complete(Completion),
    /// End the blocking command of this connection (CLIENT UNBLOCK), whose number `id` is `server`'s; asked for again and
    /// again until it has ended.
    Unblock {
        server: ConnectionAddr,
        id: i64,
        asked_at: Instant,
    },
}

/// How long a claim lasts, as far as its holder can know: the server granted it between question and answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hold {
    /// It lasts at least until then, if nobody ends it.
    pub until: Instant,
    /// By then it is over.
    pub over_at: Instant,
}

impl Hold {
    /// A hold of `lease`, asked for at `asked_at` and granted just now.
    pub(super) fn granted(asked_at: Instant, lease: Duration) -> Self {
        Self { until: asked_at + lease, over_at: Instant::now() + lease }
    }
}

/// One per process. Every message in `claims` holds one slot.
#[derive(Debug)]
pub(super) struct Running {
    claims: Mutex<HashMap<Receipt, Held>>,
    slots: Semaphore,
    concurrency: u32,
    /// `None` once closed.
    settle: Mutex<Option<mpsc::UnboundedSender<Errand>>>,
}

#[derive(Debug)]
struct Held {
    hold: Hold,
    task: AbortHandle,
}

impl Running {
    pub(super) fn new(concurrency: u32, settle: mpsc::UnboundedSender<Errand>) -> Self {
        Self {
            claims: Mutex::default(),
            slots: Semaphore::new(concurrency as usize),
            concurrency,
            settle: Mutex::new(Some(settle)),
        }
    }

    /// Waits for free slots and reserves all there are.
    pub(super) async fn reserve(self: &Arc<Self>) -> Reserved {
        self.take_slots(1).await;
        let mut reserved = Reserved { running: Arc::clone(self), count: 1 };
        if self.free_slots() < self.concurrency / SPARE_PART {
            tokio::time::sleep(CLAIM_LINGER).await;
        }
        let more = self.free_slots().min(LARGEST_CLAIM - 1);
        if let Ok(permits) = self.slots.try_acquire_many(more) {
            permits.forget();
            reserved.count += more;
        }
        reserved
    }

    /// Waits until no message is held and no slot reserved.
    pub(super) async fn all_done(&self) {
        self.take_slots(self.concurrency).await;
        self.give_back(self.concurrency);
    }

    /// How many messages are held.
    pub(super) fn count(&self) -> usize {
        self.claims().len()
    }

    /// Starts the handler of a message in one of the reserved slots.
    pub(super) fn start<H: EventHandler>(
        self: &Arc<Self>,
        reserved: &mut Reserved,
        message: Message,
        hold: Hold,
        handler: &Arc<H>,
    ) {
        reserved.count = reserved.count.saturating_sub(1);
        let receipt = message.receipt;
        let slot = Slot {
            running: Arc::clone(self),
            receipt,
            deliveries: message.deliveries,
            number: Ledger::number_of(&message.payload),
            open: true,
        };
        let handler = Arc::clone(handler);
        // The task's first step waits for this lock: nothing can end before it is in the table.
        let mut claims = self.claims();
        let task = tokio::spawn(async move {
            let outcome = handler.handle(&message).await;
            slot.complete(outcome);
        });
        claims.insert(receipt, Held { hold, task: task.abort_handle() });
    }

    /// Cancels the handlers of these claims: they are not ours any more. Those that have ended already are left to
    /// be completed; the server will judge.
    pub(super) fn cancel(&self, receipts: &[Receipt]) {
        let claims = self.claims();
        for held in receipts.iter().filter_map(|receipt| claims.get(receipt)) {
            held.task.abort();
        }
    }

    /// Cancels all handlers, because the session of their claims is over, and the claims with it; how many. Those that
    /// have ended already are left to be completed once: the server may not have noticed.
    pub(super) fn cancel_all(&self) -> usize {
        let now = Instant::now();
        let mut claims = self.claims();
        claims.values_mut().for_each(|held| held.hold.over_at = now);
        let unfinished = claims.values().filter(|held| !held.task.is_finished());
        unfinished.inspect(|held| held.task.abort()).count()
    }

    /// Cancels the handlers of claims that are over at `now` although nobody ended them: they could not be extended in
    /// time. How many.
    pub(super) fn cancel_lapsed(&self, now: Instant) -> usize {
        let claims = self.claims();
        let lapsed = claims.values().filter(|held| held.hold.over_at <= now && !held.task.is_finished());
        lapsed.inspect(|held| held.task.abort()).count()
    }

    /// The claims that may end before `before`.
    pub(super) fn ending_before(&self, before: Instant) -> Vec<Receipt> {
        let mut receipts: Vec<_> =
            self.claims().iter().filter(|(_, held)| held.hold.until < before).map(|(receipt, _)| *receipt).collect();
        receipts.sort_unstable();
        receipts
    }

    /// Notes how long these claims last from now on.
    pub(super) fn extended(&self, receipts: &[Receipt], hold: Hold) {
        let mut claims = self.claims();
        for receipt in receipts {
            if let Some(held) = claims.get_mut(receipt) {
                held.hold = hold;
            }
        }
    }

    /// Whether the claim may still be current at `now`.
    pub(super) fn may_be_current(&self, receipt: Receipt, now: Instant) -> bool {
        self.claims().get(&receipt).is_some_and(|held| now < held.hold.over_at)
    }

    /// Forgets messages whose completion the server knows, or need not know any more.
    pub(super) fn settled(&self, receipts: impl Iterator<Item = Receipt>) {
        let mut claims = self.claims();
        let count = receipts.filter(|receipt| claims.remove(receipt).is_some()).count();
        self.slots.add_permits(count);
    }

    /// Asks the settling task for something; nobody is asked after [`close`](Self::close).
    pub(super) fn ask(&self, errand: Errand) {
        let settle = self.settle.lock().unwrap_or_else(PoisonError::into_inner);
        if settle.as_ref().is_none_or(|settle| settle.send(errand).is_err()) {
            tracing::debug!("asked the settling task after its end");
        }
    }

    /// Lets the settling task end when it has done what it was asked.
    pub(super) fn close(&self) {
        self.settle.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    fn free_slots(&self) -> u32 {
        u32::try_from(self.slots.available_permits()).unwrap_or(u32::MAX)
    }

    async fn take_slots(&self, count: u32) {
        match self.slots.acquire_many(count).await {
            Ok(permits) => permits.forget(),
            // The semaphore is never closed.
            Err(_) => std::future::pending().await,
        }
    }

    fn give_back(&self, slots: u32) {
        self.slots.add_permits(slots as usize);
    }

    /// No code panics while it holds this lock, and each change of the table is complete in itself.
    fn claims(&self) -> MutexGuard<'_, HashMap<Receipt, Held>> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Free slots that are set aside for the messages of one claim; dropped, they are free again.
#[derive(Debug)]
pub(super) struct Reserved {
    running: Arc<Running>,
    count: u32,
}

impl Reserved {
    pub(super) fn count(&self) -> usize {
        self.count as usize
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.running.give_back(self.count);
    }
}

/// Held by the task of one message, so that a handler cannot end, in whatever way, without somebody knowing.
struct Slot {
    running: Arc<Running>,
    receipt: Receipt,
    deliveries: u64,
    number: Option<u32>,
    /// Whether the outcome is still to be told.
    open: bool,
}

impl Slot {
    fn complete(mut self, outcome: Outcome) {
        self.tell(outcome);
    }

    fn tell(&mut self, outcome: Outcome) {
        self.open = false;
        let completion =
            Completion { receipt: self.receipt, deliveries: self.deliveries, number: self.number, outcome };
        self.running.ask(Errand::Complete(completion));
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if !self.open {
            return;
        }
        if std::thread::panicking() {
            self.tell(Err("the event handler panicked".to_owned()));
        } else {
            // Cancelled: the claim is somebody else's.
            self.running.settled(std::iter::once(self.receipt));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::Id;

    /// Ends at once, never, or in a panic, as the payload says.
    struct Obedient;

    impl EventHandler for Obedient {
        async fn handle(&self, message: &Message) -> Outcome {
            match message.payload.as_slice() {
                b"end" => Ok(()),
                b"panic" => panic!("as told"),
                _ => std::future::pending().await,
            }
        }
    }

    fn message(receipt: u64, payload: &str) -> Message {
        Message { receipt: Receipt(receipt), id: Id(receipt), deliveries: 1, payload: payload.into() }
    }

    async fn started(payloads: &[&str]) -> (Arc<Running>, mpsc::UnboundedReceiver<Errand>) {
        let (settle, inbox) = mpsc::unbounded_channel();
        let running = Arc::new(Running::new(4, settle));
        let mut reserved = running.reserve().await;
        assert_eq!(reserved.count(), 4);
        let hold = Hold::granted(Instant::now(), Duration::from_secs(30));
        for (receipt, payload) in (1..).zip(payloads) {
            running.start(&mut reserved, message(receipt, payload), hold, &Arc::new(Obedient));
        }
        (running, inbox)
    }

    async fn completed(inbox: &mut mpsc::UnboundedReceiver<Errand>) -> Completion {
        match inbox.recv().await {
            Some(Errand::Complete(completion)) => completion,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slot_is_free_again_when_the_completion_is_settled() {
        let (running, mut inbox) = started(&["end"]).await;
        assert_eq!(running.free_slots(), 3);
        let completion = completed(&mut inbox).await;
        assert_eq!((completion.receipt, completion.outcome), (Receipt(1), Ok(())));
        assert_eq!(running.free_slots(), 3);
        running.settled(std::iter::once(Receipt(1)));
        running.settled(std::iter::once(Receipt(1)));
        assert_eq!((running.free_slots(), running.count()), (4, 0));
        running.all_done().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_of_the_handler_is_a_failure() {
        let (_running, mut inbox) = started(&["panic"]).await;
        assert_eq!(completed(&mut inbox).await.outcome, Err("the event handler panicked".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_session_cancels_what_runs_and_keeps_what_has_ended() {
        let (running, mut inbox) = started(&["wait", "end", "wait"]).await;
        assert_eq!(completed(&mut inbox).await.receipt, Receipt(2));
        assert_eq!(running.cancel_all(), 2);
        running.take_slots(3).await;
        assert_eq!(running.ending_before(Instant::now() + Duration::from_secs(60)), [Receipt(2)]);
        assert!(!running.may_be_current(Receipt(2), Instant::now()), "nothing is told twice to a lost session");
    }

    #[tokio::test(start_paused = true)]
    async fn a_claim_that_was_not_extended_in_time_ends_its_handler_and_no_other() {
        let (running, mut inbox) = started(&["wait", "wait", "end"]).await;
        assert_eq!(completed(&mut inbox).await.receipt, Receipt(3));
        let granted_at = Instant::now();
        assert_eq!(running.cancel_lapsed(granted_at + Duration::from_secs(29)), 0);
        running.extended(&[Receipt(1)], Hold::granted(granted_at, Duration::from_secs(60)));
        assert_eq!(running.cancel_lapsed(granted_at + Duration::from_secs(31)), 1);
        running.take_slots(2).await;
        assert_eq!(running.ending_before(granted_at + Duration::from_secs(90)), [Receipt(1), Receipt(3)]);
    }

    #[tokio::test(start_paused = true)]
    async fn claims_near_their_end_are_found_until_they_are_extended() {
        let (running, _inbox) = started(&["wait", "wait"]).await;
        let soon = Instant::now() + Duration::from_secs(31);
        assert_eq!(running.ending_before(soon), [Receipt(1), Receipt(2)]);
        running.extended(&[Receipt(1)], Hold::granted(Instant::now(), Duration::from_secs(60)));
        assert_eq!(running.ending_before(soon), [Receipt(2)]);
        assert!(running.may_be_current(Receipt(1), soon));
        assert!(!running.may_be_current(Receipt(2), soon));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_lasts_from_the_question_at_least_and_from_the_answer_at_most() {
        let (asked_at, lease) = (Instant::now(), Duration::from_secs(30));
        tokio::time::advance(Duration::from_secs(4)).await;
        let hold = Hold::granted(asked_at, lease);
        assert_eq!((hold.until - asked_at, hold.over_at - asked_at), (lease, lease + Duration::from_secs(4)));
    }
}
