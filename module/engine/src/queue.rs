//! The queue: its parts, and how its claims begin and end.

use crate::claims::{Chain, Claim, Claims, Kind};
use crate::delays::Delays;
use crate::errors::Errors;
use crate::faults::{self, Fault};
use crate::labels::Labels;
use crate::lane::{LaneKey, Taken};
use crate::leader::Leadership;
use crate::messages::Messages;
use crate::owners::Owners;
use crate::pace::Pace;
use crate::producers::Producers;
use crate::stamps::Stamps;
use crate::texts::Texts;
use crate::{Priority, Receipt, SessionId, Settings, Span, TermStart, Time, Totals};

/// Payload bytes that one reply carries at most, unless its first message alone is larger.
pub const REPLY_BYTES: usize = 64 * 1024 * 1024;

/// The reason of a message whose claim ended without a delivery left.
pub const MAX_DELIVERIES_REASON: &[u8] = b"max-deliveries";

/// The reason of a message that was not claimed in the time that its push gave it.
pub const TTL_REASON: &[u8] = b"expired";

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
    pub(crate) pace: Pace,
    pub(crate) owners: Owners,
    pub(crate) errors: Errors,
    pub(crate) labels: Labels,
    pub(crate) texts: Texts,
    pub(crate) leadership: Leadership,
    pub(crate) producers: Producers,
    /// Claims made with SESSION under a smaller receipt are void: they were made in an earlier term, whose connections are gone.
    pub(crate) void_below: Receipt,
    /// Whether the copies know this queue. Not part of the state: a queue that was loaded or recorded is known.
    pub(crate) known: bool,
    /// The wall clock of the step that is being done, never before `now`. Not part of the state.
    pub(crate) wall: Time,
    /// Pieces of due work that the step that is being done may still do. Not part of the state.
    pub(crate) due_left: usize,
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
            pace: Pace::default(),
            owners: Owners::default(),
            errors: Errors::default(),
            labels: Labels::default(),
            texts: Texts::default(),
            leadership: Leadership::default(),
            producers: Producers::default(),
            void_below: Receipt(0),
            known: false,
            wall: Time(0),
            due_left: 0,
        }
    }

    /// The moment of the last recorded step that depended on time.
    pub fn time(&self) -> Time {
        self.now
    }

    /// The settings in force.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether a claim at `now` would get a message, due work aside.
    pub fn claimable(&self, now: Time) -> bool {
        self.messages.ready() > 0 && self.claims_allowed(now.max(self.now)) > 0 && self.stamps.has_room(1)
    }

    /// How many messages may be claimed at `now`, as the settings have it.
    pub(crate) fn claims_allowed(&self, now: Time) -> u64 {
        let Settings { paused, max_claimed, rate, .. } = self.settings;
        if paused {
            return 0;
        }
        let room = if max_claimed > 0 { max_claimed.saturating_sub(self.claims.counts().0) } else { u64::MAX };
        if rate > 0 { room.min(self.pace.allowed(rate, now)) } else { room }
    }

    /// When `rate` lets the next claim through, if it is all that keeps a message from being claimed.
    pub fn next_claimable(&self) -> Option<Time> {
        let Settings { paused, max_claimed, rate, .. } = self.settings;
        let full = max_claimed > 0 && self.claims.counts().0 >= max_claimed;
        let waits = self.messages.ready() > 0 && rate > 0 && !paused && !full;
        waits.then(|| self.pace.next_at(rate))
    }

    /// What it has counted.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Leaderships begun.
    pub fn leader_changes(&self) -> u64 {
        self.leadership.changes
    }

    /// Above every id, receipt and token given so far.
    pub fn numbers_end(&self) -> u64 {
        self.stamps.end()
    }

    /// Whether this receipt names a claim that has not ended.
    pub(crate) fn is_current(&self, receipt: Receipt) -> bool {
        self.claims.get(receipt).is_some_and(|claim| {
            let void = self.is_void(receipt, claim) && !faults::on(Fault::VoidClaimCounts);
            claim.deadline > self.now && !void
        })
    }

    /// Whether a claim was made with SESSION in an earlier term.
    pub(crate) fn is_void(&self, receipt: Receipt, claim: &Claim) -> bool {
        receipt < self.void_below && self.owners.get(claim.owner).session.is_some()
    }

    /// READY → CLAIMED, or ERRORED → being drained.
    pub(crate) fn start_claim(&mut self, kind: Kind, taken: Taken, owner: u32, deadline: Time) -> Receipt {
        let receipt = self.stamps.receipt();
        let deadline = if faults::on(Fault::ClaimOutlivesLease) { deadline.after(Span(1)) } else { deadline };
        let claim = Claim::new(kind, taken.place, taken.deliveries, owner, deadline);
        let address = self.claims.insert(receipt, claim, self.owners.chain_mut(owner));
        self.owners.claim_made(owner, receipt < self.void_below);
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
        self.owners.claim_gone(owner, receipt < self.void_below);
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
                if limit > 0 && claim.deliveries >= limit && !faults::on(Fault::PoisonGoesRound) {
                    queue.totals.dead += 1;
                    queue.add_failed(&claim, MAX_DELIVERIES_REASON);
                } else {
                    queue.make_ready(claim.place, claim.deliveries);
                }
            }
        });
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
                    queue.forget(claim.place);
                    queue.totals.acked += 1;
                }
                Kind::Error => {
                    let errored = queue.errors.take_drained(queue.messages.id(claim.place));
                    queue.totals.drained += u64::from(queue.drop_error(errored));
                }
            });
        }
        completed
    }

    /// The lane that a push goes to.
    pub(crate) fn lane(priority: Priority, parked: bool) -> LaneKey {
        LaneKey { priority, parked }
    }

    /// Starts a term: every leadership ends, and every claim made with SESSION is void from now on. The void claims are taken
    /// back as due work.
    pub(crate) fn start_term(&mut self, term: TermStart) {
        self.stamps.start_term(term);
        if !faults::on(Fault::TermKeepsLeader) {
            self.leadership.current = None;
        }
        if !faults::on(Fault::TermKeepsSessions) {
            self.void_below = Receipt(self.stamps.next_receipt);
            self.owners.all_void();
        }
    }

    /// Ends claims of a closed connection, as many as the step may do pieces of due work, and its leadership. Returns how many
    /// claims and leaderships were ended.
    pub(crate) fn end_session(&mut self, session: SessionId) -> u64 {
        let leads = self.leadership.at(self.now).is_some_and(|leader| leader.session == Some(session));
        if leads {
            self.leadership.current = None;
        }
        let mut ended = u64::from(leads);
        while self.due_left > 0
            && let Some(owner) = self.owners.first_of_session(session)
            && let Some(receipt) = self.claims.first_of(&self.owners.get(owner).chain)
        {
            self.end_claim(receipt);
            self.due_left -= 1;
            ended += 1;
        }
        ended
    }

    /// Whether a connection holds a claim, or leads at `now`.
    pub fn is_held_by(&self, session: SessionId, now: Time) -> bool {
        let leader = self.leadership.at(now.max(self.now));
        self.owners.first_of_session(session).is_some() || leader.is_some_and(|leader| leader.session == Some(session))
    }
}
