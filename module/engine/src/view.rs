//! Looking at a queue without changing it.

use crate::claims::{Claim, Kind};
use crate::delays::Delayed;
use crate::errors::Errored;
use crate::lane::{Lane, Place, Returned};
use crate::operations::DRAINER;
use crate::queue::Queue;
use crate::segment::NO_CLAIM;
use crate::texts::TextId;
use crate::{Id, Priority, Receipt, Span, Time, Token, Totals};

/// Claims of one owner that are looked at for its nearest deadline: bounds the work of a look at many consumers.
const CLAIMS_LOOKED_AT: usize = 100;

/// The levels and totals of a queue at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// Messages that may be claimed, settings and groups aside.
    pub ready: u64,
    /// Those of them that wait for another message of their group.
    pub held: u64,
    /// Messages that become ready later.
    pub delayed: u64,
    /// Messages being processed.
    pub claimed: u64,
    /// Messages in the error store, those being drained included.
    pub errors: u64,
    /// Due work that no step has done yet: claims ended, delays due, messages and errors that have outlived their time.
    pub overdue: u64,
    /// Age of the oldest ready message, to within a second.
    pub oldest_ready_age: Option<Span>,
    /// Until the next due work; zero when overdue.
    pub next_due_in: Option<Span>,
    /// Who leads.
    pub leader: Option<LeaderView>,
    /// Leaderships begun.
    pub leader_changes: u64,
    /// Since creation.
    pub totals: Totals,
    /// What the queue takes in memory.
    pub memory_bytes: u64,
}

/// The current leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderView {
    /// Its name.
    pub candidate: Vec<u8>,
    /// The fencing token of its leadership.
    pub token: Token,
    /// What is left of its lease.
    pub left: Span,
}

/// A consumer that holds claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerView {
    /// Its name.
    pub name: Vec<u8>,
    /// The number of its claims, over all its connections.
    pub claims: u64,
    /// When the first of the hundred oldest claims on each of its connections ends.
    pub nearest_deadline: Time,
}

/// Which messages to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeekState {
    /// READY
    Ready,
    /// DELAYED
    Delayed,
    /// CLAIMED
    Claimed,
    /// ERRORED
    Errors,
}

/// One message, with what is known of it in its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peeked<'a> {
    /// Names it.
    pub id: Id,
    /// As pushed.
    pub payload: &'a [u8],
    /// How often it has been claimed.
    pub deliveries: u32,
    /// As pushed.
    pub priority: Priority,
    /// Delayed: when it becomes ready.
    pub due_at: Option<Time>,
    /// Claimed, or being drained: the receipt.
    pub receipt: Option<Receipt>,
    /// Claimed: by whom. Errored: who failed it.
    pub consumer: Option<&'a [u8]>,
    /// Claimed, or being drained: until when.
    pub lease_ends_at: Option<Time>,
    /// Errored: why.
    pub reason: Option<&'a [u8]>,
    /// Errored: since when.
    pub failed_at: Option<Time>,
    /// As pushed.
    pub unique: Option<&'a [u8]>,
    /// As pushed.
    pub group: Option<&'a [u8]>,
    /// From when on it is not claimed any more.
    pub expires_at: Option<Time>,
}

impl Queue {
    /// Who leads at `now`. The caller knows whether a term is pending, which ends every leadership.
    pub fn leader(&self, now: Time) -> Option<LeaderView> {
        let now = now.max(self.now);
        let leader = self.leadership.at(now)?;
        let (candidate, token) = (leader.candidate.clone(), leader.token);
        Some(LeaderView { candidate, token, left: leader.deadline.since(now) })
    }

    /// When the lease of the current leadership ends, or has ended.
    pub fn leader_ends_at(&self) -> Option<Time> {
        self.leadership.current.as_ref().map(|leader| leader.deadline)
    }

    /// The next number expected from a producer; 0 if it is unknown.
    pub fn next_sequence(&self, producer: &[u8]) -> u64 {
        self.producers.get(producer).map_or(0, |producer| producer.next)
    }

    /// The queue at a glance. The work is bounded by the lanes and by what is overdue.
    pub fn info(&self, now: Time) -> Info {
        let now = now.max(self.now);
        let [ready, delayed, claimed, errors] = self.levels();
        Info {
            ready,
            held: self.labels.groups.held.len() as u64,
            delayed,
            claimed,
            errors,
            overdue: self.overdue(now),
            oldest_ready_age: self.oldest_ready().map(|opened| now.since(opened)),
            next_due_in: self.next_due_exactly().map(|due| due.since(now)),
            leader: self.leader(now),
            leader_changes: self.leadership.changes,
            totals: self.totals,
            memory_bytes: self.memory_bytes(),
        }
    }

    /// How many messages are ready, those held back by their group included; delayed; claimed; errored.
    pub fn levels(&self) -> [u64; 4] {
        let ready = self.messages.ready() + self.labels.groups.held.len() as u64;
        [ready, self.delays.len(), self.claims.counts().0, self.errors.len()]
    }

    /// When the segment of the oldest ready message was opened. Of those that their groups hold back, the first is the oldest.
    fn oldest_ready(&self) -> Option<Time> {
        let held =
            self.labels.groups.held.first().map(|(_, held)| self.messages.segment(held.place.segment).created_at);
        self.messages.oldest_ready().into_iter().chain(held).min()
    }

    /// The first `count` consumers, by name, that hold claims of messages.
    pub fn consumers(&self, count: usize) -> Vec<ConsumerView> {
        let mut consumers: Vec<(TextId, ConsumerView)> = Vec::new();
        let drainer = self.texts.find(DRAINER);
        for owner in self.owners.by_consumer().filter(|owner| Some(owner.consumer) != drainer) {
            let oldest = self.claims.chain(&owner.chain).take(CLAIMS_LOOKED_AT);
            let Some(nearest) = oldest.map(|(_, claim)| claim.deadline).min() else { continue };
            if let Some((_, view)) = consumers.last_mut().filter(|(consumer, _)| *consumer == owner.consumer) {
                view.claims += owner.chain.length;
                view.nearest_deadline = nearest.min(view.nearest_deadline);
                continue;
            }
            if consumers.len() == count {
                break;
            }
            let name = self.texts.get(owner.consumer).to_vec();
            let view = ConsumerView { name, claims: owner.chain.length, nearest_deadline: nearest };
            consumers.push((owner.consumer, view));
        }
        consumers.into_iter().map(|(_, view)| view).collect()
    }

    /// Messages of one state with ids above `after`, by id, at most `count`.
    pub fn peek(&self, state: PeekState, after: Option<Id>, count: usize) -> Vec<Peeked<'_>> {
        match state {
            PeekState::Ready => {
                let held = self.labels.groups.held.after(after.as_ref());
                let held = held.take(count).map(|(_, returned)| self.peeked(returned.place, returned.deliveries));
                let lanes = self.messages.lanes.values();
                smallest(lanes.flat_map(|lane| self.ready_of(lane, after, count)).chain(held), count)
            }
            PeekState::Claimed => {
                let lanes = self.messages.lanes.values();
                smallest(lanes.flat_map(|lane| self.claimed_of(lane, after, count)), count)
            }
            PeekState::Delayed => {
                self.delays.after(after).take(count).map(|(_, delayed)| self.delayed(delayed)).collect()
            }
            PeekState::Errors => {
                self.errors.after(after).take(count).map(|(_, errored)| self.errored(errored)).collect()
            }
        }
    }

    /// A message by its id, with its state; `None` when it is done, or never was.
    pub fn peek_id(&self, id: Id) -> Option<(PeekState, Peeked<'_>)> {
        let place = self.messages.find_anywhere(id)?;
        if let Some(errored) = self.errors.get(id) {
            return Some((PeekState::Errors, self.errored(errored)));
        }
        if let Some(delayed) = self.delays.get(id) {
            return Some((PeekState::Delayed, self.delayed(delayed)));
        }
        let segment = self.messages.segment(place.segment);
        match segment.claim_of(place.slot.into()) {
            NO_CLAIM => {
                let held = self.labels.groups.held.get(&id).map(|returned: &Returned| returned.deliveries);
                let deliveries = held.or_else(|| self.messages.ready_deliveries(place))?;
                Some((PeekState::Ready, self.peeked(place, deliveries)))
            }
            address => Some((PeekState::Claimed, self.claimed(self.claims.at(address)))),
        }
    }

    fn ready_of<'a>(&'a self, lane: &'a Lane, after: Option<Id>, count: usize) -> Vec<Peeked<'a>> {
        let after = after.unwrap_or(Id(0));
        let fresh = self.messages.fresh_segments(lane, after).flat_map(|(index, segment)| {
            self.messages.fresh_in(segment, after).map(move |slot| Place { segment: index, slot: slot as u16 })
        });
        let returned = lane.returned.after(Some(&after)).take(count);
        let returned = returned.map(|(_, returned)| self.peeked(returned.place, returned.deliveries));
        fresh.take(count).map(|place| self.peeked(place, 0)).chain(returned).collect()
    }

    fn claimed_of<'a>(&'a self, lane: &'a Lane, after: Option<Id>, count: usize) -> Vec<Peeked<'a>> {
        let after = after.unwrap_or(Id(0));
        let of_kind = |parked: bool| {
            let segments = self.messages.segments_from(lane, parked, after).filter(|(_, segment)| segment.claimed > 0);
            let addresses = segments.flat_map(move |(_, segment)| {
                let slots = segment.lower_bound(Id(after.0 + 1))..segment.len();
                slots.map(|slot| segment.claim_of(slot)).filter(|address| *address != NO_CLAIM)
            });
            let claims = addresses.map(|address| self.claims.at(address));
            claims.filter(|(_, claim)| claim.kind == Kind::Message).take(count).map(|claim| self.claimed(claim))
        };
        of_kind(false).chain(of_kind(true)).collect()
    }

    fn claimed(&self, (receipt, claim): (Receipt, &Claim)) -> Peeked<'_> {
        Peeked {
            receipt: Some(receipt),
            consumer: Some(self.texts.get(self.owners.get(claim.owner).consumer)),
            lease_ends_at: Some(claim.deadline),
            ..self.peeked(claim.place, claim.deliveries)
        }
    }

    fn delayed(&self, delayed: &Delayed) -> Peeked<'_> {
        Peeked { due_at: Some(delayed.due_at), ..self.peeked(delayed.place, delayed.deliveries) }
    }

    fn errored<'a>(&'a self, errored: &Errored) -> Peeked<'a> {
        let drain = self.drain_of(errored.place);
        Peeked {
            receipt: drain.map(|(receipt, _)| receipt),
            lease_ends_at: drain.map(|(_, claim)| claim.deadline),
            consumer: Some(self.texts.get(errored.consumer)),
            reason: Some(self.texts.get(errored.reason)),
            failed_at: Some(errored.failed_at),
            ..self.peeked(errored.place, errored.deliveries)
        }
    }

    fn peeked(&self, place: Place, deliveries: u32) -> Peeked<'_> {
        let label = self.label(place).map(|(_, labelled)| labelled);
        let text = |text: Option<TextId>| text.map(|text| self.texts.get(text));
        Peeked {
            id: self.messages.id(place),
            payload: self.messages.payload(place),
            deliveries,
            priority: self.messages.lane_of(place).priority,
            due_at: None,
            receipt: None,
            consumer: None,
            lease_ends_at: None,
            reason: None,
            failed_at: None,
            unique: text(label.and_then(|label| label.unique)),
            group: text(label.and_then(|label| label.group)),
            expires_at: label.and_then(|label| label.expires_at),
        }
    }

    /// What the queue takes in memory, itself included.
    pub fn memory_bytes(&self) -> u64 {
        let parts = self.messages.heap_bytes()
            + self.claims.heap_bytes()
            + self.delays.heap_bytes()
            + self.errors.heap_bytes()
            + self.labels.heap_bytes()
            + self.texts.heap_bytes()
            + self.producers.heap_bytes()
            + self.owners.heap_bytes();
        (size_of::<Queue>() + parts) as u64
    }

    /// About how many allocations a queue consists of: what freeing it costs.
    pub fn free_effort(&self) -> usize {
        let tables = self.delays.len() + self.errors.len() + self.producers.len() as u64 + self.labels.len();
        self.messages.segment_count() * 4
            + self.claims.block_count()
            + usize::try_from(tables / 32).unwrap_or(usize::MAX)
    }
}

/// The smallest ids of them.
fn smallest<'a>(messages: impl Iterator<Item = Peeked<'a>>, count: usize) -> Vec<Peeked<'a>> {
    let mut all: Vec<Peeked<'a>> = messages.collect();
    all.sort_by_key(|peeked| peeked.id);
    all.truncate(count);
    all
}
