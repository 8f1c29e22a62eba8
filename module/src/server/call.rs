//! Answers of the server to commands that the module calls.

use std::slice;

use redis_module::raw;

/// An answer, freed with the value. It may be null: the server has refused the call.
pub(super) struct CallReply(pub(super) *mut raw::RedisModuleCallReply);

impl CallReply {
    fn is(&self, kind: isize) -> bool {
        // SAFETY: a null reply is asked for nothing; another is valid until it is dropped.
        !self.0.is_null() && unsafe { rm!(RedisModule_CallReplyType, self.0) } as isize == kind
    }

    fn text_of(reply: *mut raw::RedisModuleCallReply) -> Option<String> {
        let mut length = 0;
        // SAFETY: the reply is valid; where the answer is not null, it points to that many bytes of it.
        unsafe {
            let text = rm!(RedisModule_CallReplyStringPtr, reply, &raw mut length);
            (!text.is_null())
                .then(|| String::from_utf8_lossy(slice::from_raw_parts(text.cast::<u8>(), length)).into_owned())
        }
    }

    /// The error, if it is one.
    pub(super) fn error(&self) -> Option<String> {
        self.is(raw::REDISMODULE_REPLY_ERROR).then(|| CallReply::text_of(self.0)).flatten()
    }

    /// Whether it is an array.
    pub(super) fn is_array(&self) -> bool {
        self.is(raw::REDISMODULE_REPLY_ARRAY)
    }

    /// An element of an array of strings.
    pub(super) fn element(&self, at: usize) -> Option<String> {
        if !self.is_array() {
            return None;
        }
        // SAFETY: the reply is an array; its elements live as long as it does.
        let element = unsafe { rm!(RedisModule_CallReplyArrayElement, self.0, at) };
        if element.is_null() { None } else { CallReply::text_of(element) }
    }
}

impl Drop for CallReply {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: the reply is valid, and freed here only.
            unsafe { rm!(RedisModule_FreeCallReply, self.0) };
        }
    }
}
