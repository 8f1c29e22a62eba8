//! A time in which a server refuses every write, and what its queue must be like at the end of it.

use super::{Arena, QUEUE};
use crate::{
    Server,
    history::{At, What, Whom},
};

/// What no refused command changes, as the server itself tells it.
#[derive(PartialEq, Eq, Debug)]
struct Observed {
    digest: String,
    delivered: i64,
    leader_changes: i64,
}

impl Observed {
    fn of(server: &Server) -> Self {
        let mut c = server.connect();
        let info = c.balanced(QUEUE);
        let (delivered, leader_changes) = (info.int("delivered"), info.int("leader-changes"));
        Self { digest: c.digest(QUEUE), delivered, leader_changes }
    }
}

/// A server refuses every write from the moment at which this was made until [`end`](Self::end).
#[must_use]
pub struct Silence<'a> {
    arena: &'a Arena,
    server: &'a Server,
    from: At,
    before: Observed,
}

impl Silence<'_> {
    /// Tells the judge, while the server still refuses, that it did all the time, and whether the queue has changed.
    pub fn end(self) {
        let Self { arena, server, from, before } = self;
        let after = Observed::of(server);
        if before != after {
            let evidence = format!("the queue became {after:?} after {before:?}");
            arena.history.add(0, server.port(), from, true, What::Changed { evidence });
        }
        arena.was_refused_by(server, from);
    }
}

impl Arena {
    /// The server refuses every write, as the test has just seen.
    pub fn silence_of<'a>(&'a self, server: &'a Server) -> Silence<'a> {
        Silence { arena: self, server, from: self.history.now(), before: Observed::of(server) }
    }

    /// Tells the judge that the server has refused every write since `from` and still does.
    pub fn was_refused_by(&self, server: &Server, from: At) {
        self.history.add(0, server.port(), from, true, What::Refusal(Whom::Everyone));
    }

    /// Tells the judge that the user with few rights has had none of them since `from` and still has none.
    pub fn was_without_rights(&self, server: &Server, from: At) {
        for client in self.limited() {
            self.history.add(client, server.port(), from, true, What::Refusal(Whom::Client));
        }
    }
}
