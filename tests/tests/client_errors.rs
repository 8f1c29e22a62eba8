//! `client getErrors`: prints every failed message and takes it out of Redis, whatever ends it on the way.

use std::{
    collections::BTreeSet,
    thread,
    time::{Duration, Instant},
};

use mq_tests::{Conn, Peer, Server, until};

/// Enough that no pipe holds one chunk, so that a printing client can be caught in the middle.
const FILLER: usize = 300;

/// Makes `n` errors whose payloads are their numbers, with a filler behind.
fn make_errors(c: &mut Conn, n: usize) -> BTreeSet<String> {
    make_errors_filled(c, n, FILLER)
}

fn make_errors_filled(c: &mut Conn, n: usize, filler: usize) -> BTreeSet<String> {
    let payloads: BTreeSet<String> = (0..n).map(|number| format!("{number}-{}", "x".repeat(filler))).collect();
    let mut push = vec!["MQ.PUSH".to_owned(), "mq".into(), "MSG".into()];
    push.extend(payloads.iter().cloned());
    c.int(push);
    let fails: Vec<_> = c
        .claims(format!("MQ.CLAIM mq worker COUNT {n}"))
        .iter()
        .map(|claim| format!("MQ.FAIL mq {} REASON because", claim.receipt))
        .collect();
    assert!(c.pipeline(&fails).expect("a whole connection").iter().all(Result::is_ok));
    assert_eq!(c.balanced("mq").int("errors"), n as i64);
    payloads
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

/// Runs getErrors until the store is empty: what a dead run held comes back within milliseconds, but not before it died.
fn the_rest(server: &Server) -> Vec<String> {
    let mut rest = Vec::new();
    until("the store is empty", || {
        let finished = Peer::spawn(server, "getErrors").finish();
        assert_eq!(finished.status.code(), Some(0), "{finished:?}");
        rest.extend(lines(&finished.stdout));
        server.connect().balanced("mq").int("errors") == 0
    });
    rest
}

#[test]
fn every_error_is_printed_once_and_gone() {
    let server = Server::start();
    let mut c = server.connect();
    let errors = make_errors(&mut c, 2500);
    for name in ["getErrors", "get-errors"] {
        let finished = Peer::spawn(&server, name).finish();
        assert_eq!(finished.status.code(), Some(0), "{finished:?}");
        let printed = lines(&finished.stdout);
        if name == "getErrors" {
            assert_eq!(printed.len(), errors.len());
            assert_eq!(BTreeSet::from_iter(printed), errors);
        } else {
            assert!(printed.is_empty(), "they were gone");
        }
    }
    let info = c.balanced("mq");
    assert_eq!((info.int("errors"), info.int("drained")), (0, 2500));
}

#[test]
fn without_a_queue_there_is_nothing_to_print() {
    let server = Server::start();
    let finished = Peer::spawn(&server, "getErrors --queue nowhere").finish();
    assert_eq!((finished.status.code(), finished.stdout.as_str()), (Some(0), ""), "{finished:?}");
    assert_eq!(server.connect().int("EXISTS nowhere"), 0);
}

/// Some lines are read, then `end` ends the run; the next one prints the rest, and together nothing is missing.
fn loses_nothing_when(end: impl FnOnce(Peer)) {
    let server = Server::start();
    let mut c = server.connect();
    let errors = make_errors(&mut c, 4000);
    let mut peer = Peer::spawn(&server, "getErrors");
    let mut printed: Vec<_> = (0..1500).map(|_| peer.read_line()).collect();
    end(peer);
    assert!(c.balanced("mq").int("drained") < 4000, "it was caught in the middle");
    printed.extend(the_rest(&server));
    assert_eq!(BTreeSet::from_iter(printed), errors);
    let info = c.balanced("mq");
    assert_eq!((info.int("errors"), info.int("drained")), (0, 4000));
}

#[test]
fn a_kill_in_the_middle_loses_nothing() {
    loses_nothing_when(|mut peer| peer.kill9());
}

#[test]
fn a_closed_pipe_in_the_middle_loses_nothing() {
    loses_nothing_when(|mut peer| {
        peer.close_stdout();
        let finished = peer.finish();
        assert!(!finished.stderr.contains("panic"), "{finished:?}");
    });
}

/// In hexadecimal digits it takes a while to be written, and its claim is short.
#[test]
fn a_large_binary_error_is_printed_once() {
    let server = Server::start();
    let mut c = server.connect();
    c.int([&b"MQ.PUSH"[..], b"mq", b"MSG", &vec![0xff; 20_000_000]]);
    let receipt = c.claim("MQ.CLAIM mq worker").receipt;
    c.int(format!("MQ.FAIL mq {receipt}"));
    let finished = Peer::spawn(&server, "getErrors --format json --lease 2s").finish();
    let printed = finished.stdout.lines().count();
    assert_eq!((finished.status.code(), printed), (Some(0), 1), "{}", finished.stderr);
    assert_eq!(c.balanced("mq").int("drained"), 1);
}

#[test]
fn an_output_that_cannot_be_written_to_takes_nothing_out() {
    use std::{fs::File, process::Stdio};
    let server = Server::start();
    let mut c = server.connect();
    make_errors(&mut c, 10);
    let readable = File::open(server.dir().join("server.log")).expect("a log");
    let arguments = format!("getErrors --redis {}", server.url());
    let finished = Peer::spawn_onto(arguments, &[], Stdio::from(readable), Stdio::piped()).finish();
    assert_eq!(finished.status.code(), Some(1), "{finished:?}");
    assert!(finished.stderr.contains("standard output: Bad file descriptor"), "{finished:?}");
    assert_eq!(c.balanced("mq").int("errors"), 10);
}

/// As a pager does: the pipe holds many chunks of short messages, of which the reader takes a few, thinks, and closes.
#[test]
fn what_a_slow_reader_never_took_is_printed_by_the_next_run() {
    let server = Server::start();
    let mut c = server.connect();
    let errors = make_errors_filled(&mut c, 6000, 1);
    let mut peer = Peer::spawn(&server, "getErrors --lease 900ms");
    let mut printed = vec![peer.read_line()];
    // Longer than anybody could take the pipe for read, and than the claims last unless they are extended.
    let thinks = Instant::now();
    while thinks.elapsed() < Duration::from_millis(2500) {
        assert!(c.balanced("mq").int("drained") < 4000, "nobody has read that much");
        thread::sleep(Duration::from_millis(50));
    }
    // The last line may have come in half.
    let taken = peer.close_stdout();
    printed.extend(taken.lines().filter(|line| line.ends_with("-x")).map(str::to_owned));
    assert_eq!(peer.finish().status.code(), Some(0));
    printed.extend(the_rest(&server));
    assert_eq!(BTreeSet::from_iter(printed), errors);
    assert_eq!(c.balanced("mq").int("drained"), 6000);
}

#[test]
fn two_at_once_print_nothing_twice() {
    let server = Server::start();
    let errors = make_errors(&mut server.connect(), 3000);
    let peers = [Peer::spawn(&server, "getErrors"), Peer::spawn(&server, "getErrors")];
    let mut printed: Vec<_> = peers.into_iter().flat_map(|peer| lines(&peer.finish().stdout)).collect();
    assert_eq!(printed.len(), errors.len());
    printed.sort();
    assert!(printed.into_iter().eq(errors));
}

#[test]
fn json_has_one_object_per_line_with_all_fields() {
    let server = Server::start();
    let mut c = server.connect();
    make_errors(&mut c, 3);
    let stored = c.maps("MQ.PEEK mq ERRORS");
    let finished = Peer::spawn(&server, "getErrors --format json").finish();
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");
    let objects: Vec<serde_json::Value> =
        finished.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(objects.len(), 3);
    for (object, stored) in objects.iter().zip(stored) {
        for name in ["id", "deliveries"] {
            assert_eq!(object[name], stored.int(name), "{object}");
        }
        for name in ["payload", "reason", "consumer"] {
            assert_eq!(object[name], stored.text(name), "{object}");
        }
        assert_eq!(object["failed_at_ms"], stored.int("failed-at-ms"), "{object}");
    }
}
