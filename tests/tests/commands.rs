//! A message's ordinary life on the wire: push, claim, ack, extend, release.

use std::time::{Duration, Instant};

use mq_tests::{Claim, Leadership, Server, Waiter, until};

fn payloads(claims: &[Claim]) -> Vec<&str> {
    claims.iter().map(|claim| claim.payload.as_str()).collect()
}

#[test]
fn a_push_replies_the_first_of_its_consecutive_ids() {
    let server = Server::start();
    let mut c = server.connect();
    let first = c.int("MQ.PUSH q MSG a b c");
    assert_eq!(c.int("MQ.PUSH q MSG d"), first + 3);
    let ids: Vec<_> = c.claims("MQ.CLAIM q w COUNT 10").iter().map(|claim| claim.id).collect();
    assert_eq!(ids, [first, first + 1, first + 2, first + 3]);
    c.balanced("q");
}

#[test]
fn numbers_are_below_2_to_the_53_and_not_below_the_clock() {
    let server = Server::start();
    let mut c = server.connect();
    // The server's wall clock and the module's may be read a moment apart.
    let time_ms = c.clock_ms() - 1000;
    let id = c.int("MQ.PUSH q MSG a");
    let receipt = c.claim("MQ.CLAIM q w").receipt;
    let token = c.leader("MQ.LEADER q me").token;
    for number in [id, receipt, token] {
        assert!((time_ms * 2048..1 << 53).contains(&number), "{number}");
    }
}

#[test]
fn the_highest_priority_comes_first_and_the_smallest_id_within_it() {
    let server = Server::start();
    let mut c = server.connect();
    for push in
        ["MSG plain1", "PRIORITY 5 MSG five1", "PRIORITY 255 MSG top", "priority 5 msg five2", "PRIORITY 0 MSG plain2"]
    {
        c.int(format!("MQ.PUSH q {push}"));
    }
    let claims = c.claims("MQ.CLAIM q w COUNT 10");
    assert_eq!(payloads(&claims), ["top", "five1", "five2", "plain1", "plain2"]);
}

#[test]
fn a_returned_message_comes_before_fresh_ones() {
    let server = Server::start();
    let mut c = server.connect();
    c.int("MQ.PUSH q MSG a b c");
    let claims = c.claims("MQ.CLAIM q w COUNT 2");
    c.int(format!("MQ.RELEASE q {}", claims[1].receipt));
    c.int(format!("MQ.EXTEND q 0 {}", claims[0].receipt));
    assert_eq!(payloads(&c.claims("MQ.CLAIM q w COUNT 3")), ["a", "b", "c"]);
    c.balanced("q");
}

#[test]
fn receipts_grow_by_one_and_deliveries_start_at_one() {
    let server = Server::start();
    let mut c = server.connect();
    c.int("MQ.PUSH q MSG a b");
    let (a, b) = (c.claim("MQ.CLAIM q w"), c.claim("MQ.CLAIM q w COUNT 1 LEASE 5000"));
    assert_eq!((a.deliveries, b.deliveries), (1, 1));
    assert_eq!(b.receipt, a.receipt + 1);
    assert_eq!(c.claims("MQ.CLAIM q w"), []);
}

#[test]
fn a_payload_may_be_any_bytes() {
    let server = Server::start();
    let mut c = server.connect();
    let long = vec![7_u8; 1 << 20];
    let all_bytes: Vec<u8> = (0..=255).collect();
    let payloads: [&[u8]; 6] = [b"", b"\r\n\0$-1\r\n", &all_bytes, &long, b"MSG", b"DELAY"];
    let push: [&[u8]; 9] =
        [b"MQ.PUSH", b"q", b"MSG", payloads[0], payloads[1], payloads[2], payloads[3], payloads[4], payloads[5]];
    c.int(push);
    let claimed: Vec<_> = c.claims("MQ.CLAIM q w COUNT 9").into_iter().map(|claim| claim.bytes).collect();
    assert_eq!(claimed, payloads);
}

#[test]
fn a_queue_and_its_names_may_be_any_bytes() {
    let server = Server::start();
    let mut c = server.connect();
    let queue: &[u8] = b"\0q\r\n";
    c.int([&b"MQ.PUSH"[..], queue, b"MSG", b"a"]);
    assert_eq!(c.claims([&b"MQ.CLAIM"[..], queue, b"\xff\0 w"]).len(), 1);
    let consumer = vec![b'w'; 255];
    assert_eq!(c.claims([&b"MQ.CLAIM"[..], queue, &consumer]).len(), 0);
}

#[test]
fn a_delayed_message_is_ready_when_it_is_due_and_not_before() {
    let server = Server::start();
    let mut c = server.connect();
    let pushed = Instant::now();
    c.int("MQ.PUSH q DELAY 150 MSG late");
    c.int("MQ.PUSH q DELAY 0 MSG now");
    assert_eq!(payloads(&c.claims("MQ.CLAIM q w COUNT 2")), ["now"]);
    assert_eq!(c.balanced("q").int("delayed"), 1);
    let mut claims = Vec::new();
    until("the delay is over", || {
        claims = c.claims("MQ.CLAIM q w");
        !claims.is_empty()
    });
    assert!(pushed.elapsed() >= Duration::from_millis(149), "{:?}", pushed.elapsed());
    assert_eq!(payloads(&claims), ["late"]);
}

#[test]
fn a_receipt_counts_once() {
    let server = Server::start();
    let mut c = server.connect();
    c.int("MQ.PUSH q MSG a b c");
    let r: Vec<_> = c.claims("MQ.CLAIM q w COUNT 3").iter().map(|claim| claim.receipt).collect();
    assert_eq!(c.int(format!("MQ.ACK q {0} {0} 12345", r[0])), 1, "named twice, counted once");
    assert_eq!(c.int(format!("MQ.ACK q {} {}", r[0], r[1])), 1);
    assert_eq!(c.int(format!("MQ.ACK q {} {}", r[0], r[1])), 0);
    let info = c.balanced("q");
    assert_eq!((info.int("acked"), info.int("claimed")), (2, 1));
    assert!(info.int("stale") >= 4, "refused receipts are counted: {info:?}");
}

#[test]
fn a_claim_acks_and_claims_in_one_step() {
    let server = Server::start();
    let mut c = server.connect();
    c.int("MQ.PUSH q MSG a b");
    let a = c.claim("MQ.CLAIM q w");
    let (acked, claims) = c.acked_and_claims(format!("MQ.CLAIM q w ACK {} 1", a.receipt));
    assert_eq!((acked, payloads(&claims)), (1, vec!["b"]));
    let (acked, claims) = c.acked_and_claims(format!("MQ.CLAIM q w COUNT 5 ACK {0} {0}", claims[0].receipt));
    assert_eq!((acked, claims), (1, vec![]));
    assert_eq!(c.balanced("q").int("acked"), 2);
}

#[test]
fn an_ended_lease_gives_the_message_to_another_and_the_old_receipt_is_stale() {
    let server = Server::start();
    let mut c = server.connect();
    c.int("MQ.PUSH q MSG a");
    let old = c.claim("MQ.CLAIM q dead LEASE 30");
    let new = Waiter::spawn_for_a_while(&server, "MQ.CLAIM q alive BLOCK 0").claims().remove(0);
    assert_eq!((new.id, new.deliveries), (old.id, 2));
    assert!(new.receipt > old.receipt);
    for stale in ["MQ.ACK q", "MQ.FAIL q", "MQ.RELEASE q", "MQ.EXTEND q 1000"] {
        assert_eq!(c.int(format!("{stale} {}", old.receipt)), 0, "{stale}");
    }
    assert_eq!(c.int(format!("MQ.ACK q {}", new.receipt)), 1);
    let info = c.balanced("q");
    assert_eq!((info.int("expired"), info.int("delivered"), info.int("redelivered")), (1, 2, 1));
}

#[test]
fn an_ended_claim_is_void_before_anybody_takes_it_back() {
    let server = Server::start();
    let mut c = server.connect();
    c.int("MQ.PUSH q MSG a");
    let r = c.claim("MQ.CLAIM q w LEASE 20").receipt;
    until("the lease is over", || c.fields("MQ.INFO q").int("overdue") == 1);
    assert_eq!(c.int(format!("MQ.EXTEND q 1000 {r}")), 0, "an ended claim is never revived");
    assert_eq!(c.int(format!("MQ.ACK q {r}")), 0);
    assert_eq!(c.balanced("q").int("ready"), 1);
}

#[test]
fn extend_sets_a_new_deadline_counted_from_now() {
    let server = Server::start();
    let mut c = server.connect();
    c.int("MQ.PUSH q MSG a b");
    let r: Vec<_> = c.claims("MQ.CLAIM q w COUNT 2 LEASE 1000").iter().map(|claim| claim.receipt).collect();
    assert_eq!(c.int(format!("MQ.EXTEND q 3600000 {} 99 {}", r[0], r[1])), 2);
    let left = c.maps("MQ.PEEK q CLAIMED")[0].int("lease-left-ms");
    assert!((3_500_000..=3_600_000).contains(&left), "{left}");
    assert_eq!(c.int(format!("MQ.EXTEND q 500 {}", r[0])), 1, "a deadline may come nearer");
    assert!(c.maps("MQ.PEEK q CLAIMED")[0].int("lease-left-ms") <= 500);
}

#[test]
fn extend_by_nothing_ends_the_claim_as_its_lease_would() {
    let server = Server::start();
    let mut c = server.connect();
    c.int("MQ.PUSH q MSG a");
    let old = c.claim("MQ.CLAIM q w");
    assert_eq!(c.int(format!("MQ.EXTEND q 0 {}", old.receipt)), 1);
    assert_eq!(c.int(format!("MQ.ACK q {}", old.receipt)), 0);
    assert_eq!(c.claim("MQ.CLAIM q w").deliveries, 2);
    assert_eq!(c.balanced("q").int("expired"), 1);
}

#[test]
fn a_release_does_not_count_the_delivery() {
    let server = Server::start();
    let mut c = server.connect();
    c.int("MQ.PUSH q MSG a");
    for _ in 0..3 {
        let claim = c.claim("MQ.CLAIM q w");
        assert_eq!(claim.deliveries, 1);
        assert_eq!(c.int(format!("MQ.RELEASE q {0} {0} 7", claim.receipt)), 1);
    }
    let info = c.balanced("q");
    assert_eq!((info.int("released"), info.int("ready"), info.int("expired")), (3, 1, 0));
}

#[test]
fn a_missing_queue_is_an_empty_one() {
    let server = Server::start();
    let mut c = server.connect();
    for counting in [
        "MQ.ACK q 1",
        "MQ.FAIL q 1",
        "MQ.EXTEND q 5 1",
        "MQ.RELEASE q 1",
        "MQ.REDRIVE q",
        "MQ.SEQ q p",
        "MQ.LEADER q me RESIGN 1",
    ] {
        assert_eq!(c.int(counting), 0, "{counting}");
    }
    assert_eq!(c.claims("MQ.CLAIM q w"), []);
    assert_eq!(c.acked_and_claims("MQ.CLAIM q w ACK 1"), (0, vec![]));
    assert_eq!(c.drained("MQ.DRAINERRORS q"), []);
    assert_eq!(c.leader("MQ.LEADER q"), Leadership::none());
    assert_eq!(c.leader("MQ.LEADER q me TOKEN 5"), Leadership::none());
    assert_eq!(c.maps("MQ.PEEK q READY"), []);
    assert_eq!(c.balanced("q").int("pushed"), 0);
    assert_eq!(c.fields("MQ.CONFIG q").int("lease"), 30_000);
    assert_eq!(c.int("EXISTS q"), 0, "none of these makes a queue");
}

#[test]
fn push_settings_a_fenced_seq_and_a_candidate_make_a_queue() {
    let server = Server::start();
    let mut c = server.connect();
    for (queue, command) in
        [("a", "MQ.PUSH a MSG x"), ("b", "MQ.CONFIG b lease 5"), ("c", "MQ.SEQ c p FENCE 1"), ("d", "MQ.LEADER d me")]
    {
        c.ok(command);
        assert_eq!(c.int(["EXISTS", queue]), 1, "{command}");
    }
}

#[test]
fn an_empty_queue_stays() {
    let server = Server::start();
    let mut c = server.connect();
    c.int("MQ.PUSH q MSG a");
    let r = c.claim("MQ.CLAIM q w").receipt;
    c.int(format!("MQ.ACK q {r}"));
    assert_eq!(c.int("EXISTS q"), 1);
}

#[test]
fn a_count_may_be_65536_and_no_more() {
    let server = Server::start();
    let mut c = server.connect();
    let mut push = vec!["MQ.PUSH", "q", "MSG"];
    push.resize(3 + 65_537, "x");
    assert_eq!(c.refusal(&push[..]), "ERR MSG payload is given more than 65536 times: send several commands");
    assert_eq!(c.int("EXISTS q"), 0);
    c.int(&push[..3 + 65_536]);
    c.int("MQ.PUSH q MSG a b c d");
    assert!(c.refusal("MQ.CLAIM q w COUNT 65537").starts_with("ERR"));
    assert_eq!(c.claims("MQ.CLAIM q w COUNT 65536").len(), 65_536);
    assert_eq!(c.balanced("q").int("ready"), 4);
}
