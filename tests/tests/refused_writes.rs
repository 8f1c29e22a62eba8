//! What the module does by itself obeys the rules by which the server judges a command: while writes are refused, nothing
//! changes; when they are allowed again, all that was due happens at once.

use std::time::{Duration, Instant};

use mq_tests::{Builder, Conn, Proxy, Server, Value, Waiter, until};

/// The module looks again a few times in a second; other tests share this machine.
const SOON: Duration = Duration::from_secs(1);

/// A rule under which the server refuses writes.
struct Rule {
    name: &'static str,
    /// Readies the server so that `begin` is all that is missing.
    prepare: fn(&Server, &mut Conn),
    /// From here on writes are refused.
    begin: &'static str,
    /// How a push is refused. Empty: it is kept waiting.
    refusal: &'static str,
    /// Writes are allowed again.
    end: fn(&Server, &mut Conn),
}

const ACTS: [&str; 8] =
    ["lease", "delay", "session", "idle-session", "leaders-lease", "leaders-session", "ttl", "errors-keep"];

/// Everything that acts by itself, each on a queue of its own, about to do so.
struct Scene {
    consumers: Vec<Waiter>,
    standbys: Vec<Waiter>,
    /// Waits that time ends.
    passing: [Waiter; 2],
    digests: Vec<String>,
    counts: Vec<(i64, i64)>,
}

fn digests(c: &mut Conn) -> Vec<String> {
    ACTS.map(|q| c.digest(q)).to_vec()
}

/// Claims that were given, and leaderships.
fn counts(c: &mut Conn) -> Vec<(i64, i64)> {
    ACTS.map(|q| {
        let info = c.fields(["MQ.INFO", q]);
        (info.int("delivered"), info.int("leader-changes"))
    })
    .to_vec()
}

/// Queues with nothing to be done for an hour. The receipts of the claims in `lease` and in `errors-keep`.
fn queues(c: &mut Conn, holder: &mut Conn) -> [i64; 2] {
    for q in ["session", "idle-session", "lease"] {
        c.int(["MQ.PUSH", q, "MSG", "payload"]);
    }
    for q in ["session", "idle-session"] {
        holder.claim(["MQ.CLAIM", q, "holder", "LEASE", "3600000", "SESSION"]);
    }
    holder.leader("MQ.LEADER leaders-session me LEASE 3600000 SESSION");
    for q in ["leaders-lease", "quiet"] {
        c.leader(["MQ.LEADER", q, "me", "LEASE", "3600000"]);
    }
    c.int("MQ.PUSH errors-keep MSG a");
    c.ok("MQ.CONFIG errors-keep errors-keep 150");
    c.ok("MQ.CONFIG ttl paused yes");
    c.int("MQ.PUSH delay DELAY 3600000 MSG a");
    ["lease", "errors-keep"].map(|q| c.claim(["MQ.CLAIM", q, "w", "LEASE", "3600000"]).receipt)
}

impl Scene {
    /// Has somebody wait for each queue, and makes all of it due soon after `rule` has begun.
    fn new(server: &Server, c: &mut Conn, rule: &Rule) -> Self {
        let mut holder = server.connect();
        let [lease, errored] = queues(c, &mut holder);
        let consumers = ["lease", "session", "delay", "ttl", "errors-keep"]
            .map(|q| Waiter::spawn(server, format!("MQ.CLAIM {q} waiter LEASE 3600000 BLOCK 0")));
        let standbys = ["leaders-lease", "leaders-session"]
            .map(|q| Waiter::spawn(server, format!("MQ.LEADER {q} standby LEASE 3600000 BLOCK 0")));
        (rule.prepare)(server, c);
        let passing = ["MQ.CLAIM quiet w BLOCK 600", "MQ.LEADER quiet you BLOCK 600"]
            .map(|wait| Waiter::spawn_for_a_while(server, wait));
        // In one go, so that nothing is due before the rule begins.
        let (extend, fail) = (format!("MQ.EXTEND lease 150 {lease}"), format!("MQ.FAIL errors-keep {errored}"));
        let all = [
            &extend,
            "MQ.PUSH delay DELAY 150 MSG late",
            "MQ.LEADER leaders-lease me LEASE 150",
            "MQ.PUSH ttl TTL 150 MSG perishes",
            &fail,
            rule.begin,
        ];
        let answers = c.pipeline(&all).expect("a whole connection");
        assert!(answers.iter().all(Result::is_ok), "{}: {answers:?}", rule.name);
        let (digests, counts) = (digests(c), counts(c));
        let id = holder_closes(holder);
        until("the holder's connection is gone", || !server.has_client(id));
        Self { consumers: consumers.into(), standbys: standbys.into(), passing, digests, counts }
    }

    /// Everything is due, and for some time: nothing has happened.
    fn rests(self, c: &mut Conn, rule: &Rule) -> [Vec<Waiter>; 2] {
        let Self { consumers, standbys, passing: [claim, lead], digests: before, counts: given } = self;
        assert_eq!(claim.value(), Value::Array(vec![]), "{}: the time of a wait is over all the same", rule.name);
        assert!(lead.leader().0.is("me"), "{}", rule.name);
        let now = digests(c);
        let changed: Vec<_> = (0..ACTS.len()).filter(|n| before[*n] != now[*n]).map(|n| ACTS[n]).collect();
        assert!(changed.is_empty(), "{}: {changed:?} have changed", rule.name);
        assert_eq!(counts(c), given, "{}", rule.name);
        for q in ["lease", "delay", "ttl", "errors-keep"] {
            assert_eq!(c.fields(["MQ.INFO", q]).int("overdue"), 1, "{}: {q}", rule.name);
        }
        assert_eq!(c.fields("MQ.INFO leaders-lease").text("leader"), "", "{}", rule.name);
        assert!(consumers.iter().chain(&standbys).all(Waiter::waits), "{}: somebody was served", rule.name);
        [consumers, standbys]
    }
}

fn holder_closes(mut holder: Conn) -> i64 {
    holder.int("CLIENT ID")
}

/// Everything that was due has happened since `allowed`, by itself.
fn all_happens(c: &mut Conn, rule: &Rule, waiters: [Vec<Waiter>; 2], allowed: Instant) {
    let [consumers, standbys] = waiters;
    let mut kept = Vec::new();
    for waiter in consumers.into_iter().take(3) {
        let (conn, claims, at) = waiter.answer();
        claims.unwrap_or_else(|refusal| panic!("{}: {refusal}", rule.name));
        assert!(at - allowed < SOON, "{}: {:?}", rule.name, at - allowed);
        kept.push(conn);
    }
    for standby in standbys {
        let (led, at, conn) = standby.leader();
        assert!(led.is("standby"), "{}: {led:?}", rule.name);
        assert!(at - allowed < SOON, "{}: {:?}", rule.name, at - allowed);
        kept.push(conn);
    }
    for (q, field) in [("ttl", "ttl-expired"), ("errors-keep", "dropped"), ("idle-session", "expired")] {
        until(&format!("{}: {q}", rule.name), || c.balanced(q).int(field) == 1);
    }
    assert!(allowed.elapsed() < SOON, "{}: {:?}", rule.name, allowed.elapsed());
}

fn obeys(builder: Builder, rule: &Rule) {
    let server = builder.start();
    let mut c = server.connect();
    let scene = Scene::new(&server, &mut c, rule);
    let mut other = server.connect();
    if rule.refusal.is_empty() {
        other.give_up_after(Duration::from_millis(50));
        assert!(other.call("MQ.PUSH other MSG a").is_err(), "{}", rule.name);
    } else {
        let refusal = other.refusal("MQ.PUSH other MSG a");
        assert!(refusal.starts_with(rule.refusal), "{}: {refusal}", rule.name);
    }
    let waiters = scene.rests(&mut c, rule);
    let allowed = Instant::now();
    (rule.end)(&server, &mut c);
    all_happens(&mut c, rule, waiters, allowed);
}

#[test]
fn while_replicas_are_missing_nothing_happens_by_itself_and_then_all_of_it() {
    obeys(
        Server::builder(),
        &Rule {
            name: "no replica",
            prepare: |server, c| {
                let mut replica = Server::builder().replica_of(server);
                replica.until_in_step_with(server);
                replica.kill9();
                until("the replica is missed", || c.server_count("replication", "connected_slaves") == 0);
            },
            begin: "CONFIG SET min-replicas-to-write 1",
            refusal: "NOREPLICAS",
            end: |_, c| drop(c.ok("CONFIG SET min-replicas-to-write 0")),
        },
    );
}

#[test]
fn while_the_disk_is_unwell_nothing_happens_by_itself_and_then_all_of_it() {
    obeys(
        Server::builder().config("save 3600 1000000").config("stop-writes-on-bgsave-error no"),
        &Rule {
            name: "disk",
            prepare: |server, c| {
                // A file cannot be moved to where a directory is.
                std::fs::create_dir(server.dir().join("dump.rdb")).expect("a directory");
                c.ok("BGSAVE");
                until("the snapshot fails", || c.server_info("persistence", "rdb_last_bgsave_status") == "err");
            },
            begin: "CONFIG SET stop-writes-on-bgsave-error yes",
            refusal: "MISCONF",
            end: |server, c| {
                std::fs::remove_dir(server.dir().join("dump.rdb")).expect("it is there");
                c.ok("CONFIG SET stop-writes-on-bgsave-error no");
            },
        },
    );
}

#[test]
fn while_writes_are_paused_nothing_happens_by_itself_and_then_all_of_it() {
    obeys(
        Server::builder().config("appendonly yes"),
        &Rule {
            name: "pause",
            prepare: |_, _| {},
            begin: "CLIENT PAUSE 60000 WRITE",
            refusal: "",
            end: |_, c| drop(c.ok("CLIENT UNPAUSE")),
        },
    );
}

#[test]
fn a_replica_does_nothing_by_itself_and_its_waiters_are_sent_away() {
    let rule = Rule {
        name: "replica",
        prepare: |_, _| {},
        // Where nobody listens: its keys stay as they are.
        begin: "REPLICAOF 127.0.0.1 1",
        refusal: "READONLY",
        end: |_, c| drop(c.ok("REPLICAOF NO ONE")),
    };
    let server = Server::start();
    let mut c = server.connect();
    let scene = Scene::new(&server, &mut c, &rule);
    for q in ["lease", "delay", "ttl", "errors-keep"] {
        until(&format!("{q} is overdue"), || c.fields(["MQ.INFO", q]).int("overdue") == 1);
    }
    for waiter in scene.consumers.into_iter().chain(scene.standbys).chain(scene.passing) {
        assert!(waiter.answer().1.is_err_and(|e| e.code() == Some("UNBLOCKED")));
    }
    assert_eq!((digests(&mut c), counts(&mut c)), (scene.digests, scene.counts));
    (rule.end)(&server, &mut c);
    for q in ["lease", "delay", "session", "idle-session"] {
        assert_eq!(c.claims(["MQ.CLAIM", q, "w"]).len(), 1, "{q}");
    }
    for q in ["leaders-lease", "leaders-session"] {
        assert!(c.leader(["MQ.LEADER", q, "standby"]).is("standby"), "{q}");
    }
}

#[test]
fn a_primary_that_is_cut_off_from_its_replicas_makes_nobody_leader() {
    let one = Server::builder().config("min-replicas-max-lag 1").start();
    let link = Proxy::to(one.port());
    let two = Server::builder().config(format!("replicaof 127.0.0.1 {}", link.port())).start();
    until("the link is up", || two.connect().server_info("replication", "master_link_status") == "up");
    let mut c = one.connect();
    c.ok("CONFIG SET min-replicas-to-write 1");
    let mut leader = one.connect();
    until("the replica counts", || leader.call("MQ.LEADER q old LEASE 3600000 SESSION").is_ok());
    let token = leader.leader("MQ.LEADER q old LEASE 3600000 SESSION").token;
    let standby = Waiter::spawn(&one, "MQ.LEADER q isolated LEASE 3600000 BLOCK 0");
    // The server takes up to three seconds to miss a replica; then the leader goes, and some time passes.
    let passing = Waiter::spawn(&one, "MQ.CLAIM quiet w BLOCK 4000");
    two.until_in_step_with(&one);
    link.block();
    until("the replica is missed", || c.call("MQ.PUSH other MSG a").is_err());
    let mut t = two.connect();
    t.ok("REPLICAOF NO ONE");
    let led = t.leader("MQ.LEADER q new LEASE 3600000");
    assert!(led.is("new") && led.token > token, "{led:?}");
    let before = c.digest("q");
    drop(leader);
    assert_eq!(passing.claims(), []);
    assert!(standby.waits(), "a second leader");
    assert_eq!(c.digest("q"), before);
    // The cut is over, and the old primary is told who is the new one.
    c.ok(format!("REPLICAOF 127.0.0.1 {}", two.port()));
    assert!(standby.answer().1.is_err_and(|e| e.code() == Some("UNBLOCKED")));
    one.until_in_step_with(&two);
    assert_eq!(c.fields("MQ.INFO q").text("leader"), "new");
}
