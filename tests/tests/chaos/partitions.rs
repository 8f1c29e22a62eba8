//! A primary is cut off from its replica while its clients still reach it. It refuses writes then, so it must not hand out a
//! message or make anyone leader, whatever comes due meanwhile.

use std::ops::Range;

use mq_tests::{
    Conn, Proxy, Server,
    chaos::{self, Arena, QUEUE, Settled},
    history::{At, What},
    until,
};

/// Consumers that wait most of the time, so that there is always someone to hand a message to.
const WAITERS: u64 = 16;

/// Two servers. Each is reached by its replica through a proxy, and by everyone else directly.
struct Pair {
    servers: [Server; 2],
    links: [Proxy; 2],
    primary: usize,
}

fn is_refused(c: &mut Conn) -> bool {
    match c.call("SET probe x") {
        Ok(_) => false,
        Err(refusal) => {
            assert_eq!(refusal.code(), Some("NOREPLICAS"), "{refusal}");
            true
        }
    }
}

impl Pair {
    fn start() -> Self {
        let servers = [(); 2].map(|()| chaos::server().config("min-replicas-max-lag 1").start());
        let links = [0, 1].map(|n: usize| Proxy::to(servers[n].port()));
        let pair = Self { servers, links, primary: 0 };
        pair.attach_the_replica();
        pair
    }

    fn primary(&self) -> &Server {
        &self.servers[self.primary]
    }

    fn replica(&self) -> &Server {
        &self.servers[1 - self.primary]
    }

    fn link(&self) -> &Proxy {
        &self.links[self.primary]
    }

    /// The other server follows the primary, which takes writes only while it does.
    fn attach_the_replica(&self) {
        let mut c = self.replica().connect();
        c.ok("CONFIG SET min-replicas-to-write 0");
        c.ok(format!("REPLICAOF 127.0.0.1 {}", self.link().port()));
        until("the replica is there", || c.server_info("replication", "master_link_status") == "up");
        self.primary().connect().ok("CONFIG SET min-replicas-to-write 1");
    }

    /// A moment such that the replica has everything that the primary answered before.
    fn replicated_until(&self, arena: &Arena) -> At {
        let from = arena.history.now();
        let offset = self.primary().connect().server_count("replication", "master_repl_offset");
        let mut c = self.replica().connect();
        until("the replica has it", || c.server_count("replication", "slave_repl_offset") >= offset);
        from
    }

    /// Waits until the primary refuses writes for good. A single refusal does not say so: the server counts its replicas
    /// once a second, and an acknowledgement may have come after that. One that is two seconds old cannot become younger.
    fn until_refusing(&self) {
        let mut c = self.primary().connect();
        until("the replica is missed", || {
            let line = c.server_info("replication", "slave0");
            let lag = line.split(',').find_map(|field| field.strip_prefix("lag="));
            let lag: i64 = lag.and_then(|lag| lag.parse().ok()).expect("a number of seconds");
            lag >= 2 && is_refused(&mut c)
        });
    }

    /// The primary refuses writes for a while, which the judge is told of.
    fn stays_silent(&self, arena: &Arena, ms: Range<u64>) {
        let silence = arena.silence_of(self.primary());
        arena.goes_on_after(ms);
        assert!(is_refused(&mut self.primary().connect()), "it refuses still");
        silence.end();
    }

    /// The replica becomes a primary while the old one is still there for its clients.
    fn promote(&mut self, arena: &Arena) {
        let from = arena.history.now();
        self.replica().connect().ok("REPLICAOF NO ONE");
        arena.history.add(0, self.replica().port(), from, true, What::Promotion);
        arena.leads_to(self.replica().port());
    }

    /// The cut is over; the old primary is told who is the new one, and what it did alone is gone.
    fn heal_with_the_new_primary(&mut self, arena: &Arena, from: At) {
        let old = self.primary().port();
        self.link().unblock();
        self.primary = 1 - self.primary;
        self.attach_the_replica();
        arena.history.unsettle(old, from, arena.history.now());
    }
}

fn same_everywhere(pair: &Pair) {
    until("the replica is the same", || {
        pair.replica().until_in_step_with(pair.primary());
        pair.primary().connect().digest(QUEUE) == pair.replica().connect().digest(QUEUE)
    });
}

#[test]
fn a_primary_that_misses_its_replica_hands_out_nothing_until_it_is_back() {
    let pair = Pair::start();
    let arena = Arena::new(pair.primary(), Settled::WhenAnswered).with_waiters(WAITERS);
    let mut times = 0;
    arena.run(|| {
        while arena.goes_on_after(100..400) {
            let is_frozen = arena.below(2) == 0;
            if is_frozen {
                pair.replica().freeze()
            } else {
                pair.link().block()
            }
            pair.until_refusing();
            // Leases, leaderships and sessions end meanwhile.
            pair.stays_silent(&arena, 300..1_200);
            if is_frozen {
                pair.replica().thaw()
            } else {
                pair.link().unblock()
            }
            let mut c = pair.primary().connect();
            until("writes are allowed again", || !is_refused(&mut c));
            times += 1;
        }
    });
    arena.judge(&format!("a primary missed its replica {times} times"));
    assert!(times > 0);
    same_everywhere(&pair);
}

#[test]
fn a_primary_whose_replica_is_promoted_without_it_hands_out_nothing_and_makes_nobody_leader() {
    let mut pair = Pair::start();
    let arena = Arena::new(pair.primary(), Settled::WhenAnswered).with_waiters(WAITERS);
    let (mut times, mut early) = (0, 0);
    arena.run(|| {
        while arena.goes_on_after(100..400) {
            let from = pair.replicated_until(&arena);
            pair.link().block();
            // Sometimes before the old primary has noticed: until then both accept, and what the old one did is lost.
            let is_early = arena.below(3) == 0;
            if is_early {
                pair.promote(&arena);
            }
            pair.until_refusing();
            if !is_early {
                pair.stays_silent(&arena, 100..600);
                pair.promote(&arena);
            }
            pair.stays_silent(&arena, 300..1_200);
            pair.heal_with_the_new_primary(&arena, from);
            times += 1;
            early += i32::from(is_early);
        }
    });
    arena.judge(&format!(
        "{times} replicas promoted beside a primary that was cut off, {early} of them before it refused"
    ));
    assert!(times > 0);
    same_everywhere(&pair);
}
