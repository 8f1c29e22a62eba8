//! Due work: what time alone does to a queue. It is done by the next step, at most [`DUE_PER_STEP`] pieces at once.

use crate::queue::{DUE_PER_STEP, Queue};
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
        let others = [self.claims.next_bound(), self.delays.first_due().map(|(due, _)| due)];
        others.into_iter().chain([self.first_expiry(), self.oldest_error_ends().map(|(end, _)| end)]).flatten().min()
    }

    fn first_expiry(&self) -> Option<Time> {
        self.labels.first_expiry().map(|(at, _)| at)
    }

    /// When the oldest error has been kept for `errors-keep`.
    fn oldest_error_ends(&self) -> Option<(Time, Id)> {
        if self.settings.errors_keep.0 == 0 {
            return None;
        }
        self.errors.oldest().map(|(failed_at, id)| (failed_at.after(self.settings.errors_keep), id))
    }

    /// Whether there is due work at `now`.
    pub(crate) fn has_due(&mut self, now: Time) -> bool {
        self.delays.first_due().is_some_and(|(due, _)| due <= now)
            || self.first_expiry().is_some_and(|at| at <= now)
            || self.oldest_error_ends().is_some_and(|(end, _)| end <= now)
            || self.claims.first_ended(now).is_some()
    }

    /// How much is due at `now`.
    pub(crate) fn overdue(&self, now: Time) -> u64 {
        let old_errors = self.old_errors(now, usize::MAX);
        self.claims.ended(now) + self.delays.due(now) + self.labels.due(now) + old_errors
    }

    /// How many errors have been kept for `errors-keep` at `now`, counted up to `limit`.
    pub(crate) fn old_errors(&self, now: Time, limit: usize) -> u64 {
        match self.settings.errors_keep {
            keep if keep.0 > 0 => self.errors.older(keep, now, limit),
            _ => 0,
        }
    }

    /// Whether this message is an error that has been kept for `errors-keep` at `now`.
    pub(crate) fn is_old_error(&self, id: Id, now: Time) -> bool {
        let keep = self.settings.errors_keep;
        keep.0 > 0 && self.errors.waiting(id).is_some_and(|errored| errored.failed_at.after(keep) <= now)
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

    /// Does what is due, at most `limit` pieces: by due time, then kind, then receipt or id.
    pub(crate) fn take_back(&mut self, limit: usize) {
        for _ in 0..limit {
            match self.first_due() {
                Some(Due::Claim(receipt)) => self.end_claim(receipt),
                Some(Due::Delay) => self.end_delay(),
                Some(Due::Expiry(id)) => self.end_life(id),
                Some(Due::Error(id)) => self.drop_old_error(id),
                None => break,
            }
        }
    }

    fn first_due(&mut self) -> Option<Due> {
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

    pub(crate) fn drop_old_error(&mut self, id: Id) {
        let errored = self.errors.take(id);
        self.totals.dropped += u64::from(self.drop_error(errored));
    }
}
