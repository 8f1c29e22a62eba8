//! Numbered pushes: what comes again is recognised, what is missing is refused, and an older generator stays outside.

use mq_tests::Server;

#[test]
fn the_next_number_is_expected_and_a_new_producer_may_start_anywhere() {
    let server = Server::start();
    let mut c = server.connect();
    assert_eq!(c.int("MQ.SEQ q p"), 0);
    c.int("MQ.PUSH q SEQ p 41 MSG a b");
    assert_eq!(c.int("MQ.SEQ q p"), 43);
    c.int("MQ.PUSH q SEQ p 43 MSG c");
    assert_eq!((c.int("MQ.SEQ q p"), c.int("MQ.SEQ q somebody-else")), (44, 0));
    c.int("MQ.PUSH q SEQ somebody-else 0 MSG x");
    assert_eq!(c.balanced("q").int("pushed"), 4);
}

#[test]
fn a_repeated_push_is_not_added_again_and_the_last_one_gets_its_id_back() {
    let server = Server::start();
    let mut c = server.connect();
    c.int("MQ.PUSH q SEQ p 0 MSG a b");
    let last = c.int("MQ.PUSH q SEQ p 2 MSG c d");
    c.int("MQ.PUSH q MSG between");
    let before = c.digest("q");
    assert_eq!(c.int("MQ.PUSH q SEQ p 2 MSG c d"), last);
    assert_eq!(c.int("MQ.PUSH q SEQ p 0 MSG a b"), 0, "seen, but its id is not known any more");
    assert_eq!(c.int("MQ.PUSH q SEQ p 1 MSG b c"), 0, "cut otherwise");
    assert_eq!(c.digest("q"), before);
    let info = c.balanced("q");
    assert_eq!((info.int("pushed"), info.int("duplicates")), (5, 3));
}

#[test]
fn a_repetition_is_recognised_after_the_message_is_gone() {
    let server = Server::start();
    let mut c = server.connect();
    let id = c.int("MQ.PUSH q SEQ p 0 MSG a");
    let receipt = c.claim("MQ.CLAIM q w").receipt;
    c.int(format!("MQ.ACK q {receipt}"));
    assert_eq!(c.int("MQ.PUSH q SEQ p 0 MSG a"), id);
    assert_eq!(c.claims("MQ.CLAIM q w"), []);
}

#[test]
fn a_gap_or_an_overlap_is_refused_and_names_the_expected_number() {
    let server = Server::start();
    let mut c = server.connect();
    c.int("MQ.PUSH q SEQ p 0 MSG a b c");
    for wrong in ["MQ.PUSH q SEQ p 4 MSG e", "MQ.PUSH q SEQ p 2 MSG c d", "MQ.PUSH q SEQ p 0 MSG a b c d"] {
        let refusal = c.refusal(wrong);
        assert!(
            refusal.starts_with("OUTOFORDER ") && refusal.split(|c: char| !c.is_ascii_digit()).any(|n| n == "3"),
            "{refusal}"
        );
    }
    assert_eq!(c.balanced("q").int("pushed"), 3);
}

#[test]
fn a_new_generator_shuts_the_old_one_out_of_every_shard() {
    let server = Server::start();
    let mut c = server.connect();
    let old = c.leader("MQ.LEADER election old").token;
    c.int(format!("MQ.PUSH shard FENCE {old} SEQ generator 0 MSG 0 1"));
    c.int(format!("MQ.LEADER election old RESIGN {old}"));
    let new = c.leader("MQ.LEADER election new").token;
    assert_eq!(c.int(format!("MQ.SEQ shard generator FENCE {new}")), 2);
    assert!(c.refusal(format!("MQ.PUSH shard FENCE {old} SEQ generator 2 MSG 2")).starts_with("FENCED"));
    c.int(format!("MQ.PUSH shard FENCE {new} SEQ generator 2 MSG 2"));
    assert_eq!(c.int(format!("MQ.SEQ untouched generator FENCE {new}")), 0);
    assert!(c.refusal(format!("MQ.PUSH untouched FENCE {old} SEQ generator 0 MSG 0")).starts_with("FENCED"));
}

#[test]
fn sequences_outlive_a_restart() {
    let mut server = Server::builder().config("save 3600 1").start();
    server.connect().int("MQ.PUSH q SEQ p 0 MSG a b");
    server.restart();
    let mut c = server.connect();
    assert_eq!(c.int("MQ.SEQ q p"), 2);
    assert!(c.refusal("MQ.PUSH q SEQ p 3 MSG d").starts_with("OUTOFORDER"));
    c.int("MQ.PUSH q SEQ p 2 MSG c");
}

#[test]
fn of_ten_thousand_producers_the_longest_idle_is_forgotten() {
    let server = Server::start();
    let mut c = server.connect();
    let first: Vec<_> = (0..10_000).map(|n| format!("MQ.PUSH q SEQ p{n} 0 MSG x")).collect();
    assert!(c.pipeline(&first).expect("a whole connection").iter().all(Result::is_ok));
    c.int("MQ.PUSH q SEQ p0 1 MSG x");
    assert_eq!(c.int("MQ.SEQ q p1"), 1);
    c.int("MQ.PUSH q SEQ one-more 0 MSG x");
    assert_eq!((c.int("MQ.SEQ q p0"), c.int("MQ.SEQ q p1"), c.int("MQ.SEQ q p2")), (2, 0, 1));
    assert_eq!(c.int("MQ.SEQ q one-more"), 1);
}

#[test]
fn a_producer_whose_last_push_was_fenced_is_never_forgotten() {
    let server = Server::start();
    let mut c = server.connect();
    let token = c.clock_ms() * 2048;
    let fenced: Vec<_> = (0..9_999).map(|n| format!("MQ.PUSH q FENCE {token} SEQ p{n} 0 MSG x")).collect();
    assert!(c.pipeline(&fenced).expect("a whole connection").iter().all(Result::is_ok));
    c.int("MQ.PUSH q SEQ plain 0 MSG x");
    c.int("MQ.PUSH q SEQ newer 0 MSG x");
    assert_eq!((c.int("MQ.SEQ q p0"), c.int("MQ.SEQ q plain"), c.int("MQ.SEQ q newer")), (1, 0, 1));
    c.int(format!("MQ.PUSH q FENCE {token} SEQ newer 1 MSG x"));
    let before = c.digest("q");
    assert!(c.refusal("MQ.PUSH q SEQ too-many 0 MSG x").starts_with("ERR"));
    assert_eq!(c.digest("q"), before);
}
