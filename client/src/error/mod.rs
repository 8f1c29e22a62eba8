//! What can go wrong between a program and its queue, one variant per situation that a caller can act on.

mod advice;
mod quote;

use std::time::Duration;

pub(crate) use self::quote::Brief;

/// A command that did not do what it was asked, or an answer that never came.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The token is not (or no longer) the one whose holder may push. Nothing was changed.
    #[error("fenced: {0}")]
    Fenced(String),
    /// The pushed numbers are not the ones that the producer has to push next. Nothing was changed.
    #[error("out of order: the queue expects number {expected}")]
    OutOfOrder {
        /// The number that the queue expects next from this producer.
        expected: u64,
    },
    /// The push would pass the queue's max-length. Nothing was changed.
    #[error("the queue is full: {0}")]
    QueueFull(String),
    /// An internal fault struck this queue; it is refused until DEL or RESTORE.
    #[error("the queue is broken: {0}")]
    Broken(String),
    /// A key holds something of another type than the command works on; which, and what.
    #[error("wrong type: {0}")]
    WrongType(String),
    /// The server does not know the MQ commands.
    #[error(
        "the server does not know {command}, so it runs without the module; \
         load it with: redis-server --loadmodule /path/to/libmq{suffix} \
         (a Sentinel is asked by redis+sentinel://host:port/master)",
        suffix = std::env::consts::DLL_SUFFIX
    )]
    ModuleMissing {
        /// The command that the server did not know.
        command: String,
    },
    /// The server refused for the time being (out of memory, a script runs, too few replicas …): the
    /// same command may be accepted later. Nothing was changed.
    #[error("refused for now: {}", refusal(code, detail))]
    Busy {
        /// The first word of the server's answer.
        code: String,
        /// The rest of it.
        detail: String,
    },
    /// The server refused, and will go on refusing.
    #[error("refused: {}", refusal(code, detail))]
    Refused {
        /// The first word of the server's answer.
        code: String,
        /// The rest of it.
        detail: String,
    },
    /// The connection leads to a server that does not serve this queue, no longer or not yet: open another.
    /// Nothing was changed.
    #[error("not served here: {}", refusal(code, detail))]
    Elsewhere {
        /// The first word of the server's answer.
        code: String,
        /// The rest of it.
        detail: String,
    },
    /// Others than the peers' generators have pushed into the queue, so a peer, which only simulates work, leaves it alone.
    #[error(
        "the queue {queue} is not the peers' own: {pushed} messages were pushed into it, and the peers' generators account for \
         {generated}. A peer is the assignment's simulation and no worker for your jobs: it waits a random time, completes most \
         messages, fails 15 % of them, and once elected it pushes 0, 1, 2 … into the queue. Name another --queue, or add \
         --any-queue if that is what you want"
    )]
    NotOurs {
        /// The key.
        queue: String,
        /// How many messages were pushed into it.
        pushed: u64,
        /// The next number that it expects of the generators.
        generated: u64,
    },
    /// There is no connection: nobody listens, answers, or knows where to.
    #[error("cannot reach {address}: {reason}")]
    Unreachable {
        /// Whom.
        address: String,
        /// Why not.
        reason: String,
    },
    /// The connection is gone: open another. It is unknown whether the command was carried out.
    #[error("connection lost: {0}")]
    Lost(String),
    /// No answer in time. It is unknown whether the command was carried out.
    #[error("no answer within {0:?}: the server hangs, or the network between us is cut")]
    Unanswered(Duration),
    /// The payloads of an answer took too long to arrive, although the server answers on another connection.
    #[error("the reply has not arrived within {0:?}, although the server answers: the link is too slow for it")]
    TooSlow(Duration),
    /// The address of the server, or what it names, cannot be used.
    #[error("{0}")]
    Address(String),
    /// An answer of a shape that the command reference does not know.
    #[error("unexpected answer: {0}")]
    Unexpected(String),
    /// This process cannot do its part: write its output, hear signals.
    #[error("{0}")]
    Local(String),
}

/// What every command of this crate returns.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Whether the connection on which this came has to be replaced by a new one.
    pub fn is_lost(&self) -> bool {
        matches!(
            self,
            Self::Lost(_) | Self::Unanswered(_) | Self::TooSlow(_) | Self::Unreachable { .. } | Self::Elsewhere { .. }
        )
    }

    /// Whether the same request may succeed later on: the connection is lost, or the server is busy.
    pub fn is_passing(&self) -> bool {
        self.is_lost() || matches!(self, Self::Busy { .. } | Self::QueueFull(_))
    }

    /// The error of a command that was to wait and was answered at once without what it was to wait for. A server or proxy that
    /// cannot wait is asked less and less often.
    pub(crate) fn answered_early(command: &str) -> Self {
        Self::Unexpected(format!(
            "{command} … BLOCK was answered at once although there is nothing yet, as by a server or a proxy that cannot wait"
        ))
    }

    /// Sorts an answer of the server by its first word (`code`); `detail` is what follows it.
    pub fn from_answer(code: &str, detail: &str) -> Self {
        let text = detail.to_owned();
        match code {
            "FENCED" => Self::Fenced(text),
            "OUTOFORDER" => match expected_number(detail) {
                Some(expected) => Self::OutOfOrder { expected },
                None => Self::Unexpected(format!("OUTOFORDER {detail}")),
            },
            "QUEUEFULL" => Self::QueueFull(text),
            "BROKEN" => Self::Broken(text),
            "WRONGTYPE" => Self::WrongType(text),
            "ERR" if detail.starts_with("unknown command") && detail.to_ascii_uppercase().contains("MQ.") => {
                let command = detail.split(['\'', '`', '"']).nth(1).unwrap_or("MQ.*");
                Self::ModuleMissing { command: command.to_owned() }
            }
            // It closes the connection with these words. Clients go, and then there is room again.
            "ERR" if detail.starts_with("max number of clients") => Self::Busy { code: code.to_owned(), detail: text },
            // The node no longer serves the key, or not as a primary: find the one that does.
            "MOVED" | "ASK" | "READONLY" | "CLUSTERDOWN" | "MASTERDOWN" | "UNBLOCKED" | "LOADING" => {
                Self::Elsewhere { code: code.to_owned(), detail: text }
            }
            "OOM" | "BUSY" | "MISCONF" | "NOREPLICAS" | "TRYAGAIN" => {
                Self::Busy { code: code.to_owned(), detail: text }
            }
            _ => Self::Refused { code: code.to_owned(), detail: text },
        }
    }
}

impl From<redis::RedisError> for Error {
    fn from(error: redis::RedisError) -> Self {
        use redis::ErrorKind;
        match error.kind() {
            ErrorKind::Server(_) | ErrorKind::Extension => match (error.code(), error.detail()) {
                (Some(code), detail) => Self::from_answer(code, detail.unwrap_or_default()),
                (None, _) => Self::Unexpected(error.to_string()),
            },
            ErrorKind::InvalidClientConfig => Self::Address(error.to_string()),
            ErrorKind::AuthenticationFailed => Self::Refused { code: "AUTH".to_owned(), detail: error.to_string() },
            ErrorKind::UnexpectedReturnType => Self::Unexpected(error.to_string()),
            ErrorKind::Parse => Self::Lost(
                "what answers there does not speak the protocol of Redis (or only over TLS: rediss://)".to_owned(),
            ),
            _ => Self::Lost(error.to_string()),
        }
    }
}

/// The server's words, and what to do about them.
fn refusal(code: &str, detail: &str) -> String {
    match advice::advice(code, detail) {
        Some(advice) => format!("{code} {detail} ({advice})"),
        None => format!("{code} {detail}"),
    }
}

/// The expected number that an OUTOFORDER answer names: the first integer after the word "expected", or the
/// first one at all.
fn expected_number(detail: &str) -> Option<u64> {
    let tail = detail.find("expect").map_or(detail, |at| &detail[at..]);
    tail.split(|c: char| !c.is_ascii_digit()).find(|word| !word.is_empty())?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_out_of_order_answer_names_the_expected_number() {
        for detail in ["expected 17", "got 20, expected number 17 from 'p3'", "17"] {
            let error = Error::from_answer("OUTOFORDER", detail);
            assert!(matches!(error, Error::OutOfOrder { expected: 17 }), "{detail}: {error}");
        }
    }

    #[test]
    fn an_unknown_command_is_told_from_other_mistakes() {
        let missing = Error::from_answer("ERR", "unknown command 'MQ.CLAIM', with args beginning with: 'q'");
        let how = format!("load it with: redis-server --loadmodule /path/to/libmq{}", std::env::consts::DLL_SUFFIX);
        assert!(missing.to_string().contains(&how), "{missing}");
        assert!(matches!(missing, Error::ModuleMissing { command } if command == "MQ.CLAIM"));
        let mistake = Error::from_answer("ERR", "unknown option 'FOO'");
        assert!(matches!(mistake, Error::Refused { .. }));
    }

    #[test]
    fn a_redirection_asks_for_another_connection_and_a_full_server_for_patience() {
        assert!(Error::from_answer("MOVED", "3999 127.0.0.1:6381").is_lost());
        assert!(Error::from_answer("READONLY", "You can't write").is_lost());
        let full = Error::from_answer("OOM", "command not allowed");
        assert!(full.is_passing() && !full.is_lost());
        assert!(Error::from_answer("ERR", "max number of clients reached").is_passing());
        assert!(!Error::from_answer("FENCED", "token 3").is_passing());
    }
}
