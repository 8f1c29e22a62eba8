//! What every shape needs: a fresh server, fast ways to fill it, and a wait for the end of its work.

use std::{
    thread,
    time::{Duration, Instant},
};

use mq_tests::{Bulk, Conn, Crowd, Pings, Server, Stall, patience};

/// Messages of most shapes.
pub const MILLION: usize = 1_000_000;

/// Clients of the largest crowd, and a few more.
pub const CLIENTS: usize = 10_100;

/// No shape takes longer than this to be worked off.
const LONGEST: Duration = Duration::from_secs(120);

/// The work is looked at this often: an INFO is work too.
const LOOK: Duration = Duration::from_millis(20);

/// What comes due at one moment is at most so late: a set-up command takes less.
const JITTER: Duration = Duration::from_millis(200);

/// A fresh server with its connections.
pub struct Stage {
    pub server: Server,
    pub c: Conn,
    pub bulk: Bulk,
    notes: Vec<String>,
}

/// The moment at which everything that a shape sets up comes due.
#[derive(Clone, Copy)]
pub struct Due(Instant);

impl Due {
    /// Leaves `seconds` for the set-up.
    pub fn in_seconds(seconds: u32) -> Self {
        Self(Instant::now() + Duration::from_secs(seconds.into()) * patience())
    }

    /// Milliseconds until then.
    pub fn left_ms(self) -> u128 {
        let left = self.0.saturating_duration_since(Instant::now()).as_millis();
        assert!(left > 0, "the set-up took too long for this shape; MQ_PATIENCE leaves more time");
        left
    }

    /// Returns when everything is due.
    pub fn wait(self) {
        thread::sleep(self.0.saturating_duration_since(Instant::now()) + JITTER);
    }
}

impl Stage {
    pub fn new() -> Self {
        let server = Server::builder().config(format!("maxclients {CLIENTS}")).start();
        let (c, bulk) = (server.connect(), Bulk::open(&server));
        Self { server, c, bulk, notes: Vec::new() }
    }

    /// Has a remark printed beside the row.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    pub fn notes(self) -> Vec<String> {
        self.notes
    }

    /// Pushes messages of 8 bytes with these options.
    pub fn push(&mut self, queue: &str, options: &str, count: usize) {
        self.bulk.push(&format!("MQ.PUSH {queue} {options} MSG"), count, "payload8");
    }

    /// Claims `count` messages of `q`, and returns their receipts, which follow one another.
    pub fn receipts(&mut self, count: usize) -> std::ops::Range<i64> {
        let receipts = self.bulk.receipts(&mut self.c, "q", count);
        self.expect("mq_claimed", count);
        receipts
    }

    /// Has consumers wait for the queues in turn.
    pub fn consumers(&mut self, queues: &[String], count: usize) -> Crowd {
        let crowd = Crowd::send(&self.server, count, |n| format!("MQ.CLAIM {} w{n} BLOCK 0", queues[n % queues.len()]));
        self.work_off("the consumers wait", |c| c.server_count("mq", "mq_blocked_consumers") == count as i64);
        crowd
    }

    /// Starts the measurement after `due`, and lets the work begin then. Until then the server's writes are paused: those that
    /// come due some milliseconds before the others would be worked off before them, and the waiting clients served.
    pub fn pings_at(&mut self, due: Due) -> Pings {
        self.c.ok("CLIENT PAUSE 600000 WRITE");
        thread::sleep(Duration::from_millis(due.left_ms() as u64) + JITTER);
        let pings = self.pings();
        thread::sleep(LOOK);
        self.c.ok("CLIENT UNPAUSE");
        pings
    }

    /// Starts the measurement.
    pub fn pings(&self) -> Pings {
        Pings::start(env!("CARGO_BIN_EXE_ping"), &self.server)
    }

    /// A line of `INFO mq`.
    pub fn count(&mut self, name: &str) -> i64 {
        self.c.server_count("mq", name)
    }

    /// Holds the set-up to what it should have made.
    pub fn expect(&mut self, name: &str, count: usize) {
        assert_eq!(self.count(name), count as i64, "{name} after the set-up");
    }

    /// Returns when a line of `INFO mq` has this value.
    pub fn until_count(&mut self, name: &str, count: usize) {
        self.work_off(name, |c| c.server_count("mq", name) == count as i64);
    }

    /// Returns when the fact holds, which is looked at seldom and waited for long.
    pub fn work_off(&mut self, what: &str, mut is_done: impl FnMut(&mut Conn) -> bool) {
        let started = Instant::now();
        while !is_done(&mut self.c) {
            assert!(started.elapsed() < LONGEST * patience(), "never came true: {what}");
            thread::sleep(LOOK);
        }
        // What the last turn did belongs to the measurement.
        thread::sleep(LOOK);
    }

    /// Measures a command that is sent `times` times with a pause between, so that a PING meets it in its whole length.
    pub fn measure(&mut self, times: usize, mut command: impl FnMut(&mut Bulk, usize) -> Result<(), String>) -> Stall {
        let pings = self.pings();
        for n in 0..times {
            thread::sleep(Duration::from_millis(5));
            if let Err(refusal) = command(&mut self.bulk, n) {
                self.note(format!("refused: {refusal}"));
                break;
            }
        }
        thread::sleep(LOOK);
        pings.end()
    }
}

/// A server that has nothing to do shows what the machine and the measurement cost.
pub fn idle(stage: &mut Stage) -> Stall {
    let pings = stage.pings();
    thread::sleep(Duration::from_secs(2));
    pings.end()
}
