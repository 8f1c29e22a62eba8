//! The `client` binary: see `client --help`.

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::Arc;

use client::connection::{Connection, Endpoint};
use client::get_errors::End;
use client::options::{Command, Common, Demo, Errors, ErrorsAction, Options};
use client::output::{Format, MessageFormat, tell, tell_lines, unblock_stderr, unless_left, write_field};
use client::queue::Queue;
use client::shutdown::Shutdown;
use client::{Error, demo, get_errors, list_errors, stats};
use tracing_appender::non_blocking::NonBlocking;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::format::debug_fn;

/// A peer refused a queue into which others have pushed.
const NOT_OURS: u8 = 2;

/// The demo was interrupted: as a shell would report it.
const INTERRUPTED: u8 = 130;

// One thread: a peer waits, mostly, and thousands of waiting handlers are cheapest where nothing is handed over
// between threads.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let options = Options::read();
    let (stderr, _last_words) = unblock_stderr();
    start_logging(&options, stderr);
    match run(&options).await {
        Ok(code) => code,
        Err(error) => {
            tell(&format!("client: {error}"));
            match error {
                Error::NotOurs { .. } => ExitCode::from(NOT_OURS),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

/// Logs go to stderr; where that is the terminal that a view is drawn on, they would spoil it and go nowhere.
fn start_logging(options: &Options, stderr: NonBlocking) {
    if shows_view(options) && io::stderr().is_terminal() {
        return;
    }
    let filter = EnvFilter::builder().with_default_directive(tracing::Level::INFO.into()).from_env_lossy();
    let fields = debug_fn(|out, field, value| write_field(out, field.name(), value));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .fmt_fields(fields.delimited(" "))
        .with_target(false)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(stderr)
        .init();
}

/// Whether the whole terminal will be the view of `stats --watch`.
fn shows_view(options: &Options) -> bool {
    let common = &options.common;
    matches!(options.command, Some(Command::Stats))
        && common.watch
        && common.format == Format::Text
        && io::stdout().is_terminal()
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
            match get_errors::print_errors(&queue(&endpoint(common)?).await?, common.lease, format_of_messages(common)?)
                .await?
            {
                End::Drained(_) | End::Unread => Ok(ExitCode::SUCCESS),
            }
        }
        Some(Command::Errors(errors)) => run_errors(common, errors).await,
        Some(Command::Stats) => run_stats(options).await,
        Some(Command::Demo(demo)) => run_demo(common, demo).await,
    }
}

async fn run_errors(common: &Common, errors: &Errors) -> Result<ExitCode, Error> {
    let (queue, format) = (queue(&endpoint(common)?).await?, format_of_messages(common)?);
    unless_left(match &errors.action {
        None => list_errors::print_errors(&queue, errors.count, format).await?,
        Some(ErrorsAction::Redrive(which)) => list_errors::redrive(&queue, which.into(), format).await?,
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn run_stats(options: &Options) -> Result<ExitCode, Error> {
    let common = &options.common;
    let endpoint = endpoint(common)?;
    let queue = queue(&endpoint).await?;
    unless_left(if shows_view(options) {
        stats::view(queue, &endpoint, &shutdown()?).await?
    } else if common.watch {
        stats::print_again_and_again(queue, &endpoint, common.format, &shutdown()?).await?
    } else {
        stats::print_once(&queue, common.format).await?
    })?;
    Ok(ExitCode::SUCCESS)
}

fn format_of_messages(common: &Common) -> Result<MessageFormat, Error> {
    // The command line has refused it before.
    common.format.of_messages().ok_or_else(|| Error::Local("messages have no such format".to_owned()))
}

async fn run_demo(common: &Common, options: &Demo) -> Result<ExitCode, Error> {
    let shutdown = shutdown()?;
    tokio::select! {
        proven = demo::run(common, options) => match proven {
            Ok(true) => Ok(ExitCode::SUCCESS),
            Ok(false) => Ok(ExitCode::FAILURE),
            Err(failure) => {
                tell_lines(&format!("client demo: {failure}"));
                Ok(ExitCode::FAILURE)
            }
        },
        () = shutdown.requested() => {
            tell("client demo: interrupted");
            Ok(ExitCode::from(INTERRUPTED))
        }
    }
}

/// The queue for a command that does its work and ends: one attempt to connect, no patience. A node of a cluster that
/// serves other slots says so when it is asked for the queue, and the second connection leads to the right one.
async fn queue(endpoint: &Arc<Endpoint>) -> Result<Queue, Error> {
    let queue = Queue::new(Connection::open(endpoint).await?, endpoint.queue());
    match queue.info().await {
        Err(error) if error.is_lost() => Ok(Queue::new(Connection::open(endpoint).await?, endpoint.queue())),
        // Other refusals are for the command itself to report.
        _ => Ok(queue),
    }
}

fn endpoint(common: &Common) -> Result<Arc<Endpoint>, Error> {
    Ok(Arc::new(Endpoint::new(&common.redis, &common.queue)?))
}

fn shutdown() -> Result<Shutdown, Error> {
    Shutdown::on_signals().map_err(|error| Error::Local(format!("cannot listen to signals: {error}")))
}
