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
    server: usize,
    /// How many promotions there had been for the server that gave it.
    reign: u64,
    until: u64,
}

/// A lease when the command names none: as long as the queue's may be at most, so that it does not matter.
const SOME_LEASE: u64 = 50;

#[derive(Debug, Default)]
pub struct Known {
    held: Vec<Held>,
    /// Servers that have refused a command, and none since; and what a reader saw there.
    refusing: BTreeMap<usize, u64>,
}

impl Known {
    /// A server has refused a client's command by its rules; another client has read the queue.
    pub fn refused(&mut self, server: usize, seen: u64) {
        let before = *self.refusing.entry(server).or_insert(seen);
        if before != seen {
            wrong("a queue has changed while every command was refused");
        }
    }

    /// A server tells that it takes writes (INFO does), or starts.
    pub fn accepts(&mut self, server: usize) {
        self.refusing.remove(&server);
    }

    /// A client has got its answer.
    pub fn told(&mut self, server: usize, reign: u64, time: u64, op: &Op, reply: &Reply) {
        self.held.retain(|held| held.until > time);
        let gives = |what, number, lease: Option<u64>| {
            let until = time + lease.unwrap_or(SOME_LEASE);
            Held { what, number, server, reign, until }
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
        let rival = self.held.iter().find(|held| held.what == new.what && held.reign > new.reign);
        match (rival, new.what) {
            (Some(rival), What::Leadership) => wrong(&format!("two leaders at one time: {rival:?}, {new:?}")),
            (Some(rival), What::Message(_)) => wrong(&format!("two hold a message at one time: {rival:?}, {new:?}")),
            (None, _) => {}
        }
        if self.refusing.contains_key(&new.server) {
            wrong(&format!("a server that refuses every command has given {new:?}"));
        }
        self.held.push(new);
    }
}
