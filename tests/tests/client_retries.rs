//! Retries: a message that fails is tried again as often as was asked for, and then it is an error.

use std::{
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use client::{
    connection::Endpoint,
    handler::{EventHandler, Handling, Outcome, Retries, Stance},
    ledger::Ledger,
    queue::Message,
};
use mq_tests::{Conn, Peer, Server, Value, until};

/// Fails always; notes the deliveries that it was told.
#[derive(Default)]
struct Hopeless {
    deliveries: Mutex<Vec<u64>>,
}

impl EventHandler for Hopeless {
    async fn handle(&self, message: &Message) -> Outcome {
        self.deliveries.lock().expect("nobody panics with the lock").push(message.deliveries);
        Err("there is no hope".to_owned())
    }
}

/// Lets messages fail until one is in the error store; the deliveries that were tried.
fn tried(server: &Server, count: u32, ledger: Option<Ledger>) -> Vec<u64> {
    let handler = Arc::new(Hopeless::default());
    let handling = Handling {
        endpoint: Arc::new(Endpoint::new(&server.url(), "mq").expect("an address")),
        consumer: "hopeless".to_owned(),
        lease: Duration::from_secs(30),
        concurrency: 10,
        handler: Arc::clone(&handler),
        retries: Retries { count, shortest: Duration::from_millis(1), longest: Duration::from_millis(20) },
        ledger,
    };
    let (decide, stance) = tokio::sync::watch::channel(Stance::Claim);
    let running = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(handling.run(stance));
    });
    let mut c = server.connect();
    until("the message is an error", || c.fields("MQ.INFO mq").int("errors") == 1);
    decide.send_replace(Stance::Finish);
    running.join().expect("the handling ends well");
    handler.deliveries.lock().expect("nobody panics with the lock").clone()
}

#[track_caller]
fn is_the_only_error(c: &mut Conn, deliveries: i64) {
    let errors = c.maps("MQ.PEEK mq ERRORS");
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].int("deliveries"), deliveries);
    assert_eq!((errors[0].text("reason").as_str(), errors[0].text("payload").as_str()), ("there is no hope", "7"));
    let info = c.balanced("mq");
    assert_eq!((info.int("failed"), info.int("retried")), (1, deliveries - 1));
}

/// How often the ledger has number 7 as processed, and as failed.
fn noted(c: &mut Conn) -> [u8; 2] {
    ["GET ledger", "GET ledger:failed"].map(|get| match c.ok(get) {
        Value::BulkString(bytes) => bytes.get(7).copied().unwrap_or(0),
        _ => 0,
    })
}

#[test]
fn a_message_that_always_fails_is_tried_once_more_than_asked_for_and_then_an_error() {
    for count in [0, 1, 4] {
        let server = Server::start();
        let mut c = server.connect();
        c.int("MQ.PUSH mq MSG 7");
        let deliveries = u64::from(count) + 1;
        assert_eq!(tried(&server, count, None), (1..=deliveries).collect::<Vec<_>>());
        is_the_only_error(&mut c, deliveries as i64);
    }
}

#[test]
fn the_ledger_notes_no_retry_but_the_one_failure() {
    let server = Server::start();
    let mut c = server.connect();
    c.int("MQ.PUSH mq MSG 7");
    assert_eq!(tried(&server, 3, Some(Ledger::new("ledger"))), [1, 2, 3, 4]);
    is_the_only_error(&mut c, 4);
    assert_eq!(noted(&mut c), [0, 1]);
}

#[test]
fn a_retry_that_the_queue_refuses_is_the_failure() {
    let server = Server::start();
    let mut c = server.connect();
    c.ok("MQ.CONFIG mq max-deliveries 2");
    c.int("MQ.PUSH mq MSG 7");
    assert_eq!(tried(&server, 9, Some(Ledger::new("ledger"))), [1, 2]);
    is_the_only_error(&mut c, 2);
    assert_eq!(noted(&mut c), [0, 1]);
}

#[test]
fn peers_with_retries_complete_everything_once_and_fail_only_what_failed_every_time() {
    const LIMIT: i64 = 3_000;
    let server = Server::start();
    let mut c = server.connect();
    let push = ["MQ.PUSH", "mq", "MSG"].into_iter().map(str::to_owned).chain((0..LIMIT).map(|n| n.to_string()));
    c.int(push.collect::<Vec<String>>());
    let options = "--role handler --any-queue --handler-delay 2ms --concurrency 200 --ledger ledger";
    let peer = Peer::spawn(&server, &format!("{options} --retries 1 --backoff 1ms..5ms"));
    until("all are settled", || {
        let info = c.fields("MQ.INFO mq");
        info.int("acked") + info.int("errors") == LIMIT
    });
    peer.terminate();
    assert_eq!(peer.finish().status.code(), Some(0));
    let info = c.balanced("mq");
    // 15 % fail once, 15 % of these twice.
    assert!((300..=600).contains(&info.int("retried")), "{info:?}");
    assert!((20..=140).contains(&info.int("failed")), "{info:?}");
    let errors = c.maps("MQ.PEEK mq ERRORS COUNT 1000");
    assert_eq!(errors.len() as i64, info.int("failed"));
    assert!(errors.iter().all(|error| error.int("deliveries") == 2), "{errors:?}");
    let noted = ["GET ledger", "GET ledger:failed"].map(|get| match c.ok(get) {
        Value::BulkString(bytes) => bytes.iter().map(|times| i64::from(*times)).sum::<i64>(),
        other => panic!("{other:?}"),
    });
    assert_eq!(noted, [info.int("acked"), info.int("failed")]);
}

#[test]
fn retries_that_the_queue_will_not_grant_are_warned_of() {
    let server = Server::start();
    let mut c = server.connect();
    c.ok("MQ.CONFIG mq max-deliveries 5");
    c.ok("MQ.CONFIG endless max-deliveries 0");
    for (arguments, is_warned_of) in [
        ("--retries 5", true),
        ("--retries 4", false),
        ("--retries 20 --queue unborn", true),
        ("--retries 19 --queue unborn", false),
        ("--retries 1000 --queue endless", false),
        ("--retries 5 --role generator", false),
    ] {
        let peer = Peer::spawn(&server, arguments);
        until("it leads", || peer.stderr().contains("lead"));
        peer.terminate();
        let finished = peer.finish();
        let warned_of = finished.stderr.contains("the queue ends the retries earlier");
        assert_eq!(warned_of, is_warned_of, "{arguments}: {finished:?}");
    }
}
