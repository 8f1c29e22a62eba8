//! A guard between the socket and the parser of the redis crate, which reads whatever a server announces until memory ends.
//!
//! It follows the frames of RESP2 and RESP3 (their headers only, never the payloads), and ends the connection where a reply
//! is larger than any reply of MQ. It also notices a server that answers in TLS.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The most bytes of one reply. A payload has at most 512 MiB, and a reply carries one of them or 64 MiB of several.
const MOST_BYTES: u64 = 1 << 30;

/// The most values in one reply, nested ones included. A claim of 65,536 messages has 330,000.
const MOST_VALUES: u64 = 4 << 20;

/// The longest line: a header, a number, a status, an error.
const LONGEST_LINE: u64 = 1 << 20;

/// The first bytes of a TLS record, which no reply begins with: an alert, a handshake.
const TLS_RECORDS: [u8; 2] = [0x15, 0x16];

/// Why the guard ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The reply is too large, or was announced to be.
    TooLarge,
    /// The server answers in TLS.
    Tls,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => write!(
                f,
                "the server began a reply of more than {} MiB, {MOST_VALUES} values or {} MiB of one line, which MQ never \
                 sends",
                MOST_BYTES >> 20,
                LONGEST_LINE >> 20
            ),
            Self::Tls => {
                f.write_str("the server speaks TLS: write rediss:// in place of redis:// (--redis, REDIS_URL)")
            }
        }
    }
}

impl std::error::Error for Refusal {}

/// The place in the stream of replies.
#[derive(Debug)]
enum Place {
    /// Before the byte that tells what comes.
    Sort,
    /// In the line behind it, `length` bytes long so far. `number` is what its digits say.
    Line { sort: u8, number: Number, length: u64 },
    /// In a string of which so many bytes are to come, the line end included.
    String { left: u64 },
}

/// The number in a header.
#[derive(Clone, Copy, Debug)]
enum Number {
    /// Its digits so far.
    Digits(u64),
    /// It is none, or below 0: nothing follows. (The parser judges what is malformed.)
    Nothing,
}

/// Follows the frames of a stream of replies.
#[derive(Debug)]
struct Framing {
    place: Place,
    /// How many values each open array or map still lacks, the outermost first.
    lacking: Vec<u64>,
    /// Bytes of the current reply.
    bytes: u64,
    /// Values that the current reply has announced.
    values: u64,
    /// Whether anything has arrived at all.
    begun: bool,
}

impl Framing {
    fn new() -> Self {
        Self { place: Place::Sort, lacking: Vec::new(), bytes: 0, values: 0, begun: false }
    }

    /// Takes the next bytes of the stream.
    fn take(&mut self, mut bytes: &[u8]) -> Result<(), Refusal> {
        if !std::mem::replace(&mut self.begun, true) && bytes.first().is_some_and(|first| TLS_RECORDS.contains(first)) {
            return Err(Refusal::Tls);
        }
        while !bytes.is_empty() {
            let taken = self.step(bytes)?;
            self.bytes += taken as u64;
            if self.bytes > MOST_BYTES {
                return Err(Refusal::TooLarge);
            }
            if self.lacking.is_empty() && matches!(self.place, Place::Sort) {
                (self.bytes, self.values) = (0, 0);
            }
            bytes = bytes.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    /// Takes some bytes, at least one of at least one. Returns how many.
    fn step(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        match &mut self.place {
            Place::Sort => {
                let sort = bytes.first().copied().unwrap_or_default();
                self.place = Place::Line { sort, number: Number::Digits(0), length: 0 };
                Ok(1)
            }
            Place::String { left } => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= taken as u64;
                if *left == 0 {
                    self.end_value();
                }
                Ok(taken)
            }
            Place::Line { sort, number, length } => {
                let end = bytes.iter().position(|byte| *byte == b'\n');
                let line = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
                *length += line.len() as u64;
                if *length > LONGEST_LINE {
                    return Err(Refusal::TooLarge);
                }
                if is_header(*sort) {
                    line.iter().for_each(|byte| number.read(*byte));
                }
                let (sort, number) = (*sort, *number);
                if end.is_some() {
                    self.end_line(sort, number)?;
                }
                Ok(line.len() + usize::from(end.is_some()))
            }
        }
    }

    /// Ends a line, which may announce a string or an array.
    fn end_line(&mut self, sort: u8, number: Number) -> Result<(), Refusal> {
        self.place = Place::Sort;
        let Number::Digits(number) = number else {
            self.end_value();
            return Ok(());
        };
        match sort {
            b'$' | b'=' | b'!' if number > MOST_BYTES => Err(Refusal::TooLarge),
            b'$' | b'=' | b'!' => {
                self.place = Place::String { left: number + 2 };
                Ok(())
            }
            b'*' | b'~' | b'>' => self.open(number),
            b'%' => self.open(number.saturating_mul(2)),
            // A map about the value that follows it.
            b'|' => self.open(number.saturating_mul(2).saturating_add(1)),
            _ => {
                self.end_value();
                Ok(())
            }
        }
    }

    /// Begins an array of so many values.
    fn open(&mut self, values: u64) -> Result<(), Refusal> {
        self.values = self.values.saturating_add(values);
        if self.values > MOST_VALUES {
            return Err(Refusal::TooLarge);
        }
        match values {
            0 => self.end_value(),
            _ => self.lacking.push(values),
        }
        Ok(())
    }

    /// Ends a value, and each array whose last one it was.
    fn end_value(&mut self) {
        self.place = Place::Sort;
        while let Some(lacking) = self.lacking.last_mut() {
            *lacking -= 1;
            if *lacking > 0 {
                return;
            }
            self.lacking.pop();
        }
    }
}

impl Number {
    fn read(&mut self, byte: u8) {
        *self = match (*self, byte) {
            (Self::Digits(number), b'0'..=b'9') => {
                Self::Digits(number.saturating_mul(10).saturating_add(u64::from(byte - b'0')))
            }
            // Blanks and a plus sign are let pass by the parser.
            (number, b'\r' | b' ' | b'+') => number,
            _ => Self::Nothing,
        };
    }
}

fn is_header(sort: u8) -> bool {
    matches!(sort, b'$' | b'=' | b'!' | b'*' | b'~' | b'>' | b'%' | b'|')
}

/// A stream whose replies are guarded.
#[derive(Debug)]
pub(super) struct Guarded<S> {
    stream: S,
    framing: Framing,
    heard: Heard,
}

/// Tells whether anything has arrived on a guarded stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard(Arc<AtomicBool>);

impl Heard {
    pub(super) fn anything(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl<S> Guarded<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, framing: Framing::new(), heard: Heard::default() }
    }

    pub(super) fn heard(&self) -> Heard {
        self.heard.clone()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = room.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, room))?;
        let arrived = room.filled().get(before..).unwrap_or_default();
        if !arrived.is_empty() {
            self.heard.0.store(true, Ordering::Relaxed);
        }
        Poll::Ready(self.framing.take(arrived).map_err(|refusal| io::Error::new(io::ErrorKind::InvalidData, refusal)))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes the stream in pieces of so many bytes.
    fn taken(stream: &[u8], piece: usize) -> Result<Framing, Refusal> {
        let mut framing = Framing::new();
        stream.chunks(piece).try_for_each(|bytes| framing.take(bytes)).map(|()| framing)
    }

    #[test]
    fn the_end_of_each_reply_is_found_however_it_arrives() {
        let replies: [&[u8]; 12] = [
            b"+OK\r\n",
            b"-ERR no\r\n",
            b":-5\r\n",
            b"$5\r\nhe\r\no\r\n",
            b"$0\r\n\r\n",
            b"$-1\r\n",
            b"*-1\r\n",
            b"*0\r\n",
            b"*2\r\n*1\r\n$1\r\n$\r\n%1\r\n+a\r\n*0\r\n",
            b"|1\r\n+a\r\n:1\r\n+b\r\n",
            b"=8\r\ntxt:*9\r\n\r\n",
            b"~2\r\n_\r\n#t\r\n",
        ];
        for reply in replies.into_iter().chain([replies.concat().as_slice()]) {
            for piece in [1, 2, 3, 1000] {
                let framing = taken(reply, piece).unwrap();
                let ended = framing.lacking.is_empty() && matches!(framing.place, Place::Sort) && framing.bytes == 0;
                assert!(ended, "{:?} in pieces of {piece}: {framing:?}", String::from_utf8_lossy(reply));
            }
            let cut = taken(&reply[..reply.len() - 1], 4).unwrap();
            assert!(!matches!(cut.place, Place::Sort), "{:?} is not whole", String::from_utf8_lossy(reply));
        }
    }

    #[test]
    fn what_is_too_large_is_refused_when_it_is_announced() {
        let line = [&b"+"[..], &vec![b'x'; LONGEST_LINE as usize + 1]].concat();
        let nested = b"*1000\r\n".repeat(5_000);
        let announced: [&[u8]; 8] = [
            b"$9999999999\r\n",
            b"$99999999999999999999999999\r\n",
            b"*1\r\n$1073741825\r\n",
            b"!9999999999\r\n",
            b"*4194305\r\n",
            b"%2097153\r\n",
            &nested,
            &line,
        ];
        for stream in announced {
            assert_eq!(taken(stream, 7).err(), Some(Refusal::TooLarge), "{:?}", String::from_utf8_lossy(&stream[..9]));
        }
        assert!(taken(b"$1073741824\r\n", 7).is_ok() && taken(b"*4194304\r\n", 7).is_ok());
    }

    #[test]
    fn many_replies_of_any_size_are_no_large_reply() {
        let mut framing = Framing::new();
        let reply = [&b"$1048576\r\n"[..], &vec![0; 1 << 20], b"\r\n"].concat();
        (0..1_100).for_each(|_| framing.take(&reply).unwrap());
        framing.take(b"*2\r\n").unwrap();
        let one = [&b"$943718400\r\n"[..], &vec![0; 900 << 20], b"\r\n"].concat();
        framing.take(&one).unwrap();
        assert_eq!(framing.take(&one), Err(Refusal::TooLarge), "two of them in one reply");
    }

    #[test]
    fn a_server_that_begins_in_tls_is_told_from_one_that_sends_such_bytes_later() {
        assert_eq!(taken(b"\x15\x03\x01\x00\x02\x02\x46", 7).err(), Some(Refusal::Tls));
        assert!(taken(b"$2\r\n\x15\x03\r\n", 1).is_ok());
    }
}
