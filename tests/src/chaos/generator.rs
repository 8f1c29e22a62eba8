//! Those who want to lead, and push the numbers of one stream while they do.

use std::{thread, time::Duration};

use super::{
    Arena, QUEUE,
    link::{Link, Said},
    producer::saw_push,
};
use crate::{Leadership, history::What};

/// The producer under whose name all leaders number their messages.
const STREAM: &str = "stream";

/// For how long a leader leads without a renewal.
const LEASE_MS: u64 = 500;

/// How long candidates stand by, in turn. The patient ones are there when a leader goes while writes are refused.
const BLOCK_MS: [u64; 3] = [1_000, 2_000, 200];

/// Pause before a candidate stands by again.
const AT_ONCE: Duration = Duration::from_millis(5);

/// Between two pushes of a leader.
const PAUSE: Duration = Duration::from_micros(500);

/// Stands by, leads, is overthrown or resigns, and stands by again; after each leadership it tries to push under its old
/// token, which must not succeed.
/// The first one does so as the user with few rights, the third one on a connection that has subscribed to a channel.
pub(super) fn generate(arena: &Arena, n: u64) {
    let mut link = match n {
        0 => Link::new(arena).worker(),
        2 => Link::new(arena).subscribed(),
        _ => Link::new(arena),
    };
    let name = link.name();
    while arena.pushes() {
        let block_ms = BLOCK_MS[n as usize % BLOCK_MS.len()];
        let said = link.ask(format!("MQ.LEADER {QUEUE} {name} LEASE {LEASE_MS} BLOCK {block_ms} SESSION"));
        let Said::Answer(answer) = said else { continue };
        let leadership = Leadership::from_value(&answer);
        if !leadership.is(&name) {
            // Where a subscribed client must not wait, it is answered at once.
            thread::sleep(AT_ONCE);
            continue;
        }
        let token = leadership.token;
        link.saw(What::Lead { token, candidate: name.clone() });
        lead(arena, &mut link, &name, token);
        // Sometimes only after another has taken over.
        thread::sleep(Duration::from_millis(arena.below(3) * LEASE_MS / 2));
        if let Some(next) = link.ask(format!("MQ.SEQ {QUEUE} {STREAM}")).number() {
            push(&mut link, token, next);
        }
    }
}

/// Pushes until the leadership is over, or it has had enough.
fn lead(arena: &Arena, link: &mut Link<'_>, name: &str, token: i64) {
    let Some(mut next) = link.ask(format!("MQ.SEQ {QUEUE} {STREAM} FENCE {token}")).number() else { return };
    for n in 1.. {
        if !arena.pushes() {
            return;
        }
        match push(link, token, next) {
            Said::Answer(_) => next += 1,
            Said::Refused(refusal) if refusal.starts_with("OUTOFORDER") || refusal.starts_with("FENCED") => return,
            Said::Refused(_) => {}
            Said::Nothing => return,
        }
        if n % 50 == 0 {
            let said = link.ask(format!("MQ.LEADER {QUEUE} {name} LEASE {LEASE_MS} SESSION TOKEN {token}"));
            if !matches!(said, Said::Answer(answer) if Leadership::from_value(&answer).token == token) {
                return;
            }
        }
        match arena.below(400) {
            0 => {
                link.ask(format!("MQ.LEADER {QUEUE} {name} RESIGN {token}"));
                return;
            }
            // Frozen for longer than its lease, it pushes on.
            1 => thread::sleep(Duration::from_millis(LEASE_MS + 100)),
            // Its connection closes, and it pushes on over another one.
            2 => link.lose(),
            _ => thread::sleep(PAUSE),
        }
    }
}

fn push(link: &mut Link<'_>, token: i64, number: i64) -> Said {
    let payload = format!("{STREAM}-{number}");
    let said = link.ask(format!("MQ.PUSH {QUEUE} FENCE {token} SEQ {STREAM} {number} MSG {payload}"));
    saw_push(link, payload, Some(token), Some(number), &said);
    said
}
