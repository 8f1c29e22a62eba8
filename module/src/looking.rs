//! A queue, opened by its name to be looked at.

use mq_engine::{LeaderView, Queue, Time};

use crate::entry::{Entry, Place};
use crate::failure::Failure;
use crate::moment;
use crate::server::{Access, Context, Key, OwnedText, Text};

/// Looks at a queue without changing it. `None`: it is missing.
///
/// # Errors
/// The key holds something else, or the queue is broken.
pub fn look<R>(
    context: Context<'_>,
    name: Text<'_>,
    act: impl FnOnce(&Queue, &Glance<'_>) -> R,
) -> Result<Option<R>, Failure> {
    let mut key = Key::open(context, name, Access::Read)?;
    let Some(entry) = key.entry() else { return Ok(None) };
    let entry: &Entry = entry;
    // A copy has no terms of its own: who led on the primary leads, until this server writes.
    let is_pending = context.flags().is_serving_primary() && entry.is_pending(context.db(), name.bytes());
    let glance = Glance { entry, now: entry.time(moment::now()), is_pending };
    Ok(Some(act(entry.queue()?, &glance)))
}

/// Whether a key of this name is here, whatever it holds.
pub fn exists(context: Context<'_>, place: &Place) -> bool {
    context.select_db(place.db);
    let name = OwnedText::new(&place.name);
    Key::open(context, name.text(), Access::Read).map_or(true, |mut key| key.entry().is_some())
}

impl Glance<'_> {
    /// Who leads.
    pub fn leader(&self, queue: &Queue) -> Option<LeaderView> {
        if self.is_pending { None } else { queue.leader(self.now) }
    }
}

/// What there is beside the queue's state.
pub struct Glance<'e> {
    /// Its value.
    pub entry: &'e Entry,
    /// The moment, as the queue's time has it.
    pub now: Time,
    /// Whether nobody leads until the next write, whatever the state says.
    pub is_pending: bool,
}
