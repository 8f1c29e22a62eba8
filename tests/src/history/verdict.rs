//! What a history shows.

use std::fmt;

use super::{Event, check};

/// How many of one kind of fault are told in full.
const TOLD: usize = 5;

/// What a queue must never do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// An accepted message was never completed, though the queue is empty at the end.
    Lost,
    /// A message was completed twice, or delivered after its completion.
    Doubled,
    /// A message was delivered that nobody pushed, or under another id than its push was answered with.
    Unexpected,
    /// Two claims of one message were current at once.
    TwoClaims,
    /// A push was accepted under a token after one under a newer token.
    TwoTokens,
    /// An id, receipt or token was given twice.
    Repeated,
    /// The numbers of the shared producer have a gap, a repetition, or another order than their ids.
    Stream,
    /// A server that refused every write did one, or a client that had lost its rights was served.
    DuringRefusal,
}

impl Fault {
    /// Every one.
    pub const ALL: [Self; 8] = [
        Self::Lost,
        Self::Doubled,
        Self::Unexpected,
        Self::TwoClaims,
        Self::TwoTokens,
        Self::Repeated,
        Self::Stream,
        Self::DuringRefusal,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Doubled => "doubled",
            Self::Unexpected => "unexpected",
            Self::TwoClaims => "two claims at once",
            Self::TwoTokens => "two tokens at once",
            Self::Repeated => "numbers given twice",
            Self::Stream => "stream out of order",
            Self::DuringRefusal => "done while refused",
        }
    }
}

/// The faults found in a history, and how much there was in which to find them.
#[derive(Debug, Default)]
pub struct Verdict {
    pub(super) found: Vec<(Fault, String)>,
    /// Messages whose push was answered.
    pub accepted: usize,
    /// Pushes that were never answered.
    pub unanswered: usize,
    /// Claims.
    pub delivered: usize,
    /// Claims of a message that had been claimed before.
    pub redelivered: usize,
    /// Completions that counted.
    pub completed: usize,
    /// Completions that came too late, and were told so.
    pub refused: usize,
    /// Completions that were never answered.
    pub in_doubt: usize,
    /// Leaderships won.
    pub leaders: usize,
    /// Answers that a crash took back, or may have.
    pub unsettled: usize,
    /// Times in which a server or a client was refused every write.
    pub refusals: usize,
}

impl Verdict {
    /// Judges a history at whose end the queue is empty.
    #[must_use]
    pub fn of(events: &[Event]) -> Self {
        check::judge(events, true)
    }

    /// Judges a history in which queues were deleted, with all that they held and knew: what was in them is not missed, and
    /// fences and streams begin anew.
    #[must_use]
    pub fn of_deleted(events: &[Event]) -> Self {
        check::judge(events, false)
    }

    /// How often this was found.
    #[must_use]
    pub fn count(&self, fault: Fault) -> usize {
        self.found.iter().filter(|(found, _)| *found == fault).count()
    }

    /// Whether nothing was.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.found.is_empty()
    }

    pub(super) fn add(&mut self, fault: Fault, evidence: String) {
        self.found.push((fault, evidence));
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "  pushed {} (and {} in doubt), delivered {} ({} again), completed {} ({} in doubt, {} too late and told so), \
             leaders {}, answers unsettled {}, times of refusal {}",
            self.accepted,
            self.unanswered,
            self.delivered,
            self.redelivered,
            self.completed,
            self.in_doubt,
            self.refused,
            self.leaders,
            self.unsettled,
            self.refusals
        )?;
        let counts: Vec<_> =
            Fault::ALL.iter().map(|fault| format!("{} {}", fault.name(), self.count(*fault))).collect();
        write!(f, "  {}", counts.join(", "))?;
        for fault in Fault::ALL {
            let evidence = self.found.iter().filter(|(found, _)| *found == fault);
            for (_, evidence) in evidence.take(TOLD) {
                write!(f, "\n    {}: {evidence}", fault.name())?;
            }
        }
        Ok(())
    }
}
