//! The queue: the states of a message and the arrows between them.

use crate::claims::{Chain, Claim, Claims, Kind};
use crate::codec::Corrupt;
use crate::delays::{Delayed, Delays};
use crate::errors::{Errored, Errors};
use crate::leader::Leadership;
use crate::messages::{LaneKey, Messages, Taken};
use crate::owners::Owners;
use crate::producers::Producers;
use crate::stamps::Stamps;
use crate::texts::Texts;
use crate::{Id, Moment, Priority, Receipt, SessionId, Settings, Time};

/// Ended claims and due delays that one step takes back at most: bounds the work that a command can find waiting.
pub const DUE_PER_STEP: usize = 1000;

/// Payload bytes that one reply carries at most, unless its first message alone is larger.
pub const REPLY_BYTES: usize = 64 * 1024 * 1024;

/// The reason of a message whose claim ended without a delivery left.
pub const MAX_DELIVERIES_REASON: &[u8] = b"max-deliveries";

/// Counted since the queue was created; part of its state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Messages accepted.
    pub pushed: u64,
    /// Claims of messages.
    pub delivered: u64,
    /// Those of them that were not the first of their message.
    pub redelivered: u64,
    /// Messages completed.
    pub acked: u64,
    /// Messages that FAIL sent to the error store.
    pub failed: u64,
    /// Messages that an ended claim sent there, having no delivery left.
    pub dead: u64,
    /// Messages that FAIL … RETRY put back.
    pub retried: u64,
    /// Claims that ended by lease, session or EXTEND 0.
    pub expired: u64,
    /// Claims given back.
    pub released: u64,
    /// Errored messages taken for good.
    pub drained: u64,
    /// Errored messages made ready again.
    pub redriven: u64,
}

impl Totals {
    /// In the order of the fields, which is that of the saved format; a new one goes to the end.
    pub(crate) fn all(&self) -> [u64; 11] {
        let Totals {
            pushed,
            delivered,
            redelivered,
            acked,
            failed,
            dead,
            retried,
            expired,
            released,
            drained,
            redriven,
        } = *self;
        [pushed, delivered, redelivered, acked, failed, dead, retried, expired, released, drained, redriven]
    }

    /// Totals that an earlier version did not count are 0.
    pub(crate) fn from_all(all: &[u64]) -> Result<Totals, Corrupt> {
        if all.len() > Totals::default().all().len() {
            return Err(Corrupt("totals of a later version"));
        }
        let at = |index: usize| all.get(index).copied().unwrap_or(0);
        Ok(Totals {
            pushed: at(0),
            delivered: at(1),
            redelivered: at(2),
            acked: at(3),
            failed: at(4),
            dead: at(5),
            retried: at(6),
            expired: at(7),
            released: at(8),
            drained: at(9),
            redriven: at(10),
        })
    }
}

/// One queue. See the crate's front page for what changes it.
#[derive(Clone, Debug)]
pub struct Queue {
    /// The moment of the last recorded step that depended on time.
    pub(crate) now: Time,
    pub(crate) settings: Settings,
    pub(crate) stamps: Stamps,
    pub(crate) totals: Totals,
    pub(crate) messages: Messages,
    pub(crate) delays: Delays,
    pub(crate) claims: Claims,
    pub(crate) owners: Owners,
    pub(crate) errors: Errors,
    pub(crate) texts: Texts,
    pub(crate) leadership: Leadership,
    pub(crate) producers: Producers,
    /// Whether the copies know this queue. Not part of the state: a queue that was loaded or recorded is known.
    pub(crate) known: bool,
}

impl Queue {
    /// An empty queue. Its first step must start a term; the record of that step creates it on the copies.
    pub fn new(settings: Settings) -> Queue {
        Queue {
            now: Time(0),
            settings,
            stamps: Stamps::default(),
            totals: Totals::default(),
            messages: Messages::default(),
            delays: Delays::default(),
            claims: Claims::default(),
            owners: Owners::default(),
            errors: Errors::default(),
            texts: Texts::default(),
            leadership: Leadership::default(),
            producers: Producers::default(),
            known: false,
        }
    }

    /// The settings in force.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether a claim would get a message, due work aside.
    pub fn claimable(&self) -> bool {
        self.messages.ready() > 0 && !self.settings.paused
    }

    /// No claim ends and no delay is due before this moment. Asking [`Queue::execute`] at or after it may find that the
    /// claim was extended; then the answer has moved.
    pub fn next_due(&self) -> Option<Time> {
        let delay = self.delays.first_due().map(|(due, _)| due);
        self.claims.next_bound().into_iter().chain(delay).min()
    }

    /// Above every id, receipt and token given so far.
    pub fn numbers_end(&self) -> u64 {
        self.stamps.end()
    }

    /// Whether there is due work at `now`.
    pub(crate) fn has_due(&mut self, now: Time) -> bool {
        self.delays.first_due().is_some_and(|(due, _)| due <= now) || self.claims.first_ended(now).is_some()
    }

    /// Brings the queue to a moment: its time, its term, and the due work, at most [`DUE_PER_STEP`] pieces of it.
    pub(crate) fn begin(&mut self, moment: &Moment) {
        self.now = self.now.max(moment.now);
        if let Some(term) = moment.term {
            self.stamps.start_term(term);
            self.leadership.current = None;
            self.end_claims_of(&self.owners.of_all_sessions());
        }
        self.take_back(DUE_PER_STEP);
    }

    /// Takes back ended claims and due delays, at most `limit` of them: by due time, then receipt or id.
    pub(crate) fn take_back(&mut self, limit: usize) {
        for _ in 0..limit {
            let claim = self.claims.first_ended(self.now);
            let delay = self.delays.first_due().filter(|(due, _)| *due <= self.now);
            match (claim, delay) {
                (Some((ended, receipt)), delay) if delay.is_none_or(|(due, _)| ended <= due) => self.end_claim(receipt),
                (_, Some(_)) => self.end_delay(),
                _ => break,
            }
        }
    }

    /// Lets all claims of these owners end now; they are taken back as due work.
    pub(crate) fn end_claims_of(&mut self, owners: &[u32]) -> u64 {
        let mut ended = 0;
        for owner in owners {
            for receipt in self.claims.receipts(&self.owners.get(*owner).chain) {
                if self.is_current(receipt) {
                    self.claims.set_deadline(receipt, self.now);
                    ended += 1;
                }
            }
        }
        ended
    }

    /// Whether this receipt names a claim that has not ended.
    pub(crate) fn is_current(&self, receipt: Receipt) -> bool {
        self.claims.get(receipt).is_some_and(|claim| claim.deadline > self.now)
    }

    /// READY → CLAIMED, or ERRORED → being drained.
    pub(crate) fn start_claim(&mut self, kind: Kind, taken: Taken, owner: u32, deadline: Time) -> Receipt {
        let receipt = self.stamps.receipt();
        let claim = Claim::new(kind, taken.place, taken.deliveries, owner, deadline);
        let address = self.claims.insert(receipt, claim, self.owners.chain_mut(owner));
        self.messages.set_claim(taken.place, address);
        receipt
    }

    /// Takes a claim away from its owner; the caller decides what becomes of the message. The owner's name is still known
    /// while `then` runs.
    pub(crate) fn finish_claim(&mut self, receipt: Receipt, then: impl FnOnce(&mut Queue, Claim)) {
        let Some(owner) = self.claims.get(receipt).map(|claim| claim.owner) else {
            return;
        };
        let mut chain: Chain = *self.owners.chain_mut(owner);
        let claim = self.claims.remove(receipt, &mut chain);
        *self.owners.chain_mut(owner) = chain;
        if let Some(claim) = claim {
            self.messages.clear_claim(claim.place);
            then(self, claim);
        }
        self.owners.drop_if_idle(&mut self.texts, owner);
    }

    /// An ended claim: CLAIMED → READY, or → ERRORED without a delivery left; an error goes back unchanged.
    pub(crate) fn end_claim(&mut self, receipt: Receipt) {
        self.finish_claim(receipt, |queue, claim| match claim.kind {
            Kind::Error => queue.errors.stop_draining(queue.messages.id(claim.place)),
            Kind::Message => {
                queue.totals.expired += 1;
                let limit = queue.settings.max_deliveries;
                if limit > 0 && claim.deliveries >= limit {
                    queue.totals.dead += 1;
                    queue.add_error(&claim, MAX_DELIVERIES_REASON);
                } else {
                    queue.messages.put_back(claim.place, claim.deliveries);
                }
            }
        });
    }

    /// DELAYED → READY.
    fn end_delay(&mut self) {
        if let Some((_, delayed)) = self.delays.pop_first() {
            self.messages.put_back(delayed.place, delayed.deliveries);
        }
    }

    /// CLAIMED → ERRORED.
    pub(crate) fn add_error(&mut self, claim: &Claim, reason: &[u8]) {
        let consumer = self.texts.get(self.owners.get(claim.owner).consumer).to_vec();
        let errored = Errored {
            place: claim.place,
            deliveries: claim.deliveries,
            failed_at: self.now,
            consumer: self.texts.hold(&consumer),
            reason: self.texts.hold(reason),
        };
        self.errors.waiting.insert(self.messages.id(claim.place), errored);
    }

    /// (nothing) → DELAYED, for a message that was just appended to a parked lane.
    pub(crate) fn add_delay(&mut self, lane: LaneKey, id: Id, due_at: Time) {
        if let Some(place) = self.messages.find(lane, id) {
            self.delays.insert(id, Delayed { due_at, place, deliveries: 0 });
        }
    }

    /// CLAIMED → DELAYED.
    pub(crate) fn retry_later(&mut self, claim: &Claim, due_at: Time) {
        let (place, deliveries) = (claim.place, claim.deliveries);
        self.delays.insert(self.messages.id(place), Delayed { due_at, place, deliveries });
    }

    /// ERRORED → taken, nothing kept.
    pub(crate) fn drop_error(&mut self, id: Id, errored: &Errored) {
        errored.release(&mut self.texts);
        self.errors.waiting.remove(&id);
        self.errors.draining.remove(&id);
        self.messages.remove(errored.place);
        self.totals.drained += 1;
    }

    /// CLAIMED → done; a drained error → taken. How many of the receipts named current claims.
    pub(crate) fn complete(&mut self, receipts: &[Receipt]) -> u64 {
        let mut completed = 0;
        for receipt in receipts {
            if !self.is_current(*receipt) {
                continue;
            }
            completed += 1;
            self.finish_claim(*receipt, |queue, claim| match claim.kind {
                Kind::Message => {
                    queue.messages.remove(claim.place);
                    queue.totals.acked += 1;
                }
                Kind::Error => {
                    let id = queue.messages.id(claim.place);
                    if let Some(errored) = queue.errors.draining.get(&id).copied() {
                        queue.drop_error(id, &errored);
                    }
                }
            });
        }
        completed
    }

    /// The lane that a push goes to.
    pub(crate) fn lane(priority: Priority, parked: bool) -> LaneKey {
        LaneKey { priority, parked }
    }

    /// Ends what a closed connection held: its claims and its leadership. How much that was.
    pub(crate) fn end_session(&mut self, session: SessionId) -> u64 {
        let ended = self.end_claims_of(&self.owners.of_session(session));
        let leads = self.leadership.at(self.now).is_some_and(|leader| leader.session == Some(session));
        if leads {
            self.leadership.current = None;
        }
        ended + u64::from(leads)
    }
}
