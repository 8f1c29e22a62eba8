//! Generators as real processes: whoever leads and however it ends, the stream goes on without gap or repeat.

use std::time::{Duration, Instant};

use mq_tests::{Conn, Peer, Server, eventually, median, until};

/// The payloads of all ready messages in the order of their ids.
fn stream(c: &mut Conn) -> Vec<u64> {
    let (mut after, mut numbers) = (0, Vec::new());
    loop {
        let page = c.maps(format!("MQ.PEEK mq READY AFTER {after} COUNT 1000"));
        let Some(last) = page.last() else { return numbers };
        after = last.int("id");
        numbers.extend(page.iter().map(|message| message.text("payload").parse::<u64>().expect("a decimal number")));
    }
}

#[track_caller]
fn without_gap_or_repeat(c: &mut Conn) {
    let numbers = stream(c);
    assert_eq!(numbers.len() as i64, c.balanced("mq").int("pushed"));
    let wrong = numbers.iter().zip(0_u64..).find(|(number, expected)| *number != expected);
    assert_eq!(wrong, None, "of {} numbers", numbers.len());
}

/// The `--name` of the peer that leads.
fn leading(c: &mut Conn) -> Option<String> {
    Some(c.leader("MQ.LEADER mq").leader?.split(':').next()?.to_owned())
}

fn pushed(c: &mut Conn) -> i64 {
    c.fields("MQ.INFO mq").int("pushed")
}

fn until_pushed(c: &mut Conn, n: i64) {
    until(&format!("{n} messages are pushed"), || pushed(c) >= n);
}

/// Generators `g0`, `g1` …, of which one leads.
struct Generators<'a> {
    server: &'a Server,
    options: &'a str,
    peers: Vec<(String, Peer)>,
    named: usize,
}

impl<'a> Generators<'a> {
    fn new(server: &'a Server, n: usize, options: &'a str) -> Self {
        let mut generators = Self { server, options, peers: Vec::new(), named: 0 };
        (0..n).for_each(|_| generators.add());
        generators
    }

    fn add(&mut self) {
        let name = format!("g{}", self.named);
        self.named += 1;
        let peer = Peer::spawn(self.server, &format!("--role generator --name {name} {}", self.options));
        self.peers.push((name, peer));
    }

    /// Takes out the one that leads.
    fn leader(&mut self) -> (String, Peer) {
        let mut c = self.server.connect();
        let at = eventually("one of them leads", || {
            let leader = leading(&mut c)?;
            self.peers.iter().position(|(name, _)| *name == leader)
        });
        self.peers.remove(at)
    }

    /// Ends all in good order, so that what they pushed can be looked at in peace.
    fn end(self) {
        self.peers.iter().for_each(|(_, peer)| peer.terminate());
        for (_, peer) in self.peers {
            let finished = peer.finish();
            assert!(finished.status.success(), "{finished:?}");
        }
    }
}

#[test]
fn a_killed_generator_is_succeeded_at_once_without_gap_or_repeat() {
    let server = Server::start();
    let mut c = server.connect();
    let mut generators = Generators::new(&server, 3, "--interval 2ms");
    let took = (0..5)
        .map(|_| {
            let (name, mut leader) = generators.leader();
            let before = pushed(&mut c);
            until_pushed(&mut c, before + 20);
            let killed = Instant::now();
            leader.kill9();
            until("another leads", || leading(&mut c).is_some_and(|next| next != name));
            let took = killed.elapsed();
            generators.add();
            took
        })
        .collect::<Vec<_>>();
    let before = pushed(&mut c);
    until_pushed(&mut c, before + 20);
    generators.end();
    let worst = *took.iter().max().expect("five kills");
    println!("failover after kill -9: median {:?}, worst {worst:?} of 5", median(took));
    assert!(worst < Duration::from_secs(2), "the lease is 30 s, so this waited for something: {worst:?}");
    without_gap_or_repeat(&mut c);
    assert!(c.fields("MQ.INFO mq").int("leader-changes") >= 6);
}

#[test]
fn a_generator_that_slept_longer_than_its_lease_publishes_nothing_afterwards() {
    let server = Server::start();
    let mut c = server.connect();
    let mut generators = Generators::new(&server, 2, "--interval 2ms --lease 2s");
    let (sleeper_name, sleeper) = generators.leader();
    until_pushed(&mut c, 20);
    let token = c.leader("MQ.LEADER mq").token;
    sleeper.freeze();
    let next = eventually("another leads", || leading(&mut c).filter(|next| *next != sleeper_name));
    let before = pushed(&mut c);
    until_pushed(&mut c, before + 20);
    sleeper.thaw();
    until("the sleeper stands by again", || c.fields("MQ.INFO mq").int("blocked-candidates") == 1);
    let before = pushed(&mut c);
    until_pushed(&mut c, before + 20);
    let led = c.leader("MQ.LEADER mq");
    assert!(led.token > token && led.leader.is_some_and(|leader| leader.starts_with(&next)));
    sleeper.terminate();
    assert!(sleeper.finish().status.success());
    generators.end();
    without_gap_or_repeat(&mut c);
}

#[test]
fn the_first_message_comes_without_waiting_an_interval_after_every_take_over() {
    let server = Server::start();
    let mut c = server.connect();
    let mut generators = Generators::new(&server, 3, "--interval 1h");
    for n in 1..=3 {
        until_pushed(&mut c, n);
        let (_, mut leader) = generators.leader();
        leader.kill9();
        if n < 3 {
            until("the next one has begun", || pushed(&mut c) == n + 1);
        }
    }
    generators.end();
    without_gap_or_repeat(&mut c);
    assert_eq!(pushed(&mut c), 3);
}

#[test]
fn a_limit_counts_over_all_generators_together_and_then_the_leader_idles() {
    let server = Server::start();
    let mut c = server.connect();
    let mut generators = Generators::new(&server, 2, "--interval 1ms --limit 300");
    until_pushed(&mut c, 50);
    generators.leader().1.kill9();
    until_pushed(&mut c, 300);
    let (name, leader) = generators.leader();
    generators.add();
    until("a newcomer stands by", || c.fields("MQ.INFO mq").int("blocked-candidates") == 1);
    assert_eq!(leading(&mut c), Some(name));
    leader.terminate();
    assert!(leader.finish().status.success());
    until("the newcomer leads", || leading(&mut c).is_some());
    generators.end();
    assert_eq!(stream(&mut c), (0..300).collect::<Vec<_>>());
}

#[test]
fn as_fast_as_it_goes_is_without_gap_or_repeat_too() {
    let server = Server::start();
    let mut c = server.connect();
    let mut generators = Generators::new(&server, 2, "--interval 0 --limit 200000");
    until_pushed(&mut c, 5000);
    generators.leader().1.kill9();
    until_pushed(&mut c, 200_000);
    generators.end();
    without_gap_or_repeat(&mut c);
    assert_eq!(pushed(&mut c), 200_000);
}

#[test]
fn a_queue_with_little_room_is_filled_as_far_as_it_goes_without_gap_or_repeat() {
    let server = Server::start();
    let mut c = server.connect();
    c.ok("MQ.CONFIG mq max-length 300");
    let peer = Peer::spawn(&server, "--role generator --interval 0 --limit 2000");
    let mut taken = Vec::new();
    while taken.len() < 2000 {
        until("it is full, or all is pushed", || {
            let info = c.fields("MQ.INFO mq");
            info.int("ready") == 300 || info.int("pushed") == 2000
        });
        let claims = c.claims("MQ.CLAIM mq w COUNT 300");
        let receipts: Vec<_> = claims.iter().map(|claim| claim.receipt.to_string()).collect();
        c.int(format!("MQ.ACK mq {}", receipts.join(" ")));
        taken.extend(claims.iter().map(|claim| claim.payload.parse::<u64>().expect("a decimal number")));
    }
    assert_eq!(taken, (0..2000).collect::<Vec<_>>());
    assert_eq!(peer.stderr().matches("WARN").count(), 1, "{}", peer.stderr());
}

#[test]
fn a_leader_whose_renewal_is_answered_late_goes_on_leading() {
    let server = Server::start();
    let mut c = server.connect();
    let peer = Peer::spawn(&server, "--role generator --interval 5ms --lease 16s");
    until_pushed(&mut c, 10);
    // The renewal of the sixth second is given up after five, and the next one is answered.
    c.ok("CLIENT PAUSE 11500 WRITE");
    let before = pushed(&mut c);
    until("it publishes again", || pushed(&mut c) > before + 100);
    let said = peer.stderr();
    assert!(said.contains("could not be renewed yet") && !said.contains("no longer leading"), "{said}");
    assert_eq!(c.fields("MQ.INFO mq").int("leader-changes"), 1);
}

#[test]
fn a_generator_asked_to_end_resigns_and_exits_with_0() {
    let server = Server::start();
    let mut c = server.connect();
    for interrupt in [Peer::terminate, Peer::interrupt] {
        let (_, leader) = Generators::new(&server, 1, "--interval 5ms").leader();
        let before = pushed(&mut c);
        until_pushed(&mut c, before + 5);
        interrupt(&leader);
        let finished = leader.finish();
        assert_eq!(finished.status.code(), Some(0), "{finished:?}");
        assert_eq!(leading(&mut c), None);
    }
    without_gap_or_repeat(&mut c);
}

#[test]
fn generators_come_back_after_the_server_was_killed_and_go_on_where_the_log_ends() {
    let mut server = Server::builder().config("appendonly yes").config("appendfsync always").start();
    let url = server.url();
    let arguments = |name: &str| format!("--redis {url} --role generator --interval 2ms --name {name}");
    let peers = ["one", "other"].map(|name| Peer::spawn_bare(arguments(name)));
    for _ in 0..2 {
        let mut c = server.connect();
        let before = c.fields("MQ.INFO mq").int("pushed");
        until_pushed(&mut c, before + 30);
        server.kill9();
        server.start_again();
    }
    let mut c = server.connect();
    let before = pushed(&mut c);
    until_pushed(&mut c, before + 30);
    for peer in peers {
        peer.terminate();
        assert!(peer.finish().status.success());
    }
    without_gap_or_repeat(&mut c);
}

#[test]
fn a_server_that_closes_idle_connections_closes_none_that_a_peer_relies_on() {
    let server = Server::start();
    let mut c = server.connect();
    let roles = ["--role auto --limit 5", "--role handler --handler-delay 0"];
    let peers = roles.map(|role| Peer::spawn(&server, &format!("{role} --interval 5ms")));
    until("all is done", || {
        let info = c.fields("MQ.INFO mq");
        info.int("acked") + info.int("errors") == 5
    });
    let token = c.leader("MQ.LEADER mq").token;
    let connected = c.server_count("stats", "total_connections_received");
    c.ok("CONFIG SET timeout 3");
    let idle = Instant::now();
    while idle.elapsed() < Duration::from_secs(8) {
        assert_eq!(c.leader("MQ.LEADER mq").token, token);
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(c.server_count("stats", "total_connections_received"), connected, "nobody had to connect again");
    assert!(peers.iter().all(|peer| !peer.stderr().contains("WARN")));
}
