//! MQ.APPLY: what a primary tells its replicas and its append-only file. Not for clients.

use std::collections::BTreeMap;

use mq_engine::{Corrupt, Decoder, Queue, apply_record};

use super::{Call, Command};
use crate::data_type::{PART_BROKEN, PART_CHUNK, PART_END};
use crate::entry::{Entry, Place};
use crate::failure::Failure;
use crate::keyspace::Opened;
use crate::server::Global;
use crate::syntax::{Argument, KeyUse, Position, Slot, Syntax};
use crate::tally;

/// `MQ.APPLY queue effect`: what one step did. `MQ.APPLY queue CHUNK|END|BROKEN bytes`: the queue as a whole, in parts, from a
/// rewritten append-only file.
///
/// Refused from everybody but the server's primary and its own append-only file.
pub struct Apply;

const SYNTAX: Syntax = Syntax {
    name: "MQ.APPLY",
    summary: "Internal: applies what a primary has done. Refused from clients.",
    since: "0.1.0",
    complexity: "as the command that it stands for",
    flags: "write deny-script no-monitor no-slowlog",
    key: KeyUse::Updates,
    positions: &[Position::any_number(Argument::text("effect"))],
    options: &[],
    one_of: None,
};
const EFFECT: Slot = SYNTAX.slot("effect");

impl Command for Apply {
    const SYNTAX: &'static Syntax = &SYNTAX;

    fn run(call: &Call<'_>) -> Result<(), Failure> {
        if !call.flags.is_copy() {
            return Err(Failure::NotReplicated);
        }
        let mut queue = call.open()?;
        let applied = match *call.words(EFFECT) {
            [effect] => apply_effect(&mut queue, effect),
            [part, bytes] => load_part(&mut queue, part, bytes),
            _ => Err(Corrupt("neither an effect nor a part of a queue")),
        };
        if let Err(corrupt) = applied {
            queue.break_off(corrupt.0);
        }
        queue.send_on();
        queue.close();
        call.reply().status(c"OK");
        Ok(())
    }
}

fn apply_effect(opened: &mut Opened<'_>, effect: &[u8]) -> Result<(), Corrupt> {
    if let Some(entry) = opened.entry() {
        let happened = entry.apply_effect(effect)?;
        opened.saw(happened);
        return Ok(());
    }
    let mut created: Option<Queue> = None;
    apply_record(&mut created, effect)?;
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
