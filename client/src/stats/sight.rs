//! A queue in sight: looked at again and again, also when its server goes away and comes back.

use std::sync::Arc;

use crate::connection::{Connection, Endpoint};
use crate::error::{Error, Result};
use crate::queue::Queue;

/// A queue to look at. A lost connection is replaced with the next look.
#[derive(Debug)]
pub(super) struct Sight {
    endpoint: Arc<Endpoint>,
    connected: Option<Queue>,
}

impl Sight {
    pub(super) fn new(queue: Queue, endpoint: &Arc<Endpoint>) -> Self {
        Self { endpoint: Arc::clone(endpoint), connected: Some(queue) }
    }

    /// One look. Errors: what `look` says; there is no connection.
    pub(super) async fn look<T>(&mut self, look: impl AsyncFnOnce(&Queue) -> Result<T>) -> Result<T> {
        let queue = match &mut self.connected {
            Some(queue) => queue,
            none => none.insert(Queue::new(Connection::open(&self.endpoint).await?, self.endpoint.queue())),
        };
        let seen = look(queue).await;
        if seen.as_ref().is_err_and(Error::is_lost) {
            self.connected = None;
        }
        seen
    }
}
