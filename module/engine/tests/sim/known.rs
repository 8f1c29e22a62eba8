//! What the clients of all servers know between them: who was given what by whom, and who was refused. It knows nothing of
//! what the servers are for each other, and judges what must never be seen, however the servers fare.

use super::op::{Op, Reply};
use super::wrong;
use std::collections::BTreeMap;

/// What a client may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Leadership,
    Message(u64),
}

/// Something that a client was given, for as long as it trusts in it.
#[derive(Clone, Copy, Debug)]
struct Held {
    what: What,
    /// The receipt, or the token.
    number: u64,
    by: Teller,
    until: u64,
}

/// A primary.
#[derive(Clone, Copy, Debug)]
pub struct Teller {
    pub server: usize,
    /// How many promotions there were before it, its own included.
    pub reign: u64,
}

#[derive(Debug, Default)]
pub struct Known {
    held: Vec<Held>,
    /// Servers that have refused a command, and none since; and what a reader saw there.
    refusing: BTreeMap<usize, u64>,
    /// Whether clients tell each other of refusals; what they were given must be enough to find out two primaries.
    tell_of_refusals: bool,
}

impl Known {
    pub fn new(tell_of_refusals: bool) -> Known {
        Known { tell_of_refusals, ..Known::default() }
    }

    /// A server has refused a client's command by its rules; another client has read the queue.
    pub fn refused(&mut self, server: usize, seen: u64) {
        if !self.tell_of_refusals {
            return;
        }
        let before = *self.refusing.entry(server).or_insert(seen);
        if before != seen {
            wrong("a queue has changed while every command was refused");
        }
    }

    /// A server tells that it takes writes (INFO does), or starts.
    pub fn accepts(&mut self, server: usize) {
        self.refusing.remove(&server);
    }

    /// A client has got its answer. `usual`: the lease if its command named none.
    pub fn told(&mut self, by: Teller, time: u64, usual: u64, op: &Op, reply: &Reply) {
        self.held.retain(|held| held.until > time);
        let gives = |what, number, lease: Option<u64>| {
            let until = time + lease.unwrap_or(usual);
            Held { what, number, by, until }
        };
        match (op, reply) {
            (Op::Claim { acks, lease, .. }, Reply::Claimed { got, .. }) => {
                self.end(acks);
                got.iter().for_each(|(receipt, id, ..)| self.given(gives(What::Message(*id), *receipt, *lease)));
            }
            (Op::Drain { lease: Some(lease), .. }, Reply::Drained(got)) => {
                got.iter().for_each(|error| self.given(gives(What::Message(error.1), error.0, Some(*lease))));
            }
            (Op::Lead { lease, .. }, Reply::Led { won: true, token: Some(token) }) => {
                self.end(&[*token]);
                self.given(gives(What::Leadership, *token, *lease));
            }
            (Op::Resign { token, .. }, _) => self.end(&[*token]),
            (Op::Ack(receipts) | Op::Release(receipts) | Op::Extend { receipts, .. }, _) => self.end(receipts),
            (Op::Fail { receipt, .. }, _) => self.end(&[*receipt]),
            _ => {}
        }
    }

    /// Who gives something back trusts in it no longer.
    fn end(&mut self, numbers: &[u64]) {
        self.held.retain(|held| !numbers.contains(&held.number));
    }

    /// A client is given something.
    fn given(&mut self, new: Held) {
        // What an old primary gave before it was cut off may overlap: the fence and the receipts are there for that. But once
        // clients hold something of its successor, it must not give the same to others.
        let rival = self.held.iter().find(|held| held.what == new.what && held.by.reign > new.by.reign);
        match (rival, new.what) {
            (Some(rival), What::Leadership) => wrong(&format!("two leaders at one time: {rival:?}, {new:?}")),
            (Some(rival), What::Message(_)) => wrong(&format!("two hold a message at one time: {rival:?}, {new:?}")),
            (None, _) => {}
        }
        if self.refusing.contains_key(&new.by.server) {
            wrong(&format!("a server that refuses every command has given {new:?}"));
        }
        self.held.push(new);
    }
}
