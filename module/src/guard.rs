//! No panic crosses into the server: each callback runs inside [`contained`].

use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook};

use crate::failure::INTERNAL;
use crate::server::{Context, log_without_context};

/// Runs a callback's work. `None` if it panicked; the log has the place then.
///
/// What a panic leaves half done is not seen again: a queue that was being changed is BROKEN from then on, and
/// [`crate::server::Global`]s are changed by small steps that do not panic.
pub fn contained<R>(work: impl FnOnce() -> R) -> Option<R> {
    let work = || {
        #[cfg(feature = "faults")]
        crate::faults::pass(crate::faults::Site::Callback);
        work()
    };
    catch_unwind(AssertUnwindSafe(work)).ok()
}

/// Runs a command, and answers in its place if it panics: then the result is `None`. The work writes its answer when all
/// else is done, so that the two are never mixed.
pub fn command(context: Context<'_>, work: impl FnOnce()) -> Option<()> {
    let done = contained(work);
    if done.is_none() {
        context.reply().error(INTERNAL);
    }
    done
}

/// Lets panics be told by one line of the server's log.
pub fn log_panics() {
    set_hook(Box::new(log_panic));
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let payload = panic.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    log_without_context(&format!("internal fault at {place}: {text}"));
}
