//! The only place that reads time.
//!
//! **CPU time** is that of the kernel's thread clock. Asking for it is a system call (0.1 to 1 µs), and a request
//! crosses ten boundaries and more; so a [`ThreadClock`] counts the processor's ticks from one reading of the
//! kernel's clock to the next. That is right as long as the thread was not taken off its processor, and the
//! [`Mode`] says how that is known:
//!
//! | mode | a reading | right because |
//! |---|---|---|
//! | `rseq` | the counter and a word, about 12 ns | the kernel clears the word when it interrupts the thread ([`rseq`]) |
//! | `scaled` | the same without the word | pieces over 50 µs, and the scheduler's over 2 µs, are read from the kernel; the rest is scaled to the last stretch. Rows are `apportioned` |
//! | `thread` | a system call | it is the kernel's clock |
//! | `tsc-unchecked` | the counter | it need not be: for counting instructions (feature `bench`) |
//!
//! The mode is probed at `init`, or forced by `WEIGHBRIDGE_CLOCK`. At each re-read counter and kernel are compared;
//! where they differ too much for too long, the process goes to the next mode of the table, counts that, warns, and
//! says so in its row. `docs/accounting.md` has the figures.

#![allow(unsafe_code)]

mod counter;
mod kernel;
mod mode;
mod process;
mod rate;
mod rseq;
mod setup;
mod stats;
mod thread_clock;

#[cfg(all(feature = "bench", target_os = "linux"))]
pub(crate) use kernel::run_on;
#[cfg(feature = "bench")]
pub(crate) use kernel::switches;
pub(crate) use kernel::{
    ThreadId, monotonic_ns, other_thread_cpu_ns, process_cpu_ns, thread_cpu_ns, thread_id,
    wall_unix_ns,
};
pub(crate) use mode::Mode;
pub(crate) use process::{Usage, at_exit, at_fork, usage};
pub(crate) use setup::{Held, Setup};
pub(crate) use stats::Totals;
pub(crate) use thread_clock::{Leaving, ThreadClock};

/// The setup of this process.
pub(crate) static SETUP: Setup = Setup::new();

/// Locks the process's setup, for a fork. Under this lock no other is taken.
pub(crate) fn hold() -> Held {
    SETUP.hold()
}

/// Takes the mode asked for, or the best that this machine has; at most 2 ms. Returns why the mode asked for
/// cannot be had.
pub(crate) fn start(asked: Option<Mode>) -> Option<String> {
    SETUP.start(asked)
}

/// The mode in use.
pub(crate) fn mode() -> Mode {
    SETUP.mode()
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod wanted;
#[cfg(test)]
pub(crate) use wanted::wanted;
