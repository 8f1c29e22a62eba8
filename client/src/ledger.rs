//! A ledger of completions that does not trust the queue's own books: for proofs, not for daily use.
//!
//! With `--ledger KEY` each completion is done by a script that, in one atomic step, calls MQ.ACK or MQ.FAIL and,
//! only if that counted, increments the counter of this message's number. A failure that is to be retried completes
//! nothing, and is not noted. Three keys:
//!
//! | key | content |
//! |---|---|
//! | `KEY` | bitfield, byte *n* = how often number *n* was processed (u8, saturating) |
//! | `KEY:failed` | bitfield, byte *n* = how often number *n* failed |
//! | `KEY:terms` | hash, token → `number at-µs candidate`: the first push accepted under it, when, and whose it was |
//!
//! In a cluster they must lie in the queue's slot: give both names one hash tag (`--queue '{q}' --ledger
//! '{q}:ledger'`). A payload that is no decimal number below 2^29 is completed without an entry.

use redis::Script;
use redis::Value;

use crate::error::{Brief, Error, Result};
use crate::leadership::Leader;
use crate::queue::{Failure, Queue, Receipt, millis};

/// Numbers from here on have no byte: a Redis string ends at 512 MiB.
const NUMBERS: u32 = 1 << 29;

/// KEYS: queue, processed, failed. ARGV: how many receipts to acknowledge; for each receipt, number; then for each
/// failure receipt, number, the time to its retry in ms or an empty string, reason. Returns how many counted. The queue
/// may refuse a retry (max-deliveries), so its answer, not the wish, decides whether a failure is noted. The shebang makes
/// Redis refuse the script as a whole when it is out of memory, instead of between a completion and its entry; so does the
/// look at both bitfields when one of them is something else.
const SCRIPT: &str = r"#!lua
redis.call('BITFIELD', KEYS[2], 'GET', 'u8', 0)
redis.call('BITFIELD', KEYS[3], 'GET', 'u8', 0)
local counted = 0
local failures = 2 + 2 * tonumber(ARGV[1])
for i = 2, failures - 1, 2 do
  if redis.call('MQ.ACK', KEYS[1], ARGV[i]) == 1 then
    redis.call('BITFIELD', KEYS[2], 'OVERFLOW', 'SAT', 'INCRBY', 'u8', '#' .. ARGV[i + 1], 1)
    counted = counted + 1
  end
end
for i = failures, #ARGV, 4 do
  local became
  if ARGV[i + 2] == '' then
    became = redis.call('MQ.FAIL', KEYS[1], ARGV[i], 'REASON', ARGV[i + 3])
  else
    became = redis.call('MQ.FAIL', KEYS[1], ARGV[i], 'RETRY', ARGV[i + 2], 'REASON', ARGV[i + 3])
  end
  if became == 1 then
    redis.call('BITFIELD', KEYS[3], 'OVERFLOW', 'SAT', 'INCRBY', 'u8', '#' .. ARGV[i + 1], 1)
  end
  if became ~= 0 then
    counted = counted + 1
  end
end
return counted
";

/// Where completions are noted.
#[derive(Clone, Debug)]
pub struct Ledger {
    processed: String,
    script: Script,
}

/// A completion with the number that its message carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The claim.
    pub receipt: Receipt,
    /// The message's number.
    pub number: u32,
    /// `None`: processed.
    pub failure: Option<Failure<'a>>,
}

impl Ledger {
    /// The ledger under `key`.
    pub fn new(key: &str) -> Self {
        Self { processed: key.to_owned(), script: Script::new(SCRIPT) }
    }

    /// The key of the processed numbers.
    pub fn processed_key(&self) -> &str {
        &self.processed
    }

    /// The key of the failed numbers.
    pub fn failed_key(&self) -> String {
        format!("{}:failed", self.processed)
    }

    /// The key of the leaderships.
    pub fn terms_key(&self) -> String {
        format!("{}:terms", self.processed)
    }

    /// The number that a payload carries, if it has a place in the ledger: as a generator writes it, neither +5 nor 007.
    pub fn number_of(payload: &[u8]) -> Option<u32> {
        if !matches!(payload, [b'0'] | [b'1'..=b'9', ..]) {
            return None;
        }
        std::str::from_utf8(payload).ok()?.parse().ok().filter(|number| *number < NUMBERS)
    }

    /// Completes the claims and notes those that counted, in one atomic step; how many counted. Repeating a call of
    /// unknown outcome completes and notes nothing twice.
    pub async fn settle(&self, queue: &Queue, entries: &[Entry<'_>]) -> Result<u64> {
        match self.call("EVALSHA", self.script.get_hash(), queue, entries).await {
            Err(Error::Refused { code, .. }) if code == "NOSCRIPT" => self.call("EVAL", SCRIPT, queue, entries).await,
            answer => answer,
        }
    }

    async fn call(&self, name: &'static str, script: &str, queue: &Queue, entries: &[Entry<'_>]) -> Result<u64> {
        let mut command = redis::cmd(name);
        command.arg(script).arg(3).arg(queue.name()).arg(&self.processed).arg(self.failed_key());
        let acks = entries.iter().filter(|entry| entry.failure.is_none());
        command.arg(acks.clone().count());
        for entry in acks {
            command.arg(entry.receipt.0).arg(entry.number);
        }
        for entry in entries {
            if let Some(failure) = entry.failure {
                let retry_ms = failure.retry.map(|retry| millis(retry).to_string()).unwrap_or_default();
                command.arg(entry.receipt.0).arg(entry.number).arg(retry_ms).arg(failure.reason);
            }
        }
        match queue.connection().ask(&command, std::time::Duration::ZERO).await {
            Ok(Value::Int(counted)) => Ok(counted.unsigned_abs()),
            Err(Error::WrongType(_)) => Err(Error::WrongType(format!(
                "one of the keys {} and {} is no ledger, or {} no queue: use another --ledger, or delete the key",
                self.processed,
                self.failed_key(),
                queue.name()
            ))),
            Err(error) => Err(error),
            Ok(other) => Err(Error::Unexpected(format!("the ledger's script answered {}", Brief(&other)))),
        }
    }

    /// Notes that `leader`'s first push, of `number`, was known to be accepted at `at_us` (µs since 1970, this host's
    /// clock).
    pub async fn note_term(&self, leader: &Leader, number: u64, at_us: u64) -> Result<()> {
        let mut command = redis::cmd("HSET");
        command.arg(self.terms_key()).arg(leader.token().0).arg(format!("{number} {at_us} {}", leader.candidate()));
        leader.queue().connection().ask(&command, std::time::Duration::ZERO).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_small_decimal_numbers_have_a_place() {
        assert_eq!(Ledger::number_of(b"0"), Some(0));
        assert_eq!(Ledger::number_of(b"999999"), Some(999_999));
        for other in [&b""[..], b"-1", b"1.5", b"536870912", b"99999999999", b"\xff", b"12a", b"+5", b"007"] {
            assert_eq!(Ledger::number_of(other), None, "{other:?}");
        }
    }

    #[test]
    fn all_keys_share_the_hash_tag_of_the_first() {
        let ledger = Ledger::new("{q}:ledger");
        for key in [ledger.processed_key(), &ledger.failed_key(), &ledger.terms_key()] {
            assert!(key.starts_with("{q}:ledger"), "{key}");
        }
    }
}
