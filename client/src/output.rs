//! Results on standard output and lines on standard error: formats, readers that go away, and readers that do not read.

use std::io::{self, Write};
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};

use crate::error::Error;

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs: an object per message; for stats one with all figures.
    Json,
    /// For Prometheus (text exposition format): stats only.
    Prometheus,
}

/// How messages are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageFormat {
    /// A line per message.
    Text,
    /// A JSON object per message and line, with all fields; a payload that is not UTF-8 as `payload_hex`.
    Json,
}

impl Format {
    /// The same for messages; `None`: it is a format of figures only.
    pub fn of_messages(self) -> Option<MessageFormat> {
        match self {
            Self::Text => Some(MessageFormat::Text),
            Self::Json => Some(MessageFormat::Json),
            Self::Prometheus => None,
        }
    }
}

/// A payload as a field of a JSON object: `payload`, or `payload_hex` if it is not UTF-8.
pub(crate) fn payload_field(payload: &[u8]) -> (&'static str, String) {
    match std::str::from_utf8(payload) {
        Ok(text) => ("payload", text.to_owned()),
        Err(_) => {
            let halves = payload.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
            ("payload_hex", halves.filter_map(|half| char::from_digit(half.into(), 16)).collect())
        }
    }
}

/// Prints `text` to standard output and flushes. Errors: `BrokenPipe` when the reader has left; see [`unless_left`].
pub(crate) fn show(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// The same in a thread of its own, so that a reader who takes his time keeps nothing else waiting. The thread is not one
/// of tokio's, which are waited for: the program may end although nobody reads.
pub(crate) async fn show_aside(text: String) -> io::Result<()> {
    let (tell, shown) = oneshot::channel();
    thread::spawn(move || tell.send(show(&text)));
    shown.await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// That nobody reads on is no failure of what was shown; everything else is.
pub fn unless_left(shown: io::Result<()>) -> Result<(), Error> {
    match shown {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::Local(format!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes a line to standard error. Whoever has closed it does not want to know.
pub fn tell(line: &str) {
    let line = format!("{line}\n");
    let _unheard = match STDERR.get() {
        Some(queue) => queue.clone().write_all(line.as_bytes()),
        None => io::stderr().write_all(line.as_bytes()),
    };
}

/// From now on a thread of its own writes to standard error what [`tell`] and the log have to say, so that a reader who
/// does not read stalls nobody. Returned are the writer for the log, and what waits at the end until all is written.
pub fn unblock_stderr() -> (NonBlocking, LastWords) {
    let (queue, guard) = NonBlockingBuilder::default().buffered_lines_limit(WAITING_LINES).finish(io::stderr());
    (STDERR.get_or_init(|| queue).clone(), LastWords(Some(guard)))
}

static STDERR: OnceLock<NonBlocking> = OnceLock::new();

/// What comes while so many lines wait to be written is lost.
const WAITING_LINES: usize = 8_192;

/// So long the end of the program waits for them.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Dropped, it waits until standard error has taken what was told, if it takes anything.
#[derive(Debug)]
pub struct LastWords(Option<WorkerGuard>);

impl Drop for LastWords {
    fn drop(&mut self) {
        // In a thread of its own, because when the queue is full the guard itself wants to print.
        let (guard, (tell, written)) = (self.0.take(), mpsc::channel());
        thread::spawn(move || {
            drop(guard);
            tell.send(())
        });
        let _in_time = written.recv_timeout(LAST_WORDS);
    }
}
