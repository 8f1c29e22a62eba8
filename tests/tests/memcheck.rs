//! What memcheck must notice and what it must not, on the server that `make valgrind` has it watch: without this, no report
//! would prove nothing.

use std::path::Path;
use std::process::Command;

use mq_tests::{Builder, Server, every_state, skip, with_faults};

const NOT_WATCHED: &str = "the server does not run under memcheck, or the module was built without faults";

/// What `tests/memcheck/check` says of a server on which these commands were run: whether all is well, and its words. The
/// reports are gone then. `None`: nobody watches.
fn checked(builder: Option<Builder>, commands: &[&str]) -> Option<(bool, String)> {
    let reports = std::env::var_os("MQ_MEMCHECK_LOGS")?;
    let mut server = builder?.start();
    let mut c = server.connect();
    let report = Path::new(&reports).join(format!("{}.log", c.server_info("server", "process_id")));
    every_state(&mut c, "q");
    for command in commands {
        c.ok(*command);
    }
    drop(c);
    server.stop();
    let check = concat!(env!("CARGO_MANIFEST_DIR"), "/memcheck/check");
    let output = Command::new(check).arg(&report).output().expect("a program of ours");
    std::fs::remove_file(report).expect("a file that was read");
    Some((output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned()))
}

#[test]
fn a_block_that_is_read_after_it_was_freed_is_reported() {
    let Some((is_well, words)) = checked(with_faults(), &["MQ.FAULT q FREED 50"]) else { skip!(NOT_WATCHED) };
    assert!(!is_well && words.contains("Invalid read") && words.contains("misuse.rs"), "{words}");
}

#[test]
fn a_block_that_is_forgotten_is_reported() {
    // A stale pointer to one of them may lie about.
    let commands = ["MQ.FAULT q LOST 1234"; 5];
    let Some((is_well, words)) = checked(with_faults(), &commands) else { skip!(NOT_WATCHED) };
    assert!(!is_well && words.contains("definitely lost") && words.contains("faults.rs"), "{words}");
}

#[test]
fn a_server_on_which_nothing_is_wrong_has_no_reports() {
    let commands = ["MQ.FAULT q CALLBACK 0", "DEBUG RELOAD", "DEBUG DIGEST-VALUE q", "COPY q r", "DEL q", "UNLINK r"];
    let Some((is_well, words)) = checked(with_faults(), &commands) else { skip!(NOT_WATCHED) };
    assert!(is_well, "{words}");
    let Some((is_well, words)) = checked(Some(Server::builder()), &commands[1..]) else { skip!(NOT_WATCHED) };
    assert!(is_well && words.contains("1 processes"), "{words}");
}
