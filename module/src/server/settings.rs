//! Module configuration: the defaults of new queues, as `mq.*`.

use std::ffi::CString;
use std::os::raw::{c_char, c_int, c_longlong, c_void};
use std::ptr::without_provenance_mut;

use redis_module::raw;

use super::context::Context;
use super::text::Arguments;
use crate::commands::Command;
use crate::commands::Config;
use crate::guard::contained;
use crate::settings::{ROWS, Row, defaults, set_default};
use crate::syntax::{Bounds, Kind, Words, parse};

const OK: c_int = 0;
const REFUSED: c_int = 1;

/// The arguments of `loadmodule`, read as those of MQ.CONFIG.
#[derive(Clone, Copy)]
struct LoadArguments<'c>(Arguments<'c>);

/// In place of a command's name and queue.
const PREFIX: usize = 2;

impl<'c> Words<'c> for LoadArguments<'c> {
    fn count(self) -> usize {
        PREFIX + self.0.len()
    }

    fn word(self, at: usize) -> Option<&'c [u8]> {
        match at.checked_sub(PREFIX) {
            Some(at) => self.0.get(at),
            None => Some(b""),
        }
    }
}

/// Takes the defaults from the arguments of `loadmodule`, then lets the configuration file and CONFIG SET change them.
pub(super) fn register(context: Context<'_>, arguments: Arguments<'_>) -> Result<(), String> {
    let syntax = Config::SYNTAX;
    let parsed =
        parse(syntax, LoadArguments(arguments), Bounds::All).map_err(|malformed| format!("loadmodule: {malformed}"))?;
    for row in &ROWS {
        if let Some(value) = parsed.number(row.slot(syntax)) {
            set_default((row.make)(value));
        }
    }
    for (index, row) in ROWS.iter().enumerate() {
        register_row(context, index, row)?;
    }
    // SAFETY: the context is valid.
    match unsafe { rm!(RedisModule_LoadConfigs, context.raw()) } {
        OK => Ok(()),
        _ => Err("a configuration mq.* has a value that is not allowed".into()),
    }
}

fn register_row(context: Context<'_>, index: usize, row: &Row) -> Result<(), String> {
    let name = CString::new(row.name).map_err(|nul| nul.to_string())?;
    let value = (row.read)(&defaults());
    let private = without_provenance_mut(index);
    let (ctx, name, flags) = (context.raw(), name.as_ptr(), raw::REDISMODULE_CONFIG_DEFAULT);
    // SAFETY: the context and the name are valid for the call, which copies the name; the callbacks are functions of this
    // library, which is never unloaded; the private data is a number, never followed.
    let done = unsafe {
        match row.argument.kind {
            Kind::Number(least, most) | Kind::Milliseconds(least, most) => rm!(
                RedisModule_RegisterNumericConfig,
                ctx,
                name,
                value as c_longlong,
                flags,
                least as c_longlong,
                most as c_longlong,
                Some(get_number),
                Some(set_number),
                None,
                private,
            ),
            Kind::Word(_) | Kind::Name | Kind::Bytes(_) | Kind::Count(_) => rm!(
                RedisModule_RegisterBoolConfig,
                ctx,
                name,
                value as c_int,
                flags,
                Some(get_switch),
                Some(set_switch),
                None,
                private,
            ),
        }
    };
    if done == OK { Ok(()) } else { Err(format!("the server refuses the configuration mq.{}", row.name)) }
}

fn get(private: *mut c_void) -> u64 {
    contained(|| ROWS.get(private.addr()).map_or(0, |row| (row.read)(&defaults()))).unwrap_or(0)
}

fn set(private: *mut c_void, value: u64) -> c_int {
    let done = contained(|| ROWS.get(private.addr()).map(|row| set_default((row.make)(value))));
    if done.flatten().is_some() { OK } else { REFUSED }
}

unsafe extern "C" fn get_number(_: *const c_char, private: *mut c_void) -> c_longlong {
    c_longlong::try_from(get(private)).unwrap_or(c_longlong::MAX)
}

unsafe extern "C" fn set_number(
    _: *const c_char,
    value: c_longlong,
    private: *mut c_void,
    _: *mut *mut raw::RedisModuleString,
) -> c_int {
    u64::try_from(value).map_or(REFUSED, |value| set(private, value))
}

unsafe extern "C" fn get_switch(_: *const c_char, private: *mut c_void) -> c_int {
    c_int::from(get(private) != 0)
}

unsafe extern "C" fn set_switch(
    _: *const c_char,
    value: c_int,
    private: *mut c_void,
    _: *mut *mut raw::RedisModuleString,
) -> c_int {
    set(private, u64::from(value != 0))
}
