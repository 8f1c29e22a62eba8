//! LEADER: acquire, renew, resign.

use super::replay_operation;
use crate::codec::{Corrupt, Reader, Writer};
use crate::leader::Leader;
use crate::operation::{Operation, Refusal, Verdict};
use crate::view::LeaderView;
use crate::{Moment, Queue, SessionId, Span, Token};

/// A candidate wants to lead, or to go on leading.
#[derive(Clone, Debug)]
pub struct Lead<'a> {
    /// Its name, unique per process, 1…255 bytes.
    pub candidate: &'a [u8],
    /// For so long; `None`: the queue's `lease`.
    pub lease: Option<Span>,
    /// Leadership also ends with this connection.
    pub session: Option<SessionId>,
    /// Renew only, and only under this token.
    pub renew: Option<Token>,
}

/// Who leads after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Led {
    /// `None` only after a failed renewal.
    pub leader: Option<LeaderView>,
    /// Whether the candidate acquired or renewed.
    pub won: bool,
}

impl Lead<'_> {
    fn wins(&self, current: Option<&Leader>) -> bool {
        match (current, self.renew) {
            (Some(leader), Some(token)) => leader.candidate == self.candidate && leader.token == token,
            (Some(leader), None) => leader.candidate == self.candidate,
            (None, renew) => renew.is_none(),
        }
    }
}

impl Operation for Lead<'_> {
    type Output = Led;
    const TAG: u8 = 7;

    fn judge(&self, queue: &Queue, moment: &Moment) -> Result<Verdict<Led>, Refusal> {
        if queue.stamps.at(moment).has_room(1) { Ok(Verdict::Go) } else { Err(Refusal::NumbersExhausted) }
    }

    fn apply(&self, queue: &mut Queue) -> Led {
        let current = queue.leadership.at(queue.now);
        let won = self.wins(current);
        if won {
            let (token, before) = match current {
                Some(leader) => (leader.token, leader.session),
                None => {
                    queue.leadership.changes += 1;
                    (queue.stamps.token(), None)
                }
            };
            queue.leadership.current = Some(Leader {
                candidate: self.candidate.to_vec(),
                token,
                deadline: queue.now.after(self.lease.unwrap_or(queue.settings.lease)),
                session: self.session.or(before),
            });
        }
        Led { leader: queue.leader(queue.now), won }
    }

    fn changed(output: &Led) -> bool {
        output.won
    }

    fn encode(&self, out: &mut Writer) {
        out.text(self.candidate);
        out.optional(self.lease.map(|lease| lease.0));
        out.optional(self.session.map(|session| session.0));
        out.optional(self.renew.map(|token| token.0));
    }
}

pub(super) fn replay_lead(queue: &mut Queue, moment: &Moment, reader: &mut Reader<'_>) -> Result<(), Corrupt> {
    let candidate = reader.text()?;
    let lease = reader.optional()?.map(Span);
    let session = reader.optional()?.map(SessionId);
    let renew = reader.optional()?.map(Token);
    replay_operation(&Lead { candidate, lease, session, renew }, queue, moment);
    Ok(())
}

/// Ends the candidate's leadership. The output is whether it led under this token.
#[derive(Clone, Debug)]
pub struct Resign<'a> {
    /// Who resigns.
    pub candidate: &'a [u8],
    /// The token of the leadership.
    pub token: Token,
}

impl Operation for Resign<'_> {
    type Output = bool;
    const TAG: u8 = 8;

    fn apply(&self, queue: &mut Queue) -> bool {
        let leader = queue.leadership.at(queue.now);
        let leads = leader.is_some_and(|leader| leader.candidate == self.candidate && leader.token == self.token);
        if leads {
            queue.leadership.current = None;
        }
        leads
    }

    fn changed(output: &bool) -> bool {
        *output
    }

    fn encode(&self, out: &mut Writer) {
        out.text(self.candidate);
        out.number(self.token.0);
    }
}

pub(super) fn replay_resign(queue: &mut Queue, moment: &Moment, reader: &mut Reader<'_>) -> Result<(), Corrupt> {
    let candidate = reader.text()?;
    let token = Token(reader.number()?);
    replay_operation(&Resign { candidate, token }, queue, moment);
    Ok(())
}
