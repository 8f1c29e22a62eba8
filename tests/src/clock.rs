//! Hosts with another clock.

use std::process::Command;

use tempfile::TempDir;

/// A system clock that is ahead of the host's, or behind it, for servers to be started with. Their monotonic clock is the
/// host's.
pub struct OtherClock {
    ahead_s: i64,
    /// Where the library is.
    dir: TempDir,
}

impl OtherClock {
    /// A clock that shows so many seconds more. `None`: not on this system.
    ///
    /// # Panics
    /// Without a C compiler.
    #[must_use]
    pub fn ahead(ahead_s: i64) -> Option<Self> {
        if cfg!(not(target_os = "linux")) {
            return None;
        }
        let clock = Self { ahead_s, dir: TempDir::with_prefix("mq-clock-").expect("a temporary directory") };
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/clock.c");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", source, "-ldl", "-o"])
            .arg(clock.library())
            .output()
            .expect("a C compiler, which `make setup` installs");
        assert!(compiled.status.success(), "{source}: {}", String::from_utf8_lossy(&compiled.stderr));
        Some(clock)
    }

    /// Has the program see this clock.
    pub(crate) fn show_to(&self, command: &mut Command) {
        command.env("LD_PRELOAD", self.library()).env("MQ_CLOCK_AHEAD", self.ahead_s.to_string());
    }

    fn library(&self) -> std::path::PathBuf {
        self.dir.path().join("clock.so")
    }
}
