//! MQ.APPLY: what a primary tells its replicas and its append-only file. Not for clients.

use std::collections::BTreeMap;

use mq_engine::{Corrupt, Decoder, Queue, apply_record};

use super::{Call, Command};
use crate::data_type::{PART_BROKEN, PART_CHUNK, PART_END};
use crate::entry::{Entry, Place};
use crate::failure::Failure;
use crate::keyspace::Opened;
use crate::server::{Global, PROBE};
use crate::syntax::{Argument, KeyUse, Position, Slot, Syntax};
use crate::tally;

/// `MQ.APPLY queue effect [payload ...]`: what one command or one act of the timer did, with the payloads that it had no room
/// for. `MQ.APPLY queue CHUNK|END|BROKEN bytes`: the queue as a whole, in parts, from a rewritten append-only file. An effect
/// never begins with a letter.
///
/// Refused from everybody but the server's primary and its own append-only file. `MQ.APPLY queue PROBE` does nothing; with it
/// the module asks the server whether a command could write to the queue now.
pub struct Apply;

const SYNTAX: Syntax = Syntax {
    name: "MQ.APPLY",
    summary: "Internal: applies what a primary has done. Refused from clients.",
    since: "0.1.0",
    complexity: "as the command that it stands for",
    flags: "write no-monitor no-slowlog",
    key: KeyUse::Updates,
    positions: &[Position::repeated(Argument::text("effect"))],
    options: &[],
    one_of: None,
};
const EFFECT: Slot = SYNTAX.slot("effect");

impl Command for Apply {
    const SYNTAX: &'static Syntax = &SYNTAX;

    fn run(call: &Call<'_>) -> Result<(), Failure> {
        let words = call.words(EFFECT);
        if !call.flags.is_copy() {
            let is_probe = words.len() == 1 && words[0] == PROBE.to_bytes();
            if is_probe {
                call.reply().status(c"OK");
            }
            return if is_probe { Ok(()) } else { Err(Failure::NotReplicated) };
        }
        call.change(|queue| {
            let applied = match *words {
                [part, bytes] if part.first().is_some_and(u8::is_ascii_uppercase) => load_part(queue, part, bytes),
                [effect, ref payloads @ ..] => apply_effect(queue, effect, payloads),
                [] => Err(Corrupt("no effect")),
            };
            if let Err(corrupt) = applied {
                queue.break_off(corrupt.0);
            }
            queue.send_on();
            call.reply().status(c"OK");
            Ok(())
        })
    }
}

fn apply_effect(opened: &mut Opened<'_>, effect: &[u8], payloads: &[&[u8]]) -> Result<(), Corrupt> {
    if let Some(entry) = opened.entry() {
        let happened = entry.apply_effect(effect, payloads)?;
        opened.saw(happened);
        return Ok(());
    }
    let mut created: Option<Queue> = None;
    apply_record(&mut created, effect, payloads)?;
    if let Some(queue) = created {
        let happened = tally::after(&tally::NOTHING, &queue, &mut queue.levels());
        opened.put(Entry::new(Some(queue)));
        opened.saw(happened);
    }
    Ok(())
}

/// Queues of which some chunks have been read. Each goes when its end is read; a file that breaks off leaves one.
static PARTIAL: Global<BTreeMap<Place, Decoder>> = Global::new(BTreeMap::new());

fn load_part(opened: &mut Opened<'_>, part: &[u8], bytes: &[u8]) -> Result<(), Corrupt> {
    let place = opened.place();
    if part == PART_CHUNK.to_bytes() {
        let fed = PARTIAL.with(|partial| partial.entry(place.clone()).or_default().feed(bytes));
        if fed.is_err() {
            PARTIAL.with(|partial| partial.remove(&place));
        }
        return fed;
    }
    let decoder = PARTIAL.with(|partial| partial.remove(&place)).unwrap_or_default();
    let queue = if part == PART_END.to_bytes() {
        Some(decoder.finish()?)
    } else if part == PART_BROKEN.to_bytes() {
        None
    } else {
        return Err(Corrupt("unknown part of a queue"));
    };
    if opened.entry().is_some() {
        return Err(Corrupt("the queue is there already"));
    }
    opened.put(Entry::new(queue));
    Ok(())
}

/// A load has ended: what came in part only is nothing.
pub fn forget_partial() {
    PARTIAL.with(BTreeMap::clear);
}
