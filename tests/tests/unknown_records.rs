//! What a copy is told and cannot do breaks that queue, visibly: a queue that only looked sound would be lost at the next
//! rewrite, or read wrongly after the next failover.

use mq_tests::{Builder, Conn, Record, Server, Value, until};

/// What stands under the name when the record comes.
#[derive(Clone, Copy, Debug)]
enum Found {
    Queue,
    Nothing,
    String,
}

/// What a later version, or a fault, may send: a name for it, and the words after the queue's; `@` stands for an effect
/// whose first bytes are good.
const RECORDS: [(&str, &str); 11] = [
    ("option", "MQ.PUSH $ COLOUR red MSG a"),
    ("arity", "MQ.PUSH $"),
    ("no-payload", "MQ.PUSH $ MSG"),
    ("limit", "MQ.PUSH $ PRIORITY 256 MSG a"),
    ("receipt", "MQ.ACK $ x"),
    ("state", "MQ.PURGE $ SOMETIMES"),
    ("version", "MQ.APPLY $ \u{63}"),
    ("no-effect", "MQ.APPLY $"),
    ("part", "MQ.APPLY $ SOMETHING a"),
    ("tag", "MQ.APPLY $ @tag"),
    ("cut", "MQ.APPLY $ @cut"),
];

/// The words of a record for that queue. `effect` is one that this server has made.
fn words(record: &str, q: &str, effect: &[u8]) -> Record {
    record
        .split(' ')
        .map(|word| match word {
            "$" => q.as_bytes().to_vec(),
            "@tag" => [&effect[..1], b"\xEE", &effect[2..]].concat(),
            "@cut" => effect[..effect.len() - 1].to_vec(),
            word => word.as_bytes().to_vec(),
        })
        .collect()
}

/// Every record with everything that it may find, under a name of its own.
fn cases() -> Vec<(String, &'static str, Found)> {
    let found = [Found::Queue, Found::Nothing, Found::String];
    let each = |found| RECORDS.iter().map(move |(name, record)| (format!("{name}-{found:?}"), *record, found));
    let mut cases: Vec<_> = found.into_iter().flat_map(each).collect();
    // Good in itself, but not for what is there.
    for record in ["MQ.PUSH $ MSG a", "MQ.ACK $ 5", "MQ.PUSH $ TTL 1000 MSG a"] {
        let name = record.replace(' ', "_").replace('$', "");
        cases.push((format!("{name}-String"), record, Found::String));
    }
    cases
}

/// What every name holds, and queues that nothing is told of.
fn prepare(c: &mut Conn) {
    for (q, _, found) in cases() {
        match found {
            Found::Queue => drop(c.ok(["MQ.PUSH", &q, "MSG", "payload"])),
            Found::Nothing => {}
            Found::String => drop(c.ok(["SET", &q, "text"])),
        }
    }
    for q in ["before", "other"] {
        mq_tests::every_state(c, q);
    }
}

/// The effect of a claim, as the log has it.
fn effect() -> Vec<u8> {
    let server = Server::builder().config("appendonly yes").config("appendfsync always").start();
    let mut c = server.connect();
    c.int("MQ.PUSH q MSG a");
    c.claim("MQ.CLAIM q w");
    let mut effects = server.records().into_iter().filter(|record| record[0].eq_ignore_ascii_case(b"MQ.APPLY"));
    effects.next_back().expect("a claim is an effect")[2].clone()
}

/// A server that names keys in its log, which some do only when told.
fn outspoken() -> Builder {
    let (Ok(builder) | Err(builder)) = Server::builder().config_if_known("hide-user-data-from-log", "no");
    builder
}

/// The cases whose queue is not broken, or of which the log does not tell, on this copy.
fn taken_for_sound(copy: &Server) -> Vec<String> {
    let mut c = copy.connect();
    let log = copy.log();
    let is_broken = |c: &mut Conn, q: &str| {
        ["MQ.INFO", "MQ.CONFIG"]
            .iter()
            .all(|command| c.call([*command, q]).is_err_and(|e| matches!(e.code(), Some("BROKEN" | "READONLY"))))
            && c.call(["MQ.PEEK", q, "READY"]).is_err_and(|e| e.code() == Some("BROKEN"))
    };
    let tells = |q: &str| log.lines().any(|line| line.contains(q) && line.contains("BROKEN"));
    let cases = cases().into_iter().filter(|(q, ..)| !is_broken(&mut c, q) || !tells(q));
    cases.map(|(q, ..)| q).collect()
}

#[test]
fn a_record_of_the_log_that_cannot_be_done_breaks_its_queue_and_no_other() {
    let mut server = outspoken().config("appendonly yes").config("appendfsync always").start();
    let mut c = server.connect();
    prepare(&mut c);
    c.int("MQ.PUSH after MSG a");
    let digests = ["before", "other"].map(|q| c.digest(q));
    drop(c);
    server.stop();
    let effect = effect();
    for (q, record, _) in cases() {
        server.append_record(words(record, &q, &effect));
    }
    server.append_record("MQ.PUSH after MSG b");
    server.start_again();
    let sound = taken_for_sound(&server);
    let mut c = server.connect();
    assert_eq!(["before", "other"].map(|q| c.digest(q)), digests);
    assert_eq!(c.balanced("after").int("ready"), 2, "what comes after it is done");
    assert!(sound.is_empty(), "taken for sound: {sound:#?}");
    // It stays so in a rewritten log, until it is deleted.
    server.rewrite_log();
    server.restart();
    let mut c = server.connect();
    for (q, ..) in cases() {
        assert!(c.refusal(["MQ.PUSH", &q, "MSG", "a"]).starts_with("BROKEN"), "{q}");
        assert_eq!(c.int(["DEL", &q]), 1, "{q}");
        c.int(["MQ.PUSH", &q, "MSG", "a"]);
    }
}

#[test]
fn what_a_primary_sends_that_cannot_be_done_breaks_the_replicas_queue_and_no_other() {
    let primary = Server::start();
    let replica = outspoken().replica_of(&primary);
    let mut c = primary.connect();
    prepare(&mut c);
    let effect = effect();
    for (q, record, _) in cases() {
        let told = [vec![b"DEBUG".to_vec(), b"REPLICATE".to_vec()], words(record, &q, &effect)].concat();
        c.ok(told);
    }
    c.int("MQ.PUSH after MSG a");
    let mut r = replica.connect();
    until(
        "the replica has got so far",
        || matches!(r.call("MQ.PEEK after READY"), Ok(Value::Array(messages)) if messages.len() == 1),
    );
    for q in ["before", "other", "after"] {
        assert_eq!(r.digest(q), c.digest(q), "{q}");
    }
    let sound = taken_for_sound(&replica);
    assert!(sound.is_empty(), "taken for sound: {sound:#?}");
    r.ok("REPLICAOF NO ONE");
    for (q, ..) in cases() {
        assert!(r.refusal(["MQ.PUSH", &q, "MSG", "a"]).starts_with("BROKEN"), "{q}");
    }
}
