//! Pictures on a terminal that is none.

use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier};

use super::super::snapshot::Snapshot;
use super::super::snapshot::tests::snapshot;
use super::{Watched, draw};
use crate::Error;
use crate::list_errors::tests::errored;
use crate::queue::{Consumer, Figure, Info};

const NUMBERS: [(&str, u64); 22] = [
    ("ready", 1_234_567),
    ("delayed", 12),
    ("claimed", 4_000),
    ("errors", 311),
    ("overdue", 3),
    ("oldest-ready-age-ms", 12_000),
    ("next-due-in-ms", 3_500),
    ("leader-token", 3_668_735_311_872_003),
    ("leader-lease-left-ms", 7_300),
    ("leader-changes", 3),
    ("pushed", 1_500_000),
    ("delivered", 270_000),
    ("acked", 260_000),
    ("failed", 311),
    ("redelivered", 17),
    ("stale", 9),
    ("memory-bytes", 12_900_000),
    ("blocked-consumers", 4),
    ("blocked-candidates", 2),
    ("lease", 30_000),
    ("max-length", 0),
    ("brand-new-figure", 77),
];

fn with_words(info: &Info, words: &[(&str, &str)]) -> Info {
    let words = words.iter().map(|(name, word)| ((*name).to_owned(), Figure::Text((*word).to_owned())));
    info.iter().map(|(name, figure)| (name.to_owned(), figure.clone())).chain(words).collect()
}

fn busy(at: Instant) -> Snapshot {
    let plain = snapshot(at, &NUMBERS);
    let words = [("leader", "peer:0b0c8b3e-6f1e-4f5a-9d55-d5a7b2f7f0a1"), ("paused", "no"), ("leader-only", "no")];
    let consumer = |number: u64| Consumer {
        name: format!("peer-{number}"),
        claims: 1_000 + number,
        nearest_deadline_in: Duration::from_millis(1_500 + 10_000 * number),
    };
    Snapshot {
        info: with_words(&plain.info, &words),
        consumers: (0..30).map(consumer).collect(),
        errors: (0..60).map(|id| errored(3_668_735_311_872_000 + id, "no such user", b"payload-17")).collect(),
        server_ms: 1_000_000,
        ..plain
    }
}

fn watched(first: Snapshot) -> Watched {
    Watched::new("jobs", "redis://127.0.0.1:7001", first)
}

fn picture(watched: &Watched, now: Instant, columns: u16, rows: u16) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    terminal.draw(|frame| draw(frame, watched, now)).unwrap();
    terminal.backend().buffer().clone()
}

fn lines(buffer: &Buffer) -> Vec<String> {
    let columns = usize::from(buffer.area.width);
    let symbols: Vec<&str> = buffer.content().iter().map(ratatui::buffer::Cell::symbol).collect();
    symbols.chunks(columns).map(|line| line.concat().trim_end().to_owned()).collect()
}

#[track_caller]
fn line_with<'a>(lines: &'a [String], word: &str) -> &'a str {
    lines.iter().find(|line| line.contains(word)).unwrap_or_else(|| panic!("no {word} in\n{}", lines.join("\n")))
}

/// Whether the cells of `word` have this style.
fn stands_out(buffer: &Buffer, word: &str, color: Option<Color>, modifier: Modifier) -> bool {
    let (y, x) = lines(buffer)
        .iter()
        .enumerate()
        .find_map(|(y, line)| Some((y, line[..line.find(word)?].chars().count())))
        .unwrap();
    (x..x + word.chars().count()).all(|x| {
        let style = buffer[(x as u16, y as u16)].style();
        style.add_modifier.contains(modifier) && color.is_none_or(|color| [style.fg, style.bg].contains(&Some(color)))
    })
}

#[test]
fn everything_that_matters_stands_on_a_terminal_of_80_by_24() {
    let now = Instant::now();
    let lines = lines(&picture(&watched(busy(now)), now, 80, 24));
    assert!(lines[0].starts_with("MQ jobs  redis://127.0.0.1:7001") && lines[0].ends_with("q quits"), "{}", lines[0]);
    for (word, also) in [
        ("ready", "█"),
        ("ready", "1,234,567"),
        ("delayed", "12"),
        ("claimed", "4,000"),
        ("errors", "311"),
        ("oldest ready 12s", "overdue 3"),
        ("waiting 4 consumers", "2 candidates"),
        ("leader   peer:0b0c8b3e", "lease left 7.3s"),
        ("leader   peer:0b0c8b3e", "token 3668735311872003"),
        ("per s", "redelivered"),
        ("total", "1,500,000"),
        ("consumers: 30 hold claims, first", "ends in"),
        ("peer-1", "1,001"),
        ("first 4 errors", "deliv."),
        ("no such user", "1m 30s"),
        ("settings", "lease 30s"),
        ("max-length", "no limit"),
        ("besides", "stale 9"),
        ("brand-new-figure", "77"),
    ] {
        let line = line_with(&lines, word);
        assert!(line.contains(also), "{also} is not beside {word}: {line}\n{}", lines.join("\n"));
    }
    assert!(lines.iter().all(|line| line.chars().count() <= 80));
}

#[test]
fn a_large_terminal_shows_consumers_beside_and_payloads() {
    let now = Instant::now();
    let lines = lines(&picture(&watched(busy(now)), now, 200, 50));
    assert!(line_with(&lines, "consumers: 30 hold claims").chars().count() > 150);
    assert!(line_with(&lines, "ready").contains("consumers: 30"), "they stand beside the levels\n{}", lines.join("\n"));
    assert!(line_with(&lines, "no such user").contains("payload-17"));
    assert!(lines.iter().filter(|line| line.contains("no such user")).count() > 15);
    assert!(line_with(&lines, "per s").contains("redelivered"));
}

#[test]
fn no_size_is_too_small_or_too_odd() {
    let now = Instant::now();
    let mut watched = watched(busy(now));
    for trouble in [false, true] {
        if trouble {
            watched.note(Err(Error::Lost("gone".to_owned())), now);
        }
        for (columns, rows) in [(1, 1), (3, 2), (20, 5), (40, 12), (79, 9), (139, 29), (140, 3), (140, 30), (500, 3)] {
            let lines = lines(&picture(&watched, now, columns, rows));
            assert_eq!(lines.len(), usize::from(rows));
        }
    }
}

#[test]
fn what_finds_no_room_is_what_matters_least() {
    let now = Instant::now();
    let watched = watched(busy(now));
    let has = |rows: u16, word: &str| lines(&picture(&watched, now, 80, rows)).iter().any(|line| line.contains(word));
    assert!(has(2, "1,234,567"));
    assert!(has(3, "peer:0b0c8b3e") && !has(3, "per s"));
    assert!(has(12, "per s") && has(12, "no such user") && !has(12, "besides"));
    assert!(has(24, "besides"));
}

#[test]
fn a_paused_queue_is_seen_at_once() {
    let now = Instant::now();
    let calm = busy(now);
    let paused = Snapshot { info: with_words(&calm.info, &[("paused", "yes")]), ..calm };
    for (columns, rows) in [(80, 24), (200, 50), (40, 3)] {
        let picture = picture(&watched(paused.clone()), now, columns, rows);
        assert!(lines(&picture)[0].contains("PAUSED"));
        assert!(stands_out(&picture, "PAUSED", Some(Color::Red), Modifier::BOLD));
    }
    let picture = picture(&watched(paused), now, 80, 24);
    assert!(stands_out(&picture, "yes", Some(Color::Red), Modifier::BOLD));
}

#[test]
fn a_server_that_does_not_answer_is_named_and_its_return_noticed() {
    let begun_at = Instant::now();
    let mut watched = watched(busy(begun_at));
    let later = |seconds| begun_at + Duration::from_secs(seconds);
    watched.note(Err(Error::Lost("connection refused\x1b[2J".to_owned())), later(2));
    watched.note(Err(Error::Lost("connection refused".to_owned())), later(4));
    let gone = picture(&watched, later(6), 80, 24);
    let banner = lines(&gone)[1..3].concat();
    for words in ["NO ANSWER for 4.0s", "figures below are 6.0s old", "connection refused"] {
        assert!(banner.contains(words), "{words}: {banner}");
    }
    assert!(stands_out(&gone, "NO ANSWER", Some(Color::Red), Modifier::BOLD));
    assert!(line_with(&lines(&gone), "leader ").contains("lease left 1.3s"), "it counts down by itself");
    watched.note(Ok(busy(later(7))), later(7));
    let back = lines(&picture(&watched, later(7), 80, 24));
    assert!(!back.iter().any(|line| line.contains("NO ANSWER")));
    assert!(line_with(&back, "leader ").contains("lease left 7.3s"));
}

#[test]
fn a_refusal_is_an_answer() {
    let now = Instant::now();
    let mut watched = watched(busy(now));
    watched.note(Err(Error::from_answer("NOAUTH", "Authentication required.")), now);
    let lines = lines(&picture(&watched, now, 80, 24));
    assert!(lines[1].contains("NO FIGURES"), "{}", lines[1]);
    let cause: Vec<&str> = lines[2..4].iter().map(|line| line.trim()).collect();
    assert_eq!(cause.join(" "), Error::from_answer("NOAUTH", "Authentication required.").to_string());
    assert!(lines[4].starts_with("ready"), "{}", lines[4]);
}

#[test]
fn rates_come_with_the_second_look() {
    let begun_at = Instant::now();
    let mut watched = watched(busy(begun_at));
    let first = lines(&picture(&watched, begun_at, 80, 24));
    assert_eq!(line_with(&first, "now").split_whitespace().collect::<Vec<_>>(), ["now", "-", "-", "-", "-", "-", "-"]);
    let later = begun_at + Duration::from_secs(2);
    let more = NUMBERS.map(|(name, number)| match name {
        "pushed" => (name, number + 4_000),
        "failed" => (name, number + 1),
        _ => (name, number),
    });
    watched.note(Ok(snapshot(later, &more)), later);
    let second = picture(&watched, later, 80, 24);
    let rates: Vec<String> = line_with(&lines(&second), "now").split_whitespace().map(str::to_owned).collect();
    assert_eq!(rates, ["now", "2,000", "0.0", "0.0", "0.5", "0.0", "0.0"]);
    assert!(stands_out(&second, "0.5", Some(Color::Red), Modifier::BOLD), "a failure is red");
}

#[test]
fn an_idle_queue_looks_calm() {
    let now = Instant::now();
    let lines = lines(&picture(&watched(snapshot(now, &[("ready", 0), ("errors", 0)])), now, 80, 24));
    for words in ["oldest ready none", "leader   nobody", "nobody holds a claim", "no errors"] {
        line_with(&lines, words);
    }
}
