//! A key, opened for one callback.

use std::ptr::{NonNull, null_mut};

use redis_module::raw;

use super::context::Context;
use super::data_type::data_type;
use super::text::Text;
use crate::entry::Entry;

/// What a key is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It will not be changed.
    Read,
    /// It may be changed, or come into being.
    Write,
}

/// The key holds something that is not a queue.
pub struct OtherType;

/// An open key: missing, or holding a queue.
///
/// At most one is open at a time, and nothing that could call back into the module is called while [`Key::entry`]'s
/// reference lives: so that reference is the only one.
pub struct Key<'c> {
    raw: *mut raw::RedisModuleKey,
    entry: Option<NonNull<Entry>>,
    context: Context<'c>,
    name: Text<'c>,
}

impl<'c> Key<'c> {
    /// Opens it.
    ///
    /// # Errors
    /// It holds something else.
    pub fn open(context: Context<'c>, name: Text<'c>, access: Access) -> Result<Key<'c>, OtherType> {
        let mode = match access {
            Access::Read => raw::REDISMODULE_READ,
            Access::Write => raw::REDISMODULE_READ | raw::REDISMODULE_WRITE,
        };
        // SAFETY: context and name are valid for 'c. A null key (a missing one, opened for reading) is what the functions
        // asked here take as an empty one. A value of our type is an `Entry` that `put` or the loading made.
        unsafe {
            let raw = rm!(RedisModule_OpenKey, context.raw(), name.raw(), mode as i32);
            let mut key = Key { raw, entry: None, context, name };
            if rm!(RedisModule_ModuleTypeGetType, raw) == data_type() {
                key.entry = NonNull::new(rm!(RedisModule_ModuleTypeGetValue, raw).cast());
            } else if rm!(RedisModule_KeyType, raw) != raw::REDISMODULE_KEYTYPE_EMPTY as i32 {
                return Err(OtherType);
            }
            Ok(key)
        }
    }

    /// Puts a queue in the place of whatever the key holds.
    pub fn replace(context: Context<'c>, name: Text<'c>, entry: Box<Entry>) {
        let mode = raw::REDISMODULE_READ | raw::REDISMODULE_WRITE;
        // SAFETY: context and name are valid for 'c.
        let raw = unsafe { rm!(RedisModule_OpenKey, context.raw(), name.raw(), mode as i32) };
        Key { raw, entry: None, context, name }.put(entry);
    }

    /// The queue; `None` when the key is missing.
    pub fn entry(&mut self) -> Option<&mut Entry> {
        // SAFETY: the value lives as long as the key holds it, and nothing takes it away while the key is open. The
        // reference is the only one: it borrows `self`, and see the rule above.
        self.entry.map(|mut entry| unsafe { entry.as_mut() })
    }

    /// Fills a key that was opened for writing; what it holds goes. The server tells whoever listens that the key is new: another
    /// module may do anything to it then, so it is opened anew.
    pub fn put(&mut self, entry: Box<Entry>) {
        let value = Box::into_raw(entry);
        // SAFETY: the key is open for writing; the value is a boxed `Entry`, which is what the type's callbacks take.
        let done = unsafe { rm!(RedisModule_ModuleTypeSetValue, self.raw, data_type(), value.cast()) };
        if done != 0 {
            // SAFETY: the server has not taken the value.
            return drop(unsafe { Box::from_raw(value) });
        }
        let (context, name) = (self.context, self.name);
        self.close();
        if let Ok(key) = Key::open(context, name, Access::Write) {
            *self = key;
        }
    }
}

impl Key<'_> {
    /// Closes it; from now on it shows as missing.
    pub fn close(&mut self) {
        self.entry = None;
        let raw = std::mem::replace(&mut self.raw, null_mut());
        if !raw.is_null() {
            // SAFETY: opened by `open` or `replace`, closed here only, and once.
            unsafe { rm!(RedisModule_CloseKey, raw) }
        }
    }
}

impl Drop for Key<'_> {
    fn drop(&mut self) {
        self.close();
    }
}
