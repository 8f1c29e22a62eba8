//! What becomes of a queue in files, copies and digests.
//!
//! In an RDB, a value is the state number below, then for a sound queue the chunks of [`Queue::encode`], then an empty one.
//! A fault in the middle of that costs no file: a child of the server that writes one gives up, so that the server keeps the
//! file that it has; where the server writes itself (SAVE, DUMP), the value is marked as torn, and loaded as a broken queue.
//! To change the format: raise [`ENCODING_VERSION`], and let [`load`] go on reading what earlier versions wrote.

use std::ffi::CStr;

use mq_engine::{Decoder, Queue, allocated};

use crate::agenda::Reason;
use crate::entry::Entry;
use crate::guard::contained;
use crate::server::{Appender, Digest, Loader, ReadFailed, Saver, give_up_in_child, log_without_context};
use crate::{agenda, moment, refused_loads, terms, waiting};

/// The version that this module writes, and the last one that it reads.
pub const ENCODING_VERSION: i32 = 1;

const SOUND: u64 = 1;
const BROKEN: u64 = 2;
/// In the place of the chunks that a fault has left out. No chunk begins with this byte.
const TORN: &[u8] = &[0];

/// The parts of a queue in an append-only file, each in an `MQ.APPLY key part bytes`. [`crate::commands::apply`] reads them.
pub const PART_CHUNK: &CStr = c"CHUNK";
/// The end: all chunks of a sound queue are there.
pub const PART_END: &CStr = c"END";
/// A broken queue, of which there is nothing else.
pub const PART_BROKEN: &CStr = c"BROKEN";

/// Writes a value.
pub fn save(saver: &mut Saver, entry: &Entry) {
    let Ok(queue) = entry.queue() else { return saver.number(BROKEN) };
    saver.number(SOUND);
    let whole = contained(|| {
        queue.encode(&mut |chunk| {
            if !chunk.is_empty() {
                saver.bytes(chunk);
            }
        });
    });
    if whole.is_none() {
        give_up_in_child();
        saver.bytes(TORN);
    }
    saver.bytes(b"");
}

/// Reads a value, which may be anything: RESTORE takes it from clients.
pub fn load(loader: &mut Loader, version: i32) -> Option<Box<Entry>> {
    let read = if version > ENCODING_VERSION {
        Err(format!("it was saved by a later MQ (format {version}, this one reads {ENCODING_VERSION})"))
    } else {
        read(loader).map_err(str::to_owned)
    };
    match read {
        Ok(queue) => Some(Box::new(Entry::new(queue))),
        Err(why) => {
            let key = loader.key();
            let place = key.as_ref().map(|(db, name)| (*db, name.bytes()));
            if let Some(line) = refused_loads::line(moment::now(), place, &why) {
                loader.warn(&line);
            }
            None
        }
    }
}

fn read(loader: &mut Loader) -> Result<Option<Queue>, &'static str> {
    let ended = |_: ReadFailed| "the file ends, or is damaged";
    match loader.number().map_err(ended)? {
        SOUND => {}
        BROKEN => return Ok(None),
        _ => return Err("it is neither sound nor broken"),
    }
    let mut decoder = Decoder::default();
    loop {
        let chunk = loader.bytes().map_err(ended)?;
        if chunk.is_empty() {
            return decoder.finish().map(Some).map_err(|corrupt| corrupt.0);
        }
        if *chunk == *TORN {
            loader.bytes().map_err(ended)?;
            return Ok(None);
        }
        decoder.feed(&chunk).map_err(|corrupt| corrupt.0)?;
    }
}

/// Writes a value as commands.
pub fn rewrite(appender: &mut Appender, entry: &Entry) {
    let Ok(queue) = entry.queue() else { return appender.apply(PART_BROKEN, b"") };
    match contained(|| queue.encode(&mut |chunk| appender.apply(PART_CHUNK, chunk))) {
        Some(()) => appender.apply(PART_END, b""),
        None => give_up_in_child(),
    }
}

/// Adds a value to a digest: equal for equal states, wherever they are.
pub fn digest(digest: &mut Digest, entry: &Entry) {
    match entry.queue() {
        Ok(queue) => queue.encode(&mut |chunk| digest.bytes(chunk)),
        Err(_) => digest.bytes(b"broken"),
    }
    digest.end();
}

/// What a value takes, in bytes.
pub fn memory(entry: &Entry) -> usize {
    // The queue counts itself, and lies in the entry.
    let queue = entry.queue().map_or(size_of::<Queue>() as u64, Queue::memory_bytes);
    allocated(size_of::<Entry>()) - size_of::<Queue>() + usize::try_from(queue).unwrap_or(usize::MAX / 2)
}

/// About how many allocations freeing a value gives back.
pub fn free_effort(entry: &Entry) -> usize {
    entry.queue().map_or(1, Queue::free_effort)
}

/// A second value with the same state.
pub fn copy(entry: &Entry) -> Box<Entry> {
    Box::new(entry.copy())
}

/// A value has left its place, by whatever command. Its leader led this value and no other, so standbys are looked after;
/// consumers go on waiting for the name.
pub fn unlinked(db: i32, name: &[u8], entry: &mut Entry) {
    entry.leave();
    if let Some(place) = waiting::place_with_candidates(db, name) {
        agenda::plan(&place, moment::now(), Reason::Waiters);
    }
}

/// Whether there is a mark to be saved.
pub fn has_mark() -> bool {
    terms::mark() > 0
}

/// Writes the mark.
pub fn save_mark(saver: &mut Saver) {
    saver.number(terms::mark());
}

/// Reads a mark.
///
/// # Errors
/// There is none, or it is of a later version.
pub fn load_mark(loader: &mut Loader, version: i32) -> Result<(), ReadFailed> {
    if version > ENCODING_VERSION {
        log_without_context("the file was saved by a later MQ");
        return Err(ReadFailed);
    }
    terms::saw_numbers(loader.number()?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use mq_tests::{Conn, Server, Value};

    /// What a broken queue is dumped as: a dump of a sound one, with the state number and nothing else in it.
    fn broken_dump(c: &mut Conn) -> Vec<u8> {
        const KIND_AND_TYPE: usize = 1 + 9;
        const VERSION_AND_CHECKSUM: usize = 2 + 8;
        const NUMBER: u8 = 2;
        const END: u8 = 0;
        c.int("MQ.PUSH sound MSG a");
        let Value::BulkString(dump) = c.ok("DUMP sound") else { panic!("a dump is a string") };
        let middle = [NUMBER, super::BROKEN as u8, END];
        [&dump[..KIND_AND_TYPE], &middle, &dump[dump.len() - VERSION_AND_CHECKSUM..]].concat()
    }

    #[test]
    fn a_broken_queue_is_refused_everywhere_and_saved_copied_and_loaded_as_broken() {
        let mut server = Server::builder().config("appendonly yes").config("aof-use-rdb-preamble no").start();
        let mut c = server.connect();
        c.ok("DEBUG SET-SKIP-CHECKSUM-VALIDATION 1");
        let dump = broken_dump(&mut c);
        c.ok([b"RESTORE", &b"q"[..], b"0", &dump]);
        let digest = c.digest("q");
        c.ok("COPY q copied");
        c.ok("DEBUG RELOAD");
        c.ok("BGREWRITEAOF");
        mq_tests::until("the log is rewritten", || c.server_count("persistence", "aof_rewrite_in_progress") == 0);
        server.restart();
        let mut c = server.connect();
        for queue in ["q", "copied"] {
            assert_eq!(c.digest(queue), digest);
            for command in [
                "MQ.PUSH $ MSG a",
                "MQ.CLAIM $ w",
                "MQ.CLAIM $ w BLOCK 0",
                "MQ.ACK $ 1",
                "MQ.FAIL $ 1",
                "MQ.EXTEND $ 5 1",
                "MQ.RELEASE $ 1",
                "MQ.LEADER $",
                "MQ.LEADER $ me BLOCK 0",
                "MQ.DRAINERRORS $",
                "MQ.REDRIVE $",
                "MQ.REMOVE $ 1",
                "MQ.PURGE $ READY",
                "MQ.PEEK $ READY",
                "MQ.INFO $",
                "MQ.CONFIG $",
                "MQ.CONFIG $ lease 5",
                "MQ.SEQ $ p",
            ] {
                assert!(c.refusal(command.replace('$', queue)).starts_with("BROKEN "), "{command}");
            }
        }
        c.int("DEL q");
        c.int("MQ.PUSH q MSG a");
    }

    #[test]
    fn an_effect_is_taken_from_nobody_but_the_primary_and_the_log() {
        let server = Server::start();
        let mut c = server.connect();
        c.int("MQ.PUSH q MSG a");
        let before = c.digest("q");
        for command in ["MQ.APPLY q effect", "MQ.APPLY q END x", "MQ.APPLY missing BROKEN x"] {
            assert!(c.refusal(command).starts_with("ERR"), "{command}");
        }
        assert!(c.eval("return redis.call('MQ.APPLY', KEYS[1], 'BROKEN', '')", "missing", &[]).is_err());
        assert_eq!(c.digest("q"), before);
        assert_eq!(c.int("EXISTS missing"), 0);
    }
}
