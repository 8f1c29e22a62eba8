//! CPU time of another process.

use std::time::Duration;

/// The clock of the CPU time that one process has used.
#[derive(Clone, Copy, Debug)]
pub struct CpuClock(#[cfg(target_os = "linux")] libc::clockid_t);

#[cfg(target_os = "linux")]
impl CpuClock {
    /// The clock of this process. None if there is no such process.
    #[must_use]
    pub fn of(pid: i32) -> Option<Self> {
        let mut id = 0;
        // SAFETY: the second argument points to an integer of the right type that is alive during the call.
        let status = unsafe { libc::clock_getcpuclockid(pid, &raw mut id) };
        (status == 0).then_some(Self(id))
    }

    /// CPU time of all threads of the process, up to this moment. None if the process has ended.
    #[must_use]
    pub fn now(self) -> Option<Duration> {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the second argument points to a timespec that is alive during the call.
        let status = unsafe { libc::clock_gettime(self.0, &raw mut time) };
        let nanoseconds = u64::try_from(time.tv_nsec).ok()?;
        (status == 0)
            .then_some(Duration::from_secs(u64::try_from(time.tv_sec).ok()?) + Duration::from_nanos(nanoseconds))
    }
}

/// Other systems have no such clock.
#[cfg(not(target_os = "linux"))]
impl CpuClock {
    /// None.
    #[must_use]
    pub fn of(_pid: i32) -> Option<Self> {
        None
    }

    /// None.
    #[must_use]
    pub fn now(self) -> Option<Duration> {
        None
    }
}
