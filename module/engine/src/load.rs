//! A queue made of saved bytes, which may be anybody's: RESTORE takes what a client sends.

use crate::claims::{Claim, Kind};
use crate::codec::{Corrupt, Reader};
use crate::delays::Delayed;
use crate::errors::Errored;
use crate::faults::{self, Fault};
use crate::labels::Labelled;
use crate::lane::{LaneKey, Place};
use crate::leader::Leader;
use crate::numbers::NUMBER_LIMIT;
use crate::operations::DRAINER;
use crate::producers::{PRODUCERS, Producer};
use crate::queue::Queue;
use crate::save::{
    CLAIMS, DELAYED, END, ERRORED, HEAD, HELD, LABELS, OWNERS, PRODUCER, RETURNED, SAVE_VERSION, SEGMENT,
};
use crate::segment::{SEGMENT_BYTES, SEGMENT_SLOTS, Segment};
use crate::{Id, Priority, Receipt, SessionId, Settings, Span, Time, Token, Totals};
use std::collections::BTreeSet;

/// Texts of clients are bounded by the commands: names by 255 bytes, reasons by 1 KiB.
const TEXT_LIMIT: usize = 1024;

/// In place of the kind of the last chunk: it was refused.
const FAILED: u8 = u8::MAX;

/// Collects the chunks of [`Queue::encode`] and makes a queue of them; never panics and never takes more memory than a
/// small multiple of the bytes, whatever they are.
#[derive(Debug, Default)]
pub struct Decoder {
    queue: Option<Queue>,
    /// The kind of the last chunk: they only rise.
    kind: u8,
    /// Segments and entries of tables so far; the end says how many there must be.
    entries: u64,
    owners: Vec<(Option<SessionId>, Vec<u8>)>,
    /// Messages found in a state of their own.
    referenced: BTreeSet<(u32, u16)>,
    last_receipt: Option<Receipt>,
}

impl Decoder {
    /// Takes the next chunk. After an error it takes none, and nothing comes of it.
    ///
    /// # Errors
    /// It is malformed, out of order, or contradicts those before.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<(), Corrupt> {
        let fed = self.feed_sound(chunk);
        if fed.is_err() {
            *self = Decoder { kind: FAILED, ..Decoder::default() };
        }
        fed
    }

    fn feed_sound(&mut self, chunk: &[u8]) -> Result<(), Corrupt> {
        let mut reader = Reader::new(chunk);
        let kind = reader.byte()?;
        if kind < self.kind || self.kind == END || (kind == HEAD) != self.queue.is_none() {
            return Err(Corrupt("chunk out of order"));
        }
        self.kind = kind;
        if kind == HEAD {
            self.queue = Some(decode_head(&mut reader)?);
            return reader.end();
        }
        if kind == END {
            let complete = reader.number()? == self.entries;
            return if complete { reader.end() } else { Err(Corrupt("entries are missing")) };
        }
        if kind == SEGMENT {
            self.entries += 1;
            return self.decode_segment(&mut reader);
        }
        while !reader.is_empty() {
            self.entries += 1;
            match kind {
                LABELS => self.decode_label(&mut reader)?,
                RETURNED | HELD => self.decode_ready(&mut reader)?,
                DELAYED => self.decode_delayed(&mut reader)?,
                ERRORED => self.decode_errored(&mut reader)?,
                OWNERS => self.decode_owner(&mut reader)?,
                CLAIMS => self.decode_claim(&mut reader)?,
                PRODUCER => self.decode_producer(&mut reader)?,
                _ => return Err(Corrupt("unknown kind of chunk")),
            }
        }
        Ok(())
    }

    /// The queue, if all of it was there and agrees with itself.
    ///
    /// # Errors
    /// Chunks are missing, or a message is in no state or in two.
    pub fn finish(self) -> Result<Queue, Corrupt> {
        let queue = self.queue.ok_or(Corrupt("no head"))?;
        if self.kind != END {
            return Err(Corrupt("no end"));
        }
        if self.referenced.len() as u64 != queue.messages.not_fresh() {
            return Err(Corrupt("message in no state"));
        }
        if queue.errors.draining() != queue.claims.counts().1 {
            return Err(Corrupt("drain claims do not match the errors"));
        }
        queue.check_books()?;
        queue.check_numbers()?;
        queue.check_counts()?;
        Ok(queue)
    }

    fn queue(&mut self) -> Result<&mut Queue, Corrupt> {
        self.queue.as_mut().ok_or(Corrupt("no head"))
    }

    fn decode_segment(&mut self, reader: &mut Reader<'_>) -> Result<(), Corrupt> {
        let lane = read_lane(reader)?;
        let created_at = Time(reader.number()?);
        let appended = usize::try_from(reader.number()?).map_err(|_| Corrupt("segment too large"))?;
        let fresh = reader.number()?;
        let first = reader.number_to(NUMBER_LIMIT)?;
        let slots = reader.number_to(SEGMENT_SLOTS as u64)? as usize;
        let mut lengths = Vec::with_capacity(slots);
        let mut expected = first;
        for _ in 0..slots {
            let id = expected.saturating_add(reader.number()?);
            if id >= NUMBER_LIMIT || id - first > u64::from(u32::MAX) {
                return Err(Corrupt("id above its limit"));
            }
            lengths.push((Id(id), reader.optional()?));
            expected = id + 1;
        }
        let live: u64 = lengths.iter().filter_map(|(_, length)| *length).fold(0, u64::saturating_add);
        if slots == 0 || lengths[0].0.0 != first || fresh > slots as u64 || live > appended as u64 {
            return Err(Corrupt("segment disagrees with itself"));
        }
        if appended > SEGMENT_BYTES && slots > 1 {
            return Err(Corrupt("segment too large"));
        }
        let mut segment = Segment::new(lane, created_at, Id(first));
        for (id, length) in lengths {
            match length {
                None => segment.append_gone(id),
                Some(length) => {
                    let length = usize::try_from(length).map_err(|_| Corrupt("cut short"))?;
                    segment.append(id, reader.raw(length)?);
                }
            }
        }
        reader.end()?;
        if lane.parked && fresh != slots as u64 {
            return Err(Corrupt("fresh message in a parked lane"));
        }
        segment.appended = appended;
        segment.fresh = fresh as usize;
        let queue = self.queue()?;
        if queue.messages.last_id(lane).is_some_and(|last| last.0 >= first) {
            return Err(Corrupt("segments out of order"));
        }
        if fresh < slots as u64 && segment.is_gone(fresh as usize) {
            return Err(Corrupt("cursor on a message that is gone"));
        }
        queue.messages.add_loaded_segment(segment)
    }

    /// A reference to a message that is in one state only.
    fn decode_place(&mut self, reader: &mut Reader<'_>) -> Result<(Id, Place), Corrupt> {
        let lane = read_lane(reader)?;
        let id = Id(reader.number()?);
        let place = self.queue()?.messages.find(lane, id).ok_or(Corrupt("state of a message that is not there"))?;
        if !self.referenced.insert((place.segment, place.slot)) {
            return Err(Corrupt("message in two states"));
        }
        Ok((id, place))
    }

    fn decode_label(&mut self, reader: &mut Reader<'_>) -> Result<(), Corrupt> {
        let (lane, id) = (read_lane(reader)?, Id(reader.number()?));
        let (unique, group) = (read_text(reader)?, read_text(reader)?);
        let expires_at = reader.optional()?.map(Time);
        let queue = self.queue()?;
        let place = queue.messages.find(lane, id).ok_or(Corrupt("label of a message that is not there"))?;
        if !lane.parked || (unique.is_empty() && group.is_empty() && expires_at.is_none()) {
            return Err(Corrupt("label where none can be"));
        }
        let mut hold = |text: &[u8]| (!text.is_empty()).then(|| queue.texts.hold(text));
        let labelled = Labelled { place, unique: hold(unique), group: hold(group), expires_at };
        if queue.labels.attach(id, labelled) { Ok(()) } else { Err(Corrupt("two labels of one message or key")) }
    }

    fn decode_ready(&mut self, reader: &mut Reader<'_>) -> Result<(), Corrupt> {
        let (id, place) = self.decode_place(reader)?;
        let deliveries = read_u32(reader)?;
        let queue = self.queue()?;
        let lane = queue.messages.lane_of(place);
        let known = queue.messages.lanes.get(lane.priority).is_some_and(|lane| lane.returned.contains_key(&id));
        if known || queue.labels.groups.held.contains_key(&id) {
            return Err(Corrupt("id used twice"));
        }
        queue.make_ready(place, deliveries);
        Ok(())
    }

    /// A message that keeps the others of its group back.
    fn hold_group(&mut self, id: Id, place: Place) -> Result<(), Corrupt> {
        let queue = self.queue()?;
        let Some(group) = queue.label(place).and_then(|(_, labelled)| labelled.group) else { return Ok(()) };
        if queue.labels.groups.is_held(group) {
            return Err(Corrupt("two messages of a group at once"));
        }
        queue.change_group(group, |groups| groups.hold(group, id));
        Ok(())
    }

    fn decode_delayed(&mut self, reader: &mut Reader<'_>) -> Result<(), Corrupt> {
        let (id, place) = self.decode_place(reader)?;
        let (due_at, deliveries) = (Time(reader.number()?), read_u32(reader)?);
        let queue = self.queue()?;
        if !queue.delays.insert(id, Delayed { due_at, place, deliveries }) {
            return Err(Corrupt("id used twice"));
        }
        if queue.label(place).is_some() {
            queue.labels.start_expiry(id);
        }
        // Only a retry has been delivered before, and it is the group's turn still.
        if deliveries > 0 { self.hold_group(id, place) } else { Ok(()) }
    }

    fn decode_errored(&mut self, reader: &mut Reader<'_>) -> Result<(), Corrupt> {
        let (id, place) = self.decode_place(reader)?;
        let (deliveries, entered_at) = (read_u32(reader)?, Time(reader.number()?));
        let failed_at = entered_at.after(Span(reader.number()?));
        let (consumer, reason) = (read_text(reader)?, read_text(reader)?);
        let queue = self.queue()?;
        let (consumer, reason) = (queue.texts.hold(consumer), queue.texts.hold(reason));
        let inserted = queue.errors.insert(id, Errored { place, deliveries, entered_at, failed_at, consumer, reason });
        if inserted { Ok(()) } else { Err(Corrupt("id used twice")) }
    }

    fn decode_owner(&mut self, reader: &mut Reader<'_>) -> Result<(), Corrupt> {
        let owner = (reader.optional()?.map(SessionId), read_text(reader)?.to_vec());
        if self.owners.last().is_some_and(|last| *last >= owner) {
            return Err(Corrupt("owners out of order"));
        }
        self.owners.push(owner);
        Ok(())
    }

    fn decode_claim(&mut self, reader: &mut Reader<'_>) -> Result<(), Corrupt> {
        let receipt = Receipt(reader.number_to(NUMBER_LIMIT)?);
        if self.last_receipt.is_some_and(|last| last >= receipt) {
            return Err(Corrupt("claims out of order"));
        }
        self.last_receipt = Some(receipt);
        let mut ahead = *reader;
        let (lane, id) = (read_lane(&mut ahead)?, Id(ahead.number()?));
        let kind = if ahead.byte()? == 0 { Kind::Message } else { Kind::Error };
        let place = match kind {
            Kind::Message => {
                let (id, place) = self.decode_place(reader)?;
                self.hold_group(id, place)?;
                place
            }
            Kind::Error => {
                read_lane(reader)?;
                reader.number()?;
                self.decode_drained(lane, id)?
            }
        };
        if reader.byte()? > 1 {
            return Err(Corrupt("unknown kind of claim"));
        }
        let (deadline, deliveries) = (Time(reader.number()?), read_u32(reader)?);
        if kind == Kind::Message && deliveries == 0 {
            return Err(Corrupt("claim without a delivery"));
        }
        let ordinal = usize::try_from(reader.number()?).unwrap_or(usize::MAX);
        let (session, consumer) = self.owners.get(ordinal).cloned().ok_or(Corrupt("claim without an owner"))?;
        if (kind == Kind::Error) != (consumer == DRAINER) {
            return Err(Corrupt("claim of an owner of the other kind"));
        }
        let queue = self.queue()?;
        let owner = queue.owners.find_or_add(&mut queue.texts, &consumer, session);
        let claim = Claim::new(kind, place, deliveries, owner, deadline);
        let address = queue.claims.insert(receipt, claim, queue.owners.chain_mut(owner));
        queue.owners.claim_made(owner, receipt < queue.void_below);
        queue.messages.set_claim(place, address);
        Ok(())
    }

    /// The errored message that a drain claim is for.
    fn decode_drained(&mut self, lane: LaneKey, id: Id) -> Result<Place, Corrupt> {
        let queue = self.queue()?;
        let place = queue.messages.find(lane, id).ok_or(Corrupt("state of a message that is not there"))?;
        if queue.errors.waiting(id).is_none_or(|errored| errored.place != place) {
            return Err(Corrupt("drain claim of a message that is not errored"));
        }
        queue.errors.start_draining(id);
        Ok(place)
    }

    fn decode_producer(&mut self, reader: &mut Reader<'_>) -> Result<(), Corrupt> {
        let name = read_text(reader)?;
        let producer = Producer {
            next: reader.number_to(NUMBER_LIMIT)?,
            last_first: reader.number_to(NUMBER_LIMIT)?,
            last_id: Id(reader.number()?),
            fenced: reader.byte()? != 0,
            advanced: reader.number()?,
        };
        let producers = &mut self.queue()?.producers;
        let last = producers.last_name().map(|last| last >= name);
        if last == Some(true) || producers.len() >= PRODUCERS || producer.advanced > producers.advances {
            return Err(Corrupt("producers out of order"));
        }
        if !producers.insert_loaded(name, producer) {
            return Err(Corrupt("two producers advanced at once"));
        }
        Ok(())
    }
}

fn decode_head(reader: &mut Reader<'_>) -> Result<Queue, Corrupt> {
    if reader.byte()? != SAVE_VERSION {
        return Err(Corrupt("saved by another version"));
    }
    let now = Time(reader.number()?);
    let mut numbers = [0; 3];
    for number in &mut numbers {
        *number = reader.number_to(NUMBER_LIMIT)?;
    }
    let settings = Settings::decode(reader)?;
    let mut queue = Queue { now, known: true, ..Queue::new(settings) };
    [queue.stamps.next_id, queue.stamps.next_receipt, queue.stamps.next_token] = numbers;
    if faults::on(Fault::LoadForgetsTokens) {
        queue.stamps.next_token = 1;
    }
    queue.totals = Totals::from_all(&reader.numbers()?)?;
    queue.leadership.changes = reader.number()?;
    queue.leadership.fence_seen = Token(reader.number()?);
    if reader.byte()? != 0 {
        queue.leadership.current = Some(Leader {
            candidate: read_text(reader)?.to_vec(),
            token: Token(reader.number_to(NUMBER_LIMIT)?),
            deadline: Time(reader.number()?),
            session: reader.optional()?.map(SessionId),
        });
    }
    let void_below = Receipt(reader.number_to(NUMBER_LIMIT)?);
    queue.void_below = if faults::on(Fault::LoadForgetsVoid) { Receipt(0) } else { void_below };
    queue.producers.advances = reader.number()?;
    queue.pace.used_until_ns = reader.number()?;
    Ok(queue)
}

fn read_lane(reader: &mut Reader<'_>) -> Result<LaneKey, Corrupt> {
    let priority = Priority(reader.byte()?);
    match reader.byte()? {
        0 => Ok(LaneKey { priority, parked: false }),
        1 => Ok(LaneKey { priority, parked: true }),
        _ => Err(Corrupt("unknown kind of lane")),
    }
}

fn read_u32(reader: &mut Reader<'_>) -> Result<u32, Corrupt> {
    reader.number_to(u32::MAX.into()).map(|number| number as u32)
}

fn read_text<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Corrupt> {
    reader.text().and_then(
        |text| {
            if text.len() <= TEXT_LIMIT { Ok(text) } else { Err(Corrupt("text above its limit")) }
        },
    )
}
