//! The server's timers.

use std::os::raw::{c_longlong, c_void};
use std::ptr::{null_mut, without_provenance_mut};

use mq_engine::Span;
use redis_module::raw;

use super::callbacks::{detached, on_timer};

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To look what is due.
    Alarm,
    /// To give one item of the agenda its turn.
    Item,
}

impl Purpose {
    /// What the server keeps with the timer: no pointer, only a number.
    fn data(self) -> *mut c_void {
        without_provenance_mut(match self {
            Purpose::Alarm => 1,
            Purpose::Item => 2,
        })
    }

    pub(super) fn from_data(data: *mut c_void) -> Purpose {
        if data.addr() == 2 { Purpose::Item } else { Purpose::Alarm }
    }
}

/// A timer that has not gone off yet.
#[derive(Debug, PartialEq, Eq)]
pub struct Timer(raw::RedisModuleTimerID);

impl Timer {
    /// Goes off once, after `delay`: then [`super::Events`]' `timer` is called, and the value is of no more use.
    pub fn start(delay: Span, purpose: Purpose) -> Timer {
        let period = c_longlong::try_from(delay.0).unwrap_or(c_longlong::MAX / 2000);
        // SAFETY: the detached context is valid for ever; the data is a number, never followed.
        Timer(unsafe {
            rm!(RedisModule_CreateTimer, detached(), period.min(c_longlong::MAX / 2000), Some(on_timer), purpose.data())
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
