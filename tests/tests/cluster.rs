//! Redis Cluster: a queue lives in one slot, moves with it, and takes nobody along who waits.

use mq_tests::{Conn, Server, Waiter, every_state, two_nodes};

/// Moves the slot of `key`, key by key, as `redis-cli --cluster reshard` does.
fn migrate(nodes: &[Server; 2], key: &str) {
    let [mut from, mut to]: [Conn; 2] = [nodes[0].connect(), nodes[1].connect()];
    let (from_id, to_id) = (from.text("CLUSTER MYID"), to.text("CLUSTER MYID"));
    let slot = from.int(["CLUSTER", "KEYSLOT", key]);
    to.ok(format!("CLUSTER SETSLOT {slot} IMPORTING {from_id}"));
    from.ok(format!("CLUSTER SETSLOT {slot} MIGRATING {to_id}"));
    if from.int(["EXISTS", key]) == 1 {
        from.ok(format!("MIGRATE 127.0.0.1 {} {key} 0 10000", nodes[1].port()));
    }
    for c in [&mut to, &mut from] {
        c.ok(format!("CLUSTER SETSLOT {slot} NODE {to_id}"));
    }
}

#[test]
fn a_queue_moves_with_its_slot_and_goes_on_there() {
    let nodes = two_nodes();
    let mut c = nodes[0].connect();
    let kept = every_state(&mut c, "q");
    let digest = c.digest("q");
    migrate(&nodes, "q");
    assert!(c.refusal("MQ.PUSH q MSG a").starts_with("MOVED"));
    let mut there = nodes[1].connect();
    assert_eq!(there.digest("q"), digest);
    assert_eq!(there.int(format!("MQ.ACK q {}", kept.claimed)), 1);
    assert!(there.refusal(format!("MQ.PUSH q FENCE {} MSG a", kept.token)).starts_with("FENCED"));
    assert!(there.int("MQ.PUSH q MSG a") > kept.last_id);
    assert!(there.leader("MQ.LEADER q you").token > kept.token);
    there.balanced("q");
}

#[test]
fn who_waits_is_told_where_the_slot_went() {
    let nodes = two_nodes();
    let mut c = nodes[0].connect();
    c.leader("MQ.LEADER q me LEASE 3600000");
    let consumer = Waiter::spawn(&nodes[0], "MQ.CLAIM q w BLOCK 0");
    let standby = Waiter::spawn(&nodes[0], "MQ.LEADER q you BLOCK 0");
    migrate(&nodes, "q");
    for waiter in [consumer, standby] {
        assert!(waiter.answer().1.is_err_and(|error| error.code() == Some("MOVED")));
    }
    nodes[1].connect().int("MQ.PUSH q MSG a");
    assert_eq!(nodes[1].connect().balanced("q").int("ready"), 1);
}

#[test]
fn every_command_of_another_nodes_slot_is_redirected() {
    let nodes = two_nodes();
    let mut c = nodes[1].connect();
    for command in ["MQ.PUSH q MSG a", "MQ.CLAIM q w BLOCK 0", "MQ.ACK q 1", "MQ.LEADER q", "MQ.INFO q", "MQ.SEQ q p"] {
        assert!(c.refusal(command).starts_with("MOVED"), "{command}");
    }
}
