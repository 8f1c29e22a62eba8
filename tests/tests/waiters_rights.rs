//! A waiter is served with the rights that its user has when it is served, not with those it had when it came.

use mq_tests::{Conn, Server, Waiter, patience, skip};

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

#[test]
fn a_message_that_comes_in_one_go_with_the_end_of_a_waiters_user_is_not_given_to_it() {
    let (server, mut c) = server("~* &* +@all");
    let consumer = Waiter::spawn_on(&server, user(&server), "MQ.CLAIM q user BLOCK 0");
    // The user's connection is closed after both.
    let answers = c.pipeline(&["ACL DELUSER u", "MQ.PUSH q MSG a"]).expect("a whole connection");
    assert!(answers.iter().all(Result::is_ok));
    assert!(consumer.answer().1.is_err());
    let info = c.balanced("q");
    assert_eq!((info.int("ready"), info.int("delivered"), info.int("blocked-consumers")), (1, 0, 0));
}

#[test]
fn what_comes_in_one_go_with_the_end_of_a_waiters_user_is_the_next_waiters() {
    let (server, mut c) = server("~* &* +@all");
    let consumer = Waiter::spawn_on(&server, user(&server), "MQ.CLAIM q user BLOCK 0");
    let next = Waiter::spawn(&server, "MQ.CLAIM q other BLOCK 0");
    let token = c.leader("MQ.LEADER q me LEASE 3600000").token;
    let standby = Waiter::spawn_on(&server, user(&server), "MQ.LEADER q user BLOCK 0");
    let next_standby = Waiter::spawn(&server, "MQ.LEADER q other BLOCK 0");
    let resign = format!("MQ.LEADER q me RESIGN {token}");
    let answers = c.pipeline(&["ACL DELUSER u", "MQ.PUSH q MSG a", &resign]).expect("a whole connection");
    assert!(answers.iter().all(Result::is_ok));
    let claims = next.claims();
    assert_eq!((claims[0].payload.as_str(), claims[0].deliveries), ("a", 1));
    let (led, ..) = next_standby.leader();
    assert!(led.is("other") && led.token == token + 1, "{led:?} after {token}");
    assert!(consumer.answer().1.is_err() && standby.answer().1.is_err());
    assert_eq!(c.balanced("q").int("delivered"), 1);
}

#[test]
fn a_standby_whose_rights_were_taken_is_not_told_who_leads_when_its_time_is_over() {
    let (server, mut c) = server("~* &* +@all");
    c.leader("MQ.LEADER q me LEASE 3600000");
    let wait = format!("MQ.LEADER q user BLOCK {}", 1000 * patience());
    let standby = Waiter::spawn_on(&server, user(&server), wait);
    c.ok("ACL SETUSER u resetkeys");
    no_permission(standby, "its time is over");
    for taken in TAKEN_FROM_CANDIDATES {
        c.ok("ACL SETUSER u reset on nopass ~* &* +@all");
        let standby = Waiter::spawn_on(&server, user(&server), "MQ.LEADER q user BLOCK 0");
        c.ok(format!("ACL SETUSER u {taken}"));
        assert_eq!(c.int(format!("CLIENT UNBLOCK {} TIMEOUT", standby.id())), 1);
        no_permission(standby, taken);
    }
}

const NO_RIGHTS_TO_DATABASES: &str = "no rights to single databases (Valkey 9.1)";

/// A server whose user `u` may do everything, but in this database only. `None`: the server knows no such limit.
fn limited_to(db: i64) -> Option<Server> {
    let server = Server::start();
    let limited = server.connect().call(format!("ACL SETUSER u on nopass ~* &* +@all resetdbs db={db}"));
    limited.is_ok().then_some(server)
}

/// A connection of the user `u` to this database.
fn user_in(server: &Server, db: i64) -> Conn {
    let mut conn = user(server);
    conn.ok(format!("SELECT {db}"));
    conn
}

#[test]
fn a_waiter_is_served_in_the_database_that_its_user_is_limited_to() {
    for db in [0, 1] {
        let Some(server) = limited_to(db) else { skip!(NO_RIGHTS_TO_DATABASES) };
        let mut c = server.connect_db(db);
        let token = c.leader("MQ.LEADER q me LEASE 3600000").token;
        let consumer = Waiter::spawn_on(&server, user_in(&server, db), "MQ.CLAIM q user BLOCK 0");
        let standby = Waiter::spawn_on(&server, user_in(&server, db), "MQ.LEADER q user BLOCK 0");
        c.int("MQ.PUSH q MSG a");
        c.int(format!("MQ.LEADER q me RESIGN {token}"));
        assert_eq!(consumer.claims().len(), 1, "database {db}");
        assert!(standby.leader().0.is("user"), "database {db}");
    }
}

#[test]
fn a_waiter_whose_right_to_the_database_was_taken_is_passed_over() {
    for (db, other_db) in [(0, 1), (1, 0)] {
        let Some(server) = limited_to(db) else { skip!(NO_RIGHTS_TO_DATABASES) };
        let mut c = server.connect_db(db);
        let token = c.leader("MQ.LEADER q me LEASE 3600000").token;
        let consumer = Waiter::spawn_on(&server, user_in(&server, db), "MQ.CLAIM q user BLOCK 0");
        let standby = Waiter::spawn_on(&server, user_in(&server, db), "MQ.LEADER q user BLOCK 0");
        let next = Waiter::spawn_on(&server, server.connect_db(db), "MQ.CLAIM q other BLOCK 0");
        let next_standby = Waiter::spawn_on(&server, server.connect_db(db), "MQ.LEADER q other BLOCK 0");
        c.ok(format!("ACL SETUSER u resetdbs db={other_db}"));
        c.int("MQ.PUSH q MSG a");
        c.int(format!("MQ.LEADER q me RESIGN {token}"));
        no_permission(consumer, "no right to the database");
        no_permission(standby, "no right to the database");
        assert_eq!(next.claims().len(), 1, "database {db}");
        assert!(next_standby.leader().0.is("other"), "database {db}");
        assert_eq!(c.balanced("q").int("delivered"), 1);
    }
}
