//! How a client begins to wait, and how its wait ends.

use mq_engine::{LeaderView, Span};

use crate::agenda::Reason;
use crate::commands::{Call, claim, leader};
use crate::entry::Place;
use crate::failure::Failure;
use crate::keyspace::Opened;
use crate::looking::look;
use crate::server::{Blocked, Context, OwnedText, WaiterId};
use crate::waiting::{self, Answer, Candidate, Consumer, Due, Kind, Wait};
use crate::{agenda, moment, serving};

/// Lets the client of a CLAIM wait; it is answered later. Returns whether the server can.
pub fn await_messages(call: &Call<'_>, opened: &mut Opened<'_>, consumer: Consumer, limit: Span) -> bool {
    wait(call, opened, limit, |wait| waiting::add_consumer(wait, consumer))
}

/// Lets the client of a LEADER wait; it is answered later. Returns whether the server can.
pub fn await_leadership(call: &Call<'_>, opened: &mut Opened<'_>, candidate: Candidate, limit: Span) -> bool {
    wait(call, opened, limit, |wait| waiting::add_candidate(wait, candidate))
}

/// A server may be unable to let a client wait that it could let wait by its flags: one that has subscribed, say.
fn wait(call: &Call<'_>, opened: &mut Opened<'_>, limit: Span, add: impl FnOnce(Wait)) -> bool {
    let id = waiting::next_id();
    let Some(blocked) = Blocked::new(call.context, call.arguments, id, limit) else { return false };
    let place = opened.place();
    let until = (limit.0 > 0).then(|| moment::now().after(limit));
    add(Wait { id, place: place.clone(), blocked, until });
    serving::plan_next(opened, &place);
    true
}

/// The server's signal that a waiter's key has come into being: the line is looked after in its own order, soon.
pub fn signalled(id: WaiterId) {
    if let Some(place) = waiting::place_of(id) {
        agenda::plan(&place, moment::now(), Reason::Waiters);
    }
}

/// A waiter is gone, or nothing more can be told to it.
pub fn gone(id: WaiterId) {
    let place = waiting::place_of(id);
    waiting::forget(id);
    place.iter().for_each(left);
}

/// A waiter has left this queue's line.
fn left(place: &Place) {
    if waiting::count(place) == (0, 0) {
        agenda::nobody_waits(place);
    }
}

/// A waiter is to be answered: it was woken, or its time is over.
pub fn timed_out(context: Context<'_>, id: WaiterId) {
    let reply = context.reply();
    let place = waiting::place_of(id);
    let due = waiting::take_answer(id);
    place.iter().for_each(left);
    match due {
        Due::Answer(Answer::Claims { acked, claims }) => {
            let messages = claims.iter().map(|claim| (claim.receipt, claim.id, claim.deliveries, &*claim.payload));
            claim::reply(reply, acked, messages);
        }
        Due::Answer(Answer::Leader(leader)) => leader::reply(reply, leader.as_ref()),
        Due::Answer(Answer::Failed(failure)) => reply.error(&failure.to_string()),
        Due::TimeIsOver(Kind::Messages(acked), _) => claim::reply(reply, acked, std::iter::empty()),
        Due::TimeIsOver(Kind::Leadership(candidate), place) => match current_leader(context, &place, &candidate) {
            Ok(leader) => leader::reply(reply, leader.as_ref()),
            Err(failure) => reply.error(&failure.to_string()),
        },
        Due::Nothing => reply.null(),
    }
}

fn current_leader(context: Context<'_>, place: &Place, asked: &Candidate) -> Result<Option<LeaderView>, Failure> {
    if !serving::is_permitted(context, &asked.sender, &place.name, &asked.name) {
        return Err(Failure::NotPermitted);
    }
    let name = OwnedText::new(&place.name);
    Ok(look(context, name.text(), |queue, glance| glance.leader(queue))?.flatten())
}
