//! One stream to a server, greeted, with the task that reads and writes it.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, ConnectionAddr, ConnectionInfo, Pipeline, RedisError, RedisResult, Value};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

use super::framing::Guarded;
use super::{greeting, stream};
use crate::error::{Error, Result};

/// How long establishing a connection may take, greetings included.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// An open and greeted stream. Clones share it; it closes when the last clone is dropped, whatever is under way on it.
#[derive(Clone, Debug)]
pub(super) struct Link {
    commands: MultiplexedConnection,
    _driver: Arc<Driver>,
}

/// The task that reads and writes the stream, which ends with this value.
#[derive(Debug)]
struct Driver(AbortHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Link {
    /// Sends a command and waits for its answer, however long that takes.
    pub(super) async fn ask(&self, command: &Cmd) -> RedisResult<Value> {
        command.query_async(&mut self.commands.clone()).await
    }

    /// Sends several commands in one go and waits for all the answers.
    pub(super) async fn ask_all(&self, commands: &mut Pipeline) -> RedisResult<Vec<RedisResult<Value>>> {
        commands.ignore_errors().query_async(&mut self.commands.clone()).await
    }
}

/// Connects and greets. The crate's own response timeout stays off, because blocking commands must be able to wait; every
/// command has its limit in [`Connection::ask`](super::Connection::ask).
pub(super) async fn connect(info: ConnectionInfo) -> Result<Link> {
    let deadline = Instant::now() + CONNECT_PATIENCE;
    let opened = stream::open(&info, deadline).await;
    let guarded = Guarded::new(opened.map_err(|reason| unreachable(&info, reason))?);
    let heard = guarded.heard();
    match timeout_at(deadline, greet(&info, guarded)).await {
        Ok(Ok(link)) => Ok(link),
        Ok(Err(error)) => Err(match Error::from(error) {
            Error::Lost(reason) if !heard.anything() && matches!(info.addr(), ConnectionAddr::Tcp(..)) => {
                unreachable(&info, format!("{reason} ({})", stream::PERHAPS_TLS))
            }
            Error::Lost(reason) => unreachable(&info, reason),
            other => other,
        }),
        Err(_elapsed) => Err(unreachable(&info, format!("no answer within {CONNECT_PATIENCE:?}"))),
    }
}

async fn greet(info: &ConnectionInfo, stream: Guarded<Box<dyn stream::Stream>>) -> RedisResult<Link> {
    let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    let (bare, words) = greeting::own_words(info.clone());
    let (commands, driver) = MultiplexedConnection::new_with_config(bare.redis_settings(), stream, config).await?;
    let link = Link { commands, _driver: Arc::new(Driver(tokio::spawn(driver).abort_handle())) };
    for word in words {
        link.ask(&word).await?;
    }
    Ok::<_, RedisError>(link)
}

/// The error of an attempt to connect that came to nothing.
pub(super) fn unreachable(info: &ConnectionInfo, reason: String) -> Error {
    Error::Unreachable { address: info.addr().to_string(), reason }
}
