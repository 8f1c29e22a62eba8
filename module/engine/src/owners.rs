//! Who holds claims: one owner per consumer and session.

use crate::claims::Chain;
use crate::memory::tree_bytes;
use crate::pages::Pages;
use crate::texts::{TextId, Texts};
use crate::{Receipt, SessionId};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// A consumer on one connection, or, without SESSION, on none.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    pub consumer: TextId,
    pub session: Option<SessionId>,
    pub chain: Chain,
}

/// A session and the name of a consumer on it: an order that does not depend on how the names are kept.
type SessionKey = (SessionId, Arc<[u8]>);

/// The owners of all current claims. An owner goes with its last claim.
#[derive(Clone, Debug, Default)]
pub(crate) struct Owners {
    owners: Pages<Owner>,
    /// By name: the owners of one consumer stand together.
    by_consumer: BTreeMap<(Arc<[u8]>, Option<SessionId>), u32>,
    /// Those with a session. The owners of one session stand together.
    by_session: BTreeMap<SessionKey, u32>,
    /// Claims of owners with a session.
    session_claims: u64,
    /// Those of them that are void: see [`crate::Queue::void_below`].
    void: u64,
    /// No owner before this one has a void claim.
    first_void: Option<SessionKey>,
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
        self.owners.heap_bytes()
            + tree_bytes::<(Arc<[u8]>, Option<SessionId>), u32>(self.by_consumer.len())
            + tree_bytes::<SessionKey, u32>(self.by_session.len())
    }

    /// Returns the owner of this consumer and session, a new one if there is none. It must get a claim at once.
    pub fn find_or_add(&mut self, texts: &mut Texts, consumer: &[u8], session: Option<SessionId>) -> u32 {
        let known = texts.find(consumer).and_then(|text| self.by_consumer.get(&(texts.shared(text), session)));
        if let Some(index) = known {
            return *index;
        }
        let consumer = texts.hold(consumer);
        let index = self.owners.insert(Owner { consumer, session, chain: Chain::default() }) as u32;
        self.by_consumer.insert((texts.shared(consumer), session), index);
        if let Some(session) = session {
            self.by_session.insert((session, texts.shared(consumer)), index);
        }
        index
    }

    /// Forgets an owner that holds no claim any more.
    pub fn drop_if_idle(&mut self, texts: &mut Texts, index: u32) {
        if self.owners[index as usize].chain.length == 0 {
            let owner = self.owners.remove(index as usize);
            self.by_consumer.remove(&(texts.shared(owner.consumer), owner.session));
            if let Some(session) = owner.session {
                self.by_session.remove(&(session, texts.shared(owner.consumer)));
            }
            texts.release(owner.consumer);
        }
    }

    /// Counts a claim that an owner has got.
    pub fn claim_made(&mut self, index: u32, is_void: bool) {
        if self.owners[index as usize].session.is_some() {
            self.session_claims += 1;
            self.void += u64::from(is_void);
        }
    }

    /// Counts a claim that an owner has lost.
    pub fn claim_gone(&mut self, index: u32, is_void: bool) {
        if self.owners[index as usize].session.is_some() {
            self.session_claims -= 1;
            self.void -= u64::from(is_void);
        }
    }

    /// Makes all claims of sessions void.
    pub fn all_void(&mut self) {
        (self.void, self.first_void) = (self.session_claims, None);
    }

    /// The number of void claims.
    pub fn void(&self) -> u64 {
        self.void
    }

    /// The first void claim in the order of sessions and consumers; `void_in` finds it in the claims of one owner.
    pub fn first_void(&mut self, void_in: impl Fn(&Chain) -> Option<Receipt>) -> Option<Receipt> {
        if self.void == 0 {
            self.first_void = None;
            return None;
        }
        let from = self.first_void.as_ref().map_or(Bound::Unbounded, Bound::Included);
        let mut owners = self.by_session.range((from, Bound::Unbounded));
        let (key, receipt) =
            owners.find_map(|(key, index)| Some((key, void_in(&self.owners[*index as usize].chain)?)))?;
        if self.first_void.as_ref() != Some(key) {
            self.first_void = Some(key.clone());
        }
        Some(receipt)
    }

    /// The first owner of a session, by the name of its consumer.
    pub fn first_of_session(&self, session: SessionId) -> Option<u32> {
        let from: SessionKey = (session, Arc::from(&b""[..]));
        self.by_session.range(from..).next().filter(|((of, _), _)| *of == session).map(|(_, index)| *index)
    }

    /// The owners of one consumer.
    pub fn named(&self, consumer: &[u8]) -> impl Iterator<Item = &Owner> {
        let consumer: Arc<[u8]> = consumer.into();
        let owners = self.by_consumer.range((Arc::clone(&consumer), None)..);
        owners.take_while(move |((of, _), _)| *of == consumer).map(|(_, index)| self.get(*index))
    }

    /// Every owner, by the name of its consumer.
    pub fn by_consumer(&self) -> impl Iterator<Item = &Owner> {
        self.by_consumer.values().map(|index| self.get(*index))
    }

    /// Every owner, by session and name.
    pub fn sorted<'a>(&'a self, texts: &'a Texts) -> Vec<(u32, &'a Owner)> {
        let mut all: Vec<_> = self.owners.iter().map(|(index, owner)| (index as u32, owner)).collect();
        all.sort_by_key(|(_, owner)| (owner.session, texts.get(owner.consumer)));
        all
    }
}
