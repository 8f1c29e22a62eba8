//! Finding what was done while it was refused: a write by a server that refused every write, and a client that was served
//! after its rights had been taken.

use std::collections::{BTreeMap, HashMap};

use super::{At, Event, What, Whom, check::Claimed};

/// The earliest moments at which the server can have given each claim.
struct Earliest<'h> {
    /// When each payload was first sent: no claim of it is older.
    pushed: HashMap<&'h str, At>,
    /// The claims of each message by receipt.
    claims: HashMap<i64, BTreeMap<i64, &'h Claimed<'h>>>,
    /// When each server last took a push under each token: a larger token is younger.
    fenced: HashMap<u16, BTreeMap<i64, At>>,
}

impl<'h> Earliest<'h> {
    fn new(events: &'h [Event], claims: &'h HashMap<i64, Claimed<'h>>) -> Self {
        let mut pushed: HashMap<&str, At> = HashMap::new();
        for event in events {
            if let What::Push { payload, .. } = &event.what {
                let first = pushed.entry(payload).or_insert(event.sent);
                *first = event.sent.min(*first);
            }
        }
        let mut fenced: HashMap<u16, BTreeMap<i64, At>> = HashMap::new();
        for event in events {
            if let What::Push { fence: Some(token), id: Some(_), .. } = &event.what {
                let last = fenced.entry(event.server).or_default().entry(*token).or_default();
                *last = event.sent.max(*last);
            }
        }
        let mut by_message: HashMap<i64, BTreeMap<i64, &Claimed<'_>>> = HashMap::new();
        for (receipt, claim) in claims {
            by_message.entry(claim.id).or_default().insert(*receipt, claim);
        }
        Self { pushed, claims: by_message, fenced }
    }

    /// The server carried out the command at this moment or later. A command that waited may have been sent long before, but
    /// a message cannot be claimed before it was pushed, nor while the same server has another claim of it, and a leader is
    /// not made while the one before can push.
    fn of(&self, event: &Event) -> At {
        let bound = match &event.what {
            What::Claim { payload, id, receipt, .. } => self.of_claim(event.server, payload, *id, *receipt),
            What::Lead { token, .. } => {
                let older = self.fenced.get(&event.server).into_iter().flat_map(|fenced| fenced.range(..*token));
                older.map(|(_, at)| *at).max().unwrap_or_default()
            }
            _ => At::ZERO,
        };
        event.sent.max(bound)
    }

    fn of_claim(&self, server: u16, payload: &str, id: i64, receipt: i64) -> At {
        let pushed = self.pushed.get(payload).copied().unwrap_or_default();
        let claims = self.claims.get(&id);
        let before = claims.and_then(|claims| claims.range(..receipt).next_back()).map(|(_, claim)| *claim);
        let until = before.filter(|claim| claim.event.server == server).map(|claim| claim.surely_until);
        pushed.max(until.unwrap_or_default())
    }
}

/// Whether the answer says that the command changed something.
fn is_done(what: &What) -> bool {
    match what {
        What::Push { id, .. } => id.is_some(),
        What::Complete { counted, .. } | What::Touch { counted, .. } => *counted == Some(true),
        What::Claim { .. } | What::Lead { .. } => true,
        What::SessionEnd { .. } | What::Promotion | What::Refusal(_) | What::Changed { .. } => false,
    }
}

/// What the server itself told.
fn self_reported(event: &Event) -> Option<String> {
    match &event.what {
        What::Changed { evidence } => Some(format!("between {:?} and {:?}: {evidence}", event.sent, event.answered)),
        _ => None,
    }
}

/// The evidence. `events` are in the order of their answers.
pub(super) fn violations(events: &[Event], claims: &HashMap<i64, Claimed<'_>>) -> Vec<String> {
    let earliest = Earliest::new(events, claims);
    let mut found: Vec<String> = events.iter().filter_map(self_reported).collect();
    for refusal in events {
        let What::Refusal(whom) = refusal.what else { continue };
        let first = events.partition_point(|event| event.answered <= refusal.sent);
        let during = events[first..].iter().take_while(|event| event.answered < refusal.answered);
        for event in during.filter(|event| is_done(&event.what) && earliest.of(event) > refusal.sent) {
            let is_meant = match whom {
                Whom::Everyone => event.server == refusal.server,
                Whom::Client => event.client == refusal.client,
            };
            if is_meant {
                let (from, to) = (refusal.sent, refusal.answered);
                found.push(format!("between {from:?} and {to:?} ({whom:?}): {event:?}"));
            }
        }
    }
    found
}
