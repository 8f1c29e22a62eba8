//! The error store, and the deletion of messages.

use super::{Message, Model, RECEIPT, State};

impl Model {
    pub fn remove(&mut self, ids: &[u64]) -> u64 {
        let before = self.messages.len();
        self.messages.retain(|message| {
            let fixed = matches!(message.state, State::Claimed { .. } | State::Errored { drain: Some(_), .. });
            fixed || !ids.contains(&message.id)
        });
        self.removed += (before - self.messages.len()) as u64;
        (before - self.messages.len()) as u64
    }

    /// All of one state, in the order in which they go.
    pub fn purge(&mut self, state: u8, count: usize) -> u64 {
        let mut removed = 0;
        while (removed as usize) < count {
            let of = |wanted: fn(&Message) -> bool| self.messages.iter().filter(move |message| wanted(message));
            let id = match state {
                0 => self
                    .next_ready()
                    .map(|index| self.messages[index].id)
                    .or_else(|| of(|message| message.state == State::Ready).map(|message| message.id).min()),
                1 => of(|message| matches!(message.state, State::Delayed { .. }))
                    .min_by_key(|message| match message.state {
                        State::Delayed { due } => (due, message.id),
                        _ => unreachable!(),
                    })
                    .map(|message| message.id),
                _ => of(|message| matches!(message.state, State::Errored { drain: None, .. }))
                    .map(|message| message.id)
                    .min(),
            };
            let Some(id) = id else { break };
            removed += self.remove(&[id]);
        }
        removed
    }

    pub fn drain(&mut self, count: usize, lease: Option<u64>, session: Option<u64>) -> Vec<(u64, Message)> {
        let mut drained = Vec::new();
        while drained.len() < count {
            let waits = |message: &Message| matches!(message.state, State::Errored { drain: None, .. });
            let waiting = self.messages.iter().enumerate().filter(|(_, message)| waits(message));
            let Some((index, _)) = waiting.min_by_key(|(_, message)| message.id) else { break };
            let taken = self.messages[index].clone();
            match lease {
                None => {
                    self.messages.remove(index);
                    self.drained += 1;
                    drained.push((0, taken));
                }
                Some(lease) => {
                    let (receipt, until) = (self.number(RECEIPT), self.now + lease);
                    if let State::Errored { drain, .. } = &mut self.messages[index].state {
                        *drain = Some((receipt, until, session));
                    }
                    drained.push((receipt, taken));
                }
            }
        }
        drained
    }

    pub fn redrive(&mut self, ids: Option<&[u64]>, count: usize) -> u64 {
        let mut redriven = 0;
        for message in &mut self.messages {
            let named = ids.is_none_or(|ids| ids.contains(&message.id));
            if named && redriven < count as u64 && matches!(message.state, State::Errored { drain: None, .. }) {
                (message.state, message.deliveries, message.expires) = (State::Ready, 0, None);
                redriven += 1;
            }
        }
        self.redriven += redriven;
        redriven
    }
}
