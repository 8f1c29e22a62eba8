//! Shapes in which much comes due or ends at once, without a command that asks for it.

use std::{thread, time::Duration};

use mq_tests::{BATCH, Bulk, Crowd, Stall, clients_at_most};

use crate::stage::{CLIENTS, Due, MILLION, Stage};

/// A claim that only a closed connection ends while a shape is measured.
const SESSION_CLAIM: &str = "MQ.CLAIM q w LEASE 600000 SESSION";

/// A million delays in each queue. Consumers wait for them; without consumers a producer pushes each millisecond.
pub fn delays(stage: &mut Stage, queues: u32, consumers: usize) -> Stall {
    let names: Vec<_> = (0..queues).map(|n| format!("q{n}")).collect();
    let _crowd = (consumers > 0).then(|| stage.consumers(&names, consumers));
    let due = Due::in_seconds(2 + 2 * queues);
    for queue in &names {
        push_delayed(stage, queue, due);
    }
    let pings = stage.pings_at(due);
    if consumers > 0 {
        stage.until_count("mq_delayed", 0);
        stage.until_count("mq_blocked_consumers", 0);
    } else {
        push_until_none_is_delayed(stage);
    }
    pings.end()
}

/// Pushes a million messages that are ready at `due`.
pub fn push_delayed(stage: &mut Stage, queue: &str, due: Due) {
    let before = stage.count("mq_delayed") as usize;
    for _ in 0..MILLION / BATCH {
        stage.push(queue, &format!("DELAY {}", due.left_ms()), BATCH);
    }
    stage.expect("mq_delayed", before + MILLION);
}

fn push_until_none_is_delayed(stage: &mut Stage) {
    stage.work_off("no message is delayed", |c| {
        for _ in 0..20 {
            c.int("MQ.PUSH q0 MSG m");
            thread::sleep(Duration::from_millis(1));
        }
        c.server_count("mq", "mq_delayed") == 0
    });
}

/// One connection closes that holds a million claims.
pub fn dying_session(stage: &mut Stage, consumers: usize) -> Stall {
    stage.push("q", "", MILLION);
    let mut session = Bulk::open(&stage.server);
    session.claim(SESSION_CLAIM, MILLION);
    stage.expect("mq_claimed", MILLION);
    let _crowd = (consumers > 0).then(|| stage.consumers(&["q".into()], consumers));
    let pings = stage.pings();
    drop(session);
    stage.until_count("mq_expired", MILLION);
    stage.until_count("mq_blocked_consumers", 0);
    pings.end()
}

/// A million claims end without a delivery left.
pub fn dead_letters(stage: &mut Stage) -> Stall {
    stage.c.ok("MQ.CONFIG q max-deliveries 1");
    for n in 0..MILLION {
        stage.bulk.send(&format!("MQ.PUSH q UNIQUE unique-{n} GROUP group-{n} MSG payload8"));
    }
    stage.bulk.done();
    stage.expect("mq_ready", MILLION);
    let due = Due::in_seconds(5);
    for _ in 0..MILLION / BATCH {
        stage.bulk.claim(&format!("MQ.CLAIM q w LEASE {}", due.left_ms()), BATCH);
    }
    stage.expect("mq_claimed", MILLION);
    let _crowd = stage.consumers(&["q".into()], 1000);
    let pings = stage.pings_at(due);
    stage.until_count("mq_dead", MILLION);
    pings.end()
}

/// A hundred thousand times to live end in each of ten queues.
pub fn times_to_live(stage: &mut Stage) -> Stall {
    let queues: Vec<_> = (0..10).map(|n| format!("q{n}")).collect();
    for queue in &queues {
        stage.c.ok(format!("MQ.CONFIG {queue} paused yes"));
    }
    let _crowd = stage.consumers(&queues, 1000);
    let due = Due::in_seconds(5);
    for queue in &queues {
        for _ in 0..MILLION / 10 / BATCH {
            stage.push(queue, &format!("TTL {}", due.left_ms()), BATCH);
        }
    }
    let pings = stage.pings_at(due);
    stage.until_count("mq_ttl_expired", MILLION);
    pings.end()
}

/// The first write after a restart ends the claims of sessions that are no more.
pub fn restart(stage: &mut Stage) -> Stall {
    stage.push("q", "", MILLION);
    stage.bulk.claim(SESSION_CLAIM, MILLION);
    stage.expect("mq_claimed", MILLION);
    stage.c.ok("SAVE");
    stage.server.kill9();
    stage.server.start_again();
    stage.c = stage.server.connect();
    stage.bulk = Bulk::open(&stage.server);
    stage.expect("mq_claimed", MILLION);
    let pings = stage.pings();
    thread::sleep(Duration::from_millis(50));
    stage.c.int("MQ.PUSH q MSG m");
    stage.until_count("mq_claimed", 0);
    pings.end()
}

/// A leader resigns for which ten thousand connections of one candidate stand by.
pub fn standbys(stage: &mut Stage) -> Stall {
    let count = clients_at_most(CLIENTS).min(10_000);
    if count < 10_000 {
        stage.note(format!("only {count} standbys, since this process may open no more files"));
    }
    let token = stage.c.leader("MQ.LEADER q first LEASE 600000").token;
    let _crowd = Crowd::send(&stage.server, count, |_| "MQ.LEADER q standby LEASE 600000 BLOCK 0".into());
    stage.until_count("mq_blocked_candidates", count);
    let pings = stage.pings();
    thread::sleep(Duration::from_millis(50));
    assert_eq!(stage.c.int(format!("MQ.LEADER q first RESIGN {token}")), 1);
    stage.until_count("mq_blocked_candidates", 0);
    pings.end()
}
