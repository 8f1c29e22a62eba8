//! Handlers as real processes: every message is completed exactly once, by the evidence of the client's ledger.

use std::{
    thread,
    time::{Duration, Instant},
};

use mq_tests::{Conn, Peer, Server, Value, eventually, until};

/// One byte per number: how often its completion counted, processed and failed together.
fn completions(c: &mut Conn, limit: usize) -> Vec<u8> {
    let mut bytes = ["GET ledger", "GET ledger:failed"].map(|get| match c.ok(get) {
        Value::BulkString(bytes) => bytes,
        _ => Vec::new(),
    });
    bytes.iter_mut().for_each(|bytes| bytes.resize(limit, 0));
    bytes[0].iter().zip(&bytes[1]).map(|(processed, failed)| processed + failed).collect()
}

#[track_caller]
fn each_completed_once(c: &mut Conn, limit: usize) {
    let wrong: Vec<_> = completions(c, limit).into_iter().enumerate().filter(|(_, times)| *times != 1).collect();
    assert_eq!(wrong, [], "(number, completions)");
    let info = c.balanced("mq");
    assert_eq!(info.int("acked") + info.int("errors") + info.int("drained"), limit as i64, "{info:?}");
}

fn push_numbers(c: &mut Conn, n: usize) {
    let mut push = vec!["MQ.PUSH".to_owned(), "mq".into(), "MSG".into()];
    push.extend((0..n).map(|number| number.to_string()));
    c.int(push);
}

fn settled(c: &mut Conn) -> i64 {
    let info = c.fields("MQ.INFO mq");
    info.int("acked") + info.int("errors")
}

#[test]
fn peers_generate_and_handle_everything_exactly_once_while_they_are_killed() {
    const LIMIT: usize = 3000;
    let server = Server::start();
    let mut c = server.connect();
    let options = format!("--interval 1ms --limit {LIMIT} --handler-delay 60ms --concurrency 40 --ledger ledger");
    let spawn = |n: usize| (format!("p{n}"), Peer::spawn(&server, &format!("--name p{n} {options}")));
    let mut peers: Vec<_> = (0..4).map(spawn).collect();
    for kill in 0..6 {
        until("some are settled", || settled(&mut c) >= 300 * (kill + 1));
        // The leader and some handler in turn.
        let at = eventually("there is a victim", || {
            let leader = c.leader("MQ.LEADER mq").leader?;
            peers.iter().position(|(name, _)| leader.starts_with(&format!("{name}:")) == (kill % 2 == 0))
        });
        peers.remove(at).1.kill9();
        peers.push(spawn(4 + kill as usize));
    }
    until("all are settled", || settled(&mut c) == LIMIT as i64);
    for (_, peer) in &peers {
        peer.terminate();
    }
    for (_, peer) in peers {
        let finished = peer.finish();
        assert_eq!(finished.status.code(), Some(0), "{finished:?}");
    }
    each_completed_once(&mut c, LIMIT);
    let info = c.balanced("mq");
    let failed_percent = info.int("failed") * 100 / LIMIT as i64;
    assert!((10..=20).contains(&failed_percent), "about 15 % fail: {info:?}");
    assert!(info.int("redelivered") > 0, "the dead held claims: {info:?}");
}

#[test]
fn a_leader_stops_handling() {
    let server = Server::start();
    let mut c = server.connect();
    let _peer = Peer::spawn(&server, "--interval 3ms --handler-delay 1ms");
    until("it generates", || c.fields("MQ.INFO mq").int("pushed") >= 10);
    let delivered = c.fields("MQ.INFO mq").int("delivered");
    until("it generates more", || c.fields("MQ.INFO mq").int("pushed") >= 60);
    assert_eq!(c.balanced("mq").int("delivered"), delivered);
}

#[test]
fn a_handler_asked_to_end_gives_back_what_it_has_not_started_and_finishes_the_rest() {
    let server = Server::start();
    let mut c = server.connect();
    push_numbers(&mut c, 400);
    let peer =
        Peer::spawn(&server, "--role handler --any-queue --concurrency 20 --handler-delay 400ms --ledger ledger");
    until("it is at work", || settled(&mut c) > 0);
    peer.end_well();
    let info = c.balanced("mq");
    assert_eq!((info.int("claimed"), info.int("expired")), (0, 0), "nothing was left to end by itself: {info:?}");
    assert!(info.int("ready") > 0, "it ended before all was done");
    assert!(completions(&mut c, 400).iter().all(|times| *times <= 1));
    assert_eq!(completions(&mut c, 400).iter().filter(|times| **times == 1).count() as i64, settled(&mut c));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let server = Server::start();
    let mut c = server.connect();
    push_numbers(&mut c, 50);
    let peer = Peer::spawn(&server, "--role handler --any-queue --concurrency 50 --handler-delay 1000h");
    until("it is at work", || c.fields("MQ.INFO mq").int("claimed") == 50);
    peer.terminate();
    until("it has heard", || peer.stderr().contains("a second signal ends at once"));
    peer.terminate();
    let finished = peer.finish();
    assert!(!finished.status.success(), "{finished:?}");
    until("its session has ended", || c.fields("MQ.INFO mq").int("ready") == 50);
}

#[test]
fn a_handler_that_takes_longer_than_its_lease_keeps_its_claim() {
    let server = Server::start();
    let mut c = server.connect();
    push_numbers(&mut c, 40);
    let _peer = Peer::spawn(&server, "--role handler --any-queue --handler-delay 6s --lease 2s --ledger ledger");
    until("all are settled", || settled(&mut c) == 40);
    each_completed_once(&mut c, 40);
    assert_eq!(c.balanced("mq").int("redelivered"), 0);
}

#[test]
fn claims_are_extended_while_completions_are_refused_for_now() {
    let server = Server::start();
    let mut c = server.connect();
    push_numbers(&mut c, 20);
    let peer = Peer::spawn(&server, "--role handler --any-queue --handler-delay 500ms --lease 2s --ledger ledger");
    until("it is at work", || c.fields("MQ.INFO mq").int("claimed") > 10);
    // The script of the ledger is refused when memory is out; everything but a push goes on.
    c.ok("CONFIG SET maxmemory 1");
    until("it was refused", || peer.stderr().contains("OOM"));
    let refused = Instant::now();
    while refused.elapsed() < Duration::from_secs(5) {
        assert_eq!(c.fields("MQ.INFO mq").int("overdue"), 0, "twice as long as the lease");
        thread::sleep(Duration::from_millis(50));
    }
    c.ok("CONFIG SET maxmemory 0");
    until("all are settled", || settled(&mut c) == 20);
    each_completed_once(&mut c, 20);
    assert_eq!(c.balanced("mq").int("redelivered"), 0);
}

#[test]
fn a_refused_completion_is_given_up_and_the_others_count() {
    let server = Server::start();
    let mut c = server.connect();
    c.ok("ACL SETUSER worker on >secret ~* +@all -mq.fail");
    push_numbers(&mut c, 400);
    let url = format!("redis://worker:secret@127.0.0.1:{}", server.port());
    let peer = Peer::spawn_bare(format!(
        "--role handler --any-queue --concurrency 100 --handler-delay 1ms --lease 1h --redis {url}"
    ));
    // 15 % fail, and give their slots back although the server does not want to know.
    until("the others are settled", || {
        let info = c.fields("MQ.INFO mq");
        info.int("acked") > 200 && info.int("acked") + info.int("claimed") == 400 && info.int("claimed") > 0
    });
    until("it said so", || peer.stderr().contains("completions were refused"));
    assert!(settled(&mut c) < 400);
}

#[test]
fn a_ledger_that_is_something_else_lets_nothing_be_completed_without_an_entry() {
    for key in ["ledger", "ledger:failed"] {
        let server = Server::start();
        let mut c = server.connect();
        c.int(format!("RPUSH {key} a"));
        push_numbers(&mut c, 30);
        let peer = Peer::spawn(&server, "--role handler --any-queue --handler-delay 1ms --ledger ledger --lease 1s");
        until("it says so", || peer.stderr().contains("one of the keys ledger and ledger:failed is no ledger"));
        assert_eq!(settled(&mut c), 0, "{key}");
        c.int(format!("DEL {key}"));
        until("all are settled", || settled(&mut c) == 30);
        each_completed_once(&mut c, 30);
    }
}

#[test]
fn a_handler_that_may_only_use_the_queue_keeps_its_session() {
    let server = Server::start();
    let mut c = server.connect();
    let words = ["claim", "ack", "fail", "extend", "release", "info"].map(|word| format!("+mq.{word}")).join(" ");
    c.ok(format!("ACL SETUSER worker on >secret ~* -@all {words}"));
    push_numbers(&mut c, 20);
    let url = format!("redis://worker:secret@127.0.0.1:{}", server.port());
    let peer =
        Peer::spawn_bare(format!("--role handler --any-queue --concurrency 20 --handler-delay 4s --redis {url}"));
    until("it is at work", || c.fields("MQ.INFO mq").int("claimed") == 20);
    let finished = peer.end_well();
    let info = c.balanced("mq");
    assert_eq!((settled(&mut c), info.int("expired")), (20, 0), "{finished:?}");
}

#[test]
fn a_message_whose_claim_was_lost_meanwhile_is_told_of() {
    let server = Server::start();
    let mut c = server.connect();
    let peer = Peer::spawn(&server, "--role handler --any-queue --handler-delay 300ms");
    until("a completion comes too late", || {
        c.int("MQ.PUSH mq MSG a");
        for claim in c.maps("MQ.PEEK mq CLAIMED") {
            c.int(format!("MQ.EXTEND mq 0 {}", claim.int("receipt")));
        }
        peer.stderr().contains("their claims had been lost")
    });
}

#[test]
fn claims_that_are_over_when_their_answer_is_read_are_not_started() {
    let server = Server::start();
    let mut c = server.connect();
    let peer = Peer::spawn(&server, "--role handler --any-queue --handler-delay 0 --lease 1s");
    until("it waits", || c.fields("MQ.INFO mq").int("blocked-consumers") == 1);
    peer.freeze();
    push_numbers(&mut c, 10);
    until("all are claimed, and over", || c.fields("MQ.INFO mq").int("overdue") == 10);
    peer.thaw();
    until("all are settled", || settled(&mut c) == 10);
    until("it says so", || peer.stderr().contains("claims ended before their messages could be started"));
    let said = peer.stderr();
    assert!(!said.contains("their claims had been lost"), "nobody processed what was not his: {said}");
}

#[test]
fn a_handler_asked_to_end_does_not_wait_for_a_dead_server() {
    let mut server = Server::start();
    let mut c = server.connect();
    push_numbers(&mut c, 400);
    let peer = Peer::spawn(&server, "--role handler --any-queue --concurrency 200 --handler-delay 1s --lease 1h");
    until("it is at work", || c.fields("MQ.INFO mq").int("acked") > 0);
    server.kill9();
    peer.end_well();
}

#[test]
fn a_frozen_handlers_messages_go_to_others_and_its_late_completions_count_nothing() {
    let server = Server::start();
    let mut c = server.connect();
    push_numbers(&mut c, 60);
    let options = "--role handler --any-queue --handler-delay 300ms --lease 400ms --ledger ledger";
    let sleeper = Peer::spawn(&server, &format!("--name sleeper {options}"));
    until("it is at work", || c.fields("MQ.INFO mq").int("claimed") > 0);
    sleeper.freeze();
    let other = Peer::spawn(&server, &format!("--name other {options}"));
    until("all are settled", || settled(&mut c) == 60);
    sleeper.thaw();
    for peer in [sleeper, other] {
        peer.end_well();
    }
    each_completed_once(&mut c, 60);
    assert!(c.balanced("mq").int("expired") > 0);
}

#[test]
fn a_handler_goes_on_after_its_connections_were_cut() {
    let server = Server::start();
    let mut c = server.connect();
    push_numbers(&mut c, 300);
    let _peer =
        Peer::spawn(&server, "--role handler --any-queue --concurrency 20 --handler-delay 40ms --ledger ledger");
    for cut in 1..=3 {
        until("it is at work", || settled(&mut c) >= 40 * cut);
        c.int("CLIENT KILL TYPE normal SKIPME yes");
    }
    until("all are settled", || settled(&mut c) == 300);
    each_completed_once(&mut c, 300);
}

#[test]
fn a_server_without_the_module_is_named_as_the_cause() {
    let server = Server::builder().without_module().start();
    for arguments in ["getErrors", "stats"] {
        let finished = Peer::spawn(&server, arguments).finish();
        assert!(!finished.status.success(), "{arguments}: {finished:?}");
        assert!(finished.stderr.contains("module"), "{arguments}: {finished:?}");
    }
    let peer = Peer::spawn(&server, "");
    until("a peer says so too", || peer.stderr().contains("module"));
}

#[test]
fn stats_show_the_queue_at_a_glance() {
    let server = Server::start();
    let mut c = server.connect();
    push_numbers(&mut c, 1234);
    let finished = Peer::spawn(&server, "stats").finish();
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");
    assert!(
        finished.stdout.contains("ready") && finished.stdout.replace([',', ' '], "").contains("1234"),
        "{}",
        finished.stdout
    );
}

#[test]
fn wrong_options_are_refused_with_a_hint() {
    for arguments in ["--no-such-option", "nosuchcommand", "--interval soon", "--role boss"] {
        let finished = Peer::spawn_bare(arguments).finish();
        assert_eq!(finished.status.code(), Some(2), "{arguments}: {finished:?}");
        assert!(finished.stderr.contains("--help"), "{arguments}: {finished:?}");
    }
}
