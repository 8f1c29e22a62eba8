//! What is true of every queue after every step. The numbers are those of the module's DESIGN.md.

use crate::codec::Corrupt;
use crate::{PeekState, Queue};
use std::collections::BTreeSet;

impl Queue {
    /// Checks every invariant; for tests, as the work is that of reading the whole queue.
    ///
    /// # Errors
    /// Names the first one that does not hold.
    pub fn check_invariants(&self) -> Result<(), String> {
        self.messages.check()?;
        self.delays.check()?;
        self.errors.check()?;
        self.labels.check()?;
        self.check_groups()?;
        self.producers.check()?;
        self.check_states()?;
        self.check_claims()?;
        self.check_books()
            .and_then(|()| self.check_numbers())
            .and_then(|()| self.check_counts())
            .map_err(|corrupt| corrupt.to_string())
    }

    /// I1: every message is in exactly one state.
    fn check_states(&self) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        let returned = self.messages.lanes.values().flat_map(|lane| lane.returned.values().map(|r| r.place));
        let held = self.labels.groups.held.values().map(|returned| returned.place);
        let delayed = self.delays.after(None).map(|(_, delayed)| delayed.place);
        let errored = self.errors.after(None).map(|(_, errored)| errored.place);
        let claimed = self.claims.iter().filter(|(_, claim)| claim.kind == crate::claims::Kind::Message);
        let claimed = claimed.map(|(_, claim)| claim.place);
        for place in returned.chain(held).chain(delayed).chain(errored).chain(claimed) {
            let segment = self.messages.segment(place.segment);
            let slot = usize::from(place.slot);
            if slot >= segment.fresh || segment.is_gone(slot) || !seen.insert((place.segment, place.slot)) {
                return Err(format!("I1: message {} is in two states or in none", segment.id(slot)));
            }
        }
        if seen.len() as u64 != self.messages.not_fresh() {
            return Err("I1: a message is in no state".into());
        }
        Ok(())
    }

    /// I2: the books balance.
    pub(crate) fn check_books(&self) -> Result<(), Corrupt> {
        let levels: u64 = self.levels().iter().sum();
        let known = self.totals.gone().and_then(|gone| gone.checked_add(levels));
        if levels != self.messages.live() || known != Some(self.totals.pushed) {
            return Err(Corrupt("I2: the books do not balance"));
        }
        Ok(())
    }

    /// I3: a claim is known to its message, to its owner, and to the order of deadlines; every drained error has one.
    fn check_claims(&self) -> Result<(), String> {
        let mut in_chains = 0;
        for (index, owner) in self.owners.sorted(&self.texts) {
            let receipts = self.claims.receipts(&owner.chain);
            if receipts.is_empty() || receipts.len() as u64 != owner.chain.length || !receipts.is_sorted() {
                return Err(format!("I3: the chain of owner {index} is broken"));
            }
            in_chains += receipts.len() as u64;
            if receipts.iter().any(|receipt| self.claims.get(*receipt).is_none_or(|claim| claim.owner != index)) {
                return Err(format!("I3: owner {index} has a claim that is not its own"));
            }
        }
        let void = self.claims.iter().filter(|(receipt, claim)| self.is_void(*receipt, claim)).count();
        if void as u64 != self.owners.void() {
            return Err("I3: the number of void claims is wrong".into());
        }
        let (messages, errors) = self.claims.counts();
        if in_chains != messages + errors || errors != self.errors.draining() {
            return Err("I3: claims without an owner, or drained errors without a claim".into());
        }
        for (receipt, claim) in self.claims.iter() {
            let segment = self.messages.segment(claim.place.segment);
            let address = segment.claim_of(claim.place.slot.into());
            if address == crate::segment::NO_CLAIM || self.claims.at(address).0 != receipt {
                return Err(format!("I3: the message of receipt {receipt} does not know it"));
            }
            if self.claims.next_bound().is_none_or(|bound| bound > claim.deadline) {
                return Err(format!("I3: receipt {receipt} ends before the first bound"));
            }
        }
        let holders = self.owners.len() as u64 + 2 * self.errors.len() + self.labels.texts();
        if holders != self.texts.holders() {
            return Err("I3: texts are held by somebody who is gone".into());
        }
        Ok(())
    }

    /// I7: every label is a live message's; a group's head, and only that, can be claimed, unless one of the group is claimed
    /// or waits for a retry; a last moment counts while its message is ready or delayed.
    fn check_groups(&self) -> Result<(), String> {
        let groups = &self.labels.groups;
        let mut held = 0;
        for (group, turn @ (_, id)) in groups.all_ready() {
            let labelled = self.labels.get(id).filter(|labelled| labelled.group == Some(group));
            let place = labelled.ok_or_else(|| format!("I7: message {id} is not of its group"))?.place;
            let can_be_claimed = self.messages.ready_deliveries(place).is_some();
            if can_be_claimed != (groups.head(group) == Some(turn)) {
                return Err(format!("I7: message {id} is held although it is the head, or not although it is not"));
            }
            held += u64::from(!can_be_claimed);
        }
        for (_, id) in groups.all_holders() {
            let retried = self.delays.get(id).is_some_and(|delayed| delayed.deliveries > 0);
            if !retried && !matches!(self.peek_id(id), Some((PeekState::Claimed, _))) {
                return Err("I7: a group is held by nobody".into());
            }
        }
        if held != self.labels.groups.held.len() as u64 {
            return Err("I7: a message is held back by no group".into());
        }
        for (id, labelled) in self.labels.iter() {
            let Some((state, peeked)) = self.peek_id(id) else { return Err(format!("I7: label of no message {id}")) };
            let timed = matches!(state, PeekState::Ready | PeekState::Delayed) && labelled.expires_at.is_some();
            if timed != self.labels.is_timed(id) || !self.messages.lane_of(labelled.place).parked {
                return Err(format!("I7: the last moment of message {id} counts, or does not"));
            }
            let busy = state == PeekState::Claimed || (state == PeekState::Delayed && peeked.deliveries > 0);
            if labelled.group.is_some_and(|group| busy != self.labels.groups.is_held_by(group, id)) {
                return Err(format!("I7: message {id} should hold its group, or should not"));
            }
        }
        Ok(())
    }

    /// I8: what was counted fits to the numbers given and to what there is: so no counter can be brought to overflow, not by
    /// a file either.
    pub(crate) fn check_counts(&self) -> Result<(), Corrupt> {
        let totals = &self.totals;
        let sum = |counts: &[u64]| counts.iter().try_fold(0u64, |sum, count| sum.checked_add(*count));
        // A claim ends in one way, or goes on.
        let endings = [totals.acked, totals.failed, totals.retried, totals.released, totals.expired];
        let claims = sum(&endings).and_then(|ended| ended.checked_add(self.claims.counts().0));
        // What entered the error store is there, or left it in one of four ways; of those removed not all were errors.
        let entered = sum(&[totals.failed, totals.dead, totals.ttl_expired]);
        let left = sum(&[self.errors.len(), totals.drained, totals.redriven, totals.dropped]);
        let left_or_removed = left.and_then(|left| left.checked_add(totals.removed));
        // A message has a last moment, or had one that has passed, or never had one.
        let timed = totals.ttl_expired.checked_add(self.labels.timed());
        let fits = claims == Some(totals.delivered)
            && left.is_some()
            && entered.is_some()
            && left_or_removed.is_some()
            && left <= entered
            && entered <= left_or_removed
            && timed.is_some_and(|timed| timed <= totals.pushed)
            && totals.redelivered <= totals.delivered
            && totals.dead <= totals.expired
            && totals.pushed < self.stamps.next_id
            && totals.delivered < self.stamps.next_receipt
            && self.leadership.changes < self.stamps.next_token
            && self.producers.advances < self.stamps.next_id;
        if fits { Ok(()) } else { Err(Corrupt("I8: the totals do not fit to the numbers given, or to what there is")) }
    }

    /// I4: every number in use lies below the next one of its kind, and no id is used twice.
    pub(crate) fn check_numbers(&self) -> Result<(), Corrupt> {
        let stamps = self.stamps;
        let mut ids = Vec::new();
        for segment in self.messages.all_segments() {
            ids.extend((0..segment.len()).filter(|slot| !segment.is_gone(*slot)).map(|slot| segment.id(slot)));
            if segment.id(segment.len() - 1).0 >= stamps.next_id || segment.first == 0 {
                return Err(Corrupt("I4: id not below the next one"));
            }
        }
        if !ids.is_sorted() {
            ids.sort_unstable();
        }
        if ids.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Corrupt("I4: id used twice"));
        }
        if self.claims.last_receipt().is_some_and(|last| last.0 >= stamps.next_receipt)
            || self.void_below.0 > stamps.next_receipt
        {
            return Err(Corrupt("I4: receipt not below the next one"));
        }
        let leader = &self.leadership;
        let leads = leader.current.as_ref();
        if leads.is_some_and(|leads| leads.token.0 >= stamps.next_token || leader.changes == 0) {
            return Err(Corrupt("I4: token not below the next one"));
        }
        Ok(())
    }
}
