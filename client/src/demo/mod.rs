//! `client demo`: the assignment, proven.
//!
//! It starts a redis-server of its own with the module, and peers as separate processes; lets them generate and handle
//! all the messages through the unmodified event handler; kills generators and handlers with SIGKILL on the way and
//! starts new ones; runs `client getErrors`; and judges the ledger, which notes every completion in the same atomic step
//! (see [`crate::ledger`]), against the numbers 0 … N − 1. The judge, [`verdict`], is a pure function of that evidence.
//!
//! `--evidence DIR` keeps the evidence, `--verify-only DIR` judges it again, without any server.

mod children;
mod evidence;
mod kills;
mod peers;
mod progress;
mod report;
mod server;
pub mod verdict;

use std::fmt;
use std::process::Command;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::time::Instant;

use self::children::Child;
use self::kills::{Kills, Plan, Victim};
use self::peers::{Peers, Recipe};
use self::progress::Progress;
use self::report::Run;
use self::server::Server;
use self::verdict::{Evidence, judge};
use crate::connection::Connection;
use crate::ledger::Ledger;
use crate::options::{Common, Demo, PRODUCER};
use crate::output::{show_aside, unless_left};
use crate::queue::{Info, Queue};

/// Messages that one peer handles at once, unless said otherwise.
const CONCURRENCY: u32 = 2_000;

/// At most so many messages are generated but not yet done: a twentieth of all, within these bounds. So the generator is
/// busy until the end of the run, and every kill of it is a real one.
const BACKLOG: std::ops::RangeInclusive<u32> = 100..=50_000;
const BACKLOG_PART: u32 = 20;

/// How often the run is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// A run in which nothing is completed for this long, and the time that the event handler may take twice (it may be killed
/// at its end), has failed.
const STALL: Duration = Duration::from_secs(60);

/// How long `getErrors` may take.
const PRINTING: Duration = Duration::from_secs(300);

/// Why the demo came to no verdict.
#[derive(Debug)]
pub struct Failure(String);

impl Failure {
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<crate::Error> for Failure {
    fn from(error: crate::Error) -> Self {
        Self(error.to_string())
    }
}

/// What the parts of the demo return.
pub type Outcome<T> = std::result::Result<T, Failure>;

/// Runs the demo and prints the verdict to standard output, if anybody reads it; whether it holds. Dropping the future kills
/// all processes.
pub async fn run(common: &Common, demo: &Demo) -> Outcome<bool> {
    if let Some(directory) = &demo.verify_only {
        let verdict = judge(demo.messages, &evidence::load(directory)?);
        unless_left(show_aside(verdict.to_string()).await)?;
        return Ok(verdict.holds());
    }
    let (run, evidence) = prove(common, demo).await?;
    if let Some(directory) = &demo.evidence {
        evidence::save(directory, &evidence)?;
    }
    let verdict = judge(demo.messages, &evidence);
    unless_left(show_aside(format!("{run}{verdict}")).await)?;
    Ok(verdict.holds())
}

/// The run itself: what it was like, and its evidence.
async fn prove(common: &Common, demo: &Demo) -> Outcome<(Run, Evidence)> {
    let module = match &demo.module {
        Some(module) => module.clone(),
        None => server::module_beside_program()?,
    };
    let server = Server::start(&demo.server, &module, &common.queue).await?;
    let ledger = Ledger::new(&common.ledger.clone().unwrap_or_else(|| format!("{}:ledger", common.queue)));
    let begun_at = Instant::now();
    let mut peers = Peers::start(recipe(common, demo, &server, &ledger)?, demo.peers)?;
    let mut stage = Stage {
        server: &server,
        peers: &mut peers,
        ledger: &ledger,
        messages: demo.messages,
        handler_delay: common.handler_delay,
    };
    let seed = demo.seed.unwrap_or_else(rand::random);
    let played = stage.play(demo.kills, seed).await;
    let (kills, info) = match played {
        Ok(played) => played,
        Err(failure) => return Err(Failure::new(format!("{failure}\n{}{}", peers.tails(), server.tail()))),
    };
    let duration = begun_at.elapsed();
    peers.end(common.handler_delay).await?;
    let queue = Queue::new(server.connection().clone(), &common.queue);
    let generated = queue.seq(PRODUCER, None).await?;
    let run = Run {
        generated,
        kills,
        redelivered: info.number("redelivered")?,
        duration,
        peak_memory: server.peak_memory().await?,
    };
    let (processed, failed) = evidence::read_ledger(server.connection(), &ledger).await?;
    let errors = printed_errors(common, &server).await?;
    Ok((run, Evidence { generated, processed, failed, errors }))
}

/// A run on its way.
struct Stage<'a> {
    server: &'a Server,
    peers: &'a mut Peers,
    ledger: &'a Ledger,
    messages: u32,
    handler_delay: Duration,
}

impl Stage<'_> {
    /// Kills as planned until all messages are generated and done. The figures of the module steer the kills and the
    /// progress bar; the verdict does not look at them.
    async fn play(&mut self, kills: u32, seed: u64) -> Outcome<(Kills, Info)> {
        let mut random = StdRng::seed_from_u64(seed);
        let mut plan = Plan::new(kills, &mut random);
        let mut kills = Kills::default();
        let stall = STALL + 2 * self.handler_delay;
        let mut progress = Progress::new(u64::from(self.messages));
        progress.say(&format!("server {}, seed {seed}", self.server.url()));
        let mut last = (0, Instant::now());
        loop {
            let info = self.info().await?;
            let done = info.number("acked")? + info.number("errors")?;
            progress.show(done, kills.count());
            if done >= u64::from(self.messages) && info.backlog()? == 0 {
                progress.finish();
                return Ok((kills, info));
            }
            if done != last.0 {
                last = (done, Instant::now());
            } else if last.1.elapsed() > stall {
                return Err(Failure::new(format!("nothing was completed for {stall:?}: {info:?}")));
            }
            self.peers.check()?;
            match plan.due(done as f64 / f64::from(self.messages)) {
                Some(Victim::Generator) => {
                    kills
                        .kill_generator(self.server, self.peers, self.ledger, self.messages, self.handler_delay)
                        .await?
                }
                Some(Victim::Handler) => kills.kill_handler(self.server, self.peers, &mut random).await?,
                None => tokio::time::sleep(LOOK).await,
            }
        }
    }

    async fn info(&self) -> Outcome<Info> {
        let connection: Connection = self.server.connection().clone();
        Ok(Queue::new(connection, self.server.endpoint().queue()).info().await?)
    }
}

/// How a peer of the demo is started: it generates as fast as the backlog allows, everything else is as always.
fn recipe(common: &Common, demo: &Demo, server: &Server, ledger: &Ledger) -> Outcome<Recipe> {
    let backlog = (demo.messages / BACKLOG_PART).clamp(*BACKLOG.start(), *BACKLOG.end());
    let millis = |span: Duration| format!("{}ms", span.as_millis());
    let arguments = [
        ("--redis", server.url().to_owned()),
        ("--queue", common.queue.clone()),
        ("--interval", "0".to_owned()),
        ("--limit", demo.messages.to_string()),
        ("--max-backlog", common.max_backlog.unwrap_or(u64::from(backlog)).to_string()),
        ("--concurrency", common.concurrency.unwrap_or(CONCURRENCY).to_string()),
        ("--lease", millis(common.lease)),
        ("--handler-delay", millis(common.handler_delay)),
        ("--retries", common.retries.to_string()),
        ("--backoff", common.backoff.to_string()),
        ("--ledger", ledger.processed_key().to_owned()),
    ];
    Ok(Recipe {
        program: std::env::current_exe()?,
        arguments: arguments.into_iter().flat_map(|(option, value)| [option.to_owned(), value]).collect(),
    })
}

/// What `client getErrors` prints.
async fn printed_errors(common: &Common, server: &Server) -> Outcome<Vec<u8>> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["getErrors", "--redis", server.url(), "--queue", &common.queue]);
    let mut child = Child::start("getErrors", command)?;
    let status = child.end(PRINTING).await?;
    if !status.success() {
        return Err(Failure::new(format!("getErrors ended badly: {status}\n{}", child.tail())));
    }
    Ok(child.output()?)
}
