//! What an allocation really takes, and moving it elsewhere.

use crate::Queue;

/// Moves allocations to better places; their contents and room stay the same.
pub trait Mover {
    /// One allocation.
    fn move_items<T>(&mut self, items: &mut Vec<T>);

    /// Whether the rest is to be left for later.
    fn is_over(&mut self) -> bool;
}

/// Pieces that are moved between two questions whether it is over.
const PIECES: usize = 16;

impl Queue {
    /// Moves the queue's memory, a piece (a segment, a block of claims) after the other, from piece `from` on; where to go on
    /// later, or `None` when all is done. The queue stays the same in every respect that can be seen.
    pub fn move_memory(&mut self, mover: &mut impl Mover, from: usize) -> Option<usize> {
        let segments = self.messages.places();
        for piece in from..segments + self.claims.places() {
            if piece < segments {
                self.messages.move_segment(piece, mover);
            } else {
                self.claims.move_block(piece - segments, mover);
            }
            if piece % PIECES == PIECES - 1 && mover.is_over() {
                return Some(piece + 1);
            }
        }
        None
    }
}

/// Bytes that the allocator gives for a request: the size classes of jemalloc, which Redis uses (multiples of 16 up to 128,
/// then four classes for each doubling; jemalloc(3), "IMPLEMENTATION NOTES").
pub fn allocated(bytes: usize) -> usize {
    match bytes {
        0 => 0,
        1..=128 => bytes.next_multiple_of(16),
        _ => {
            let doubling = (bytes - 1).ilog2();
            bytes.next_multiple_of(1 << (doubling - 2))
        }
    }
}

/// Bytes of one place of a slab: the value, or the number of the next empty place.
pub(crate) const fn slot_bytes<T>() -> usize {
    size_of::<Option<T>>()
}

/// Bytes of a standard tree with so many entries. A node has room for 11 of them; ascending insertion leaves 6 in each, and a
/// separator in the node above, which has 12 more pointers (`std::collections::btree::node`).
pub(crate) fn tree_bytes<K, V>(entries: usize) -> usize {
    const ROOM: usize = 11;
    const LEFT: usize = 6;
    const HEAD: usize = 16;
    if entries == 0 {
        return 0;
    }
    let node = ROOM * (size_of::<K>() + size_of::<V>()) + HEAD;
    let inner_node = allocated(node + (ROOM + 1) * size_of::<usize>());
    let leaves = if entries <= ROOM { 1 } else { entries.div_ceil(LEFT + 1) };
    let inner = if leaves == 1 { 0 } else { leaves.div_ceil(LEFT) };
    leaves * allocated(node) + inner * inner_node
}

#[cfg(test)]
mod tests {
    use super::allocated;

    #[test]
    fn the_size_classes_are_those_of_the_manual() {
        let classes = [(1, 16), (16, 16), (17, 32), (128, 128), (129, 160), (161, 192), (257, 320), (2048, 2048)];
        for (bytes, class) in classes.into_iter().chain([(2049, 2560), (3584, 3584), (16384, 16384), (16385, 20480)]) {
            assert_eq!(allocated(bytes), class, "{bytes}");
        }
    }
}
