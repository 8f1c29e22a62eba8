//! The functions that the server calls, but for those of the data type. Each is a raw signature around one guarded call.

use std::ffi::CStr;
use std::os::raw::{c_int, c_void};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

use mq_engine::SessionId;
use redis_module::raw;

use super::blocked::WaiterId;
use super::context::Context;
use super::naming;
use super::text::Arguments;
use super::timer::Purpose;
use crate::commands::{Command, run};
use crate::{EVENTS, guard};

/// What the module does when something happens in the server. The table is on the module's front page.
pub struct Events {
    /// A timer has gone off. What is done in it is one act, and goes to the copies together.
    pub timer: fn(Context<'_>, Purpose),
    /// A hundred milliseconds have passed, or so.
    pub tick: fn(),
    /// The replica has become a primary.
    pub promoted: fn(),
    /// The primary has become a replica.
    pub demoted: fn(),
    /// A connection has closed.
    pub disconnected: fn(SessionId),
    /// All keys of a database are gone or others; `None`: of all databases.
    pub keys_replaced: fn(Option<i32>),
    /// The keys of a database are another's now.
    pub swapped: fn(i32),
    /// A load has ended.
    pub loaded: fn(),
    /// A waiter's key may have changed: it came into being, or arrived under this name.
    pub waiter_signalled: fn(WaiterId),
    /// A waiter is to be answered: it was woken, or its time is over.
    pub waiter_timed_out: fn(Context<'_>, WaiterId),
    /// A waiter's connection has closed, or the server has ended its wait.
    pub waiter_disconnected: fn(WaiterId),
    /// Nothing refers to this waiter any more.
    pub waiter_gone: fn(WaiterId),
}

const OK: c_int = 0;
const NOT_SERVED: c_int = 1;

/// A context of no client and no end, for what needs one outside every callback.
static DETACHED: AtomicPtr<raw::RedisModuleCtx> = AtomicPtr::new(null_mut());

pub(super) fn detached() -> *mut raw::RedisModuleCtx {
    DETACHED.load(Ordering::Relaxed)
}

/// A command of a client, of the primary, or of the append-only file.
pub(super) unsafe extern "C" fn on_command<C: Command>(
    ctx: *mut raw::RedisModuleCtx,
    argv: *mut *mut raw::RedisModuleString,
    argc: c_int,
) -> c_int {
    // SAFETY: the server's arguments are valid until this function returns.
    let (context, arguments) = unsafe { (Context::new(ctx), Arguments::new(argv, argc)) };
    if guard::command(context, || run::<C>(context, arguments)).is_none() {
        // Whoever waits for a queue that is broken now is to learn of it.
        guard::contained(|| (EVENTS.keys_replaced)(Some(context.db())));
    }
    OK
}

fn with_waiter(ctx: *mut raw::RedisModuleCtx, then: impl FnOnce(WaiterId)) {
    // SAFETY: the context of a blocked client's callback is valid until that returns.
    let data = unsafe { rm!(RedisModule_GetBlockedClientPrivateData, ctx) };
    guard::contained(|| WaiterId::from_private_data(data).map(then));
}

pub(super) unsafe extern "C" fn on_ready(
    ctx: *mut raw::RedisModuleCtx,
    _: *mut *mut raw::RedisModuleString,
    _: c_int,
) -> c_int {
    with_waiter(ctx, EVENTS.waiter_signalled);
    NOT_SERVED // whoever is served is served in the order of the waiters, by a timer that the signal has set
}

pub(super) unsafe extern "C" fn on_timeout(
    ctx: *mut raw::RedisModuleCtx,
    _: *mut *mut raw::RedisModuleString,
    _: c_int,
) -> c_int {
    // SAFETY: the server's argument is valid until this function returns.
    let context = unsafe { Context::new(ctx) };
    // SAFETY: the context of a blocked client's callback is valid until that returns.
    let data = unsafe { rm!(RedisModule_GetBlockedClientPrivateData, ctx) };
    guard::command(context, || {
        if let Some(id) = WaiterId::from_private_data(data) {
            (EVENTS.waiter_timed_out)(context, id);
        }
    });
    OK
}

pub(super) unsafe extern "C" fn on_disconnect(ctx: *mut raw::RedisModuleCtx, _: *mut raw::RedisModuleBlockedClient) {
    with_waiter(ctx, EVENTS.waiter_disconnected);
}

pub(super) unsafe extern "C" fn on_waiter_gone(_: *mut raw::RedisModuleCtx, data: *mut c_void) {
    guard::contained(|| WaiterId::from_private_data(data).map(EVENTS.waiter_gone));
}

pub(super) unsafe extern "C" fn on_timer(ctx: *mut raw::RedisModuleCtx, data: *mut c_void) {
    // SAFETY: the server's argument is valid until this function returns.
    let context = unsafe { Context::new(ctx) };
    guard::contained(|| (EVENTS.timer)(context, Purpose::from_data(data)));
}

unsafe extern "C" fn on_event(
    ctx: *mut raw::RedisModuleCtx,
    event: raw::RedisModuleEvent,
    subevent: u64,
    data: *mut c_void,
) {
    guard::contained(|| match (event.id, subevent) {
        (raw::REDISMODULE_EVENT_CRON_LOOP, _) => (EVENTS.tick)(),
        (raw::REDISMODULE_EVENT_CLIENT_CHANGE, raw::REDISMODULE_SUBEVENT_CLIENT_CHANGE_DISCONNECTED) => {
            // SAFETY: this event comes with the client's description.
            let id = unsafe { (*data.cast::<raw::RedisModuleClientInfo>()).id };
            (EVENTS.disconnected)(SessionId(id));
        }
        (raw::REDISMODULE_EVENT_REPLICATION_ROLE_CHANGED, raw::REDISMODULE_EVENT_REPLROLECHANGED_NOW_MASTER) => {
            (EVENTS.promoted)();
        }
        (raw::REDISMODULE_EVENT_REPLICATION_ROLE_CHANGED, _) => (EVENTS.demoted)(),
        (raw::REDISMODULE_EVENT_FLUSHDB, raw::REDISMODULE_SUBEVENT_FLUSHDB_END) => {
            // SAFETY: this event comes with its description.
            let db = unsafe { (*data.cast::<raw::RedisModuleFlushInfo>()).dbnum };
            (EVENTS.keys_replaced)((db >= 0).then_some(db));
        }
        (raw::REDISMODULE_EVENT_SWAPDB, _) => {
            // SAFETY: this event comes with its description.
            let (first, second) = unsafe {
                let swap = data.cast::<raw::RedisModuleSwapDbInfo>();
                ((*swap).dbnum_first, (*swap).dbnum_second)
            };
            for db in [first, second] {
                (EVENTS.swapped)(db);
                (EVENTS.keys_replaced)(Some(db));
            }
        }
        (
            raw::REDISMODULE_EVENT_LOADING,
            raw::REDISMODULE_SUBEVENT_LOADING_ENDED | raw::REDISMODULE_SUBEVENT_LOADING_FAILED,
        ) => (EVENTS.loaded)(),
        (raw::REDISMODULE_EVENT_CONFIG, _) => {
            // SAFETY: this event comes with its description: as many names as it says. The context is valid until this
            // function returns.
            unsafe {
                let change = data.cast::<raw::RedisModuleConfigChange>();
                let names = std::slice::from_raw_parts((*change).config_names, (*change).num_changes as usize);
                if names.iter().any(|name| naming::is_of(CStr::from_ptr(*name))) {
                    naming::follow(Context::new(ctx));
                }
            }
        }
        _ => {}
    });
}

/// The events asked for, each with the version of its description that `on_event` reads.
const WATCHED: [(u64, u64); 7] = [
    (raw::REDISMODULE_EVENT_CONFIG, 1),
    (raw::REDISMODULE_EVENT_CRON_LOOP, 1),
    (raw::REDISMODULE_EVENT_CLIENT_CHANGE, 1),
    (raw::REDISMODULE_EVENT_REPLICATION_ROLE_CHANGED, 1),
    (raw::REDISMODULE_EVENT_FLUSHDB, 1),
    (raw::REDISMODULE_EVENT_SWAPDB, 1),
    (raw::REDISMODULE_EVENT_LOADING, 1),
];

/// Lets the server call [`EVENTS`]. The error is what it refused.
pub(super) fn subscribe(context: Context<'_>) -> Result<(), String> {
    // SAFETY: the context is valid; the detached one that is made of it is never freed.
    DETACHED.store(unsafe { rm!(RedisModule_GetDetachedThreadSafeContext, context.raw()) }, Ordering::Relaxed);
    for (id, dataver) in WATCHED {
        let event = raw::RedisModuleEvent { id, dataver };
        // SAFETY: the context is valid, and the callback is a function of this library, which is never unloaded.
        if unsafe { rm!(RedisModule_SubscribeToServerEvent, context.raw(), event, Some(on_event)) } != OK {
            return Err(format!("the server knows no event {id}"));
        }
    }
    Ok(())
}
