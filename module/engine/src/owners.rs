//! Who holds claims: one owner per consumer and session.

use crate::SessionId;
use crate::claims::Chain;
use crate::memory::{allocated, slot_bytes, tree_bytes};
use crate::texts::{TextId, Texts};
use slab::Slab;
use std::collections::BTreeMap;

/// A consumer on one connection, or, without SESSION, on none.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    pub consumer: TextId,
    pub session: Option<SessionId>,
    pub chain: Chain,
}

/// The owners of all current claims. An owner goes with its last claim.
#[derive(Clone, Debug, Default)]
pub(crate) struct Owners {
    owners: Slab<Owner>,
    /// Sessions first, so that those of one session stand together.
    by_key: BTreeMap<(Option<SessionId>, TextId), u32>,
}

impl Owners {
    pub fn get(&self, index: u32) -> &Owner {
        &self.owners[index as usize]
    }

    pub fn chain_mut(&mut self, index: u32) -> &mut Chain {
        &mut self.owners[index as usize].chain
    }

    pub fn len(&self) -> usize {
        self.owners.len()
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        allocated(self.owners.capacity() * slot_bytes::<Owner>())
            + tree_bytes::<(Option<SessionId>, TextId), u32>(self.by_key.len())
    }

    /// The owner of this consumer and session, made if need be. It must get a claim at once.
    pub fn find_or_add(&mut self, texts: &mut Texts, consumer: &[u8], session: Option<SessionId>) -> u32 {
        let known = texts.find(consumer).and_then(|text| self.by_key.get(&(session, text)));
        if let Some(index) = known {
            return *index;
        }
        let consumer = texts.hold(consumer);
        let index = self.owners.insert(Owner { consumer, session, chain: Chain::default() }) as u32;
        self.by_key.insert((session, consumer), index);
        index
    }

    /// Forgets an owner that holds no claim any more.
    pub fn drop_if_idle(&mut self, texts: &mut Texts, index: u32) {
        let owner = &self.owners[index as usize];
        if owner.chain.length == 0 {
            let owner = self.owners.remove(index as usize);
            self.by_key.remove(&(owner.session, owner.consumer));
            texts.release(owner.consumer);
        }
    }

    /// The owners of one session.
    pub fn of_session(&self, session: SessionId) -> Vec<u32> {
        let from = (Some(session), TextId::FIRST);
        self.by_key.range(from..).take_while(|((of, _), _)| *of == Some(session)).map(|(_, index)| *index).collect()
    }

    /// The owners of all sessions.
    pub fn of_all_sessions(&self) -> Vec<u32> {
        self.by_key.iter().filter(|((session, _), _)| session.is_some()).map(|(_, index)| *index).collect()
    }

    /// Every owner, by session and name.
    pub fn sorted<'a>(&'a self, texts: &'a Texts) -> Vec<(u32, &'a Owner)> {
        let mut all: Vec<_> = self.owners.iter().map(|(index, owner)| (index as u32, owner)).collect();
        all.sort_by_key(|(_, owner)| (owner.session, texts.get(owner.consumer)));
        all
    }
}
