//! How values reach files and come back: RDB, append-only file, digest.

use std::ffi::CStr;
use std::ops::Deref;
use std::os::raw::c_void;
use std::{ptr, slice};

use redis_module::raw;

use super::context::logged;
use super::text::Text;

/// The command that rebuilds a queue from an append-only file, see [`crate::commands::apply`].
const APPLY: &CStr = c"MQ.APPLY";

/// An RDB being written.
pub struct Saver(*mut raw::RedisModuleIO);

impl Saver {
    /// # Safety
    /// `io` is valid for as long as the value is used.
    pub(super) unsafe fn new(io: *mut raw::RedisModuleIO) -> Saver {
        Saver(io)
    }

    /// Writes a number.
    pub fn number(&mut self, value: u64) {
        // SAFETY: `io` is valid.
        unsafe { rm!(RedisModule_SaveUnsigned, self.0, value) };
    }

    /// Writes a string.
    pub fn bytes(&mut self, value: &[u8]) {
        // SAFETY: `io` is valid, the pointer is to as many bytes.
        unsafe { rm!(RedisModule_SaveStringBuffer, self.0, value.as_ptr().cast(), value.len()) };
    }
}

/// Ends this process if it is a child of the server that writes a file. The server drops what is there of it, says so, and
/// keeps the one before.
pub fn give_up_in_child() {
    // SAFETY: a null context is allowed.
    let flags = unsafe { rm!(RedisModule_GetContextFlags, ptr::null_mut()) } as u32;
    if flags & raw::REDISMODULE_CTX_FLAGS_IS_CHILD != 0 {
        // SAFETY: this is a child.
        unsafe { rm!(RedisModule_ExitFromChild, 1) };
    }
}

/// The file ended, or was damaged.
#[derive(Debug, PartialEq, Eq)]
pub struct ReadFailed;

/// An RDB, or the argument of RESTORE, being read.
pub struct Loader(*mut raw::RedisModuleIO);

impl Loader {
    /// # Safety
    /// `io` is valid for as long as the value is used.
    pub(super) unsafe fn new(io: *mut raw::RedisModuleIO) -> Loader {
        Loader(io)
    }

    fn checked<T>(&self, value: T) -> Result<T, ReadFailed> {
        // SAFETY: `io` is valid.
        if unsafe { rm!(RedisModule_IsIOError, self.0) } == 0 { Ok(value) } else { Err(ReadFailed) }
    }

    /// The key that is being read, where the server tells: its database and its name.
    pub fn key(&self) -> Option<(i32, Text<'_>)> {
        // SAFETY: `io` is valid, and its key as long. The name may be null.
        unsafe {
            let name = rm!(RedisModule_GetKeyNameFromIO, self.0);
            let db = rm!(RedisModule_GetDbIdFromIO, self.0);
            (!ptr::eq(name, ptr::null())).then(|| (db, Text::new(name.cast_mut())))
        }
    }

    /// One line of the server's log, as a warning.
    pub fn warn(&self, line: &str) {
        // SAFETY: `io` is valid; the format takes a length and a pointer to at least that many bytes.
        unsafe {
            rm!(RedisModule_LogIOError, self.0, c"warning".as_ptr(), c"%.*s".as_ptr(), logged(line), line.as_ptr());
        }
    }

    /// Reads a number.
    ///
    /// # Errors
    /// There is none.
    pub fn number(&mut self) -> Result<u64, ReadFailed> {
        // SAFETY: `io` is valid.
        let value = unsafe { rm!(RedisModule_LoadUnsigned, self.0) };
        self.checked(value)
    }

    /// Reads a string.
    ///
    /// # Errors
    /// There is none.
    pub fn bytes(&mut self) -> Result<Loaded, ReadFailed> {
        let mut length = 0;
        // SAFETY: `io` is valid.
        let start = unsafe { rm!(RedisModule_LoadStringBuffer, self.0, &raw mut length) };
        let loaded = Loaded { start: start.cast(), length };
        self.checked(())?;
        if loaded.start.is_null() && length > 0 { Err(ReadFailed) } else { Ok(loaded) }
    }
}

/// A string that was read.
pub struct Loaded {
    start: *mut u8,
    length: usize,
}

impl Deref for Loaded {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        if self.start.is_null() {
            return &[];
        }
        // SAFETY: the server gave a buffer of that length, which belongs to this value.
        unsafe { slice::from_raw_parts(self.start, self.length) }
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        if !self.start.is_null() {
            // SAFETY: the buffer came from the server's allocator and is freed here only.
            unsafe { rm!(RedisModule_Free, self.start.cast::<c_void>()) };
        }
    }
}

/// An append-only file being rewritten, at one key.
pub struct Appender {
    io: *mut raw::RedisModuleIO,
    key: *mut raw::RedisModuleString,
}

impl Appender {
    /// # Safety
    /// Both are valid for as long as the value is used.
    pub(super) unsafe fn new(io: *mut raw::RedisModuleIO, key: *mut raw::RedisModuleString) -> Appender {
        Appender { io, key }
    }

    /// Writes `MQ.APPLY key part bytes`.
    pub fn apply(&mut self, part: &CStr, bytes: &[u8]) {
        // SAFETY: file and key are valid; the arguments are what the format says: a string of the server's, a C string, a
        // pointer with a length.
        unsafe {
            rm!(
                RedisModule_EmitAOF,
                self.io,
                APPLY.as_ptr(),
                c"scb".as_ptr(),
                self.key,
                part.as_ptr(),
                bytes.as_ptr(),
                bytes.len()
            );
        }
    }
}

/// A digest being computed.
pub struct Digest(*mut raw::RedisModuleDigest);

impl Digest {
    /// # Safety
    /// `digest` is valid for as long as the value is used.
    pub(super) unsafe fn new(digest: *mut raw::RedisModuleDigest) -> Digest {
        Digest(digest)
    }

    /// Adds one element; their order counts.
    pub fn bytes(&mut self, value: &[u8]) {
        // SAFETY: the digest is valid, the pointer is to as many bytes.
        unsafe { rm!(RedisModule_DigestAddStringBuffer, self.0, value.as_ptr().cast(), value.len()) };
    }

    /// The end of what belongs together.
    pub fn end(&mut self) {
        // SAFETY: the digest is valid.
        unsafe { rm!(RedisModule_DigestEndSequence, self.0) };
    }
}

/// The name and database of the key that a callback with a key's options is about.
///
/// # Safety
/// `options` is what such a callback was called with.
pub(super) unsafe fn key_of<'c>(options: *mut raw::RedisModuleKeyOptCtx) -> Option<(i32, Text<'c>)> {
    // SAFETY: as promised. The name may be null where the server does not know it.
    unsafe {
        let name = rm!(RedisModule_GetKeyNameFromOptCtx, options);
        let db = rm!(RedisModule_GetDbIdFromOptCtx, options);
        (!ptr::eq(name, ptr::null())).then(|| (db, Text::new(name.cast_mut())))
    }
}
