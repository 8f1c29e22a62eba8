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

#[test]
fn a_server_that_is_left_as_described_starts_without_the_module() {
    let mut server = Server::start();
    let mut c = server.connect();
    c.ok("SET other value");
    for q in ["one", "two"] {
        c.int(["MQ.PUSH", q, "MSG", "a"]);
    }
    let Value::Array(scanned) = c.ok("SCAN 0 TYPE mqueue-r1 COUNT 1000") else { panic!("an array") };
    let Value::Array(queues) = &scanned[1] else { panic!("a list of keys") };
    assert_eq!(queues.len(), 2, "the scan lists the queues, and nothing else");
    for queue in queues.iter().filter_map(mq_tests::text_of) {
        assert_eq!(c.int(["DEL", &queue]), 1);
    }
    c.ok("CONFIG SET aof-use-rdb-preamble no");
    c.ok("CONFIG SET appendonly yes");
    until("the log is written", || {
        c.server_count("persistence", "aof_rewrite_in_progress")
            + c.server_count("persistence", "aof_rewrite_scheduled")
            == 0
    });
    server.stop();
    let dir = server.dir().display().to_string();
    let without = Server::builder().without_module().config(format!("dir {dir}")).config("appendonly yes").start();
    assert_eq!(without.connect().text("GET other"), "value");
    assert!(without.connect().call("MQ.INFO one").is_err_and(|e| e.to_string().contains("unknown command")));
}

#[test]
fn a_reset_connection_keeps_its_session() {
    let server = Server::start();
    let (mut c, mut holder) = (server.connect(), server.connect());
    c.int("MQ.PUSH q MSG a");
    holder.claim("MQ.CLAIM q w SESSION LEASE 3600000");
    holder.ok("RESET");
    // What has closed is noticed within milliseconds, and before this claim is.
    let mut other = server.connect();
    c.int("MQ.PUSH other MSG a");
    other.claim("MQ.CLAIM other w SESSION LEASE 3600000");
    drop(other);
    until("a closed session has ended", || c.fields("MQ.INFO other").int("ready") == 1);
    assert_eq!(c.balanced("q").int("claimed"), 1);
    drop(holder);
    until("the connection is closed", || c.balanced("q").int("ready") == 1);
}

#[test]
fn a_full_server_treats_transactions_and_scripts_as_described() {
    let server = Server::builder().config("maxmemory-policy noeviction").start();
    let mut c = server.connect();
    c.int("MQ.PUSH q MSG a b c");
    let receipts: Vec<_> = c.claims("MQ.CLAIM q w COUNT 3").iter().map(|claim| claim.receipt.to_string()).collect();
    c.ok("CONFIG SET maxmemory 1");
    c.ok("MULTI");
    let queued = c.call("GET text").and(c.call(["MQ.ACK", "q", &receipts[0]]));
    let executed = c.call("EXEC");
    let refuses_all = server.version() == (7, 0);
    assert_eq!((queued.is_err(), executed.is_err()), (refuses_all, refuses_all), "{queued:?}, {executed:?}");
    const ACK: &str = "return redis.call('MQ.ACK', KEYS[1], ARGV[1])";
    let refused = c.eval(&format!("#!lua\n{ACK}"), "q", &[&receipts[1]]);
    assert!(refused.is_err_and(|e| e.code() == Some("OOM")), "no flag");
    assert_eq!(c.eval(ACK, "q", &[&receipts[1]]).ok(), Some(Value::Int(1)), "its first write works alone");
    // What it goes on with may need memory, as the server does not stop a script in the middle.
    let both = "redis.call('MQ.ACK', KEYS[1], ARGV[1]) return redis.call('MQ.PUSH', KEYS[1], 'MSG', 'a')";
    assert!(c.eval(both, "q", &[&receipts[2]]).is_ok());
    let push = "return redis.call('MQ.PUSH', KEYS[1], 'MSG', 'a')";
    assert!(c.eval(push, "q", &[]).is_err_and(|e| e.to_string().contains("OOM")));
}

#[test]
fn only_what_asks_for_modules_is_shown_the_section_of_info() {
    let server = Server::start();
    let mut c = server.connect();
    for (command, shows) in
        [("INFO", false), ("INFO all", false), ("INFO everything", true), ("INFO modules", true), ("INFO mq", true)]
    {
        assert_eq!(c.text(command).contains("mq_queues"), shows, "{command}");
    }
}
