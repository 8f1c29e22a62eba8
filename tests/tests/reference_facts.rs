//! What the command reference says beside its examples and tables.

use mq_tests::{Conn, Server, Value, Waiter, until};

#[test]
fn the_module_configuration_acts_as_described() {
    let mut server = Server::builder().module_arguments("lease 5000 paused no").config("mq.max-length 7").start();
    let mut c = server.connect();
    let default = |c: &mut Conn, name: &str| c.fields("MQ.CONFIG missing").text(name);
    assert_eq!((default(&mut c, "lease"), default(&mut c, "max-length")), ("5000".into(), "7".into()));
    c.int("MQ.PUSH old MSG a");
    c.ok("CONFIG SET mq.lease 6000 mq.paused yes");
    assert_eq!((default(&mut c, "lease"), default(&mut c, "paused")), ("6000".into(), "yes".into()));
    assert_eq!(c.fields("MQ.CONFIG old").text("lease"), "5000", "a queue keeps its own");
    assert!(c.refusal("CONFIG SET mq.lease 0").starts_with("ERR"));
    assert!(c.refusal("CONFIG SET mq.paused perhaps").starts_with("ERR"));
    c.ok("CONFIG REWRITE");
    server.restart();
    let mut c = server.connect();
    let kept = ["lease", "paused", "max-length"].map(|name| default(&mut c, name));
    assert_eq!(kept, ["6000", "yes", "7"].map(str::to_owned), "the file wins over the arguments");
}

#[test]
fn a_list_of_ids_is_replied_as_far_as_one_reply_goes() {
    let server = Server::start();
    let mut c = server.connect();
    let id = c.int([&b"MQ.PUSH"[..], b"q", b"MSG", &vec![b'a'; 40 << 20]]);
    assert_eq!(c.maps(format!("MQ.PEEK q ID {id}")).len(), 1);
    assert_eq!(c.maps(format!("MQ.PEEK q ID {id} {id} {id}")).len(), 1, "two are more than 64 MiB");
}

#[test]
fn reasons_and_labels_count_towards_what_one_reply_carries() {
    const ASKED: usize = 65_536;
    let server = Server::start();
    let mut c = server.connect();
    let group = "g".repeat(255);
    let id = c.int(format!("MQ.PUSH q GROUP {group} MSG a"));
    let receipt = c.claim("MQ.CLAIM q w").receipt;
    c.int(format!("MQ.FAIL q {receipt} REASON {}", "r".repeat(1024)));
    let call =
        |times: usize| [&["MQ.PEEK".to_owned(), "q".into(), "ID".into()], &vec![id.to_string(); times][..]].concat();
    let shown = c.maps(call(ASKED));
    let carried: usize = shown.iter().map(|error| error.text("reason").len() + error.text("group").len() + 200).sum();
    assert!(shown.len() < ASKED && (60 << 20..=64 << 20).contains(&carried), "{} of {carried} bytes", shown.len());
    let refusal = c.refusal(call(ASKED + 1));
    assert_eq!(refusal, "ERR ID id is given more than 65536 times: send several commands");
}

#[test]
fn an_error_that_is_being_drained_stays_as_it_was_whatever_its_drainer_says() {
    let server = Server::start();
    let mut c = server.connect();
    c.int("MQ.PUSH q MSG a");
    let receipt = c.claim("MQ.CLAIM q w").receipt;
    c.int(format!("MQ.FAIL q {receipt} REASON first"));
    c.ok("MQ.CONFIG q paused yes");
    let before = c.maps("MQ.PEEK q ERRORS");
    for (command, answer) in [("MQ.FAIL q $ RETRY 5 REASON other", 1), ("MQ.RELEASE q $", 1), ("MQ.EXTEND q 0 $", 1)] {
        let drained = c.drained("MQ.DRAINERRORS q LEASE 60000"); // a pause does not stop it
        assert_eq!(c.int(command.replace('$', &drained[0].receipt.to_string())), answer, "{command}");
        c.ok("MQ.CONFIG q paused yes"); // a write, so that an ended claim is taken back
        assert_eq!(c.maps("MQ.PEEK q ERRORS"), before, "{command}");
    }
    let info = c.balanced("q");
    assert_eq!(
        (info.int("expired"), info.int("released"), info.int("failed")),
        (0, 0, 1),
        "they count messages' claims"
    );
}

#[test]
fn a_claim_in_a_transaction_comes_before_who_waits() {
    let server = Server::start();
    let mut c = server.connect();
    let waiter = Waiter::spawn(&server, "MQ.CLAIM q waiter BLOCK 0");
    let answers = c.exec(&["MQ.PUSH q MSG a b", "MQ.CLAIM q inside"]);
    let Value::Array(claims) = &answers[1] else { panic!("an array") };
    assert_eq!(claims.len(), 1);
    assert_eq!(waiter.claims()[0].payload, "b");
}

#[test]
fn a_time_to_live_goes_on_while_a_retry_waits() {
    let server = Server::start();
    let mut c = server.connect();
    c.int("MQ.PUSH q TTL 300 MSG a");
    let receipt = c.claim("MQ.CLAIM q w").receipt;
    assert_eq!(c.int(format!("MQ.FAIL q {receipt} RETRY 200")), 2);
    let mut errors = Vec::new();
    until("its time is over", || {
        errors = c.drained("MQ.DRAINERRORS q");
        !errors.is_empty()
    });
    assert_eq!(errors[0].reason, "expired");
}

#[test]
fn an_error_that_outlives_its_time_while_it_is_drained_goes_when_its_claim_ends() {
    let server = Server::start();
    let mut c = server.connect();
    c.ok("MQ.CONFIG q errors-keep 30");
    c.int("MQ.PUSH q MSG a");
    let receipt = c.claim("MQ.CLAIM q w").receipt;
    c.int(format!("MQ.FAIL q {receipt}"));
    let drained = c.drained("MQ.DRAINERRORS q LEASE 60000");
    let over = drained[0].failed_at_ms + 30;
    until("its time is over", || c.clock_ms() > over + 5);
    c.int("MQ.PUSH q MSG b");
    assert_eq!(c.balanced("q").int("errors"), 1);
    assert_eq!(c.int(format!("MQ.RELEASE q {}", drained[0].receipt)), 1);
    c.int("MQ.PUSH q MSG c");
    let info = c.balanced("q");
    assert_eq!((info.int("errors"), info.int("dropped")), (0, 1));
}
