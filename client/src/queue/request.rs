//! The options of the commands that have more than a few, and how they stand on the wire.

use std::time::Duration;

use redis::Cmd;

use super::message::{Id, Receipt, Token};

/// Options of MQ.PUSH.
#[derive(Clone, Debug, Default)]
pub struct Push<'a> {
    /// Ready that much later.
    pub delay: Option<Duration>,
    /// 0 … 255, higher first.
    pub priority: Option<u8>,
    /// Accepted only while this is the token of the current leader.
    pub fence: Option<Token>,
    /// The producer, and the number of the first payload.
    pub seq: Option<(&'a str, u64)>,
}

impl Push<'_> {
    pub(super) fn write(&self, command: &mut Cmd) {
        if let Some(delay) = self.delay {
            command.arg("DELAY").arg(millis(delay));
        }
        if let Some(priority) = self.priority {
            command.arg("PRIORITY").arg(priority);
        }
        if let Some(token) = self.fence {
            command.arg("FENCE").arg(token.0);
        }
        if let Some((producer, number)) = self.seq {
            command.arg("SEQ").arg(producer).arg(number);
        }
    }
}

/// Whether a claim or a leadership also ends when the connection that asked for it closes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bond {
    /// It ends with its lease only.
    #[default]
    Lease,
    /// It ends with its lease or with the connection, whichever comes first.
    Session,
}

impl Bond {
    fn write(self, command: &mut Cmd) {
        if self == Self::Session {
            command.arg("SESSION");
        }
    }
}

/// Options of MQ.CLAIM.
#[derive(Clone, Debug)]
pub struct Claim {
    /// At most so many messages.
    pub count: usize,
    /// For how long; `None`: the queue's own lease.
    pub lease: Option<Duration>,
    /// How long to wait for the first message; `None`: not at all, zero: for ever.
    pub block: Option<Duration>,
    /// What the claims depend on.
    pub bond: Bond,
}

impl Default for Claim {
    fn default() -> Self {
        Self { count: 1, lease: None, block: None, bond: Bond::Lease }
    }
}

impl Claim {
    pub(super) fn write(&self, command: &mut Cmd) {
        command.arg("COUNT").arg(self.count);
        write_lease_and_block(command, self.lease, self.block);
        self.bond.write(command);
    }
}

/// What MQ.FAIL is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure<'a> {
    /// The claim that failed.
    pub receipt: Receipt,
    /// Ready again after so long, while the queue's max-deliveries allows it; `None`: to the error store.
    pub retry: Option<Duration>,
    /// Why; the server keeps 1 KiB of it.
    pub reason: &'a str,
}

impl Failure<'_> {
    pub(super) fn write(&self, command: &mut Cmd) {
        command.arg(self.receipt.0);
        if let Some(retry) = self.retry {
            command.arg("RETRY").arg(millis(retry));
        }
        command.arg("REASON").arg(self.reason);
    }
}

/// Options of MQ.LEADER for a candidate.
#[derive(Clone, Debug, Default)]
pub struct Candidacy {
    /// For how long; `None`: the queue's own lease.
    pub lease: Option<Duration>,
    /// How long to stand by; `None`: not at all, zero: for ever.
    pub block: Option<Duration>,
    /// What the leadership depends on.
    pub bond: Bond,
    /// Renew only: never take a free leadership.
    pub token: Option<Token>,
}

impl Candidacy {
    pub(super) fn write(&self, command: &mut Cmd) {
        write_lease_and_block(command, self.lease, self.block);
        self.bond.write(command);
        if let Some(token) = self.token {
            command.arg("TOKEN").arg(token.0);
        }
    }
}

/// Options of MQ.DRAINERRORS.
#[derive(Clone, Debug, Default)]
pub struct Drain {
    /// At most so many (the server allows 5,000); `None`: the server's default, 1,000.
    pub count: Option<usize>,
    /// Claim them for that long instead of taking them at once.
    pub lease: Option<(Duration, Bond)>,
}

impl Drain {
    pub(super) fn write(&self, command: &mut Cmd) {
        if let Some(count) = self.count {
            command.arg("COUNT").arg(count);
        }
        if let Some((lease, bond)) = self.lease {
            command.arg("LEASE").arg(millis(lease));
            bond.write(command);
        }
    }
}

/// Options of MQ.PEEK for the messages of one state.
#[derive(Clone, Debug)]
pub struct Peek {
    /// Only messages with larger ids.
    pub after: Option<Id>,
    /// At most so many (the server allows 1,000).
    pub count: u64,
    /// Only the first so many bytes of each payload; `None`: all of them.
    pub bytes: Option<u32>,
}

impl Peek {
    pub(super) fn write(&self, command: &mut Cmd) {
        if let Some(id) = self.after {
            command.arg("AFTER").arg(id.0);
        }
        command.arg("COUNT").arg(self.count);
        if let Some(bytes) = self.bytes {
            command.arg("BYTES").arg(bytes);
        }
    }
}

fn write_lease_and_block(command: &mut Cmd, lease: Option<Duration>, block: Option<Duration>) {
    if let Some(lease) = lease {
        command.arg("LEASE").arg(millis(lease));
    }
    if let Some(block) = block {
        command.arg("BLOCK").arg(millis(block));
    }
}

/// A span as the commands want it, in whole milliseconds.
pub(crate) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(write: impl Fn(&mut Cmd)) -> String {
        let mut command = Cmd::new();
        write(&mut command);
        let words: Vec<String> = command
            .args_iter()
            .map(|arg| match arg {
                redis::Arg::Simple(word) => String::from_utf8_lossy(word).into_owned(),
                _ => "?".to_owned(),
            })
            .collect();
        words.join(" ")
    }

    #[test]
    fn options_stand_on_the_wire_in_the_order_of_the_reference() {
        let push =
            Push { delay: Some(Duration::from_secs(1)), priority: Some(7), fence: Some(Token(5)), seq: Some(("p", 9)) };
        assert_eq!(words(|c| push.write(c)), "DELAY 1000 PRIORITY 7 FENCE 5 SEQ p 9");
        let claim =
            Claim { count: 8, lease: Some(Duration::from_secs(30)), block: Some(Duration::ZERO), bond: Bond::Session };
        assert_eq!(words(|c| claim.write(c)), "COUNT 8 LEASE 30000 BLOCK 0 SESSION");
        let failure = Failure { receipt: Receipt(7), retry: Some(Duration::from_secs(2)), reason: "why" };
        assert_eq!(words(|c| failure.write(c)), "7 RETRY 2000 REASON why");
        assert_eq!(words(|c| Failure { retry: None, ..failure }.write(c)), "7 REASON why");
        let renewal = Candidacy {
            lease: Some(Duration::from_millis(900)),
            bond: Bond::Session,
            token: Some(Token(3)),
            ..Candidacy::default()
        };
        assert_eq!(words(|c| renewal.write(c)), "LEASE 900 SESSION TOKEN 3");
        let drain = Drain { count: Some(10), lease: Some((Duration::from_secs(1), Bond::Session)) };
        assert_eq!(words(|c| drain.write(c)), "COUNT 10 LEASE 1000 SESSION");
        let peek = Peek { after: Some(Id(7)), count: 5, bytes: Some(0) };
        assert_eq!(words(|c| peek.write(c)), "AFTER 7 COUNT 5 BYTES 0");
    }
}
