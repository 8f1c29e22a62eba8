//! The functions of the server's module API: asked for once, then called without a question.

use redis_module::raw;

/// Calls a function of the API. To be used inside `unsafe` only; the function itself is there, see [`first_missing`].
macro_rules! rm {
    ($name:ident $(, $argument:expr)* $(,)?) => {
        (redis_module::raw::$name.unwrap_unchecked())($($argument),*)
    };
}

macro_rules! required {
    ($($name:ident)*) => {
        /// The names of every function that the module calls without asking first.
        #[cfg(test)]
        pub const REQUIRED: &[&str] = &[$(stringify!($name)),*];

        /// The first function that the module needs and this server lacks.
        pub fn first_missing() -> Option<&'static str> {
            $(
                // SAFETY: the bindings' statics are written once, by the initialisation that precedes this call.
                if { unsafe { raw::$name } }.is_none() {
                    return Some(stringify!($name));
                }
            )*
            None
        }
    };
}

// All of them are in Redis 7.0 and Valkey 8.0.
required! {
    RedisModule_Alloc RedisModule_Free RedisModule_Log
    RedisModule_SetModuleOptions RedisModule_CreateCommand RedisModule_GetCommand RedisModule_SetCommandInfo
    RedisModule_RegisterNumericConfig RedisModule_RegisterBoolConfig RedisModule_LoadConfigs
    RedisModule_SubscribeToServerEvent RedisModule_GetServerInfo RedisModule_ServerInfoGetFieldC
    RedisModule_FreeServerInfo RedisModule_GetDetachedThreadSafeContext
    RedisModule_RegisterInfoFunc RedisModule_InfoAddSection RedisModule_InfoAddFieldULongLong
    RedisModule_InfoAddFieldCString RedisModule_NotifyKeyspaceEvent
    RedisModule_GetContextFlags RedisModule_GetSelectedDb RedisModule_SelectDb RedisModule_GetClientId
    RedisModule_StringPtrLen RedisModule_CreateString RedisModule_FreeString
    RedisModule_Replicate RedisModule_ReplicateVerbatim RedisModule_SignalModifiedKey RedisModule_AvoidReplicaTraffic
    RedisModule_Call RedisModule_FreeCallReply RedisModule_CallReplyType RedisModule_CallReplyStringPtr
    RedisModule_CallReplyArrayElement RedisModule_GetClientUserNameById RedisModule_GetModuleUserFromUserName
    RedisModule_FreeModuleUser RedisModule_ACLCheckCommandPermissions RedisModule_GetClientInfoById
    RedisModule_OpenKey RedisModule_CloseKey RedisModule_KeyType
    RedisModule_CreateDataType RedisModule_ModuleTypeGetType RedisModule_ModuleTypeGetValue
    RedisModule_ModuleTypeSetValue RedisModule_GetKeyNameFromOptCtx RedisModule_GetDbIdFromOptCtx
    RedisModule_ReplyWithLongLong RedisModule_ReplyWithStringBuffer RedisModule_ReplyWithSimpleString
    RedisModule_ReplyWithNull RedisModule_ReplyWithArray RedisModule_ReplyWithMap RedisModule_ReplyWithError
    RedisModule_BlockClientOnKeys RedisModule_UnblockClient RedisModule_SetDisconnectCallback
    RedisModule_GetBlockedClientPrivateData
    RedisModule_CreateTimer RedisModule_StopTimer
    RedisModule_SaveUnsigned RedisModule_LoadUnsigned RedisModule_SaveStringBuffer RedisModule_LoadStringBuffer
    RedisModule_IsIOError RedisModule_EmitAOF RedisModule_DigestAddStringBuffer RedisModule_DigestEndSequence
    RedisModule_LogIOError RedisModule_GetKeyNameFromIO RedisModule_GetDbIdFromIO RedisModule_ExitFromChild
    RedisModule_DefragAlloc RedisModule_DefragShouldStop RedisModule_DefragCursorGet RedisModule_DefragCursorSet
}

#[cfg(test)]
mod tests {
    use super::REQUIRED;

    /// Every `rm!(RedisModule_…` of this folder.
    fn called() -> Vec<String> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/server");
        let mut names = Vec::new();
        for file in std::fs::read_dir(folder).expect("the sources are here") {
            let source = std::fs::read_to_string(file.expect("an entry").path()).expect("a source file");
            for after in source.split("rm!(").skip(1) {
                let name: String =
                    after.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if name.starts_with("RedisModule_") && !name.ends_with('_') {
                    names.push(name);
                }
            }
        }
        names
    }

    #[test]
    fn every_function_that_is_called_was_asked_for() {
        let called = called();
        assert!(called.len() > 30, "the search found {} calls", called.len());
        for name in called {
            assert!(REQUIRED.contains(&name.as_str()), "{name} is not among the required functions");
        }
    }
}
