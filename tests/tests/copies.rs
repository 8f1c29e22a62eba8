//! A queue is the same after it was saved, loaded, copied or moved, and goes on with larger numbers.

use mq_tests::{Churn, Conn, Server, Value, every_state};

/// Two queues worth keeping: one in every state, one with a random history.
fn histories(c: &mut Conn) {
    every_state(c, "states");
    let mut churn = Churn::new(7);
    for _ in 0..2000 {
        churn.step(c, "churned");
    }
    c.balanced("churned");
}

fn digests(c: &mut Conn) -> [String; 2] {
    ["states", "churned"].map(|queue| {
        c.balanced(queue);
        c.digest(queue)
    })
}

/// Everything that INFO tells about the state, without what passes with time or is counted since the load.
fn state(c: &mut Conn, queue: &str) -> Vec<(String, String)> {
    const PASSING: [&str; 12] = [
        "overdue",
        "oldest-ready-age-ms",
        "next-due-in-ms",
        "leader",
        "leader-token",
        "leader-lease-left-ms",
        "memory-bytes",
        "stale",
        "fenced",
        "duplicates",
        "blocked-consumers",
        "blocked-candidates",
    ];
    let info = c.balanced(queue);
    let names = info.names().filter(|name| !PASSING.contains(name));
    names.map(|name| (name.to_owned(), info.text(name))).collect()
}

#[test]
fn equal_histories_have_equal_digests_and_any_change_another() {
    let server = Server::start();
    let mut c = server.connect();
    c.int("MQ.PUSH q MSG a");
    let mut seen = vec![c.digest("q")];
    for change in [
        "MQ.PUSH q MSG b",
        "MQ.CLAIM q w",
        "MQ.CONFIG q lease 5",
        "MQ.LEADER q me",
        "MQ.PUSH q SEQ p 0 MSG c",
        "MQ.CLAIM q w2",
    ] {
        c.ok(change);
        let digest = c.digest("q");
        assert!(!seen.contains(&digest), "{change} does not show in the digest");
        seen.push(digest);
    }
    let settled = c.digest("q");
    for read in ["MQ.INFO q CONSUMERS", "MQ.PEEK q READY", "MQ.CONFIG q", "MQ.LEADER q", "MQ.SEQ q p"] {
        c.ok(read);
        assert_eq!(c.digest("q"), settled, "{read}");
    }
}

#[test]
fn debug_reload_changes_nothing() {
    let server = Server::start();
    let mut c = server.connect();
    histories(&mut c);
    let before = (digests(&mut c), state(&mut c, "states"), state(&mut c, "churned"));
    c.ok("DEBUG RELOAD");
    assert_eq!((digests(&mut c), state(&mut c, "states"), state(&mut c, "churned")), before);
}

/// Histories, then a restart (after `persist`): the same digests.
fn survives_restart(config: &[&str], persist: &[&str], kill: bool) {
    let mut server = config.iter().fold(Server::builder(), |builder, line| builder.config(*line)).start();
    let mut c = server.connect();
    histories(&mut c);
    for command in persist {
        c.ok(*command);
    }
    mq_tests::until("no rewrite is under way", || {
        ["aof_rewrite_in_progress", "aof_rewrite_scheduled", "rdb_bgsave_in_progress"]
            .iter()
            .all(|name| c.server_count("persistence", name) == 0)
    });
    c.int("MQ.PUSH states MSG after");
    let before = (digests(&mut c), state(&mut c, "states"), state(&mut c, "churned"));
    if kill {
        server.kill9();
        server.start_again();
    } else {
        server.restart();
    }
    let mut c = server.connect();
    assert_eq!((digests(&mut c), state(&mut c, "states"), state(&mut c, "churned")), before);
}

#[test]
fn a_restart_from_an_rdb_file_changes_nothing() {
    survives_restart(&["save 3600 1"], &["BGSAVE"], false);
}

#[test]
fn a_restart_from_the_log_changes_nothing() {
    survives_restart(&["appendonly yes"], &[], false);
}

#[test]
fn a_kill_loses_nothing_of_a_log_that_is_always_synced() {
    survives_restart(&["appendonly yes", "appendfsync always"], &[], true);
}

#[test]
fn a_restart_from_a_log_rewritten_with_preamble_changes_nothing() {
    survives_restart(&["appendonly yes", "aof-use-rdb-preamble yes"], &["BGREWRITEAOF"], false);
}

#[test]
fn a_restart_from_a_log_rewritten_as_commands_changes_nothing() {
    survives_restart(&["appendonly yes", "aof-use-rdb-preamble no"], &["BGREWRITEAOF"], false);
}

#[test]
fn a_log_of_commands_alone_is_replayed_to_the_same_state() {
    survives_restart(&["appendonly yes", "aof-use-rdb-preamble no"], &[], false);
}

#[test]
fn dump_and_restore_copy_rename_move_and_swapdb_keep_the_digest() {
    let server = Server::start();
    let mut c = server.connect();
    histories(&mut c);
    for queue in ["states", "churned"] {
        let digest = c.digest(queue);
        let Value::BulkString(dump) = c.ok(["DUMP", queue]) else { panic!("a dump") };
        c.ok([&b"RESTORE"[..], b"restored", b"0", &dump, b"REPLACE"]);
        c.int(format!("COPY {queue} copied REPLACE"));
        c.int(format!("COPY {queue} elsewhere DB 4 REPLACE"));
        c.ok(format!("RENAME {queue} renamed"));
        for name in ["restored", "copied", "renamed"] {
            assert_eq!(c.digest(name), digest, "{queue} {name}");
        }
        c.int("MOVE renamed 5");
        c.ok("SWAPDB 5 6");
        assert_eq!(server.connect_db(6).digest("renamed"), digest);
        assert_eq!(server.connect_db(4).digest("elsewhere"), digest);
        server.connect_db(6).int("DEL renamed");
    }
}

/// After `travel` the queue stands as `to` (in database `db`): its leadership and SESSION claims are over, other claims
/// stand, and numbers go on above `kept`'s and whatever the source has given meanwhile.
fn a_new_term_after(travel: impl FnOnce(&mut Conn), to: &str, db: i64) {
    let server = Server::start();
    let mut c = server.connect();
    let kept = every_state(&mut c, "q");
    let session = c.claim("MQ.CLAIM q w SESSION LEASE 3600000");
    let digest = c.digest("q");
    travel(&mut c);
    let mut there = server.connect_db(db);
    assert_eq!(there.digest(to), digest, "a queue rests until its first write");
    assert!(there.refusal(format!("MQ.PUSH {to} FENCE {} MSG a", kept.token)).starts_with("FENCED"));
    assert_eq!(there.digest(to), digest, "a refused command starts no term");
    assert_eq!(there.int(format!("MQ.ACK {to} {}", session.receipt)), 0, "its connection is not here");
    assert_eq!(there.int(format!("MQ.ACK {to} {}", kept.claimed)), 1);
    assert_eq!(there.int(format!("MQ.ACK {to} {}", kept.draining)), 1);
    assert!(there.int(format!("MQ.PUSH {to} MSG new")) > kept.last_id);
    assert!(there.claim(format!("MQ.CLAIM {to} w")).receipt > session.receipt);
    assert!(there.leader(format!("MQ.LEADER {to} you")).token > kept.token);
    there.balanced(to);
}

#[test]
fn a_rename_starts_a_term() {
    a_new_term_after(|c| drop(c.ok("RENAME q r")), "r", 0);
}

#[test]
fn a_move_starts_a_term() {
    a_new_term_after(|c| drop(c.ok("MOVE q 3")), "q", 3);
}

#[test]
fn a_swapdb_starts_a_term() {
    a_new_term_after(|c| drop(c.ok("SWAPDB 0 3")), "q", 3);
}

#[test]
fn a_way_there_and_back_starts_a_term() {
    a_new_term_after(
        |c| {
            c.ok("RENAME q away");
            let token = c.leader("MQ.LEADER q other").token;
            c.int(format!("MQ.PUSH q FENCE {token} MSG meanwhile"));
            c.ok("RENAME away q");
        },
        "q",
        0,
    );
    a_new_term_after(|c| ["RENAME q away", "RENAME away q"].iter().for_each(|command| drop(c.ok(*command))), "q", 0);
    a_new_term_after(|c| ["SWAPDB 0 3", "SWAPDB 3 0"].iter().for_each(|command| drop(c.ok(*command))), "q", 0);
}

#[test]
fn numbers_given_under_a_name_are_above_those_given_while_its_queue_was_away() {
    let server = Server::start();
    let mut c = server.connect();
    let old = c.leader("MQ.LEADER q first").token;
    c.ok("RENAME q away");
    let new = c.leader("MQ.LEADER q second").token;
    let id = c.int(format!("MQ.PUSH q FENCE {new} MSG a"));
    c.ok("RENAME away q");
    assert!(c.refusal(format!("MQ.PUSH q FENCE {old} MSG a")).starts_with("FENCED"));
    assert!(c.refusal(format!("MQ.PUSH q FENCE {new} MSG a")).starts_with("FENCED"));
    assert!(c.int("MQ.PUSH q MSG a") > id);
    assert!(c.leader("MQ.LEADER q first").token > new);
}

#[test]
fn a_session_that_closes_while_its_queue_is_away_is_over_when_it_comes_back() {
    let server = Server::start();
    let mut c = server.connect();
    c.int("MQ.PUSH q MSG a");
    let mut dies = server.connect();
    let claim = dies.claim("MQ.CLAIM q w SESSION LEASE 3600000");
    dies.leader("MQ.LEADER q w SESSION LEASE 3600000");
    c.ok("RENAME q away");
    let id = dies.int("CLIENT ID");
    drop(dies);
    mq_tests::until("the connection is closed", || !server.has_client(id));
    c.ok("RENAME away q");
    assert_eq!(c.int(format!("MQ.ACK q {}", claim.receipt)), 0);
    assert_eq!(c.claim("MQ.CLAIM q w").id, claim.id);
    assert!(c.leader("MQ.LEADER q other").is("other"));
}

#[test]
fn a_sequence_ends_below_its_limit_and_can_be_loaded_there() {
    let server = Server::start();
    let mut c = server.connect();
    for refused in ["SEQ p 9007199254740991 MSG a", "SEQ p 9007199254740990 MSG a b"] {
        let why = c.refusal(format!("MQ.PUSH q {refused}"));
        assert!(why.starts_with("ERR SEQ n is invalid"), "{refused}: {why}");
    }
    c.int("MQ.PUSH q SEQ p 9007199254740990 MSG a");
    c.int("MQ.PUSH q SEQ other 9007199254740000 MSG b");
    let digest = c.digest("q");
    c.ok("DEBUG RELOAD");
    assert_eq!((c.digest("q"), c.int("MQ.SEQ q p")), (digest, 9_007_199_254_740_991));
}

#[test]
fn a_queue_whose_log_is_damaged_is_broken_and_not_missing() {
    let mut server = Server::builder()
        .config("appendonly yes")
        .config("aof-use-rdb-preamble no")
        .config("appendfsync always")
        .start();
    let mut c = server.connect();
    every_state(&mut c, "q");
    c.ok("BGREWRITEAOF");
    mq_tests::until("the log is rewritten", || c.server_count("persistence", "aof_rewrite_in_progress") == 0);
    server.stop();
    let base = std::fs::read_dir(server.dir().join("appendonlydir"))
        .expect("the log's directory")
        .map(|file| file.expect("a file").path())
        .find(|path| path.to_string_lossy().contains(".base."))
        .expect("the rewritten log");
    let mut log = std::fs::read(&base).expect("the log");
    let payload = log.windows(6).position(|window| window == b"later1").expect("a payload in it");
    // The byte before the payloads of that chunk is the length of one of them.
    log[payload - 1] = log[payload - 1].wrapping_add(100);
    std::fs::write(&base, log).expect("a file of ours");
    server.start_again();
    let mut c = server.connect();
    assert!(c.refusal("MQ.PUSH q MSG a").starts_with("BROKEN"));
    assert!(server.log().contains("BROKEN from now on"));
    c.int("DEL q");
    c.int("MQ.PUSH q MSG a");
}

#[test]
fn a_copy_starts_a_term_of_its_own() {
    a_new_term_after(|c| drop(c.ok("COPY q r")), "r", 0);
}

#[test]
fn a_restore_starts_a_term() {
    a_new_term_after(
        |c| {
            let Value::BulkString(dump) = c.ok("DUMP q") else { panic!("a dump") };
            c.ok([&b"RESTORE"[..], b"r", b"0", &dump]);
        },
        "r",
        0,
    );
}

#[test]
fn a_reload_starts_a_term() {
    a_new_term_after(|c| drop(c.ok("DEBUG RELOAD")), "q", 0);
}

#[test]
fn the_original_of_a_copy_goes_on_with_its_leader_and_sessions() {
    let server = Server::start();
    let mut c = server.connect();
    let kept = every_state(&mut c, "q");
    let session = c.claim("MQ.CLAIM q w SESSION LEASE 3600000");
    c.int("COPY q r");
    c.int("MQ.PUSH r MSG elsewhere");
    assert_eq!(c.int(format!("MQ.ACK q {}", session.receipt)), 1);
    c.int(format!("MQ.PUSH q FENCE {} MSG here", kept.token));
}

#[test]
fn a_restart_starts_a_term() {
    let mut server = Server::builder().config("save 3600 1").start();
    let mut c = server.connect();
    let kept = every_state(&mut c, "q");
    let session = c.claim("MQ.CLAIM q w SESSION LEASE 3600000");
    let digest = c.digest("q");
    // The connection must not close before the server does: its end would be part of what is saved.
    c.ok("SAVE");
    server.kill9();
    server.start_again();
    drop(c);
    let mut c = server.connect();
    assert_eq!(c.digest("q"), digest);
    assert!(c.refusal(format!("MQ.PUSH q FENCE {} MSG a", kept.token)).starts_with("FENCED"));
    assert_eq!(c.int(format!("MQ.ACK q {}", session.receipt)), 0);
    assert_eq!(c.int(format!("MQ.ACK q {}", kept.claimed)), 1);
    assert!(c.leader("MQ.LEADER q you").token > kept.token);
    c.balanced("q");
}

/// One byte says that a module's value follows, nine which type of which version.
const TYPE_NAME_ENDS: usize = 10;

/// Two bytes of version and eight of checksum.
const FOOTER: usize = 10;

#[test]
fn a_damaged_dump_is_refused_or_loaded_but_never_kills() {
    let server = Server::start();
    let mut c = server.connect();
    every_state(&mut c, "q");
    let Value::BulkString(dump) = c.ok("DUMP q") else { panic!("a dump") };
    // Without the checksum's protection the module's own checks must do. The type's name in front is the server's affair.
    c.ok("DEBUG SET-SKIP-CHECKSUM-VALIDATION 1");
    let mut loaded = 0;
    for at in TYPE_NAME_ENDS..dump.len() - FOOTER {
        for flip in [0x01, 0x80, 0xFF] {
            let mut damaged = dump.clone();
            damaged[at] ^= flip;
            if c.call([&b"RESTORE"[..], b"d", b"0", &damaged, b"REPLACE"]).is_err() {
                continue;
            }
            loaded += 1;
            for command in [
                "MQ.INFO d",
                "MQ.PEEK d READY",
                "MQ.CLAIM d w COUNT 100",
                "MQ.PUSH d MSG a",
                "MQ.DRAINERRORS d",
                "MQ.REDRIVE d",
            ] {
                // Refused (BROKEN, QUEUEFULL, …) or done; a server that died would break the connection.
                if let Err(error) = c.call(command) {
                    assert!(error.code().is_some(), "byte {at} ^ {flip:#x}, {command}: {error}");
                }
            }
        }
        let cut = [&dump[..at], &dump[dump.len() - FOOTER..]].concat();
        let _ = c.call([&b"RESTORE"[..], b"d", b"0", &cut, b"REPLACE"]);
    }
    println!("{loaded} damaged dumps were loaded and used, of {} bytes", dump.len());
    assert_eq!(c.text("PING"), "PONG");
}
