//! A sentinel that watches one primary, and goes over to a replica when it is gone.

use std::{
    fs,
    process::{Child, Command, Stdio},
};

use redis::RedisConnectionInfo;
use tempfile::TempDir;

use crate::{Conn, Server, parent::die_with_parent, server::free_port, until};

/// The name under which the primary is known.
const MASTER: &str = "mymaster";

/// How soon a silent primary is taken for gone.
const DOWN_AFTER_MS: u32 = 300;

/// A sentinel whose word alone decides. Killed when dropped.
pub struct Sentinel {
    port: u16,
    process: Child,
    /// Its configuration, which it rewrites.
    _dir: TempDir,
}

impl Sentinel {
    /// Starts one, and is there when it knows `primary` and so many replicas of it.
    ///
    /// # Panics
    /// When it does not start, or does not find them.
    #[must_use]
    #[track_caller]
    pub fn watching(primary: &Server, replicas: usize) -> Self {
        let dir = TempDir::with_prefix("mq-test-").expect("a temporary directory");
        let port = free_port();
        let config = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor {MASTER} 127.0.0.1 {} 1\n\
             sentinel down-after-milliseconds {MASTER} {DOWN_AFTER_MS}\nsentinel failover-timeout {MASTER} 3000\n",
            dir.path().display(),
            primary.port(),
        );
        let file = dir.path().join("sentinel.conf");
        fs::write(&file, config).expect("the directory is writable");
        let mut command = Command::new(std::env::var_os("MQ_SERVER").unwrap_or_else(|| "redis-server".into()));
        command.arg(file).arg("--sentinel").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = die_with_parent(&mut command).spawn().expect("a sentinel starts");
        let sentinel = Self { port, process, _dir: dir };
        until("the sentinel knows the replicas", || {
            let Ok(mut c) = Conn::open(port, RedisConnectionInfo::default()) else { return false };
            c.call(["SENTINEL", "REPLICAS", MASTER]).is_ok_and(|known| crate::reply::list(&known).len() == replicas)
        });
        sentinel
    }

    /// Whether it knows so many other sentinels that watch the same primary.
    #[must_use]
    pub fn knows_others(&self, n: usize) -> bool {
        let Ok(mut c) = Conn::open(self.port, RedisConnectionInfo::default()) else { return false };
        c.call(["SENTINEL", "SENTINELS", MASTER]).is_ok_and(|known| crate::reply::list(&known).len() == n)
    }

    /// For clients: `redis+sentinel://127.0.0.1:…/mymaster`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis+sentinel://127.0.0.1:{}/{MASTER}", self.port)
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
