//! The patterns hold what they promise: their examples run as shown, and workers that are killed in the middle lose nothing and repeat
//! nothing.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};

use mq_tests::{Claim, Conn, Document, Server, Value, run_example, until};

/// The scripts of the document, by the names that it gives them.
fn scripts() -> BTreeMap<String, String> {
    let mut scripts = BTreeMap::new();
    for block in Document::read("module/PATTERNS.md").blocks().into_iter().filter(|block| block.kind == "lua") {
        let first = block.lines.first().expect("a script is not empty");
        let name = match (first.strip_prefix("#!lua name="), first.strip_prefix("-- ")) {
            (Some(library), _) => format!("{library}.lua"),
            (None, Some(comment)) => comment.split(':').next().expect("a name").to_owned(),
            (None, None) => panic!("a script without a name: {first}"),
        };
        scripts.insert(name, block.lines.join("\n"));
    }
    scripts
}

#[test]
fn every_example_runs_as_shown() {
    let scripts = scripts();
    let blocks: Vec<_> = Document::read("module/PATTERNS.md").blocks();
    let examples = blocks.iter().filter(|block| block.kind == "console");
    assert!(examples.clone().count() >= 8);
    for block in examples {
        if let Err(why) = run_example(&block.lines, &scripts) {
            panic!("an example of {}:\n{why}", block.heading);
        }
    }
}

/// What a worker process does with the servers at two ports, until it is killed or has nothing left to do.
type Work = fn(queue: &mut Conn, store: &mut Conn);

const WORKS: [(&str, Work); 4] =
    [("complete", complete), ("forward", forward), ("once", effect_elsewhere), ("produce", produce)];

const MESSAGES: i64 = 1_500;

/// Claims until the queue is empty for a while.
fn each_claim(c: &mut Conn, mut act: impl FnMut(&mut Conn, &Claim)) {
    loop {
        let claims = c.claims("MQ.CLAIM {q}in worker COUNT 3 SESSION BLOCK 300");
        if claims.is_empty() {
            return;
        }
        claims.iter().for_each(|claim| act(c, claim));
    }
}

fn complete(c: &mut Conn, _: &mut Conn) {
    let script = &scripts()["complete.lua"];
    each_claim(c, |c, claim| {
        c.ok(["EVAL", script, "2", "{q}in", "{q}sum", &claim.receipt.to_string(), &claim.payload]);
    });
}

fn forward(c: &mut Conn, _: &mut Conn) {
    let script = &scripts()["forward.lua"];
    each_claim(c, |c, claim| {
        c.ok(["EVAL", script, "2", "{q}in", "{q}out", &claim.receipt.to_string(), &claim.payload]);
    });
}

fn effect_elsewhere(c: &mut Conn, store: &mut Conn) {
    let script = &scripts()["once.lua"];
    each_claim(c, |c, claim| {
        store.ok(["EVAL", script, "2", "done", "sum", &claim.id.to_string(), &claim.payload]);
        c.int(format!("MQ.ACK {{q}}in {}", claim.receipt));
    });
}

fn produce(c: &mut Conn, _: &mut Conn) {
    loop {
        let next = c.int("MQ.SEQ {q}in numbers");
        if next == MESSAGES {
            return;
        }
        c.int(format!("MQ.PUSH {{q}}in SEQ numbers {next} MSG {next}"));
    }
}

const WORKER: &str = "MQ_TEST_WORKER";

/// Not a test: what the tests below start as processes of their own.
#[test]
#[ignore = "a process of other tests"]
fn worker_process() {
    let Ok(order) = std::env::var(WORKER) else { return };
    let words: Vec<&str> = order.split(' ').collect();
    let [name, queue, store] = words.as_slice() else { panic!("a work and two ports were expected, not {order}") };
    let (_, work) = WORKS.iter().find(|(known, _)| known == name).expect("a known work");
    let connect = |port: &str| Conn::to_port(port.parse().expect("a port"));
    work(&mut connect(queue), &mut connect(store));
}

fn start_worker(work: &str, queue: &Server, store: &Server) -> Child {
    Command::new(std::env::current_exe().expect("this program"))
        .args(["worker_process", "--exact", "--ignored"])
        .env(WORKER, format!("{work} {} {}", queue.port(), store.port()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("this program starts")
}

/// Two workers at a time, both killed when some messages more are done, and followed by others, ten times; then one that may
/// finish. Some die with claims in hand.
fn kill_workers(work: &str, queue: &Server, store: &Server) {
    let mut c = queue.connect();
    for nth in 1..=10 {
        let mut workers = [start_worker(work, queue, store), start_worker(work, queue, store)];
        until("the workers get on", || c.fields("MQ.INFO {q}in").int("acked") >= nth * MESSAGES / 20);
        workers.iter_mut().for_each(kill9);
    }
    assert!(start_worker(work, queue, store).wait().expect("a child can be awaited").success());
    let info = c.balanced("{q}in");
    assert_eq!(info.int("acked"), MESSAGES);
    assert!(info.int("expired") > 0, "nobody was struck in the middle");
}

fn kill9(worker: &mut Child) {
    worker.kill().expect("an own child can be killed");
    worker.wait().expect("a killed child ends");
}

/// The numbers 1, 2, … as messages, and their sum.
fn fill(c: &mut Conn) -> i64 {
    let mut push = vec!["MQ.PUSH".to_owned(), "{q}in".into(), "MSG".into()];
    push.extend((1..=MESSAGES).map(|n| n.to_string()));
    c.int(push);
    MESSAGES * (MESSAGES + 1) / 2
}

#[test]
fn an_effect_in_the_same_step_as_the_ack_happens_once_whoever_is_killed() {
    let server = Server::start();
    let mut c = server.connect();
    let sum = fill(&mut c);
    kill_workers("complete", &server, &server);
    assert_eq!(c.text("GET {q}sum"), sum.to_string());
}

#[test]
fn a_message_is_forwarded_once_whoever_is_killed() {
    let server = Server::start();
    let mut c = server.connect();
    let sum = fill(&mut c);
    kill_workers("forward", &server, &server);
    let out: Vec<i64> = c
        .claims("MQ.CLAIM {q}out reader COUNT 65536")
        .iter()
        .map(|claim| claim.payload.parse().expect("a number"))
        .collect();
    assert_eq!((out.len() as i64, out.iter().sum::<i64>()), (MESSAGES, sum));
}

#[test]
fn an_effect_in_another_store_happens_once_whoever_is_killed() {
    let (server, store) = (Server::start(), Server::builder().without_module().start());
    let mut c = server.connect();
    let sum = fill(&mut c);
    kill_workers("once", &server, &store);
    assert_eq!(store.connect().text("GET sum"), sum.to_string());
}

#[test]
fn a_producer_that_is_killed_leaves_no_gap_and_no_repetition() {
    let server = Server::start();
    let mut c = server.connect();
    for nth in 1..=10 {
        let mut producer = start_worker("produce", &server, &server);
        until("it has pushed something", || c.int("MQ.SEQ {q}in numbers") >= nth * MESSAGES / 20);
        kill9(&mut producer);
    }
    assert!(start_worker("produce", &server, &server).wait().expect("a child can be awaited").success());
    let claims = c.claims("MQ.CLAIM {q}in reader COUNT 65536");
    let numbers: Vec<i64> = claims.iter().map(|claim| claim.payload.parse().expect("a number")).collect();
    assert_eq!(numbers, (0..MESSAGES).collect::<Vec<_>>());
}

#[test]
fn a_push_whose_reply_was_lost_is_added_once_through_a_power_cut() {
    let mut server = Server::builder().config("appendonly yes").config("appendfsync always").start();
    let mut c = server.connect();
    let id = c.int("MQ.PUSH q SEQ p 0 MSG a b");
    server.kill9();
    server.start_again();
    let mut c = server.connect();
    assert_eq!(c.int("MQ.PUSH q SEQ p 0 MSG a b"), id);
    assert_eq!(c.int("MQ.SEQ q p"), 2);
    assert_eq!(c.balanced("q").int("pushed"), 2);
}

#[test]
fn a_stale_receipt_has_no_effect_in_a_script_or_function() {
    let server = Server::start();
    let mut c = server.connect();
    let scripts = scripts();
    c.ok(["FUNCTION", "LOAD", &scripts["shop.lua"]]);
    c.int("MQ.PUSH {q}in MSG 1");
    let stale = c.claim("MQ.CLAIM {q}in dead").receipt;
    c.int(format!("MQ.EXTEND {{q}}in 0 {stale}"));
    let current = c.claim("MQ.CLAIM {q}in alive").receipt;
    let mut call = |start: &[&str], receipt: i64| {
        let mut words = start.to_vec();
        let receipt = receipt.to_string();
        words.extend(["2", "{q}in", "{q}effect", &receipt, "1"]);
        c.ok(words)
    };
    assert_eq!(call(&["EVAL", &scripts["complete.lua"]], stale), Value::Int(0));
    assert_eq!(call(&["FCALL", "complete"], stale), Value::Int(0));
    assert_eq!(call(&["EVAL", &scripts["forward.lua"]], stale), Value::Nil);
    assert_eq!(call(&["FCALL", "complete"], current), Value::Int(1));
    assert_eq!(c.text("GET {q}effect"), "1");
    c.balanced("{q}in");
}

#[test]
fn a_transaction_forwards_once_or_not_at_all() {
    let server = Server::start();
    let (mut alice, mut bob) = (server.connect(), server.connect());
    let mut forwarded = 0;
    for interrupted in [true, false] {
        alice.int("MQ.PUSH {q}in MSG a");
        let receipt = alice.claim("MQ.CLAIM {q}in alice SESSION LEASE 3600000").receipt;
        alice.ok("WATCH {q}in");
        if interrupted {
            bob.int(format!("MQ.EXTEND {{q}}in 0 {receipt}"));
        }
        alice.ok("MULTI");
        alice.ok(format!("MQ.ACK {{q}}in {receipt}"));
        alice.ok("MQ.PUSH {q}out MSG a");
        forwarded += i64::from(alice.ok("EXEC") != Value::Nil);
        bob.int("MQ.PURGE {q}in READY");
    }
    assert_eq!(forwarded, 1);
    assert_eq!(bob.balanced("{q}out").int("ready"), 1);
    // Killed before EXEC: the claim ends with the connection, and nothing was forwarded.
    alice.int("MQ.PUSH {q}in MSG b");
    let receipt = alice.claim("MQ.CLAIM {q}in alice SESSION LEASE 3600000").receipt;
    alice.ok("MULTI");
    alice.ok(format!("MQ.ACK {{q}}in {receipt}"));
    alice.ok("MQ.PUSH {q}out MSG b");
    drop(alice);
    assert_eq!(bob.claims("MQ.CLAIM {q}in bob BLOCK 5000").len(), 1);
    assert_eq!(bob.balanced("{q}out").int("pushed"), 1);
}
