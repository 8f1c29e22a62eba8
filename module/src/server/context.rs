//! What a callback of the server is called with.

use std::ffi::CStr;
use std::marker::PhantomData;
use std::os::raw::{c_char, c_int};
use std::ptr::null_mut;

use mq_engine::SessionId;
use redis_module::raw;

use super::call::CallReply;
use super::text::{Arguments, Text};

/// The server's side of one callback.
#[derive(Clone, Copy)]
pub struct Context<'c> {
    raw: *mut raw::RedisModuleCtx,
    life: PhantomData<&'c ()>,
}

/// The effects' command, see [`crate::commands::apply`].
const APPLY: &CStr = c"MQ.APPLY";

/// With this word it does nothing.
pub const PROBE: &CStr = c"PROBE";

/// Whether the server lets the module write by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MayWrite {
    /// It does.
    Yes,
    /// Not to this key: its slot of the cluster is another node's, or on its way there.
    NotHere,
    /// To no key at present.
    Nowhere,
}

impl MayWrite {
    /// Reads what a write was answered with. A node of a cluster says in words of its own, without a code, that a slot is not
    /// its own; elsewhere an error without a code is none of the server's rules.
    fn read(error: Option<&str>, in_cluster: bool) -> MayWrite {
        let Some(error) = error else { return MayWrite::Yes };
        let code = error.trim_start_matches('-').split(' ').next().unwrap_or_default();
        match code {
            "ERR" if !in_cluster => MayWrite::Yes,
            "ERR" | "MOVED" | "ASK" | "TRYAGAIN" | "CLUSTERDOWN" | "CROSSSLOT" => MayWrite::NotHere,
            _ => MayWrite::Nowhere,
        }
    }
}

impl<'c> Context<'c> {
    /// # Safety
    /// The context is valid for `'c`.
    pub(super) unsafe fn new(raw: *mut raw::RedisModuleCtx) -> Context<'c> {
        Context { raw, life: PhantomData }
    }

    /// The server's own handle.
    pub(super) fn raw(self) -> *mut raw::RedisModuleCtx {
        self.raw
    }

    /// Under which circumstances this callback runs.
    pub fn flags(self) -> Flags {
        // SAFETY: the context is valid for 'c.
        Flags(unsafe { rm!(RedisModule_GetContextFlags, self.raw) } as u32)
    }

    /// The database in which keys are opened and effects take place.
    pub fn db(self) -> i32 {
        // SAFETY: the context is valid for 'c.
        unsafe { rm!(RedisModule_GetSelectedDb, self.raw) }
    }

    /// Turns to another database; for contexts without a client (timers).
    pub fn select_db(self, db: i32) {
        // SAFETY: the context is valid for 'c. A database that does not exist is refused, which cannot be here: `db` was
        // a context's own once.
        unsafe { rm!(RedisModule_SelectDb, self.raw, db) };
    }

    /// The connection that sent the command.
    pub fn session(self) -> SessionId {
        // SAFETY: the context is valid for 'c.
        SessionId(unsafe { rm!(RedisModule_GetClientId, self.raw) })
    }

    /// Sends the command as it came to the replicas and the log. Only while a command of a client runs: in any other
    /// callback, `argv` is not what is meant.
    pub fn replicate_verbatim(self) {
        // SAFETY: the context is valid for 'c.
        unsafe { rm!(RedisModule_ReplicateVerbatim, self.raw) };
    }

    /// Sends what was done to the replicas and the log: the effect as one argument, then the payloads beside it.
    pub fn replicate_effect(self, queue: Text<'_>, effect: &[u8], payloads: Arguments<'_>) {
        let payloads = payloads.raw();
        // SAFETY: the context is valid for 'c; the arguments are what the format says: a string of the server's, a pointer with
        // a length, and a list of strings of the server's with its length. The bytes are copied, the strings are counted.
        let done = unsafe {
            rm!(
                RedisModule_Replicate,
                self.raw,
                APPLY.as_ptr(),
                c"sbv".as_ptr(),
                queue.raw(),
                effect.as_ptr(),
                effect.len(),
                payloads.as_ptr(),
                payloads.len()
            )
        };
        if done != 0 {
            self.warn("an effect could not be sent to the replicas: is MQ.APPLY renamed?");
        }
    }

    /// Tells WATCH and client-side caches that the key has changed.
    pub fn signal_modified(self, key: Text<'_>) {
        // SAFETY: the context is valid for 'c, the string for the call.
        unsafe { rm!(RedisModule_SignalModifiedKey, self.raw, key.raw()) };
    }

    /// Tells whoever listens that this has happened to the key, in the class of module events.
    pub fn notify(self, event: &CStr, key: Text<'_>) {
        let class = raw::REDISMODULE_NOTIFY_MODULE as c_int;
        // SAFETY: the context is valid for 'c, the strings for the call.
        unsafe { rm!(RedisModule_NotifyKeyspaceEvent, self.raw, class, event.as_ptr(), key.raw()) };
    }

    /// Whether the server would let a client's command write to this key now. It is asked by a command that does nothing, which
    /// it judges as those of a script: by the number of good replicas, the disk, the role, and the slots of the cluster.
    pub fn may_write(self, key: Text<'_>) -> MayWrite {
        // SAFETY: the context is valid; the arguments are what the format says: a string of the server's and a C string.
        let reply = unsafe {
            let format = c"SEsc".as_ptr();
            rm!(RedisModule_Call, self.raw, APPLY.as_ptr(), format, key.raw(), PROBE.as_ptr())
        };
        let reply = CallReply(reply);
        MayWrite::read(reply.error().as_deref(), self.flags().in_cluster())
    }

    /// One line of the server's log, as a warning.
    pub fn warn(self, line: &str) {
        log(self.raw, c"warning", line);
    }

    /// One line of the server's log.
    pub fn notice(self, line: &str) {
        log(self.raw, c"notice", line);
    }

    /// A line of `INFO`, such as `("memory", "maxmemory_policy")`.
    pub fn server_info(self, section: &CStr, field: &CStr) -> Option<String> {
        // SAFETY: the context is valid for 'c; the field's text lives as long as the data that is freed last.
        unsafe {
            let data = rm!(RedisModule_GetServerInfo, self.raw, section.as_ptr());
            let value: *const c_char = rm!(RedisModule_ServerInfoGetFieldC, data, field.as_ptr());
            let text = (!value.is_null()).then(|| CStr::from_ptr(value).to_string_lossy().trim().to_owned());
            rm!(RedisModule_FreeServerInfo, self.raw, data);
            text
        }
    }
}

/// One line of the server's log, from a callback that has no context.
pub(crate) fn log_without_context(line: &str) {
    log(null_mut(), c"warning", line);
}

/// How much of a line is logged: the server cuts longer ones off.
pub(super) fn logged(line: &str) -> c_int {
    const LONGEST: usize = 1000;
    line.len().min(LONGEST) as c_int
}

fn log(context: *mut raw::RedisModuleCtx, level: &CStr, line: &str) {
    let (bytes, length) = (line.as_bytes(), logged(line));
    // SAFETY: a null context is allowed; the format takes a length and a pointer to at least that many bytes.
    unsafe { rm!(RedisModule_Log, context, level.as_ptr(), c"%.*s".as_ptr(), length, bytes.as_ptr()) }
}

/// Under which circumstances a callback runs.
#[derive(Clone, Copy)]
pub struct Flags(u32);

impl Flags {
    fn any(self, flags: u32) -> bool {
        self.0 & flags != 0
    }

    /// The command comes from this server's primary, or from its own append-only file: it was judged already.
    pub fn is_copy(self) -> bool {
        self.any(raw::REDISMODULE_CTX_FLAGS_REPLICATED | raw::REDISMODULE_CTX_FLAGS_LOADING)
    }

    /// The server is a primary and not loading.
    pub fn is_serving_primary(self) -> bool {
        self.any(raw::REDISMODULE_CTX_FLAGS_MASTER) && !self.any(raw::REDISMODULE_CTX_FLAGS_LOADING)
    }

    /// The server is a node of a cluster.
    pub fn in_cluster(self) -> bool {
        self.any(raw::REDISMODULE_CTX_FLAGS_CLUSTER)
    }

    /// More memory is used than the server may use, and nothing can be evicted.
    pub fn is_full(self) -> bool {
        self.any(raw::REDISMODULE_CTX_FLAGS_OOM)
    }

    /// Inside a script or function.
    pub fn in_script(self) -> bool {
        self.any(raw::REDISMODULE_CTX_FLAGS_LUA)
    }

    /// Inside a script or a transaction: what others see must wait until it has ended.
    pub fn in_transaction(self) -> bool {
        self.any(raw::REDISMODULE_CTX_FLAGS_LUA | raw::REDISMODULE_CTX_FLAGS_MULTI)
    }

    /// The client can be kept waiting.
    pub fn may_block(self) -> bool {
        !self.in_transaction() && !self.is_copy() && !self.any(raw::REDISMODULE_CTX_FLAGS_DENY_BLOCKING)
    }
}
