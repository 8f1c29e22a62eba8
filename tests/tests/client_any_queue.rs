//! A peer is a simulation and no worker: it leaves a queue alone into which others have pushed.

use mq_tests::{Conn, Peer, Server, until};

/// Nothing has happened to the messages that somebody has pushed.
#[track_caller]
fn is_untouched(c: &mut Conn, ready: i64) {
    let info = c.balanced("mq");
    assert_eq!((info.int("ready"), info.int("pushed"), info.int("delivered")), (ready, ready, 0), "{info:?}");
}

#[test]
fn a_peer_of_any_role_refuses_somebodys_queue_and_says_what_it_is_and_how_to_let_it() {
    let server = Server::start();
    let mut c = server.connect();
    c.int("MQ.PUSH mq MSG order-1 order-2 order-3");
    for role in ["auto", "handler", "generator"] {
        let finished = Peer::spawn(&server, &format!("--role {role} --interval 1ms --handler-delay 0")).finish();
        assert_eq!(finished.status.code(), Some(2), "{role}: {finished:?}");
        let said = finished.stderr;
        for words in
            ["the queue mq", "3 messages were pushed", "account for 0", "no worker for your jobs", "--any-queue"]
        {
            assert!(said.contains(words), "{role} does not say {words}: {said}");
        }
        is_untouched(&mut c, 3);
    }
}

#[test]
fn a_peer_that_is_let_works_on_any_queue() {
    let server = Server::start();
    let mut c = server.connect();
    c.int("MQ.PUSH mq MSG order-1 order-2 order-3");
    let handler = Peer::spawn(&server, "--role handler --handler-delay 0 --any-queue");
    until("it has handled them", || c.balanced("mq").int("ready") == 0);
    handler.end_well();
    let generator = Peer::spawn(&server, "--role generator --interval 1ms --any-queue");
    until("it generates", || c.balanced("mq").int("pushed") > 3);
    generator.end_well();
}

#[test]
fn a_queue_of_peers_only_is_taken_up_again_by_peers() {
    let server = Server::start();
    let mut c = server.connect();
    for round in 1..=3 {
        let peers = ["generator --interval 0 --limit", "handler --handler-delay 0 --limit"]
            .map(|role| Peer::spawn(&server, &format!("--role {role} {}", 200 * round)));
        until("all are handled", || {
            let info = c.balanced("mq");
            info.int("acked") + info.int("errors") == 200 * round
        });
        for peer in peers {
            peer.end_well();
        }
    }
}

#[test]
fn a_peer_that_is_elected_refuses_a_queue_into_which_others_have_pushed_meanwhile() {
    let server = Server::start();
    let mut c = server.connect();
    let token = c.leader("MQ.LEADER mq somebody LEASE 3600000").token;
    let peers = ["auto --handler-delay 1ms", "generator"]
        .map(|role| Peer::spawn(&server, &format!("--role {role} --interval 1ms")));
    until("they stand by", || c.fields("MQ.INFO mq").int("blocked-candidates") == 2);
    c.ok("MQ.CONFIG mq paused yes");
    c.int("MQ.PUSH mq MSG order-1 order-2");
    assert_eq!(c.int(format!("MQ.LEADER mq somebody RESIGN {token}")), 1);
    for peer in peers {
        let finished = peer.finish();
        assert_eq!(finished.status.code(), Some(2), "{finished:?}");
        assert!(finished.stderr.contains("2 messages were pushed"), "{finished:?}");
    }
    is_untouched(&mut c, 2);
    assert_eq!(c.leader("MQ.LEADER mq").leader, None, "nobody holds it any more");
}

#[test]
fn the_help_says_that_a_peer_is_no_worker() {
    let help = Peer::spawn_bare("--help").finish().stdout;
    for words in ["SIMULATION", "NO worker for your jobs", "--any-queue", "exit code 2"] {
        assert!(help.replace("\n", " ").contains(words), "{words}: {help}");
    }
    for subcommand in ["getErrors", "errors", "stats", "demo"] {
        assert!(
            !Peer::spawn_bare(format!("{subcommand} --help")).finish().stdout.contains("--any-queue"),
            "{subcommand}"
        );
    }
}
