//! `client stats --watch` at a terminal: it shows what happens, bears what happens, and leaves the terminal as it was.

use mq_tests::{Server, Terminal, until};
use rustix::process::Signal;

const SMALL: (u16, u16) = (24, 80);

#[test]
fn the_view_follows_the_queue() {
    let server = Server::start();
    let mut c = server.connect();
    c.int("MQ.PUSH mq MSG a b c");
    let terminal = Terminal::spawn(&server, "stats --watch", SMALL);
    // The last words of the picture.
    terminal.until_shows("leader-only no");
    assert!(!terminal.is_restored(), "the view has the terminal to itself");
    let text = terminal.text();
    let ready = text.lines().find(|line| line.starts_with("ready")).expect("a line of ready messages");
    assert!(ready.ends_with('3'), "{text}");
    assert!(text.contains("no errors") && text.contains("nobody holds a claim"), "{text}");
    let claim = c.claim("MQ.CLAIM mq some-worker");
    terminal.until_shows("some-worker");
    c.int(format!("MQ.FAIL mq {} REASON because", claim.receipt));
    terminal.until_shows("because");
    assert!(terminal.text().contains(&claim.id.to_string()));
    assert!(c.leader("MQ.LEADER mq some-leader").is("some-leader"));
    terminal.until_shows("leader   some-leader");
    c.ok("MQ.CONFIG mq paused yes");
    terminal.until_shows("PAUSED");
}

#[test]
fn a_look_at_large_errors_fetches_little_of_them() {
    let server = Server::start();
    let mut c = server.connect();
    for _ in 0..3 {
        c.int([&b"MQ.PUSH"[..], b"mq", b"MSG", &vec![b'x'; 20 << 20]]);
        let claim = c.claims("MQ.CLAIM mq w").remove(0);
        c.int(format!("MQ.FAIL mq {} REASON because", claim.receipt));
    }
    let before = c.server_count("stats", "total_net_output_bytes");
    let _terminal = Terminal::spawn(&server, "stats --watch", SMALL);
    until("it has looked three times", || c.text("INFO commandstats").contains("cmdstat_mq.peek:calls=3"));
    let sent = c.server_count("stats", "total_net_output_bytes") - before;
    assert!(sent < 2 << 20, "{sent} bytes");
}

#[test]
fn the_view_takes_the_size_of_the_window() {
    let server = Server::start();
    server.connect().int("MQ.PUSH mq MSG a");
    let terminal = Terminal::spawn(&server, "--watch stats", SMALL);
    terminal.until_shows("per s");
    terminal.resize(50, 200);
    until("the consumers stand beside the levels", || {
        terminal.text().lines().any(|line| line.starts_with("ready") && line.contains("consumers"))
    });
    terminal.resize(5, 40);
    terminal.until_hides("per s");
    terminal.until_shows("ready 1  delayed 0");
}

#[test]
fn a_server_that_goes_away_is_waited_for() {
    let mut server = Server::start();
    server.connect().int("MQ.PUSH mq MSG a b c");
    let mut terminal = Terminal::spawn(&server, "stats --watch", SMALL);
    terminal.until_shows("MQ mq");
    server.kill9();
    terminal.until_shows("NO ANSWER");
    assert!(terminal.text().contains("ready"), "the last figures stay");
    server.start_again();
    terminal.until_hides("NO ANSWER");
    server.connect().int("MQ.PUSH mq MSG d");
    terminal.until_shows("oldest ready ");
    terminal.press("q");
    assert!(terminal.until_ended().success());
}

#[test]
fn a_key_that_holds_something_else_is_said_to() {
    let server = Server::start();
    let mut c = server.connect();
    c.int("MQ.PUSH mq MSG a");
    let terminal = Terminal::spawn(&server, "stats --watch", SMALL);
    terminal.until_shows("MQ mq");
    c.ok("SET mq text");
    terminal.until_shows("wrong type");
    assert!(terminal.text().contains("NO FIGURES for") && !terminal.text().contains("NO ANSWER"));
}

#[test]
fn whatever_ends_the_view_gives_the_terminal_back() {
    let server = Server::start();
    for end in ["q", "\x1b", "\x03", "SIGTERM", "SIGINT"] {
        let mut terminal = Terminal::spawn(&server, "stats --watch", SMALL);
        terminal.until_shows("MQ mq");
        match end {
            "SIGTERM" => terminal.signal(Signal::TERM),
            "SIGINT" => terminal.signal(Signal::INT),
            keys => terminal.press(keys),
        }
        assert!(terminal.until_ended().success(), "{end:?}");
        until("the terminal is restored", || terminal.is_restored());
        assert!(!terminal.text().contains("MQ mq"), "nothing of it is left on the first screen");
    }
}

#[test]
fn without_a_server_there_is_a_message_and_no_view() {
    let mut server = Server::start();
    server.kill9();
    let mut terminal = Terminal::spawn(&server, "stats --watch", SMALL);
    assert!(!terminal.until_ended().success());
    terminal.until_shows("client: cannot reach 127.0.0.1:");
    assert!(terminal.is_restored());
}
