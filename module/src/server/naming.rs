//! How names that clients have chosen are shown in the server's log: on one line, without anything that a terminal would obey,
//! and not at all where the server is told to keep users' data out of its log.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::call::CallReply;
use super::context::Context;

/// The server's setting. Redis 7.0 does not know it.
const SETTING: &std::ffi::CStr = c"hide-user-data-from-log";

/// As of the last [`follow`].
static HIDDEN: AtomicBool = AtomicBool::new(false);

/// Bytes of a name that are shown.
const SHOWN: usize = 128;

/// Asks the server for its setting.
pub(super) fn follow(context: Context<'_>) {
    // SAFETY: the context is valid; the arguments are what the format says, two C strings.
    let reply = CallReply(unsafe {
        rm!(RedisModule_Call, context.raw(), c"CONFIG".as_ptr(), c"cc".as_ptr(), c"GET".as_ptr(), SETTING.as_ptr())
    });
    // A server that does not know the setting answers with an empty array. One that does not answer (CONFIG is renamed, say) may
    // have it.
    let hidden = if reply.is_array() { reply.element(1).as_deref() == Some("yes") } else { true };
    HIDDEN.store(hidden, Relaxed);
}

/// Whether a change of these settings may be one of it.
pub(super) fn is_of(setting: &std::ffi::CStr) -> bool {
    setting == SETTING
}

/// A name in quotation marks, or that it is hidden.
pub fn shown_name(name: &[u8]) -> String {
    if HIDDEN.load(Relaxed) { "(name hidden)".to_owned() } else { escaped(name) }
}

fn escaped(name: &[u8]) -> String {
    let (shown, rest) = name.split_at(name.len().min(SHOWN));
    let ellipsis = if rest.is_empty() { "" } else { "…" };
    format!("'{}{ellipsis}'", String::from_utf8_lossy(shown).escape_debug())
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn a_name_is_shown_on_one_line_and_orders_a_terminal_nothing() {
        assert_eq!(escaped(b"jobs:high"), "'jobs:high'");
        assert_eq!(escaped("größe".as_bytes()), "'größe'");
        assert_eq!(escaped(b"a\nb\x1b[31m"), "'a\\nb\\u{1b}[31m'");
        assert_eq!(escaped("a\u{200e}\u{202e}b".as_bytes()), "'a\\u{200e}\\u{202e}b'");
        assert_eq!(escaped(&[b'x'; 1000]).chars().count(), 128 + 3);
    }
}
