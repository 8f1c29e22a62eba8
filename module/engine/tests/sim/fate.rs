//! What happens to the servers: crashes, restarts, copies, failovers, another name.

use super::server::Server;
use super::world::{World, skew};
use mq_engine::{NUMBERS_PER_MS, Queue};

impl World {
    /// Something happens to a server.
    pub(super) fn fate(&mut self) {
        let primary = self.primary;
        let other = (primary + 1 + self.rng.below(2) as usize) % self.servers.len();
        match self.rng.below(100) {
            0..15 => self.crash(primary),
            15..26 if self.servers[other].up => self.crash(other),
            26..38 if self.refusing.is_none() => {
                self.tell(|| "the queue is renamed".into());
                self.report.saw("term: another name");
                self.servers[primary].home = false;
            }
            38..51 if self.may_lead(other) => self.fail_over(other),
            51..57 => {
                let server = self.rng.below(3) as usize;
                if self.servers[server].up && self.servers[server].linked {
                    self.tell(|| format!("server {server} saves itself"));
                    self.servers[server].save();
                }
            }
            57..72 => self.set_wall(),
            72..78 if self.servers[other].up => {
                self.tell(|| format!("server {other} loses its link for long"));
                self.servers[other].linked = false;
            }
            78..88 => self.replay_somebody(),
            88..100 if self.refusing.is_none() => self.start_refusing(),
            _ => {}
        }
    }

    /// The process ends; of what its disk has not confirmed, some is lost.
    fn crash(&mut self, index: usize) {
        self.end_of_deposed(index);
        let server = &mut self.servers[index];
        server.up = false;
        let kept = self.rng.range(server.synced as u64, server.position as u64) as usize;
        let lost = server.position - kept;
        (server.synced, server.position) = (kept, kept);
        // What it has on its disk is worth something only as a part of the surviving history.
        server.sound &= server.linked;
        self.report.saw(match (index == self.primary, lost) {
            (true, 0) => "crash: primary, nothing lost",
            (true, _) => "crash: primary, tail lost",
            (false, _) => "crash: replica",
        });
        self.tell(|| format!("server {index} crashes and loses {lost} records"));
    }

    /// A primary that was cut off ends, or learns that it is a replica.
    fn end_of_deposed(&mut self, index: usize) {
        self.deposed.take_if(|deposed| deposed.index == index);
        self.known.accepts(index);
    }

    /// Somebody sets the wall clock of a server: right, where its clock is behind; a little or a day ahead; or back.
    fn set_wall(&mut self) {
        let index = self.rng.below(3) as usize;
        let server = &mut self.servers[index];
        let (before, behind) = (server.ahead, u64::try_from(-server.offset).unwrap_or(0));
        server.ahead = match self.rng.below(20) {
            _ if before > 0 && self.rng.chance(700) => self.rng.below(before),
            0..13 => behind,
            13..19 => self.rng.below(5000),
            _ => self.rng.below(90_000_000),
        };
        let after = server.ahead;
        self.report.add("wall clock: set ahead", (after > before).into());
        self.report.add("wall clock: set back", (after < before).into());
        self.tell(|| format!("the wall clock of server {index} is {after} ms ahead of its time, after {before}"));
    }

    /// There is no primary: it comes back, or a replica takes over.
    pub(super) fn recover(&mut self) {
        let candidates: Vec<usize> = (0..self.servers.len()).filter(|index| self.may_lead(*index)).collect();
        let waiting = self.servers.iter().filter(|server| server.up && server.linked).count();
        self.report.add("held back: a replica whose numbers could repeat", (waiting - candidates.len()) as u64);
        if !candidates.is_empty() && self.rng.chance(600) {
            let chosen = self.rng.pick(&candidates);
            return self.fail_over(chosen);
        }
        let (index, kept) = (self.primary, self.servers[self.primary].synced);
        let mut offset = skew(&mut self.rng);
        let clock = |offset: i64| self.time.saturating_add_signed(offset);
        if !self.is_fresh(kept, 0, self.servers[index].snapshot.mark, clock(offset)) {
            self.report.saw("held back: a restart until the clock had passed what was lost");
            let highest = (0..3).map(|kind| self.ledger.highest(kind)).max().unwrap_or_default();
            offset = (highest / NUMBERS_PER_MS + 1).saturating_sub(self.time) as i64 + self.rng.below(50) as i64;
        }
        self.restart(index, kept, offset);
        self.lose(kept);
        self.starts_anew();
    }

    pub(super) fn restart_replica(&mut self, index: usize) {
        let server = &self.servers[index];
        let (sound, kept) = (server.sound, server.synced);
        let offset = skew(&mut self.rng);
        if sound {
            return self.restart(index, kept, offset);
        }
        // Its disk holds another history; it will be copied anew.
        self.servers[index] = Server { linked: false, sound: false, ..Server::new(offset) };
    }

    fn restart(&mut self, index: usize, kept: usize, offset: i64) {
        let earlier = offset < self.servers[index].offset;
        self.report.add("restart: clock earlier", earlier.into());
        self.report.saw("restart: snapshot and log");
        self.tell(|| format!("server {index} restarts with {kept} records, its clock at {offset:+} ms"));
        self.servers[index].restart(&self.log, kept, offset, self.fault, self.time);
    }

    /// A replica becomes the primary; what it lacks is lost, and the old primary will be copied anew.
    pub(super) fn fail_over(&mut self, chosen: usize) {
        let kept = self.servers[chosen].position;
        let lost = self.log.end() - kept;
        self.report.saw(if lost == 0 { "failover: nothing lost" } else { "failover: records lost" });
        self.tell(|| format!("server {chosen} takes over and lacks {lost} records"));
        let old = self.primary;
        (self.servers[old].linked, self.servers[old].sound) = (false, false);
        self.primary = chosen;
        let server = &mut self.servers[chosen];
        server.epoch += 1;
        // A module that does not notice its promotion takes the queue for its own.
        server.home |= self.fault == Some(super::WorldFault::NoTermAfterPromotion);
        self.lose(kept);
        self.reign += 1;
        self.deposed = None;
        self.starts_anew();
    }

    /// The records behind this position are no part of the surviving history.
    fn lose(&mut self, kept: usize) {
        self.log.truncate(kept);
        self.ledger.back_to(kept);
        for server in &mut self.servers {
            server.linked &= server.position <= kept;
            server.sound &= server.synced <= kept && server.snapshot.position <= kept;
        }
    }

    pub(super) fn copy_whole(&mut self, index: usize) {
        self.end_of_deposed(index);
        let was_primary = self.servers[index].home;
        self.report.saw("copy: whole queue");
        self.report.add("copy: old primary rejoins", was_primary.into());
        self.tell(|| format!("server {index} gets a whole copy"));
        let (from, to) = match index < self.primary {
            true => {
                let (left, right) = self.servers.split_at_mut(self.primary);
                (&right[0], &mut left[index])
            }
            false => {
                let (left, right) = self.servers.split_at_mut(index);
                (&left[self.primary], &mut right[0])
            }
        };
        to.copy(from);
        to.is_as(&self.log, "a whole copy");
    }

    /// What somebody has saved, with the log since, is what the log says.
    fn replay_somebody(&mut self) {
        let index = self.rng.below(3) as usize;
        let server = &self.servers[index];
        if !server.sound || !server.linked || server.snapshot.position > self.log.end() {
            return;
        }
        let mut copy = Server { snapshot: server.snapshot.clone(), ..Server::new(0) };
        let until = self.rng.range(copy.snapshot.position as u64, self.log.end() as u64) as usize;
        copy.restart(&self.log, until, skew(&mut self.rng), self.fault, self.time);
        assert!(copy.queue.as_ref().is_none_or(|queue| Queue::check_invariants(queue).is_ok()));
    }
}
