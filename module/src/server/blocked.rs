//! A client that waits for a queue.

use std::num::NonZeroU64;
use std::os::raw::c_longlong;
use std::ptr::{null_mut, without_provenance_mut};

use mq_engine::Span;
use redis_module::raw;

use super::callbacks::{on_disconnect, on_ready, on_timeout, on_waiter_gone};
use super::context::Context;
use super::text::Arguments;

/// Names one wait of one client for as long as the server runs; a later wait has a larger one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WaiterId(pub NonZeroU64);

impl WaiterId {
    /// What the server keeps with the blocked client: no pointer, only the number.
    fn private_data(self) -> *mut std::os::raw::c_void {
        without_provenance_mut(usize::try_from(self.0.get()).unwrap_or(usize::MAX))
    }

    pub(super) fn from_private_data(data: *mut std::os::raw::c_void) -> Option<WaiterId> {
        NonZeroU64::new(data.addr() as u64).map(WaiterId)
    }
}

/// The server's handle of a waiting client.
///
/// It stays valid until its client's wait is over; who holds it learns of that from [`super::Events`]' `waiter_timed_out`
/// and `waiter_disconnected`, and forgets it then.
#[derive(Clone, Copy)]
pub struct Blocked(*mut raw::RedisModuleBlockedClient);

impl Blocked {
    /// Keeps the client of this command waiting for the key that is its first argument, at most so long (0: for ever).
    /// The caller has asked [`super::Flags::may_block`] first.
    pub fn new(context: Context<'_>, arguments: Arguments<'_>, id: WaiterId, limit: Span) -> Option<Blocked> {
        let key = arguments.text(1)?;
        let mut keys = [key.raw()];
        // SAFETY: the context is valid; the key is copied by the server; the private data is a number, never followed.
        let raw = unsafe {
            rm!(
                RedisModule_BlockClientOnKeys,
                context.raw(),
                Some(on_ready),
                Some(on_timeout),
                Some(on_waiter_gone),
                c_longlong::try_from(limit.0).unwrap_or(c_longlong::MAX),
                keys.as_mut_ptr(),
                1,
                id.private_data(),
            )
        };
        if raw.is_null() {
            return None;
        }
        // SAFETY: the handle is valid, the client having just been blocked.
        unsafe { rm!(RedisModule_SetDisconnectCallback, raw, Some(on_disconnect)) };
        Some(Blocked(raw))
    }

    /// Ends the wait: the server asks for the answer by `waiter_timed_out`, at once or before its next turn, as its
    /// version has it. No reference into a queue may be alive meanwhile.
    pub fn wake(self) {
        // SAFETY: valid, as the type says.
        unsafe { rm!(RedisModule_UnblockClient, self.0, null_mut()) };
    }
}
