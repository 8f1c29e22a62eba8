//! Why a command is answered with an error.

use std::fmt;

use mq_engine::Refusal;

use crate::entry::{Broken, Stopped};
use crate::server::OtherType;
use crate::syntax::Malformed;

/// Every error that the module answers with. The command changed nothing, unless a fault struck it.
#[derive(Clone, Debug)]
pub enum Failure {
    /// The command's words.
    Malformed(Malformed),
    /// The key holds something else.
    OtherType,
    /// A fault struck the queue while it was being changed.
    Broken,
    /// The queue's state forbids it.
    Refused(Refusal),
    /// SESSION inside a script, or in the call of another module.
    SessionInScript,
    /// An effect from somebody who is neither the primary nor the append-only file.
    NotReplicated,
    /// The server is full, and the queue would have to be created.
    Full,
    /// A waiter whose user has lost the right to what it waits for.
    NotPermitted,
    /// A fault in the module, outside of the queue.
    Internal,
}

/// The answer to a command that struck an internal fault.
pub const INTERNAL: &str = "ERR internal fault in the module, see the server's log; the command may not have been done";

/// The answer to the client: the error's code, then what it means.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Malformed(malformed) => write!(f, "ERR {malformed}"),
            Failure::OtherType => f.write_str("WRONGTYPE Operation against a key holding the wrong kind of value"),
            Failure::Broken => f.write_str(
                "BROKEN an internal fault struck this queue while it was being changed; it is refused until DEL or RESTORE",
            ),
            Failure::Refused(refusal) => refused(refusal, f),
            Failure::SessionInScript => {
                f.write_str("ERR SESSION is not allowed in a script or another module's call: it has no connection that could close")
            }
            Failure::NotReplicated => f.write_str("ERR MQ.APPLY is for replicas and append-only files"),
            Failure::Full => f.write_str("OOM command not allowed when used memory > 'maxmemory'."),
            Failure::NotPermitted => {
                f.write_str("NOPERM the rights of this user have changed: it may no longer run this command on this queue")
            }
            Failure::Internal => f.write_str(INTERNAL),
        }
    }
}

fn refused(refusal: &Refusal, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match refusal {
        Refusal::Fenced => f.write_str("FENCED a push needs the token of this queue's current leader"),
        Refusal::OutOfOrder { expected } => {
            write!(f, "OUTOFORDER the number expected from this producer is {expected}")
        }
        Refusal::QueueFull { max_length } => write!(f, "QUEUEFULL the queue would pass its max-length of {max_length}"),
        Refusal::TokenAhead => f.write_str("ERR FENCE token is more than a day ahead of the server's clock"),
        Refusal::ProducersFull => f.write_str(
            "ERR SEQ producer is new, and the queue remembers as many as it can whose last push carried FENCE",
        ),
        Refusal::SequenceExhausted => f.write_str("ERR SEQ n is invalid: a producer's numbers stay below 2^53"),
        Refusal::NumbersExhausted => f.write_str("ERR the queue has used up its numbers (2^53)"),
    }
}

impl From<Malformed> for Failure {
    fn from(malformed: Malformed) -> Failure {
        Failure::Malformed(malformed)
    }
}

impl From<OtherType> for Failure {
    fn from(_: OtherType) -> Failure {
        Failure::OtherType
    }
}

impl From<Broken> for Failure {
    fn from(_: Broken) -> Failure {
        Failure::Broken
    }
}

impl From<Stopped> for Failure {
    fn from(stopped: Stopped) -> Failure {
        match stopped {
            Stopped::Broken => Failure::Broken,
            Stopped::Refused(refusal) => Failure::Refused(refusal),
        }
    }
}
