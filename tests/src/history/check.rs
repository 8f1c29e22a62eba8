//! Finding faults in a history. Every rule is written so that what it calls a fault is one, whatever the server did
//! between the two moments of an event.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::{At, Event, Fault, Verdict, What, refusal};

/// What two processes of one host may differ by when they tell the time, and the server's clock of whole milliseconds.
const CLOCKS: At = At::from_millis(5);

/// One claim, and what became of it.
pub(super) struct Claimed<'h> {
    pub event: &'h Event,
    pub id: i64,
    /// Until when it surely was current, if it ever was.
    pub surely_until: At,
}

struct Checker<'h> {
    events: &'h [Event],
    claims: HashMap<i64, Claimed<'h>>,
    verdict: Verdict,
}

pub(super) fn judge(events: &[Event], all_must_be_there: bool) -> Verdict {
    let mut checker = Checker { events, claims: HashMap::new(), verdict: Verdict::default() };
    checker.count();
    checker.collect_claims();
    checker.end_claims_at_promotions();
    checker.deliveries_are_of_pushes();
    checker.numbers_are_given_once();
    checker.messages_are_completed_once();
    checker.claims_follow_each_other();
    checker.nothing_is_done_during_a_refusal();
    if all_must_be_there {
        checker.tokens_only_grow();
        checker.the_stream_is_whole();
        checker.nothing_is_missing();
    }
    checker.verdict
}

impl<'h> Checker<'h> {
    fn fault(&mut self, fault: Fault, evidence: String) {
        self.verdict.add(fault, evidence);
    }

    fn count(&mut self) {
        let verdict = &mut self.verdict;
        let mut ids = HashSet::new();
        for event in self.events {
            let mut answered = true;
            match &event.what {
                What::Push { id: Some(_), .. } => verdict.accepted += 1,
                What::Push { id: None, .. } => (verdict.unanswered, answered) = (verdict.unanswered + 1, false),
                What::Claim { id, .. } => {
                    verdict.delivered += 1;
                    verdict.redelivered += usize::from(!ids.insert(id));
                }
                What::Complete { counted: Some(true), .. } => verdict.completed += 1,
                What::Complete { counted: Some(false), .. } => verdict.refused += 1,
                What::Complete { counted: None, .. } => (verdict.in_doubt, answered) = (verdict.in_doubt + 1, false),
                What::Lead { .. } => verdict.leaders += 1,
                What::Refusal(_) => (verdict.refusals, answered) = (verdict.refusals + 1, false),
                What::Touch { .. } | What::SessionEnd { .. } | What::Promotion | What::Changed { .. } => {
                    answered = false
                }
            }
            verdict.unsettled += usize::from(answered && !event.settled);
        }
    }

    fn collect_claims(&mut self) {
        for event in self.events {
            if let What::Claim { id, receipt, lease, .. } = &event.what {
                let surely_until = (event.sent + *lease).saturating_sub(CLOCKS);
                self.claims.entry(*receipt).or_insert(Claimed { event, id: *id, surely_until });
            }
        }
        for event in self.events {
            let ended: &[i64] = match &event.what {
                What::Complete { receipt, .. } | What::Touch { receipt, .. } => &[*receipt],
                What::SessionEnd { receipts } => receipts,
                _ => &[],
            };
            for receipt in ended {
                if let Some(claim) = self.claims.get_mut(receipt) {
                    claim.surely_until = claim.surely_until.min(event.sent);
                }
            }
        }
    }

    /// A promotion ends every claim that another server had given with SESSION.
    fn end_claims_at_promotions(&mut self) {
        for promotion in self.events.iter().filter(|event| event.what == What::Promotion) {
            let before = |claim: &&mut Claimed<'h>| {
                claim.event.server != promotion.server && claim.event.sent <= promotion.answered
            };
            for claim in self.claims.values_mut().filter(before) {
                claim.surely_until = claim.surely_until.min(promotion.sent);
            }
        }
    }

    /// Whether another server had been promoted last. What the deposed one accepted until it noticed that its replica was gone
    /// is no part of the history that survives.
    fn is_of_a_deposed_primary(&self, event: &Event) -> bool {
        let promotions = self.events.iter().filter(|event| event.what == What::Promotion);
        let last =
            promotions.filter(|promotion| promotion.sent < event.answered).max_by_key(|promotion| promotion.sent);
        last.is_some_and(|promotion| promotion.server != event.server)
    }

    fn nothing_is_done_during_a_refusal(&mut self) {
        let found = refusal::violations(self.events, &self.claims);
        found.into_iter().for_each(|evidence| self.fault(Fault::DuringRefusal, evidence));
    }

    /// Completions with an answer or without; (message, event, whether it counted).
    fn completions(&self) -> Vec<(i64, &'h Event, Option<bool>)> {
        let completion = |event: &'h Event| match &event.what {
            What::Complete { receipt, counted } => Some((self.claims.get(receipt)?.id, event, *counted)),
            _ => None,
        };
        self.events.iter().filter_map(completion).collect()
    }

    fn deliveries_are_of_pushes(&mut self) {
        let mut asked: HashMap<&str, At> = HashMap::new();
        let mut ids: HashMap<&str, BTreeSet<i64>> = HashMap::new();
        let mut in_doubt: HashSet<&str> = HashSet::new();
        for event in self.events {
            if let What::Push { payload, id, .. } = &event.what {
                let first = asked.entry(payload).or_insert(event.sent);
                *first = event.sent.min(*first);
                ids.entry(payload).or_default().extend(id);
                if id.is_none() || !event.settled {
                    in_doubt.insert(payload);
                }
            }
        }
        for event in self.events {
            let What::Claim { payload, id, receipt, .. } = &event.what else { continue };
            match asked.get(payload.as_str()) {
                Some(sent) if *sent <= event.answered => {}
                _ => self.fault(Fault::Unexpected, format!("{payload} (id {id}, receipt {receipt}) was not pushed")),
            }
            let known = ids.get(payload.as_str());
            let other = known.is_some_and(|ids| !ids.is_empty() && !ids.contains(id));
            if other && event.settled && !in_doubt.contains(payload.as_str()) {
                self.fault(Fault::Unexpected, format!("{payload} came as {id}, was pushed as {known:?}"));
            }
        }
    }

    /// Also beyond crashes: what was taken back is not given to somebody else.
    fn numbers_are_given_once(&mut self) {
        let mut ids: HashMap<i64, &str> = HashMap::new();
        let (mut receipts, mut tokens) = (HashSet::new(), HashMap::new());
        let mut found = Vec::new();
        for event in self.events {
            match &event.what {
                What::Push { payload, id: Some(id), .. } | What::Claim { payload, id, .. } => {
                    let before = *ids.entry(*id).or_insert(payload);
                    if before != payload {
                        found.push(format!("the id {id} names {before} and {payload}"));
                    }
                }
                What::Lead { token, candidate } => {
                    let before = *tokens.entry(*token).or_insert(candidate);
                    if before != candidate {
                        found.push(format!("the token {token} is {before}'s and {candidate}'s"));
                    }
                }
                _ => {}
            }
            if let What::Claim { receipt, .. } = &event.what
                && !receipts.insert(*receipt)
            {
                found.push(format!("the receipt {receipt} was given twice"));
            }
        }
        self.numbers_grow("id", &mut found, |what| match what {
            What::Push { id, .. } => *id,
            _ => None,
        });
        self.numbers_grow("receipt", &mut found, |what| match what {
            What::Claim { receipt, .. } => Some(*receipt),
            _ => None,
        });
        found.into_iter().for_each(|evidence| self.fault(Fault::Repeated, evidence));
    }

    /// A number that was asked for after another one had been given is larger.
    fn numbers_grow(&self, kind: &str, found: &mut Vec<String>, number: impl Fn(&What) -> Option<i64>) {
        let given = |event: &'h Event| number(&event.what).filter(|_| event.settled).map(|number| (event, number));
        let by_answer: Vec<_> = self.events.iter().filter_map(given).collect();
        let mut by_sending = by_answer.clone();
        by_sending.sort_by_key(|(event, _)| event.sent);
        let mut earlier = by_answer.into_iter().peekable();
        let mut largest = 0;
        for (event, number) in by_sending {
            while let Some((_, before)) = earlier.next_if(|(before, _)| before.answered < event.sent) {
                largest = largest.max(before);
            }
            // A repeated push is answered with the id that it was given before.
            if number < largest && !self.is_repetition(event) {
                found.push(format!("the {kind} {number}, asked for at {:?}, follows {largest}", event.sent));
            }
        }
    }

    fn is_repetition(&self, event: &Event) -> bool {
        let What::Push { payload, .. } = &event.what else { return false };
        let same = |other: &&Event| matches!(&other.what, What::Push { payload: other, .. } if other == payload);
        self.events.iter().filter(same).any(|other| other.sent < event.sent)
    }

    fn messages_are_completed_once(&mut self) {
        let mut done: HashMap<i64, &Event> = HashMap::new();
        for (id, event, counted) in self.completions() {
            if counted == Some(true)
                && event.settled
                && let Some(first) = done.insert(id, event)
            {
                self.fault(Fault::Doubled, format!("message {id} was completed by {first:?} and {event:?}"));
            }
        }
        for event in self.events {
            let What::Claim { id, .. } = &event.what else { continue };
            let earlier = done.get(id).filter(|completion| completion.answered < event.sent);
            if let Some(completion) = earlier.filter(|_| !self.is_of_a_deposed_primary(event)) {
                self.fault(Fault::Doubled, format!("message {id}, completed by {completion:?}, came again: {event:?}"));
            }
        }
    }

    fn claims_follow_each_other(&mut self) {
        let mut by_message: HashMap<i64, Vec<(i64, &Claimed<'h>)>> = HashMap::new();
        for (receipt, claim) in self.claims.iter().filter(|(_, claim)| claim.event.settled) {
            by_message.entry(claim.id).or_default().push((*receipt, claim));
        }
        let mut found = Vec::new();
        for (id, claims) in &mut by_message {
            claims.sort_by_key(|(receipt, _)| *receipt);
            for pair in claims.windows(2) {
                let [(earlier, first), (later, second)] = pair else { continue };
                if second.event.sent > first.event.answered && second.event.answered < first.surely_until {
                    let until = first.surely_until;
                    found.push(format!("{id}: {later} was given while {earlier} was current, until {until:?}"));
                }
            }
        }
        for event in self.events {
            let (What::Complete { receipt, counted: Some(true) } | What::Touch { receipt, counted: Some(true) }) =
                &event.what
            else {
                continue;
            };
            let Some(claim) = self.claims.get(receipt) else { continue };
            let newer = by_message.get(&claim.id).into_iter().flatten();
            for (newer, second) in newer.filter(|(newer, second)| newer > receipt && second.event.answered < event.sent)
            {
                let evidence = format!("{}: {receipt} counted at {:?}, after {newer} was given", claim.id, event.sent);
                if event.settled && second.event.settled {
                    found.push(evidence);
                }
            }
        }
        found.into_iter().for_each(|evidence| self.fault(Fault::TwoClaims, evidence));
    }

    /// Accepted pushes that carried a token, in the order in which the queue took them: that of their ids.
    fn fenced(&self) -> BTreeMap<i64, (&'h Event, i64, Option<i64>)> {
        let fenced = |event: &'h Event| match &event.what {
            What::Push { id: Some(id), fence: Some(token), number, .. } if event.settled => {
                Some((*id, (event, *token, *number)))
            }
            _ => None,
        };
        self.events.iter().filter_map(fenced).collect()
    }

    fn tokens_only_grow(&mut self) {
        let fenced: Vec<_> = self.fenced().into_iter().collect();
        for pair in fenced.windows(2) {
            let [(_, (_, before, _)), (id, (event, token, _))] = pair else { continue };
            if token < before {
                self.fault(Fault::TwoTokens, format!("{id} was accepted under {token} after {before}: {event:?}"));
            }
        }
    }

    fn the_stream_is_whole(&mut self) {
        let of_stream = |event: &&Event| matches!(event.what, What::Push { number: Some(_), .. });
        let in_doubt = |event: &Event| !event.settled || matches!(event.what, What::Push { id: None, .. });
        // Numbers that a crash took back are published again, and one that was never answered may have been taken.
        let vague: BTreeSet<i64> = self
            .events
            .iter()
            .filter(of_stream)
            .filter(|event| in_doubt(event))
            .filter_map(|event| match &event.what {
                What::Push { number, .. } => *number,
                _ => None,
            })
            .collect();
        let numbers: Vec<(i64, i64)> =
            self.fenced().into_iter().filter_map(|(id, (_, _, number))| Some((id, number?))).collect();
        let mut expected = 0;
        for (id, number) in numbers {
            let gap = expected..number;
            if number < expected {
                self.fault(Fault::Stream, format!("{number} has the id {id}, after {}", expected - 1));
            } else if let Some(missing) = gap.into_iter().find(|missing| !vague.contains(missing)) {
                self.fault(Fault::Stream, format!("{missing} is missing before {number} with the id {id}"));
            }
            expected = expected.max(number + 1);
        }
    }

    fn nothing_is_missing(&mut self) {
        let done: HashSet<i64> = self
            .completions()
            .into_iter()
            .filter(|(_, _, counted)| *counted != Some(false))
            .map(|(id, ..)| id)
            .collect();
        for event in self.events {
            let What::Push { payload, id: Some(id), .. } = &event.what else { continue };
            if event.settled && !done.contains(id) {
                self.fault(Fault::Lost, format!("{payload}, id {id}, pushed at {:?}, was never completed", event.sent));
            }
        }
    }
}
