//! The command line.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::connection::Endpoint;
use crate::error::Result;
use crate::generator::Generator;
use crate::get_errors::Format;
use crate::handler::Assignment;
use crate::ledger::Ledger;
use crate::peer::{Peer, Role};

/// The producer under whose name all generators of a queue number their messages.
pub const PRODUCER: &str = "generator";

/// Messages that one peer handles at once, unless said otherwise.
const CONCURRENCY: u32 = 100;

/// A shorter lease could not be renewed in good time.
const SHORTEST_LEASE: Duration = Duration::from_millis(100);

/// The longest span that the commands take: ten years.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Without a subcommand: one peer. It handles messages and stands by; elected, it generates them.
#[derive(Debug, Parser)]
#[command(name = "client", version, about = "A thin client of MQ, the work queue inside Redis")]
#[command(long_about = "A thin client of MQ, the work queue inside Redis.\n\n\
    Without a subcommand: one peer. It handles messages and stands by for the leadership; elected, it stops \
    handling and generates a message every interval. SIGTERM or SIGINT: it finishes what it has begun and ends; \
    a second one ends it at once. Logs go to stderr (RUST_LOG chooses them), results to stdout.\n\n\
    Durations are written 500ms, 2s, 5m.")]
pub struct Options {
    /// What to do; nothing: be a peer.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// What every part of the program may want to know.
    #[command(flatten)]
    pub common: Common,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Takes all failed messages out of Redis, prints them, and ends
    #[command(name = "getErrors", alias = "get-errors")]
    GetErrors,
    /// Shows the queue at a glance
    Stats,
    /// Proves it: own server, many peers, a million messages, kills, and a verdict
    Demo(Demo),
}

/// Options that stand before or after the subcommand.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// redis://, rediss://, unix:///path, redis+cluster://host,host …, redis+sentinel://host,host …/master
    #[arg(
        long,
        global = true,
        env = "REDIS_URL",
        hide_env_values = true,
        default_value = "redis://127.0.0.1:6379",
        value_name = "URL"
    )]
    pub redis: String,
    /// The key of the queue
    #[arg(long, global = true, default_value = "mq", value_name = "KEY", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub queue: String,
    /// What the peer may become
    #[arg(long, global = true, value_enum, default_value_t)]
    pub role: Role,
    /// Between two generated messages; 0: as fast as it goes
    #[arg(long, global = true, default_value = "500ms", value_parser = duration, value_name = "TIME")]
    pub interval: Duration,
    /// Generate only the numbers below N, over all generators together; then the leader idles
    #[arg(long, global = true, value_name = "N")]
    pub limit: Option<u64>,
    /// Generate no more while N messages are not yet done
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub max_backlog: Option<u64>,
    /// Messages handled at once [default: 100; in the demo 2000 per peer]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub concurrency: Option<u32>,
    /// Of claims and of the leadership
    #[arg(long, global = true, default_value = "30s", value_parser = lease, value_name = "TIME")]
    pub lease: Duration,
    /// Of this peer; a random part makes it unique
    #[arg(long, global = true, default_value = "peer", value_parser = name)]
    pub name: String,
    /// Upper bound of the event handler's waiting time
    #[arg(long, global = true, default_value = "1000ms", value_parser = duration, value_name = "TIME")]
    pub handler_delay: Duration,
    /// For proofs: note every completion under KEY, KEY:failed and KEY:terms, in the same atomic step
    #[arg(long, global = true, value_name = "KEY", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub ledger: Option<String>,
    /// How getErrors prints
    #[arg(long, global = true, value_enum, default_value_t)]
    pub format: Format,
    /// Let stats go on, once a second
    #[arg(long, global = true)]
    pub watch: bool,
}

/// Options of the demo.
#[derive(Clone, Debug, Args)]
pub struct Demo {
    /// How many messages to generate
    #[arg(long, default_value_t = 1_000_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    pub messages: u32,
    /// How many peers run at a time
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=200))]
    pub peers: u32,
    /// How many of them are killed on the way; every fifth is the generator
    #[arg(long, default_value_t = 25, value_name = "N")]
    pub kills: u32,
    /// Chooses the victims [default: another one each time]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// The server to start
    #[arg(long, env = "MQ_SERVER", default_value = "redis-server", value_name = "PATH")]
    pub server: PathBuf,
    /// The module to load; none: the one beside this program
    #[arg(long, env = "MQ_MODULE", value_name = "PATH", help = module_help())]
    pub module: Option<PathBuf>,
    /// Keep the evidence in DIR: the files `processed`, `failed`, `errors`, `generated`
    #[arg(long, value_name = "DIR")]
    pub evidence: Option<PathBuf>,
    /// Run nothing: only judge the evidence in DIR, for --messages N
    #[arg(long, value_name = "DIR", conflicts_with = "evidence")]
    pub verify_only: Option<PathBuf>,
}

impl Common {
    /// The peer that these options describe, with the event handler of the assignment.
    pub fn peer(&self) -> Result<Peer<Assignment>> {
        let ledger = self.ledger.as_deref().map(Ledger::new);
        Ok(Peer {
            endpoint: Arc::new(Endpoint::new(&self.redis, &self.queue)?),
            name: format!("{}:{}", self.name, uuid::Uuid::new_v4()),
            role: self.role,
            lease: self.lease,
            producer: PRODUCER.to_owned(),
            generator: Generator {
                interval: self.interval,
                limit: self.limit,
                max_backlog: self.max_backlog,
                ledger: ledger.clone(),
            },
            concurrency: self.concurrency.unwrap_or(CONCURRENCY),
            handler: Arc::new(Assignment::new(self.handler_delay)),
            ledger,
        })
    }
}

fn module_help() -> String {
    format!("The module to load [default: libmq{} beside this program]", std::env::consts::DLL_SUFFIX)
}

/// 500ms, 2s, 5m, 0; whole milliseconds, at most ten years.
fn duration(text: &str) -> std::result::Result<Duration, String> {
    let span = humantime::parse_duration(text).map_err(|error| format!("{error}; write 500ms, 2s, 5m"))?;
    if span > LONGEST {
        return Err("at most ten years".to_owned());
    }
    if span.subsec_nanos() % 1_000_000 != 0 {
        return Err("whole milliseconds only".to_owned());
    }
    Ok(span)
}

fn lease(text: &str) -> std::result::Result<Duration, String> {
    let span = duration(text)?;
    if span < SHORTEST_LEASE {
        return Err(format!("at least {}", humantime::format_duration(SHORTEST_LEASE)));
    }
    Ok(span)
}

/// Leaves room for the random part in a name of 255 bytes.
fn name(text: &str) -> std::result::Result<String, String> {
    match text.len() {
        1..=200 => Ok(text.to_owned()),
        _ => Err("1 to 200 bytes".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> std::result::Result<Options, clap::Error> {
        Options::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_definition_is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn options_stand_before_or_after_the_subcommand() {
        for line in [
            "client --queue q --format json getErrors",
            "client getErrors --queue q --format json",
            "client --queue q get-errors --format json",
        ] {
            let options = parse(line).unwrap();
            assert!(matches!(options.command, Some(Command::GetErrors)), "{line}");
            assert_eq!((options.common.queue.as_str(), options.common.format), ("q", Format::Json), "{line}");
        }
    }

    #[test]
    fn a_peer_is_what_runs_without_a_subcommand() {
        let options = parse("client").unwrap();
        assert!(options.command.is_none());
        let peer = options.common.peer().unwrap();
        assert_eq!(peer.concurrency, 100);
        assert_eq!(peer.generator.interval, Duration::from_millis(500));
        assert_eq!(peer.lease, Duration::from_secs(30));
        assert!(peer.name.starts_with("peer:"));
        assert_ne!(peer.name, options.common.peer().unwrap().name);
    }

    #[test]
    fn durations_are_written_with_a_unit_and_mean_whole_milliseconds() {
        for (text, millis) in [("500ms", 500), ("2s", 2_000), ("5m", 300_000), ("1m 30s", 90_000), ("0", 0), ("0s", 0)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "5", "ten", "-1s", "1us", "11y", "1.5s s"] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert!(lease("99ms").is_err() && lease("100ms").is_ok());
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        for line in ["client --concurrency 0", "client --concurrency 65537", "client demo --peers 1", "client --name="]
        {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
