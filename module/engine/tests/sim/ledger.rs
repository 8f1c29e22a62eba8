//! What must be true over all time, from the replies alone: no number given twice, whatever was lost meanwhile; and in the
//! history that survives, at most one completion per message, tokens that only grow, a stream without gap or repeat, and
//! no message gone that nobody took.

use super::op::{Op, Reply};
use mq_engine::{Id, Queue, Totals};
use std::collections::{BTreeSet, HashMap, HashSet};

/// The producer whose numbers all generators share.
pub const STREAM: u8 = 0;

const KINDS: [&str; 3] = ["id", "receipt", "token"];

#[derive(Debug)]
enum Undo {
    Last([u64; 3]),
    Accepted(u64),
    Gone(u64),
    Completed(u64),
    Spent(u64),
    Newest(u64, Option<u64>),
    Stream(u64),
    Fence(u64),
}

#[derive(Debug, Default)]
pub struct Ledger {
    /// Given over all time, in histories that were lost too.
    given: [HashSet<u64>; 3],
    of_claim: HashMap<u64, u64>,
    /// How to go back to an earlier position of the log.
    undo: Vec<(usize, Undo)>,
    last: [u64; 3],
    highest: [u64; 3],
    alive: BTreeSet<u64>,
    completed: HashSet<u64>,
    /// Receipts with which an ACK or FAIL counted.
    spent: HashSet<u64>,
    newest: HashMap<u64, u64>,
    pub stream: u64,
    fence: u64,
}

impl Ledger {
    fn note(&mut self, position: usize, undo: Undo) {
        self.undo.push((position, undo));
    }

    /// The history behind this position is lost.
    pub fn back_to(&mut self, position: usize) {
        while self.undo.last().is_some_and(|(at, _)| *at >= position) {
            match self.undo.pop().expect("just seen").1 {
                Undo::Last(last) => self.last = last,
                Undo::Accepted(id) => drop(self.alive.remove(&id)),
                Undo::Gone(id) => drop(self.alive.insert(id)),
                Undo::Completed(id) => drop(self.completed.remove(&id)),
                Undo::Spent(receipt) => drop(self.spent.remove(&receipt)),
                Undo::Newest(id, Some(before)) => drop(self.newest.insert(id, before)),
                Undo::Newest(id, None) => drop(self.newest.remove(&id)),
                Undo::Stream(before) => self.stream = before,
                Undo::Fence(before) => self.fence = before,
            }
        }
    }

    /// Above it no number of this kind was ever given, in lost histories neither.
    pub fn highest(&self, kind: usize) -> u64 {
        self.highest[kind]
    }

    fn give(&mut self, position: usize, kind: usize, number: u64) {
        assert!(self.given[kind].insert(number), "the {} {number} is given twice", KINDS[kind]);
        assert!(number > self.last[kind], "the {} {number} is not above {}", KINDS[kind], self.last[kind]);
        assert!(number < mq_engine::NUMBER_LIMIT);
        self.note(position, Undo::Last(self.last));
        self.last[kind] = number;
        self.highest[kind] = self.highest[kind].max(number);
    }

    /// A step that was recorded at this position, and what the queue became by it.
    pub fn saw(&mut self, position: usize, op: &Op, reply: &Reply, queue: &Queue, before: &Totals) {
        if let (Op::Push(push), Reply::Pushed { first, duplicate: false }) = (op, reply) {
            let count = push.payloads.len() as u64;
            for id in *first..*first + count {
                self.give(position, 0, id);
                self.alive.insert(id);
                self.note(position, Undo::Accepted(id));
            }
            if let Some((STREAM, number)) = push.sequence {
                // A queue without a leader of its own, whose first records were lost, takes a producer that it does not
                // know wherever that one goes on.
                let unknown = self.stream == 0 && queue.leader_changes() == 0;
                assert!(number == self.stream || unknown, "the stream goes on with {number}, not {}", self.stream);
                self.note(position, Undo::Stream(self.stream));
                self.stream = number + count;
            }
            if let Some(token) = push.fence {
                self.fence(position, token);
            }
        }
        if let (Op::RaiseFence { token, .. }, Reply::Count(_)) = (op, reply) {
            self.fence(position, *token);
        }
        self.completions(position, op, reply, queue, before);
        match reply {
            Reply::Claimed { got, .. } => {
                got.iter().for_each(|(receipt, id, ..)| self.claimed(position, *receipt, *id));
            }
            Reply::Drained(got) => {
                for (receipt, id, ..) in got.iter().filter(|drained| drained.0 > 0) {
                    self.claimed(position, *receipt, *id);
                }
            }
            Reply::Led { won: true, token: Some(token) } if !self.given[2].contains(token) => {
                self.give(position, 2, *token);
            }
            _ => {}
        }
    }

    fn fence(&mut self, position: usize, token: u64) {
        assert!(token >= self.fence, "the token {token} is accepted after {}", self.fence);
        self.note(position, Undo::Fence(self.fence));
        self.fence = token;
    }

    fn claimed(&mut self, position: usize, receipt: u64, id: u64) {
        self.give(position, 1, receipt);
        self.of_claim.insert(receipt, id);
        let before = self.newest.insert(id, receipt);
        self.note(position, Undo::Newest(id, before));
    }

    fn spend(&mut self, position: usize, receipt: u64) {
        assert!(self.spent.insert(receipt), "the receipt {receipt} counts twice");
        self.note(position, Undo::Spent(receipt));
    }

    fn completions(&mut self, position: usize, op: &Op, reply: &Reply, queue: &Queue, before: &Totals) {
        let done = queue.totals().since(before);
        let gone = done.acked + done.drained + done.removed + done.dropped;
        if gone > 0 {
            let vanished: Vec<u64> = self.alive.iter().copied().filter(|id| queue.peek_id(Id(*id)).is_none()).collect();
            assert_eq!(vanished.len() as u64, gone, "as many messages are gone as were taken");
            for id in &vanished {
                self.alive.remove(id);
                self.note(position, Undo::Gone(*id));
            }
            let mut counted = 0;
            // Where errors were dropped in the same step, replies do not tell which of the messages went how.
            if let (Op::Ack(acks) | Op::Claim { acks, .. }, 0) = (op, done.dropped) {
                for receipt in acks.iter().collect::<BTreeSet<_>>() {
                    let Some(id) = self.of_claim.get(receipt).copied().filter(|id| vanished.contains(id)) else {
                        continue;
                    };
                    if self.newest.get(&id) == Some(receipt) {
                        counted += 1;
                        assert!(self.completed.insert(id), "message {id} is completed twice");
                        self.note(position, Undo::Completed(id));
                        self.spend(position, *receipt);
                    }
                }
                assert_eq!(counted, gone, "only the newest receipt of a message completes it");
                let (Reply::Count(told) | Reply::Claimed { acked: told, .. }) = reply else { return };
                assert_eq!(*told, counted, "as many completions are counted as there were");
            }
        }
        let info = queue.totals();
        let left = info.pushed - info.acked - info.drained - info.removed - info.dropped;
        assert_eq!(self.alive.len() as u64, left, "no message of the surviving history is lost");
        if let (Op::Fail { receipt, .. }, Reply::Failed(1 | 2)) = (op, reply) {
            let id = self.of_claim.get(receipt);
            assert_eq!(id.and_then(|id| self.newest.get(id)), Some(receipt), "only the newest receipt counts");
            self.spend(position, *receipt);
        }
    }
}
