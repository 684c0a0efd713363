//! The one place in this crate that reads time.

use rustix::time::{ClockId, clock_gettime};

/// CPU time of this process, all threads, user and kernel, in nanoseconds.
///
/// The kernel leaves out what other threads of the process spent since their last tick or switch: read it
/// while they wait.
#[must_use]
pub fn process_cpu_ns() -> i64 {
    read(ClockId::ProcessCPUTime)
}

/// CPU time of this thread, user and kernel, in nanoseconds.
#[must_use]
pub fn thread_cpu_ns() -> i64 {
    read(ClockId::ThreadCPUTime)
}

/// Time since some fixed instant, in nanoseconds.
#[must_use]
pub fn monotonic_ns() -> i64 {
    read(ClockId::Monotonic)
}

/// Time since the Unix epoch, in nanoseconds.
#[must_use]
pub fn unix_ns() -> u64 {
    read(ClockId::Realtime).unsigned_abs()
}

fn read(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}
