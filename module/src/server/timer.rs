//! The server's timers.

use std::os::raw::c_longlong;
use std::ptr::null_mut;

use mq_engine::Span;
use redis_module::raw;

use super::callbacks::{detached, on_timer};

/// A timer that has not gone off yet.
#[derive(Debug, PartialEq, Eq)]
pub struct Timer(raw::RedisModuleTimerID);

impl Timer {
    /// Goes off once, after `delay`: then [`super::Events`]' `timer` is called, and the value is of no more use.
    pub fn start(delay: Span) -> Timer {
        let period = c_longlong::try_from(delay.0).unwrap_or(c_longlong::MAX / 2000);
        // SAFETY: the detached context is valid for ever; no data is passed.
        Timer(unsafe {
            rm!(RedisModule_CreateTimer, detached(), period.min(c_longlong::MAX / 2000), Some(on_timer), null_mut())
        })
    }

    /// It will not go off.
    pub fn stop(self) {
        // SAFETY: the detached context is valid for ever; the timer is known by its number, and one that has gone off is
        // simply not found.
        unsafe { rm!(RedisModule_StopTimer, detached(), self.0, null_mut()) };
    }
}

/// Whether nothing may be sent to replicas now (CLIENT PAUSE, FAILOVER). A write outside a client's command would bring
/// the server down.
pub fn writes_are_paused() -> bool {
    // SAFETY: takes nothing.
    unsafe { rm!(RedisModule_AvoidReplicaTraffic) != 0 }
}
