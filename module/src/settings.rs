//! The settings of queues: how `MQ.CONFIG` writes them, and the server's defaults for queues created later (`mq.*`).
//!
//! To add one: the engine's `Setting`, a row here, a line in the reference.

use mq_engine::{Setting, Settings, Span};

use crate::server::{Global, Reply};
use crate::syntax::{Argument, Kind, Slot, Syntax};

/// One setting.
pub struct Row {
    /// Its name, as `MQ.CONFIG`, `MQ.INFO` and `CONFIG GET mq.*` have it.
    pub name: &'static str,
    /// Its value. A word is read as its index.
    pub argument: Argument,
    /// The setting with this value.
    pub make: fn(u64) -> Setting,
    /// Its value in a queue's settings.
    pub read: fn(&Settings) -> u64,
}

const SWITCH: Argument = Argument::word("yes|no", &["no", "yes"]);

/// The largest max-length: one less than the number of ids.
const LARGEST_LENGTH: u64 = (1 << 53) - 1;

/// The largest rate: a million claims a second.
const LARGEST_RATE: u64 = 1_000_000;

/// Every setting, in the order in which replies list them.
pub const ROWS: [Row; 8] = [
    Row {
        name: "lease",
        argument: Argument::lease(),
        make: |value| Setting::Lease(Span(value)),
        read: |settings| settings.lease.0,
    },
    Row {
        name: "max-deliveries",
        argument: Argument::number("n", 0, u32::MAX as u64),
        make: |value| Setting::MaxDeliveries(u32::try_from(value).unwrap_or(u32::MAX)),
        read: |settings| settings.max_deliveries.into(),
    },
    Row {
        name: "max-length",
        argument: Argument::number("n", 0, LARGEST_LENGTH),
        make: Setting::MaxLength,
        read: |settings| settings.max_length,
    },
    Row {
        name: "paused",
        argument: SWITCH,
        make: |value| Setting::Paused(value != 0),
        read: |settings| settings.paused.into(),
    },
    Row {
        name: "leader-only",
        argument: SWITCH,
        make: |value| Setting::LeaderOnly(value != 0),
        read: |settings| settings.leader_only.into(),
    },
    Row {
        name: "errors-keep",
        argument: Argument::span(),
        make: |value| Setting::ErrorsKeep(Span(value)),
        read: |settings| settings.errors_keep.0,
    },
    Row {
        name: "max-claimed",
        argument: Argument::number("n", 0, LARGEST_LENGTH),
        make: Setting::MaxClaimed,
        read: |settings| settings.max_claimed,
    },
    Row {
        name: "rate",
        argument: Argument::number("n", 0, LARGEST_RATE),
        make: |value| Setting::Rate(u32::try_from(value).unwrap_or(u32::MAX)),
        read: |settings| settings.rate.into(),
    },
];

impl Row {
    /// Where a command whose options are the settings keeps this one.
    pub fn slot(&self, syntax: &Syntax) -> Slot {
        syntax.slot(self.name)
    }

    /// Adds the setting's name and value to a map.
    fn reply(&self, reply: Reply<'_>, settings: &Settings) {
        let value = (self.read)(settings);
        reply.bytes(self.name.as_bytes());
        match self.argument.kind {
            Kind::Word(words) => {
                let word = usize::try_from(value).ok().and_then(|at| words.get(at)).copied();
                reply.bytes(word.unwrap_or_default().as_bytes());
            }
            _ => reply.integer(value),
        }
    }
}

/// Adds every setting to a map; they are [`ROWS`]`.len()` pairs.
pub fn reply(reply: Reply<'_>, settings: &Settings) {
    ROWS.iter().for_each(|row| row.reply(reply, settings));
}

static DEFAULTS: Global<Option<Settings>> = Global::new(None);

/// The settings of a queue that is created now.
pub fn defaults() -> Settings {
    DEFAULTS.read().clone().unwrap_or_default()
}

/// Changes a default.
pub fn set_default(setting: Setting) {
    DEFAULTS.with(|defaults| defaults.get_or_insert_default().set(setting));
}
