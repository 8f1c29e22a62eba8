//! `client stats`: the same figures for people, for programs, and for Prometheus.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use mq_tests::{Conn, Peer, Server, Value, every_state, skip, until};

/// What it prints, in a form that its arguments ask for.
#[track_caller]
fn printed(server: &Server, arguments: &str) -> String {
    let finished = Peer::spawn(server, arguments).finish();
    assert_eq!(finished.status.code(), Some(0), "{arguments}: {finished:?}");
    finished.stdout
}

/// A queue of which hardly a figure is 0, that does not move by itself.
fn quiet_queue(c: &mut Conn) {
    every_state(c, "mq");
}

/// Figures that differ from one moment to the next.
fn moves(name: &str) -> bool {
    name.ends_with("-ms")
}

#[test]
fn json_has_every_figure_with_numbers_as_numbers() {
    let server = Server::start();
    let mut c = server.connect();
    quiet_queue(&mut c);
    let info = c.fields("MQ.INFO mq");
    for arguments in ["stats --format json", "--format json stats"] {
        let printed = printed(&server, arguments);
        assert_eq!(printed.lines().count(), 1, "{printed}");
        let object: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
        assert_eq!(object["queue"], "mq");
        assert_eq!(object.as_object().expect("an object").len(), info.names().count() + 1);
        for name in info.names() {
            let value = &object[name.replace('-', "_")];
            match info.get(name) {
                Some(Value::Int(_)) if moves(name) => assert!(value.is_u64(), "{name}: {value}"),
                Some(Value::Int(number)) => assert_eq!(value, number, "{name}"),
                Some(Value::Nil) => assert!(value.is_null(), "{name}: {value}"),
                _ if name == "paused" || name == "leader-only" => assert_eq!(value, false, "{name}"),
                _ => assert_eq!(value, &info.text(name), "{name}"),
            }
        }
    }
}

#[test]
fn prometheus_finds_a_type_and_a_sample_for_every_number() {
    let server = Server::start();
    let mut c = server.connect();
    quiet_queue(&mut c);
    let info = c.fields("MQ.INFO mq");
    let text = printed(&server, "stats --format prometheus");
    let mut samples = 0;
    for lines in text.lines().collect::<Vec<_>>().chunks(3) {
        let [help, kind, sample] = lines else { panic!("three lines each: {lines:?}") };
        let name = sample.split('{').next().expect("a name");
        assert!(help.starts_with(&format!("# HELP {name} ")), "{lines:?}");
        let counts = name.ends_with("_total");
        assert_eq!(*kind, format!("# TYPE {name} {}", if counts { "counter" } else { "gauge" }));
        assert!(sample.starts_with(&format!("{name}{{queue=\"mq\"")), "{sample}");
        let value: f64 = sample.rsplit(' ').next().expect("a value").parse().expect("a number");
        assert!(value >= 0.0, "{sample}");
        samples += 1;
    }
    let words = ["leader", "paused", "leader-only"];
    let has_sample = |name: &&str| matches!(info.get(name), Some(Value::Int(_))) || words.contains(name);
    assert_eq!(samples, info.names().filter(has_sample).count(), "{text}");
    for (sample, figure) in [("mq_ready_messages", "ready"), ("mq_pushed_messages_total", "pushed")] {
        assert!(text.contains(&format!("{sample}{{queue=\"mq\"}} {}\n", info.int(figure))), "{sample}: {text}");
    }
    assert!(text.contains("mq_leader_info{queue=\"mq\",leader=\"leader:1\"} 1\n"), "{text}");
    assert!(text.contains("mq_setting_lease_seconds{queue=\"mq\"} 3600.000\n"), "{text}");
}

#[test]
fn a_queue_that_is_not_there_has_figures_all_the_same() {
    let server = Server::start();
    let object: serde_json::Value =
        serde_json::from_str(&printed(&server, "stats --format json --queue nowhere")).expect("JSON");
    assert_eq!((&object["ready"], &object["leader"]), (&0.into(), &serde_json::Value::Null));
    assert_eq!(server.connect().int("EXISTS nowhere"), 0);
}

#[test]
fn a_leader_s_name_forges_no_line() {
    let server = Server::start();
    let name = "evil\x1b[31m\n    ready   99";
    assert!(server.connect().leader(["MQ.LEADER", "mq", name]).is(name));
    let text = printed(&server, "stats");
    assert!(!text.contains('\x1b'), "{text:?}");
    assert_eq!(text.lines().filter(|line| line.trim().starts_with("ready")).count(), 1, "{text}");
    let object: serde_json::Value = serde_json::from_str(&printed(&server, "stats --format json")).expect("JSON");
    assert_eq!(object["leader"], name);
}

#[test]
fn watched_without_a_terminal_it_goes_on_printing() {
    let server = Server::start();
    server.connect().int("MQ.PUSH mq MSG a b c");
    let mut text = Peer::spawn(&server, "stats --watch");
    for _ in 0..2 {
        while text.read_line() != "queue mq" {}
        assert_eq!(text.read_line().trim(), "now");
        assert_eq!(text.read_line().split_whitespace().collect::<Vec<_>>(), ["ready", "3"]);
    }
    let mut json = Peer::spawn(&server, "stats --watch --format json");
    for _ in 0..2 {
        let object: serde_json::Value = serde_json::from_str(&json.read_line()).expect("JSON");
        assert_eq!(object["ready"], 3);
    }
    for mut peer in [text, json] {
        peer.close_stdout();
        let finished = peer.finish();
        assert_eq!(finished.status.code(), Some(0), "{finished:?}");
    }
}

#[test]
fn a_server_that_goes_away_is_waited_for() {
    let mut server = Server::start();
    server.connect().int("MQ.PUSH mq MSG a b c");
    let mut peer = Peer::spawn(&server, "stats --watch --format json");
    let ready = |peer: &mut Peer| {
        let object: serde_json::Value = serde_json::from_str(&peer.read_line()).expect("JSON");
        object["ready"].as_u64().expect("a number")
    };
    assert_eq!(ready(&mut peer), 3);
    server.kill9();
    until("it complains that nobody listens", || peer.stderr().contains("cannot reach"));
    server.start_again();
    server.connect().int("MQ.PUSH mq MSG d");
    until("it sees the server that came back", || ready(&mut peer) == 1);
    let finished = peer.end_well();
    assert_eq!(finished.stderr.matches("in sight again").count(), 1, "{finished:?}");
    // That the connection broke, and that there is none to be had.
    assert!(finished.stderr.matches("out of sight").count() <= 2, "{finished:?}");
}

#[test]
fn a_reader_that_pauses_is_not_flooded_afterwards() {
    let server = Server::start();
    let mut peer = Peer::spawn(&server, "stats --watch --format json");
    for _ in 0..2 {
        peer.read_line();
    }
    peer.freeze();
    std::thread::sleep(Duration::from_secs(4));
    peer.thaw();
    let thawed_at = Instant::now();
    for _ in 0..4 {
        peer.read_line();
    }
    assert!(thawed_at.elapsed() > Duration::from_secs(2), "a look a second, also after a pause");
}

#[test]
fn a_format_that_makes_no_sense_is_refused_with_a_hint() {
    for arguments in
        ["getErrors --format prometheus", "--format prometheus errors", "stats --watch --format prometheus"]
    {
        let finished = Peer::spawn_bare(arguments).finish();
        assert_eq!(finished.status.code(), Some(2), "{arguments}: {finished:?}");
        assert!(
            finished.stderr.contains("--format prometheus is") && finished.stderr.contains("--help"),
            "{finished:?}"
        );
    }
}

#[test]
fn an_error_that_cannot_be_told_is_still_the_exit_code() {
    let Ok(full) = std::fs::File::options().write(true).open("/dev/full") else {
        skip!("no /dev/full to write to");
    };
    let finished = Peer::spawn_onto("stats --redis redis://127.0.0.1:1", &[], Stdio::piped(), full).finish();
    assert_eq!(finished.status.code(), Some(1), "{finished:?}");
}
