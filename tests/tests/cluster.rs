//! Redis Cluster: a queue lives in one slot, moves with it, and takes nobody along who waits.

use mq_tests::{Conn, Server, Waiter, every_state, migrate, two_nodes, until};

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

/// A node that serves no slot while one of them is nobody's.
#[test]
fn while_the_cluster_is_down_nothing_happens_by_itself_and_waiters_are_told() {
    let server = Server::builder().cluster().start();
    let mut c = server.connect();
    let state = |c: &mut Conn, state: &str| c.text("CLUSTER INFO").contains(&format!("cluster_state:{state}"));
    c.ok("CLUSTER ADDSLOTSRANGE 0 16383");
    until("the cluster is up", || state(&mut c, "ok"));
    let mut holder = server.connect();
    c.int("MQ.PUSH q MSG a b");
    holder.claim("MQ.CLAIM q holder LEASE 3600000 SESSION");
    holder.leader("MQ.LEADER q me LEASE 3600000 SESSION");
    c.claim("MQ.CLAIM q w LEASE 300");
    let consumer = Waiter::spawn(&server, "MQ.CLAIM q waiter LEASE 3600000 BLOCK 0");
    let standby = Waiter::spawn(&server, "MQ.LEADER q you BLOCK 0");
    let another_slot = (c.int("CLUSTER KEYSLOT q") + 1) % 16384;
    c.ok(format!("CLUSTER DELSLOTS {another_slot}"));
    until("the cluster is down", || state(&mut c, "fail"));
    assert!(c.refusal("MQ.PUSH q MSG a").starts_with("CLUSTERDOWN"));
    for waiter in [consumer, standby] {
        assert!(waiter.answer().1.is_err_and(|error| error.code() == Some("CLUSTERDOWN")));
    }
    let digest = c.digest("q");
    drop(holder);
    let later = c.clock_ms() + 600;
    until("everything is due, for some time", || c.clock_ms() > later);
    assert_eq!(c.digest("q"), digest);
    c.ok(format!("CLUSTER ADDSLOTS {another_slot}"));
    until("the cluster is up again", || state(&mut c, "ok"));
    until("the session has ended by itself", || c.balanced("q").int("expired") >= 1);
    assert_eq!(c.fields("MQ.INFO q").text("leader"), "");
    assert_eq!(c.claims("MQ.CLAIM q w COUNT 5").len(), 2);
}
