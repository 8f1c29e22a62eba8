//! `client getErrors`: takes all failed messages out of Redis and prints them.
//!
//! Messages are claimed from the error store, printed, flushed, and only then acknowledged. Whatever ends the program
//! in between, a kill, a closed pipe, a cut connection, the messages go back to the store: none is lost, and some may
//! be printed again by the next run. What lies unread in a pipe is not yet printed, however long its reader takes; a
//! reader that closes it gets its last lines again. What a reader has taken is its own affair. So a reader has to read:
//! one that first waits for the end of this program waits for ever.

use std::io::{self, BufWriter, Write};
use std::time::Duration;

use serde_json::json;
use tokio::sync::oneshot;

use crate::error::{Error, Result};
use crate::output::{MessageFormat, payload_field};
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

/// Drains the error store of `queue` to standard output, as text each payload as it is and a newline, claiming each round for `lease` and for as long as the
/// connection lasts; a slow reader keeps its claims.
pub async fn print_errors(queue: &Queue, lease: Duration, format: MessageFormat) -> Result<End> {
    let mut drained = 0;
    let drain = Drain { count: Some(CHUNK), lease: Some((lease, Bond::Session)) };
    loop {
        let messages = queue.drain_errors(&drain).await?;
        if messages.is_empty() {
            return Ok(End::Drained(drained));
        }
        let receipts: Vec<Receipt> = messages.iter().map(|message| message.receipt).collect();
        let taken = take(queue, lease, &receipts, render(&messages, format)).await;
        let acked = match taken.inspect_err(|error| warn_of_repetition(error, receipts.len()))? {
            Some(acked) => acked,
            None => return Ok(End::Unread),
        };
        if acked < receipts.len() as u64 {
            tracing::warn!(
                count = receipts.len() as u64 - acked,
                "messages were printed too slowly; their claims had ended, and they will be printed again"
            );
        }
        drained += acked;
    }
}

/// Prints one round and acknowledges it; how many counted. `None`: nobody reads on, and it was put back.
async fn take(queue: &Queue, lease: Duration, receipts: &[Receipt], text: Vec<u8>) -> Result<Option<u64>> {
    let Err(error) = print_while_extending(queue, lease, receipts, text).await? else {
        return queue.ack(receipts).await.map(Some);
    };
    let n = queue.release(receipts).await?;
    if error.kind() == io::ErrorKind::BrokenPipe {
        tracing::debug!(n, "nobody reads on, released");
        return Ok(None);
    }
    Err(Error::Local(format!("standard output: {error}; {n} messages were put back")))
}

fn warn_of_repetition(error: &Error, count: usize) {
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
    text: Vec<u8>,
) -> Result<io::Result<()>> {
    let (tell, mut printing) = oneshot::channel();
    std::thread::spawn(move || {
        if tell.send(print(&text)).is_err() {
            tracing::debug!("printed, but an error came first");
        }
    });
    loop {
        tokio::select! {
            printed = &mut printing => return Ok(printed.unwrap_or_else(|error| Err(io::Error::other(error)))),
            () = tokio::time::sleep(lease / 3) => {
                match queue.extend(lease, receipts).await {
                    Err(error @ Error::Busy { .. }) => tracing::warn!(%error, "the claims could not be extended yet"),
                    extended => drop(extended?),
                }
            }
        }
    }
}

fn print(text: &[u8]) -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    out.write_all(text)?;
    out.flush()?;
    until_read(out.get_ref())
}

/// Waits until a pipe is empty. Anything but a pipe is taken for read. Errors: `BrokenPipe` when the reader is gone.
#[cfg(target_os = "linux")]
fn until_read(out: impl std::os::fd::AsFd) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    let file = std::fs::File::from(out.as_fd().try_clone_to_owned()?);
    if !file.metadata()?.file_type().is_fifo() {
        return Ok(());
    }
    let mut look = FIRST_LOOK;
    while rustix::io::ioctl_fionread(&out)? > 0 {
        // No event is asked for: what comes unasked is that the reading end was closed.
        let mut ends = [PollFd::new(&out, PollFlags::empty())];
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

fn render(messages: &[ErroredMessage], format: MessageFormat) -> Vec<u8> {
    let mut text = Vec::new();
    for message in messages {
        match format {
            MessageFormat::Text => text.extend_from_slice(&message.payload),
            MessageFormat::Json => text.extend_from_slice(object(message).to_string().as_bytes()),
        }
        text.push(b'\n');
    }
    text
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

    #[test]
    fn text_is_the_payload_and_a_newline() {
        assert_eq!(render(&[errored(b"17"), errored(b"\xff")], MessageFormat::Text), b"17\n\xff\n");
    }

    #[test]
    fn json_is_one_object_per_line_with_all_fields() {
        let text = String::from_utf8(render(&[errored(b"17\n"), errored(b"\xff\x00")], MessageFormat::Json)).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(
            lines[0],
            json!({"id": 5, "payload": "17\n", "deliveries": 2, "reason": "why", "consumer": "peer:1",
                   "failed_at_ms": 1_700_000_000_000_u64, "receipt": 9})
        );
        assert_eq!(lines[1]["payload_hex"], "ff00");
    }
}
