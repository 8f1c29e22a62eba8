//! The module's part of INFO.

use std::ffi::CString;
use std::os::raw::c_int;

use redis_module::raw;

use super::context::Context;
use crate::{guard, tally};

const OK: c_int = 0;

/// The section `mq`, being written. The server puts the module's name before that of each field.
pub struct InfoPage(*mut raw::RedisModuleInfoCtx);

impl InfoPage {
    /// Adds a field.
    pub fn number(&mut self, name: &str, value: u64) {
        if let Ok(name) = CString::new(name) {
            // SAFETY: the page is valid until the callback returns; the name is copied.
            unsafe { rm!(RedisModule_InfoAddFieldULongLong, self.0, name.as_ptr(), value) };
        }
    }

    /// Adds a field.
    pub fn text(&mut self, name: &str, value: &str) {
        if let (Ok(name), Ok(value)) = (CString::new(name), CString::new(value)) {
            // SAFETY: as above; the value is copied too.
            unsafe { rm!(RedisModule_InfoAddFieldCString, self.0, name.as_ptr(), value.as_ptr()) };
        }
    }
}

/// Lets the server ask for the section.
pub(super) fn register(context: Context<'_>) -> Result<(), String> {
    // SAFETY: the context is valid, and the callback is a function of this library, which is never unloaded.
    let done = unsafe { rm!(RedisModule_RegisterInfoFunc, context.raw(), Some(on_info)) };
    if done == OK { Ok(()) } else { Err("the server takes no section of INFO".into()) }
}

unsafe extern "C" fn on_info(ctx: *mut raw::RedisModuleInfoCtx, for_crash_report: c_int) {
    if for_crash_report != 0 {
        return; // whatever is wrong may be wrong here
    }
    guard::contained(|| {
        // SAFETY: the page is valid until this function returns. An empty name makes the section the module's own. It is
        // refused when the client has not asked for it.
        if unsafe { rm!(RedisModule_InfoAddSection, ctx, c"".as_ptr()) } == OK {
            tally::show(&mut InfoPage(ctx));
        }
    });
}
