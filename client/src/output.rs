//! Results on standard output and lines on standard error: formats, readers that go away, and readers that do not read.
//!
//! What others wrote (payloads, names, reasons, a server's words) may control a terminal. So where one of the two outputs is
//! a terminal, nothing of that kind reaches it; pipes and files get every byte as it is. JSON escapes it everywhere, which
//! changes no value. Tables for people are clean everywhere.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal, Write};
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};
use tokio::sync::oneshot;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};

use crate::error::Error;
use crate::legible::{controls, plain, plain_lines};

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

/// A value as JSON on one line, in which characters that control a terminal are escaped.
pub(crate) fn write_json(out: &mut impl Write, value: &serde_json::Value) -> io::Result<()> {
    Ok(value.serialize(&mut Serializer::with_formatter(out, Escaping))?)
}

/// The same as a text, with a line end.
pub(crate) fn json_line(value: &serde_json::Value) -> String {
    let mut line = Vec::new();
    // Writing to a Vec cannot fail.
    let _infallible = write_json(&mut line, value);
    line.push(b'\n');
    String::from_utf8_lossy(&line).into_owned()
}

/// Writes compact JSON, and escapes what serde_json lets through: DEL, C1, and characters that turn or hide text.
struct Escaping;

impl Formatter for Escaping {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        let mut written = 0;
        for (at, c) in fragment.char_indices().filter(|(_, c)| controls(*c)) {
            out.write_all(fragment.get(written..at).unwrap_or_default().as_bytes())?;
            // All of them have four digits.
            write!(out, "\\u{:04x}", u32::from(c))?;
            written = at + c.len_utf8();
        }
        out.write_all(fragment.get(written..).unwrap_or_default().as_bytes())
    }
}

/// Prints `text` to standard output and flushes. Errors: `BrokenPipe` when the reader has left; see [`unless_left`].
pub(crate) fn show(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let text = if out.is_terminal() { Cow::Owned(plain_lines(text)) } else { Cow::Borrowed(text) };
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
    match io::stderr().is_terminal() {
        true => write_line(&plain(line.as_bytes())),
        false => write_line(line),
    }
}

/// The same for a text that has several lines.
pub fn tell_lines(text: &str) {
    match io::stderr().is_terminal() {
        true => write_line(&plain_lines(text)),
        false => write_line(text),
    }
}

fn write_line(text: &str) {
    let text = format!("{text}\n");
    let _unheard = match STDERR.get() {
        Some(queue) => queue.clone().write_all(text.as_bytes()),
        None => io::stderr().write_all(text.as_bytes()),
    };
}

/// Writes a field of a log line. At a terminal it is clean: errors and names are others' words.
pub fn write_field(out: &mut dyn fmt::Write, name: &str, value: &dyn fmt::Debug) -> fmt::Result {
    let mut text = String::new();
    write!(text, "{value:?}")?;
    let text = if io::stderr().is_terminal() { plain(text.as_bytes()) } else { text };
    match name {
        "message" => out.write_str(&text),
        name => write!(out, "{name}={text}"),
    }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_controls_no_terminal_and_keeps_every_value() {
        let value = json!({"payload": "a\u{1b}[2J\u{9b}b\u{7f}\u{202e}\u{feff}c\n", "id": 7, "none": null});
        let line = json_line(&value);
        assert!(line.trim_end().chars().all(|c| !controls(c)), "{line:?}");
        assert_eq!(line.lines().count(), 1);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap(), value);
    }
}
