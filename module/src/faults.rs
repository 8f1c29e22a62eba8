//! Faults on demand, for tests of what a panic leaves behind, and of who watches memory. Not in the module that is shipped:
//! the feature `faults` builds it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::commands::{Call, Command};
use crate::failure::Failure;
use crate::server::read_freed;
use crate::syntax::{Argument, KeyUse, Position, Slot, Syntax};

/// Where a panic is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// At the beginning of a callback.
    Callback,
    /// In the middle of a queue's change.
    Change,
}

/// How often each site is passed before it panics; 0: it does not. Values are freed in another thread too, which is a callback as any other.
static ARMED: [AtomicU64; 2] = [AtomicU64::new(0), AtomicU64::new(0)];

/// Panics if it is this site's turn.
pub fn pass(site: Site) {
    let before = ARMED[site as usize].fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1));
    let turn = before == Ok(1);
    assert!(!turn, "a fault that was asked for");
}

/// `MQ.FAULT queue CALLBACK|CHANGE n`: panics when that has been passed for the n-th time from now on; 0: never.
/// `MQ.FAULT queue FREED|LOST n`: reads a block of n bytes that it has freed; forgets one that it has not.
pub struct Fault;

const SYNTAX: Syntax = Syntax {
    name: "MQ.FAULT",
    summary: "For tests: lets the module panic, or misuse memory.",
    since: "0.1.0",
    complexity: "O(1)",
    flags: "admin",
    key: KeyUse::Shows,
    positions: &[
        Position::once(Argument::word("site", &["CALLBACK", "CHANGE", "FREED", "LOST"])),
        Position::once(Argument::number("n", 0, 1_000_000)),
    ],
    options: &[],
    one_of: None,
};
const SITE: Slot = SYNTAX.slot("site");
const N: Slot = SYNTAX.slot("n");

impl Command for Fault {
    const SYNTAX: &'static Syntax = &SYNTAX;

    fn run(call: &Call<'_>) -> Result<(), Failure> {
        let (site, n) = (call.count(SITE).unwrap_or_default(), call.number(N).unwrap_or_default());
        match site {
            0 | 1 => ARMED[site].store(n, Relaxed),
            2 => drop(std::hint::black_box(read_freed(vec![0; n as usize]))),
            _ => std::mem::forget(std::hint::black_box(vec![0u8; n as usize])),
        }
        call.reply().status(c"OK");
        Ok(())
    }
}
