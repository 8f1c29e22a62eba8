//! Readers that do not read: they stall nobody, and signals are heard all the same.

use std::process::Stdio;

use mq_tests::{Peer, Server, Terminal, full_pipe, until};
use rustix::process::Signal;

#[test]
fn a_peer_whose_log_nobody_reads_leads_and_handles_on() {
    let server = Server::start();
    let mut c = server.connect();
    let (_reader, stderr) = full_pipe();
    let arguments = format!("--interval 20ms --handler-delay 0 --lease 500ms --redis {}", server.url());
    let peers = [Stdio::from(stderr), Stdio::piped()]
        .map(|stderr| Peer::spawn_onto(arguments.as_str(), &[], Stdio::piped(), stderr));
    let token = || server.connect().fields("MQ.INFO mq").int("leader-token");
    until("a peer leads", || token() > 0);
    let first = token();
    until("a hundred messages are done", || {
        let info = c.fields("MQ.INFO mq");
        info.int("acked") + info.int("failed") >= 100
    });
    assert_eq!(token(), first, "the leadership has been renewed all the time");
    for peer in peers {
        peer.end_well();
    }
}

#[test]
fn a_watch_whose_reader_has_stopped_ends_at_the_first_signal() {
    let server = Server::start();
    let mut c = server.connect();
    let (_reader, stdout) = full_pipe();
    let arguments = format!("stats --watch --redis {}", server.url());
    let peer = Peer::spawn_onto(arguments, &[], stdout, Stdio::piped());
    // It has asked once whether the server serves the queue, and once for the figures.
    until("it has looked", || c.text("INFO commandstats").contains("cmdstat_mq.info:calls=2"));
    peer.end_well();
}

#[test]
fn a_second_signal_ends_what_is_stuck() {
    let server = Server::start();
    let mut terminal = Terminal::spawn(&server, "stats --watch", (24, 80));
    terminal.until_shows("MQ mq");
    terminal.stall();
    // The view cannot give the terminal back. Two signals at once may be heard as one.
    terminal.signal(Signal::TERM);
    std::thread::sleep(std::time::Duration::from_millis(500));
    terminal.signal(Signal::TERM);
    assert_eq!(terminal.until_ended().code(), Some(128 + Signal::TERM.as_raw()));
}
