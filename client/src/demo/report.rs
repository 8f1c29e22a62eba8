//! The verdict as a person reads it.

use std::fmt;
use std::time::Duration;

use indicatif::{HumanBytes, HumanCount};

use super::kills::Kills;
use super::verdict::Verdict;

/// What a run was like, besides the verdict.
#[derive(Debug)]
pub(super) struct Run {
    /// How many messages were generated.
    pub generated: u64,
    pub kills: Kills,
    /// Deliveries beyond the first, as the module counts them: told, not judged.
    pub redelivered: u64,
    /// From the start of the peers to the last completion.
    pub duration: Duration,
    /// The most memory that the server has used, in bytes.
    pub peak_memory: u64,
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kills = &self.kills;
        line(f, "generated", HumanCount(self.generated))?;
        line(
            f,
            "generator kills",
            format_args!(
                "{}   ({} with messages left to generate and a successor that pushed)",
                kills.generators,
                kills.take_overs.len()
            ),
        )?;
        line(f, "handler kills", kills.handlers)?;
        match (kills.median(), kills.worst()) {
            (Some(median), Some(worst)) => {
                line(f, "failover", format_args!("median {}, worst {}", Millis(median), Millis(worst)))?;
                let times: Vec<String> = kills.take_overs.iter().map(|time| Millis(*time).to_string()).collect();
                line(
                    f,
                    "",
                    format_args!("({}; from SIGKILL to the successor's first accepted push)", times.join(", ")),
                )?;
            }
            _ => line(f, "failover", "none")?,
        }
        line(f, "redeliveries", HumanCount(self.redelivered))?;
        let seconds = self.duration.as_secs_f64();
        let per_second = self.generated as f64 / seconds.max(f64::MIN_POSITIVE);
        line(f, "throughput", format_args!("{per_second:.0} messages/s   ({seconds:.1} s)"))?;
        line(f, "server memory", format_args!("{} at most", HumanBytes(self.peak_memory)))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        line(f, "expected", HumanCount(u64::from(self.messages)))?;
        line(f, "processed", HumanCount(self.processed))?;
        line(f, "failed", HumanCount(self.failed))?;
        line(f, "lost", &self.lost)?;
        line(f, "completed twice", &self.doubled)?;
        if self.generated != u64::from(self.messages) {
            line(f, "wrongly generated", HumanCount(self.generated))?;
        }
        for (name, faults) in [
            ("never generated", &self.foreign),
            ("not in getErrors", &self.unprinted),
            ("twice in getErrors", &self.printed_twice),
        ] {
            if faults.count > 0 {
                line(f, name, faults)?;
            }
        }
        if self.misprinted > 0 {
            line(f, "alien to getErrors", self.misprinted)?;
        }
        let verdict = if self.holds() {
            "every message was completed exactly once, and getErrors printed exactly the failed ones"
        } else {
            "NOT PROVEN: the evidence contradicts the promise"
        };
        line(f, "verdict", verdict)
    }
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, value: impl fmt::Display) -> fmt::Result {
    writeln!(f, "{name:<19}{value}")
}

/// A span in milliseconds, to a tenth.
struct Millis(Duration);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} ms", self.0.as_secs_f64() * 1000.0)
    }
}
