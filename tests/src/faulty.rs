//! Servers whose module does wrong on demand.

use crate::{Builder, Server};

/// A server with `MQ.FAULT`, to be started. `None`: the module was not built so (`cargo build -p mq --features faults`).
///
/// # Panics
/// Never, short of a server that does not start.
#[must_use]
pub fn with_faults() -> Option<Builder> {
    let path = crate::target().join("debug").join(format!("libmq{}", std::env::consts::DLL_SUFFIX));
    let path = path.canonicalize().ok()?;
    let builder = || Server::builder().without_module().config(format!("loadmodule {}", path.display()));
    let has_faults = builder().start().connect().call("MQ.FAULT q CHANGE 0").is_ok();
    has_faults.then(builder)
}
