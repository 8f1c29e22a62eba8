//! MQ.LEADER: who leads; acquire, renew, stand by, resign.

use mq_engine::operations::{Lead, Resign};
use mq_engine::{LeaderView, Token};

use super::{Call, Command};
use crate::failure::Failure;
use crate::keyspace::Absent;
use crate::looking::look;
use crate::server::Reply;
use crate::syntax::{Argument, Choice, KeyUse, Position, Slot, Syntax};
use crate::waiting::Candidate;
use crate::{blocking, serving, sessions};

/// `MQ.LEADER queue [candidate [LEASE ms] [BLOCK ms] [SESSION] [TOKEN t] | candidate RESIGN t]`
///
/// `[leader, token, remaining-ms]`, `[nil, 0, 0]` when there is none; with RESIGN 1 or 0.
pub struct Leader;

const SYNTAX: Syntax = Syntax {
    name: "MQ.LEADER",
    summary: "Shows who leads; makes a candidate the leader, renews its lease, lets it stand by, or resigns.",
    since: "0.1.0",
    complexity: "O(1); when leadership is handed over, O(N) with N standbys of the new leader's name",
    flags: "write blocking",
    key: KeyUse::ShowsAndUpdates,
    positions: &[Position::optional(Argument::name("candidate"))],
    options: &[
        Choice::new("LEASE", &[Argument::lease()]),
        Choice::new("BLOCK", &[Argument::span()]),
        Choice::new("SESSION", &[]),
        Choice::new("TOKEN", &[Argument::stamp("t")]),
        Choice::new("RESIGN", &[Argument::stamp("t")]).excludes(&["*"]),
    ],
    one_of: None,
};
const CANDIDATE: Slot = SYNTAX.slot("candidate");
const LEASE: Slot = SYNTAX.slot("LEASE");
const BLOCK: Slot = SYNTAX.slot("BLOCK");
const SESSION: Slot = SYNTAX.slot("SESSION");
const TOKEN: Slot = SYNTAX.slot("TOKEN");
const RESIGN: Slot = SYNTAX.slot("RESIGN");

impl Command for Leader {
    const SYNTAX: &'static Syntax = &SYNTAX;

    fn run(call: &Call<'_>) -> Result<(), Failure> {
        match (call.bytes(CANDIDATE), call.number(RESIGN)) {
            (None, _) => report(call),
            (Some(candidate), Some(token)) => resign(call, &Resign { candidate, token: Token(token) }),
            (Some(candidate), None) => lead(call, candidate),
        }
    }
}

fn report(call: &Call<'_>) -> Result<(), Failure> {
    let leader = look(call.context, call.queue, |queue, glance| glance.leader(queue))?.flatten();
    reply(call.reply(), leader.as_ref());
    Ok(())
}

fn resign(call: &Call<'_>, operation: &Resign<'_>) -> Result<(), Failure> {
    call.change(|queue| {
        let resigned = queue.step(operation, Absent::Empty)?.unwrap_or_default();
        call.reply().integer(resigned.into());
        Ok(())
    })
}

/// With TOKEN nobody waits: a renewal that fails now fails for ever.
fn lead(call: &Call<'_>, candidate: &[u8]) -> Result<(), Failure> {
    let (lease, session) = (call.span(LEASE), call.session(SESSION)?);
    let operation = Lead { candidate, lease, session, renew: call.number(TOKEN).map(Token) };
    let (absent, may_wait) = match operation.renew {
        Some(_) => (Absent::Empty, false),
        None => (Absent::CreateUnlessFull, call.flags.may_block()),
    };
    call.change(|queue| {
        serving::serve_earlier(queue);
        let led = queue.step(&operation, absent)?;
        let won = led.as_ref().is_some_and(|led| led.won);
        if let Some(session) = session.filter(|_| won) {
            sessions::note(session, queue.place());
        }
        if let Some(limit) = call.span(BLOCK).filter(|_| !won && may_wait) {
            let candidate = Candidate { sender: call.sender(), name: candidate.into(), lease, session };
            if blocking::await_leadership(call, queue, candidate, limit) {
                return Ok(());
            }
        }
        reply(call.reply(), led.and_then(|led| led.leader).as_ref());
        Ok(())
    })
}

/// The answer, now or after a wait.
pub fn reply(reply: Reply<'_>, leader: Option<&LeaderView>) {
    reply.array(3);
    match leader {
        Some(leader) => {
            reply.bytes(&leader.candidate);
            reply.integer(leader.token.0);
            reply.integer(leader.left.0);
        }
        None => {
            reply.null();
            reply.integer(0);
            reply.integer(0);
        }
    }
}
