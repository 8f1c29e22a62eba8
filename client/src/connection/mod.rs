//! One connection to the server that serves the queue: opened, asked, found dead, opened again.
//!
//! A connection is the unit of a *session*: what was claimed or led with SESSION ends with it. A blocked
//! command blocks the whole connection. So each purpose has a connection of its own, and nothing here
//! reconnects behind the caller's back: the caller must know that its session is over.

mod address;
mod backoff;
mod complaint;
mod endpoint;
mod framing;
mod greeting;
mod link;
mod portion;
mod stream;

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::{Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, Pipeline, RedisError, ServerErrorKind, Value};

pub use self::backoff::Backoff;
pub use self::complaint::Complaint;
pub use self::endpoint::Endpoint;
use self::link::{Link, connect};
pub use self::portion::Portion;
use crate::error::{Brief, Error, Result};

/// How long a command may take beyond the time for which it may block. A server that is silent for longer is
/// taken for gone, also when the connection looks open.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the payloads of a reply may take to arrive, while the server answers on another connection.
const LONGEST_ARRIVAL: Duration = Duration::from_secs(180);

/// A connection that somebody relies on is not left idle for longer: servers close idle ones (`timeout`), and routers forget
/// them.
pub(crate) const LONGEST_SILENCE: Duration = Duration::from_secs(2);

/// An open connection. Clones share it; it closes when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Connection {
    link: Link,
    endpoint: Arc<Endpoint>,
    /// Where it leads.
    server: Arc<ConnectionInfo>,
}

impl Connection {
    /// Opens a connection to the server that `endpoint` names at this moment; one attempt.
    pub async fn open(endpoint: &Arc<Endpoint>) -> Result<Self> {
        let info = endpoint.resolve().await?;
        Ok(Self { link: connect(info.clone()).await?, endpoint: Arc::clone(endpoint), server: Arc::new(info) })
    }

    /// Opens another connection in place of this one, to the server that serves the queue now; one attempt.
    pub async fn open_again(&self) -> Result<Self> {
        Self::open(&self.endpoint).await
    }

    /// The server to which it was opened.
    pub fn server(&self) -> &ConnectionAddr {
        self.server.addr()
    }

    /// Opens a connection, trying for ever, whatever the reason; the waits grow and are jittered. For a process that
    /// has served this queue before: then even a refused password may be a rotation that is half done.
    pub async fn open_patiently(endpoint: &Arc<Endpoint>, purpose: &str) -> Self {
        let (mut backoff, mut complaint) = (Backoff::new(), Complaint::new());
        loop {
            let error = match Self::open(endpoint).await {
                Ok(connection) => {
                    if complaint.is_over() {
                        tracing::info!(purpose, "connected again");
                    }
                    return connection;
                }
                Err(error) => error,
            };
            let wait = backoff.next_wait();
            if complaint.is_due(&error) {
                tracing::warn!(purpose, %error, "cannot connect, trying again and again");
            } else {
                tracing::debug!(purpose, %error, ?wait, "cannot connect, trying again");
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Sends one command and waits for its answer, `block` (the time for which the command may block)
    /// plus five seconds. Errors: what the server answered; `Unanswered`; `Lost`.
    pub async fn ask(&self, command: &Cmd, block: Duration) -> Result<Value> {
        let limit = block.saturating_add(PATIENCE);
        match tokio::time::timeout(limit, self.link.ask(command)).await {
            Ok(answer) => answer.map_err(|error| self.sorted(error)),
            Err(_) => Err(Error::Unanswered(limit)),
        }
    }

    /// The same for a command whose answer carries payloads, which a slow link may take minutes for: while the server
    /// answers on another connection, they are waited for. Errors: also `TooSlow`.
    pub async fn ask_for_payloads(&self, command: &Cmd, block: Duration) -> Result<Value> {
        let asked_at = Instant::now();
        let answer = self.link.ask(command);
        tokio::pin!(answer);
        let mut limit = block.saturating_add(PATIENCE);
        loop {
            if let Ok(answer) = tokio::time::timeout(limit, &mut answer).await {
                return answer.map_err(|error| self.sorted(error));
            }
            let waited = Duration::from_secs(asked_at.elapsed().as_secs());
            tokio::select! {
                answer = &mut answer => return answer.map_err(|error| self.sorted(error)),
                there = self.server_is_there() => if !there {
                    return Err(Error::Unanswered(waited));
                }
            }
            if waited >= block.saturating_add(LONGEST_ARRIVAL) {
                return Err(Error::TooSlow(waited));
            }
            tracing::info!(?waited, "the reply takes long to arrive; the server is there, waiting for it");
            limit = PATIENCE.max(waited / 2);
        }
    }

    /// Whether the server that this connection leads to answers on another one. One that is busy may have been so all the
    /// time.
    async fn server_is_there(&self) -> bool {
        let pinged = async {
            let other = connect(ConnectionInfo::clone(&self.server)).await?;
            endpoint::answer(&other, &redis::cmd("PING")).await
        };
        match pinged.await {
            Ok(_) => true,
            Err(error) => !error.is_passing(),
        }
    }

    /// Sends one command that may block for ever, and waits as long. A server that vanishes silently is
    /// noticed by TCP keepalive only.
    pub async fn ask_without_limit(&self, command: &Cmd) -> Result<Value> {
        self.link.ask(command).await.map_err(|error| self.sorted(error))
    }

    /// Sends several commands in one go and waits for all the answers; one refused command does not
    /// hide the answers of the others.
    pub async fn ask_all(&self, commands: &mut Pipeline) -> Result<Vec<Result<Value>>> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        match tokio::time::timeout(PATIENCE, self.link.ask_all(commands)).await {
            Ok(answers) => Ok(answers?.into_iter().map(|answer| answer.map_err(|error| self.sorted(error))).collect()),
            Err(_) => Err(Error::Unanswered(PATIENCE)),
        }
    }

    /// The error as a value of ours; a redirection is also told to the endpoint.
    fn sorted(&self, error: RedisError) -> Error {
        if error.kind() == ErrorKind::Server(ServerErrorKind::Moved) {
            self.endpoint.redirected();
        }
        Error::from(error)
    }

    /// Whether the server still answers on this connection.
    pub async fn ping(&self) -> Result<()> {
        self.ask(&redis::cmd("PING"), Duration::ZERO).await.map(drop)
    }

    /// The server's wall clock in milliseconds since 1970 (TIME).
    pub async fn clock_ms(&self) -> Result<u64> {
        let time = self.ask(&redis::cmd("TIME"), Duration::ZERO).await?;
        let (seconds, micros): (u64, u64) =
            redis::from_redis_value(time).map_err(|error| Error::Unexpected(format!("TIME: {error}")))?;
        Ok(seconds.saturating_mul(1_000).saturating_add(micros / 1_000))
    }

    /// The server's number for this connection (CLIENT ID).
    pub async fn id(&self) -> Result<i64> {
        match self.ask(redis::cmd("CLIENT").arg("ID"), Duration::ZERO).await? {
            Value::Int(id) => Ok(id),
            other => Err(Error::Unexpected(format!("CLIENT ID: {}", Brief(&other)))),
        }
    }
}
