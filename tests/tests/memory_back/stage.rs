//! A fresh server whose memory is read.

use std::{
    thread,
    time::{Duration, Instant},
};

use mq_tests::{Conn, Server, clients_at_most, patience, until};

/// Clients of the largest crowd, and a few more.
pub const CLIENTS: usize = 10_100;

/// Memory counts as settled when it has not shrunk for so long: longer than an idle client keeps its buffers.
const SETTLED: Duration = Duration::from_secs(3);

/// Memory at the start is settled sooner, since only idle connections have been used.
const SETTLED_AT_START: Duration = Duration::from_millis(500);

pub struct Stage {
    pub server: Server,
    pub c: Conn,
    /// A connection that stays open to the end.
    pub open: Option<Conn>,
    peak: i64,
}

impl Stage {
    pub fn new() -> Self {
        let _ = clients_at_most(CLIENTS);
        let server = Server::builder().config(format!("maxclients {CLIENTS}")).start();
        let c = server.connect();
        Self { server, c, open: None, peak: 0 }
    }

    /// The server has grown to its peak now.
    pub fn at_peak(&mut self) {
        self.peak = self.used();
    }

    pub fn peak(&self) -> i64 {
        self.peak
    }

    fn used(&mut self) -> i64 {
        self.c.server_count("memory", "used_memory")
    }

    /// The server's memory at the start.
    pub fn before(&mut self) -> i64 {
        self.settled(SETTLED_AT_START, |_| false)
    }

    /// The server's memory when it is as small as `enough`, or shrinks no more.
    pub fn after(&mut self, enough: i64) -> i64 {
        self.settled(SETTLED, |used| used <= enough)
    }

    fn settled(&mut self, settled: Duration, is_enough: impl Fn(i64) -> bool) -> i64 {
        self.c.ok("MEMORY PURGE");
        let mut lowest = self.used();
        let mut since = Instant::now();
        loop {
            let used = self.used();
            let is_freed = self.c.server_count("memory", "lazyfree_pending_objects") == 0;
            if is_freed && (is_enough(used) || since.elapsed() >= settled * patience()) {
                return used;
            }
            // Memory that goes a kilobyte at a time is the server's own.
            if used < lowest - 1024 {
                (lowest, since) = (used, Instant::now());
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Holds a shape to what it should have made: a line of `INFO mq`.
    pub fn expect(&mut self, name: &str, count: usize) {
        assert_eq!(self.c.server_count("mq", name), count as i64, "{name}");
    }

    /// Holds a shape to having worked everything off.
    pub fn expect_nothing_is_left(&mut self) {
        ["mq_ready", "mq_delayed", "mq_claimed", "mq_errors"].iter().for_each(|name| self.expect(name, 0));
    }

    /// Returns when a line of `INFO mq` has this value.
    pub fn until_count(&mut self, name: &str, count: usize) {
        until(name, || self.c.server_count("mq", name) == count as i64);
    }
}
