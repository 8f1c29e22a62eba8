//! The demo's peers: processes of this same program, numbered as they are started.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rand::seq::IndexedRandom;

use super::children::Child;
use super::{Failure, Outcome};

/// How long a peer may take to finish what it has begun, besides the event handler's time.
const END: Duration = Duration::from_secs(30);

/// How a peer is started.
#[derive(Debug)]
pub(super) struct Recipe {
    pub program: PathBuf,
    pub arguments: Vec<String>,
}

/// The peers that run at this time.
#[derive(Debug)]
pub(super) struct Peers {
    recipe: Recipe,
    running: Vec<Child>,
    started: u32,
}

impl Peers {
    /// Starts so many.
    pub(super) fn start(recipe: Recipe, count: u32) -> Outcome<Self> {
        let mut peers = Self { recipe, running: Vec::new(), started: 0 };
        for _ in 0..count {
            peers.start_another()?;
        }
        Ok(peers)
    }

    /// Starts one more.
    pub(super) fn start_another(&mut self) -> Outcome<()> {
        self.started += 1;
        let name = format!("peer-{}", self.started);
        let mut command = Command::new(&self.recipe.program);
        command.args(&self.recipe.arguments).args(["--name", &name]);
        self.running.push(Child::start(&name, command)?);
        Ok(())
    }

    /// Kills the peer that is the candidate `candidate` (`name:uuid`) with SIGKILL; whether there was one.
    pub(super) fn kill_candidate(&mut self, candidate: &str) -> Outcome<bool> {
        let name = candidate.split(':').next().unwrap_or(candidate);
        match self.running.iter().position(|peer| peer.name() == name) {
            Some(position) => {
                self.running.swap_remove(position).kill()?;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// The name of a random peer that is not the candidate `leader`.
    pub(super) fn choose_handler(&self, leader: Option<&str>, random: &mut impl rand::Rng) -> Option<String> {
        let leader = leader.and_then(|leader| leader.split(':').next());
        let handlers: Vec<&str> = self.running.iter().map(Child::name).filter(|name| Some(*name) != leader).collect();
        handlers.choose(random).map(|name| (*name).to_owned())
    }

    /// Errors: a peer has ended though nobody killed it.
    pub(super) fn check(&mut self) -> Outcome<()> {
        for peer in &mut self.running {
            if let Some(status) = peer.ended()? {
                return Err(Failure::new(format!("{} ended by itself: {status}\n{}", peer.name(), peer.tail())));
            }
        }
        Ok(())
    }

    /// Asks all peers to end, and waits until they have. Errors: one does not, or not with exit code 0.
    pub(super) async fn end(&mut self, handler_delay: Duration) -> Outcome<()> {
        for peer in &self.running {
            peer.ask_to_end()?;
        }
        for peer in &mut self.running {
            let status = peer
                .end(END + handler_delay)
                .await
                .map_err(|error| Failure::new(format!("{error}\n{}", peer.tail())))?;
            if !status.success() {
                return Err(Failure::new(format!("{} ended badly: {status}\n{}", peer.name(), peer.tail())));
            }
        }
        self.running.clear();
        Ok(())
    }

    /// The last words of all of them.
    pub(super) fn tails(&self) -> String {
        self.running.iter().map(Child::tail).collect()
    }
}
