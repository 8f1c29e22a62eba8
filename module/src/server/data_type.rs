//! The native type of the key: what the server calls about its values.

use std::os::raw::{c_int, c_void};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

use redis_module::raw;

use super::context::Context;
use super::defrag::defrag;
use super::stored::{Appender, Digest, Loader, Saver, key_of};
use crate::data_type;
use crate::entry::Entry;
use crate::guard::contained;

/// The type's name in every RDB, nine characters by the server's rule. Never to be changed.
const NAME: &std::ffi::CStr = c"mqueue-r1";

static TYPE: AtomicPtr<raw::RedisModuleType> = AtomicPtr::new(null_mut());

/// The type, once it has been created.
pub(super) fn data_type() -> *mut raw::RedisModuleType {
    TYPE.load(Ordering::Relaxed)
}

/// Creates it. The error says that the server has refused it.
pub(super) fn create(context: Context<'_>) -> Result<(), String> {
    let mut methods = raw::RedisModuleTypeMethods {
        version: 5, // a server that knows only earlier versions reads the fields that it knows
        rdb_load: Some(rdb_load),
        rdb_save: Some(rdb_save),
        aof_rewrite: Some(aof_rewrite),
        mem_usage: None, // mem_usage2
        digest: Some(digest),
        free: Some(free),
        aux_load: Some(aux_load),
        aux_save: Some(aux_save),
        aux_save_triggers: raw::REDISMODULE_AUX_BEFORE_RDB as c_int,
        free_effort: None, // free_effort2
        unlink: None,      // unlink2
        copy: None,        // copy2
        defrag: Some(defrag),
        mem_usage2: Some(mem_usage),
        free_effort2: Some(free_effort),
        unlink2: Some(unlink),
        copy2: Some(copy),
        aux_save2: Some(aux_save2),
    };
    // SAFETY: the context is valid, and the server copies the methods.
    let created = unsafe {
        rm!(
            RedisModule_CreateDataType,
            context.raw(),
            NAME.as_ptr(),
            data_type::ENCODING_VERSION,
            (&raw mut methods).cast()
        )
    };
    TYPE.store(created, Ordering::Relaxed);
    if created.is_null() { Err("the server refuses the data type mqueue-r1".into()) } else { Ok(()) }
}

/// # Safety
/// `value` is a value of the type that nothing changes for 'v.
unsafe fn entry<'v>(value: *const c_void) -> &'v Entry {
    // SAFETY: values of the type are boxed entries.
    unsafe { &*value.cast::<Entry>() }
}

fn into_value(entry: Option<Box<Entry>>) -> *mut c_void {
    entry.map_or(null_mut(), |entry| Box::into_raw(entry).cast())
}

unsafe extern "C" fn rdb_load(io: *mut raw::RedisModuleIO, version: c_int) -> *mut c_void {
    // SAFETY: `io` is valid until this function returns.
    let mut loader = unsafe { Loader::new(io) };
    into_value(contained(|| data_type::load(&mut loader, version)).flatten())
}

unsafe extern "C" fn rdb_save(io: *mut raw::RedisModuleIO, value: *mut c_void) {
    // SAFETY: both are valid until this function returns, and nothing else runs in this process meanwhile.
    let (mut saver, entry) = unsafe { (Saver::new(io), entry(value)) };
    data_type::save(&mut saver, entry); // contains its own faults
}

unsafe extern "C" fn aof_rewrite(io: *mut raw::RedisModuleIO, key: *mut raw::RedisModuleString, value: *mut c_void) {
    // SAFETY: all are valid until this function returns, and nothing else runs in this process meanwhile.
    let (mut appender, entry) = unsafe { (Appender::new(io, key), entry(value)) };
    data_type::rewrite(&mut appender, entry); // contains its own faults
}

unsafe extern "C" fn digest(digest: *mut raw::RedisModuleDigest, value: *mut c_void) {
    // SAFETY: both are valid until this function returns.
    let (mut digest, entry) = unsafe { (Digest::new(digest), entry(value)) };
    contained(|| data_type::digest(&mut digest, entry));
}

/// May run in another thread, beside any callback: see [`super`].
unsafe extern "C" fn free(value: *mut c_void) {
    // SAFETY: the server gives the value up, which is a boxed entry.
    let entry = unsafe { Box::from_raw(value.cast::<Entry>()) };
    contained(|| drop(entry));
}

unsafe extern "C" fn mem_usage(_: *mut raw::RedisModuleKeyOptCtx, value: *const c_void, _: usize) -> usize {
    // SAFETY: the value is valid until this function returns.
    let entry = unsafe { entry(value) };
    contained(|| data_type::memory(entry)).unwrap_or(0)
}

unsafe extern "C" fn free_effort(_: *mut raw::RedisModuleKeyOptCtx, value: *const c_void) -> usize {
    // SAFETY: the value is valid until this function returns.
    let entry = unsafe { entry(value) };
    contained(|| data_type::free_effort(entry)).unwrap_or(1)
}

unsafe extern "C" fn unlink(options: *mut raw::RedisModuleKeyOptCtx, value: *const c_void) {
    // SAFETY: the options are those of this callback. The value is a boxed entry that the module gave to the server as
    // mutable; the server calls this in its main thread, where no other reference to it is alive.
    let (key, entry) = unsafe { (key_of(options), &mut *value.cast_mut().cast::<Entry>()) };
    contained(|| key.map(|(db, name)| data_type::unlinked(db, name.bytes(), entry)));
}

unsafe extern "C" fn copy(_: *mut raw::RedisModuleKeyOptCtx, value: *const c_void) -> *mut c_void {
    // SAFETY: the value is valid until this function returns.
    let entry = unsafe { entry(value) };
    into_value(contained(|| data_type::copy(entry)))
}

unsafe extern "C" fn aux_save(io: *mut raw::RedisModuleIO, _: c_int) {
    // SAFETY: `io` is valid until this function returns.
    let mut saver = unsafe { Saver::new(io) };
    contained(|| data_type::save_mark(&mut saver));
}

/// Servers that know this one write nothing about the module into a file for which it saves nothing, so that the file can
/// be loaded without the module.
unsafe extern "C" fn aux_save2(io: *mut raw::RedisModuleIO, when: c_int) {
    if contained(data_type::has_mark) == Some(true) {
        // SAFETY: as this function's.
        unsafe { aux_save(io, when) }
    }
}

unsafe extern "C" fn aux_load(io: *mut raw::RedisModuleIO, version: c_int, _: c_int) -> c_int {
    // SAFETY: `io` is valid until this function returns.
    let mut loader = unsafe { Loader::new(io) };
    contained(|| data_type::load_mark(&mut loader, version)).unwrap_or(Err(super::ReadFailed)).map_or(1, |()| 0)
}
