//! The harness itself, on servers without the module: what every other test leans on.

use std::{panic, path::PathBuf, time::Duration};

use mq_tests::{Server, Value, Waiter, median, skip, text_of, until};

fn plain() -> Server {
    Server::builder().without_module().start()
}

#[test]
fn two_servers_are_two() {
    let (one, other) = (plain(), plain());
    one.connect().ok("SET k one");
    assert!(other.connect().call("GET k").is_ok_and(|answer| text_of(&answer).is_none()));
}

#[test]
fn a_dropped_server_leaves_no_process_and_no_directory() {
    let server = plain();
    let dir = PathBuf::from(server.dir());
    let port = server.port();
    drop(server);
    assert!(!dir.exists());
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn a_failing_test_leaves_none_either() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let failed = std::thread::spawn(move || {
        let server = plain();
        sender.send(PathBuf::from(server.dir())).expect("the test listens");
        panic!("on purpose");
    });
    assert!(failed.join().is_err());
    assert!(!receiver.recv().expect("a directory").exists());
}

#[test]
fn a_server_that_dies_by_itself_fails_its_test() {
    let mut server = plain();
    server.connect().call("SHUTDOWN NOSAVE").expect_err("it ends the connection");
    until("it is gone", || server.has_died());
    assert!(panic::catch_unwind(panic::AssertUnwindSafe(|| drop(server))).is_err());
}

#[test]
fn a_restart_keeps_what_was_saved_and_a_kill_does_not_save() {
    let mut server = Server::builder().without_module().config("save 3600 1").start();
    server.connect().ok("SET k kept");
    server.restart();
    assert_eq!(server.connect().text("GET k"), "kept");
    server.connect().ok("SET k lost");
    server.kill9();
    server.start_again();
    assert_eq!(server.connect().text("GET k"), "kept");
}

#[test]
fn a_replica_gets_in_step() {
    let primary = plain();
    let replica = Server::builder().without_module().replica_of(&primary);
    primary.connect().ok("SET k v");
    replica.until_in_step_with(&primary);
    assert_eq!(replica.connect().text("GET k"), "v");
}

#[test]
fn a_waiter_waits_until_it_is_served() {
    let server = plain();
    let waiter = Waiter::spawn(&server, "BLPOP list 0");
    assert!(waiter.waits());
    assert_eq!(server.blocked_clients(), 1);
    server.connect().int("RPUSH list x");
    assert_eq!(waiter.value(), Value::Array(["list", "x"].map(|s| Value::BulkString(s.into())).to_vec()));
}

#[test]
fn a_refusal_is_shown_as_it_stood_on_the_wire() {
    let server = plain();
    let mut c = server.connect();
    c.ok("SET k v");
    assert!(c.refusal("LPUSH k x").starts_with("WRONGTYPE Operation"));
    assert!(c.refusal("NOSUCH").starts_with("ERR unknown command"));
    assert!(c.eval("return redis.error_reply('MYCODE why')", "k", &[]).is_err_and(|e| e.code() == Some("MYCODE")));
}

#[test]
fn a_pipeline_keeps_each_answer_in_its_place() {
    let server = plain();
    let answers = server.connect().pipeline(&["SET k v", "LPUSH k x", "STRLEN k"]).expect("a whole connection");
    assert!(answers[0].is_ok() && answers[1].is_err() && answers[2].is_ok());
}

#[test]
fn the_middle_time_is_the_median() {
    assert_eq!(median([9, 1, 5].map(Duration::from_millis).to_vec()), Duration::from_millis(5));
}

#[test]
fn a_skip_ends_the_test_and_says_so() {
    skip!("on purpose: the harness shows how a skip looks");
    #[expect(unreachable_code, reason = "this is the claim")]
    {
        panic!("a skip goes on");
    }
}
