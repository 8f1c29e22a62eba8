//! MQ: a work queue inside the server, as a native type of key. This is the module's front page: its commands, and what it
//! does when something happens in the server. Everything about messages is in the engine, which knows nothing of Redis.
//!
//! ```text
//!   server calls ──► server::callbacks ──► commands ──► keyspace ──► engine
//!                                            │             │
//!                                            │             └─► replicas and log (Verbatim, or MQ.APPLY effect)
//!                                            ├─► reply
//!                                            └─► serving ──► waiting clients        (agenda: the same by a timer)
//! ```

#![deny(unsafe_code)]

mod agenda;
mod blocking;
mod budget;
mod commands;
mod data_type;
mod entry;
mod failure;
#[cfg(feature = "faults")]
mod faults;
mod guard;
mod keyspace;
mod looking;
mod moment;
mod refused_loads;
#[allow(unsafe_code, reason = "the raw module API is behind this door, and nowhere else")]
mod server;
mod serving;
mod sessions;
mod settings;
mod syntax;
mod tally;
mod terms;
mod waiting;

use server::{Arguments, Context, Events, Registration};

/// All memory is the server's: it counts for maxmemory and shows in INFO. (Tests of this crate run without a server.)
#[cfg(not(test))]
#[global_allocator]
static ALLOCATOR: redis_module::alloc::RedisAlloc = redis_module::alloc::RedisAlloc;

/// What clients can say.
const COMMANDS: &[Registration] = &[
    Registration::of::<commands::Push>(),
    Registration::of::<commands::Claim>(),
    Registration::of::<commands::Ack>(),
    Registration::of::<commands::Fail>(),
    Registration::of::<commands::Extend>(),
    Registration::of::<commands::Release>(),
    Registration::of::<commands::Leader>(),
    Registration::of::<commands::DrainErrors>(),
    Registration::of::<commands::Redrive>(),
    Registration::of::<commands::Remove>(),
    Registration::of::<commands::Purge>(),
    Registration::of::<commands::Peek>(),
    Registration::of::<commands::Info>(),
    Registration::of::<commands::Config>(),
    Registration::of::<commands::Seq>(),
    Registration::of::<commands::Apply>(),
    #[cfg(feature = "faults")]
    Registration::of::<faults::Fault>(),
];

/// What happens by itself.
const EVENTS: Events = Events {
    timer: agenda::timer,
    tick: agenda::tick,
    promoted: terms::promoted,
    demoted: || {
        agenda::clear();
        sessions::clear();
    },
    disconnected: sessions::disconnected,
    keys_replaced: agenda::plan_all,
    swapped: terms::swapped,
    loaded: || {
        commands::apply::forget_partial();
        agenda::plan_all(None);
    },
    waiter_signalled: blocking::signalled,
    waiter_timed_out: blocking::timed_out,
    waiter_disconnected: blocking::gone,
    waiter_gone: blocking::gone,
};

/// Comes into the server. The error is what the server refused.
fn load(context: Context<'_>, arguments: Arguments<'_>) -> Result<(), String> {
    moment::follow_wall();
    server::load(context, arguments, COMMANDS)?;
    if let Some(policy) =
        context.server_info(c"memory", c"maxmemory_policy").filter(|policy| policy.starts_with("allkeys"))
    {
        context.warn(&format!(
            "maxmemory-policy is {policy}: a full server evicts whole queues with all their messages; use noeviction or volatile-*"
        ));
    }
    context.notice(concat!("MQ ", env!("CARGO_PKG_VERSION"), " is ready"));
    Ok(())
}
