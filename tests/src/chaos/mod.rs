//! Traffic of every kind on one queue, while a test does its worst to what it runs on; then the judgement of the history.

mod generator;
mod link;
mod producer;
mod silence;
mod worker;

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU16, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use redis::RedisConnectionInfo;

use crate::{Builder, Conn, Server, Verdict, history::History, wait::within};

/// The queue that everybody works on.
pub const QUEUE: &str = "q";

/// The channel that subscribed clients listen to.
pub const CHANNEL: &str = "news";

/// What the user with few rights may do, as ACL SETUSER has it.
pub const RIGHTS: &str = "on >secret ~* resetchannels -@all +mq.claim +mq.ack +mq.fail +mq.release +mq.extend +mq.leader +mq.seq +mq.push +wait +eval +incr +client +ping";

/// How long a claim lasts.
const LEASE_MS: u64 = 400;

/// So many messages wait at most, so that the queue is soon empty at the end.
const BACKLOG: i64 = 1_000;

/// How long the traffic may take to empty the queue, once nothing is pushed and nothing is broken any more.
const EMPTYING: Duration = Duration::from_secs(60);

/// When an answer counts as being beyond the reach of a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// At once.
    WhenAnswered,
    /// When one replica has confirmed it (WAIT 1).
    WhenReplicated,
}

/// Where the traffic goes, and what it sees.
pub struct Arena {
    port: AtomicU16,
    /// How clients log in, except the user with few rights.
    settings: RedisConnectionInfo,
    /// How many more consumers there are that wait most of the time.
    waiters: u64,
    settled: Settled,
    /// What its clients saw.
    pub history: History,
    pushing: AtomicBool,
    over: AtomicBool,
    ends_at: Instant,
    random: AtomicU64,
    /// How many commands were refused, by the code of the refusal.
    refusals: Mutex<BTreeMap<String, u64>>,
    /// The clients that connect as the user with few rights.
    limited: Mutex<Vec<u32>>,
    /// About how many messages wait, as far as the clients know.
    backlog: AtomicI64,
}

/// A server for an arena: one of its clients is a user with few rights.
pub fn server() -> Builder {
    Server::builder().config(format!("user worker {RIGHTS}"))
}

/// For how many seconds an arena lasts: what `MQ_CHAOS_SECONDS` says, or 4.
///
/// # Panics
/// If that is no number.
pub fn seconds() -> u64 {
    std::env::var("MQ_CHAOS_SECONDS").map_or(4, |text| text.parse().expect("a number of seconds"))
}

/// Ends the traffic, also when a test fails.
struct EndAtEnd<'a>(&'a Arena);

impl Drop for EndAtEnd<'_> {
    fn drop(&mut self) {
        self.0.pushing.store(false, Relaxed);
        self.0.over.store(true, Relaxed);
    }
}

impl Arena {
    /// One whose traffic goes to `server` and pushes for [`seconds`].
    #[must_use]
    pub fn new(server: &Server, settled: Settled) -> Self {
        Self {
            port: AtomicU16::new(server.port()),
            settings: server.settings(),
            waiters: 0,
            settled,
            history: History::default(),
            pushing: AtomicBool::new(true),
            over: AtomicBool::new(false),
            ends_at: Instant::now() + Duration::from_secs(seconds()),
            random: AtomicU64::new(u64::from(server.port())),
            refusals: Mutex::default(),
            limited: Mutex::default(),
            backlog: AtomicI64::new(0),
        }
    }

    /// With more consumers that wait most of the time: half of them as the user with few rights.
    #[must_use]
    pub fn with_waiters(mut self, count: u64) -> Self {
        self.waiters = count;
        self
    }

    /// Whether it is still time for mischief; returns after some of it has passed.
    pub fn goes_on_after(&self, ms: Range<u64>) -> bool {
        thread::sleep(Duration::from_millis(ms.start + self.below(ms.end - ms.start)));
        Instant::now() < self.ends_at
    }

    /// From here on clients that connect go to this server.
    pub fn leads_to(&self, port: u16) {
        self.port.store(port, Relaxed);
    }

    /// How many commands were refused, for whatever reason.
    pub fn refusals(&self) -> u64 {
        self.refusals_by_code().values().sum()
    }

    /// How many commands were refused, by the code of the refusal.
    pub fn refusals_by_code(&self) -> BTreeMap<String, u64> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn count_refusal(&self, refusal: &str) {
        let code = refusal.split(' ').next().unwrap_or_default().to_owned();
        *self.refusals.lock().unwrap_or_else(PoisonError::into_inner).entry(code).or_default() += 1;
    }

    /// Below `bound`, from a counter that all threads share (SplitMix64, Steele, Lea and Flood 2014).
    pub fn below(&self, bound: u64) -> u64 {
        let mut z = self.random.fetch_add(0x9E37_79B9_7F4A_7C15, Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound.max(1)
    }

    /// Runs the traffic and the mischief, which ends when [`goes_on_after`](Self::goes_on_after) says so and leaves
    /// everything mended; then nothing is pushed any more and the queue is emptied.
    ///
    /// # Panics
    /// If it does not become empty.
    pub fn run(&self, mischief: impl FnOnce()) {
        thread::scope(|scope| {
            let _end = EndAtEnd(self);
            let spawn = |act: fn(&Self, u64), count: u64| -> Vec<_> {
                (0..count).map(|n| scope.spawn(move || act(self, n))).collect()
            };
            let pushers = [
                spawn(producer::plain, 2),
                spawn(producer::numbered, 2),
                spawn(producer::unique, 1),
                spawn(generator::generate, 3),
            ];
            spawn(worker::work, worker::STYLES * 2);
            spawn(worker::wait, self.waiters);
            spawn(worker::drain, 2);
            mischief();
            self.pushing.store(false, Relaxed);
            // A deposed leader may push once more, and be the leader still.
            for pusher in pushers.into_iter().flatten() {
                pusher.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            }
            self.until_empty();
        });
    }

    fn until_empty(&self) {
        let mut left = None;
        let is_empty = || {
            let conn = Conn::open(self.port.load(Relaxed), self.settings.clone());
            let info = conn.expect("a server at that port").balanced(QUEUE);
            let levels = ["ready", "delayed", "claimed", "errors"].map(|state| info.int(state));
            left = Some(info);
            (levels == [0; 4]).then_some(())
        };
        assert!(within(EMPTYING, is_empty).is_some(), "the queue does not become empty: {left:?}");
    }

    /// Judges what was seen, prints it under a name, and fails if anything is wrong.
    ///
    /// # Panics
    /// If anything is wrong, or if hardly anything was done.
    #[track_caller]
    pub fn judge(&self, mischief: &str) {
        self.pronounce(mischief, &Verdict::of(&self.history.events()));
    }

    /// The same where queues were deleted.
    ///
    /// # Panics
    /// As [`judge`](Self::judge).
    #[track_caller]
    pub fn judge_deleted(&self, mischief: &str) {
        self.pronounce(mischief, &Verdict::of_deleted(&self.history.events()));
    }

    #[track_caller]
    fn pronounce(&self, mischief: &str, verdict: &Verdict) {
        println!("{mischief}, refusals {:?}\n{verdict}", self.refusals_by_code());
        assert!(verdict.is_clean(), "{mischief}\n{verdict}");
        // A busy machine gets little done while every answer waits for a replica.
        assert!(verdict.accepted > 20 && verdict.completed > 20 && verdict.leaders > 0, "too quiet: {verdict}");
    }

    /// Whether there is something to be pushed still; returns when there is room for it.
    fn pushes(&self) -> bool {
        while self.pushing.load(Relaxed) && self.backlog.load(Relaxed) > BACKLOG {
            thread::sleep(Duration::from_millis(5));
        }
        self.pushing.load(Relaxed)
    }

    /// The clients that have connected as the user with few rights.
    fn limited(&self) -> Vec<u32> {
        self.limited.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn is_over(&self) -> bool {
        self.over.load(Relaxed)
    }
}
