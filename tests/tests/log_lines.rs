//! What the server's log tells of a queue that is not well is one line, whatever the queue is called.

use mq_tests::{Builder, Conn, Server, Value, every_state, skip, until};

/// A name that would begin a line of its own, and colour it.
const NAME: &[u8] = b"jobs\n4242:M 01 Jan 2030 00:00:00.000 * FORGED\x1b[31m\r\x07\xff end";

/// A name that would be cut short, or left out.
const NUL_NAME: &[u8] = b"jobs\0\nFORGED";

const FORGED: &str = "FORGED";

fn dump(c: &mut Conn, q: &str) -> Vec<u8> {
    let Value::BulkString(dump) = c.ok(["DUMP", q]) else { panic!("a dump") };
    dump
}

/// Restores damaged dumps under that name until one is refused by the module.
fn restore_damaged(c: &mut Conn, name: &[u8]) {
    every_state(c, "q");
    let dump = dump(c, "q");
    c.ok("DEBUG SET-SKIP-CHECKSUM-VALIDATION 1");
    let mut refused = 0;
    for at in (20..dump.len() - 10).step_by(dump.len() / 40) {
        let mut damaged = dump.clone();
        damaged[at] ^= 0xFF;
        if c.call([&b"RESTORE"[..], name, b"0", &damaged, b"REPLACE"]).is_err() {
            refused += 1;
        }
    }
    assert!(refused > 0, "none was refused");
}

/// No byte of the log steers a terminal, and no line of it was made by a name.
#[track_caller]
fn is_honest(server: &Server) {
    let steers = |c: char| c.is_control() && c != '\r';
    // Not by lines(), which takes a carriage return for a part of the line's end.
    for line in server.log().split('\n') {
        assert!(
            !line.contains(steers) && !line.trim_end_matches('\r').contains('\r'),
            "it steers a terminal: {line:?}"
        );
        assert!(!line.trim_start().starts_with("4242:M"), "it was forged: {line:?}");
    }
}

#[track_caller]
fn has_no_name(server: &Server) {
    let log = server.log();
    let named: Vec<_> = log.lines().filter(|line| line.contains(FORGED) || line.contains("jobs")).collect();
    assert!(named.is_empty(), "{named:?}");
}

/// A server that names keys in its log, which some do only when told.
fn outspoken() -> Builder {
    let (Ok(builder) | Err(builder)) = Server::builder().config_if_known("hide-user-data-from-log", "no");
    builder
}

/// A server that keeps users' data out of its log. `Err`: it knows no such setting.
fn discreet() -> Result<Builder, Builder> {
    Server::builder().config_if_known("hide-user-data-from-log", "yes")
}

const NOT_DISCREET: &str = "no hide-user-data-from-log (Redis 8, Valkey 8)";

#[test]
fn a_damaged_dump_is_logged_in_one_line_whatever_its_name() {
    for name in [NAME, NUL_NAME] {
        let server = outspoken().start();
        restore_damaged(&mut server.connect(), name);
        let log = server.log();
        assert!(log.contains("cannot be loaded"), "the log tells of it: {log:?}");
        is_honest(&server);
        assert!(log.contains("jobs"), "the name is in it, made legible: {log:?}");
    }
}

#[test]
fn a_name_stays_out_of_a_log_that_hides_users_data() {
    let Ok(builder) = discreet() else { skip!(NOT_DISCREET) };
    let server = builder.start();
    restore_damaged(&mut server.connect(), NAME);
    assert!(server.log().contains("cannot be loaded"), "the log tells of it");
    is_honest(&server);
    has_no_name(&server);
}

/// A server whose log holds an effect that cannot be applied, for a queue named [`NAME`], started again.
fn broken_by_its_log(builder: Builder) -> Server {
    let mut server = builder.config("appendonly yes").config("appendfsync always").start();
    let mut c = server.connect();
    c.int([&b"MQ.PUSH"[..], NAME, b"MSG", b"a"]);
    drop(c);
    server.stop();
    server.append_record([&b"MQ.APPLY"[..], NAME, b"\x63"]);
    server.start_again();
    let refusal = server.connect().refusal([&b"MQ.PUSH"[..], NAME, b"MSG", b"a"]);
    assert!(refusal.starts_with("BROKEN"), "{refusal}");
    server
}

#[test]
fn a_queue_that_its_log_breaks_is_logged_in_one_line_whatever_its_name() {
    let server = broken_by_its_log(outspoken());
    assert!(server.log().contains("BROKEN"));
    is_honest(&server);
}

#[test]
fn a_broken_queues_name_stays_out_of_a_log_that_hides_users_data() {
    let Ok(builder) = discreet() else { skip!(NOT_DISCREET) };
    let server = broken_by_its_log(builder);
    assert!(server.log().contains("BROKEN"));
    is_honest(&server);
    has_no_name(&server);
}

#[test]
fn a_name_stays_out_of_a_log_that_hides_users_data_also_where_config_has_another_name() {
    let renamed = |builder: Builder| builder.config("rename-command CONFIG settings");
    let [Ok(damaged), Ok(broken)] = [discreet(), discreet()] else { skip!(NOT_DISCREET) };
    let server = renamed(damaged).start();
    restore_damaged(&mut server.connect(), NAME);
    assert!(server.log().contains("cannot be loaded"), "the log tells of it");
    has_no_name(&server);
    let server = broken_by_its_log(renamed(broken));
    assert!(server.log().contains("BROKEN"));
    has_no_name(&server);
}

#[test]
fn a_queue_that_breaks_on_a_replica_is_logged_in_one_line_whatever_its_name() {
    let primary = Server::start();
    let replica = outspoken().config("replica-read-only no").replica_of(&primary);
    let mut c = primary.connect();
    // The replica has no such queue, so what the primary does to it cannot be done.
    c.int([&b"MQ.PUSH"[..], NAME, b"MSG", b"a"]);
    replica.until_in_step_with(&primary);
    replica.connect().int([&b"DEL"[..], NAME]);
    c.claim([&b"MQ.CLAIM"[..], NAME, b"w"]);
    until("the replica says so", || replica.log().contains("BROKEN"));
    is_honest(&replica);
    let refusal = replica.connect().refusal([&b"MQ.INFO"[..], NAME]);
    assert!(refusal.starts_with("BROKEN"), "{refusal}");
    is_honest(&replica);
}
