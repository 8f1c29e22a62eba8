//! What ends with a connection: claims and leaderships with SESSION.
//!
//! The server tells of a closed connection at awkward moments: inside another client's command, or while writes are paused.
//! So it is only noted, and the timer ends what the connection held, one queue after the other.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;

use mq_engine::operations::EndSession;
use mq_engine::{SessionId, Time};

use crate::entry::Place;
use crate::keyspace::{Absent, Opened};
use crate::looking::look;
use crate::server::{Context, Global, OwnedText};
use crate::{agenda, moment};

/// Queues that a connection may have named before it is asked in which of them it still holds something.
const CROWDED: usize = 8;

/// What an open connection may hold.
struct Open {
    /// Every queue in which it holds something, and others.
    places: BTreeSet<Place>,
    /// When there are so many, those in which it holds nothing are forgotten.
    crowded_at: usize,
}

struct Sessions {
    open: BTreeMap<SessionId, Open>,
    /// Open ones that have named many queues, and up to where these have been looked at.
    crowded: VecDeque<(SessionId, Option<Place>)>,
    /// Where closed connections may have held something.
    closed: VecDeque<(SessionId, BTreeSet<Place>)>,
}

static SESSIONS: Global<Sessions> =
    Global::new(Sessions { open: BTreeMap::new(), crowded: VecDeque::new(), closed: VecDeque::new() });

/// Notes that a connection may hold something of a queue from now on.
pub fn note(session: SessionId, place: Place) {
    let is_crowded = SESSIONS.with(|sessions| {
        let none = || Open { places: BTreeSet::new(), crowded_at: CROWDED };
        let open = sessions.open.entry(session).or_insert_with(none);
        let is_crowded = open.places.insert(place) && open.places.len() >= open.crowded_at;
        if is_crowded {
            open.crowded_at = usize::MAX; // until it has been thinned out
            sessions.crowded.push_back((session, None));
        }
        is_crowded
    });
    if is_crowded {
        agenda::set_alarm(moment::now());
    }
}

/// Notes that a connection has closed.
pub fn disconnected(session: SessionId) {
    let held_something = SESSIONS.with(|sessions| {
        let open = sessions.open.remove(&session);
        let held_something = open.is_some();
        sessions.closed.extend(open.map(|open| (session, open.places)));
        held_something
    });
    if held_something {
        agenda::set_alarm(moment::now());
    }
}

/// Whether closed connections may have held something that is on nobody's agenda yet.
pub fn are_closed() -> bool {
    !SESSIONS.read().closed.is_empty()
}

/// The next queue in which a closed connection may hold something.
pub fn first_closed() -> Option<Place> {
    SESSIONS.read().closed.front().and_then(|(_, places)| places.first().cloned())
}

/// Takes the next queue in which a closed connection may hold something, to be ended now.
pub fn take_closed() -> Option<(SessionId, Place)> {
    SESSIONS.with(|sessions| {
        let (session, places) = sessions.closed.front_mut()?;
        let (session, place) = (*session, places.pop_first());
        if places.is_empty() {
            sessions.closed.pop_front();
        }
        if sessions.closed.is_empty() {
            sessions.closed = VecDeque::new(); // gives the room back
        }
        place.map(|place| (session, place))
    })
}

/// Ends what closed connections hold of a queue, whose database the context has selected, as much as one turn may. Returns
/// those that hold something still.
///
/// A queue whose next write starts a term is left alone: that ends every session.
pub fn end(context: Context<'_>, sessions: &[SessionId], place: &Place, now: Time) -> Vec<SessionId> {
    let name = OwnedText::new(&place.name);
    let Ok(mut opened) = Opened::for_timer(context, name.text(), now) else { return Vec::new() };
    if opened.is_pending() {
        opened.close();
        return Vec::new();
    }
    let mut left = Vec::new();
    for session in sessions.iter().copied() {
        let ended = opened.attempt(|opened| opened.step(&EndSession { session }, Absent::Empty).is_ok());
        if ended == Some(true) && opened.is_held_by(session) {
            left.push(session);
        }
    }
    opened.finish();
    left
}

/// Forgets queues in which an open connection that has named many holds nothing; so many are looked at in one turn.
pub fn thin_out(context: Context<'_>) {
    const LOOKED_AT: usize = 1000;
    let Some((session, cursor)) = SESSIONS.with(|sessions| sessions.crowded.pop_front()) else { return };
    let places: Vec<Place> = SESSIONS.with(|sessions| {
        let Some(open) = sessions.open.get(&session) else { return Vec::new() };
        let from = cursor.map_or(Bound::Unbounded, Bound::Excluded);
        open.places.range((from, Bound::Unbounded)).take(LOOKED_AT).cloned().collect()
    });
    let idle: Vec<&Place> = places.iter().filter(|place| !holds(context, session, place)).collect();
    SESSIONS.with(|sessions| {
        let Some(open) = sessions.open.get_mut(&session) else { return };
        for place in idle {
            open.places.remove(place);
        }
        match places.last().filter(|_| places.len() == LOOKED_AT) {
            Some(last) => sessions.crowded.push_back((session, Some(last.clone()))),
            None => open.crowded_at = CROWDED.max(open.places.len() * 2),
        }
    });
}

fn holds(context: Context<'_>, session: SessionId, place: &Place) -> bool {
    context.select_db(place.db);
    let name = OwnedText::new(&place.name);
    look(context, name.text(), |queue, glance| queue.is_held_by(session, glance.now)).ok().flatten() == Some(true)
}

/// Whether an open connection is to be thinned out.
pub fn are_crowded() -> bool {
    !SESSIONS.read().crowded.is_empty()
}

/// This server is a primary no more: whatever the next term of a queue finds, it ends.
pub fn clear() {
    SESSIONS.with(|sessions| {
        sessions.open.clear();
        sessions.crowded.clear();
        sessions.closed.clear();
    });
}
