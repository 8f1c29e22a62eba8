//! Servers and proxies that misbehave: the client neither runs hot, nor fills its memory, nor goes deaf, and says what it met.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mq_tests::{Asked, FakeServer, Peer, Proxy, Server, until};

/// The time between the first and the last of so many, once there are as many.
fn span_of(count: usize, what: &str, asked: impl Fn() -> Vec<Asked>) -> Duration {
    until(&format!("{count} times {what}"), || asked().len() >= count);
    let asked = asked();
    asked[count - 1].at - asked[0].at
}

/// What MQ.LEADER answers when this candidate leads.
fn led_by(leader: &str) -> Vec<u8> {
    format!("*3\r\n${}\r\n{leader}\r\n:7\r\n:30000\r\n", leader.len()).into()
}

#[test]
fn a_claim_that_does_not_wait_is_asked_for_less_and_less_often() {
    let server = FakeServer::answering(|_| None);
    let peer = Peer::spawn_bare(format!("--role handler --redis {}", server.url()));
    let span = span_of(8, "a claim", || server.asked("MQ.CLAIM"));
    assert!(span >= Duration::from_secs(1), "8 claims in {span:?}");
    assert!(peer.stderr().contains("a proxy that cannot wait"), "{}", peer.stderr());
    peer.end_well();
}

#[test]
fn a_stand_by_that_does_not_wait_is_asked_for_less_and_less_often() {
    let server = FakeServer::answering(|words| match words[0].as_str() {
        "MQ.LEADER" => Some(led_by("other")),
        _ => None,
    });
    let peer = Peer::spawn_bare(format!("--role generator --redis {}", server.url()));
    let span = span_of(9, "a stand-by", || server.asked("MQ.LEADER"));
    assert!(span >= Duration::from_secs(2), "9 stand-bys in {span:?}");
    peer.end_well();
}

#[test]
fn leaderships_that_end_at_once_do_not_follow_each_other_in_a_hot_loop() {
    for (why, renewed, pushed) in [("it is over", "other", ":1\r\n"), ("it is fenced", "", "-FENCED token 7\r\n")] {
        let server = FakeServer::answering(move |words| {
            let is_renewal = words.iter().any(|word| word == "TOKEN");
            match words[0].as_str() {
                "MQ.LEADER" if is_renewal && !renewed.is_empty() => Some(led_by(renewed)),
                "MQ.LEADER" => Some(led_by(&words[2])),
                "MQ.PUSH" => Some(pushed.into()),
                _ => None,
            }
        });
        let peer = Peer::spawn_bare(format!("--role generator --redis {}", server.url()));
        let stand_bys = || server.asked("MQ.LEADER").into_iter().filter(|asked| asked.words.contains(&"BLOCK".into()));
        let span = span_of(8, "a stand-by", || stand_bys().collect());
        assert!(span >= Duration::from_secs(1), "{why}: 8 stand-bys in {span:?}");
        peer.end_well();
    }
}

#[test]
fn a_queue_that_always_expects_another_number_is_not_pushed_to_in_a_hot_loop() {
    let server = FakeServer::answering(|words| match words[0].as_str() {
        "MQ.LEADER" => Some(led_by(&words[2])),
        "MQ.PUSH" => Some("-OUTOFORDER expected 5\r\n".into()),
        _ => None,
    });
    let peer = Peer::spawn_bare(format!("--role generator --interval 0 --redis {}", server.url()));
    let span = span_of(8, "a push", || server.asked("MQ.PUSH"));
    assert!(span >= Duration::from_secs(1), "8 pushes in {span:?}");
    peer.end_well();
}

#[test]
fn a_list_that_comes_again_and_again_is_not_printed_for_ever() {
    let page =
        "*1\r\n*8\r\n$2\r\nid\r\n:7\r\n$7\r\npayload\r\n$1\r\na\r\n$10\r\ndeliveries\r\n:1\r\n$8\r\npriority\r\n:0\r\n";
    let server = FakeServer::answering(move |words| (words[0] == "MQ.PEEK").then(|| page.into()));
    let finished = Peer::spawn_bare(format!("errors --redis {}", server.url())).finish();
    assert_eq!(finished.status.code(), Some(1), "{finished:?}");
    assert!(finished.stderr.contains("MQ.PEEK"), "{finished:?}");
}

/// A header that announces more than there is, and some of it.
fn endless(header: &str) -> Vec<u8> {
    [header.as_bytes(), &[b'x'; 2 << 20]].concat()
}

#[test]
fn a_reply_without_end_is_refused_when_it_is_announced() {
    for header in ["$9999999999\r\n", "*2\r\n$5\r\nready\r\n$9999999999\r\n", "*999999999\r\n", "+"] {
        let server = FakeServer::answering(move |words| (words[0] == "MQ.INFO").then(|| endless(header)));
        let begun_at = Instant::now();
        let finished = Peer::spawn_bare(format!("stats --redis {}", server.url())).finish();
        assert_eq!(finished.status.code(), Some(1), "{header}: {finished:?}");
        assert!(finished.stderr.contains("which MQ never sends"), "{header}: {finished:?}");
        assert!(begun_at.elapsed() < Duration::from_secs(4), "{header}: it waited for the end");
    }
}

#[test]
fn a_peer_leaves_a_server_whose_replies_have_no_end_and_comes_again() {
    let server = FakeServer::answering(|words| (words[0] == "MQ.CLAIM").then(|| endless("$9999999999\r\n")));
    let peer = Peer::spawn_bare(format!("--role handler --redis {}", server.url()));
    until("it has come three times", || server.asked("MQ.CLAIM").len() >= 3);
    assert!(peer.stderr().contains("which MQ never sends"), "{}", peer.stderr());
    peer.end_well();
}

#[test]
fn a_greeting_without_end_is_refused_too() {
    let server = FakeServer::saying(b"$9999999999\r\nxxxx");
    let finished = Peer::spawn_bare(format!("stats --redis {}", server.url())).finish();
    assert!(finished.stderr.contains("which MQ never sends"), "{finished:?}");
}

#[test]
fn where_only_one_of_both_speaks_tls_the_other_scheme_is_named() {
    let alert = FakeServer::saying(b"\x15\x03\x01\x00\x02\x02\x46");
    let closes = FakeServer::saying(b"");
    let plain = FakeServer::saying(b"-ERR Protocol error: unbalanced quotes in request\r\n");
    for (server, scheme, words) in [
        (&alert, "redis", "the server speaks TLS: write rediss:// in place of redis://"),
        (&closes, "redis", "a server that speaks only TLS does this: write rediss:// in place of redis://"),
        (&plain, "rediss", "the server does not speak TLS: write redis:// in place of rediss://"),
        (&closes, "rediss", "a server without TLS does this: write redis:// in place of rediss://"),
    ] {
        let finished = Peer::spawn_bare(format!("stats --redis {scheme}://127.0.0.1:{}", server.port())).finish();
        assert_eq!(finished.status.code(), Some(1), "{scheme}: {finished:?}");
        assert!(finished.stderr.contains(words), "{scheme}: {finished:?}");
    }
    // A real server takes the greeting for a command that has not ended, or for one that makes no sense.
    let real = Server::start();
    let finished = Peer::spawn_bare(format!("stats --redis rediss://127.0.0.1:{}", real.port())).finish();
    assert!(finished.stderr.contains("write redis:// in place of rediss://"), "{finished:?}");
}

#[test]
fn a_peer_ends_soon_although_its_last_claim_was_answered_by_half() {
    let server = Server::start();
    let mut c = server.connect();
    let proxy = Proxy::to(server.port());
    let options = "--role handler --any-queue --ledger ledger --handler-delay 1500ms --concurrency 100";
    let peer = Peer::spawn_bare(format!("{options} --redis {}", proxy.url()));
    c.int(format!("MQ.PUSH mq MSG {}", (0..20).map(|n| n.to_string()).collect::<Vec<_>>().join(" ")));
    until("it handles twenty and asks for more", || {
        let info = c.fields("MQ.INFO mq");
        info.int("delivered") == 20 && info.int("blocked-consumers") == 1
    });
    proxy.stop_answers_at(4_000);
    c.int(["MQ.PUSH", "mq", "MSG", &"x".repeat(8_000)]);
    until("it has claimed it", || c.fields("MQ.INFO mq").int("delivered") == 21);
    let asked_at = Instant::now();
    let finished = peer.end_well();
    assert!(asked_at.elapsed() < Duration::from_secs(5), "it ended after {:?}", asked_at.elapsed());
    let info = c.balanced("mq");
    assert_eq!(info.int("acked") + info.int("failed"), 20, "what ran was finished: {finished:?}");
    until("the half message is somebody else's", || c.fields("MQ.INFO mq").int("ready") == 1);
}

#[test]
fn a_peer_ends_soon_although_nothing_is_answered_any_more() {
    let server = Server::start();
    let mut c = server.connect();
    for role in ["handler", "generator", "auto"] {
        let proxy = Proxy::to(server.port());
        let peer = Peer::spawn_bare(format!("--role {role} --queue {role} --redis {}", proxy.url()));
        until("it is at work", || {
            let info = c.fields(format!("MQ.INFO {role}"));
            info.int("blocked-consumers") == 1 || info.int("pushed") > 0
        });
        proxy.block();
        let asked_at = Instant::now();
        peer.end_well();
        assert!(asked_at.elapsed() < Duration::from_secs(3), "{role}: it ended after {:?}", asked_at.elapsed());
    }
}

#[test]
fn a_watch_ends_soon_although_its_first_answer_stops_half_way() {
    let asked = AtomicUsize::new(0);
    let server = FakeServer::answering(move |words| match words[0].as_str() {
        // The first one tells whether the queue is served here.
        "MQ.INFO" if asked.fetch_add(1, Ordering::Relaxed) > 0 => Some("*6\r\n$6\r\npush".into()),
        _ => None,
    });
    let peer = Peer::spawn_bare(format!("stats --watch --redis {}", server.url()));
    until("it looks", || server.asked("MQ.INFO").len() == 2);
    let asked_at = Instant::now();
    peer.end_well();
    assert!(asked_at.elapsed() < Duration::from_secs(3), "it ended after {:?}", asked_at.elapsed());
}
