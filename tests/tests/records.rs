//! One command is one record: what an act does, and whatever it hands to those who wait, is in the log as a whole, on its own.

use mq_tests::{Conn, Record, Server, Waiter};

/// An act that serves somebody who waits for the queue of the same name.
struct Act {
    name: &'static str,
    /// Readies the queue for the waiter. The command that acts, empty where the connection's end does.
    prepare: fn(c: &mut Conn, holder: &mut Conn, q: &str) -> String,
    waits: &'static str,
    /// How many records the act itself makes, beside what the timer does then.
    records: usize,
}

const CONSUMER: &str = "MQ.CLAIM $ waiter COUNT 2 LEASE 3600000 BLOCK 0";
const STANDBY: &str = "MQ.LEADER $ standby LEASE 3600000 BLOCK 0";

/// A receipt of the queue's only message.
fn claimed(c: &mut Conn, q: &str) -> i64 {
    c.int(format!("MQ.PUSH {q} MSG payload"));
    c.claim(format!("MQ.CLAIM {q} w LEASE 3600000")).receipt
}

/// What makes room for a second message.
fn limited(c: &mut Conn, q: &str, limit: &str) -> i64 {
    c.ok(format!("MQ.CONFIG {q} {limit} 1"));
    c.int(format!("MQ.PUSH {q} MSG first second"));
    c.claim(format!("MQ.CLAIM {q} w LEASE 3600000")).receipt
}

const ACTS: [Act; 17] = [
    Act { name: "push", prepare: |_, _, q| format!("MQ.PUSH {q} MSG a b c"), waits: CONSUMER, records: 1 },
    Act {
        name: "release",
        prepare: |c, _, q| format!("MQ.RELEASE {q} {}", claimed(c, q)),
        waits: CONSUMER,
        records: 1,
    },
    Act {
        name: "retry",
        prepare: |c, _, q| format!("MQ.FAIL {q} {} RETRY 0", claimed(c, q)),
        waits: CONSUMER,
        records: 1,
    },
    Act {
        name: "redrive",
        prepare: |c, _, q| {
            let receipt = claimed(c, q);
            c.int(format!("MQ.FAIL {q} {receipt}"));
            format!("MQ.REDRIVE {q}")
        },
        waits: CONSUMER,
        records: 1,
    },
    Act {
        name: "ack",
        prepare: |c, _, q| format!("MQ.ACK {q} {}", limited(c, q, "max-claimed")),
        waits: CONSUMER,
        records: 1,
    },
    Act {
        name: "claim-ack",
        prepare: |c, _, q| format!("MQ.CLAIM {q} w ACK {}", limited(c, q, "max-claimed")),
        waits: CONSUMER,
        records: 1,
    },
    Act {
        name: "resume",
        prepare: |c, _, q| {
            c.ok(format!("MQ.CONFIG {q} paused yes"));
            c.int(format!("MQ.PUSH {q} MSG a"));
            format!("MQ.CONFIG {q} paused no")
        },
        waits: CONSUMER,
        records: 1,
    },
    Act {
        name: "max-claimed",
        prepare: |c, _, q| {
            limited(c, q, "max-claimed");
            format!("MQ.CONFIG {q} max-claimed 9")
        },
        waits: CONSUMER,
        records: 1,
    },
    Act {
        name: "rate",
        prepare: |c, _, q| {
            limited(c, q, "rate");
            format!("MQ.CONFIG {q} rate 1000000")
        },
        waits: CONSUMER,
        records: 1,
    },
    Act {
        name: "extend",
        prepare: |c, _, q| format!("MQ.EXTEND {q} 0 {}", claimed(c, q)),
        waits: CONSUMER,
        records: 1,
    },
    Act { name: "delay", prepare: |_, _, q| format!("MQ.PUSH {q} DELAY 40 MSG late"), waits: CONSUMER, records: 2 },
    Act {
        name: "lease",
        prepare: |c, _, q| format!("MQ.EXTEND {q} 40 {}", claimed(c, q)),
        waits: CONSUMER,
        records: 2,
    },
    Act {
        name: "rename",
        prepare: |c, _, q| {
            c.int(format!("MQ.PUSH other-{q} MSG a"));
            format!("RENAME other-{q} {q}")
        },
        waits: CONSUMER,
        records: 2,
    },
    Act {
        name: "session",
        prepare: |c, holder, q| {
            c.int(format!("MQ.PUSH {q} MSG a"));
            holder.claim(format!("MQ.CLAIM {q} holder LEASE 3600000 SESSION"));
            String::new()
        },
        waits: CONSUMER,
        records: 1,
    },
    Act {
        name: "resign",
        prepare: |c, _, q| {
            let token = c.leader(format!("MQ.LEADER {q} me LEASE 3600000")).token;
            format!("MQ.LEADER {q} me RESIGN {token}")
        },
        waits: STANDBY,
        records: 1,
    },
    Act {
        name: "leaders-session",
        prepare: |_, holder, q| {
            holder.leader(format!("MQ.LEADER {q} me LEASE 3600000 SESSION"));
            String::new()
        },
        waits: STANDBY,
        records: 1,
    },
    Act {
        name: "leaders-lease",
        prepare: |c, _, q| {
            c.leader(format!("MQ.LEADER {q} me LEASE 3600000"));
            format!("MQ.LEADER {q} me LEASE 40")
        },
        waits: STANDBY,
        records: 2,
    },
];

/// A log that is on the disk before anything is answered.
fn logged() -> mq_tests::Builder {
    Server::builder().config("appendonly yes").config("appendfsync always")
}

fn without_select(records: Vec<Record>) -> Vec<Record> {
    records.into_iter().filter(|record| !record[0].eq_ignore_ascii_case(b"SELECT")).collect()
}

fn names(records: &[Record]) -> Vec<String> {
    records.iter().map(|record| String::from_utf8_lossy(&record[0]).to_uppercase()).collect()
}

/// Readies the queue, has somebody wait, acts, and is back when the waiter has its answer. What the log has more by then, and
/// what is open.
fn run(server: &Server, act: &Act) -> (Vec<Record>, [Conn; 2]) {
    let (mut c, mut holder, q) = (server.connect(), server.connect(), act.name);
    let command = (act.prepare)(&mut c, &mut holder, q);
    let waiter = Waiter::spawn(server, act.waits.replace('$', q));
    let before = without_select(server.records()).len();
    let id = holder.int("CLIENT ID");
    if command.is_empty() {
        c.int(format!("CLIENT KILL ID {id}"));
    } else {
        c.ok(&command);
    }
    let (conn, answer, _) = waiter.answer();
    answer.unwrap_or_else(|refusal| panic!("{q}: {refusal}"));
    (without_select(server.records()).split_off(before), [c, conn])
}

/// The digest, the receipts of the waiter, and who leads, as far as that outlives a restart.
fn state(c: &mut Conn, q: &str) -> (String, Vec<i64>, i64) {
    let claims = c.maps(format!("MQ.PEEK {q} CLAIMED"));
    let waiters = claims.iter().filter(|claim| claim.text("consumer") == "waiter").map(|claim| claim.int("receipt"));
    let receipts = waiters.collect();
    (c.digest(q), receipts, c.balanced(q).int("leader-changes"))
}

/// Runs every act, kills the server, starts it again: the acts whose queue is not as it was.
fn lost_after_a_kill(mut server: Server) -> Vec<&'static str> {
    let open: Vec<_> = ACTS.iter().map(|act| run(&server, act)).collect();
    let mut c = server.connect();
    let before: Vec<_> = ACTS.iter().map(|act| state(&mut c, act.name)).collect();
    for (act, (_, receipts, leaderships)) in ACTS.iter().zip(&before) {
        let leads = act.waits == STANDBY;
        assert_eq!((!receipts.is_empty(), *leaderships == 2), (!leads, leads), "{} served the waiter", act.name);
    }
    server.kill9();
    server.start_again();
    drop(open);
    let mut c = server.connect();
    let is_whole = |act: &Act, before: &(String, Vec<i64>, i64)| {
        c.int(format!("EXISTS {}", act.name)) == 1
            && state(&mut c, act.name) == *before
            && before.1.iter().all(|receipt| c.int(format!("MQ.ACK {} {receipt}", act.name)) == 1)
    };
    let mut is_whole = is_whole;
    ACTS.iter().zip(&before).filter(|(act, before)| !is_whole(act, before)).map(|(act, _)| act.name).collect()
}

#[test]
fn what_a_waiter_was_answered_survives_a_kill() {
    let lost = lost_after_a_kill(logged().start());
    assert!(lost.is_empty(), "lost: {lost:?}");
}

#[test]
fn what_a_waiter_was_answered_survives_a_kill_where_the_default_user_is_off() {
    // A transaction in the log is replayed with the rights of the default user, on servers before Redis 8.2 and Valkey 9.
    let admin = logged()
        .config("user default off")
        .config("user admin on >secret ~* &* +@all")
        .login("admin", "secret")
        .start();
    let lost = lost_after_a_kill(admin);
    assert!(lost.is_empty(), "lost: {lost:?}");
}

#[test]
fn an_act_and_what_it_hands_over_are_one_record() {
    let server = logged().start();
    let several: Vec<_> = ACTS
        .iter()
        .map(|act| (act, names(&run(&server, act).0)))
        .filter(|(act, names)| names.len() != act.records || names.iter().any(|name| name == "MULTI"))
        .map(|(act, names)| format!("{}: {names:?}", act.name))
        .collect();
    assert!(several.is_empty(), "not one record: {several:#?}");
}

#[test]
fn one_push_for_several_waiters_is_one_record_and_so_is_what_a_key_that_goes_leaves_to_its_standby() {
    let server = logged().start();
    let replica = Server::builder().replica_of(&server);
    let mut c = server.connect();
    let waiters: Vec<_> =
        (0..5).map(|n| Waiter::spawn(&server, format!("MQ.CLAIM q w{n} COUNT 2 LEASE 3600000 BLOCK 0"))).collect();
    let from = without_select(server.records()).len();
    c.int("MQ.PUSH q MSG a b c d e f g");
    let open: Vec<_> = waiters.into_iter().take(4).map(Waiter::answer).collect();
    assert_eq!(without_select(server.records()).len(), from + 1, "{:?}", names(&server.records()));
    c.leader("MQ.LEADER q me LEASE 3600000");
    let standby = Waiter::spawn(&server, STANDBY.replace('$', "q"));
    let from = without_select(server.records()).len();
    c.int("DEL q");
    assert!(standby.leader().0.is("standby"));
    assert_eq!(without_select(server.records()).len(), from + 2, "{:?}", names(&server.records()));
    replica.until_in_step_with(&server);
    assert_eq!(replica.connect().digest("q"), c.digest("q"));
    drop(open);
}

#[test]
fn a_clients_own_transaction_and_script_stay_whole_and_their_waiters_are_served_after_them() {
    let mut server = logged().start();
    let mut c = server.connect();
    let waiting = |q: &str| Waiter::spawn(&server, CONSUMER.replace('$', q));
    let (first, second) = (waiting("transaction"), waiting("script"));
    c.exec(&["MQ.PUSH transaction MSG a", "MQ.PUSH transaction PRIORITY 1 MSG b", "SET s 1"]);
    let (first, claims, _) = first.answer();
    assert!(claims.is_ok());
    let script = "for i = 1, 3 do redis.call('MQ.PUSH', KEYS[1], 'MSG', i) end";
    c.eval(script, "script", &[]).expect("a good script");
    let (second, claims, _) = second.answer();
    assert!(claims.is_ok());
    let logged = names(&without_select(server.records()));
    let starts: Vec<_> = (0..logged.len()).filter(|at| logged[*at] == "MULTI").collect();
    assert_eq!(starts.len(), 2, "{logged:?}");
    assert_eq!(logged.iter().filter(|name| *name == "EXEC").count(), 2, "{logged:?}");
    let before = ["transaction", "script"].map(|q| state(&mut c, q));
    assert!(before.iter().all(|(_, receipts, _)| receipts.len() == 2), "{before:?}");
    server.kill9();
    server.start_again();
    drop((first, second));
    let mut c = server.connect();
    assert_eq!(["transaction", "script"].map(|q| state(&mut c, q)), before);
    assert_eq!(c.text("GET s"), "1");
}
