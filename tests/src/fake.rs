//! A server that answers as a test says, and not as a server should.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Instant,
};

/// What was asked, and when.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The command's words.
    pub words: Vec<String>,
    /// When it arrived.
    pub at: Instant,
}

/// Listens on a port of its own and answers commands by a function. Dropped, it stops and closes its connections.
pub struct FakeServer {
    port: u16,
    known: Arc<Known>,
}

#[derive(Default)]
struct Known {
    asked: Mutex<Vec<Asked>>,
    streams: Mutex<Vec<TcpStream>>,
    closed: AtomicBool,
}

/// All panic when the system has no port or thread to give.
impl FakeServer {
    /// Answers each command with the bytes that `answer` gives for its words; where it gives none, as a server with an
    /// empty queue does. An answer of no bytes is silence.
    #[must_use]
    pub fn answering(answer: impl Fn(&[String]) -> Option<Vec<u8>> + Send + Sync + 'static) -> Self {
        let answer = move |words: &[String]| answer(words).unwrap_or_else(|| usual(words));
        let answer = Arc::new(answer);
        Self::serving(move |known, stream| known.talk(stream, &*answer))
    }

    /// Answers the first bytes of each connection with these, whatever they are, and closes it.
    #[must_use]
    pub fn saying(bytes: &'static [u8]) -> Self {
        Self::serving(move |_, mut stream| {
            if stream.read(&mut [0; 512]).is_ok() {
                // Whoever has left does not hear it.
                let _ = stream.write_all(bytes);
            }
        })
    }

    fn serving(serve: impl Fn(&Known, TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("a bound address").port();
        let (known, serve) = (Arc::new(Known::default()), Arc::new(serve));
        let knows = Arc::clone(&known);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if knows.closed.load(Ordering::Relaxed) {
                    return;
                }
                lock(&knows.streams).push(stream.try_clone().expect("a stream can be shared"));
                let (knows, serve) = (Arc::clone(&knows), Arc::clone(&serve));
                thread::spawn(move || {
                    let end = stream.try_clone();
                    serve(&knows, stream);
                    let _ = end.map(|end| end.shutdown(Shutdown::Both));
                });
            }
        });
        Self { port, known }
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// For clients: `redis://127.0.0.1:…`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// What it was asked so far by a command of this name.
    #[must_use]
    pub fn asked(&self, name: &str) -> Vec<Asked> {
        lock(&self.known.asked).iter().filter(|asked| asked.words[0] == name).cloned().collect()
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.known.closed.store(true, Ordering::Relaxed);
        // Wakes the listening thread.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        for stream in lock(&self.known.streams).iter() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Known {
    fn talk(&self, mut stream: TcpStream, answer: &dyn Fn(&[String]) -> Vec<u8>) {
        let Ok(reading) = stream.try_clone() else { return };
        let mut lines = BufReader::new(reading).lines().map_while(Result::ok);
        while let Some(count) = lines.next() {
            let count: usize = count.trim_start_matches('*').parse().expect("a command is an array");
            // Each word has a line with its length before it; no word of the client has a line end in it.
            let words: Vec<String> = lines.by_ref().take(2 * count).skip(1).step_by(2).collect();
            if words.len() < count {
                return;
            }
            let answer = answer(&words);
            lock(&self.asked).push(Asked { words, at: Instant::now() });
            if stream.write_all(&answer).is_err() {
                return;
            }
        }
    }
}

fn usual(words: &[String]) -> Vec<u8> {
    match (words[0].as_str(), words.get(1).map(String::as_str)) {
        ("CLIENT", Some("ID")) | ("MQ.ACK" | "MQ.SEQ", _) => ":0\r\n",
        ("MQ.INFO", _) => "*6\r\n$6\r\npushed\r\n:0\r\n$6\r\nerrors\r\n:0\r\n$5\r\nready\r\n:0\r\n",
        ("MQ.LEADER", _) => "*3\r\n$-1\r\n:0\r\n:0\r\n",
        ("MQ.CLAIM" | "MQ.PEEK" | "MQ.DRAINERRORS", _) => "*0\r\n",
        _ => "+OK\r\n",
    }
    .into()
}

/// What is locked is whole after each change, so a panic elsewhere spoils nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
