//! Those who take messages, and what they do with them.

use std::{sync::atomic::Ordering::Relaxed, thread, time::Duration};

use super::{
    Arena, LEASE_MS, QUEUE,
    link::{Link, Said},
};
use crate::{Claim, Drained, Words, reply::list};

const LEASE: Duration = Duration::from_millis(LEASE_MS);

/// How workers differ.
pub(super) const STYLES: u64 = 6;

/// How long a worker waits for a message, and how long those do who wait most of the time.
const BLOCK_MS: u64 = 100;
const LONG_BLOCK_MS: u64 = 1_000;

/// Pause after a claim that found nothing and did not wait.
const AT_ONCE: Duration = Duration::from_millis(5);

/// Completes a claim and counts that, in one step. With the shebang a server that is out of memory refuses it as a whole.
const SCRIPT: &str =
    "#!lua\nlocal n = redis.call('MQ.ACK', KEYS[1], ARGV[1]) if n == 1 then redis.call('INCR', KEYS[2]) end return n";

/// The same without the counter. Before Redis 8.2 and Valkey 9 a log is replayed with the rights of the default user; where
/// that user is off, the two writes of the other script, which are one transaction in the log, would be lost by the server.
const SCRIPT_OF_ONE_WRITE: &str = "#!lua\nreturn redis.call('MQ.ACK', KEYS[1], ARGV[1])";

/// Takes messages until all is over. `n` decides how: plainly, with ACK in the next CLAIM, by a script, in transactions over
/// RESP3, as a user with few rights, or with ACK in the next CLAIM on a connection that has subscribed to a channel.
pub(super) fn work(arena: &Arena, n: u64) {
    let style = n % STYLES;
    let mut link = match style {
        3 => Link::new(arena).resp3(),
        4 => Link::new(arena).worker(),
        5 => Link::new(arena).subscribed(),
        _ => Link::new(arena),
    };
    let name = link.name();
    let mut done = Vec::new();
    while !arena.is_over() {
        let claims = match style {
            1 | 5 => claim_and_complete(&mut link, &name, BLOCK_MS, &mut done),
            3 => claim_in_a_transaction(&mut link, &name),
            _ => claim(&mut link, &name, BLOCK_MS),
        };
        // Without an answer nobody knows what waits.
        if claims.as_ref().is_some_and(Vec::is_empty) {
            arena.backlog.store(0, Relaxed);
            if style == 3 || style == 5 {
                thread::sleep(AT_ONCE);
            }
        }
        for claim in claims.unwrap_or_default() {
            match arena.below(100) {
                0..60 if style == 1 || style == 5 => done.push(claim.receipt),
                0..60 if style == 2 => complete_in_a_script(arena, &mut link, claim.receipt),
                what => handle(arena, &mut link, claim.receipt, what),
            }
        }
    }
}

/// Waits for one message after the other and completes it, until all is over. Of four, two do so as the user with few rights
/// and one with a subscription on its connection; two complete in the next CLAIM.
pub(super) fn wait(arena: &Arena, n: u64) {
    let mut link = match n % 4 {
        0 | 2 => Link::new(arena).worker(),
        1 => Link::new(arena).subscribed(),
        _ => Link::new(arena),
    };
    let name = link.name();
    let mut done = Vec::new();
    while !arena.is_over() {
        let claims = claim_and_complete(&mut link, &name, LONG_BLOCK_MS, &mut done);
        if claims.as_ref().is_some_and(Vec::is_empty) {
            thread::sleep(AT_ONCE);
        }
        for claim in claims.unwrap_or_default() {
            if n % 4 < 2 {
                handle(arena, &mut link, claim.receipt, arena.below(100));
            } else {
                done.push(claim.receipt);
            }
        }
    }
}

fn complete_in_a_script(arena: &Arena, link: &mut Link<'_>, receipt: i64) {
    let (number, counter) = (receipt.to_string(), format!("{QUEUE}:done"));
    if arena.settings.username().is_some() {
        complete(link, receipt, ["EVAL", SCRIPT_OF_ONE_WRITE, "1", QUEUE, &number]);
    } else {
        complete(link, receipt, ["EVAL", SCRIPT, "2", QUEUE, &counter, &number]);
    }
}

/// What an answered claim got; so for the next two.
fn claim(link: &mut Link<'_>, name: &str, block_ms: u64) -> Option<Vec<Claim>> {
    let said = link.ask(format!("MQ.CLAIM {QUEUE} {name} COUNT 3 LEASE {LEASE_MS} BLOCK {block_ms} SESSION"));
    let Said::Answer(answer) = said else { return None };
    let claims: Vec<_> = list(&answer).iter().map(Claim::from_value).collect();
    link.saw_claims(&claims, LEASE);
    Some(claims)
}

fn claim_and_complete(link: &mut Link<'_>, name: &str, block_ms: u64, done: &mut Vec<i64>) -> Option<Vec<Claim>> {
    let receipts: String = done.iter().map(|receipt| format!(" {receipt}")).collect();
    if receipts.is_empty() {
        return claim(link, name, block_ms);
    }
    let options = format!("COUNT 3 LEASE {LEASE_MS} BLOCK {block_ms} SESSION ACK{receipts}");
    let answer = match link.ask(format!("MQ.CLAIM {QUEUE} {name} {options}")) {
        Said::Answer(answer) => answer,
        Said::Refused(refusal) if !may_follow_a_wait(&refusal) => return None,
        Said::Refused(_) | Said::Nothing => {
            done.drain(..).for_each(|receipt| link.saw_completion(receipt, None));
            return None;
        }
    };
    let (acked, claims) = Claim::acked_and_claims(&answer);
    for receipt in done.iter() {
        // A number for all of them does not say which.
        let counted = match acked {
            0 => Some(false),
            all if all == done.len() as i64 => Some(true),
            _ => None,
        };
        link.saw_completion(*receipt, counted);
    }
    done.clear();
    link.saw_claims(&claims, LEASE);
    Some(claims)
}

/// Whether a command can have been refused after it had waited. Its ACK part was done before that.
fn may_follow_a_wait(refusal: &str) -> bool {
    ["UNBLOCKED", "NOPERM"].iter().any(|code| refusal.starts_with(code))
}

fn claim_in_a_transaction(link: &mut Link<'_>, name: &str) -> Option<Vec<Claim>> {
    let said = link.transact(&[format!("MQ.CLAIM {QUEUE} {name} COUNT 3 LEASE {LEASE_MS} SESSION")]);
    let Said::Answer(answer) = said else { return None };
    let claims: Vec<_> = list(&list(&answer)[0]).iter().map(Claim::from_value).collect();
    link.saw_claims(&claims, LEASE);
    Some(claims)
}

/// What becomes of a claimed message; `what` is below 100.
fn handle(arena: &Arena, link: &mut Link<'_>, receipt: i64, what: u64) {
    match what {
        0..75 => complete(link, receipt, format!("MQ.ACK {QUEUE} {receipt}")),
        75..83 => touch(link, receipt, format!("MQ.FAIL {QUEUE} {receipt} REASON because")),
        83..88 => touch(link, receipt, format!("MQ.FAIL {QUEUE} {receipt} RETRY 20")),
        88..92 => touch(link, receipt, format!("MQ.RELEASE {QUEUE} {receipt}")),
        92..95 => {
            touch(link, receipt, format!("MQ.EXTEND {QUEUE} {LEASE_MS} {receipt}"));
            complete(link, receipt, format!("MQ.ACK {QUEUE} {receipt}"));
        }
        // Frozen until after the lease, it goes on as if nothing had happened.
        95..96 => {
            thread::sleep(LEASE + Duration::from_millis(50));
            complete(link, receipt, format!("MQ.ACK {QUEUE} {receipt}"));
        }
        96..97 => link.lose(),
        // Forgotten.
        97..98 => {}
        _ => {
            thread::sleep(Duration::from_millis(arena.below(LEASE_MS / 2)));
            complete(link, receipt, format!("MQ.ACK {QUEUE} {receipt}"));
        }
    }
}

fn complete(link: &mut Link<'_>, receipt: i64, command: impl Words) {
    let said = link.ask(command);
    if !matches!(said, Said::Refused(_)) {
        link.saw_completion(receipt, said.number().map(|counted| counted == 1));
    }
}

fn touch(link: &mut Link<'_>, receipt: i64, command: String) {
    let said = link.ask(command);
    if !matches!(said, Said::Refused(_)) {
        link.saw_touch(receipt, said.number().map(|counted| counted > 0));
    }
}

/// Takes errored messages, completes most of them, and puts the rest back, until all is over.
pub(super) fn drain(arena: &Arena, _: u64) {
    let mut link = Link::new(arena);
    while !arena.is_over() {
        let said = link.ask(format!("MQ.DRAINERRORS {QUEUE} COUNT 20 LEASE {LEASE_MS} SESSION"));
        let Said::Answer(answer) = said else { continue };
        let drained: Vec<Claim> = list(&answer).iter().map(|row| Drained::from_value(row).claim()).collect();
        link.saw_claims(&drained, LEASE);
        for claim in drained {
            match arena.below(20) {
                0 => touch(&mut link, claim.receipt, format!("MQ.RELEASE {QUEUE} {}", claim.receipt)),
                1 => link.lose(),
                _ => complete(&mut link, claim.receipt, format!("MQ.ACK {QUEUE} {}", claim.receipt)),
            }
        }
        thread::sleep(Duration::from_millis(20));
    }
}
