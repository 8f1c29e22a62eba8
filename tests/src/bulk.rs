//! Commands and clients by the hundred thousand: raw connections that parse no reply.

use std::{
    fmt::Display,
    io::{Read as _, Write as _},
    iter::repeat_n,
    net::TcpStream,
    ops::Range,
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{Conn, Server};

/// Bytes that are collected before they are written.
const BUFFER_BYTES: usize = 64 << 10;

/// Messages in one command of those methods that need several commands.
pub const BATCH: usize = 10_000;

/// The server accepts connections in batches and lets few wait: after this many new ones the crowd waits for an answer.
const ACCEPTED_AT_ONCE: usize = 200;

/// Files that a process needs beside the connections of a [`Crowd`].
const OTHER_FILES: u64 = 500;

/// One connection whose server sends no replies (CLIENT REPLY OFF), except where they are asked for. What was carried out is
/// seen in the queue's counters.
pub struct Bulk {
    stream: TcpStream,
    unsent: Vec<u8>,
}

/// All methods panic when the connection breaks.
impl Bulk {
    /// Opens the connection.
    ///
    /// # Panics
    /// If the server does not accept it.
    #[must_use]
    pub fn open(server: &Server) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", server.port())).expect("a server that accepts connections");
        stream.set_nodelay(true).expect("a socket option");
        let mut bulk = Self { stream, unsent: Vec::new() };
        bulk.send("CLIENT REPLY OFF");
        bulk
    }

    /// Sends a line of words as one command.
    pub fn send(&mut self, line: &str) {
        self.send_with(line, std::iter::empty::<&str>());
    }

    /// Sends a line of words and more words as one command.
    pub fn send_with<W: Display>(&mut self, line: &str, more: impl ExactSizeIterator<Item = W>) {
        let count = line.split_ascii_whitespace().count() + more.len();
        write!(self.unsent, "*{count}\r\n").expect("a vector takes everything");
        line.split_ascii_whitespace().for_each(|word| self.word(word));
        more.for_each(|word| self.word(&word.to_string()));
        if self.unsent.len() >= BUFFER_BYTES {
            self.flush();
        }
    }

    fn word(&mut self, word: &str) {
        write!(self.unsent, "${}\r\n{word}\r\n", word.len()).expect("a vector takes everything");
    }

    fn flush(&mut self) {
        self.stream.write_all(&self.unsent).expect("a whole connection");
        self.unsent.clear();
    }

    /// Returns when the server has carried out everything that was sent.
    ///
    /// # Panics
    /// If the connection breaks.
    pub fn done(&mut self) {
        self.send("CLIENT REPLY ON");
        self.flush();
        self.expect("+OK\r\n");
        self.send("CLIENT REPLY OFF");
    }

    /// Sends a command and reads its reply without parsing it.
    ///
    /// # Errors
    /// The refusal as it stood on the wire.
    pub fn ask(&mut self, line: &str) -> Result<(), String> {
        self.ask_with(line, std::iter::empty::<&str>())
    }

    /// [`ask`](Self::ask) with more words.
    ///
    /// # Errors
    /// The refusal as it stood on the wire.
    pub fn ask_with<W: Display>(&mut self, line: &str, more: impl ExactSizeIterator<Item = W>) -> Result<(), String> {
        self.send("CLIENT REPLY ON");
        self.flush();
        self.expect("+OK\r\n");
        self.send_with(line, more);
        self.send("PING");
        self.flush();
        let start = self.read_to("+PONG\r\n");
        self.send("CLIENT REPLY OFF");
        match start.strip_prefix('-') {
            Some(refusal) => Err(refusal.lines().next().unwrap_or_default().to_owned()),
            None => Ok(()),
        }
    }

    /// Pushes `count` times the payload with `line`, a push up to its MSG.
    pub fn push(&mut self, line: &str, count: usize, payload: &str) {
        for first in (0..count).step_by(BATCH) {
            self.send_with(line, repeat_n(payload, BATCH.min(count - first)));
        }
        self.done();
    }

    /// Claims `count` messages with `line`, a claim without COUNT.
    pub fn claim(&mut self, line: &str, count: usize) {
        for first in (0..count).step_by(BATCH) {
            self.send(&format!("{line} COUNT {}", BATCH.min(count - first)));
        }
        self.done();
    }

    /// Claims `count` ready messages of `queue`, and returns their receipts, which follow one another. `c` is used to learn the
    /// first one.
    #[must_use]
    pub fn receipts(&mut self, c: &mut Conn, queue: &str, count: usize) -> Range<i64> {
        let line = format!("MQ.CLAIM {queue} w LEASE 600000");
        let first = c.claim(&line).receipt;
        self.claim(&line, count - 1);
        first..first + count as i64
    }

    /// Sends the numbers with `line`, as its receipts or ids.
    pub fn send_numbers(&mut self, line: &str, numbers: Range<i64>) {
        for first in numbers.clone().step_by(BATCH) {
            let count = (numbers.end - first).min(BATCH as i64) as usize;
            self.send_with(line, (0..count).map(|offset| first + offset as i64));
        }
        self.done();
    }

    fn expect(&mut self, reply: &str) {
        let read = self.read_to(reply);
        assert_eq!(read, reply, "the reply of the server");
    }

    /// Reads until the bytes read end with `end`, and returns the first 100 of them.
    fn read_to(&mut self, end: &str) -> String {
        let mut chunk = vec![0; 1 << 20];
        let (mut start, mut last) = (Vec::new(), Vec::new());
        while !last.ends_with(end.as_bytes()) {
            let read = self.stream.read(&mut chunk).expect("a whole connection");
            assert!(read > 0, "the server closed the connection");
            start.extend_from_slice(&chunk[..read.min(100 - start.len())]);
            last.extend_from_slice(&chunk[read.saturating_sub(end.len())..read]);
            last.drain(..last.len().saturating_sub(end.len()));
        }
        String::from_utf8_lossy(&start).into_owned()
    }
}

/// Clients by the thousand: connections on which one command was sent and nothing is read.
pub struct Crowd(Vec<TcpStream>);

impl Crowd {
    /// Opens `count` connections and sends on each of them the commands of `lines`, one a line. Returns when the server has
    /// accepted the connections.
    ///
    /// # Panics
    /// If it does not accept them.
    #[must_use]
    pub fn send(server: &Server, count: usize, lines: impl Fn(usize) -> String) -> Self {
        let mut streams = Vec::with_capacity(count);
        for n in 0..count {
            let mut stream =
                TcpStream::connect(("127.0.0.1", server.port())).expect("a server that accepts connections");
            if n % ACCEPTED_AT_ONCE == 0 {
                stream.write_all(b"PING\r\n").expect("an open connection");
                let read = stream.read(&mut [0; 16]).expect("an open connection");
                assert!(read > 0, "the server closed the connection");
            }
            stream.write_all(lines(n).replace('\n', "\r\n").as_bytes()).expect("an open connection");
            stream.write_all(b"\r\n").expect("an open connection");
            streams.push(stream);
        }
        Self(streams)
    }

    /// Number of connections.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns true if there is no connection.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Number of clients, at most `wanted`, that this process can open and a server that it starts from now on can accept. Raises
/// the limit of open files where that is allowed.
#[must_use]
pub fn clients_at_most(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX);
    let needed = wanted as u64 + OTHER_FILES;
    let files = limit.current.unwrap_or(u64::MAX).max(needed.min(most));
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(files), maximum: limit.maximum }).is_ok();
    let files = if raised { files } else { limit.current.unwrap_or(u64::MAX) };
    wanted.min(usize::try_from(files.saturating_sub(OTHER_FILES)).unwrap_or(usize::MAX))
}
