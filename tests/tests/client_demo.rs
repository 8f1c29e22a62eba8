//! `client demo`: it proves what it says, finds what is forged, and leaves nothing behind.

use std::{ffi::OsStr, fs, path::Path, process::Stdio, time::Duration};

use mq_tests::{Finished, Peer, full_pipe, left_pipe, skip, until};
use tempfile::TempDir;

/// The unmodified event handler takes up to a second per message, and a killed one's messages again.
const A_SMALL_DEMO: Duration = Duration::from_secs(120);

/// Runs in a temporary directory of its own, by which also its children are known.
fn demo(home: &Path, arguments: &str) -> Peer {
    Peer::spawn_with(format!("demo {arguments}").as_str(), &[("TMPDIR", home.as_os_str())])
}

/// How many processes carry this TMPDIR, or work in it (redis-server writes its title over its environment); `None`
/// where the system does not show it.
fn processes_of(home: &Path) -> Option<usize> {
    let mark = [b"TMPDIR=", home.as_os_str().as_encoded_bytes(), b"\0"].concat();
    let belongs = |process: &Path| {
        let environment = fs::read(process.join("environ")).unwrap_or_default();
        let works_here = fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd.starts_with(home));
        works_here || environment.windows(mark.len()).any(|window| window == mark)
    };
    let processes = fs::read_dir("/proc").ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    Some(processes.filter(|process| belongs(process)).count())
}

fn files_in(home: &Path) -> Vec<impl AsRef<OsStr> + use<> + std::fmt::Debug> {
    fs::read_dir(home).expect("a directory").map(|entry| entry.expect("an entry").path()).collect()
}

#[track_caller]
fn nothing_is_left(home: &Path, finished: &Finished) {
    assert_eq!(processes_of(home).unwrap_or(0), 0, "{finished:?}");
    assert!(files_in(home).is_empty(), "{:?}", files_in(home));
}

#[test]
fn a_small_demo_proves_it_and_leaves_nothing_behind() {
    let home = TempDir::with_prefix("mq-demo-").expect("a temporary directory");
    let finished = demo(home.path(), "--messages 3000 --peers 4 --kills 5").finish_within(A_SMALL_DEMO);
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");
    for (name, figure) in [
        ("generated", "3,000"),
        ("generator kills", "1"),
        ("handler kills", "4"),
        ("failover", "median"),
        ("lost", "0"),
        ("completed twice", "0"),
    ] {
        let said = finished.stdout.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next());
        assert_eq!(said, Some(figure), "{name}: {}", finished.stdout);
    }
    nothing_is_left(home.path(), &finished);
}

#[test]
fn a_demo_whose_progress_nobody_reads_goes_on() {
    let home = TempDir::with_prefix("mq-demo-").expect("a temporary directory");
    let environment = [("TMPDIR", home.path().as_os_str())];
    let peer = Peer::spawn_onto("demo --messages 300 --peers 2 --kills 0", &environment, Stdio::piped(), left_pipe());
    let finished = peer.finish_within(A_SMALL_DEMO);
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");
    assert!(finished.stdout.contains("exactly once"), "{finished:?}");
    nothing_is_left(home.path(), &finished);
}

#[test]
fn an_interrupted_demo_leaves_nothing_behind() {
    let home = TempDir::with_prefix("mq-demo-").expect("a temporary directory");
    if processes_of(home.path()).is_none() {
        skip!("no /proc to see processes in");
    }
    for interrupt in [Peer::interrupt, Peer::terminate] {
        let peer = demo(home.path(), "--messages 100000 --peers 4 --kills 5");
        until("server and peers run", || processes_of(home.path()) >= Some(6));
        interrupt(&peer);
        let finished = peer.finish();
        assert!(!finished.status.success(), "there is no verdict: {finished:?}");
        nothing_is_left(home.path(), &finished);
    }
}

#[test]
fn a_demo_whose_progress_waits_for_a_reader_can_be_interrupted() {
    let home = TempDir::with_prefix("mq-demo-").expect("a temporary directory");
    if processes_of(home.path()).is_none() {
        skip!("no /proc to see processes in");
    }
    let (_reader, stderr) = full_pipe();
    let environment = [("TMPDIR", home.path().as_os_str())];
    let arguments = "demo --messages 100000 --peers 2 --kills 0";
    let peer = Peer::spawn_onto(arguments, &environment, Stdio::piped(), stderr);
    until("server and peers run", || processes_of(home.path()) >= Some(4));
    peer.interrupt();
    let finished = peer.finish();
    assert_eq!(finished.status.code(), Some(130), "{finished:?}");
    nothing_is_left(home.path(), &finished);
}

#[test]
fn a_demo_that_is_killed_outright_takes_its_children_along() {
    if !cfg!(target_os = "linux") {
        skip!("only Linux tells children of their parent's death");
    }
    let home = TempDir::with_prefix("mq-demo-").expect("a temporary directory");
    let mut peer = demo(home.path(), "--messages 100000 --peers 4 --kills 5");
    until("server and peers run", || processes_of(home.path()) >= Some(6));
    peer.kill9();
    until("all have ended", || processes_of(home.path()) == Some(0));
}

/// A ledger of ten numbers, of which 3 and 7 failed and were printed; `forge` changes it before it is judged.
#[track_caller]
fn verdict_on(forge: impl FnOnce(&mut Vec<u8>, &mut Vec<u8>, &mut Vec<&str>)) -> Finished {
    verdict_onto(Stdio::piped(), forge)
}

/// The same, printed somewhere else.
#[track_caller]
fn verdict_onto(stdout: impl Into<Stdio>, forge: impl FnOnce(&mut Vec<u8>, &mut Vec<u8>, &mut Vec<&str>)) -> Finished {
    let evidence = TempDir::with_prefix("mq-evidence-").expect("a temporary directory");
    let (mut processed, mut failed, mut errors) = (vec![1_u8; 10], vec![0_u8; 10], vec!["3", "7"]);
    for number in [3, 7] {
        processed[number] = 0;
        failed[number] = 1;
    }
    forge(&mut processed, &mut failed, &mut errors);
    fs::write(evidence.path().join("processed"), processed).expect("a file");
    fs::write(evidence.path().join("failed"), failed).expect("a file");
    fs::write(evidence.path().join("errors"), errors.iter().map(|line| format!("{line}\n")).collect::<String>())
        .expect("a file");
    fs::write(evidence.path().join("generated"), "10\n").expect("a file");
    let arguments = format!("demo --messages 10 --verify-only {}", evidence.path().display());
    Peer::spawn_onto(arguments, &[], stdout, Stdio::piped()).finish()
}

#[track_caller]
fn is_found_out(forge: impl FnOnce(&mut Vec<u8>, &mut Vec<u8>, &mut Vec<&str>)) {
    let finished = verdict_on(forge);
    assert_eq!(finished.status.code(), Some(1), "{finished:?}");
}

#[test]
fn honest_evidence_is_believed() {
    let finished = verdict_on(|_, _, _| {});
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");
}

#[test]
fn a_verdict_that_nobody_reads_is_still_the_exit_code() {
    for (lost, code) in [(None, 0), (Some(5), 1)] {
        let finished = verdict_onto(left_pipe(), |processed, _, _| {
            if let Some(number) = lost {
                processed[number] = 0_u8;
            }
        });
        assert_eq!((finished.status.code(), finished.stderr.as_str()), (Some(code), ""), "{finished:?}");
    }
}

#[test]
fn a_lost_message_is_found_out() {
    is_found_out(|processed, _, _| processed[5] = 0);
}

#[test]
fn a_lost_last_message_is_found_out() {
    is_found_out(|processed, _, _| processed.truncate(9));
}

#[test]
fn a_message_processed_twice_is_found_out() {
    is_found_out(|processed, _, _| processed[5] = 2);
}

#[test]
fn a_message_failed_twice_is_found_out() {
    is_found_out(|_, failed, _| failed[3] = 2);
}

#[test]
fn a_message_both_processed_and_failed_is_found_out() {
    is_found_out(|processed, _, _| processed[3] = 1);
}

#[test]
fn a_failure_that_was_not_printed_is_found_out() {
    is_found_out(|_, _, errors| errors.truncate(1));
}

#[test]
fn an_error_printed_twice_is_found_out() {
    is_found_out(|_, _, errors| errors.push("3"));
}

#[test]
fn a_printed_error_that_did_not_fail_is_found_out() {
    is_found_out(|_, _, errors| errors.push("5"));
}

#[test]
fn a_number_beyond_the_last_is_found_out() {
    is_found_out(|processed, _, _| processed.push(1));
}
