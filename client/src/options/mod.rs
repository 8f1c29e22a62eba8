//! The command line.

mod belonging;
mod ending;
mod errors;
mod spans;

use std::ffi::OsString;
use std::ops::RangeFrom;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use self::belonging::sorted;
use self::ending::end;
pub use self::errors::{Errors, ErrorsAction};
pub use self::spans::Bounds;
use self::spans::{duration, lease};
use crate::connection::Endpoint;
use crate::error::Result;
use crate::generator::Generator;
use crate::handler::{Assignment, Retries};
use crate::ledger::Ledger;
use crate::output::Format;
use crate::peer::{Peer, Role};

/// The producer under whose name all generators of a queue number their messages.
pub const PRODUCER: &str = "generator";

/// Messages that one peer handles at once, unless said otherwise.
const CONCURRENCY: u32 = 100;

/// Without a subcommand: one peer of the assignment's simulation.
#[derive(Debug, Parser)]
#[command(
    name = "client",
    version,
    about = "The client of MQ, the job queue inside Redis. Without a subcommand it is a peer of the assignment's simulation, \
             and no worker for your jobs (see --help)"
)]
#[command(long_about = "The client of MQ, the job queue inside Redis.\n\n\
    Without a subcommand it is one peer of the assignment's SIMULATION. It is NO worker for your jobs: its handler waits a \
    random time below 1 s, then completes 85 % of the messages and fails 15 %, whatever they say. It stands by for \
    the leadership; elected, it stops handling and pushes 0, 1, 2 … into the queue, one every interval. It refuses (exit code \
    2, when it starts and when it is elected) a queue into which others than peers have pushed; --any-queue lets it \
    work there all the same.\n\n\
    SIGTERM or SIGINT: it finishes what it has begun and ends; a second one ends it at once. Logs go to stderr (RUST_LOG \
    chooses them), results to stdout.\n\n\
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
    ///
    /// Only what was printed is taken. A pipe's reader has to have read it, too: into a pipe, getErrors ends once its
    /// reader has read all, and waits for as long as that takes. Ended before, it loses nothing.
    ///
    /// Text is one payload per line: every byte as it is into a pipe or a file; at a terminal nothing that controls it, and
    /// line breaks as \n. A payload with line breaks of its own looks like several on a pipe: a warning on stderr says so.
    /// Programs use --format json, one object per message.
    #[command(name = "getErrors", alias = "get-errors")]
    GetErrors,
    /// Lists the failed messages and leaves them where they are; `errors redrive` makes them ready again
    Errors(Errors),
    /// Shows the queue at a glance
    Stats,
    /// Proves it: own server, many peers, a million messages, kills, and a verdict
    Demo(Demo),
}

/// Options that stand before or after the subcommand.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// redis://, rediss://, unix:///path, redis+cluster://host,host …, redis+sentinel://host,host …/master
    ///
    /// rediss:// is TLS: SSL_CERT_FILE in the environment names other roots of trust than the system's, #insecure at the
    /// end of the URL trusts anybody. Client certificates are not supported.
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
    /// Let the peer handle and push also where others have pushed: it completes and fails their messages at random
    #[arg(long, global = true)]
    pub any_queue: bool,
    /// Between two generated messages; 0: as fast as it goes
    #[arg(long, global = true, default_value = "500ms", value_parser = duration, value_name = "TIME")]
    pub interval: Duration,
    /// Generate only the numbers below N, over all generators together; then the leader idles
    #[arg(long, global = true, value_name = "N", value_parser = at_least(0..))]
    pub limit: Option<u64>,
    /// Generate no more while N messages are not yet done
    #[arg(long, global = true, value_name = "N", value_parser = at_least(1..))]
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
    /// How often a message that fails is tried again before it goes to the error store
    ///
    /// The queue's max-deliveries is the end in any case: by default 20, so that 19 retries are the most. MQ.CONFIG QUEUE
    /// max-deliveries N changes it.
    #[arg(long, global = true, default_value_t = 0, value_name = "N")]
    pub retries: u32,
    /// How long it rests before that: at random between MIN and a bound that doubles with each delivery up to MAX
    #[arg(long, global = true, default_value_t = Bounds::RETRY, value_name = "MIN..MAX")]
    pub backoff: Bounds,
    /// For proofs: note every completion under KEY, KEY:failed and KEY:terms, in the same atomic step
    #[arg(long, global = true, value_name = "KEY", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub ledger: Option<String>,
    /// How getErrors, errors and stats print
    #[arg(long, global = true, value_enum, default_value_t)]
    pub format: Format,
    /// Let stats go on, once a second, also when the server goes away and comes back: a view of the whole terminal, ended
    /// by q, Esc or Ctrl-C; elsewhere the figures again and again
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

impl Options {
    /// Reads the command line of this process; ends the process, saying why, if it makes no sense.
    pub fn read() -> Self {
        Self::from_words(std::env::args_os()).unwrap_or_else(|error| end(&error))
    }

    fn from_words(
        words: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    ) -> std::result::Result<Self, clap::Error> {
        let mut command = sorted(Self::command());
        let given = command.try_get_matches_from_mut(words)?;
        belonging::check(&mut command, &given)?;
        let options = Self::from_arg_matches(&given)?;
        match options.contradiction() {
            Some(contradiction) => Err(command.error(ErrorKind::ArgumentConflict, contradiction)),
            None => Ok(options),
        }
    }

    /// What of these options does not go together, where their definition cannot say it: they stand before the
    /// subcommand as well as after it, and mean something for several.
    fn contradiction(&self) -> Option<&'static str> {
        match (&self.command, self.common.format, self.common.watch) {
            (Some(Command::GetErrors | Command::Errors(_)), format, _) if format.of_messages().is_none() => {
                Some("--format prometheus is for stats; errors are printed as text or json")
            }
            // Left to clap, this would also refuse the options of everybody between the two words.
            (Some(Command::Errors(Errors { count: Some(_), action: Some(_) })), _, _) => {
                Some("--count is for the list of errors; errors redrive takes --all or ids")
            }
            (Some(Command::Stats), Format::Prometheus, true) => {
                Some("--format prometheus is one look at the queue; --watch goes with text and json")
            }
            _ => None,
        }
    }
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
            retries: Retries { count: self.retries, shortest: self.backoff.shortest, longest: self.backoff.longest },
            ledger,
            any_queue: self.any_queue,
        })
    }
}

fn module_help() -> String {
    format!("The module to load [default: libmq{} beside this program]", std::env::consts::DLL_SUFFIX)
}

/// A whole number, that large or larger.
fn at_least(
    range: RangeFrom<u64>,
) -> impl Fn(&str) -> std::result::Result<u64, String> + Clone + Send + Sync + 'static {
    move |text| match text.parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => Err(format!("a whole number, at least {}", range.start)),
    }
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
    use super::*;
    use crate::list_errors::Chosen;
    use crate::queue::Id;

    fn parse(line: &str) -> std::result::Result<Options, clap::Error> {
        Options::from_words(line.split_whitespace())
    }

    #[test]
    fn the_definition_is_consistent() {
        sorted(Options::command()).debug_assert();
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
    fn every_subcommand_that_prints_knows_its_formats() {
        for line in ["client --format json stats", "client stats --format json", "client stats --watch --format json"] {
            let options = parse(line).unwrap();
            assert!(matches!(options.command, Some(Command::Stats)), "{line}");
            assert_eq!(options.common.format, Format::Json, "{line}");
        }
        assert!(parse("client --format prometheus stats").is_ok());
        for (line, hint) in [
            ("client getErrors --format prometheus", "text or json"),
            ("client --format prometheus errors", "text or json"),
            ("client stats --watch --format prometheus", "text and json"),
            ("client errors --count 5 redrive --all", "--all or ids"),
        ] {
            let contradiction = parse(line).unwrap_err().to_string();
            assert!(contradiction.contains(hint), "{line}: {contradiction}");
        }
    }

    #[test]
    fn errors_are_listed_or_made_ready_again() {
        let errors = |line: &str| match parse(line).unwrap() {
            Options { command: Some(Command::Errors(errors)), common } => (errors, common),
            other => panic!("{other:?}"),
        };
        let (listing, common) = errors("client errors --queue q --count 5");
        assert_eq!((listing.count, common.queue.as_str()), (Some(5), "q"));
        assert!(listing.action.is_none());
        for (line, expected) in [
            ("client errors redrive --all --queue q", Chosen::All),
            ("client errors --queue q redrive 7 3 7", Chosen::Ids(vec![Id(3), Id(7)])),
            ("client --queue q errors redrive 9", Chosen::Ids(vec![Id(9)])),
        ] {
            let (errors, common) = errors(line);
            let Some(ErrorsAction::Redrive(which)) = &errors.action else { panic!("{line}") };
            assert_eq!((Chosen::from(which), common.queue.as_str()), (expected, "q"), "{line}");
        }
        for line in [
            "client errors redrive",
            "client errors redrive --all 7",
            "client errors redrive seven",
            "client errors --count 0",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn failures_are_final_unless_retries_are_asked_for() {
        let retries = |line: &str| parse(line).unwrap().common.peer().unwrap().retries;
        let of = |count, shortest, longest| Retries {
            count,
            shortest: Duration::from_secs(shortest),
            longest: Duration::from_secs(longest),
        };
        assert_eq!(retries("client"), of(0, 1, 300));
        assert_eq!(retries("client --retries 3 --backoff 2s..1m"), of(3, 2, 60));
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
    fn a_number_out_of_range_is_refused_with_the_range() {
        for (line, range) in [
            ("client --concurrency 0", "1..=65536"),
            ("client --concurrency 65537", "1..=65536"),
            ("client --limit -1", "at least 0"),
            ("client --max-backlog 0", "at least 1"),
            ("client --retries -1", "0..=4294967295"),
            ("client demo --retries -1", "0..=4294967295"),
            ("client demo --peers 1", "2..=200"),
            ("client demo --messages -5", "1..=100000000"),
            ("client errors --count -1", "at least 1"),
            ("client errors redrive -1", "at least 0"),
            ("client --name=", "1 to 200 bytes"),
        ] {
            let refusal = parse(line).unwrap_err().to_string();
            assert!(refusal.contains(range), "{line}: {refusal}");
        }
    }
}
