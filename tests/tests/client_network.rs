//! The client in a network that is cut, and with servers that take over from each other: nothing is lost or done twice, and
//! nobody goes on with what is no longer his.

use std::collections::BTreeSet;

use mq_tests::{Conn, Peer, Proxy, Sentinel, Server, Value, until};

/// How often each number below `limit` was completed, by the ledger's evidence.
fn completions(c: &mut Conn, limit: usize) -> Vec<u8> {
    let [processed, failed] = ["GET ledger", "GET ledger:failed"].map(|get| {
        let mut bytes = match c.ok(get) {
            Value::BulkString(bytes) => bytes,
            _ => Vec::new(),
        };
        bytes.resize(limit, 0);
        bytes
    });
    processed.iter().zip(failed).map(|(processed, failed)| processed + failed).collect()
}

#[track_caller]
fn each_completed_once(c: &mut Conn, limit: usize) {
    let wrong: Vec<_> = completions(c, limit).into_iter().enumerate().filter(|(_, times)| *times != 1).collect();
    assert_eq!(wrong, [], "(number, completions)");
    let info = c.balanced("mq");
    assert_eq!(info.int("acked") + info.int("errors"), limit as i64, "{info:?}");
}

fn push(c: &mut Conn, numbers: std::ops::Range<usize>) {
    let payloads: Vec<_> = numbers.map(|number| number.to_string()).collect();
    c.int(format!("MQ.PUSH mq MSG {}", payloads.join(" ")));
}

fn figure(c: &mut Conn, name: &str) -> i64 {
    c.fields("MQ.INFO mq").int(name)
}

fn settled(c: &mut Conn) -> i64 {
    let info = c.fields("MQ.INFO mq");
    info.int("acked") + info.int("errors")
}

/// The `--name` of the peer that leads.
fn leading(c: &mut Conn) -> Option<String> {
    Some(c.leader("MQ.LEADER mq").leader?.split(':').next()?.to_owned())
}

/// The sum of a field over all lines that have these words.
fn told(peer: &Peer, words: &str, field: &str) -> i64 {
    let said = peer.stderr();
    let counts = said.lines().filter(|line| line.contains(words)).map(|line| {
        let (_, value) = line.rsplit_once(&format!("{field}=")).expect("a line with that field");
        value.split(' ').next().expect("a word").parse::<i64>().expect("a number")
    });
    counts.sum()
}

#[test]
fn a_handler_cut_off_for_longer_than_its_lease_stops_says_so_and_comes_back() {
    let server = Server::start();
    let mut c = server.connect();
    let proxy = Proxy::to(server.port());
    let lease = "--role handler --any-queue --lease 1s --ledger ledger";
    let cut_off = Peer::spawn_bare(format!("--name far --handler-delay 1000h {lease} --redis {}", proxy.url()));
    push(&mut c, 0..50);
    // It has been told, and asks for more.
    until("it has claimed them", || figure(&mut c, "claimed") == 50 && figure(&mut c, "blocked-consumers") == 1);
    proxy.block();
    let near = Peer::spawn(&server, &format!("--name near --handler-delay 5ms {lease}"));
    let words = "claims ended because the server could not be reached";
    until("it stops all of them, and says so", || told(&cut_off, words, "cancelled") == 50);
    until("another has done them", || settled(&mut c) == 50);
    each_completed_once(&mut c, 50);
    near.terminate();
    assert_eq!(near.finish().status.code(), Some(0));
    proxy.unblock();
    push(&mut c, 50..60);
    until("it is at work again", || {
        let consumers = format!("{:?}", c.ok("MQ.INFO mq CONSUMERS"));
        figure(&mut c, "claimed") == 10 && consumers.contains("far:")
    });
    assert_eq!(settled(&mut c), 50);
}

#[test]
fn what_was_handled_while_the_server_was_out_of_reach_is_told_or_given_up_aloud_and_counts_once() {
    let server = Server::start();
    let mut c = server.connect();
    let proxy = Proxy::to(server.port());
    let options = "--role handler --any-queue --lease 1s --handler-delay 400ms --ledger ledger";
    let cut_off = Peer::spawn_bare(format!("{options} --redis {}", proxy.url()));
    push(&mut c, 0..60);
    until("it is at work", || settled(&mut c) > 0);
    proxy.block();
    let open = 60 - settled(&mut c);
    let near = Peer::spawn(&server, options);
    until("another has done the rest", || settled(&mut c) == 60);
    let words = "claims ended before their completion could be told";
    // Some of them were told just before the cut.
    until("it says so", || told(&cut_off, words, "count") > open / 2);
    proxy.unblock();
    near.terminate();
    assert_eq!(near.finish().status.code(), Some(0));
    push(&mut c, 60..80);
    until("it is at work again", || settled(&mut c) == 80);
    each_completed_once(&mut c, 80);
}

#[test]
fn a_generator_cut_off_for_longer_than_its_lease_is_succeeded_fenced_and_stands_by() {
    let server = Server::start();
    let mut c = server.connect();
    let proxy = Proxy::to(server.port());
    let options = "--role generator --interval 2ms --lease 1500ms";
    let far = Peer::spawn_bare(format!("--name far {options} --redis {}", proxy.url()));
    until("it leads", || figure(&mut c, "pushed") > 20);
    let near = Peer::spawn(&server, &format!("--name near {options}"));
    until("the other one stands by", || figure(&mut c, "blocked-candidates") == 1);
    let token = c.leader("MQ.LEADER mq").token;
    proxy.block();
    until("the other one leads", || leading(&mut c).as_deref() == Some("near"));
    assert!(far.stderr().contains("publishing nothing until it is renewed"), "before that: {}", far.stderr());
    let before = figure(&mut c, "pushed");
    until("the stream goes on", || figure(&mut c, "pushed") > before + 100);
    proxy.unblock();
    // What it had sent may have arrived before the cut, so that it has nothing left to be refused; the token has.
    assert!(c.refusal(format!("MQ.PUSH mq FENCE {token} MSG late")).starts_with("FENCED"));
    until("it knows", || far.stderr().contains("no longer leading"));
    until("it stands by", || figure(&mut c, "blocked-candidates") == 1);
    for peer in [near, far] {
        peer.terminate();
        assert_eq!(peer.finish().status.code(), Some(0));
    }
    let mut numbers = Vec::new();
    while numbers.len() < figure(&mut c, "pushed") as usize {
        numbers.extend(c.claims("MQ.CLAIM mq w COUNT 1000").iter().map(|claim| claim.payload.clone()));
    }
    assert!(numbers.iter().enumerate().all(|(n, number)| *number == n.to_string()), "{numbers:?}");
}

#[test]
fn errors_that_a_cut_left_unacknowledged_are_announced_and_printed_by_the_next_run() {
    const ERRORS: usize = 4000;
    let server = Server::start();
    let mut c = server.connect();
    let payloads: Vec<_> = (0..ERRORS).map(|number| format!("{number}-{}", "x".repeat(300))).collect();
    c.int(format!("MQ.PUSH mq MSG {}", payloads.join(" ")));
    for claim in c.claims(format!("MQ.CLAIM mq w COUNT {ERRORS}")) {
        c.int(format!("MQ.FAIL mq {}", claim.receipt));
    }
    let proxy = Proxy::to(server.port());
    let mut cut_off = Peer::spawn_bare(format!("getErrors --redis {}", proxy.url()));
    let mut printed: BTreeSet<_> = (0..1500).map(|_| cut_off.read_line()).collect();
    proxy.cut();
    let finished = cut_off.finish();
    assert_eq!(finished.status.code(), Some(1), "{finished:?}");
    for words in ["the next getErrors prints them", "client: connection lost"] {
        assert!(finished.stderr.contains(words), "{words}: {finished:?}");
    }
    // It may have ended in the middle of a line.
    let whole_lines = finished.stdout.rsplit_once('\n').map_or("", |(lines, _)| lines);
    printed.extend(whole_lines.lines().map(str::to_owned));
    until("the rest is printed", || {
        let rest = Peer::spawn(&server, "getErrors").finish();
        assert_eq!(rest.status.code(), Some(0), "{rest:?}");
        printed.extend(rest.stdout.lines().map(str::to_owned));
        c.balanced("mq").int("errors") == 0
    });
    assert_eq!(printed, BTreeSet::from_iter(payloads));
    assert_eq!(figure(&mut c, "drained"), ERRORS as i64);
}

/// Pushes so many messages of so many bytes.
fn push_large(c: &mut Conn, n: usize, bytes: usize) {
    let payloads = (0..n).map(|_| "x".repeat(bytes));
    let push: Vec<_> = ["MQ.PUSH", "mq", "MSG"].into_iter().map(str::to_owned).chain(payloads).collect();
    c.int(push);
}

fn fail_all(c: &mut Conn, n: usize) {
    for claim in c.claims(format!("MQ.CLAIM mq w COUNT {n}")) {
        c.int(format!("MQ.FAIL mq {}", claim.receipt));
    }
}

#[test]
fn a_reply_that_takes_long_to_arrive_is_waited_for() {
    let server = Server::start();
    let mut c = server.connect();
    push_large(&mut c, 25, 40_000);
    fail_all(&mut c, 25);
    c.ok("COPY mq other");
    c.int("MQ.REDRIVE other");
    let proxy = Proxy::to(server.port());
    proxy.throttle(150_000);
    let spawn = |arguments| Peer::spawn_bare(format!("{arguments} --redis {}", proxy.url()));
    let handler = spawn("--role handler --any-queue --handler-delay 0 --queue other");
    // What is drained is listed until it has been printed.
    for printing in [spawn("errors --format json"), spawn("getErrors")] {
        let finished = printing.finish();
        assert_eq!((finished.status.code(), finished.stdout.lines().count()), (Some(0), 25), "{}", finished.stderr);
        assert!(finished.stderr.contains("the reply takes long to arrive"), "{}", finished.stderr);
    }
    until("the handler has got them all", || {
        let info = c.fields("MQ.INFO other");
        info.int("acked") + info.int("errors") == 25
    });
    let finished = handler.end_well();
    assert_eq!(c.balanced("other").int("redelivered"), 0, "{finished:?}");
}

#[test]
fn what_does_not_arrive_before_its_lease_ends_is_asked_for_in_smaller_portions() {
    let server = Server::start();
    let mut c = server.connect();
    push_large(&mut c, 20, 40_000);
    fail_all(&mut c, 20);
    let proxy = Proxy::to(server.port());
    proxy.throttle(600_000);
    let url = proxy.url();
    let drained = Peer::spawn_bare(format!("getErrors --lease 600ms --redis {url}")).finish();
    assert_eq!((drained.status.code(), drained.stdout.lines().count()), (Some(0), 20), "{}", drained.stderr);
    assert!(drained.stderr.contains("asking for fewer messages"), "{}", drained.stderr);
    assert_eq!(figure(&mut c, "drained"), 20);
    push_large(&mut c, 20, 40_000);
    let handler = Peer::spawn_bare(format!("--role handler --any-queue --handler-delay 0 --lease 600ms --redis {url}"));
    until("the handler has got them all", || settled(&mut c) == 20);
    assert!(handler.stderr().contains("asking for fewer messages"), "{}", handler.stderr());
}

#[test]
fn an_error_that_does_not_arrive_before_its_lease_ends_stays_and_a_longer_lease_is_asked_for() {
    let server = Server::start();
    let mut c = server.connect();
    push_large(&mut c, 1, 400_000);
    fail_all(&mut c, 1);
    let proxy = Proxy::to(server.port());
    proxy.throttle(600_000);
    let drained = Peer::spawn_bare(format!("getErrors --lease 200ms --redis {}", proxy.url())).finish();
    assert_eq!((drained.status.code(), drained.stdout.as_str()), (Some(1), ""), "{}", drained.stderr);
    assert!(drained.stderr.contains("getErrors needs a longer --lease"), "{}", drained.stderr);
    until("it is back", || figure(&mut c, "errors") == 1);
}

/// Peers at `url` do all numbers below a limit; half-way `fail_over` has another server take over.
fn everything_survives(mut c: Conn, url: &str, fail_over: impl FnOnce(Conn) -> Conn) {
    const LIMIT: usize = 2000;
    let options = format!("--interval 1ms --limit {LIMIT} --handler-delay 40ms --ledger ledger --redis {url}");
    let peers = ["auto", "auto", "handler"].map(|role| Peer::spawn_bare(format!("--role {role} {options}")));
    until("they are in full swing", || settled(&mut c) > LIMIT as i64 / 4);
    let acknowledged = figure(&mut c, "pushed");
    c.ok("SET later 1"); // WAIT waits for what its own connection has written, and so for all before it
    assert_eq!(c.int("WAIT 1 5000"), 1);
    let mut c = fail_over(c);
    assert!(figure(&mut c, "pushed") >= acknowledged, "what the replica had confirmed is there");
    assert!(settled(&mut c) < LIMIT as i64, "there is something left to do");
    until("all are settled", || settled(&mut c) == LIMIT as i64);
    each_completed_once(&mut c, LIMIT);
    for peer in peers {
        peer.end_well();
    }
}

#[test]
fn peers_follow_an_address_that_moves_on_to_a_promoted_replica() {
    let primary = Server::start();
    let replica = Server::builder().replica_of(&primary);
    let proxy = Proxy::to(primary.port());
    everything_survives(primary.connect(), &proxy.url(), |mut old| {
        let mut new = replica.connect();
        // The old one answers READONLY from now on, the new one takes over, and only then does the address move.
        old.ok(format!("REPLICAOF 127.0.0.1 {}", replica.port()));
        new.ok("REPLICAOF NO ONE");
        proxy.point_to(replica.port());
        new
    });
}

#[test]
fn peers_follow_a_sentinel_from_a_killed_primary_to_the_promoted_replica() {
    let mut primary = Server::start();
    let replica = Server::builder().replica_of(&primary);
    let sentinel = Sentinel::watching(&primary, 1);
    everything_survives(primary.connect(), &sentinel.url(), |_| {
        primary.kill9();
        // It cuts every client of the new primary in the same step, so this one comes after it.
        until("the sentinel has promoted the replica", || replica.log().contains("MODE enabled (user request"));
        replica.connect()
    });
    let printed = Peer::spawn_bare(format!("getErrors --redis {}", sentinel.url())).finish();
    assert_eq!(printed.status.code(), Some(0), "{printed:?}");
    let drained = replica.connect().balanced("mq").int("drained");
    assert!(drained > 0 && printed.stdout.lines().count() as i64 == drained, "{printed:?}");
}

/// What a process has open.
#[cfg(target_os = "linux")]
#[derive(Debug, PartialEq)]
struct Holdings {
    files: usize,
    threads: usize,
}

#[cfg(target_os = "linux")]
fn holdings(peer: &Peer) -> Holdings {
    let count = |what: &str| std::fs::read_dir(format!("/proc/{}/{what}", peer.pid())).map_or(0, Iterator::count);
    Holdings { files: count("fd"), threads: count("task") }
}

#[cfg(target_os = "linux")]
fn resident_kib(peer: &Peer) -> i64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", peer.pid())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it takes memory");
    line.trim_end_matches("kB").trim().parse().expect("a number")
}

#[cfg(target_os = "linux")]
#[test]
fn a_thousand_reconnects_leave_nothing_behind() {
    const RECONNECTS: u64 = 1000;
    let server = Server::start();
    let mut c = server.connect();
    let proxy = Proxy::to(server.port());
    let options = format!("--interval 1ms --handler-delay 1ms --ledger ledger --redis {}", proxy.url());
    let peers = ["generator", "handler"].map(|role| Peer::spawn_bare(format!("--role {role} {options}")));
    let mut cut_until = |reconnects: u64| {
        while proxy.accepted() < reconnects {
            let before = settled(&mut c);
            until("both are at work", || settled(&mut c) > before);
            proxy.cut();
        }
        let before = settled(&mut c);
        until("both are at work", || settled(&mut c) > before);
    };
    cut_until(100);
    let mut c = server.connect();
    let clients = |c: &mut Conn| c.server_count("clients", "connected_clients");
    // The test's two, and the three of the peers: claims, completions, leadership.
    until("the old connections are gone", || clients(&mut c) == 5);
    let before = peers.each_ref().map(holdings);
    let resident = peers.each_ref().map(resident_kib);
    cut_until(100 + RECONNECTS);
    until("as many connections as before", || clients(&mut c) == 5);
    until("as many files and threads as before", || peers.each_ref().map(holdings) == before);
    let growth: Vec<_> = peers.iter().zip(resident).map(|(peer, before)| resident_kib(peer) - before).collect();
    assert!(growth.iter().all(|kib| *kib < 2048), "KiB that each takes more: {growth:?}");
    peers[0].terminate();
    until("the generator has ended", || leading(&mut c).is_none());
    until("all are settled", || settled(&mut c) == figure(&mut c, "pushed"));
    let pushed = figure(&mut c, "pushed") as usize;
    each_completed_once(&mut c, pushed);
}
