//! Active defragmentation: the server says which memory lies badly, and gives better for it.

use std::os::raw::{c_int, c_ulong, c_void};

use mq_engine::Mover;
use redis_module::raw;

use crate::entry::Entry;
use crate::guard;

const OK: c_int = 0;
const DONE: c_int = 0;
const MORE: c_int = 1;

/// Moves what is worth moving, and knows when the server's patience is over.
struct Defragmenter(*mut raw::RedisModuleDefragCtx);

impl Mover for Defragmenter {
    fn move_items<T>(&mut self, items: &mut Vec<T>) {
        if items.capacity() == 0 || size_of::<T>() == 0 {
            return;
        }
        let (length, capacity) = (items.len(), items.capacity());
        // SAFETY: the context is valid until the callback returns. The pointer is that of an allocation of the server's, as the
        // module's allocator is the server's. Where the answer is not null, the bytes lie there, with the same room, and the old
        // allocation is gone: so the old vector is forgotten, not dropped.
        unsafe {
            let moved = rm!(RedisModule_DefragAlloc, self.0, items.as_mut_ptr().cast::<c_void>());
            if !moved.is_null() {
                let old = std::mem::replace(items, Vec::from_raw_parts(moved.cast::<T>(), length, capacity));
                std::mem::forget(old);
            }
        }
    }

    fn is_over(&mut self) -> bool {
        // SAFETY: the context is valid until the callback returns.
        unsafe { rm!(RedisModule_DefragShouldStop, self.0) != 0 }
    }
}

/// The server calls this again and again for a large value, until it says that it is done.
pub(super) unsafe extern "C" fn defrag(
    ctx: *mut raw::RedisModuleDefragCtx,
    _: *mut raw::RedisModuleString,
    value: *mut *mut c_void,
) -> c_int {
    let mut cursor: c_ulong = 0;
    // SAFETY: the context and the place of the value's pointer are valid until this function returns. The value is a boxed
    // entry, to which nothing refers while the server is here.
    let entry = unsafe {
        if rm!(RedisModule_DefragCursorGet, ctx, &raw mut cursor) != OK {
            cursor = 0; // the first call, or a small value, which is done in one
        }
        let moved = rm!(RedisModule_DefragAlloc, ctx, *value);
        if !moved.is_null() {
            *value = moved;
        }
        &mut *(*value).cast::<Entry>()
    };
    let next = guard::contained(|| entry.defragment(&mut Defragmenter(ctx), cursor as usize)).flatten();
    match next {
        // SAFETY: the context is valid.
        Some(next) if unsafe { rm!(RedisModule_DefragCursorSet, ctx, next as c_ulong) } == OK => MORE,
        _ => DONE,
    }
}
