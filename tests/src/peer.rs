//! The client program as real processes.

use std::{
    ffi::OsStr,
    io::{BufRead as _, BufReader, PipeReader, PipeWriter, Read as _, Write, pipe},
    os::fd::AsFd,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::{
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    process::{Pid, Signal, kill_process},
};

use crate::{DEADLINE, Server, Words, built, parent::die_with_parent, wait::eventually_within};

/// How a client process ended.
#[derive(Debug)]
pub struct Finished {
    /// Its exit status.
    pub status: ExitStatus,
    /// All that it wrote to stdout (that the test had not read before).
    pub stdout: String,
    /// All that it wrote to stderr.
    pub stderr: String,
}

/// A running client process; killed when dropped.
pub struct Peer {
    child: Child,
    stdout: Option<BufReader<ChildStdout>>,
    stderr: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Peer {
    /// `client ARGUMENTS --redis URL-of-the-server`. Its stderr is collected; its stdout is left in the pipe until asked for.
    #[must_use]
    pub fn spawn(server: &Server, arguments: &str) -> Self {
        Self::spawn_bare(format!("{arguments} --redis {}", server.url()))
    }

    /// `client ARGUMENTS`.
    #[must_use]
    pub fn spawn_bare(arguments: impl Words) -> Self {
        Self::spawn_with(arguments, &[])
    }

    /// `client ARGUMENTS` with more environment, which its own children inherit.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn spawn_with(arguments: impl Words, environment: &[(&str, &OsStr)]) -> Self {
        Self::spawn_onto(arguments, environment, Stdio::piped(), Stdio::piped())
    }

    /// The same with its output somewhere else; what is not piped here reads as empty.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn spawn_onto(
        arguments: impl Words,
        environment: &[(&str, &OsStr)],
        stdout: impl Into<Stdio>,
        stderr: impl Into<Stdio>,
    ) -> Self {
        let words = arguments.words().into_iter().map(|word| String::from_utf8(word).expect("UTF-8 arguments"));
        let binary = built("MQ_CLIENT", &format!("client{}", std::env::consts::EXE_SUFFIX));
        let mut command = Command::new(binary);
        command
            .args(words)
            .env_remove("REDIS_URL")
            .env("RUST_LOG", "info")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr);
        let mut child = die_with_parent(&mut command).spawn().expect("the client starts");
        let stdout = child.stdout.take().map(BufReader::new);
        let stderr = Arc::new(Mutex::new(Vec::new()));
        let lines = Arc::clone(&stderr);
        let reader = child.stderr.take().map(|pipe| {
            thread::spawn(move || {
                for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                    lines.lock().expect("nobody panics with the lock").push(line);
                }
            })
        });
        Self { child, stdout, stderr, reader }
    }

    /// Asks it to end (SIGTERM), which it does with exit code 0; what it said.
    ///
    /// # Panics
    /// If it does otherwise.
    #[track_caller]
    pub fn end_well(self) -> Finished {
        self.terminate();
        let finished = self.finish();
        assert_eq!(finished.status.code(), Some(0), "{finished:?}");
        finished
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to stderr so far.
    ///
    /// # Panics
    /// Never, short of a panic elsewhere.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.stderr.lock().expect("nobody panics with the lock").join("\n")
    }

    /// Reads one line of its stdout, without the line end; waits for it.
    ///
    /// # Panics
    /// If there is none any more.
    pub fn read_line(&mut self) -> String {
        let mut line = String::new();
        let pipe = self.stdout.as_mut().expect("stdout is open");
        assert!(pipe.read_line(&mut line).expect("stdout can be read") > 0, "stdout ended:\n{}", self.stderr());
        line.trim_end_matches('\n').to_owned()
    }

    /// Closes our end of its stdout, as `| head` does. What had been taken from the pipe, but not been asked for.
    ///
    /// # Panics
    /// If that is no text.
    pub fn close_stdout(&mut self) -> String {
        let rest = self.stdout.take().map(|pipe| pipe.buffer().to_vec()).unwrap_or_default();
        String::from_utf8(rest).expect("stdout is UTF-8")
    }

    /// SIGKILL, and it is gone.
    ///
    /// # Panics
    /// If it was gone before.
    pub fn kill9(&mut self) {
        assert!(self.child.try_wait().expect("a child can be asked").is_none(), "it had ended:\n{}", self.stderr());
        self.child.kill().expect("an own child can be killed");
        self.child.wait().expect("a killed child ends");
    }

    /// SIGSTOP: it lives, holds its connections, and does nothing.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// SIGINT, as Ctrl-C.
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("an own child takes signals");
    }

    /// Whether it has ended by itself.
    ///
    /// # Panics
    /// Never, short of a lost child.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child can be asked").is_some()
    }

    /// Reads its stdout to the end and waits for its end.
    ///
    /// # Panics
    /// If it does not end.
    #[must_use]
    #[track_caller]
    pub fn finish(self) -> Finished {
        self.finish_within(DEADLINE)
    }

    /// The same for what is known to take its time.
    ///
    /// # Panics
    /// If it does not end.
    #[must_use]
    #[track_caller]
    pub fn finish_within(mut self, deadline: Duration) -> Finished {
        let pipe = self.stdout.take();
        let stdout = thread::spawn(move || {
            let mut text = String::new();
            if let Some(mut pipe) = pipe {
                pipe.read_to_string(&mut text).expect("stdout is UTF-8");
            }
            text
        });
        let status =
            eventually_within(deadline, "the client ends", || self.child.try_wait().expect("a child can be asked"));
        if let Some(reader) = self.reader.take() {
            reader.join().expect("stderr is collected");
        }
        Finished { status, stdout: stdout.join().expect("stdout is collected"), stderr: self.stderr() }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if thread::panicking() {
            eprintln!("stderr of client {}:\n{}", self.pid(), self.stderr());
        }
    }
}

/// A pipe whose reader has left: to write to it fails.
///
/// # Panics
/// If the system has no pipe to give.
#[must_use]
pub fn left_pipe() -> PipeWriter {
    let (_, writer) = pipe().expect("a pipe");
    writer
}

/// A pipe that is full: to write to it waits until somebody reads.
///
/// # Panics
/// If the system has no pipe to give.
#[must_use]
pub fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = pipe().expect("a pipe");
    fill(&mut writer);
    (reader, writer)
}

/// Writes until there is no room left.
pub(crate) fn fill<F: AsFd + Write>(file: &mut F) {
    let flags = fcntl_getfl(&*file).expect("a file has flags");
    fcntl_setfl(&*file, flags | OFlags::NONBLOCK).expect("flags can be set");
    while file.write(&[b'\n'; 512]).is_ok() {}
    while file.write(b"\n").is_ok() {}
    fcntl_setfl(&*file, flags).expect("flags can be set");
}
