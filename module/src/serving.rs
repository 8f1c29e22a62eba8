//! Hand-off: a queue that has changed serves those who wait for it, one after the other, in the order they came.
//!
//! A waiter's claim is made here, in the context of whoever brought the message, and goes to the replicas in the same record;
//! the waiter is woken when all is done and only has to be told. So it makes no difference whether the server runs the
//! woken client's callback at once or later, and no reference into a queue is alive when it does.

use std::rc::Rc;

use mq_engine::operations::{Claim, Lead, Settle};
use mq_engine::{Queue, SessionId, Span, Time};

use crate::agenda::Reason;
use crate::entry::Place;
use crate::failure::Failure;
use crate::keyspace::{Absent, Opened, is_due};
use crate::server::{Blocked, Context, OwnedText, WaiterId};
use crate::waiting::{self, Answer, Candidate, Claimed, Consumer, Sender};
use crate::{agenda, sessions};

/// After a change of this queue: serves its waiters, or lets the timer do so when a script or transaction is running,
/// which nobody may see half done.
pub fn after_change(opened: &mut Opened<'_>) {
    if !waiting::is_anybody() && !opened.has_more_due() {
        return;
    }
    let place = opened.place();
    if !opened.in_transaction() {
        serve(opened, &place);
    } else if opened.has_more_due() {
        agenda::plan(&place, opened.clock(), Reason::Rest);
    } else if waiting::count(&place) != (0, 0) {
        agenda::plan(&place, opened.clock(), Reason::Waiters);
    }
}

/// Before a client gets what others have been waiting for: work that is due by now is theirs. Returns whether consumers go on
/// waiting; then whatever comes next is theirs too.
pub fn serve_earlier(opened: &mut Opened<'_>) -> bool {
    if !waiting::is_anybody() || opened.in_transaction() {
        return false;
    }
    let place = opened.place();
    if waiting::count(&place) != (0, 0) {
        bring_up_to_date(opened);
        serve(opened, &place);
    }
    waiting::count(&place).0 > 0
}

/// So many messages, and so many bytes of them, are handed to waiters in one turn, and what the last waiter takes beside that;
/// the rest is the timer's, a millisecond later, so that clients have their turn.
const MESSAGES_PER_TURN: usize = 1000;
const BYTES_PER_TURN: usize = mq_engine::REPLY_BYTES;

/// While a missing key may not come into being because the server is full, its standbys are looked after again this often.
const FULL_RETRY: Span = Span(100);

/// The timer's turn at one queue, whose database the context has selected. Without waiters it only goes on with due work, and
/// starts no term.
pub fn tend(context: Context<'_>, place: &Place, reason: Reason, now: Time) {
    let name = OwnedText::new(&place.name);
    let (consumers, candidates) = waiting::count(place);
    let mut opened = match Opened::for_timer(context, name.text(), now) {
        Ok(opened) => opened,
        // A standby watches over the key; a consumer goes on waiting for the name, as in BLPOP.
        Err(failure) => return fail(waiting::candidates(place), &failure).into_iter().for_each(Blocked::wake),
    };
    if consumers + candidates > 0 || (reason == Reason::Rest && !opened.is_pending()) {
        opened.attempt(bring_up_to_date);
        serve(&mut opened, place);
    }
    opened.close();
}

/// Takes back what is due, and starts the term if one is pending: a waiting claim counts as the first write.
fn bring_up_to_date(opened: &mut Opened<'_>) {
    let clock = opened.clock();
    let is_pending = opened.is_pending();
    if opened.entry().is_some_and(|entry| is_pending || is_due(entry, clock)) {
        // A broken queue's waiters are told so by `serve`.
        opened.on_own_account(|opened| drop(opened.step(&Settle, Absent::Empty)));
    }
}

fn serve(opened: &mut Opened<'_>, place: &Place) {
    let served = opened.attempt(|opened| {
        opened.on_own_account(|opened| {
            if opened.entry().is_some() && opened.queue().is_none() {
                fail(waiting::everybody(place), &Failure::Broken).into_iter().for_each(|waiter| opened.woke(waiter));
            }
            serve_consumers(opened, place);
            serve_candidates(opened, place);
            plan_next(opened, place);
        });
    });
    if served.is_none() {
        agenda::plan(place, opened.clock(), Reason::Waiters); // the queue is broken now, which its waiters are to learn
    }
}

fn fail(waiters: Vec<WaiterId>, failure: &Failure) -> Vec<Blocked> {
    waiters.into_iter().filter_map(|id| waiting::answer(id, Answer::Failed(failure.clone()))).collect()
}

/// Gives a waiter its answer; it is woken when the queue is closed.
fn answer(opened: &mut Opened<'_>, id: WaiterId, answer: Answer) {
    if let Some(waiter) = waiting::answer(id, answer) {
        opened.woke(waiter);
    }
}

/// Whether the user of a waiter may still do what its command asked for: its rights may have changed while it waited.
pub fn is_permitted(context: Context<'_>, sender: &Sender, queue: &[u8], name: &[u8]) -> bool {
    let Some(user) = &sender.user else { return true };
    context.user_of(sender.connection).as_ref() == Some(user) && context.may_run(user, &[&sender.command, queue, name])
}

fn serve_consumers(opened: &mut Opened<'_>, place: &Place) {
    let (mut messages, mut bytes) = (0, 0);
    while messages < MESSAGES_PER_TURN
        && bytes < BYTES_PER_TURN
        && opened.is_claimable()
        && let Some((id, consumer)) = waiting::first_consumer(place)
        && opened.may_serve_one()
    {
        if !is_permitted(opened.context(), &consumer.sender, &place.name, &consumer.name) {
            answer(opened, id, Answer::Failed(Failure::NotPermitted));
            continue;
        }
        let Some(claimed) = claim_for(opened, place, &consumer) else { break };
        if let Answer::Claims { claims, .. } = &claimed {
            messages += claims.len();
            bytes += claims.iter().map(|claim| claim.payload.len()).sum::<usize>();
        }
        answer(opened, id, claimed);
    }
}

/// `None`: there was nothing after all, or it is the next turn's to find out.
fn claim_for(opened: &mut Opened<'_>, place: &Place, consumer: &Consumer) -> Option<Answer> {
    let Consumer { name, count, lease, session, acked, .. } = consumer;
    let claim = Claim { consumer: name, count: *count, lease: *lease, session: *session, acks: &[] };
    let claimed = match opened.step(&claim, Absent::Empty) {
        Ok(claimed) => claimed.filter(|claimed| !claimed.deliveries.is_empty())?,
        Err(failure) => return Some(Answer::Failed(failure)),
    };
    note(*session, place);
    let queue = opened.queue()?;
    let claims = claimed.deliveries.iter().map(|delivery| Claimed {
        receipt: delivery.receipt,
        id: delivery.id,
        deliveries: delivery.deliveries,
        payload: queue.payload(delivery).into(),
    });
    Some(Answer::Claims { acked: *acked, claims: claims.collect() })
}

/// Hands a free leadership to the first standby, then tells the other standbys of its name, which lead with it.
fn serve_candidates(opened: &mut Opened<'_>, place: &Place) {
    if opened.entry().is_none() && !opened.may_create() {
        return;
    }
    while let Some((id, candidate)) = next_candidate(opened, place)
        && opened.may_serve_one()
    {
        let led = match is_permitted(opened.context(), &candidate.sender, &place.name, &candidate.name) {
            true => lead_for(opened, place, &candidate),
            false => Answer::Failed(Failure::NotPermitted),
        };
        answer(opened, id, led);
    }
}

/// The standby that is to be served next: the first one of all if nobody leads, else the first one of the leader's name.
fn next_candidate(opened: &mut Opened<'_>, place: &Place) -> Option<(WaiterId, Rc<Candidate>)> {
    match opened.leader() {
        None => waiting::first_candidate(place),
        Some(leader) => waiting::candidate_named(place, &leader.candidate),
    }
}

fn lead_for(opened: &mut Opened<'_>, place: &Place, candidate: &Candidate) -> Answer {
    let Candidate { name, lease, session, .. } = candidate;
    let lead = Lead { candidate: name, lease: *lease, session: *session, renew: None };
    match opened.step(&lead, Absent::CreateUnlessFull) {
        Ok(led) => {
            note(*session, place);
            Answer::Leader(led.and_then(|led| led.leader))
        }
        Err(failure) => Answer::Failed(failure),
    }
}

fn note(session: Option<SessionId>, place: &Place) {
    if let Some(session) = session {
        sessions::note(session, place.clone());
    }
}

/// Sets the timer for what this queue's waiters wait for, and for due work that is left.
pub fn plan_next(opened: &mut Opened<'_>, place: &Place) {
    let (consumers, candidates) = waiting::count(place);
    let (now, has_more_due) = (opened.clock(), opened.has_more_due());
    let due = if consumers > 0 || has_more_due { opened.clock_at(Queue::next_due) } else { None };
    let claimable = match consumers {
        0 => None,
        // The turn was over before the messages were.
        _ if opened.is_claimable() => Some(now),
        _ => opened.clock_at(Queue::next_claimable).filter(|at| *at > now),
    };
    let leader_ends = if candidates > 0 { next_lead(opened, place) } else { None };
    let reason = if has_more_due { Reason::Rest } else { Reason::Waiters };
    match [due, claimable, leader_ends].into_iter().flatten().min() {
        // What is due already is the rest of what was done just now: clients have their turn first.
        Some(at) => agenda::plan(place, at.max(now.after(Span(1))), reason),
        None if consumers + candidates == 0 => agenda::nobody_waits(place),
        None => {}
    }
}

/// When a standby is to be served next.
fn next_lead(opened: &mut Opened<'_>, place: &Place) -> Option<Time> {
    let now = opened.clock();
    match opened.leader() {
        // The turn was over before the standbys were.
        Some(leader) if waiting::candidate_named(place, &leader.candidate).is_some() => Some(now),
        Some(leader) => Some(now.after(leader.left)),
        None if opened.entry().is_none() && !opened.may_create() => Some(now.after(FULL_RETRY)),
        None => Some(now),
    }
}
