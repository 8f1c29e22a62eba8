//! What shows a queue without changing it, and its settings.

use mq_tests::{Server, Value, every_state, until};

#[test]
fn peek_shows_each_state_by_id_and_claims_nothing() {
    let server = Server::start();
    let mut c = server.connect();
    every_state(&mut c, "q");
    let before = c.digest("q");
    let info = c.balanced("q");
    for (state, count, known) in [
        ("READY", "ready", &["id", "payload", "deliveries", "priority"][..]),
        ("DELAYED", "delayed", &["id", "payload", "deliveries", "priority", "due-in-ms"]),
        ("CLAIMED", "claimed", &["id", "payload", "deliveries", "priority", "receipt", "consumer", "lease-left-ms"]),
        ("ERRORS", "errors", &["id", "payload", "deliveries", "reason", "consumer", "failed-at-ms"]),
    ] {
        let maps = c.maps(format!("MQ.PEEK q {state} COUNT 1000"));
        assert_eq!(maps.len() as i64, info.int(count), "{state}");
        assert!(maps.is_sorted_by_key(|map| map.int("id")), "{state}");
        for map in &maps {
            assert!(known.iter().all(|name| map.get(name).is_some()), "{state}: {map:?}");
        }
    }
    assert_eq!(c.digest("q"), before);
}

#[test]
fn peek_pages_with_after_and_count() {
    let server = Server::start();
    let mut c = server.connect();
    for n in 0..25 {
        c.int(format!("MQ.PUSH q PRIORITY {} MSG {n}", n % 3));
    }
    let (mut after, mut seen) = (0, Vec::new());
    loop {
        let page = c.maps(format!("MQ.PEEK q ready AFTER {after} COUNT 7"));
        let Some(last) = page.last() else { break };
        after = last.int("id");
        seen.extend(page.iter().map(|map| map.text("payload")));
    }
    assert_eq!(seen, (0..25).map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(c.maps("MQ.PEEK q READY").len(), 10, "COUNT is 10 by default");
    assert!(c.refusal("MQ.PEEK q READY COUNT 1001").starts_with("ERR"));
}

#[test]
fn info_counts_every_state_and_every_change() {
    let server = Server::start();
    let mut c = server.connect();
    every_state(&mut c, "q");
    let info = c.balanced("q");
    for (name, count) in [
        ("pushed", 23),
        ("delivered", 10),
        ("acked", 1),
        ("failed", 4),
        ("retried", 2),
        ("released", 1),
        ("drained", 1),
        ("redriven", 1),
        ("errors", 2),
        ("claimed", 2),
        ("delayed", 4),
        ("ready", 13),
        ("held", 1),
        ("dead", 0),
        ("expired", 0),
        ("overdue", 0),
        ("leader-changes", 1),
        ("blocked-consumers", 0),
        ("blocked-candidates", 0),
    ] {
        assert_eq!(info.int(name), count, "{name}");
    }
    assert_eq!((info.text("leader").as_str(), info.int("lease")), ("leader:1", 3_600_000));
    assert!((1..=3_600_000).contains(&info.int("leader-lease-left-ms")));
    assert!((1..=3_600_000).contains(&info.int("next-due-in-ms")));
    for name in [
        "oldest-ready-age-ms",
        "stale",
        "fenced",
        "duplicates",
        "redelivered",
        "max-length",
        "max-deliveries",
        "leader-token",
    ] {
        let _ = info.int(name);
    }
    assert!(info.int("memory-bytes") > 200);
}

#[test]
fn info_names_the_consumers_that_hold_claims() {
    let server = Server::start();
    let mut c = server.connect();
    c.int("MQ.PUSH q MSG a b c d");
    c.claims("MQ.CLAIM q one COUNT 2 LEASE 5000");
    c.claims("MQ.CLAIM q other LEASE 90000");
    c.claims("MQ.CLAIM q empty-handed COUNT 1 LEASE 1");
    let done = c
        .maps("MQ.PEEK q CLAIMED")
        .iter()
        .find(|m| m.text("consumer") == "empty-handed")
        .expect("a claim")
        .int("receipt");
    c.int(format!("MQ.RELEASE q {done}"));
    let mut consumers: Vec<_> = c
        .fields("MQ.INFO q CONSUMERS")
        .maps("consumers")
        .iter()
        .map(|consumer| (consumer.text("name"), consumer.int("claims")))
        .collect();
    consumers.sort();
    assert_eq!(consumers, [("one".into(), 2), ("other".into(), 1)]);
    assert_eq!(c.fields("MQ.INFO q CONSUMERS COUNT 1").maps("consumers").len(), 1);
    assert!(c.fields("MQ.INFO q").get("consumers").is_none());
}

#[test]
fn overdue_work_shows_and_waits_for_the_next_write() {
    let server = Server::start();
    let mut c = server.connect();
    c.int("MQ.PUSH q MSG a b");
    // Long enough that nothing is due before the last of these commands, however busy the machine.
    c.claims("MQ.CLAIM q w COUNT 2 LEASE 400");
    c.int("MQ.PUSH q DELAY 400 MSG late");
    until("all is due", || c.fields("MQ.INFO q").int("overdue") == 3);
    let info = c.balanced("q");
    assert_eq!((info.int("claimed"), info.int("delayed"), info.int("ready")), (2, 1, 0), "reading takes nothing back");
    c.int("MQ.PUSH q MSG fresh");
    let info = c.balanced("q");
    assert_eq!((info.int("overdue"), info.int("ready"), info.int("expired")), (0, 4, 2));
}

#[test]
fn settings_are_set_together_and_read_back() {
    let server = Server::start();
    let mut c = server.connect();
    let defaults = c.fields("MQ.CONFIG q");
    for (name, value) in
        [("lease", "30000"), ("max-deliveries", "20"), ("max-length", "0"), ("paused", "no"), ("leader-only", "no")]
    {
        assert_eq!(defaults.text(name), value, "{name}");
    }
    assert_eq!(c.ok("MQ.CONFIG q LEASE 1234 max-length 5 paused yes leader-only yes max-deliveries 0"), Value::Okay);
    let set = c.fields("MQ.CONFIG q");
    for (name, value) in
        [("lease", "1234"), ("max-deliveries", "0"), ("max-length", "5"), ("paused", "yes"), ("leader-only", "yes")]
    {
        assert_eq!(set.text(name), value, "{name}");
        assert_eq!(c.fields("MQ.INFO q").text(name), value, "{name}");
    }
}

#[test]
fn the_lease_setting_is_the_default_of_a_claim() {
    let server = Server::start();
    let mut c = server.connect();
    c.ok("MQ.CONFIG q lease 5000");
    c.int("MQ.PUSH q MSG a");
    c.claims("MQ.CLAIM q w");
    let left = c.maps("MQ.PEEK q CLAIMED")[0].int("lease-left-ms");
    assert!((4000..=5000).contains(&left), "{left}");
}

#[test]
fn module_configuration_serves_queues_created_later() {
    let server = Server::builder().config("mq.max-length 7").start();
    let mut c = server.connect();
    c.int("MQ.PUSH old MSG a");
    c.ok("CONFIG SET mq.lease 777");
    c.int("MQ.PUSH new MSG a");
    assert_eq!((c.fields("MQ.CONFIG old").int("lease"), c.fields("MQ.CONFIG new").int("lease")), (30_000, 777));
    assert_eq!(c.fields("MQ.CONFIG old").int("max-length"), 7);
}

#[test]
fn a_paused_queue_gives_no_claims_but_takes_acks_and_pushes() {
    let server = Server::start();
    let mut c = server.connect();
    c.int("MQ.PUSH q MSG a b");
    let r = c.claim("MQ.CLAIM q w").receipt;
    c.ok("MQ.CONFIG q paused yes");
    c.int("MQ.PUSH q MSG c");
    assert_eq!(c.claims("MQ.CLAIM q w"), []);
    assert_eq!(c.acked_and_claims(format!("MQ.CLAIM q w ACK {r}")), (1, vec![]));
    c.ok("MQ.CONFIG q paused no");
    assert_eq!(c.claims("MQ.CLAIM q w COUNT 9").len(), 2);
    c.balanced("q");
}

#[test]
fn only_the_first_bytes_of_a_payload_are_shown_where_so_many_are_asked_for() {
    let server = Server::start();
    let mut c = server.connect();
    let ids: Vec<_> = ["", "four", "a longer one"].map(|payload| c.int(["MQ.PUSH", "q", "MSG", payload])).into();
    for (bytes, shown) in [(0, ["", "", ""]), (4, ["", "four", "a lo"]), (536_870_912, ["", "four", "a longer one"])] {
        let of_state = format!("MQ.PEEK q READY BYTES {bytes}");
        let by_id = format!("MQ.PEEK q BYTES {bytes} ID {} {} {}", ids[0], ids[1], ids[2]);
        for call in [of_state, by_id] {
            let maps = c.maps(&*call);
            assert_eq!(maps.iter().map(|map| map.text("payload")).collect::<Vec<_>>(), shown, "{call}");
            assert_eq!(maps.iter().map(|map| map.int("payload-bytes")).collect::<Vec<_>>(), [0, 4, 12], "{call}");
        }
    }
    assert!(c.maps("MQ.PEEK q READY").iter().all(|map| map.get("payload-bytes").is_none()), "only with BYTES");
    for bytes in ["-1", "536870913", "few"] {
        let refusal = c.refusal(format!("MQ.PEEK q READY BYTES {bytes}"));
        assert!(refusal.starts_with("ERR BYTES n is invalid"), "{refusal}");
    }
}

#[test]
fn a_page_of_large_payloads_is_whole_where_little_of_each_is_asked_for() {
    let server = Server::start();
    let mut c = server.connect();
    for _ in 0..3 {
        c.int([&b"MQ.PUSH"[..], b"q", b"MSG", &vec![b'a'; 40 << 20]]);
    }
    assert_eq!(c.maps("MQ.PEEK q READY").len(), 1, "two are more than 64 MiB");
    let maps = c.maps("MQ.PEEK q READY BYTES 10");
    assert_eq!(maps.iter().map(|map| map.int("payload-bytes")).collect::<Vec<_>>(), [40 << 20; 3]);
}
