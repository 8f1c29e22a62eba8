//! A waiter is served with the rights that its user has when it is served, not with those it had when it came.

use mq_tests::{Conn, Server, Waiter};

/// What takes a right from the user `u`, who may do everything before.
const TAKEN_FROM_CONSUMERS: [&str; 6] = [
    "resetkeys",
    "-@all",
    "-mq.claim",
    "resetkeys ~elsewhere*",
    "resetkeys %R~*",
    "resetkeys -@all (+mq.claim ~elsewhere*)",
];
const TAKEN_FROM_CANDIDATES: [&str; 5] =
    ["resetkeys", "-@all", "-mq.leader", "resetkeys ~elsewhere*", "resetkeys -@all (+mq.leader ~elsewhere*)"];

/// A connection of the user `u`.
fn user(server: &Server) -> Conn {
    let mut conn = server.connect();
    conn.ok("AUTH u any");
    conn
}

/// A server with the user, who has these rights.
fn server(rights: &str) -> (Server, Conn) {
    let server = Server::start();
    let mut c = server.connect();
    c.ok(format!("ACL SETUSER u on nopass {rights}"));
    (server, c)
}

#[track_caller]
fn no_permission(waiter: Waiter, why: &str) -> Conn {
    let (conn, answer, _) = waiter.answer();
    match answer {
        Ok(served) => panic!("{why}: served with {served:?}"),
        Err(refusal) => assert_eq!(refusal.code(), Some("NOPERM"), "{why}: {refusal}"),
    }
    conn
}

/// The user waits first, somebody else second; the user's rights are taken; a message comes by `bring`.
fn a_message_passes_the_user_over(bring: impl Fn(&mut Conn, &str)) {
    let (server, mut c) = server("~* &* +@all");
    for (n, taken) in TAKEN_FROM_CONSUMERS.into_iter().enumerate() {
        let q = &format!("q{n}");
        c.ok("ACL SETUSER u reset on nopass ~* &* +@all");
        let users = Waiter::spawn_on(&server, user(&server), format!("MQ.CLAIM {q} user BLOCK 0"));
        let others = Waiter::spawn(&server, format!("MQ.CLAIM {q} other BLOCK 0"));
        c.ok(format!("ACL SETUSER u {taken}"));
        bring(&mut c, q);
        no_permission(users, taken);
        let claims = others.claims();
        assert_eq!((claims[0].payload.as_str(), claims[0].deliveries), ("a", 1), "{taken}");
        let info = c.balanced(q);
        assert_eq!((info.int("claimed"), info.int("delivered")), (1, 1), "{taken}");
    }
}

#[test]
fn a_push_passes_a_waiter_over_whose_rights_were_taken() {
    a_message_passes_the_user_over(|c, q| {
        c.int(["MQ.PUSH", q, "MSG", "a"]);
    });
}

#[test]
fn a_delay_that_comes_due_passes_a_waiter_over_whose_rights_were_taken() {
    a_message_passes_the_user_over(|c, q| {
        c.int(["MQ.PUSH", q, "DELAY", "20", "MSG", "a"]);
    });
}

#[test]
fn a_transaction_and_a_renamed_queue_pass_a_waiter_over_whose_rights_were_taken() {
    a_message_passes_the_user_over(|c, q| drop(c.exec(&[&format!("MQ.PUSH {q} MSG a")])));
    a_message_passes_the_user_over(|c, q| {
        c.int("MQ.PUSH source MSG a");
        c.ok(["RENAME", "source", q]);
    });
}

/// The user stands by first, somebody else second; the user's rights are taken; the leader goes by `leave`.
fn leadership_passes_the_user_over(lead: &str, leave: impl Fn(&mut Conn, &str, i64)) {
    let (server, mut c) = server("~* &* +@all");
    for (n, taken) in TAKEN_FROM_CANDIDATES.into_iter().enumerate() {
        let q = &format!("q{n}");
        c.ok("ACL SETUSER u reset on nopass ~* &* +@all");
        let token = c.leader(lead.replace('$', q)).token;
        let users = Waiter::spawn_on(&server, user(&server), format!("MQ.LEADER {q} user BLOCK 0"));
        let others = Waiter::spawn(&server, format!("MQ.LEADER {q} other LEASE 3600000 BLOCK 0"));
        c.ok(format!("ACL SETUSER u {taken}"));
        leave(&mut c, q, token);
        no_permission(users, taken);
        let (led, ..) = others.leader();
        assert!(led.is("other") && led.token == token + 1, "{taken}: {led:?} after {token}");
    }
}

#[test]
fn a_resignation_passes_a_standby_over_whose_rights_were_taken() {
    leadership_passes_the_user_over("MQ.LEADER $ me LEASE 3600000", |c, q, token| {
        assert_eq!(c.int(format!("MQ.LEADER {q} me RESIGN {token}")), 1);
    });
}

#[test]
fn a_leaders_lease_that_ends_passes_a_standby_over_whose_rights_were_taken() {
    leadership_passes_the_user_over("MQ.LEADER $ me LEASE 3600000", |c, q, _| {
        c.leader(format!("MQ.LEADER {q} me LEASE 20"));
    });
}

#[test]
fn a_waiter_loses_what_a_selector_gave_when_the_selector_goes() {
    let (server, mut c) = server("resetkeys -@all +auth +client (+mq.claim ~q*)");
    let users = Waiter::spawn_on(&server, user(&server), "MQ.CLAIM q user BLOCK 0");
    let others = Waiter::spawn(&server, "MQ.CLAIM q other BLOCK 0");
    c.ok("ACL SETUSER u clearselectors");
    c.int("MQ.PUSH q MSG a");
    no_permission(users, "clearselectors");
    assert_eq!(others.claims()[0].payload, "a");
}

#[test]
fn a_waiter_with_a_selector_or_with_fewer_other_rights_is_served() {
    let (server, mut c) = server("~* &* +@all");
    for kept in
        ["resetkeys ~q*", "resetkeys %RW~q", "-@all +mq.claim", "resetkeys -@all (+mq.claim ~q)", "resetchannels"]
    {
        c.ok("ACL SETUSER u reset on nopass ~* &* +@all");
        let users = Waiter::spawn_on(&server, user(&server), "MQ.CLAIM q user BLOCK 0");
        c.ok(format!("ACL SETUSER u {kept}"));
        c.int("MQ.PUSH q MSG a");
        assert_eq!(users.claims().len(), 1, "{kept}");
    }
}

#[test]
fn a_waiter_whose_user_was_only_switched_off_is_served() {
    let (server, mut c) = server("~* &* +@all");
    let consumer = Waiter::spawn_on(&server, user(&server), "MQ.CLAIM q user BLOCK 0");
    let token = c.leader("MQ.LEADER q me LEASE 3600000").token;
    let standby = Waiter::spawn_on(&server, user(&server), "MQ.LEADER q user BLOCK 0");
    c.ok("ACL SETUSER u off");
    c.int("MQ.PUSH q MSG a");
    c.int(format!("MQ.LEADER q me RESIGN {token}"));
    assert_eq!(consumer.claims().len(), 1);
    assert!(standby.leader().0.is("user"));
}

#[test]
fn a_waiter_whose_user_is_deleted_is_gone_and_passed_over() {
    let (server, mut c) = server("~* &* +@all");
    let consumer = Waiter::spawn_on(&server, user(&server), "MQ.CLAIM q user BLOCK 0");
    let next = Waiter::spawn(&server, "MQ.CLAIM q other BLOCK 0");
    let token = c.leader("MQ.LEADER q me LEASE 3600000").token;
    let standby = Waiter::spawn_on(&server, user(&server), "MQ.LEADER q user BLOCK 0");
    let next_standby = Waiter::spawn(&server, "MQ.LEADER q other BLOCK 0");
    c.int("ACL DELUSER u");
    c.int("MQ.PUSH q MSG a");
    c.int(format!("MQ.LEADER q me RESIGN {token}"));
    assert_eq!(next.claims()[0].payload, "a");
    assert!(next_standby.leader().0.is("other"));
    assert!(consumer.answer().1.is_err() && standby.answer().1.is_err());
    let info = c.balanced("q");
    assert_eq!((info.int("delivered"), info.int("leader-changes")), (1, 2));
}

#[test]
fn a_waiter_whose_rights_were_taken_and_given_back_is_served() {
    let (server, mut c) = server("~* &* +@all");
    let users = Waiter::spawn_on(&server, user(&server), "MQ.CLAIM q user BLOCK 0");
    c.ok("ACL SETUSER u resetkeys");
    c.ok("ACL SETUSER u ~*");
    c.int("MQ.PUSH q MSG a");
    assert_eq!(users.claims().len(), 1);
}
