//! Categories for access control. Redis 7.0 knows none for modules: there commands are granted by name.

use std::ffi::CString;
use std::os::raw::c_int;

use redis_module::raw;

use super::context::Context;
use crate::syntax::{KeyUse, Syntax};

const OK: c_int = 0;

/// Whether there is a category `mq`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Category {
    /// Every command is in it.
    Added,
    /// The server knows only its own categories, or none.
    Unknown,
}

/// Adds the category `mq` where the server lets modules do so (Redis 7.4, Valkey 8).
pub(super) fn add_category(context: Context<'_>) -> Category {
    // SAFETY: asked in this expression; the context is valid, the name is copied.
    let added = unsafe { raw::RedisModule_AddACLCategory.map(|add| add(context.raw(), c"mq".as_ptr())) };
    if added == Some(OK) { Category::Added } else { Category::Unknown }
}

/// Puts a command into the server's categories, and into `mq`, where the server lets modules do so (Redis 7.2).
pub(super) fn categorise(context: Context<'_>, syntax: &Syntax, category: Category) -> Result<(), String> {
    let mut names: Vec<&str> = syntax.flags.split(' ').filter(|flag| ["fast", "blocking"].contains(flag)).collect();
    names.push(if syntax.key == KeyUse::Shows { "read" } else { "write" });
    if !names.contains(&"fast") {
        names.push("slow");
    }
    if category == Category::Added {
        names.push("mq");
    }
    let text = |text: String| CString::new(text).map_err(|nul| nul.to_string());
    let (name, names) = (text(syntax.name.to_lowercase())?, text(names.join(" "))?);
    // SAFETY: asked in this expression; the context is valid, and the command of that name was created just now.
    let done = unsafe {
        raw::RedisModule_SetCommandACLCategories
            .map(|set| set(rm!(RedisModule_GetCommand, context.raw(), name.as_ptr()), names.as_ptr()))
    };
    if done.is_none_or(|done| done == OK) {
        Ok(())
    } else {
        Err(format!("the server has no category for {}", syntax.name))
    }
}
