//! A server whose memory is used up creates no queue, and can be drained.

use mq_tests::{Conn, EveryState, Server, Waiter, every_state, until};

/// Leaves the server without memory, as other people's data would.
fn fill(c: &mut Conn) {
    c.ok("CONFIG SET maxmemory 1");
    assert!(c.refusal("SET more 1").starts_with("OOM"));
}

fn empty_again(c: &mut Conn) {
    c.ok("CONFIG SET maxmemory 0");
}

/// A full server, with a queue `q` in every state, and a connection to it.
fn full() -> (Server, Conn, EveryState) {
    let server = Server::builder().config("maxmemory-policy noeviction").start();
    let mut c = server.connect();
    let states = every_state(&mut c, "q");
    fill(&mut c);
    (server, c, states)
}

const CREATING: [&str; 6] = [
    "MQ.PUSH $ MSG a",
    "MQ.CONFIG $ lease 5",
    "MQ.LEADER $ me",
    "MQ.LEADER $ me LEASE 60000 SESSION",
    "MQ.LEADER $ me BLOCK 100",
    "MQ.SEQ $ p FENCE 1",
];

#[test]
fn a_full_server_creates_no_queue() {
    let (_server, mut c, _) = full();
    for command in CREATING {
        let refusal = c.refusal(command.replace('$', "missing"));
        assert!(refusal.starts_with("OOM"), "{command}: {refusal}");
        assert_eq!(c.int("EXISTS missing"), 0, "{command}");
    }
    for harmless in ["MQ.CONFIG missing", "MQ.LEADER missing", "MQ.LEADER missing me TOKEN 1", "MQ.SEQ missing p"] {
        c.ok(harmless);
        assert_eq!(c.int("EXISTS missing"), 0, "{harmless}");
    }
    empty_again(&mut c);
    for (n, command) in CREATING.iter().enumerate() {
        c.ok(command.replace('$', &format!("created{n}")));
    }
}

#[test]
fn a_full_server_creates_no_queue_in_a_transaction_or_script() {
    let (_server, mut c, _) = full();
    for command in CREATING.iter().filter(|command| !command.contains("SESSION")) {
        let command = command.replace('$', "missing");
        let words: Vec<String> = command.split(' ').map(|word| format!("'{word}'")).collect();
        let refusal = c.eval(&format!("return redis.call({})", words.join(",")), "missing", &[]);
        let refusal =
            refusal.map(|answer| panic!("{command} in a script: {answer:?}")).unwrap_or_else(|e| e.to_string());
        assert!(refusal.contains("OOM"), "{command} in a script: {refusal}");
        c.ok("MULTI");
        // Refused when it is queued, or when it is run.
        let answers = [c.call(&command), c.call("EXEC")];
        assert!(format!("{answers:?}").contains("OOM"), "{command} in a transaction: {answers:?}");
        assert_eq!(c.int("EXISTS missing"), 0, "{command}");
    }
}

#[test]
fn a_full_server_goes_on_with_the_queues_it_has() {
    let (_server, mut c, states) = full();
    assert!(c.refusal("MQ.PUSH q MSG a").starts_with("OOM"));
    assert_eq!(c.int(format!("MQ.ACK q {} {}", states.claimed, states.draining)), 2);
    c.ok("MQ.CONFIG q lease 60000");
    assert_eq!(c.int(format!("MQ.LEADER q leader:1 RESIGN {}", states.token)), 1);
    let token = c.leader("MQ.LEADER q me").token;
    c.int(format!("MQ.SEQ q p FENCE {token}"));
    let claims = c.claims("MQ.CLAIM q w COUNT 5");
    assert_eq!(claims.len(), 5);
    let receipts: Vec<_> = claims.iter().map(|claim| claim.receipt).collect();
    assert_eq!(c.int(format!("MQ.FAIL q {} REASON why", receipts[0])), 1);
    assert_eq!(c.int(format!("MQ.FAIL q {} RETRY 60000", receipts[1])), 2);
    assert_eq!(c.int(format!("MQ.RELEASE q {}", receipts[2])), 1);
    assert_eq!(c.int(format!("MQ.EXTEND q 60000 {}", receipts[3])), 1);
    assert!(c.int("MQ.REDRIVE q COUNT 1") == 1 && !c.drained("MQ.DRAINERRORS q COUNT 1").is_empty());
    let (acked, _) = c.acked_and_claims(format!("MQ.CLAIM q w ACK {}", receipts[3]));
    assert_eq!(acked, 1);
    let first = c.maps("MQ.PEEK q READY COUNT 1")[0].int("id");
    assert_eq!(c.int(format!("MQ.REMOVE q {first}")), 1);
    assert_eq!(c.int("MQ.PURGE q DELAYED COUNT 1"), 1);
    c.balanced("q");
}

#[test]
fn a_full_servers_waiters_are_served_from_the_queues_it_has() {
    let (server, mut c, states) = full();
    c.ok("MQ.CONFIG q paused yes");
    let consumer = Waiter::spawn(&server, "MQ.CLAIM q w BLOCK 0");
    let standby = Waiter::spawn(&server, "MQ.LEADER q you BLOCK 0");
    c.ok("MQ.CONFIG q paused no");
    c.int(format!("MQ.LEADER q leader:1 RESIGN {}", states.token));
    assert_eq!(consumer.claims().len(), 1);
    assert!(standby.leader().0.is("you"));
}

#[test]
fn a_standby_whose_key_goes_while_memory_is_used_up_leads_when_there_is_some_again() {
    let server = Server::builder().config("maxmemory-policy noeviction").start();
    let mut c = server.connect();
    c.leader("MQ.LEADER lead me LEASE 3600000");
    let standby = Waiter::spawn(&server, "MQ.LEADER lead you LEASE 3600000 BLOCK 0");
    let passing = Waiter::spawn(&server, "MQ.CLAIM quiet w BLOCK 700");
    fill(&mut c);
    c.int("DEL lead");
    assert_eq!(c.int("EXISTS lead"), 0);
    assert_eq!(passing.claims(), [], "some time has passed");
    assert_eq!(c.int("EXISTS lead"), 0, "it was created without memory");
    assert!(standby.waits());
    empty_again(&mut c);
    assert!(standby.leader().0.is("you"));
    until("it is there", || c.int("EXISTS lead") == 1);
}

#[test]
fn a_script_and_a_function_that_may_run_without_memory_drain_a_full_server() {
    let (_server, mut c, states) = full();
    let script = "#!lua flags=allow-oom\nreturn redis.call('MQ.ACK', KEYS[1], ARGV[1])";
    let acked = c.eval(script, "q", &[&states.claimed.to_string()]).expect("it may run");
    assert_eq!(acked, mq_tests::Value::Int(1));
    let claim = c.eval("#!lua flags=allow-oom\nreturn redis.call('MQ.CLAIM', KEYS[1], 'lua')", "q", &[]);
    assert!(matches!(claim, Ok(mq_tests::Value::Array(claims)) if claims.len() == 1));
    let function = "#!lua name=drains\nredis.register_function{function_name='ack', flags={'allow-oom'}, \
                    callback=function(keys, args) return redis.call('MQ.ACK', keys[1], args[1]) end}";
    // Loading it needs memory, calling it does not.
    empty_again(&mut c);
    c.ok(["FUNCTION", "LOAD", function]);
    fill(&mut c);
    assert_eq!(c.int(["FCALL", "ack", "1", "q", &states.draining.to_string()]), 1);
    c.balanced("q");
}
