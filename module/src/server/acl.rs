//! Access control: the categories of the commands, and the rights of clients that wait. Redis 7.0 knows no categories for
//! modules: there commands are granted by name.

use std::ffi::CString;
use std::os::raw::c_int;

use redis_module::raw;

use mq_engine::SessionId;

use super::context::Context;
use super::text::OwnedText;
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

impl Context<'_> {
    /// Whether the user of a connection may run a command with these words now. A user that the server does not list (one that
    /// another module has made, say) may. A user that is only switched off may too: the server does not end its connections.
    pub fn may_run(self, connection: SessionId, words: &[&[u8]]) -> bool {
        // SAFETY: the context is valid. The name is a string that the module frees; the user is a handle that it frees, not the
        // user itself; the words are strings that live until the end of this function.
        unsafe {
            let name = rm!(RedisModule_GetClientUserNameById, self.raw(), connection.0);
            if name.is_null() {
                return true;
            }
            let user = rm!(RedisModule_GetModuleUserFromUserName, name);
            rm!(RedisModule_FreeString, self.raw(), name);
            if user.is_null() {
                return true;
            }
            let words: Vec<OwnedText> = words.iter().map(|word| OwnedText::new(word)).collect();
            let mut raw: Vec<_> = words.iter().map(|word| word.text().raw()).collect();
            let allowed = rm!(RedisModule_ACLCheckCommandPermissions, user, raw.as_mut_ptr(), raw.len() as c_int);
            rm!(RedisModule_FreeModuleUser, user);
            allowed == OK
        }
    }
}
