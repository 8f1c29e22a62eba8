//! The processes of the demo. Whatever happens to the demo, they end with it, and they leave no file behind: their
//! output goes to files without a name.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

/// Of each log, so much is shown when something went wrong.
const TAIL: u64 = 1_500;

/// How often a process that was asked to end is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// A running process; dropped, it is killed.
#[derive(Debug)]
pub(super) struct Child {
    name: String,
    process: std::process::Child,
    output: File,
    log: File,
}

impl Child {
    /// Starts `command` with its standard output and its log (standard error) in nameless files. It is in a process group
    /// of its own, so that a Ctrl-C reaches the demo alone, and on Linux the kernel kills it when the demo ends by
    /// SIGKILL. To be called from the main thread: that is whose end counts.
    pub(super) fn start(name: &str, mut command: Command) -> io::Result<Self> {
        let (output, log) = (tempfile::tempfile()?, tempfile::tempfile()?);
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(log.try_clone()?).process_group(0);
        die_with_parent(&mut command);
        let process = command
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", command.get_program().display())))?;
        Ok(Self { name: name.to_owned(), process, output, log })
    }

    /// The name under which it was started.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    /// SIGKILL, and wait until the process is gone.
    pub(super) fn kill(&mut self) -> io::Result<()> {
        self.process.kill()?;
        self.process.wait().map(drop)
    }

    /// How it ended; `None`: it runs.
    pub(super) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.process.try_wait()
    }

    /// SIGTERM.
    pub(super) fn ask_to_end(&self) -> io::Result<()> {
        let pid = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
        kill_process(pid, Signal::TERM)?;
        Ok(())
    }

    /// Waits until it has ended by itself. Errors: `TimedOut`.
    pub(super) async fn end(&mut self, patience: Duration) -> io::Result<ExitStatus> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                return Err(io::Error::new(io::ErrorKind::TimedOut, format!("{} does not end", self.name)));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// All that it has written to its standard output.
    pub(super) fn output(&self) -> io::Result<Vec<u8>> {
        read_from(&self.output, 0)
    }

    /// The last lines of its log and output, for a person to read.
    pub(super) fn tail(&self) -> String {
        let tail = |file: &File| -> io::Result<String> {
            let start = file.metadata()?.len().saturating_sub(TAIL);
            Ok(String::from_utf8_lossy(&read_from(file, start)?).into_owned())
        };
        let text = match (tail(&self.output), tail(&self.log)) {
            (Ok(output), Ok(log)) => format!("{output}{log}"),
            (Err(error), _) | (_, Err(error)) => format!("(its log cannot be read: {error})\n"),
        };
        format!("--- the last words of {} ---\n{text}", self.name)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Already ended: nothing to kill.
        if matches!(self.process.try_wait(), Ok(Some(_))) {
            return;
        }
        if let Err(error) = self.kill() {
            tracing::error!(name = self.name, %error, "cannot kill a process of the demo");
        }
    }
}

/// Reads without moving the file's position, which is the writer's too.
fn read_from(file: &File, start: u64) -> io::Result<Vec<u8>> {
    let length = usize::try_from(file.metadata()?.len().saturating_sub(start)).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, start)?;
    Ok(bytes)
}

#[cfg(target_os = "linux")]
fn die_with_parent(command: &mut Command) {
    let parent = rustix::process::getpid();
    let prepare = move || {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have died before the line above.
        match rustix::process::getppid() {
            Some(pid) if pid == parent => Ok(()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    };
    // SAFETY: between fork and exec the closure makes two system calls, prctl and getppid, and neither allocates nor
    // locks nor unwinds.
    unsafe {
        command.pre_exec(prepare);
    }
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_command: &mut Command) {}
