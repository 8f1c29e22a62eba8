//! Names and reasons, each kept once however many claims or errors carry it.

use crate::memory::allocated;
use crate::pages::Pages;
use crate::table::Table;
use std::sync::Arc;

/// Names one text for as long as somebody holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TextId(u32);

/// The two counts before the bytes of a shared text.
const ARC: usize = 16;

/// Counted texts. Ids are not part of the state: whatever is ordered by a text is ordered by its bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Texts {
    texts: Pages<(Arc<[u8]>, u32)>,
    by_bytes: Table<Arc<[u8]>, TextId>,
    bytes: usize,
}

impl Texts {
    pub fn get(&self, id: TextId) -> &[u8] {
        &self.texts[id.0 as usize].0
    }

    /// The text itself, shared.
    pub fn shared(&self, id: TextId) -> Arc<[u8]> {
        Arc::clone(&self.texts[id.0 as usize].0)
    }

    pub fn find(&self, text: &[u8]) -> Option<TextId> {
        self.by_bytes.get(text).copied()
    }

    /// One more holder of this text.
    pub fn hold(&mut self, text: &[u8]) -> TextId {
        if let Some(id) = self.find(text) {
            self.texts[id.0 as usize].1 += 1;
            return id;
        }
        let shared: Arc<[u8]> = text.into();
        let index = self.texts.insert((Arc::clone(&shared), 1));
        let id = TextId(u32::try_from(index).expect("fewer than 2^32 texts fit in memory"));
        self.by_bytes.insert(shared, id);
        self.bytes += allocated(ARC + text.len());
        id
    }

    /// One holder less; the last one forgets the text.
    pub fn release(&mut self, id: TextId) {
        let entry = &mut self.texts[id.0 as usize];
        entry.1 -= 1;
        if entry.1 == 0 {
            let (text, _) = self.texts.remove(id.0 as usize);
            self.by_bytes.remove(&text);
            self.bytes -= allocated(ARC + text.len());
        }
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.bytes + self.by_bytes.heap_bytes() + self.texts.heap_bytes()
    }

    /// How many holders there are in all.
    pub fn holders(&self) -> u64 {
        self.texts.iter().map(|(_, (_, holders))| u64::from(*holders)).sum()
    }
}
