//! A whole queue as bytes: for the RDB file, the rewritten log, copies and the digest.
//!
//! A saved queue is a sequence of chunks. Equal states give equal chunks, so a digest over them covers all state. The
//! first byte of a chunk says what it holds; chunks of one kind stand together, in the order of the constants below.
//! To change the format: give the changed chunk a new first byte, keep reading the old one.

use crate::claims::Kind;
use crate::codec::Writer;
use crate::faults::{self, Fault};
use crate::lane::{Place, Returned};
use crate::queue::Queue;
use crate::segment::Segment;

/// Version of the saved format; a loader refuses those of another one.
pub(crate) const SAVE_VERSION: u8 = 2;

pub(crate) const HEAD: u8 = 1;
pub(crate) const SEGMENT: u8 = 2;
pub(crate) const LABELS: u8 = 3;
pub(crate) const RETURNED: u8 = 4;
/// As those returned: ready messages that wait for another of their group.
pub(crate) const HELD: u8 = 5;
pub(crate) const DELAYED: u8 = 6;
pub(crate) const ERRORED: u8 = 7;
pub(crate) const OWNERS: u8 = 8;
pub(crate) const CLAIMS: u8 = 9;
pub(crate) const PRODUCER: u8 = 10;
pub(crate) const END: u8 = 11;

/// A chunk of table entries is closed when it has become this large (bytes).
pub(crate) const CHUNK_BYTES: usize = 16 * 1024;

impl Queue {
    /// Gives the chunks one after the other. Each is about 16 KiB at most, or as large as one payload needs.
    pub fn encode(&self, emit: &mut dyn FnMut(&[u8])) {
        let mut entries = 0;
        self.encode_head(emit);
        for segment in self.messages.all_segments().filter(|segment| segment.len() > 0) {
            encode_segment(segment, emit);
            entries += 1;
        }
        let place = |out: &mut Writer, place: Place| {
            let lane = self.messages.lane_of(place);
            out.byte(lane.priority.0);
            out.byte(lane.parked.into());
            out.number(self.messages.id(place).0);
        };
        entries += table(LABELS, self.labels.iter(), emit, |out, (_, labelled)| {
            place(out, labelled.place);
            for text in [labelled.unique, labelled.group] {
                out.text(text.map(|text| self.texts.get(text)).unwrap_or_default());
            }
            out.optional(labelled.expires_at.map(|at| at.0));
        });
        let lanes = self.messages.lanes.values();
        let ready = |out: &mut Writer, returned: &Returned| {
            place(out, returned.place);
            out.number(returned.deliveries.into());
        };
        entries += table(RETURNED, lanes.flat_map(|lane| lane.returned.values()), emit, ready);
        entries += table(HELD, self.labels.groups.held.values(), emit, ready);
        entries += table(DELAYED, self.delays.after(None), emit, |out, (_, delayed)| {
            place(out, delayed.place);
            out.number(delayed.due_at.0);
            out.number(delayed.deliveries.into());
        });
        entries += table(ERRORED, self.errors.after(None), emit, |out, (_, errored)| {
            place(out, errored.place);
            out.number(errored.deliveries.into());
            out.number(errored.entered_at.0);
            out.number(errored.failed_at.since(errored.entered_at).0);
            out.text(self.texts.get(errored.consumer));
            out.text(self.texts.get(errored.reason));
        });
        entries += self.encode_claims(emit, place);
        entries += self.encode_producers(emit);
        let mut end = Writer::default();
        end.byte(END);
        end.number(entries);
        emit(end.as_bytes());
    }

    fn encode_head(&self, emit: &mut dyn FnMut(&[u8])) {
        let mut out = Writer::default();
        out.byte(HEAD);
        out.byte(SAVE_VERSION);
        out.number(self.now.0);
        for number in [self.stamps.next_id, self.stamps.next_receipt, self.stamps.next_token] {
            out.number(number);
        }
        self.settings.encode(&mut out);
        out.numbers(self.totals.all().into_iter());
        out.number(self.leadership.changes);
        out.number(self.leadership.fence_seen.0);
        out.byte(self.leadership.current.is_some().into());
        if let Some(leader) = &self.leadership.current {
            out.text(&leader.candidate);
            out.number(leader.token.0);
            out.number(leader.deadline.0);
            out.optional(leader.session.map(|session| session.0));
        }
        out.number(self.void_below.0);
        out.number(self.producers.advances);
        out.number(if faults::on(Fault::SaveForgetsRate) { 0 } else { self.pace.used_until_ns });
        emit(out.as_bytes());
    }

    fn encode_producers(&self, emit: &mut dyn FnMut(&[u8])) -> u64 {
        table(PRODUCER, self.producers.iter(), emit, |out, (name, producer)| {
            out.text(name);
            out.number(producer.next);
            out.number(producer.last_first);
            out.number(producer.last_id.0);
            out.byte(producer.fenced.into());
            out.number(producer.advanced);
        })
    }

    fn encode_claims(&self, emit: &mut dyn FnMut(&[u8]), place: impl Fn(&mut Writer, Place)) -> u64 {
        let owners = self.owners.sorted(&self.texts);
        let named = table(OWNERS, owners.iter(), emit, |out, (_, owner)| {
            out.optional(owner.session.map(|session| session.0));
            out.text(self.texts.get(owner.consumer));
        });
        let mut ordinals: Vec<(u32, u64)> =
            owners.iter().zip(0..).map(|((index, _), ordinal)| (*index, ordinal)).collect();
        ordinals.sort_unstable();
        named
            + table(CLAIMS, self.claims.iter(), emit, |out, (receipt, claim)| {
                out.number(receipt.0);
                place(out, claim.place);
                out.byte(match claim.kind {
                    Kind::Message => 0,
                    Kind::Error => 1,
                });
                out.number(claim.deadline.0);
                out.number(claim.deliveries.into());
                let at = ordinals.binary_search_by_key(&claim.owner, |(index, _)| *index);
                out.number(ordinals[at.expect("every claim's owner is in the table of owners")].1);
            })
    }
}

/// Entries of one kind, in chunks; how many there were.
fn table<T>(
    kind: u8,
    entries: impl Iterator<Item = T>,
    emit: &mut dyn FnMut(&[u8]),
    mut write: impl FnMut(&mut Writer, T),
) -> u64 {
    let mut out = Writer::default();
    let mut count = 0;
    for entry in entries {
        count += 1;
        if out.len() == 0 {
            out.byte(kind);
        }
        write(&mut out, entry);
        if out.len() >= CHUNK_BYTES {
            emit(out.as_bytes());
            out = Writer::default();
        }
    }
    if out.len() > 0 {
        emit(out.as_bytes());
    }
    count
}

/// The slots with their ids; of the messages that are gone nothing else.
fn encode_segment(segment: &Segment, emit: &mut dyn FnMut(&[u8])) {
    let mut out = Writer::default();
    out.byte(SEGMENT);
    out.byte(segment.lane.priority.0);
    out.byte(segment.lane.parked.into());
    out.number(segment.created_at.0);
    out.number(segment.appended as u64);
    out.number(segment.fresh as u64);
    out.number(segment.first);
    out.number(segment.len() as u64);
    let mut expected = segment.first;
    for slot in 0..segment.len() {
        // The step from the id before, and the length + 1 of the payload; 0 for one that is gone.
        let id = segment.id(slot).0;
        out.number(id - expected);
        expected = id + 1;
        out.optional((!segment.is_gone(slot)).then(|| segment.payload(slot).len() as u64));
    }
    for slot in (0..segment.len()).filter(|slot| !segment.is_gone(*slot)) {
        out.raw(segment.payload(slot));
    }
    emit(out.as_bytes());
}
