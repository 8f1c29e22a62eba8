//! The server as the rest of the module sees it: safe types over the raw module API.
//!
//! Every `unsafe` block of the crate is in this folder. What the whole of it rests on:
//!
//! - The server calls the module's callbacks one at a time (its main thread, or whoever holds its lock), except for the
//!   freeing of values, which may happen beside them: [`data_type`]'s `free` touches nothing but the value.
//! - A pointer that a callback gets is valid until the callback returns. The types here carry that as a lifetime.
//! - The functions of the API are there: [`api::first_missing`] was asked when the module was loaded.

#[macro_use]
mod api;

mod acl;
mod blocked;
mod call;
mod callbacks;
mod context;
mod data_type;
mod defrag;
mod documentation;
mod global;
mod info;
mod key;
mod load;
#[cfg(feature = "faults")]
mod misuse;
mod naming;
mod reply;
mod settings;
mod stored;
mod text;
mod timer;

pub use blocked::{Blocked, WaiterId};
pub use callbacks::Events;
pub use context::{Context, Flags, MayWrite, PROBE};
pub use global::Global;
#[cfg(test)]
pub use global::alone;
pub use info::InfoPage;
pub use key::{Access, Key, OtherType};
pub use load::{Registration, load};
pub use naming::shown_name;
pub use reply::Reply;
pub use stored::{Appender, Digest, Loader, ReadFailed, Saver, give_up_in_child};
pub use text::{Arguments, OwnedText, Text};
pub use timer::{Purpose, Timer, writes_are_paused};

pub(crate) use context::log_without_context;
#[cfg(feature = "faults")]
pub(crate) use misuse::read_freed;
