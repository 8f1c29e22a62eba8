//! Those who push.

use std::{thread, time::Duration};

use super::{
    Arena, QUEUE,
    link::{Link, Said},
};
use crate::history::What;

/// Between two pushes, so that they are not all of the traffic.
const PAUSE: Duration = Duration::from_micros(500);

/// Pushes with options in turn; what was not answered is left alone.
pub(super) fn plain(arena: &Arena, _: u64) {
    let mut link = Link::new(arena);
    let name = link.name();
    for n in 0_u64.. {
        if !arena.pushes() {
            return;
        }
        let payload = format!("{name}-{n}");
        let options = match n % 8 {
            0 => "DELAY 30".to_owned(),
            1 => format!("PRIORITY {}", n % 3),
            2 => format!("GROUP {}", n % 64),
            3 => "TTL 50".to_owned(),
            4 => "PRIORITY 7 DELAY 5".to_owned(),
            _ => String::new(),
        };
        let said = link.ask(format!("MQ.PUSH {QUEUE} {options} MSG {payload}"));
        saw_push(&link, payload, None, None, &said);
        thread::sleep(PAUSE);
    }
}

/// Numbers its messages and repeats each until it is answered.
pub(super) fn numbered(arena: &Arena, _: u64) {
    let mut link = Link::new(arena).resp3();
    let name = link.name();
    let mut n = 0;
    while arena.pushes() {
        let payload = format!("{name}-{n}");
        let said = link.ask(format!("MQ.PUSH {QUEUE} SEQ {name} {n} MSG {payload}"));
        match &said {
            // A crash took numbers back.
            Said::Refused(refusal) if refusal.starts_with("OUTOFORDER") => {
                if let Some(expected) = link.ask(format!("MQ.SEQ {QUEUE} {name}")).number() {
                    n = expected;
                }
            }
            _ => saw_push(&link, payload, None, None, &said),
        }
        if matches!(said, Said::Answer(_)) {
            n += 1;
            thread::sleep(PAUSE);
        }
    }
}

/// Pushes each message twice under its own key: while it is not done, it is not added again.
pub(super) fn unique(arena: &Arena, _: u64) {
    let mut link = Link::new(arena);
    let name = link.name();
    for n in 0_u64.. {
        if !arena.pushes() {
            return;
        }
        let payload = format!("{name}-{n}");
        let said = link.ask(format!("MQ.PUSH {QUEUE} UNIQUE {payload} DELAY 20 MSG {payload}"));
        saw_push(&link, payload.clone(), None, None, &said);
        let Some(id) = said.number() else { continue };
        let again = link.ask(format!("MQ.PUSH {QUEUE} UNIQUE {payload} DELAY 20 MSG {payload}"));
        if again.number() != Some(id) {
            saw_push(&link, payload, None, None, &again);
        }
        thread::sleep(PAUSE * 4);
    }
}

/// Writes a push down, unless it was refused.
pub(super) fn saw_push(link: &Link<'_>, payload: String, fence: Option<i64>, number: Option<i64>, said: &Said) {
    if !matches!(said, Said::Refused(_)) {
        // 0: the number was seen before, with an id that is not known any more.
        link.saw(What::Push { payload, fence, number, id: said.number().filter(|id| *id > 0) });
    }
}
