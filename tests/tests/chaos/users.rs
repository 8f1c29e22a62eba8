//! Users whose rights change, connections that have subscribed to a channel, and a server whose default user is off.

use mq_tests::{
    Conn, Server,
    chaos::{self, Arena, CHANNEL, Settled},
};

/// Consumers that wait most of the time, half of them as the user with few rights.
const WAITERS: u64 = 16;

/// The same where a server is killed: many, since each is a promise that the log must keep.
const MANY_WAITERS: u64 = 40;

/// Takes the rights of the user, waits, and gives them back.
fn without_rights(server: &Server, arena: &Arena, c: &mut Conn, take: &str) {
    c.ok(take);
    let from = arena.history.now();
    arena.goes_on_after(20..300);
    arena.was_without_rights(server, from);
    c.ok(format!("ACL SETUSER worker {}", chaos::RIGHTS));
}

#[test]
fn a_user_whose_rights_come_and_go_is_served_only_while_it_has_them() {
    let server = chaos::server().start();
    let arena = Arena::new(&server, Settled::WhenAnswered).with_waiters(WAITERS);
    let mut times = 0;
    arena.run(|| {
        let mut c = server.connect();
        while arena.goes_on_after(20..200) {
            match arena.below(4) {
                0 => without_rights(&server, &arena, &mut c, "ACL SETUSER worker resetkeys"),
                1 => without_rights(&server, &arena, &mut c, "ACL SETUSER worker -@all"),
                // Its connections close, and it cannot come back before it is made again.
                2 => without_rights(&server, &arena, &mut c, "ACL DELUSER worker"),
                // Who is connected goes on.
                _ => {
                    c.ok("ACL SETUSER worker off");
                    arena.goes_on_after(20..100);
                    c.ok("ACL SETUSER worker on");
                }
            }
            times += 1;
        }
    });
    arena.judge(&format!("rights taken and given back {times} times"));
    assert!(times > 3 && arena.refusals() > 0);
}

#[test]
fn subscribed_clients_that_are_pushed_messages_meanwhile_are_answered_once() {
    let server = chaos::server().start();
    let arena = Arena::new(&server, Settled::WhenAnswered).with_waiters(WAITERS);
    let mut published = 0;
    arena.run(|| {
        let mut c = server.connect();
        let news: Vec<_> = (0..20).map(|n| format!("PUBLISH {CHANNEL} {n}")).collect();
        while arena.goes_on_after(1..20) {
            c.pipeline(&news).expect("a whole connection");
            published += news.len();
            if arena.below(100) == 0 {
                c.ok("CLIENT KILL TYPE pubsub");
            }
        }
    });
    arena.judge(&format!("{published} messages published to those who wait and work"));
    assert!(published > 100);
    let refusals = arena.refusals_by_code();
    let is_a_rivals = |code: &String| ["FENCED", "OUTOFORDER"].contains(&code.as_str());
    assert!(refusals.keys().all(is_a_rivals), "no one is refused for a subscription: {refusals:?}");
}

#[test]
fn a_server_whose_default_user_is_off_keeps_what_waiters_were_answered_when_it_is_killed() {
    let mut server = chaos::server()
        .config("appendonly yes")
        .config("appendfsync always")
        .config("user default off")
        .config("user admin on >secret ~* &* +@all")
        .login("admin", "secret")
        .start();
    let arena = Arena::new(&server, Settled::WhenAnswered).with_waiters(MANY_WAITERS);
    let mut kills = 0;
    arena.run(|| {
        while arena.goes_on_after(50..600) {
            server.kill9();
            server.start_again();
            kills += 1;
        }
    });
    arena.judge(&format!("default user off, appendfsync always, {kills} kills"));
    assert!(kills > 3);
}
