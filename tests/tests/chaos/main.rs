//! Traffic of every kind while the worst happens, and the judgement of what the clients saw. `make chaos` gives it longer.

mod partitions;
mod refusals;
mod users;

use std::{thread, time::Duration};

use mq_tests::{
    Peer, Proxy, Server, Waiter,
    chaos::{self, Arena, QUEUE, Settled},
    eventually, until,
};

/// What `appendfsync everysec` may lose: a second, and another one if the disk is slow (redis.conf).
const EVERYSEC: Duration = Duration::from_secs(2);

#[test]
fn a_server_killed_with_appendfsync_always_loses_nothing_and_repeats_nothing() {
    let mut server = chaos::server().config("appendonly yes").config("appendfsync always").start();
    let arena = Arena::new(&server, Settled::WhenAnswered);
    let mut kills = 0;
    arena.run(|| {
        while arena.goes_on_after(50..600) {
            server.kill9();
            server.start_again();
            kills += 1;
        }
    });
    arena.judge(&format!("appendfsync always, {kills} kills"));
    assert!(kills > 3);
}

#[test]
fn a_server_killed_with_appendfsync_everysec_loses_what_redis_says_and_no_more() {
    let mut server = chaos::server().config("appendonly yes").config("appendfsync everysec").start();
    let arena = Arena::new(&server, Settled::WhenAnswered);
    let mut kills = 0;
    arena.run(|| {
        while arena.goes_on_after(2_200..3_200) {
            let from = arena.history.now().saturating_sub(EVERYSEC);
            server.kill9();
            server.start_again();
            arena.history.unsettle(server.port(), from, arena.history.now());
            kills += 1;
        }
    });
    arena.judge(&format!("appendfsync everysec, {kills} kills"));
    assert!(kills > 0);
}

#[test]
fn a_frozen_server_goes_on_where_it_was() {
    let server = chaos::server().start();
    let arena = Arena::new(&server, Settled::WhenAnswered);
    let mut times = 0;
    arena.run(|| {
        while arena.goes_on_after(50..500) {
            server.freeze();
            // Leases end meanwhile, or not.
            arena.goes_on_after(50..900);
            server.thaw();
            times += 1;
        }
    });
    arena.judge(&format!("a server frozen {times} times"));
}

#[test]
fn a_server_that_pauses_sleeps_rewrites_and_saves_changes_nothing_by_that() {
    let server = chaos::server().config("appendonly yes").start();
    let replica = Server::builder().replica_of(&server);
    let arena = Arena::new(&server, Settled::WhenAnswered);
    let mut times = 0;
    arena.run(|| {
        let mut c = server.connect();
        while arena.goes_on_after(20..200) {
            // Refused when the one before still runs, which is as good. Leases end in every pause.
            let _ = match arena.below(5) {
                0 => c.call("CLIENT PAUSE 700 WRITE"),
                1 => c.call("CLIENT PAUSE 300 ALL"),
                2 => c.call("DEBUG SLEEP 0.5"),
                3 => c.call("BGREWRITEAOF"),
                _ => c.call("BGSAVE"),
            };
            times += 1;
        }
        c.ok("CLIENT UNPAUSE");
    });
    arena.judge(&format!("pauses, sleep, BGREWRITEAOF, BGSAVE: {times} of them"));
    until("the replica is the same", || {
        replica.until_in_step_with(&server);
        server.connect().digest(QUEUE) == replica.connect().digest(QUEUE)
    });
}

#[test]
fn a_full_server_refuses_pushes_and_nothing_else() {
    let server = chaos::server().start();
    let arena = Arena::new(&server, Settled::WhenAnswered);
    let mut times = 0;
    arena.run(|| {
        let mut c = server.connect();
        while arena.goes_on_after(100..400) {
            c.ok("CONFIG SET maxmemory 1");
            let full = c.refusal("MQ.PUSH full MSG no");
            assert!(full.starts_with("OOM"), "{full}");
            let before = c.fields(["MQ.INFO", QUEUE]);
            arena.goes_on_after(100..300);
            let after = c.fields(["MQ.INFO", QUEUE]);
            assert_eq!(after.int("pushed"), before.int("pushed"));
            let left = before.int("ready") + before.int("claimed") + before.int("errors");
            let done = |info: &mq_tests::Fields| info.int("acked") + info.int("drained");
            assert!(left == 0 || done(&after) > done(&before), "a full server is drained");
            c.ok("CONFIG SET maxmemory 0");
            times += 1;
        }
    });
    assert!(arena.refusals() > 0);
    arena.judge(&format!("out of memory {times} times"));
}

#[test]
fn connections_that_are_cut_anywhere_lose_nothing() {
    let server = chaos::server().start();
    let arena = Arena::new(&server, Settled::WhenAnswered);
    let proxy = Proxy::cutting(server.port(), u64::from(server.port()), 4_000);
    arena.leads_to(proxy.port());
    arena.run(|| {
        while arena.goes_on_after(50..300) {
            proxy.cut();
        }
        // What is left is counted over a connection that lasts.
        arena.leads_to(server.port());
    });
    arena.judge(&format!("{} connections, each cut", proxy.accepted()));
    assert!(proxy.accepted() > 100);
}

#[test]
fn a_planned_failover_loses_nothing() {
    let servers = [chaos::server().start(), chaos::server().config("replica-serve-stale-data no").start()];
    servers[1].connect().ok(format!("REPLICAOF 127.0.0.1 {}", servers[0].port()));
    let arena = Arena::new(&servers[0], Settled::WhenAnswered);
    let (mut primary, mut times) = (0, 0);
    arena.run(|| {
        while arena.goes_on_after(100..500) {
            let (old, new) = (&servers[primary], &servers[1 - primary]);
            until("the replica is there", || new.connect().server_info("replication", "master_link_status") == "up");
            // The primary may learn a moment later that it is.
            let failover = format!("FAILOVER TO 127.0.0.1 {} TIMEOUT 5000", new.port());
            until("the failover begins", || old.connect().call(&*failover).is_ok());
            until("it is over", || old.connect().server_info("replication", "master_failover_state") == "no-failover");
            if new.connect().server_info("replication", "role") == "master" {
                primary = 1 - primary;
                arena.leads_to(new.port());
                times += 1;
            }
        }
    });
    arena.judge(&format!("{times} planned failovers"));
    assert!(times > 0);
}

#[test]
fn a_promoted_replica_has_all_that_it_had_confirmed() {
    let mut servers = [chaos::server().start(), chaos::server().start()];
    let follow = |server: &Server, primary: u16| {
        let mut c = server.connect();
        c.ok(format!("REPLICAOF 127.0.0.1 {primary}"));
        until("the replica is there", || c.server_info("replication", "master_link_status") == "up");
    };
    follow(&servers[1], servers[0].port());
    let arena = Arena::new(&servers[0], Settled::WhenReplicated);
    let mut kills = 0;
    arena.run(|| {
        while arena.goes_on_after(200..700) {
            servers[0].kill9();
            servers.swap(0, 1);
            servers[0].connect().ok("REPLICAOF NO ONE");
            arena.leads_to(servers[0].port());
            // It comes back empty, or with what nobody asks for any more.
            servers[1].start_again();
            follow(&servers[1], servers[0].port());
            kills += 1;
        }
    });
    arena.judge(&format!("{kills} primaries killed, their replicas promoted"));
    assert!(kills > 0);
}

#[test]
fn queues_deleted_and_made_again_under_load_repeat_no_number() {
    let server = chaos::server().start();
    let arena = Arena::new(&server, Settled::WhenAnswered);
    let mut times = 0;
    arena.run(|| {
        let mut c = server.connect();
        while arena.goes_on_after(20..200) {
            let huge = vec![format!("MQ.PUSH huge MSG{}", " payload".repeat(40)); 500];
            c.pipeline(&huge).expect("a whole connection");
            let waiters = [0, 1].map(|n| Waiter::spawn(&server, format!("MQ.CLAIM waited{n} w BLOCK 0")));
            c.ok(["FLUSHALL ASYNC", "FLUSHALL SYNC", "UNLINK q huge", "DEL q huge"][times % 4]);
            for (n, waiter) in waiters.into_iter().enumerate() {
                c.int(format!("MQ.PUSH waited{n} MSG a"));
                assert_eq!(waiter.claims().len(), 1, "it goes on waiting for the name");
            }
            times += 1;
        }
    });
    arena.judge_deleted(&format!("deleted {times} times"));
    assert!(times > 3);
}

/// The programs as they are delivered: peers with a ledger in which each completion is noted in the step that makes it.
#[test]
fn peers_and_their_server_killed_and_frozen_handle_each_message_once() {
    const PEERS: usize = 5;
    let mut server = chaos::server().config("appendonly yes").config("appendfsync always").start();
    let arena = Arena::new(&server, Settled::WhenAnswered);
    let messages = 4_000 * chaos::seconds();
    let peer = |server: &Server| {
        let options = "--interval 0 --handler-delay 20ms --concurrency 40 --lease 1s --ledger ledger";
        Peer::spawn(server, &format!("--queue {QUEUE} --limit {messages} {options}"))
    };
    let mut peers: Vec<Peer> = (0..PEERS).map(|_| peer(&server)).collect();
    let (mut killed, mut frozen, mut restarts) = (0, 0, 0);
    while arena.goes_on_after(50..300) {
        let n = arena.below(PEERS as u64) as usize;
        match arena.below(5) {
            0 => {
                server.kill9();
                server.start_again();
                restarts += 1;
            }
            1 | 2 => {
                peers[n].kill9();
                peers[n] = peer(&server);
                killed += 1;
            }
            // For longer than claims and leaderships last, or not as long.
            _ => {
                peers[n].freeze();
                thread::sleep(Duration::from_millis(arena.below(1_500)));
                peers[n].thaw();
                frozen += 1;
            }
        }
    }
    let mut c = server.connect();
    let info = eventually("all messages are handled", || {
        let info = c.balanced(QUEUE);
        let left = info.int("ready") + info.int("claimed");
        (info.int("pushed") == messages as i64 && left == 0).then_some(info)
    });
    let times = |c: &mut mq_tests::Conn, key: &str| match c.ok(format!("GET {key}")) {
        mq_tests::Value::BulkString(bytes) => bytes,
        other => panic!("{key} holds {other:?}"),
    };
    let (processed, failed) = (times(&mut c, "ledger"), times(&mut c, "ledger:failed"));
    let at = |bytes: &[u8], n: usize| bytes.get(n).copied().unwrap_or_default();
    for n in 0..messages as usize {
        let (processed, failed) = (at(&processed, n), at(&failed, n));
        assert_eq!(processed + failed, 1, "message {n}: {processed} times processed, {failed} times failed");
    }
    println!(
        "{messages} messages, {killed} peers killed, {frozen} frozen, server killed {restarts} times: \
         each handled once; delivered {}, leaders {}",
        info.int("delivered"),
        info.int("leader-changes")
    );
    for mut peer in peers {
        assert!(!peer.has_ended(), "{}", peer.stderr());
    }
}
