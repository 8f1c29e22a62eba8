//! Memory misused on purpose, for a test of who watches it.

use std::hint::black_box;

/// The first byte of a block that has been freed.
pub(crate) fn read_freed(block: Vec<u8>) -> u8 {
    let start = block.as_ptr();
    drop(block);
    // SAFETY: none. This is the fault.
    unsafe { black_box(start).read_volatile() }
}
