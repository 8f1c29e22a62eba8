//! The server's strings, and a command's arguments.

use std::marker::PhantomData;
use std::os::raw::c_int;
use std::ptr::null_mut;
use std::slice;

use redis_module::raw;

/// A string of the server's, valid for `'s`.
#[derive(Clone, Copy)]
pub struct Text<'s> {
    raw: *mut raw::RedisModuleString,
    life: PhantomData<&'s ()>,
}

impl<'s> Text<'s> {
    /// # Safety
    /// The string is alive for `'s`.
    pub(super) unsafe fn new(raw: *mut raw::RedisModuleString) -> Text<'s> {
        Text { raw, life: PhantomData }
    }

    /// The server's own handle.
    pub(super) fn raw(self) -> *mut raw::RedisModuleString {
        self.raw
    }

    /// Its bytes.
    pub fn bytes(self) -> &'s [u8] {
        let mut length = 0;
        // SAFETY: the string is alive for 's, is never changed in that time, and the pointer is to `length` bytes of it.
        unsafe {
            let start = rm!(RedisModule_StringPtrLen, self.raw, &raw mut length);
            slice::from_raw_parts(start.cast(), length)
        }
    }
}

/// A string made by the module.
pub struct OwnedText(*mut raw::RedisModuleString);

impl OwnedText {
    /// With these bytes.
    pub fn new(bytes: &[u8]) -> OwnedText {
        // SAFETY: without a context the string belongs to the caller, who frees it once, in `drop`.
        OwnedText(unsafe { rm!(RedisModule_CreateString, null_mut(), bytes.as_ptr().cast(), bytes.len()) })
    }

    /// For as long as it is held.
    pub fn text(&self) -> Text<'_> {
        // SAFETY: alive until `self` is dropped.
        unsafe { Text::new(self.0) }
    }
}

impl Drop for OwnedText {
    fn drop(&mut self) {
        // SAFETY: created by `new`, freed here only.
        unsafe { rm!(RedisModule_FreeString, null_mut(), self.0) }
    }
}

/// The words of a command, its name first.
#[derive(Clone, Copy)]
pub struct Arguments<'c>(&'c [*mut raw::RedisModuleString]);

impl<'c> Arguments<'c> {
    /// # Safety
    /// `argv` points to `argc` strings that are alive for `'c`.
    pub(super) unsafe fn new(argv: *mut *mut raw::RedisModuleString, argc: c_int) -> Arguments<'c> {
        match usize::try_from(argc) {
            // SAFETY: as the caller promises.
            Ok(count) if !argv.is_null() => Arguments(unsafe { slice::from_raw_parts(argv, count) }),
            _ => Arguments(&[]),
        }
    }

    /// None at all.
    pub fn none() -> Arguments<'c> {
        Arguments(&[])
    }

    /// Those from this one on.
    pub fn from(self, at: usize) -> Arguments<'c> {
        Arguments(self.0.get(at..).unwrap_or_default())
    }

    /// The server's own handles.
    pub(super) fn raw(self) -> &'c [*mut raw::RedisModuleString] {
        self.0
    }

    /// How many words there are, the name included.
    pub fn len(self) -> usize {
        self.0.len()
    }

    /// One of them.
    pub fn get(self, at: usize) -> Option<&'c [u8]> {
        self.text(at).map(Text::bytes)
    }

    /// One of them, as the server's own string.
    pub fn text(self, at: usize) -> Option<Text<'c>> {
        // SAFETY: as `new` was promised.
        self.0.get(at).map(|raw| unsafe { Text::new(*raw) })
    }
}
