//! What ends with a connection: claims and leaderships with SESSION.
//!
//! The server tells of a closed connection at awkward moments: inside another client's command, or while writes are paused.
//! So it is only noted, and the timer ends what the connection held.

use std::collections::{BTreeMap, BTreeSet};

use mq_engine::operations::EndSession;
use mq_engine::{SessionId, Time};

use crate::entry::Place;
use crate::keyspace::{Absent, Opened};
use crate::server::{Context, Global, OwnedText};
use crate::{agenda, guard, moment};

struct Sessions {
    /// Where each connection may hold something. An entry goes with its connection, so there are never more of them than
    /// queues that the connection has named.
    open: BTreeMap<SessionId, BTreeSet<Place>>,
    closed: Vec<(SessionId, Place)>,
}

static SESSIONS: Global<Sessions> = Global::new(Sessions { open: BTreeMap::new(), closed: Vec::new() });

/// This connection may hold something of that queue from now on.
pub fn note(session: SessionId, place: Place) {
    SESSIONS.with(|sessions| sessions.open.entry(session).or_default().insert(place));
}

/// A connection has closed.
pub fn disconnected(session: SessionId) {
    let held_something = SESSIONS.with(|sessions| {
        let places = sessions.open.remove(&session);
        let held_something = places.is_some();
        sessions.closed.extend(places.into_iter().flatten().map(|place| (session, place)));
        held_something
    });
    if held_something {
        agenda::set_alarm(moment::now());
    }
}

/// Whether a closed connection's things have not been ended yet.
pub fn are_closed() -> bool {
    !SESSIONS.read().closed.is_empty()
}

/// Ends what closed connections held, in at most so many queues. Returns how many may still be looked after.
pub fn end_closed(context: Context<'_>, now: Time, most: usize) -> usize {
    let mut left = most;
    while left > 0
        && let Some((session, place)) = SESSIONS.with(|sessions| sessions.closed.pop())
    {
        guard::contained(|| end(context, session, &place, now));
        left -= 1;
    }
    left
}

/// A queue whose next write starts a term is left alone: that ends every session.
fn end(context: Context<'_>, session: SessionId, place: &Place, now: Time) {
    context.select_db(place.db);
    let name = OwnedText::new(&place.name);
    let Ok(mut opened) = Opened::for_timer(context, name.text(), now) else { return };
    if !opened.is_pending() && opened.step(&EndSession { session }, Absent::Empty).is_ok() {
        opened.finish();
    }
}

/// This server is a primary no more: whatever the next term of a queue finds, it ends.
pub fn clear() {
    SESSIONS.with(|sessions| {
        sessions.open.clear();
        sessions.closed.clear();
    });
}
