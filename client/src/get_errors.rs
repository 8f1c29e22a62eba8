//! `client getErrors`: takes all failed messages out of Redis and prints them.
//!
//! Messages are claimed from the error store, printed, flushed, and only then acknowledged. Whatever ends the program
//! in between, a kill, a closed pipe, a cut connection, the messages go back to the store: none is lost, and some may
//! be printed again by the next run. What lies unread in a pipe is not yet printed, however long its reader takes; a
//! reader that closes it gets its last lines again. What a reader has taken is its own affair. So a reader has to read:
//! one that first waits for the end of this program waits for ever.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::oneshot;

use crate::connection::{LONGEST_SILENCE, Portion};
use crate::error::{Error, Result};
use crate::legible::plain_payload;
use crate::output::{MessageFormat, payload_field, tell, write_json};
use crate::queue::{Bond, Drain, ErroredMessage, Queue, Receipt};

/// Messages per round: claimed, printed, flushed and acknowledged together.
const CHUNK: usize = 1_000;

/// How often it is looked whether a pipe is empty: at first …
#[cfg(target_os = "linux")]
const FIRST_LOOK: Duration = Duration::from_millis(1);
/// … and, each wait twice as long as the last one, up to here.
#[cfg(target_os = "linux")]
const LAST_LOOK: Duration = Duration::from_millis(50);

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The error store is empty; so many messages were taken.
    Drained(u64),
    /// Nobody reads the output any more; what may not have been read is back in the store.
    Unread,
}

/// Where messages are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Paper {
    /// A terminal, which payloads must not control.
    Terminal,
    /// A pipe or a file, which gets every byte of a payload as it is.
    Other,
}

/// Drains the error store of `queue` to standard output, claiming each round for `lease` and for as long as the connection
/// lasts; a slow reader keeps its claims. Text is each payload and a newline: as it is, or at a terminal without what controls
/// it. A payload that has line breaks of its own is announced on standard error, because it looks like several.
pub async fn print_errors(queue: &Queue, lease: Duration, format: MessageFormat) -> Result<End> {
    let (mut drained, mut warned) = (0, format == MessageFormat::Json);
    let mut drainer = Drainer { queue: queue.clone(), lease, portion: Portion::new(CHUNK, CHUNK, lease) };
    loop {
        let messages = drainer.next_round().await?;
        let count = messages.len() as u64;
        if count == 0 {
            return Ok(End::Drained(drained));
        }
        if !warned && messages.iter().any(has_line_break) {
            warned = true;
            tell(LINE_BREAK);
        }
        let taken = take(&drainer.queue, lease, messages, format).await;
        let acked = match taken.inspect_err(|error| warn_of_repetition(error, count))? {
            Some(0) => return Err(too_short(lease, "were printed, and will be printed again")),
            Some(acked) => acked,
            None => return Ok(End::Unread),
        };
        if acked < count {
            tracing::warn!(
                count = count - acked,
                "messages were printed too slowly; their claims had ended, and they will be printed again"
            );
        }
        drained += acked;
    }
}

const LINE_BREAK: &str = "client: a payload has a line break in it, so that a line of this output is not always a message; \
    --format json prints one object for each";

fn has_line_break(message: &ErroredMessage) -> bool {
    message.payload.iter().any(|byte| matches!(byte, b'\n' | b'\r'))
}

/// Claims errors in rounds, as many at once as the link carries in time.
struct Drainer {
    queue: Queue,
    lease: Duration,
    portion: Portion,
}

impl Drainer {
    /// The next errors, claimed for a whole lease from now; none when the store is empty. Errors: the server does not
    /// answer, or not even one message arrives before its claim ends.
    async fn next_round(&mut self) -> Result<Vec<ErroredMessage>> {
        loop {
            let drain = Drain { count: Some(self.portion.count()), lease: Some((self.lease, Bond::Session)) };
            let asked_at = Instant::now();
            let mut messages = match self.queue.drain_errors(&drain).await {
                Err(Error::TooSlow(_)) if self.portion.was_too_much() => {
                    self.queue = self.queue.open_again().await?;
                    continue;
                }
                messages => messages?,
            };
            if messages.is_empty() {
                return Ok(messages);
            }
            let mut current = self.queue.extend_current(self.lease, &receipts_of(&messages)).await?.into_iter();
            let drained = messages.len();
            messages.retain(|_| current.next().unwrap_or(false));
            if messages.len() == drained {
                self.portion.arrived(asked_at);
            } else if !self.portion.was_too_much() {
                return Err(too_short(self.lease, "arrived after that, and are back in the error store"));
            }
            if !messages.is_empty() {
                return Ok(messages);
            }
        }
    }
}

fn too_short(lease: Duration, what: &str) -> Error {
    Error::Local(format!("messages were claimed for {lease:?}, but {what}: getErrors needs a longer --lease"))
}

fn receipts_of(messages: &[ErroredMessage]) -> Vec<Receipt> {
    messages.iter().map(|message| message.receipt).collect()
}

/// Prints one round and acknowledges it; how many counted. `None`: nobody reads on, and it was put back.
async fn take(
    queue: &Queue,
    lease: Duration,
    messages: Vec<ErroredMessage>,
    format: MessageFormat,
) -> Result<Option<u64>> {
    let receipts = receipts_of(&messages);
    let Err(error) = print_while_extending(queue, lease, &receipts, messages, format).await? else {
        return queue.ack(&receipts).await.map(Some);
    };
    let n = queue.release(&receipts).await?;
    if error.kind() == io::ErrorKind::BrokenPipe {
        tracing::debug!(n, "nobody reads on, released");
        return Ok(None);
    }
    Err(Error::Local(format!("standard output: {error}; {n} messages were put back")))
}

fn warn_of_repetition(error: &Error, count: u64) {
    if !matches!(error, Error::Local(_)) {
        tracing::warn!(
            count,
            "the last messages were not acknowledged: whether they were printed or not, they go back to the error store, \
             and the next getErrors prints them"
        );
    }
}

/// Prints in a thread of its own, because a reader may take its time, and extends the claims meanwhile. The thread is not
/// one of tokio's, which are waited for: an error must end the program although nobody reads.
async fn print_while_extending(
    queue: &Queue,
    lease: Duration,
    receipts: &[Receipt],
    messages: Vec<ErroredMessage>,
    format: MessageFormat,
) -> Result<io::Result<()>> {
    let (tell, mut printing) = oneshot::channel();
    std::thread::spawn(move || {
        if tell.send(print(&messages, format)).is_err() {
            tracing::debug!("printed, but an error came first");
        }
    });
    loop {
        tokio::select! {
            printed = &mut printing => return Ok(printed.unwrap_or_else(|error| Err(io::Error::other(error)))),
            () = tokio::time::sleep((lease / 3).min(LONGEST_SILENCE)) => {
                match queue.extend(lease, receipts).await {
                    Err(error @ Error::Busy { .. }) => tracing::warn!(%error, "the claims could not be extended yet"),
                    extended => drop(extended?),
                }
            }
        }
    }
}

fn print(messages: &[ErroredMessage], format: MessageFormat) -> io::Result<()> {
    let out = standard_output()?;
    let paper = if out.is_terminal() { Paper::Terminal } else { Paper::Other };
    let mut out = BufWriter::new(out);
    for message in messages {
        write_line(&mut out, message, format, paper)?;
    }
    out.flush()?;
    until_read(out.get_ref())
}

/// The standard output itself. The library's own takes a descriptor that cannot be written to for one that nobody reads,
/// and says that all is well.
#[cfg(unix)]
fn standard_output() -> io::Result<std::fs::File> {
    use std::os::fd::AsFd;

    Ok(io::stdout().as_fd().try_clone_to_owned()?.into())
}

#[cfg(not(unix))]
fn standard_output() -> io::Result<io::Stdout> {
    Ok(io::stdout())
}

/// Waits until a pipe is empty. Anything but a pipe is taken for read. Errors: `BrokenPipe` when the reader is gone.
#[cfg(target_os = "linux")]
fn until_read(out: &std::fs::File) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    if !out.metadata()?.file_type().is_fifo() {
        return Ok(());
    }
    let mut look = FIRST_LOOK;
    while rustix::io::ioctl_fionread(out)? > 0 {
        // No event is asked for: what comes unasked is that the reading end was closed.
        let mut ends = [PollFd::new(out, PollFlags::empty())];
        let wait = Timespec { tv_sec: 0, tv_nsec: i64::from(look.subsec_nanos()) };
        if rustix::io::retry_on_intr(|| poll(&mut ends, Some(&wait)))? > 0 {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        look = (look * 2).min(LAST_LOOK);
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn until_read<T>(_out: T) -> io::Result<()> {
    Ok(())
}

fn write_line(out: &mut impl Write, message: &ErroredMessage, format: MessageFormat, paper: Paper) -> io::Result<()> {
    match (format, paper) {
        (MessageFormat::Text, Paper::Other) => out.write_all(&message.payload)?,
        (MessageFormat::Text, Paper::Terminal) => out.write_all(plain_payload(&message.payload).as_bytes())?,
        (MessageFormat::Json, _) => write_json(out, &object(message))?,
    }
    out.write_all(b"\n")
}

fn object(message: &ErroredMessage) -> serde_json::Value {
    let (name, payload) = payload_field(&message.payload);
    json!({
        "id": message.id.0,
        name: payload,
        "deliveries": message.deliveries,
        "reason": String::from_utf8_lossy(&message.reason),
        "consumer": String::from_utf8_lossy(&message.consumer),
        "failed_at_ms": message.failed_at_ms,
        "receipt": message.receipt.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::Id;

    fn errored(payload: &[u8]) -> ErroredMessage {
        ErroredMessage {
            receipt: Receipt(9),
            id: Id(5),
            deliveries: 2,
            payload: payload.to_vec(),
            reason: b"why".to_vec(),
            consumer: b"peer:1".to_vec(),
            failed_at_ms: 1_700_000_000_000,
        }
    }

    fn rendered(messages: &[ErroredMessage], format: MessageFormat, paper: Paper) -> Vec<u8> {
        let mut text = Vec::new();
        messages.iter().for_each(|message| write_line(&mut text, message, format, paper).unwrap());
        text
    }

    #[test]
    fn text_is_the_payload_and_a_newline() {
        let messages = [errored(b"17"), errored(b"\xff\x1b[2J\n")];
        assert_eq!(rendered(&messages, MessageFormat::Text, Paper::Other), b"17\n\xff\x1b[2J\n\n");
        let shown = rendered(&messages, MessageFormat::Text, Paper::Terminal);
        assert_eq!(String::from_utf8(shown).unwrap(), "17\n\u{fffd}·[2J\\n\n");
    }

    #[test]
    fn json_is_one_object_per_line_with_all_fields() {
        let messages = [errored(b"17\n"), errored(b"\xff\x00")];
        let text = String::from_utf8(rendered(&messages, MessageFormat::Json, Paper::Other)).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(
            lines[0],
            json!({"id": 5, "payload": "17\n", "deliveries": 2, "reason": "why", "consumer": "peer:1",
                   "failed_at_ms": 1_700_000_000_000_u64, "receipt": 9})
        );
        assert_eq!(lines[1]["payload_hex"], "ff00");
    }
}
