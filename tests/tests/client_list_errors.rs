//! `client errors`: lists the failed messages and leaves them; `errors redrive` makes them ready again.

use mq_tests::{Conn, FakeServer, Finished, Peer, Server, left_pipe};

/// Pushes `n` messages and fails them; their ids.
fn make_errors(c: &mut Conn, n: usize) -> Vec<i64> {
    let payloads = (0..n).map(|number| format!("payload-{number}"));
    let push: Vec<String> = ["MQ.PUSH", "mq", "MSG"].into_iter().map(str::to_owned).chain(payloads).collect();
    c.int(push);
    let claims = c.claims(format!("MQ.CLAIM mq some-worker COUNT {n}"));
    let fails: Vec<_> = claims.iter().map(|claim| format!("MQ.FAIL mq {} REASON because", claim.receipt)).collect();
    assert!(c.pipeline(&fails).expect("a whole connection").iter().all(Result::is_ok));
    claims.iter().map(|claim| claim.id).collect()
}

#[track_caller]
fn ran(server: &Server, arguments: &str) -> Finished {
    let finished = Peer::spawn(server, arguments).finish();
    assert_eq!(finished.status.code(), Some(0), "{arguments}: {finished:?}");
    finished
}

#[track_caller]
fn errors_left(c: &mut Conn) -> i64 {
    c.balanced("mq").int("errors")
}

#[test]
fn errors_are_listed_and_stay_where_they_are() {
    let server = Server::start();
    let mut c = server.connect();
    let ids = make_errors(&mut c, 2_500);
    let lines: Vec<String> = ran(&server, "errors").stdout.lines().map(str::to_owned).collect();
    assert_eq!(
        lines[0].split_whitespace().collect::<Vec<_>>(),
        ["id", "deliveries", "failed", "consumer", "reason", "payload"]
    );
    assert_eq!(lines.len(), 2_501);
    for (number, (line, id)) in lines[1..].iter().zip(&ids).enumerate() {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words[0], id.to_string());
        assert_eq!(words[1], "1");
        assert_eq!(words[words.len() - 3..], ["some-worker", "because", &format!("payload-{number}")]);
    }
    assert_eq!(errors_left(&mut c), 2_500);
}

#[test]
fn json_has_one_object_per_line() {
    let server = Server::start();
    let mut c = server.connect();
    make_errors(&mut c, 5);
    let stored = c.maps("MQ.PEEK mq ERRORS");
    let printed = ran(&server, "errors --format json --count 3").stdout;
    let objects: Vec<serde_json::Value> =
        printed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(objects.len(), 3);
    for (object, stored) in objects.iter().zip(&stored) {
        for name in ["id", "deliveries", "priority"] {
            assert_eq!(object[name], stored.int(name), "{object}");
        }
        for name in ["payload", "reason", "consumer"] {
            assert_eq!(object[name], stored.text(name), "{object}");
        }
        assert_eq!(object["failed_at_ms"], stored.int("failed-at-ms"), "{object}");
    }
}

#[test]
fn an_empty_store_says_so_beside_the_output() {
    let server = Server::start();
    let finished = ran(&server, "errors");
    assert_eq!((finished.stdout.as_str(), finished.stderr.as_str()), ("", "no errors"));
    assert_eq!(server.connect().int("EXISTS mq"), 0);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let server = Server::start();
    let mut c = server.connect();
    make_errors(&mut c, 5_000);
    let mut peer = Peer::spawn(&server, "errors");
    peer.read_line();
    peer.close_stdout();
    let finished = peer.finish();
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");
    assert!(!finished.stderr.contains("panic"), "{finished:?}");
    assert_eq!(errors_left(&mut c), 5_000);
}

#[test]
fn named_errors_become_ready_again() {
    let server = Server::start();
    let mut c = server.connect();
    let ids = make_errors(&mut c, 4);
    let finished = ran(&server, &format!("errors redrive {} {} {} 17", ids[1], ids[3], ids[1]));
    assert_eq!(finished.stdout, "2 redriven\n");
    assert!(finished.stderr.contains("1 of 3 ids"), "{finished:?}");
    let ready: Vec<i64> = c.maps("MQ.PEEK mq READY").iter().map(|message| message.int("id")).collect();
    assert_eq!((ready, errors_left(&mut c)), (vec![ids[1], ids[3]], 2));
}

#[test]
fn all_errors_become_ready_again() {
    let server = Server::start();
    let mut c = server.connect();
    make_errors(&mut c, 1_500);
    assert_eq!(ran(&server, "errors redrive --all").stdout, "1500 redriven\n");
    assert_eq!((errors_left(&mut c), c.balanced("mq").int("ready")), (0, 1_500));
    assert_eq!(ran(&server, "--format json errors redrive --all").stdout, "{\"redriven\":0}\n");
}

#[test]
fn every_command_names_no_more_than_the_server_takes() {
    let page = |after: u64| {
        let error = |id: u64| {
            format!(
                "*8\r\n$2\r\nid\r\n:{id}\r\n$7\r\npayload\r\n$0\r\n\r\n$10\r\ndeliveries\r\n:1\r\n$8\r\npriority\r\n:0\r\n"
            )
        };
        let errors: Vec<String> = (after + 1..=(after + 1_000).min(2_500)).map(error).collect();
        format!("*{}\r\n{}", errors.len(), errors.concat()).into_bytes()
    };
    let server = FakeServer::answering(move |words| match words[0].as_str() {
        "MQ.PEEK" => {
            let after =
                words.iter().position(|word| word == "AFTER").map_or(0, |at| words[at + 1].parse().expect("an id"));
            Some(page(after))
        }
        "MQ.REDRIVE" => Some(format!(":{}\r\n", words.len() - 3).into()),
        _ => None,
    });
    let redriven = |arguments: &str| {
        let words = format!("errors redrive {arguments} --redis {}", server.url());
        let finished = Peer::spawn_bare(words).finish();
        assert_eq!(finished.status.code(), Some(0), "{finished:?}");
        finished.stdout
    };
    assert_eq!(redriven("--all"), "2500 redriven\n");
    let ids: Vec<String> = (1..=12_000).map(|id| id.to_string()).collect();
    assert_eq!(redriven(&ids.join(" ")), "12000 redriven\n");
    let counts: Vec<usize> = server.asked("MQ.REDRIVE").iter().map(|asked| asked.words.len() - 3).collect();
    assert_eq!(counts, [1_000, 1_000, 500, 10_000, 2_000], "each error once, and in portions");
    for asked in server.asked("MQ.PEEK") {
        assert!(asked.words.join(" ").contains("COUNT 1000 BYTES 0"), "{asked:?}");
    }
}

#[test]
fn a_list_and_a_redrive_fetch_no_large_payloads() {
    let server = Server::start();
    let mut c = server.connect();
    let payload = vec![b'x'; 20 << 20];
    for _ in 0..3 {
        c.int([&b"MQ.PUSH"[..], b"mq", b"MSG", &payload]);
        let claim = c.claims("MQ.CLAIM mq w").remove(0);
        c.int(format!("MQ.FAIL mq {}", claim.receipt));
    }
    let sent = |c: &mut Conn| c.server_count("stats", "total_net_output_bytes");
    let before = sent(&mut c);
    let listed = ran(&server, "errors").stdout;
    assert_eq!(listed.lines().filter(|line| line.contains("xxx") && line.ends_with('…')).count(), 3, "{listed}");
    assert_eq!(ran(&server, "errors redrive --all").stdout, "3 redriven\n");
    assert!(sent(&mut c) - before < 1 << 20, "{} bytes", sent(&mut c) - before);
}

#[test]
fn nothing_is_redriven_by_mistake() {
    let server = Server::start();
    let mut c = server.connect();
    make_errors(&mut c, 3);
    for arguments in ["errors redrive", "errors redrive --all 17", "errors --count 1 redrive --all", "errors redrive x"]
    {
        let finished = Peer::spawn(&server, arguments).finish();
        assert_eq!(finished.status.code(), Some(2), "{arguments}: {finished:?}");
    }
    assert_eq!(errors_left(&mut c), 3);
}

#[test]
fn readers_that_left_everything_are_no_failure() {
    let server = Server::start();
    for arguments in ["errors", "errors redrive 17"] {
        let arguments = format!("{arguments} --redis {}", server.url());
        let finished = Peer::spawn_onto(arguments.as_str(), &[], left_pipe(), left_pipe()).finish();
        assert_eq!(finished.status.code(), Some(0), "{arguments}: {finished:?}");
    }
}
