//! `client errors`: lists the failed messages without taking them, or makes them ready again.

use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ratatui::crossterm::terminal;
use serde_json::json;

use crate::connection::Portion;
use crate::error::{Error, Result};
use crate::legible::{left, plain, shortened, span, width};
use crate::output::{MessageFormat, json_line, payload_field, show, tell};
use crate::queue::{Id, Peek, Peeked, Queue, Redrive, State, millis};

/// Messages per MQ.PEEK; as many as it shows at once.
const PAGE: usize = 1_000;

/// Ids per MQ.REDRIVE.
const REDRIVEN_AT_ONCE: usize = 10_000;

/// A page that takes longer is none to be doubled.
const GOOD_TIME: Duration = Duration::from_secs(10);

/// Columns of the table where nobody says how wide the paper is.
const COLUMNS: u16 = 160;

/// No column of another's words is wider, so that there is room for the next …
const WIDEST_CONSUMER: usize = 24;
const WIDEST_REASON: usize = 40;
/// … and the last one is never narrower.
const NARROWEST_PAYLOAD: usize = 12;

/// Of a payload so many bytes are asked for where it is shown on one line: more than any terminal is wide.
pub(crate) const EXCERPT: u32 = 1_024;

/// Stands for the rest of a payload of which only the first bytes were asked for.
const REST: char = '…';

/// Prints the errors of `queue` by id, at most `count` if given. They stay where they are. What was printed, or why it
/// could not be; that nobody reads on is an `io::Error` like any other.
pub async fn print_errors(queue: &Queue, count: Option<u64>, format: MessageFormat) -> Result<io::Result<()>> {
    let excerpts = match format {
        MessageFormat::Text => Some(EXCERPT),
        MessageFormat::Json => None,
    };
    let mut pages = Pages::new(queue, excerpts);
    let mut left = count.unwrap_or(u64::MAX);
    let mut table = None;
    while left > 0 {
        let page = pages.next(left).await?;
        if page.is_empty() {
            break;
        }
        left = left.saturating_sub(page.len() as u64);
        let text = match format {
            MessageFormat::Json => page.iter().map(|error| json_line(&object(error))).collect(),
            MessageFormat::Text => {
                let now_ms = server_clock_ms(&pages.queue).await;
                match &table {
                    None => {
                        let fitted = table.insert(Table::fitted(&page, now_ms, columns()));
                        format!("{}{}", fitted.head(), fitted.rows(&page, now_ms))
                    }
                    Some(table) => table.rows(&page, now_ms),
                }
            }
        };
        if let Err(error) = show(&text) {
            return Ok(Err(error));
        }
    }
    if pages.after.is_none() {
        tell("no errors");
    }
    Ok(Ok(()))
}

/// The error store from its beginning, as much at a time as the link can carry.
struct Pages {
    queue: Queue,
    portion: Portion,
    /// How many bytes of each payload are wanted; `None`: all.
    bytes: Option<u32>,
    /// The last id seen.
    after: Option<Id>,
}

impl Pages {
    fn new(queue: &Queue, bytes: Option<u32>) -> Self {
        Self { queue: queue.clone(), portion: Portion::new(PAGE, PAGE, GOOD_TIME), bytes, after: None }
    }

    /// At most `left` more errors; none at the end. Errors: the server does not answer, or not even one error arrives, or it
    /// shows again what it has shown.
    async fn next(&mut self, left: u64) -> Result<Vec<Peeked>> {
        loop {
            let (asked_at, count) = (Instant::now(), left.min(self.portion.count() as u64));
            match self.queue.peek(State::Errors, &Peek { after: self.after, count, bytes: self.bytes }).await {
                Err(Error::TooSlow(_)) if self.portion.was_too_much() => self.queue = self.queue.open_again().await?,
                page => {
                    let page = page?;
                    self.portion.arrived(asked_at);
                    let (first, last) = (page.first().map(|first| first.id), page.last().map(|last| last.id));
                    if let (Some(first), Some(after)) = (first, self.after)
                        && first <= after
                    {
                        return Err(Error::Unexpected(format!("MQ.PEEK … AFTER {after} shows the id {first}")));
                    }
                    self.after = last.or(self.after);
                    return Ok(page);
                }
            }
        }
    }
}

/// Which errors a person has chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// All that are in the error store now.
    All,
    /// These.
    Ids(Vec<Id>),
}

/// Makes errors ready again, as many at once as the server takes, and prints how many.
pub async fn redrive(queue: &Queue, chosen: Chosen, format: MessageFormat) -> Result<io::Result<()>> {
    let redriven = match chosen {
        Chosen::All => redrive_all(queue).await?,
        Chosen::Ids(ids) => {
            let redriven = redrive_these(queue, &ids).await?;
            if redriven < ids.len() as u64 {
                let (missing, all) = (ids.len() as u64 - redriven, ids.len());
                tell(&format!("{missing} of {all} ids: not in the error store, or being drained at this moment"));
            }
            redriven
        }
    };
    Ok(show(&match format {
        MessageFormat::Text => format!("{redriven} redriven\n"),
        MessageFormat::Json => json_line(&json!({ "redriven": redriven })),
    }))
}

/// Goes through the error store by id. Messages that fail again meanwhile are not met again, so this ends whatever their
/// handlers do.
async fn redrive_all(queue: &Queue) -> Result<u64> {
    let (mut pages, mut redriven) = (Pages::new(queue, Some(0)), 0);
    loop {
        let page = pages.next(u64::MAX).await?;
        if page.is_empty() {
            return Ok(redriven);
        }
        let ids: Vec<Id> = page.iter().filter(|error| error.receipt.is_none()).map(|error| error.id).collect();
        redriven += redrive_these(&pages.queue, &ids).await?;
    }
}

async fn redrive_these(queue: &Queue, ids: &[Id]) -> Result<u64> {
    let mut redriven = 0;
    for ids in ids.chunks(REDRIVEN_AT_ONCE) {
        redriven += queue.redrive(&Redrive::Ids(ids.to_vec())).await?;
    }
    Ok(redriven)
}

/// The server's time in milliseconds since 1970, by which errors are dated; this host's if the server would not tell.
pub(crate) async fn server_clock_ms(queue: &Queue) -> u64 {
    match queue.connection().clock_ms().await {
        Ok(now_ms) => now_ms,
        Err(error) => {
            tracing::debug!(%error, "the server does not tell the time");
            millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
        }
    }
}

/// How long ago it failed.
pub(crate) fn age(error: &Peeked, now_ms: u64) -> String {
    let age_ms = error.failed_at_ms.map(|failed_at_ms| now_ms.saturating_sub(failed_at_ms));
    age_ms.map(|age_ms| span(Duration::from_millis(age_ms))).unwrap_or_default()
}

/// Why it failed; and that somebody is draining it, if so.
pub(crate) fn reason(error: &Peeked) -> String {
    let reason = plain(error.reason.as_deref().unwrap_or_default());
    if error.receipt.is_some() { format!("(being drained) {reason}") } else { reason }
}

/// The consumer that held it last.
pub(crate) fn consumer(error: &Peeked) -> String {
    plain(error.consumer.as_deref().unwrap_or_default())
}

/// How its payload begins.
pub(crate) fn excerpt(error: &Peeked) -> String {
    let mut excerpt = plain(&error.payload);
    if error.payload_bytes.is_some_and(|whole| whole > error.payload.len() as u64) {
        // The cut may have gone through a character.
        excerpt.truncate(excerpt.trim_end_matches(char::REPLACEMENT_CHARACTER).len());
        excerpt.push(REST);
    }
    excerpt
}

fn columns() -> usize {
    let known = if io::stdout().is_terminal() { terminal::size().ok() } else { None };
    known.map_or(COLUMNS, |(columns, _)| columns).into()
}

fn object(error: &Peeked) -> serde_json::Value {
    let (name, payload) = payload_field(&error.payload);
    json!({
        "id": error.id.0,
        name: payload,
        "deliveries": error.deliveries,
        "priority": error.priority,
        "reason": error.reason.as_deref().map(String::from_utf8_lossy),
        "consumer": error.consumer.as_deref().map(String::from_utf8_lossy),
        "failed_at_ms": error.failed_at_ms,
        "receipt": error.receipt.map(|receipt| receipt.0),
    })
}

/// Columns as wide as the first page needs; longer words of later pages are shortened.
#[derive(Debug)]
struct Table {
    widths: [usize; HEAD.len()],
}

const HEAD: [&str; 6] = ["id", "deliveries", "failed", "consumer", "reason", "payload"];

impl Table {
    fn fitted(page: &[Peeked], now_ms: u64, columns: usize) -> Self {
        let mut widths = HEAD.map(width);
        for error in page {
            for (known, cell) in widths.iter_mut().zip(cells(error, now_ms)) {
                *known = width(&cell).max(*known);
            }
        }
        let [id, deliveries, failed, consumer, reason, payload] = widths;
        let (consumer, reason) = (consumer.min(WIDEST_CONSUMER), reason.min(WIDEST_REASON));
        // Two blanks behind each column but the last.
        let taken = id + deliveries + failed + consumer + reason + 2 * (HEAD.len() - 1);
        let payload = payload.min(columns.saturating_sub(taken)).max(NARROWEST_PAYLOAD);
        Self { widths: [id, deliveries, failed, consumer, reason, payload] }
    }

    fn head(&self) -> String {
        self.line(HEAD.map(str::to_owned))
    }

    fn rows(&self, page: &[Peeked], now_ms: u64) -> String {
        page.iter().map(|error| self.line(cells(error, now_ms))).collect()
    }

    fn line(&self, [id, deliveries, failed, consumer, reason, payload]: [String; HEAD.len()]) -> String {
        let [id_width, deliveries_width, failed_width, consumer_width, reason_width, payload_width] = self.widths;
        let mut line = String::new();
        // An id is of no use in part. Writing to a String cannot fail.
        let _infallible = writeln!(
            line,
            "{id:id_width$}  {deliveries:>deliveries_width$}  {failed:>failed_width$}  {}  {}  {}",
            left(&consumer, consumer_width),
            left(&reason, reason_width),
            shortened(&payload, payload_width),
        );
        line
    }
}

fn cells(error: &Peeked, now_ms: u64) -> [String; HEAD.len()] {
    let Id(id) = error.id;
    [id.to_string(), error.deliveries.to_string(), age(error, now_ms), consumer(error), reason(error), excerpt(error)]
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::queue::Receipt;

    /// An error 90 seconds before the time 1,000,000.
    pub(crate) fn errored(id: u64, reason: &str, payload: &[u8]) -> Peeked {
        Peeked {
            id: Id(id),
            payload: payload.to_vec(),
            payload_bytes: None,
            deliveries: 3,
            priority: 0,
            receipt: None,
            due_in: None,
            lease_left: None,
            reason: Some(reason.into()),
            consumer: Some(b"peer:0b0c8b3e-6f1e-4f5a-9d55-d5a7b2f7f0a1".to_vec()),
            failed_at_ms: Some(910_000),
        }
    }

    fn table(page: &[Peeked], columns: usize) -> Vec<String> {
        let table = Table::fitted(page, 1_000_000, columns);
        let text = table.head() + &table.rows(page, 1_000_000);
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_row_tells_who_failed_what_when_and_why() {
        let page = [errored(3_668_735_311_872_000, "no such user", b"17"), errored(7, "", b"\x1b[2J\n18")];
        assert_eq!(
            table(&page, 160),
            [
                "id                deliveries  failed  consumer                  reason        payload",
                "3668735311872000           3  1m 30s  peer:0b0c8b3e-6f1e-4f5a…  no such user  17",
                "7                          3  1m 30s  peer:0b0c8b3e-6f1e-4f5a…                ·[2J·18",
            ]
        );
    }

    #[test]
    fn a_row_fits_the_terminal_as_long_as_the_payload_has_some_columns() {
        let page = [errored(3_668_735_311_872_000, &"why ".repeat(50), &b"payload ".repeat(50))];
        for columns in [130, 160] {
            assert!(table(&page, columns).iter().all(|line| width(line) <= columns), "{columns}");
        }
        assert!(table(&page, 20).iter().all(|line| width(line) <= 130));
    }

    #[test]
    fn an_error_that_somebody_drains_says_so() {
        let error = Peeked { receipt: Some(Receipt(5)), ..errored(1, "why", b"") };
        assert_eq!(reason(&error), "(being drained) why");
    }

    #[test]
    fn a_payload_that_was_cut_says_so_and_not_in_the_middle_of_a_character() {
        let cut = Peeked { payload_bytes: Some(9), ..errored(1, "", "abé".as_bytes().get(..3).unwrap()) };
        assert_eq!(excerpt(&cut), "ab…");
        let whole = Peeked { payload_bytes: Some(2), ..errored(1, "", b"ab") };
        assert_eq!(excerpt(&whole), "ab");
    }

    #[test]
    fn json_has_all_fields() {
        let expected = json!({
            "id": 7, "payload_hex": "ff", "deliveries": 3, "priority": 0, "reason": "why",
            "consumer": "peer:0b0c8b3e-6f1e-4f5a-9d55-d5a7b2f7f0a1", "failed_at_ms": 910_000, "receipt": null,
        });
        assert_eq!(object(&errored(7, "why", b"\xff")), expected);
    }
}
