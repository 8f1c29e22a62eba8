//! The `client` binary: see `client --help`.

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use client::connection::{Connection, Endpoint};
use client::get_errors::End;
use client::options::{Command, Common, Demo, Options};
use client::queue::Queue;
use client::shutdown::Shutdown;
use client::{Error, demo, get_errors, stats};
use tracing_subscriber::EnvFilter;

/// The demo was interrupted: as a shell would report it.
const INTERRUPTED: u8 = 130;

// One thread: a peer waits, mostly, and thousands of waiting handlers are cheapest where nothing is handed over
// between threads.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let options = Options::parse();
    let filter = EnvFilter::builder().with_default_directive(tracing::Level::INFO.into()).from_env_lossy();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        .init();
    match run(&options).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("client: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Result<ExitCode, Error> {
    let common = &options.common;
    match &options.command {
        None => {
            let peer = common.peer()?;
            let shutdown = shutdown()?;
            peer.run(&shutdown).await?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Command::GetErrors) => {
            match get_errors::print_errors(&queue(common).await?, common.lease, common.format).await? {
                End::Drained(_) | End::Unread => Ok(ExitCode::SUCCESS),
            }
        }
        Some(Command::Stats) => run_stats(common).await,
        Some(Command::Demo(demo)) => run_demo(common, demo).await,
    }
}

async fn run_stats(common: &Common) -> Result<ExitCode, Error> {
    let queue = queue(common).await?;
    let shown =
        if common.watch { stats::watch(&queue, &shutdown()?).await? } else { stats::print_once(&queue).await? };
    match shown {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::Lost(format!("standard output: {error}")))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

async fn run_demo(common: &Common, options: &Demo) -> Result<ExitCode, Error> {
    let shutdown = shutdown()?;
    tokio::select! {
        proven = demo::run(common, options) => match proven {
            Ok(true) => Ok(ExitCode::SUCCESS),
            Ok(false) => Ok(ExitCode::FAILURE),
            Err(failure) => {
                eprintln!("client demo: {failure}");
                Ok(ExitCode::FAILURE)
            }
        },
        () = shutdown.requested() => {
            eprintln!("client demo: interrupted");
            Ok(ExitCode::from(INTERRUPTED))
        }
    }
}

/// The queue for a command that does its work and ends: one attempt to connect, no patience. A node of a cluster that
/// serves other slots says so when it is asked for the queue, and the second connection leads to the right one.
async fn queue(common: &Common) -> Result<Queue, Error> {
    let endpoint = Arc::new(Endpoint::new(&common.redis, &common.queue)?);
    let queue = Queue::new(Connection::open(&endpoint).await?, &common.queue);
    match queue.info().await {
        Err(error) if error.is_lost() => Ok(Queue::new(Connection::open(&endpoint).await?, &common.queue)),
        // Other refusals are for the command itself to report.
        _ => Ok(queue),
    }
}

fn shutdown() -> Result<Shutdown, Error> {
    Shutdown::on_signals().map_err(|error| Error::Address(format!("cannot listen to signals: {error}")))
}
