//! Access control: the categories of the commands, and the rights of clients that wait. Redis 7.0 knows no categories for
//! modules: there commands are granted by name.

use std::ffi::CString;
use std::os::raw::{c_int, c_void};
use std::ptr::null_mut;
use std::sync::OnceLock;

use redis_module::raw;

use mq_engine::SessionId;

use super::context::Context;
use super::text::{OwnedText, Text};
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

/// Of Valkey 9: the rights of a user in a database. Not among the bindings: the user, the command's words and their number,
/// the database, and where the reason of a denial is written.
type CheckPermissions = unsafe extern "C" fn(
    *mut raw::RedisModuleUser,
    *mut *mut raw::RedisModuleString,
    c_int,
    c_int,
    *mut c_int,
) -> c_int;

/// The function above, where the server has it. There the one that knows no database refuses every user who is limited to some.
static CHECK_PERMISSIONS: OnceLock<Option<CheckPermissions>> = OnceLock::new();

fn check_permissions() -> Option<CheckPermissions> {
    *CHECK_PERMISSIONS.get_or_init(|| {
        let mut found: *mut c_void = null_mut();
        // SAFETY: asked in this expression; the name is a C string. Valkey 9 writes a pointer to a function of the type above;
        // a server that does not know the name, as every Redis, leaves it null.
        unsafe {
            raw::RedisModule_GetApi
                .map(|get| get(c"ValkeyModule_ACLCheckPermissions".as_ptr(), (&raw mut found).cast()));
            (!found.is_null()).then(|| std::mem::transmute::<*mut c_void, CheckPermissions>(found))
        }
    })
}

impl Context<'_> {
    /// The name of the user of a connection, if the server has one for it.
    pub fn user_of(self, connection: SessionId) -> Option<Box<[u8]>> {
        // SAFETY: the context is valid. The name is a string that is freed here.
        unsafe {
            let name = rm!(RedisModule_GetClientUserNameById, self.raw(), connection.0);
            if name.is_null() {
                return None;
            }
            let bytes = Text::new(name).bytes().into();
            rm!(RedisModule_FreeString, self.raw(), name);
            Some(bytes)
        }
    }

    /// Whether a user may run a command with these words now, in the database that the context has selected. A user that the
    /// server does not list (one that another module has made, say) may. A user that is only switched off may too: the server
    /// does not end its connections.
    pub fn may_run(self, user: &[u8], words: &[&[u8]]) -> bool {
        let name = OwnedText::new(user);
        let words: Vec<OwnedText> = words.iter().map(|word| OwnedText::new(word)).collect();
        let mut raw: Vec<_> = words.iter().map(|word| word.text().raw()).collect();
        let (count, mut reason): (c_int, c_int) = (raw.len() as c_int, 0);
        // SAFETY: the context is valid. The user is a handle that is freed here, not the user itself; the name and the words are
        // strings that live until the end of this function; the reason is written to a place of this function.
        unsafe {
            let user = rm!(RedisModule_GetModuleUserFromUserName, name.text().raw());
            if user.is_null() {
                return true;
            }
            let allowed = match check_permissions() {
                Some(check) => check(user, raw.as_mut_ptr(), count, self.db(), &raw mut reason),
                None => rm!(RedisModule_ACLCheckCommandPermissions, user, raw.as_mut_ptr(), count),
            };
            rm!(RedisModule_FreeModuleUser, user);
            allowed == OK
        }
    }

    /// Whether the client of this callback has a connection: one by which another module calls has none that could close.
    pub fn has_connection(self) -> bool {
        // SAFETY: the context is valid; no description is asked for.
        unsafe { rm!(RedisModule_GetClientInfoById, null_mut(), self.session().0) == OK }
    }
}
