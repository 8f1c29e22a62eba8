//! The leadership of a queue, and the fence that it is for.

use crate::faults::{self, Fault};
use crate::numbers::NUMBERS_PER_MS;
use crate::{Moment, Refusal, SessionId, Span, Time, Token};

/// How far ahead of the clock a token may be on a queue that never had a leader of its own: one day. A larger one is a
/// mistake that would shut out every real leader.
const TOKEN_AHEAD: Span = Span(24 * 60 * 60 * 1000);

/// One leadership. It holds until its deadline, its session's end, RESIGN, or the end of the term.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leader {
    pub candidate: Vec<u8>,
    pub token: Token,
    pub deadline: Time,
    /// The connection on which it was acquired or last renewed with SESSION.
    pub session: Option<SessionId>,
}

/// Who leads, and what PUSH … FENCE is judged by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Leadership {
    /// The last leadership unless it was ended; its deadline may have passed.
    pub current: Option<Leader>,
    /// Leaderships begun.
    pub changes: u64,
    /// The largest token that a FENCE was accepted with.
    pub fence_seen: Token,
}

impl Leadership {
    /// Who leads at `now`.
    pub fn at(&self, now: Time) -> Option<&Leader> {
        self.current.as_ref().filter(|leader| now < leader.deadline)
    }

    /// Whether a FENCE with this token may be accepted at this moment.
    pub fn judge(&self, token: Token, moment: &Moment) -> Result<(), Refusal> {
        if faults::on(Fault::FenceStandsOpen) {
            return Ok(());
        }
        if self.changes > 0 {
            // A new term ends every leadership.
            let leader = self.at(moment.now).filter(|_| moment.term.is_none());
            return if leader.is_some_and(|leader| leader.token == token) { Ok(()) } else { Err(Refusal::Fenced) };
        }
        if token.0 > moment.wall.after(TOKEN_AHEAD).0.saturating_mul(NUMBERS_PER_MS) {
            return Err(Refusal::TokenAhead);
        }
        if token < self.fence_seen { Err(Refusal::Fenced) } else { Ok(()) }
    }

    pub fn see_fence(&mut self, token: Token) {
        self.fence_seen = self.fence_seen.max(token);
    }
}
