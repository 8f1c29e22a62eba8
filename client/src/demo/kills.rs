//! Whom the demo kills, when, and how long a take-over takes.
//!
//! **Take-over time**: from the moment right before the SIGKILL of the generator to the moment at which its successor
//! knew its own first push to be accepted. The successor takes its time when the answer arrives and leaves it in the
//! ledger (`KEY:terms`); both moments are read from the one wall clock of this host, so the figure is good to the time
//! that a process waits for a processor, and never too small: the push was accepted before its answer arrived.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::RngExt;
use redis::Value;
use tokio::time::Instant;

use super::peers::Peers;
use super::server::Server;
use super::{Failure, Outcome};
use crate::ledger::Ledger;
use crate::options::PRODUCER;
use crate::queue::{Queue, Token};

/// Every so many kills, the victim is the generator.
const GENERATOR_EVERY: u32 = 5;

/// Kills begin when this part of the messages is done …
const FIRST: f64 = 0.05;
/// … handlers are killed up to here …
const LAST_HANDLER: f64 = 0.95;
/// … and generators up to here: it runs ahead of the handlers by the backlog, a twentieth of all messages, and must have
/// something left to generate.
const LAST_GENERATOR: f64 = 0.88;

/// How long a take-over may take before it is given up, besides the event handler's time: a full backlog has no room for
/// the successor's first push until a message is done.
const TAKE_OVER: Duration = Duration::from_secs(10);
/// How often the ledger is asked for the successor. Not part of the measured time.
const LOOK: Duration = Duration::from_millis(5);

/// Who is to be killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Victim {
    Generator,
    Handler,
}

/// The kills to come, the next one last.
#[derive(Debug)]
pub(super) struct Plan(Vec<(f64, Victim)>);

impl Plan {
    /// So many kills, spread evenly over the run and scattered a little; every fifth hits the generator.
    pub(super) fn new(kills: u32, random: &mut impl rand::Rng) -> Self {
        let generators = kills / GENERATOR_EVERY;
        let mut plan = Self(Vec::new());
        plan.spread(generators, LAST_GENERATOR, Victim::Generator, random);
        plan.spread(kills - generators, LAST_HANDLER, Victim::Handler, random);
        plan.0.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        plan
    }

    fn spread(&mut self, count: u32, last: f64, victim: Victim, random: &mut impl rand::Rng) {
        for n in 0..count {
            let place = (f64::from(n) + random.random::<f64>()) / f64::from(count);
            self.0.push((FIRST + place * (last - FIRST), victim));
        }
    }

    /// The next kill, if it is due when this part of the messages is done.
    pub(super) fn due(&mut self, done: f64) -> Option<Victim> {
        self.0.pop_if(|(place, _)| *place <= done).map(|(_, victim)| victim)
    }
}

/// What was killed so far.
#[derive(Debug, Default)]
pub(super) struct Kills {
    /// Handlers.
    pub handlers: u32,
    /// Generators, those included whose take-over does not count.
    pub generators: u32,
    /// The take-overs that count: messages were left to generate, and the successor pushed.
    pub take_overs: Vec<Duration>,
}

impl Kills {
    /// All of them.
    pub(super) fn count(&self) -> u32 {
        self.handlers + self.generators
    }

    /// Kills a random handler, and starts a new peer in its place.
    pub(super) async fn kill_handler(
        &mut self,
        server: &Server,
        peers: &mut Peers,
        random: &mut impl rand::Rng,
    ) -> Outcome<()> {
        let queue = Queue::new(server.connection().clone(), server.endpoint().queue());
        let leader = queue.leader().await?.leader;
        if let Some(name) = peers.choose_handler(leader.as_deref(), random) {
            peers.kill_candidate(&name)?;
            self.handlers += 1;
            peers.start_another()?;
        }
        Ok(())
    }

    /// Kills the generator, waits for the first push of its successor, and starts a new peer. Without a generator at this
    /// moment nothing happens.
    pub(super) async fn kill_generator(
        &mut self,
        server: &Server,
        peers: &mut Peers,
        ledger: &Ledger,
        messages: u32,
        handler_delay: Duration,
    ) -> Outcome<()> {
        let queue = Queue::new(server.connection().clone(), server.endpoint().queue());
        let leadership = queue.leader().await?;
        let Some(leader) = leadership.leader else { return Ok(()) };
        let left_to_generate = queue.seq(PRODUCER, None).await? < u64::from(messages);
        let killed_at_us = now_us();
        if !peers.kill_candidate(&leader)? {
            return Err(Failure::new(format!("{leader} leads, but is none of the peers")));
        }
        self.generators += 1;
        if left_to_generate
            && let Some(first_push_at_us) =
                first_push_after(server, ledger, leadership.token, messages, TAKE_OVER + handler_delay).await?
        {
            self.take_overs.push(Duration::from_micros(first_push_at_us.saturating_sub(killed_at_us)));
        }
        peers.start_another()
    }

    /// The median of the take-over times.
    pub(super) fn median(&self) -> Option<Duration> {
        let mut times = self.take_overs.clone();
        times.sort_unstable();
        let upper = *times.get(times.len() / 2)?;
        if times.len() % 2 == 1 {
            return Some(upper);
        }
        Some((upper + *times.get(times.len() / 2 - 1)?) / 2)
    }

    /// The longest take-over time.
    pub(super) fn worst(&self) -> Option<Duration> {
        self.take_overs.iter().max().copied()
    }
}

/// Waits for the first leadership after `token` whose holder has pushed; when that push was accepted. `None`: the killed
/// generator had published the last message before it died.
async fn first_push_after(
    server: &Server,
    ledger: &Ledger,
    token: Token,
    messages: u32,
    patience: Duration,
) -> Outcome<Option<u64>> {
    let queue = Queue::new(server.connection().clone(), server.endpoint().queue());
    let deadline = Instant::now() + patience;
    loop {
        let mut command = redis::cmd("HGETALL");
        command.arg(ledger.terms_key());
        let terms = terms(server.connection().ask(&command, Duration::ZERO).await?)?;
        if let Some((_, at_us)) = terms.into_iter().filter(|(later, _)| *later > token.0).min() {
            return Ok(Some(at_us));
        }
        if Instant::now() >= deadline {
            if queue.seq(PRODUCER, None).await? >= u64::from(messages) {
                return Ok(None);
            }
            return Err(Failure::new(format!(
                "nobody took over from the generator with token {token} within {patience:?}"
            )));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Token and time of each leadership's first push.
fn terms(answer: Value) -> Outcome<Vec<(u64, u64)>> {
    let terms: Vec<(u64, String)> =
        redis::from_redis_value(answer).map_err(|error| Failure::new(format!("the ledger's leaderships: {error}")))?;
    terms
        .into_iter()
        .map(|(token, text)| {
            let at_us = text.split(' ').nth(1).and_then(|at_us| at_us.parse().ok());
            Ok((token, at_us.ok_or_else(|| Failure::new(format!("the ledger's leadership {token}: {text}")))?))
        })
        .collect()
}

fn now_us() -> u64 {
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(at.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn executed(mut plan: Plan) -> Vec<Victim> {
        (0..=1000)
            .flat_map(|done| std::iter::from_fn(|| plan.due(f64::from(done) / 1000.0)).collect::<Vec<_>>())
            .collect()
    }

    #[test]
    fn a_fifth_of_the_kills_hits_the_generator() {
        let victims = executed(Plan::new(25, &mut StdRng::seed_from_u64(1)));
        assert_eq!(victims.len(), 25);
        assert_eq!(victims.iter().filter(|victim| **victim == Victim::Generator).count(), 5);
        assert_eq!(executed(Plan::new(0, &mut StdRng::seed_from_u64(1))), []);
    }

    #[test]
    fn kills_are_spread_from_5_to_95_percent_and_repeat_with_the_seed() {
        for seed in 0..50 {
            let Plan(plan) = Plan::new(25, &mut StdRng::seed_from_u64(seed));
            let last = |victim| plan.iter().filter(|(_, v)| *v == victim).map(|(place, _)| *place).fold(0.0, f64::max);
            assert!(plan.iter().all(|(place, _)| (FIRST..=LAST_HANDLER).contains(place)));
            assert!(last(Victim::Generator) <= LAST_GENERATOR);
            assert!(last(Victim::Handler) > 0.9);
            assert_eq!(plan, Plan::new(25, &mut StdRng::seed_from_u64(seed)).0);
        }
    }

    #[test]
    fn nothing_is_due_before_its_place() {
        let mut plan = Plan::new(5, &mut StdRng::seed_from_u64(3));
        assert_eq!(plan.due(0.049), None);
        assert!(plan.due(0.95).is_some());
    }

    #[test]
    fn the_median_is_the_middle_one_or_the_mean_of_the_two() {
        let times = |millis: &[u64]| Kills {
            take_overs: millis.iter().copied().map(Duration::from_millis).collect(),
            ..Kills::default()
        };
        assert_eq!(times(&[]).median(), None);
        assert_eq!(times(&[9, 1, 5]).median(), Some(Duration::from_millis(5)));
        assert_eq!(times(&[9, 1, 5, 7]).median(), Some(Duration::from_millis(6)));
        assert_eq!(times(&[9, 1, 5, 7]).worst(), Some(Duration::from_millis(9)));
    }
}
