//! The same commands in other surroundings: RESP3, transactions, scripts, huge payloads, ACL, other databases.

use mq_tests::{Leadership, Server, Value, every_state, text_of};

#[test]
fn maps_are_maps_on_resp3_and_say_the_same_as_on_resp2() {
    let server = Server::start();
    let (mut two, mut three) = (server.connect(), server.connect_resp3());
    every_state(&mut two, "q");
    for command in ["MQ.INFO q", "MQ.CONFIG q"] {
        assert!(matches!(two.ok(command), Value::Array(_)), "{command}");
        assert!(matches!(three.ok(command), Value::Map(_)), "{command}");
        let (flat, map) = (two.fields(command), three.fields(command));
        assert!(flat.names().eq(map.names()), "{command}");
    }
    let Value::Array(peeked) = three.ok("MQ.PEEK q CLAIMED") else { panic!("an array of maps") };
    assert!(peeked.iter().all(|message| matches!(message, Value::Map(_))));
    // Of the errors the one that nobody drains: no lease of it runs down between the two readings.
    let first = two.maps("MQ.PEEK q ERRORS COUNT 1")[0].int("id");
    let rest = format!("MQ.PEEK q ERRORS AFTER {first}");
    assert_eq!(two.maps(&rest).len(), 1);
    assert_eq!(two.maps(&rest), three.maps(&rest));
    assert_eq!(three.leader("MQ.LEADER nobody"), Leadership::none());
    assert_eq!(three.claims("MQ.CLAIM q w COUNT 3").len(), 3);
}

#[test]
fn a_transaction_is_one_step_in_which_nothing_waits() {
    let server = Server::start();
    let mut c = server.connect();
    let answers = c.exec(&[
        "MQ.CLAIM q w BLOCK 0",
        "MQ.PUSH q MSG a",
        "MQ.CLAIM q w BLOCK 0",
        "MQ.LEADER q me LEASE 60000",
        "MQ.LEADER q other BLOCK 0",
        "MQ.CLAIM q w BLOCK 0 ACK 1",
    ]);
    assert_eq!(answers[0], Value::Array(vec![]));
    assert!(matches!(&answers[2], Value::Array(claims) if claims.len() == 1));
    assert!(matches!(&answers[4], Value::Array(led) if text_of(&led[0]).as_deref() == Some("me")));
    assert_eq!(answers[5], Value::Array(vec![Value::Int(0), Value::Array(vec![])]));
    c.balanced("q");
}

#[test]
fn a_script_counts_each_receipt_exactly_once() {
    let server = Server::start();
    let mut c = server.connect();
    c.int("MQ.PUSH q MSG a b c");
    let script = "if redis.call('MQ.ACK', KEYS[1], ARGV[1]) == 1 then redis.call('INCR', 'done') end return 1";
    for claim in c.claims("MQ.CLAIM q w COUNT 3") {
        for _ in 0..3 {
            c.eval(script, "q", &[&claim.receipt.to_string()]).expect("a good script");
        }
    }
    assert_eq!(c.text("GET done"), "3");
}

#[test]
fn a_script_claims_and_passes_receipts_on_without_waiting() {
    let server = Server::start();
    let mut c = server.connect();
    c.int("MQ.PUSH q MSG a");
    let script = "local claims = redis.call('MQ.CLAIM', KEYS[1], 'lua', 'BLOCK', 0) \
                  local acked = redis.call('MQ.ACK', KEYS[1], claims[1][1]) \
                  return {acked, redis.call('MQ.CLAIM', KEYS[1], 'lua', 'BLOCK', 0)}";
    let answer = c.eval(script, "q", &[]).expect("a good script");
    assert_eq!(answer, Value::Array(vec![Value::Int(1), Value::Array(vec![])]));
}

#[test]
fn a_session_in_a_script_is_an_error_and_changes_nothing() {
    let server = Server::start();
    let mut c = server.connect();
    every_state(&mut c, "q");
    let before = c.digest("q");
    for call in [
        "'MQ.CLAIM', KEYS[1], 'w', 'SESSION'",
        "'MQ.LEADER', KEYS[1], 'leader:1', 'SESSION'",
        "'MQ.DRAINERRORS', KEYS[1], 'LEASE', 5, 'SESSION'",
    ] {
        let answer = c.eval(&format!("return redis.call({call})"), "q", &[]);
        assert!(answer.is_err_and(|e| e.code() == Some("ERR")), "{call}");
    }
    assert_eq!(c.digest("q"), before);
}

#[test]
fn a_reply_carries_at_most_64_mib_but_at_least_one_message() {
    let server = Server::start();
    let mut c = server.connect();
    let half = vec![b'h'; 30 << 20];
    let whole = vec![b'w'; 65 << 20];
    for payload in [&half, &half, &half, &whole] {
        c.int([&b"MQ.PUSH"[..], b"q", b"MSG", payload]);
    }
    let lengths = |claims: Vec<mq_tests::Claim>| claims.iter().map(|claim| claim.bytes.len() >> 20).collect::<Vec<_>>();
    assert_eq!(c.maps("MQ.PEEK q READY").len(), 2);
    assert_eq!(lengths(c.claims("MQ.CLAIM q w COUNT 9")), [30, 30]);
    assert_eq!(lengths(c.claims("MQ.CLAIM q w COUNT 9")), [30]);
    assert_eq!(lengths(c.claims("MQ.CLAIM q w COUNT 9")), [65]);
    c.balanced("q");
}

#[test]
fn every_command_names_its_key_its_arity_and_its_summary() {
    let server = Server::start();
    let mut c = server.connect();
    let usages = [
        "MQ.PUSH thekey MSG a",
        "MQ.CLAIM thekey w",
        "MQ.ACK thekey 1",
        "MQ.FAIL thekey 1",
        "MQ.EXTEND thekey 5 1",
        "MQ.RELEASE thekey 1",
        "MQ.LEADER thekey",
        "MQ.DRAINERRORS thekey",
        "MQ.REDRIVE thekey",
        "MQ.REMOVE thekey 1",
        "MQ.PURGE thekey READY",
        "MQ.PEEK thekey READY",
        "MQ.INFO thekey",
        "MQ.CONFIG thekey",
        "MQ.SEQ thekey p",
    ];
    for usage in usages {
        let keys = c.ok(format!("COMMAND GETKEYS {usage}"));
        assert_eq!(keys, Value::Array(vec![Value::BulkString(b"thekey".to_vec())]), "{usage}");
        let name = usage.split(' ').next().expect("a word");
        let docs = format!("{:?}", c.ok(["COMMAND", "DOCS", name]));
        assert!(docs.contains("summary"), "{name}: {docs}");
        assert!(c.refusal([name]).starts_with("ERR wrong number of arguments"), "{name}");
    }
}

#[test]
fn a_user_needs_the_right_to_the_command_and_to_the_key() {
    let server = Server::start();
    let mut c = server.connect();
    c.ok("ACL SETUSER worker on nopass ~q* -@all +mq.claim +mq.ack");
    c.int("MQ.PUSH q1 MSG a");
    c.ok("AUTH worker any");
    assert_eq!(c.claims("MQ.CLAIM q1 w").len(), 1);
    assert!(c.refusal("MQ.PUSH q1 MSG a").starts_with("NOPERM"));
    assert!(c.refusal("MQ.CLAIM other w").starts_with("NOPERM"));
}

#[test]
fn equal_names_in_two_databases_are_two_queues() {
    let server = Server::start();
    let (mut zero, mut nine) = (server.connect(), server.connect_db(9));
    zero.int("MQ.PUSH q MSG zero");
    nine.int("MQ.PUSH q MSG nine");
    assert_eq!(nine.claim("MQ.CLAIM q w").payload, "nine");
    assert_eq!(nine.claims("MQ.CLAIM q w"), []);
    assert_eq!(zero.claim("MQ.CLAIM q w").payload, "zero");
}

#[test]
fn a_refused_write_does_not_touch_a_watched_key() {
    let server = Server::start();
    let (mut watcher, mut other) = (server.connect(), server.connect());
    watcher.int("MQ.PUSH q MSG a");
    watcher.ok("WATCH q");
    assert_eq!(other.int("MQ.ACK q 1"), 0);
    other.refusal("MQ.PUSH q PRIORITY 256 MSG a");
    other.fields("MQ.INFO q");
    assert_eq!(watcher.exec(&["MQ.PUSH q MSG b"]).len(), 1, "nothing had changed");
    watcher.ok("WATCH q");
    other.int("MQ.PUSH q MSG c");
    watcher.ok("MULTI");
    watcher.ok("PING");
    assert_eq!(watcher.ok("EXEC"), Value::Nil, "a push changes the key");
}
