//! Answers to clients.

use std::ffi::{CStr, CString};
use std::os::raw::c_long;

use super::context::Context;

/// The answer of one command. Everything that it says must be known before its first word is written: the parts of an
/// array or a map follow its head.
#[derive(Clone, Copy)]
pub struct Reply<'c>(Context<'c>);

impl<'c> Context<'c> {
    /// The answer to this callback's client.
    pub fn reply(self) -> Reply<'c> {
        Reply(self)
    }
}

impl Reply<'_> {
    /// An integer. The numbers of queues are below 2^53; what could be larger shows as the largest that there is.
    pub fn integer(self, value: u64) {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        // SAFETY: the context is valid, as its type says.
        unsafe { rm!(RedisModule_ReplyWithLongLong, self.0.raw(), value) };
    }

    /// A string.
    pub fn bytes(self, value: &[u8]) {
        // SAFETY: the context is valid, and the pointer is to as many bytes, which are copied.
        unsafe { rm!(RedisModule_ReplyWithStringBuffer, self.0.raw(), value.as_ptr().cast(), value.len()) };
    }

    /// A status.
    pub fn status(self, value: &CStr) {
        // SAFETY: the context is valid, and the text is copied.
        unsafe { rm!(RedisModule_ReplyWithSimpleString, self.0.raw(), value.as_ptr()) };
    }

    /// Nothing.
    pub fn null(self) {
        // SAFETY: the context is valid.
        unsafe { rm!(RedisModule_ReplyWithNull, self.0.raw()) };
    }

    /// An array; its elements follow.
    pub fn array(self, length: usize) {
        // SAFETY: the context is valid.
        unsafe { rm!(RedisModule_ReplyWithArray, self.0.raw(), length as c_long) };
    }

    /// A map; its names and values follow in turn. On RESP2 a flat array.
    pub fn map(self, length: usize) {
        // SAFETY: the context is valid.
        unsafe { rm!(RedisModule_ReplyWithMap, self.0.raw(), length as c_long) };
    }

    /// An error, its code first.
    pub fn error(self, message: &str) {
        let printable: String = message.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        let text = CString::new(printable).unwrap_or_default();
        // SAFETY: the context is valid, and the text is copied.
        unsafe { rm!(RedisModule_ReplyWithError, self.0.raw(), text.as_ptr()) };
    }
}
