//! Traffic of every kind while the worst happens, and the judgement of what the clients saw. `make chaos` gives it longer.

use mq_tests::chaos::{self, Arena, Settled};

#[test]
fn a_server_killed_with_appendfsync_always_loses_nothing_and_repeats_nothing() {
    let mut server = chaos::server().config("appendonly yes").config("appendfsync always").start();
    let arena = Arena::new(&server, Settled::WhenAnswered);
    let mut kills = 0;
    arena.run(|| {
        while arena.goes_on_after(50..600) {
            server.kill9();
            server.start_again();
            kills += 1;
        }
    });
    arena.judge(&format!("appendfsync always, {kills} kills"));
    assert!(kills > 3);
}
