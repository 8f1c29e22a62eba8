//! Hand-off: a queue that has changed serves those who wait for it, one after the other, in the order they came.
//!
//! A waiter's claim is made here, in the context of whoever brought the message, and sent to the replicas as an effect;
//! the waiter is woken when all is done and only has to be told. So it makes no difference whether the server runs the
//! woken client's callback at once or later, and no reference into a queue is alive when it does.

use mq_engine::operations::{Claim, Lead, Settle};
use mq_engine::{Queue, SessionId, Span, Time};

use crate::agenda::Reason;
use crate::entry::Place;
use crate::failure::Failure;
use crate::keyspace::{Absent, Opened, is_due};
use crate::server::{Blocked, Context, OwnedText, WaiterId};
use crate::waiting::{self, Answer, Candidate, Claimed, Consumer};
use crate::{agenda, guard, sessions};

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

/// Before a client gets what others have been waiting for: work that is due by now is theirs. Whether consumers go on waiting,
/// and whatever comes next is theirs too.
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

/// While a missing key may not come into being here, its standbys are looked after again this often.
const SLOT_RETRY: Span = Span(100);

/// The timer's turn at one queue. Without waiters it only goes on with due work, and starts no term.
pub fn tend(context: Context<'_>, place: &Place, reason: Reason, now: Time) {
    context.select_db(place.db);
    let name = OwnedText::new(&place.name);
    let (consumers, candidates) = waiting::count(place);
    let mut opened = match Opened::for_timer(context, name.text(), now) {
        Ok(opened) => opened,
        // A standby watches over the key; a consumer goes on waiting for the name, as in BLPOP.
        Err(failure) => return wake(fail(waiting::candidates(place), &failure)),
    };
    if opened.entry().is_none() && candidates > 0 && !context.may_create(name.text()) {
        return agenda::plan(place, now.after(SLOT_RETRY), reason); // if the slot goes, the server sends the waiters after it
    }
    if consumers + candidates > 0 || (reason == Reason::Rest && !opened.is_pending()) {
        bring_up_to_date(&mut opened);
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
    let mut woken = Vec::new();
    let served = guard::contained(|| {
        opened.on_own_account(|opened| {
            if opened.entry().is_some() && opened.queue().is_none() {
                woken.extend(fail(waiting::everybody(place), &Failure::Broken));
            }
            serve_consumers(opened, place, &mut woken);
            serve_candidates(opened, place, &mut woken);
            plan_next(opened, place);
        });
    });
    if served.is_none() {
        agenda::plan(place, opened.clock(), Reason::Waiters); // the queue is broken now, which its waiters are to learn
    }
    wake(woken);
}

/// From here on no reference into a queue is alive.
fn wake(woken: Vec<Blocked>) {
    woken.into_iter().for_each(Blocked::wake);
}

fn fail(waiters: Vec<WaiterId>, failure: &Failure) -> Vec<Blocked> {
    waiters.into_iter().filter_map(|id| waiting::answer(id, Answer::Failed(failure.clone()))).collect()
}

fn serve_consumers(opened: &mut Opened<'_>, place: &Place, woken: &mut Vec<Blocked>) {
    let (mut messages, mut bytes) = (0, 0);
    while messages < MESSAGES_PER_TURN
        && bytes < BYTES_PER_TURN
        && opened.is_claimable()
        && let Some((id, consumer)) = waiting::first_consumer(place)
        && let Some(answer) = claim_for(opened, place, &consumer)
    {
        if let Answer::Claims { claims, .. } = &answer {
            messages += claims.len();
            bytes += claims.iter().map(|claim| claim.payload.len()).sum::<usize>();
        }
        woken.extend(waiting::answer(id, answer));
    }
}

/// `None`: there was nothing after all, or it is the next turn's to find out.
fn claim_for(opened: &mut Opened<'_>, place: &Place, consumer: &Consumer) -> Option<Answer> {
    let Consumer { name, count, lease, session, acked } = consumer;
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

fn serve_candidates(opened: &mut Opened<'_>, place: &Place, woken: &mut Vec<Blocked>) {
    while opened.leader().is_none()
        && let Some((id, candidate)) = waiting::first_candidate(place)
    {
        let answer = lead_for(opened, place, &candidate);
        woken.extend(waiting::answer(id, answer));
        while opened.leader().is_some()
            && let Some((id, candidate)) = waiting::candidate_named(place, &candidate.name)
        {
            let answer = lead_for(opened, place, &candidate);
            woken.extend(waiting::answer(id, answer));
        }
    }
}

fn lead_for(opened: &mut Opened<'_>, place: &Place, candidate: &Candidate) -> Answer {
    let Candidate { name, lease, session } = candidate;
    let lead = Lead { candidate: name, lease: *lease, session: *session, renew: None };
    match opened.step(&lead, Absent::Create) {
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
    let leader = if candidates > 0 { opened.leader() } else { None };
    let due = if consumers > 0 || has_more_due { opened.clock_at(Queue::next_due) } else { None };
    let claimable = match consumers {
        0 => None,
        // The turn was over before the messages were.
        _ if opened.is_claimable() => Some(now),
        _ => opened.clock_at(Queue::next_claimable).filter(|at| *at > now),
    };
    let leader_ends = leader.map(|leader| now.after(leader.left));
    let reason = if has_more_due { Reason::Rest } else { Reason::Waiters };
    match [due, claimable, leader_ends].into_iter().flatten().min() {
        // What is due already is the rest of what was done just now: clients have their turn first.
        Some(at) => agenda::plan(place, at.max(now.after(Span(1))), reason),
        None if consumers + candidates == 0 => agenda::nobody_waits(place),
        None => {}
    }
}
