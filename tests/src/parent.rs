//! Processes that end with the test that started them, also when that ends by SIGKILL.

use std::process::Command;

/// Has the kernel kill the process that `command` starts when this one ends: on Linux, and more precisely when the
/// starting thread ends, which is the thread of the test.
#[cfg(target_os = "linux")]
pub(crate) fn die_with_parent(command: &mut Command) -> &mut Command {
    use std::{io, os::unix::process::CommandExt as _};

    use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};

    let parent = getpid();
    let prepare = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have died before the line above.
        match getppid() {
            Some(pid) if pid == parent => Ok(()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    };
    // SAFETY: between fork and exec the closure makes two system calls, prctl and getppid, and neither allocates nor
    // locks nor unwinds.
    unsafe { command.pre_exec(prepare) }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn die_with_parent(command: &mut Command) -> &mut Command {
    command
}
