//! What one look at the queue finds, and what became of the totals since.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::list_errors::{EXCERPT, server_clock_ms};
use crate::queue::{Consumer, Figure, Info, Peek, Peeked, Queue, State};

/// Totals whose rates are shown, the most telling first.
pub(super) const RATES: [&str; 12] = [
    "pushed",
    "delivered",
    "acked",
    "failed",
    "expired",
    "redelivered",
    "retried",
    "dead",
    "released",
    "drained",
    "redriven",
    "ttl-expired",
];

/// The longest time over which rates are taken.
pub(super) const LONGEST: Duration = Duration::from_secs(60);

/// A terminal has hardly ever more lines; no list need be longer.
pub(super) const LONGEST_LIST: u64 = 200;

/// The queue at one moment.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    /// When the answer came, on this host's clock.
    pub at: Instant,
    pub info: Info,
    /// The first ones that hold claims, by name.
    pub consumers: Vec<Consumer>,
    /// The first ones, by id.
    pub errors: Vec<Peeked>,
    /// The server's clock, by which errors are dated.
    pub server_ms: u64,
}

impl Snapshot {
    /// A figure that is a number now; else 0.
    pub(super) fn number(&self, name: &str) -> u64 {
        self.info.number(name).unwrap_or(0)
    }

    /// A figure in milliseconds, if it has a value now.
    pub(super) fn span(&self, name: &str) -> Option<Duration> {
        self.info.number(name).ok().map(Duration::from_millis)
    }

    /// A figure that is a word now.
    pub(super) fn word(&self, name: &str) -> Option<&str> {
        match self.info.get(name) {
            Some(Figure::Text(word)) => Some(word),
            _ => None,
        }
    }
}

/// Looks at the queue once, at as many consumers and errors as can be of use, and at no more of each payload than can be
/// shown: a look is no burden, however large the payloads are.
pub(super) async fn look(queue: &Queue) -> Result<Snapshot> {
    let (info, consumers) = queue.consumers(LONGEST_LIST).await?;
    let at = Instant::now();
    let (errors, server_ms) = match info.number("errors") {
        Ok(0) | Err(_) => (Vec::new(), 0),
        Ok(_) => {
            let peek = Peek { after: None, count: LONGEST_LIST, bytes: Some(EXCERPT) };
            (queue.peek(State::Errors, &peek).await?, server_clock_ms(queue).await)
        }
    };
    Ok(Snapshot { at, info, consumers, errors, server_ms })
}

/// The totals of the last minute.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    samples: VecDeque<Sample>,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Instant,
    /// Those of [`RATES`].
    totals: [u64; RATES.len()],
}

impl History {
    /// Adds a snapshot. A total that shrank tells that the queue is another one: then history begins anew.
    pub(super) fn note(&mut self, snapshot: &Snapshot) {
        let sample = Sample { at: snapshot.at, totals: RATES.map(|name| snapshot.number(name)) };
        let shrank = |last: &Sample| last.totals.iter().zip(&sample.totals).any(|(before, now)| now < before);
        if self.samples.back().is_some_and(shrank) {
            self.samples.clear();
        }
        self.samples.push_back(sample);
        // The one before the last minute began is needed to know what came in it.
        while self.samples.get(1).is_some_and(|second| sample.at.duration_since(second.at) >= LONGEST) {
            self.samples.pop_front();
        }
    }

    /// How many per second of total number `which` of [`RATES`] came in the last `span`, or in as much of it as is
    /// known; `None`: nothing is known yet.
    pub(super) fn per_second(&self, which: usize, span: Duration) -> Option<f64> {
        let last = self.samples.back()?;
        let within = |sample: &&Sample| last.at.duration_since(sample.at) >= span;
        let first = self.samples.iter().rev().find(within).or(self.samples.front())?;
        rate(first, last, which)
    }

    /// The same between the last two looks.
    pub(super) fn latest(&self, which: usize) -> Option<f64> {
        self.course(which).last()
    }

    /// The same between one look and the next, from the oldest to the latest.
    pub(super) fn course(&self, which: usize) -> impl DoubleEndedIterator<Item = f64> {
        self.samples.iter().zip(self.samples.iter().skip(1)).filter_map(move |(a, b)| rate(a, b, which))
    }
}

fn rate(first: &Sample, last: &Sample, which: usize) -> Option<f64> {
    let seconds = last.at.duration_since(first.at).as_secs_f64();
    let came = last.totals.get(which)?.saturating_sub(*first.totals.get(which)?);
    (seconds > 0.0).then(|| came as f64 / seconds)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A snapshot with these numbers, taken at `at`.
    pub(in crate::stats) fn snapshot(at: Instant, numbers: &[(&str, u64)]) -> Snapshot {
        let info = numbers.iter().map(|(name, number)| ((*name).to_owned(), Figure::Number(*number))).collect();
        Snapshot { at, info, consumers: Vec::new(), errors: Vec::new(), server_ms: 0 }
    }

    #[test]
    fn rates_are_taken_over_the_time_that_passed() {
        let begun_at = Instant::now();
        let mut history = History::default();
        assert_eq!(history.latest(0), None);
        for (second, pushed) in [(0, 100), (1, 110), (3, 150), (10, 150)] {
            history.note(&snapshot(begun_at + Duration::from_secs(second), &[("pushed", pushed)]));
        }
        assert_eq!(history.course(0).collect::<Vec<_>>(), [10.0, 20.0, 0.0]);
        assert_eq!(history.latest(0), Some(0.0));
        assert_eq!(history.per_second(0, Duration::from_secs(9)), Some(40.0 / 9.0));
        assert_eq!(history.per_second(0, LONGEST), Some(5.0), "as much as is known");
        assert_eq!(history.latest(1), Some(0.0), "a total that the server does not know stays 0");
    }

    #[test]
    fn history_is_as_long_as_the_longest_rate() {
        let begun_at = Instant::now();
        let mut history = History::default();
        for second in 0..200 {
            history.note(&snapshot(begun_at + Duration::from_secs(second), &[("pushed", 3 * second)]));
        }
        assert_eq!((history.samples.len(), history.per_second(0, LONGEST)), (61, Some(3.0)));
    }

    #[test]
    fn a_queue_that_was_made_anew_has_a_new_history() {
        let begun_at = Instant::now();
        let mut history = History::default();
        for (second, pushed) in [(0, 100), (1, 200), (2, 5)] {
            history.note(&snapshot(begun_at + Duration::from_secs(second), &[("pushed", pushed)]));
        }
        assert_eq!(history.per_second(0, LONGEST), None);
    }
}
