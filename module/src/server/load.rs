//! How the module comes into the server.

use std::ffi::CString;
use std::os::raw::c_int;

use redis_module::raw;

use super::api::first_missing;
use super::callbacks::{on_command, subscribe};
use super::context::Context;
use super::documentation::Pages;
use super::text::Arguments;
use super::{acl, data_type, info, naming, settings};
use crate::commands::Command;
use crate::guard;
use crate::syntax::Syntax;

const OK: c_int = 0;
const REFUSED: c_int = 1;

/// The version of the module API that the server must speak.
const API_VERSION: c_int = 1;

/// One command of the module.
pub struct Registration {
    syntax: &'static Syntax,
    call: raw::RedisModuleCmdFunc,
}

impl Registration {
    /// Of this command.
    pub const fn of<C: Command>() -> Registration {
        Registration { syntax: C::SYNTAX, call: Some(on_command::<C>) }
    }

    /// Its table.
    #[cfg(test)]
    pub fn syntax(&self) -> &'static Syntax {
        self.syntax
    }
}

/// Major, minor and patch as one number, for MODULE LIST.
const fn version() -> c_int {
    const fn number(digits: &str) -> c_int {
        let digits = digits.as_bytes();
        let (mut value, mut at) = (0, 0);
        while at < digits.len() {
            value = value * 10 + (digits[at] - b'0') as c_int;
            at += 1;
        }
        value
    }
    number(env!("CARGO_PKG_VERSION_MAJOR")) * 10_000
        + number(env!("CARGO_PKG_VERSION_MINOR")) * 100
        + number(env!("CARGO_PKG_VERSION_PATCH"))
}

/// The server's first call.
///
/// # Safety
/// For the server only.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn RedisModule_OnLoad(
    ctx: *mut raw::RedisModuleCtx,
    argv: *mut *mut raw::RedisModuleString,
    argc: c_int,
) -> c_int {
    // Before this line nothing may allocate: the allocator is the server's.
    // SAFETY: the server's context, the module's own name.
    if unsafe { raw::Export_RedisModule_Init(ctx, c"mq".as_ptr(), version(), API_VERSION) } != OK {
        return REFUSED;
    }
    // SAFETY: the server's arguments are valid until this function returns.
    let (context, arguments) = unsafe { (Context::new(ctx), Arguments::new(argv, argc)) };
    if let Some(missing) = first_missing() {
        // SAFETY: asked in this expression.
        if { unsafe { raw::RedisModule_Log } }.is_some() {
            context.warn(&format!("MQ needs Redis 7.0 or Valkey 8.0, or later: this server has no {missing}"));
        }
        return REFUSED;
    }
    guard::log_panics();
    match guard::contained(|| crate::load(context, arguments)) {
        Some(Ok(())) => OK,
        Some(Err(why)) => {
            context.warn(&format!("MQ is not loaded: {why}"));
            REFUSED
        }
        None => REFUSED,
    }
}

/// Registers everything. The error is what the server refused.
pub fn load(context: Context<'_>, arguments: Arguments<'_>, commands: &[Registration]) -> Result<(), String> {
    let options = raw::REDISMODULE_OPTIONS_HANDLE_IO_ERRORS | raw::REDISMODULE_OPTION_NO_IMPLICIT_SIGNAL_MODIFIED;
    // SAFETY: the context is valid.
    unsafe { rm!(RedisModule_SetModuleOptions, context.raw(), options as c_int) };
    data_type::create(context)?;
    let category = acl::add_category(context);
    for command in commands {
        register(context, command)?;
        acl::categorise(context, command.syntax, category)?;
    }
    settings::register(context, arguments)?;
    info::register(context)?;
    naming::follow(context);
    subscribe(context)
}

fn register(context: Context<'_>, command: &Registration) -> Result<(), String> {
    let text = |text: &str| CString::new(text).map_err(|nul| nul.to_string());
    // In small letters as the server's own, for INFO commandstats, ACL LIST and the like.
    let (name, flags) = (text(&command.syntax.name.to_lowercase())?, text(command.syntax.flags)?);
    let mut pages = Pages::default();
    let info = pages.describe(command.syntax);
    // SAFETY: the context is valid; names, flags and description are copied, the last while `pages` holds what it points
    // to; the callback is a function of this library, which is never unloaded.
    let done = unsafe {
        let ctx = context.raw();
        rm!(RedisModule_CreateCommand, ctx, name.as_ptr(), command.call, flags.as_ptr(), 1, 1, 1) == OK
            && rm!(RedisModule_SetCommandInfo, rm!(RedisModule_GetCommand, ctx, name.as_ptr()), &raw const info) == OK
    };
    if done { Ok(()) } else { Err(format!("the server refuses the command {}", command.syntax.name)) }
}
