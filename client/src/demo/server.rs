//! The demo's own redis-server.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use redis::Value;
use tempfile::TempDir;
use tokio::time::Instant;

use super::children::Child;
use super::{Failure, Outcome};
use crate::connection::{Connection, Endpoint};
use crate::error::Brief;

/// How long the server may take to answer.
const START: Duration = Duration::from_secs(10);
/// How often it is asked.
const LOOK: Duration = Duration::from_millis(10);
/// Somebody else may take the free port first: so many ports are tried.
const PORTS: usize = 5;

/// A running server with the module, and a connection to it.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    url: String,
    endpoint: Arc<Endpoint>,
    connection: Connection,
    /// Where the directory could not be removed under the running server.
    _directory: Option<TempDir>,
}

impl Server {
    /// Starts `program` with `module` on a free port of the loopback interface, without persistence.
    pub(super) async fn start(program: &Path, module: &Path, queue: &str) -> Outcome<Self> {
        let module = module.canonicalize().map_err(|error| {
            Failure::new(format!("the module {}: {error}; build it, or name it with --module PATH", module.display()))
        })?;
        let mut last = None;
        for _ in 0..PORTS {
            match Self::start_once(program, &module, queue).await {
                Err(failure) if failure.to_string().contains("Address already in use") => last = Some(failure),
                started => return started,
            }
        }
        Err(last.unwrap_or_else(|| Failure::new("no free port".to_owned())))
    }

    async fn start_once(program: &Path, module: &Path, queue: &str) -> Outcome<Self> {
        let directory = tempfile::Builder::new().prefix("mq-demo-").tempdir()?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let mut command = Command::new(program);
        command
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--daemonize", "no", "--logfile", ""])
            .arg("--dir")
            .arg(directory.path())
            .arg("--loadmodule")
            .arg(module);
        let mut child = Child::start("redis-server", command)?;
        let url = format!("redis://127.0.0.1:{port}");
        let endpoint = Arc::new(Endpoint::new(&url, queue)?);
        let connection = first_connection(&mut child, &endpoint).await?;
        Ok(Self { child, url, endpoint, connection, _directory: without_name(directory)? })
    }

    /// Its address.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// A connection that is open from the beginning to the end.
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The last words of its log.
    pub(super) fn tail(&self) -> String {
        self.child.tail()
    }

    /// The most memory that it has used, in bytes.
    pub(super) async fn peak_memory(&self) -> Outcome<u64> {
        info_number(&self.connection, "memory", "used_memory_peak").await
    }

    /// Where it is.
    pub(super) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }
}

async fn first_connection(child: &mut Child, endpoint: &Arc<Endpoint>) -> Outcome<Connection> {
    let deadline = Instant::now() + START;
    loop {
        if let Some(status) = child.ended()? {
            return Err(Failure::new(format!("the server ended at once: {status}\n{}", child.tail())));
        }
        match answering(child, endpoint).await {
            Ok(connection) => return Ok(connection),
            Err(failure) if Instant::now() >= deadline => {
                return Err(Failure::new(format!("the server does not answer: {failure}\n{}", child.tail())));
            }
            Err(_) => tokio::time::sleep(LOOK).await,
        }
    }
}

/// A connection to this very child: whoever else was quicker to take the port answers too, before the child has ended
/// for want of it.
async fn answering(child: &Child, endpoint: &Arc<Endpoint>) -> Outcome<Connection> {
    let connection = Connection::open(endpoint).await?;
    let answering = info_number(&connection, "server", "process_id").await?;
    if answering != u64::from(child.id()) {
        return Err(Failure::new(format!("process {answering} has its port")));
    }
    Ok(connection)
}

/// The figure `name` of a section of INFO.
async fn info_number(connection: &Connection, section: &str, name: &str) -> Outcome<u64> {
    let text = match connection.ask(redis::cmd("INFO").arg(section), Duration::ZERO).await? {
        Value::BulkString(text) => String::from_utf8_lossy(&text).into_owned(),
        Value::VerbatimString { text, .. } => text,
        other => return Err(Failure::new(format!("INFO {section}: {}", Brief(&other)))),
    };
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.trim().parse().ok())
        .ok_or_else(|| Failure::new(format!("INFO {section} names no {name}")))
}

/// Removes the directory under the server, which stands in it and writes nothing: so not even a SIGKILL of the demo
/// leaves it behind. Linux lets a process stand in a directory without a name; elsewhere it is kept to the end.
fn without_name(directory: TempDir) -> std::io::Result<Option<TempDir>> {
    if cfg!(target_os = "linux") {
        directory.close()?;
        return Ok(None);
    }
    Ok(Some(directory))
}

/// The module, where none is named: beside this program.
pub(super) fn module_beside_program() -> std::io::Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name(format!("libmq{}", std::env::consts::DLL_SUFFIX)))
}
