//! What a fault in the module leaves behind: a server that lives, clients that are told, and no queue that is half changed.
//!
//! It takes a module that panics on demand: `cargo build -p mq --features faults`, as `make test` does.

use mq_tests::{Conn, Server, Value, Waiter, every_state, skip, until, with_faults};

const INTERNAL: &str = "ERR internal fault in the module, see the server's log; the command may not have been done";

const NOT_BUILT: &str = "the module was built without faults";

fn start(lines: &[&str]) -> Option<Server> {
    Some(lines.iter().fold(with_faults()?, |builder, line| builder.config(*line)).start())
}

fn arm(c: &mut Conn, site: &str, n: usize) {
    // The one that was wanted before may strike this command itself.
    until("it is armed", || c.call(format!("MQ.FAULT q {site} {n}")).is_ok());
}

/// Whatever a client may have been told.
fn is_an_answer(answer: redis::RedisResult<mq_tests::Value>, command: &str) {
    if let Err(error) = answer {
        assert!(!error.is_io_error(), "{command}: the connection was lost: {error}");
    }
}

#[test]
fn a_fault_in_the_middle_of_a_change_breaks_that_queue_and_no_other() {
    let Some(server) = start(&["appendonly yes"]) else { skip!(NOT_BUILT) };
    let replica = with_faults().expect("it was there").replica_of(&server);
    let mut c = server.connect();
    for (n, command) in [
        "MQ.PUSH $ MSG a",
        "MQ.CLAIM $ w",
        "MQ.ACK $ 1",
        "MQ.LEADER $ me",
        "MQ.DRAINERRORS $",
        "MQ.REDRIVE $",
        "MQ.CONFIG $ lease 5",
        "MQ.PURGE $ READY",
    ]
    .into_iter()
    .enumerate()
    {
        let queue = format!("q{n}");
        every_state(&mut c, &queue);
        replica.until_in_step_with(&server);
        let sound = replica.connect().digest(&queue);
        arm(&mut c, "CHANGE", 1);
        assert_eq!(c.refusal(command.replace('$', &queue)), INTERNAL, "{command}");
        for later in ["MQ.PUSH $ MSG a", "MQ.INFO $", "MQ.PEEK $ READY", "MQ.CLAIM $ w BLOCK 0"] {
            assert!(c.refusal(later.replace('$', &queue)).starts_with("BROKEN"), "{command}, {later}");
        }
        replica.until_in_step_with(&server);
        assert_eq!(replica.connect().digest(&queue), sound, "{command}: nothing half done reaches a replica");
        c.int(format!("DEL {queue}"));
        assert!(c.int(format!("MQ.PUSH {queue} MSG again")) > 0);
        c.balanced(&queue);
    }
    c.ok("DEBUG RELOAD");
}

#[test]
fn who_waits_for_a_queue_that_breaks_is_told_so() {
    let Some(server) = start(&[]) else { skip!(NOT_BUILT) };
    let mut c = server.connect();
    c.leader("MQ.LEADER q me LEASE 60000");
    let consumer = Waiter::spawn(&server, "MQ.CLAIM q w BLOCK 0");
    let candidate = Waiter::spawn(&server, "MQ.LEADER q other BLOCK 0");
    arm(&mut c, "CHANGE", 1);
    c.refusal("MQ.PUSH q MSG a");
    for waiter in [consumer, candidate] {
        let (_, answer, _) = waiter.answer();
        assert!(answer.expect_err("it is broken").to_string().contains("BROKEN"));
    }
}

#[test]
fn a_fault_in_the_timers_turn_at_one_queue_leaves_the_others_their_turns() {
    let Some(server) = start(&[]) else { skip!("the module was built without faults") };
    let mut c = server.connect();
    let queues = ["qa", "qb", "qc"];
    let waiters = queues.map(|q| {
        c.int(format!("MQ.PUSH {q} DELAY 300 MSG later"));
        Waiter::spawn(&server, format!("MQ.CLAIM {q} w BLOCK 0"))
    });
    arm(&mut c, "CHANGE", 1);
    let answers = waiters.map(|waiter| waiter.answer().1);
    let broken = answers.iter().filter(|answer| answer.as_ref().is_err_and(|e| e.to_string().contains("BROKEN")));
    assert_eq!((broken.count(), answers.iter().filter(|answer| answer.is_ok()).count()), (1, 2), "{answers:?}");
}

#[test]
fn a_fault_while_a_file_is_written_costs_no_file() {
    let Some(mut server) = start(&["appendonly no"]) else { skip!(NOT_BUILT) };
    let mut c = server.connect();
    every_state(&mut c, "q");
    let digest = c.digest("q");
    c.ok("SAVE");
    // Whichever callback it strikes, the server's own ticks among them.
    let (mut given_up, mut torn) = (0, 0);
    for n in 1..=10 {
        arm(&mut c, "CALLBACK", n);
        c.ok("BGSAVE");
        until("it is over", || c.server_count("persistence", "rdb_bgsave_in_progress") == 0);
        given_up += usize::from(c.server_info("persistence", "rdb_last_bgsave_status") == "err");
        arm(&mut c, "CALLBACK", n);
        let Ok(Value::BulkString(dump)) = c.call("DUMP q") else { panic!("a dump") };
        arm(&mut c, "CALLBACK", 0);
        c.ok([b"RESTORE", &b"copy"[..], b"0", &dump, b"REPLACE"]);
        match c.call("MQ.INFO copy") {
            Ok(_) => assert_eq!(c.digest("copy"), digest),
            Err(error) => torn += usize::from(error.to_string().contains("BROKEN")),
        }
        c.int("DEL copy");
    }
    assert!(given_up > 0 && torn > 0, "{given_up} files given up, {torn} dumps torn");
    arm(&mut c, "CALLBACK", 0);
    c.ok("CONFIG SET stop-writes-on-bgsave-error no");
    server.kill9();
    server.start_again();
    assert_eq!(server.connect().digest("q"), digest, "the last whole file");
}

#[test]
fn no_callback_takes_the_server_with_it() {
    let Some(mut server) = start(&["appendonly yes", "aof-use-rdb-preamble no", "notify-keyspace-events KEA"]) else {
        skip!(NOT_BUILT)
    };
    let mut c = server.connect();
    for n in 1..=60 {
        arm(&mut c, "CALLBACK", n);
        let mut dies = server.connect();
        let waiter = Waiter::send(server.connect(), "MQ.CLAIM q w BLOCK 50");
        let standby = Waiter::send(server.connect(), "MQ.LEADER q standby BLOCK 50 SESSION");
        for command in [
            "MQ.LEADER q me LEASE 20 SESSION",
            "MQ.PUSH q DELAY 5 MSG later",
            "MQ.PUSH q GROUP g TTL 10 UNIQUE u MSG a",
            "MQ.CLAIM q w COUNT 2 LEASE 5 SESSION",
            "MQ.PUSH q MSG a b c",
            "MQ.CLAIM q w COUNT 2 BLOCK 20 LEASE 5",
            "MEMORY USAGE q",
            "DEBUG DIGEST-VALUE q",
            "COPY q copied REPLACE",
            "MQ.INFO q CONSUMERS",
            "INFO mq",
            "CONFIG SET mq.lease 30000",
            "CONFIG GET mq.*",
            "RENAME copied renamed",
            "UNLINK renamed",
            "FLUSHDB ASYNC",
        ] {
            is_an_answer(dies.call(command), command);
        }
        drop(dies);
        for waiter in [waiter, standby] {
            is_an_answer(waiter.answer().1, "the wait");
        }
        assert!(!server.has_died(), "the {n}th callback");
    }
    arm(&mut c, "CALLBACK", 0);
    c.int("DEL q");
    every_state(&mut c, "q");
    for n in 1..=6 {
        arm(&mut c, "CALLBACK", n);
        is_an_answer(c.call("DUMP q"), "DUMP");
        is_an_answer(c.call("BGREWRITEAOF"), "BGREWRITEAOF");
        until("it is over", || c.server_count("persistence", "aof_rewrite_in_progress") == 0);
    }
    arm(&mut c, "CALLBACK", 0);
    c.balanced("q");
    assert!(!server.has_died());
}
