//! The generator: publishes 0, 1, 2 … at its pace while it leads.
//!
//! Every push carries the token (FENCE) and its first number (SEQ), so that a leader whose time is over publishes
//! nothing, and a push that is repeated because its outcome is unknown is published once.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::{Instant, MissedTickBehavior};

use crate::connection::{Backoff, Complaint};
use crate::error::Error;
use crate::leadership::Leader;
use crate::ledger::Ledger;
use crate::queue::{Push, Queue};

/// Messages per push when there is no interval to wait for, and the queue has room for them.
const BATCH: u64 = 1_000;

/// How often the backlog is looked at while there is no room in it.
const ROOM_CHECK: Duration = Duration::from_millis(10);

/// The assignment's counter.
///
/// ```text
/// function getMessage(){
///     this.cnt = this.cnt || 0;
///     return this.cnt++;
/// }
/// ```
#[derive(Debug, Default)]
pub struct Counter {
    cnt: Option<u64>,
}

impl Counter {
    /// A counter whose next message is `cnt`.
    pub fn resumed_at(cnt: u64) -> Self {
        Self { cnt: Some(cnt) }
    }

    /// The next message: 0, 1, 2 …
    pub fn get_message(&mut self) -> u64 {
        let cnt = self.cnt.unwrap_or(0);
        self.cnt = Some(cnt + 1);
        cnt
    }
}

/// How to generate.
#[derive(Clone, Debug)]
pub struct Generator {
    /// Between two messages; zero: as fast as it goes, in batches.
    pub interval: Duration,
    /// Numbers 0 … limit − 1 over all generators together, then idle; `None`: no end.
    pub limit: Option<u64>,
    /// Pauses while so many messages are not yet done; `None`: never.
    pub max_backlog: Option<u64>,
    /// Where the first accepted push of each leadership is noted.
    pub ledger: Option<Ledger>,
}

impl Generator {
    /// Generates until the leadership ends; why it ended. Cancelling leaves at most one push of unknown outcome,
    /// which the next generator learns from MQ.SEQ.
    pub async fn generate(&self, leader: &Leader) -> Error {
        tokio::select! {
            error = self.publish(leader) => error,
            error = leader.keep() => error,
        }
    }

    /// One round: draw numbers, then push these same numbers until their outcome is known. A queue that is too full for
    /// them says that none of them is in it: then, and only then, the next round may draw fewer.
    async fn publish(&self, leader: &Leader) -> Error {
        let mut trouble = Trouble::default();
        let mut pace = Pace::new(self, leader.next_number());
        loop {
            let numbers = match pace.draw(leader.queue()).await {
                Ok(numbers) => numbers,
                Err(error) if error.is_lost() => return error,
                Err(error) => {
                    if trouble.complaint.is_due(&error) {
                        tracing::warn!(%error, "cannot look at the backlog, publishing nothing");
                    }
                    trouble.backoff.wait().await;
                    continue;
                }
            };
            match push_until_known(leader, &numbers, &mut trouble).await {
                Outcome::Accepted => {
                    pace.accepted(numbers.len());
                    if !leader.has_published() {
                        leader.note_published();
                        self.note_first_push(leader, numbers.first().copied().unwrap_or_default()).await;
                    }
                }
                Outcome::TooMany => pace.too_many(&numbers),
                Outcome::OtherNumberExpected(expected) => {
                    tracing::warn!(
                        pushed = numbers.first(),
                        expected,
                        "going on from the number that the queue expects"
                    );
                    pace.counter = Counter::resumed_at(expected);
                    // One that goes on expecting another number is not asked in a tight loop.
                    trouble.backoff.wait().await;
                }
                Outcome::Over(error) => return error,
            }
        }
    }

    async fn note_first_push(&self, leader: &Leader, number: u64) {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at_us = u64::try_from(at.as_micros()).unwrap_or(u64::MAX);
        tracing::info!(token = %leader.token(), number, at_us, "first push accepted");
        if let Some(ledger) = &self.ledger
            && let Err(error) = ledger.note_term(leader, number, at_us).await
        {
            tracing::warn!(%error, "the ledger does not know of this leadership");
        }
    }
}

/// What stands in the way of a leadership's pushes.
#[derive(Default)]
struct Trouble {
    backoff: Backoff,
    complaint: Complaint,
    /// About a queue without room. One that is full most of the time has some now and then, so no success ends it.
    full: Complaint,
}

impl Trouble {
    fn tell(&mut self, error: &Error, first: u64) {
        if matches!(error, Error::QueueFull(_)) {
            if self.full.is_due(error) {
                tracing::warn!(%error, first, "not published yet, waiting for room");
            }
        } else if self.complaint.is_due(error) {
            tracing::warn!(%error, first, "not published yet");
        }
    }
}

async fn push_until_known(leader: &Leader, numbers: &[u64], trouble: &mut Trouble) -> Outcome {
    let Some(&first) = numbers.first() else { return Outcome::Accepted };
    let payloads: Vec<String> = numbers.iter().map(u64::to_string).collect();
    let push = Push { fence: Some(leader.token()), seq: Some((leader.producer(), first)), ..Push::default() };
    loop {
        // Looked at right before each push: the process may have been stopped since the last one.
        let until = leader.trusted_until().await;
        let error = match tokio::time::timeout_at(until, leader.queue().push(&push, &payloads)).await {
            Ok(Ok(_)) => {
                trouble.backoff.reset();
                if trouble.complaint.is_over() {
                    tracing::info!(first, "publishing again");
                }
                tracing::debug!(first, count = numbers.len(), "published");
                return Outcome::Accepted;
            }
            Ok(Err(Error::OutOfOrder { expected })) => return Outcome::OtherNumberExpected(expected),
            Ok(Err(error @ Error::Unanswered(_))) => error,
            Ok(Err(error)) if error.is_lost() || matches!(error, Error::Fenced(_)) => return Outcome::Over(error),
            Ok(Err(error)) => error,
            Err(_) => {
                tracing::warn!(
                    first,
                    "no answer while the lease could be relied upon, publishing nothing until it is renewed"
                );
                continue;
            }
        };
        trouble.tell(&error, first);
        if matches!(error, Error::QueueFull(_)) && numbers.len() > 1 {
            return Outcome::TooMany;
        }
        trouble.backoff.wait().await;
    }
}

/// What became of a push.
enum Outcome {
    /// Published, now or by an earlier attempt.
    Accepted,
    /// Nothing was published, by no attempt (MQ.PUSH judges SEQ before the length): the queue has too little room.
    TooMany,
    /// The queue goes on from another number, after a failover that lost some.
    OtherNumberExpected(u64),
    /// The leadership is over.
    Over(Error),
}

/// When, and how many: the interval, the limit, the backlog.
struct Pace<'a> {
    generator: &'a Generator,
    counter: Counter,
    /// `None`: no interval.
    ticks: Option<tokio::time::Interval>,
    /// Messages that may be pushed before the backlog is looked at again.
    room: u64,
    /// Messages per push without an interval: halved while the queue is too full for them, doubled again when they fit.
    batch: u64,
}

impl<'a> Pace<'a> {
    fn new(generator: &'a Generator, next: u64) -> Self {
        let ticks = (!generator.interval.is_zero()).then(|| {
            // The first tick is now: a new leader does not wait an interval.
            let mut ticks = tokio::time::interval_at(Instant::now(), generator.interval);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        });
        Self { generator, counter: Counter::resumed_at(next), ticks, room: 0, batch: BATCH }
    }

    /// Waits until messages are due, allowed and wanted; then their numbers. Never comes back once the limit is
    /// reached.
    async fn draw(&mut self, queue: &Queue) -> crate::Result<Vec<u64>> {
        let count = self.wanted(self.ticks.as_ref().map_or(self.batch, |_| 1));
        if count == 0 {
            tracing::info!(limit = self.generator.limit, "all messages are generated, idling");
            std::future::pending::<()>().await;
        }
        if let Some(ticks) = &mut self.ticks {
            ticks.tick().await;
        }
        let count = count.min(self.make_room(queue).await?);
        Ok((0..count).map(|_| self.counter.get_message()).collect())
    }

    /// How many of `count` the limit still allows.
    fn wanted(&self, count: u64) -> u64 {
        let next = self.counter.cnt.unwrap_or(0);
        self.generator.limit.map_or(count, |limit| count.min(limit.saturating_sub(next)))
    }

    /// Waits until the backlog has room; for how many.
    async fn make_room(&mut self, queue: &Queue) -> crate::Result<u64> {
        let Some(max_backlog) = self.generator.max_backlog else { return Ok(u64::MAX) };
        while self.room == 0 {
            self.room = max_backlog.saturating_sub(queue.info().await?.backlog()?);
            if self.room == 0 {
                tokio::time::sleep(ROOM_CHECK).await;
            }
        }
        Ok(self.room)
    }

    fn accepted(&mut self, count: usize) {
        self.room = self.room.saturating_sub(count as u64);
        self.batch = (self.batch * 2).min(BATCH);
    }

    /// Takes back `numbers`, which did not fit, to draw half as many.
    fn too_many(&mut self, numbers: &[u64]) {
        self.counter = Counter { cnt: numbers.first().copied() };
        self.batch = (numbers.len() as u64 / 2).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generator(limit: Option<u64>) -> Generator {
        Generator { interval: Duration::from_millis(500), limit, max_backlog: None, ledger: None }
    }

    #[test]
    fn messages_count_from_zero() {
        let mut counter = Counter::default();
        assert_eq!([counter.get_message(), counter.get_message(), counter.get_message()], [0, 1, 2]);
    }

    #[test]
    fn a_successor_goes_on_where_the_queue_says() {
        let mut counter = Counter::resumed_at(41);
        assert_eq!([counter.get_message(), counter.get_message()], [41, 42]);
        let mut from_zero = Counter::resumed_at(0);
        assert_eq!(from_zero.get_message(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_limit_counts_over_all_generators_together() {
        let fast = Generator { interval: Duration::ZERO, ..generator(Some(2_500)) };
        assert_eq!(Pace::new(&fast, 0).wanted(BATCH), 1_000);
        assert_eq!(Pace::new(&fast, 2_000).wanted(BATCH), 500);
        assert_eq!(Pace::new(&fast, 2_500).wanted(BATCH), 0);
        assert_eq!(Pace::new(&fast, 3_000).wanted(BATCH), 0);
        assert_eq!(Pace::new(&generator(None), 3_000).wanted(1), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_fit_is_drawn_again_in_halves_and_what_fits_in_doubles() {
        let fast = Generator { interval: Duration::ZERO, ..generator(None) };
        let mut pace = Pace::new(&fast, 7);
        let draw = |pace: &mut Pace<'_>| -> Vec<u64> {
            let count = pace.wanted(pace.batch);
            (0..count).map(|_| pace.counter.get_message()).collect()
        };
        let numbers = draw(&mut pace);
        pace.too_many(&numbers);
        let half = draw(&mut pace);
        assert_eq!((numbers.len(), half.len(), half[0]), (1_000, 500, 7));
        pace.too_many(&half);
        pace.too_many(&[7]);
        assert_eq!(draw(&mut pace), [7], "never none");
        pace.accepted(1);
        assert_eq!(draw(&mut pace), [8, 9]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_message_does_not_wait_for_an_interval() {
        let generator = generator(None);
        let mut pace = Pace::new(&generator, 7);
        let begun_at = Instant::now();
        let ticks = pace.ticks.as_mut().unwrap();
        ticks.tick().await;
        assert_eq!(begun_at.elapsed(), Duration::ZERO);
        ticks.tick().await;
        assert_eq!(begun_at.elapsed(), Duration::from_millis(500));
    }
}
