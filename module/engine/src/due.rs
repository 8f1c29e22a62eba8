//! Due work: what time alone does to a queue. It is done by the next steps, each as many pieces as its moment allows.

use crate::claims::Claim;
use crate::faults::{self, Fault};
use crate::lane::Place;
use crate::operations::DRAINER;
use crate::queue::Queue;
use crate::segment::NO_CLAIM;
use crate::{Id, Moment, Receipt, Time};

/// One piece of due work. At the same moment those named first come first.
enum Due {
    /// CLAIMED → READY or ERRORED.
    Claim(Receipt),
    /// DELAYED → READY.
    Delay,
    /// READY or DELAYED → ERRORED, by TTL.
    Expiry(Id),
    /// ERRORED → gone, by errors-keep.
    Error(Id),
}

impl Queue {
    /// Nothing is due before this moment. Asking [`Queue::execute`] at or after it may find that a claim was extended; then
    /// the answer has moved.
    pub fn next_due(&self) -> Option<Time> {
        self.next_of(self.claims.next_bound())
    }

    /// The first void claim: in the order of sessions and consumers, then receipts.
    fn first_void(&mut self) -> Option<Receipt> {
        let void_below = self.void_below;
        let claims = &self.claims;
        self.owners.first_void(|chain| claims.first_of(chain).filter(|receipt| *receipt < void_below))
    }

    /// When the next piece of work is due, exactly. It looks into every block of claims whose bound has become too low.
    pub(crate) fn next_due_exactly(&self) -> Option<Time> {
        self.next_of(self.claims.next_end())
    }

    fn next_of(&self, claim_ends: Option<Time>) -> Option<Time> {
        let (delay, error) = (self.delays.first_due(), self.oldest_error_ends());
        let void = (self.owners.void() > 0).then_some(self.now);
        let others = [void, delay.map(|(due, _)| due), self.first_expiry(), error.map(|(end, _)| end)];
        others.into_iter().flatten().chain(claim_ends).min()
    }

    fn first_expiry(&self) -> Option<Time> {
        self.labels.first_expiry().map(|(at, _)| at)
    }

    /// When the oldest error has been kept for `errors-keep`.
    fn oldest_error_ends(&self) -> Option<(Time, Id)> {
        if self.settings.errors_keep.0 == 0 {
            return None;
        }
        self.errors.oldest().map(|(entered_at, id)| (entered_at.after(self.settings.errors_keep), id))
    }

    /// Whether there is due work at `now`.
    pub(crate) fn has_due(&mut self, now: Time) -> bool {
        self.owners.void() > 0
            || self.delays.first_due().is_some_and(|(due, _)| due <= now)
            || self.first_expiry().is_some_and(|at| at <= now)
            || self.oldest_error_ends().is_some_and(|(end, _)| end <= now)
            || self.claims.first_ended(now).is_some()
    }

    /// How much is due at `now`.
    pub(crate) fn overdue(&self, now: Time) -> u64 {
        let keep = self.settings.errors_keep;
        let old_errors = if keep.0 > 0 { self.errors.older(keep, now, usize::MAX) } else { 0 };
        let void = self.owners.void();
        let ended = match void {
            0 => self.claims.ended(now).count(),
            _ => self.claims.ended(now).filter(|(receipt, claim)| !self.is_void(*receipt, claim)).count(),
        };
        void + ended as u64 + self.delays.due(now) + self.labels.due(now) + old_errors
    }

    /// How many errors the due work of this moment drops, counted up to `limit`.
    pub(crate) fn old_errors(&self, moment: &Moment, limit: usize) -> u64 {
        let keep = self.settings.errors_keep;
        if keep.0 == 0 {
            return 0;
        }
        let waiting = self.errors.older(keep, moment.now, limit);
        let left = limit.saturating_sub(usize::try_from(waiting).unwrap_or(limit));
        let may_have_ended = moment.term.is_some()
            || self.owners.void() > 0
            || self.claims.next_bound().is_some_and(|bound| bound <= moment.now);
        if self.claims.counts().1 == 0 || left == 0 || !may_have_ended {
            return waiting;
        }
        // A drain that has ended by this moment frees its error.
        let drains = self.owners.named(DRAINER).flat_map(|owner| self.claims.chain(&owner.chain));
        let freed = drains.filter(|(receipt, claim)| self.has_ended(*receipt, claim, moment));
        let freed = freed.filter(|(_, claim)| self.is_old_error(self.messages.id(claim.place), moment));
        waiting + freed.take(left).count() as u64
    }

    /// Whether the due work of this moment ends a claim.
    fn has_ended(&self, receipt: Receipt, claim: &Claim, moment: &Moment) -> bool {
        let session_ends = || moment.term.is_some() && self.owners.get(claim.owner).session.is_some();
        claim.deadline <= moment.now || self.is_void(receipt, claim) || session_ends()
    }

    /// Whether the due work of this moment drops this message, an error that has been kept for `errors-keep`.
    pub(crate) fn is_old_error(&self, id: Id, moment: &Moment) -> bool {
        let keep = self.settings.errors_keep;
        let Some(errored) = self.errors.get(id).filter(|_| keep.0 > 0) else { return false };
        let drain = self.drain_of(errored.place);
        let is_free = drain.is_none_or(|(receipt, claim)| self.has_ended(receipt, claim, moment));
        is_free && errored.entered_at.after(keep) <= moment.now
    }

    /// The claim that drains an errored message.
    pub(crate) fn drain_of(&self, place: Place) -> Option<(Receipt, &Claim)> {
        match self.messages.segment(place.segment).claim_of(place.slot.into()) {
            NO_CLAIM => None,
            address => Some(self.claims.at(address)),
        }
    }

    /// Brings the queue to a moment: its time, its term, and as much of the due work as the moment allows.
    pub(crate) fn begin(&mut self, moment: &Moment) {
        let now = if faults::on(Fault::WallMovesTime) { moment.wall } else { moment.now };
        self.now = self.now.max(now);
        self.wall = self.now.max(moment.wall);
        self.due_left = moment.due;
        if let Some(term) = moment.term {
            self.start_term(term);
        }
        self.take_back();
    }

    /// Does what is due, as much as the step may: void claims first, then by due time, then kind, then receipt or id.
    pub(crate) fn take_back(&mut self) {
        while self.due_left > 0 {
            match self.first_due() {
                Some(Due::Claim(receipt)) => self.end_claim(receipt),
                Some(Due::Delay) => self.end_delay(),
                Some(Due::Expiry(id)) => self.end_life(id),
                Some(Due::Error(id)) => self.drop_old_error(id),
                None => break,
            }
            self.due_left -= 1;
        }
    }

    fn first_due(&mut self) -> Option<Due> {
        if let Some(receipt) = self.first_void() {
            return Some(Due::Claim(receipt));
        }
        let claim = self.claims.first_ended(self.now).map(|(at, receipt)| (at, Due::Claim(receipt)));
        let delay = self.delays.first_due().map(|(at, _)| (at, Due::Delay));
        let expiry = self.labels.first_expiry().map(|(at, id)| (at, Due::Expiry(id)));
        let error = self.oldest_error_ends().map(|(at, id)| (at, Due::Error(id)));
        let all = [claim, delay, expiry, error].into_iter().flatten().filter(|(at, _)| *at <= self.now);
        all.min_by_key(|(at, _)| *at).map(|(_, due)| due)
    }

    fn end_delay(&mut self) {
        if let Some((id, delayed)) = self.delays.pop_first() {
            self.labels.stop_expiry(id);
            self.make_ready(delayed.place, delayed.deliveries);
        }
    }

    fn end_life(&mut self, id: Id) {
        let place = self.labels.get(id).expect("a last moment belongs to a label").place;
        let deliveries = self.take_out(place).expect("whose last moment counts is ready or delayed");
        self.expire(place, deliveries);
    }

    /// ERRORED → gone; a drain of it, which has ended then, is taken back first.
    pub(crate) fn drop_old_error(&mut self, id: Id) {
        if let Some((receipt, _)) = self.errors.get(id).and_then(|errored| self.drain_of(errored.place)) {
            self.end_claim(receipt);
        }
        let errored = self.errors.take(id);
        self.totals.dropped += u64::from(self.drop_error(errored));
    }
}
