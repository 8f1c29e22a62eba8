//! What `COMMAND DOCS`, `COMMAND INFO` and ACLs know of a command, made of its table.

use std::ffi::CString;
use std::os::raw::{c_char, c_int};
use std::ptr::{null, null_mut};

use redis_module::raw;

use crate::syntax::{Argument, Choice, KeyUse, Kind, OneOf, Position, Syntax, Times};

/// Holds what the server's structures point to, until the server has copied it.
#[derive(Default)]
pub(super) struct Pages {
    texts: Vec<CString>,
    tables: Vec<Vec<raw::RedisModuleCommandArg>>,
    keys: Vec<raw::RedisModuleCommandKeySpec>,
}

const VERSION: raw::RedisModuleCommandInfoVersion = raw::RedisModuleCommandInfoVersion {
    version: 1,
    sizeof_historyentry: size_of::<raw::RedisModuleCommandHistoryEntry>(),
    sizeof_keyspec: size_of::<raw::RedisModuleCommandKeySpec>(),
    sizeof_arg: size_of::<raw::RedisModuleCommandArg>(),
};

/// The name and the queue, or more: which other argument is missing, the module itself says.
const ARITY: c_int = -2;

impl Pages {
    /// The whole description; it points into `self`.
    pub(super) fn describe(&mut self, syntax: &Syntax) -> raw::RedisModuleCommandInfo {
        let mut arguments = vec![raw::RedisModuleCommandArg {
            key_spec_index: 0,
            ..self.argument("queue", raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_KEY, None, 0)
        }];
        for position in syntax.positions {
            arguments.push(self.position(position));
        }
        if let Some(one_of) = syntax.one_of {
            arguments.push(self.one_of(syntax, &one_of));
        }
        let alone = |option: &&Choice| !syntax.one_of.is_some_and(|one_of| one_of.words.contains(&option.word));
        for option in syntax.options.iter().filter(alone) {
            arguments.push(self.option(option));
        }
        self.keys = vec![key_spec(syntax.key), end()];
        raw::RedisModuleCommandInfo {
            version: &raw const VERSION_OF_STRUCTS,
            summary: self.text(syntax.summary),
            complexity: self.text(syntax.complexity),
            since: self.text(syntax.since),
            history: null_mut(),
            tips: null(),
            arity: ARITY,
            key_specs: self.keys.as_mut_ptr(),
            args: self.table(arguments),
        }
    }

    fn text(&mut self, text: &str) -> *const c_char {
        self.texts.push(CString::new(text).unwrap_or_default());
        self.texts.last().map_or(null(), |text| text.as_ptr())
    }

    fn table(&mut self, mut arguments: Vec<raw::RedisModuleCommandArg>) -> *mut raw::RedisModuleCommandArg {
        arguments.push(end());
        self.tables.push(arguments);
        self.tables.last_mut().map_or(null_mut(), |table| table.as_mut_ptr())
    }

    fn argument(
        &mut self,
        name: &str,
        kind: raw::RedisModuleCommandArgType,
        token: Option<&str>,
        flags: u32,
    ) -> raw::RedisModuleCommandArg {
        raw::RedisModuleCommandArg {
            name: self.text(name),
            type_: kind,
            key_spec_index: -1,
            token: token.map_or(null(), |token| self.text(token)),
            flags: flags as c_int,
            ..end()
        }
    }

    /// An argument of a kind, behind a word or not.
    fn of_kind(&mut self, argument: &Argument, token: Option<&str>, flags: u32) -> raw::RedisModuleCommandArg {
        match argument.kind {
            Kind::Name | Kind::Bytes(_) => {
                self.argument(argument.name, raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_STRING, token, flags)
            }
            Kind::Number(..) | Kind::Milliseconds(..) => {
                self.argument(argument.name, raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_INTEGER, token, flags)
            }
            Kind::Word(words) => {
                let words = words.iter().map(|word| {
                    self.argument(word, raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_PURE_TOKEN, Some(word), 0)
                });
                let words = words.collect();
                let subargs = self.table(words);
                let kind = raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_ONEOF;
                raw::RedisModuleCommandArg { subargs, ..self.argument(argument.name, kind, token, flags) }
            }
        }
    }

    fn position(&mut self, position: &Position) -> raw::RedisModuleCommandArg {
        let flags = match position.times {
            Times::Once => raw::REDISMODULE_CMD_ARG_NONE,
            Times::AtMostOnce => raw::REDISMODULE_CMD_ARG_OPTIONAL,
            Times::Repeated | Times::AnyNumber => raw::REDISMODULE_CMD_ARG_MULTIPLE,
        };
        self.of_kind(&position.argument, None, flags)
    }

    fn one_of(&mut self, syntax: &Syntax, one_of: &OneOf) -> raw::RedisModuleCommandArg {
        let options = syntax.options.iter().filter(|option| one_of.words.contains(&option.word));
        let options = options.map(|option| self.option_with(option, 0)).collect();
        let subargs = self.table(options);
        let kind = raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_ONEOF;
        raw::RedisModuleCommandArg { subargs, ..self.argument(one_of.name, kind, None, 0) }
    }

    fn option(&mut self, option: &Choice) -> raw::RedisModuleCommandArg {
        self.option_with(option, if option.required { 0 } else { raw::REDISMODULE_CMD_ARG_OPTIONAL })
    }

    fn option_with(&mut self, option: &Choice, optional: u32) -> raw::RedisModuleCommandArg {
        let flags = optional | if option.repeated { raw::REDISMODULE_CMD_ARG_MULTIPLE } else { 0 };
        match option.arguments {
            [] => {
                let kind = raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_PURE_TOKEN;
                self.argument(&option.word.to_lowercase(), kind, Some(option.word), flags)
            }
            [argument] => self.of_kind(argument, Some(option.word), flags),
            several => {
                let parts = several.iter().map(|argument| self.of_kind(argument, None, 0)).collect();
                let subargs = self.table(parts);
                let kind = raw::RedisModuleCommandArgType_REDISMODULE_ARG_TYPE_BLOCK;
                let block = self.argument(&option.word.to_lowercase(), kind, Some(option.word), flags);
                raw::RedisModuleCommandArg { subargs, ..block }
            }
        }
    }
}

static VERSION_OF_STRUCTS: raw::RedisModuleCommandInfoVersion = VERSION;

fn key_spec(key: KeyUse) -> raw::RedisModuleCommandKeySpec {
    let flags = match key {
        KeyUse::Shows => raw::REDISMODULE_CMD_KEY_RO | raw::REDISMODULE_CMD_KEY_ACCESS,
        KeyUse::Inserts => raw::REDISMODULE_CMD_KEY_RW | raw::REDISMODULE_CMD_KEY_INSERT,
        KeyUse::Updates => raw::REDISMODULE_CMD_KEY_RW | raw::REDISMODULE_CMD_KEY_UPDATE,
        KeyUse::Deletes => raw::REDISMODULE_CMD_KEY_RW | raw::REDISMODULE_CMD_KEY_DELETE,
        KeyUse::ShowsAndUpdates => {
            raw::REDISMODULE_CMD_KEY_RW | raw::REDISMODULE_CMD_KEY_ACCESS | raw::REDISMODULE_CMD_KEY_UPDATE
        }
    };
    let mut spec: raw::RedisModuleCommandKeySpec = end();
    spec.flags = flags.into();
    spec.begin_search_type = raw::RedisModuleKeySpecBeginSearchType_REDISMODULE_KSPEC_BS_INDEX;
    spec.bs.index.pos = 1;
    spec.find_keys_type = raw::RedisModuleKeySpecFindKeysType_REDISMODULE_KSPEC_FK_RANGE;
    spec.fk.range.lastkey = 0;
    spec.fk.range.keystep = 1;
    spec.fk.range.limit = 0;
    spec
}

/// A structure of the server's with nothing in it, which also ends a table of them.
fn end<T: Empty>() -> T {
    // SAFETY: the structures named below are numbers and pointers, for which zero is a value.
    unsafe { std::mem::zeroed() }
}

/// The structures whose end mark is all zero.
trait Empty {}
impl Empty for raw::RedisModuleCommandArg {}
impl Empty for raw::RedisModuleCommandKeySpec {}
