//! Results on standard output: their formats, and readers that go away.

use std::io::{self, Write};

use tokio::sync::oneshot;

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
        Err(_) => ("payload_hex", payload.iter().flat_map(|byte| [byte >> 4, byte & 0xf]).map(hex_digit).collect()),
    }
}

/// The digit of a number below 16.
fn hex_digit(number: u8) -> char {
    char::from(if number < 10 { b'0' + number } else { b'a' - 10 + number })
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
    std::thread::spawn(move || tell.send(show(&text)));
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
    let _unheard = writeln!(io::stderr(), "{line}");
}
