//! The arrows between the states of a message, but for claims. Each leaves its message in exactly one state.

use crate::claims::Claim;
use crate::delays::Delayed;
use crate::errors::Errored;
use crate::faults::{self, Fault};
use crate::groups::{Groups, Turn};
use crate::labels::{Label, Labelled};
use crate::lane::{LaneKey, Place, Returned, Taken};
use crate::queue::{Queue, TTL_REASON};
use crate::texts::TextId;
use crate::{Id, Time};
use std::cmp::Reverse;

impl Queue {
    /// The label of a message, if it has one.
    pub(crate) fn label(&self, place: Place) -> Option<(Id, Labelled)> {
        if self.labels.is_empty() || !self.messages.lane_of(place).parked {
            return None;
        }
        let id = self.messages.id(place);
        self.labels.get(id).map(|labelled| (id, *labelled))
    }

    fn turn(&self, place: Place) -> Turn {
        (Reverse(self.messages.lane_of(place).priority), self.messages.id(place))
    }

    /// (nothing) → READY, or → DELAYED until `due_at`, for a message that was just appended to a parked lane.
    pub(crate) fn settle_in(&mut self, lane: LaneKey, id: Id, due_at: Option<Time>, label: &Label<'_>) {
        let Some(place) = self.messages.find(lane, id) else { return };
        if !label.is_empty() {
            let ready_at = due_at.unwrap_or(self.now);
            let labelled = Labelled {
                place,
                unique: label.unique.map(|key| self.texts.hold(key)),
                group: label.group.map(|group| self.texts.hold(group)),
                expires_at: label.ttl.map(|ttl| ready_at.after(ttl)),
            };
            if !self.labels.attach(id, labelled) {
                // Not on a primary, which has judged it; and whoever replays judges it too.
                labelled.unique.into_iter().chain(labelled.group).for_each(|text| self.texts.release(text));
            }
        }
        match due_at {
            None => self.make_ready(place, 0),
            Some(due_at) => self.delay(Delayed { due_at, place, deliveries: 0 }),
        }
    }

    /// → DELAYED.
    fn delay(&mut self, delayed: Delayed) {
        let id = self.messages.id(delayed.place);
        self.delays.insert(id, delayed);
        if self.label(delayed.place).is_some() {
            self.labels.start_expiry(id);
        }
    }

    /// Whether a message that is claimed can be claimed once more at `at`.
    pub(crate) fn has_another_delivery(&self, claim: &Claim, at: Time) -> bool {
        let limit = self.settings.max_deliveries;
        let expires_at = self.label(claim.place).and_then(|(_, labelled)| labelled.expires_at);
        (limit == 0 || claim.deliveries < limit) && expires_at.is_none_or(|expires_at| expires_at > at)
    }

    /// CLAIMED → DELAYED. In a group it goes on keeping the others back.
    pub(crate) fn retry_later(&mut self, claim: &Claim, due_at: Time) {
        self.delay(Delayed { due_at, place: claim.place, deliveries: claim.deliveries });
    }

    /// → READY, for a message that is in no other state.
    pub(crate) fn make_ready(&mut self, place: Place, deliveries: u32) {
        let Some((id, labelled)) = self.label(place) else { return self.messages.put_back(place, deliveries) };
        if deliveries == 0 || !faults::on(Fault::TtlOnlyOnce) {
            self.labels.start_expiry(id);
        }
        let Some(group) = labelled.group else { return self.messages.put_back(place, deliveries) };
        let turn = self.turn(place);
        self.labels.groups.held.insert(id, Returned { place, deliveries });
        self.change_group(group, |groups| groups.join(group, turn));
    }

    /// READY → about to be claimed: the highest priority first, then the smallest id. `None`: there is none, its payload is
    /// larger than `limit`, or the next one has expired and the step may do no more due work.
    pub(crate) fn take_ready(&mut self, limit: usize) -> Option<Taken> {
        loop {
            let taken = self.messages.take_ready(limit)?;
            let Some((id, labelled)) = self.label(taken.place) else { return Some(taken) };
            let turn = self.turn(taken.place);
            let expired = labelled.expires_at.is_some_and(|at| at <= self.now);
            if let Some(group) = labelled.group {
                self.change_group(group, |groups| {
                    groups.leave(group, turn);
                    if !expired && !faults::on(Fault::GroupGoesOn) {
                        groups.hold(group, id);
                    }
                });
            }
            self.labels.stop_expiry(id);
            if !expired {
                return Some(taken);
            }
            self.expire(taken.place, taken.deliveries);
            self.due_left = self.due_left.checked_sub(1)?;
        }
    }

    /// READY or DELAYED → in no state. How often it was delivered; `None`: it is in neither.
    pub(crate) fn take_out(&mut self, place: Place) -> Option<u32> {
        let id = self.messages.id(place);
        if let Some(delayed) = self.delays.remove(id) {
            self.labels.stop_expiry(id);
            return Some(delayed.deliveries);
        }
        let group = self.label(place).and_then(|(_, labelled)| labelled.group);
        let held = self.labels.groups.held.remove(&id).map(|returned| returned.deliveries);
        let deliveries = held.or_else(|| self.messages.withdraw(place))?;
        if let Some(group) = group {
            let turn = self.turn(place);
            self.change_group(group, |groups| groups.leave(group, turn));
        }
        self.labels.stop_expiry(id);
        Some(deliveries)
    }

    /// Changes a group. Its head stands among the messages that can be claimed, the others do not.
    pub(crate) fn change_group(&mut self, group: TextId, change: impl FnOnce(&mut Groups)) {
        let before = self.labels.groups.head(group);
        change(&mut self.labels.groups);
        let after = self.labels.groups.head(group);
        if before == after {
            return;
        }
        if let Some(turn @ (_, id)) = before.filter(|turn| self.labels.groups.has_ready(group, *turn))
            && let Some(Labelled { place, .. }) = self.labels.get(id).copied()
            && let Some(deliveries) = self.messages.withdraw(place)
        {
            debug_assert_eq!(turn, self.turn(place));
            self.labels.groups.held.insert(id, Returned { place, deliveries });
        }
        if let Some(Returned { place, deliveries }) = after.and_then(|(_, id)| self.labels.groups.held.remove(&id)) {
            self.messages.put_back(place, deliveries);
        }
    }

    /// A message that was claimed, or waited for a retry, keeps the others of its group back no longer.
    fn leave_group(&mut self, id: Id, labelled: &Labelled) {
        if let Some(group) = labelled.group.filter(|group| self.labels.groups.is_held_by(*group, id)) {
            self.change_group(group, |groups| groups.let_go(group, id));
        }
    }

    /// → ERRORED, for a message that is in no other state.
    pub(crate) fn add_error(&mut self, place: Place, deliveries: u32, consumer: &[u8], reason: &[u8]) {
        if let Some((id, labelled)) = self.label(place) {
            self.leave_group(id, &labelled);
        }
        let errored = Errored {
            place,
            deliveries,
            entered_at: if faults::on(Fault::ErrorsAgeByWall) { self.wall } else { self.now },
            failed_at: self.wall,
            consumer: self.texts.hold(consumer),
            reason: self.texts.hold(reason),
        };
        self.errors.insert(self.messages.id(place), errored);
    }

    /// CLAIMED → ERRORED.
    pub(crate) fn add_failed(&mut self, claim: &Claim, reason: &[u8]) {
        let consumer = self.texts.get(self.owners.get(claim.owner).consumer).to_vec();
        self.add_error(claim.place, claim.deliveries, &consumer, reason);
    }

    /// Its last moment has passed: → ERRORED, for a message that was ready or delayed.
    pub(crate) fn expire(&mut self, place: Place, deliveries: u32) {
        self.add_error(place, deliveries, b"", TTL_REASON);
        self.labels.clear_expiry(self.messages.id(place));
        self.totals.ttl_expired += 1;
    }

    /// ERRORED → READY, with a new life: nothing delivered, no last moment. Whether nobody was draining it.
    pub(crate) fn redrive(&mut self, id: Id) -> bool {
        let Some(errored) = self.errors.take(id) else { return false };
        errored.release(&mut self.texts);
        self.labels.clear_expiry(id);
        self.make_ready(errored.place, 0);
        self.totals.redriven += 1;
        true
    }

    /// ERRORED → gone. Whether it was there; the caller counts it.
    pub(crate) fn drop_error(&mut self, errored: Option<Errored>) -> bool {
        if let Some(errored) = &errored {
            errored.release(&mut self.texts);
            self.forget(errored.place);
        }
        errored.is_some()
    }

    /// → gone, for a message that is in no state any more.
    pub(crate) fn forget(&mut self, place: Place) {
        if let Some((id, labelled)) = self.label(place) {
            self.leave_group(id, &labelled);
            self.labels.detach(id, &mut self.texts);
        }
        self.messages.remove(place);
    }
}
