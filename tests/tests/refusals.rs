//! What is refused, in which words and order, and that a refused command changes nothing.

use mq_tests::{Conn, Server, every_state, until};

/// A token of the server's clock, `days` ahead.
fn token_of_the_clock(c: &mut Conn, days: i64) -> i64 {
    (c.clock_ms() + days * 86_400_000) * 2048
}

#[track_caller]
fn refused(c: &mut Conn, code: &str, command: &str) -> String {
    let refusal = c.refusal(command);
    assert!(refusal.starts_with(&format!("{code} ")), "{command}: {refusal}");
    refusal
}

/// One line per way of being malformed; `$` stands for the queue, `@` for a word of 256 bytes.
const MALFORMED: &str = "
MQ.PUSH $ MSG
MQ.PUSH $ a
MQ.PUSH $ DELAY MSG a
MQ.PUSH $ DELAY -1 MSG a
MQ.PUSH $ DELAY 1.5 MSG a
MQ.PUSH $ DELAY 315360000001 MSG a
MQ.PUSH $ DELAY 99999999999999999999 MSG a
MQ.PUSH $ DELAY 5 DELAY 5 MSG a
MQ.PUSH $ PRIORITY 256 MSG a
MQ.PUSH $ PRIORITY -1 MSG a
MQ.PUSH $ FENCE x MSG a
MQ.PUSH $ FENCE -1 MSG a
MQ.PUSH $ SEQ p MSG a
MQ.PUSH $ SEQ p -1 MSG a
MQ.PUSH $ SEQ p 9007199254740992 MSG a
MQ.PUSH $ SEQ @ 0 MSG a
MQ.PUSH $ BLOCK 5 MSG a
MQ.CLAIM $ @
MQ.CLAIM $ w COUNT
MQ.CLAIM $ w COUNT 0
MQ.CLAIM $ w COUNT 65537
MQ.CLAIM $ w COUNT 1 COUNT 1
MQ.CLAIM $ w LEASE 0
MQ.CLAIM $ w LEASE -5
MQ.CLAIM $ w LEASE 315360000001
MQ.CLAIM $ w BLOCK -1
MQ.CLAIM $ w BLOCK 0.5
MQ.CLAIM $ w SESSION SESSION
MQ.CLAIM $ w ACK
MQ.CLAIM $ w ACK x
MQ.CLAIM $ w ACK 1 LEASE 5
MQ.CLAIM $ w NOW
MQ.ACK $ x
MQ.ACK $ 1 x
MQ.ACK $ 1.0
MQ.FAIL $ x
MQ.FAIL $ 1 RETRY
MQ.FAIL $ 1 RETRY -1
MQ.FAIL $ 1 RETRY 315360000001
MQ.FAIL $ 1 REASON
MQ.FAIL $ 1 REASON a REASON b
MQ.FAIL $ 1 2
MQ.EXTEND $ x 1
MQ.EXTEND $ -1 1
MQ.EXTEND $ 315360000001 1
MQ.EXTEND $ 5 x
MQ.RELEASE $ x
MQ.LEADER $ @
MQ.LEADER $ me LEASE 0
MQ.LEADER $ me LEASE x
MQ.LEADER $ me BLOCK -1
MQ.LEADER $ me TOKEN
MQ.LEADER $ me TOKEN x
MQ.LEADER $ me RESIGN
MQ.LEADER $ me RESIGN x
MQ.LEADER $ me RESIGN 1 LEASE 5
MQ.LEADER $ me SESSION SESSION
MQ.DRAINERRORS $ COUNT 0
MQ.DRAINERRORS $ COUNT x
MQ.DRAINERRORS $ LEASE 0
MQ.DRAINERRORS $ SESSION
MQ.DRAINERRORS $ NOW
MQ.REDRIVE $ COUNT 0
MQ.REDRIVE $ ID
MQ.REDRIVE $ ID x
MQ.REDRIVE $ COUNT 1 ID 1
MQ.PEEK $
MQ.PEEK $ SOME
MQ.PEEK $ READY COUNT 0
MQ.PEEK $ READY COUNT 1001
MQ.PEEK $ READY AFTER x
MQ.INFO $ CLAIMS
MQ.INFO $ CONSUMERS COUNT 0
MQ.CONFIG $ lease
MQ.CONFIG $ lease 0
MQ.CONFIG $ lease x
MQ.CONFIG $ lease 5 lease 6
MQ.CONFIG $ lease 5 max-deliveries -1
MQ.CONFIG $ paused maybe
MQ.CONFIG $ colour red
MQ.SEQ $ @
MQ.SEQ $ p FENCE
MQ.SEQ $ p FENCE x
MQ.SEQ $ p TOKEN 5
";

#[test]
fn a_malformed_command_is_an_err_and_changes_nothing() {
    let server = Server::start();
    let mut c = server.connect();
    every_state(&mut c, "full");
    // Due work that a refused command must leave alone.
    c.ok("MQ.PUSH full PRIORITY 255 MSG due");
    c.claim("MQ.CLAIM full w LEASE 1");
    until("it is due", || c.fields("MQ.INFO full").int("overdue") == 1);
    let before = c.digest("full");
    let long = "n".repeat(256);
    for line in MALFORMED.lines().filter(|line| !line.is_empty()) {
        for queue in ["full", "missing"] {
            let command = line.replace('$', queue);
            refused(&mut c, "ERR", &command.replace('@', &long));
            assert_eq!(c.digest("full"), before, "{command}");
        }
    }
    let empty_names: [&[&str]; 4] = [
        &["MQ.CLAIM", "full", ""],
        &["MQ.LEADER", "full", ""],
        &["MQ.PUSH", "full", "SEQ", "", "0", "MSG", "a"],
        &["MQ.SEQ", "full", ""],
    ];
    for command in empty_names {
        assert!(c.refusal(command).starts_with("ERR"), "{command:?}");
    }
    assert_eq!(c.digest("full"), before);
    assert_eq!(c.int("EXISTS missing"), 0);
    assert_eq!(c.fields("MQ.INFO full").int("overdue"), 1);
}

#[test]
fn a_refusal_names_the_argument() {
    let server = Server::start();
    let mut c = server.connect();
    for (command, named) in [
        ("MQ.PUSH q PRIORITY 300 MSG a", "priority"),
        ("MQ.PUSH q DELAY soon MSG a", "delay"),
        ("MQ.CLAIM q w COUNT none", "count"),
        ("MQ.CLAIM q w LEASE 0", "lease"),
        ("MQ.CLAIM q w SOON", "soon"),
        ("MQ.CONFIG q colour red", "colour"),
    ] {
        let refusal = refused(&mut c, "ERR", command);
        assert!(refusal.to_lowercase().contains(named), "{command}: {refusal}");
    }
}

#[test]
fn every_command_refuses_a_key_of_another_type() {
    let server = Server::start();
    let mut c = server.connect();
    c.ok("SET k v");
    for command in [
        "MQ.PUSH k MSG a",
        "MQ.CLAIM k w",
        "MQ.CLAIM k w BLOCK 0",
        "MQ.ACK k 1",
        "MQ.FAIL k 1",
        "MQ.EXTEND k 5 1",
        "MQ.RELEASE k 1",
        "MQ.LEADER k",
        "MQ.LEADER k me BLOCK 0",
        "MQ.LEADER k me RESIGN 1",
        "MQ.DRAINERRORS k",
        "MQ.REDRIVE k",
        "MQ.PEEK k READY",
        "MQ.INFO k",
        "MQ.CONFIG k",
        "MQ.CONFIG k lease 5",
        "MQ.SEQ k p",
    ] {
        refused(&mut c, "WRONGTYPE", command);
    }
    assert_eq!(c.text("GET k"), "v");
    c.int("MQ.PUSH q MSG a");
    refused(&mut c, "WRONGTYPE", "LPUSH q a");
}

#[test]
fn a_push_is_fenced_unless_its_token_leads_now() {
    let server = Server::start();
    let mut c = server.connect();
    let token = c.leader("MQ.LEADER q me LEASE 3600000").token;
    c.int(format!("MQ.PUSH q FENCE {token} MSG a"));
    let before = c.digest("q");
    for wrong in [0, token - 1, token + 1] {
        refused(&mut c, "FENCED", &format!("MQ.PUSH q FENCE {wrong} MSG a"));
        refused(&mut c, "FENCED", &format!("MQ.SEQ q p FENCE {wrong}"));
    }
    assert_eq!(c.digest("q"), before);
    assert!(c.fields("MQ.INFO q").int("fenced") >= 3);
    c.int(format!("MQ.LEADER q me RESIGN {token}"));
    refused(&mut c, "FENCED", &format!("MQ.PUSH q FENCE {token} MSG a"));
}

#[test]
fn a_leader_whose_lease_has_ended_is_fenced_before_anybody_takes_over() {
    let server = Server::start();
    let mut c = server.connect();
    let token = c.leader("MQ.LEADER q me LEASE 20").token;
    c.int(format!("MQ.PUSH q FENCE {token} MSG a"));
    until("its lease is over", || c.leader("MQ.LEADER q").leader.is_none());
    let before = c.digest("q");
    refused(&mut c, "FENCED", &format!("MQ.PUSH q FENCE {token} MSG a"));
    assert_eq!(c.digest("q"), before);
}

#[test]
fn on_a_queue_without_leaders_the_largest_token_seen_decides() {
    let server = Server::start();
    let mut c = server.connect();
    let token = token_of_the_clock(&mut c, 0);
    for accepted in [token, token, token + 9] {
        c.int(format!("MQ.PUSH shard FENCE {accepted} MSG a"));
    }
    refused(&mut c, "FENCED", &format!("MQ.PUSH shard FENCE {token} MSG a"));
    let far = token_of_the_clock(&mut c, 2);
    let before = c.digest("shard");
    refused(&mut c, "ERR", &format!("MQ.PUSH shard FENCE {far} MSG a"));
    refused(&mut c, "ERR", &format!("MQ.SEQ shard p FENCE {far}"));
    assert_eq!(c.digest("shard"), before);
    c.int(format!("MQ.PUSH shard FENCE {} MSG a", token + 9));
}

#[test]
fn leader_only_refuses_a_push_without_a_token() {
    let server = Server::start();
    let mut c = server.connect();
    c.ok("MQ.CONFIG q leader-only yes");
    refused(&mut c, "FENCED", "MQ.PUSH q MSG a");
    let token = c.leader("MQ.LEADER q me").token;
    refused(&mut c, "FENCED", "MQ.PUSH q MSG a");
    c.int(format!("MQ.PUSH q FENCE {token} MSG a"));
    c.ok("MQ.CONFIG q leader-only no");
    c.int("MQ.PUSH q MSG b");
}

#[test]
fn a_full_queue_refuses_the_whole_push() {
    let server = Server::start();
    let mut c = server.connect();
    c.ok("MQ.CONFIG q max-length 3");
    c.int("MQ.PUSH q DELAY 3600000 MSG late");
    c.int("MQ.PUSH q MSG a");
    let before = c.digest("q");
    refused(&mut c, "QUEUEFULL", "MQ.PUSH q MSG b c");
    assert_eq!(c.digest("q"), before, "all or none");
    c.int("MQ.PUSH q MSG b");
    let receipt = c.claim("MQ.CLAIM q w").receipt;
    refused(&mut c, "QUEUEFULL", "MQ.PUSH q MSG c");
    c.int(format!("MQ.FAIL q {receipt}"));
    refused(&mut c, "QUEUEFULL", "MQ.PUSH q MSG c");
    c.drained("MQ.DRAINERRORS q");
    c.int("MQ.PUSH q MSG c");
    c.balanced("q");
}

#[test]
fn a_push_is_judged_by_syntax_type_fence_sequence_and_length_in_this_order() {
    let server = Server::start();
    let mut c = server.connect();
    c.ok("SET other v");
    refused(&mut c, "ERR", "MQ.PUSH other PRIORITY 999 MSG a");
    refused(&mut c, "WRONGTYPE", "MQ.PUSH other FENCE 1 MSG a");
    let token = c.leader("MQ.LEADER q me LEASE 3600000").token;
    let id = c.int(format!("MQ.PUSH q FENCE {token} SEQ p 0 MSG a b"));
    c.ok("MQ.CONFIG q max-length 2");
    refused(&mut c, "FENCED", "MQ.PUSH q FENCE 5 SEQ p 7 MSG c");
    refused(&mut c, "OUTOFORDER", &format!("MQ.PUSH q FENCE {token} SEQ p 7 MSG c"));
    assert_eq!(c.int(format!("MQ.PUSH q FENCE {token} SEQ p 0 MSG a b")), id, "a repetition needs no room");
    refused(&mut c, "FENCED", "MQ.PUSH q FENCE 5 SEQ p 0 MSG a b");
    refused(&mut c, "QUEUEFULL", &format!("MQ.PUSH q FENCE {token} SEQ p 2 MSG c"));
    assert_eq!(c.int("MQ.SEQ q p"), 2);
}

#[test]
fn out_of_memory_refuses_push_alone() {
    let server = Server::start();
    let mut c = server.connect();
    c.int("MQ.PUSH q MSG a b c d e");
    c.ok("CONFIG SET maxmemory-policy noeviction maxmemory 1");
    refused(&mut c, "OOM", "MQ.PUSH q MSG f");
    let claims = c.claims("MQ.CLAIM q w COUNT 4");
    let r: Vec<_> = claims.iter().map(|claim| claim.receipt).collect();
    assert_eq!(c.int(format!("MQ.ACK q {}", r[0])), 1);
    assert_eq!(c.int(format!("MQ.FAIL q {}", r[1])), 1);
    assert_eq!(c.int(format!("MQ.EXTEND q 90000 {}", r[2])), 1);
    assert_eq!(c.int(format!("MQ.RELEASE q {}", r[3])), 1);
    assert_eq!(c.int("MQ.REDRIVE q"), 1);
    assert!(c.leader("MQ.LEADER q me").is("me"));
    assert_eq!(c.drained("MQ.DRAINERRORS q"), []);
    assert_eq!(c.int("MQ.SEQ q p"), 0);
    c.ok("MQ.CONFIG q paused no");
    c.ok("CONFIG SET maxmemory 0");
    c.int("MQ.PUSH q MSG f");
    c.balanced("q");
}
