//! How long a server keeps its clients waiting, measured by a process that does nothing else.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use crate::{Server, parent::die_with_parent};

/// Reply times of a PING each millisecond.
#[derive(Clone, Copy, Debug)]
pub struct Stall {
    /// The longest one.
    pub worst: Duration,
    /// The longest time for which the server was at work while one PING waited. Unlike `worst` it leaves out the time in
    /// which the machine ran something else than the server.
    pub at_work: Duration,
    /// 99.9 % of the replies took no longer.
    pub p999: Duration,
    /// 99 % of the replies took no longer.
    pub p99: Duration,
}

/// A running process of `tests/src/bin/ping.rs`.
pub struct Pings {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Pings {
    /// Starts `program`, the path of `ping`, and returns when the server has answered it.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start(program: &str, server: &Server) -> Self {
        let pid = server.connect().server_count("server", "process_id");
        let mut command = Command::new(program);
        command.args([server.port().to_string(), pid.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = die_with_parent(&mut command).spawn().expect("a program of ours");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut pings = Self { child, stdout };
        assert_eq!(pings.line(), "ready");
        pings
    }

    /// Ends it and returns what it has seen.
    ///
    /// # Panics
    /// If it broke.
    #[must_use]
    pub fn end(mut self) -> Stall {
        drop(self.child.stdin.take());
        let line = self.line();
        let times: Vec<_> =
            line.split(' ').map(|us| Duration::from_micros(us.parse().expect("a number of microseconds"))).collect();
        let &[worst, at_work, p999, p99] = times.as_slice() else { panic!("ping wrote {line:?}") };
        assert!(self.child.wait().expect("a child of ours").success());
        Stall { worst, at_work, p999, p99 }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("text");
        line.trim_end().to_owned()
    }
}

impl Stall {
    /// Takes the smaller value of each time.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        Self {
            worst: self.worst.min(other.worst),
            at_work: self.at_work.min(other.at_work),
            p999: self.p999.min(other.p999),
            p99: self.p99.min(other.p99),
        }
    }
}
