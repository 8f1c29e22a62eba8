//! Hosts with another clock.

use std::{fs, path::PathBuf, process::Command};

use tempfile::TempDir;

/// A system clock that is ahead of the host's, or behind it, for servers to be started with. Their monotonic clock is the
/// host's.
pub struct OtherClock {
    /// Where the library is, and the file that says how far ahead the clock is.
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
        let clock = Self { dir: TempDir::with_prefix("mq-clock-").expect("a temporary directory") };
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/clock.c");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", source, "-ldl", "-o"])
            .arg(clock.library())
            .output()
            .expect("a C compiler, which `make setup` installs");
        assert!(compiled.status.success(), "{source}: {}", String::from_utf8_lossy(&compiled.stderr));
        clock.set(ahead_s);
        Some(clock)
    }

    /// Sets it, also for programs that run with it already.
    ///
    /// # Panics
    /// Never, short of a full disk.
    pub fn set(&self, ahead_s: i64) {
        // In place, because the programs have mapped the file.
        let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(self.setting());
        let mut file = file.expect("a file of ours");
        std::io::Write::write_all(&mut file, &ahead_s.to_ne_bytes()).expect("a file of ours");
    }

    /// Has the program see this clock.
    pub(crate) fn show_to(&self, command: &mut Command) {
        command.env("LD_PRELOAD", self.library()).env("MQ_CLOCK_AHEAD", self.setting());
    }

    fn library(&self) -> PathBuf {
        self.dir.path().join("clock.so")
    }

    fn setting(&self) -> PathBuf {
        self.dir.path().join("ahead")
    }
}
