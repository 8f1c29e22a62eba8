//! The server refuses or postpones every write for a while. Nothing is handed out meanwhile, and everything goes on afterwards.

use std::{fs, thread, time::Duration};

use mq_tests::{
    chaos::{self, Arena, Settled},
    until,
};

/// Consumers that wait most of the time.
const WAITERS: u64 = 8;

#[test]
fn a_server_whose_disk_is_full_hands_out_nothing_until_it_can_save_again() {
    // Only BGSAVE saves: the rule that switches the refusal on never comes due.
    let server = chaos::server().config("save 3600 100000000").start();
    let arena = Arena::new(&server, Settled::WhenAnswered).with_waiters(WAITERS);
    let dump = server.dir().join("dump.rdb");
    let mut times = 0;
    arena.run(|| {
        let mut c = server.connect();
        let mut save = |expected: &str| {
            c.ok("BGSAVE");
            until("the snapshot is over", || c.server_info("persistence", "rdb_bgsave_in_progress") == "0");
            assert_eq!(c.server_info("persistence", "rdb_last_bgsave_status"), expected);
        };
        let mut c = server.connect();
        while arena.goes_on_after(100..400) {
            // A snapshot cannot be moved to where a directory is.
            fs::create_dir(&dump).expect("a directory");
            save("err");
            let silence = arena.silence_of(&server);
            arena.goes_on_after(100..700);
            assert!(c.refusal("SET probe x").starts_with("MISCONF"));
            silence.end();
            fs::remove_dir(&dump).expect("it is there");
            save("ok");
            fs::remove_file(&dump).expect("a snapshot");
            times += 1;
        }
    });
    arena.judge(&format!("a disk full {times} times"));
    assert!(times > 0 && arena.refusals() > 0);
}

#[test]
fn a_server_that_postpones_writes_hands_out_nothing_until_it_takes_them_again() {
    let server = chaos::server().config("appendonly yes").start();
    let arena = Arena::new(&server, Settled::WhenAnswered).with_waiters(WAITERS);
    let mut times = [0, 0];
    arena.run(|| {
        let mut c = server.connect();
        while arena.goes_on_after(50..300) {
            if arena.below(2) == 0 {
                c.ok("CLIENT PAUSE 60000 WRITE");
                let silence = arena.silence_of(&server);
                arena.goes_on_after(100..700);
                silence.end();
                c.ok("CLIENT UNPAUSE");
                times[0] += 1;
            } else {
                // Nothing can be asked of it meanwhile, not even to go on.
                let pause = Duration::from_millis(300 + arena.below(500));
                let until = arena.history.now() + pause;
                c.ok(format!("CLIENT PAUSE {} ALL", pause.as_millis()));
                let from = arena.history.now();
                thread::sleep(pause - Duration::from_millis(100));
                if arena.history.now() < until {
                    arena.was_refused_by(&server, from);
                }
                c.ok("PING");
                times[1] += 1;
            }
        }
    });
    arena.judge(&format!("{} pauses of writes, {} of everything", times[0], times[1]));
    assert!(times[0] + times[1] > 1);
}
