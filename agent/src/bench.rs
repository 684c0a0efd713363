//! What benches and stress tests reach into. Not an interface: it changes with the code.

use crate::clock::{self, Leaving, Mode, SETUP, Setup, ThreadClock};

/// What the clock said of itself since the process started.
#[derive(Clone, Copy, Debug)]
pub struct ClockStats {
    /// How CPU time is read.
    pub mode: &'static str,
    /// Re-reads of the kernel's clock because the thread was interrupted.
    pub interrupted: u64,
    /// Because the piece was long.
    pub long: u64,
    /// Because the scheduler may have slept.
    pub runtime: u64,
    /// Because the last one was old.
    pub aged: u64,
    /// Because it was asked for.
    pub settled: u64,
    /// Sum of the absolute corrections, in ns.
    pub corrections_ns: u64,
    /// CPU time between readings of the kernel's clock, in ns.
    pub covered_ns: u64,
    /// Switches that moved more than 50 µs and were not flagged.
    pub missed: u64,
    /// Modes given up.
    pub degradations: u64,
}

impl ClockStats {
    /// The sums now.
    #[must_use]
    pub fn now() -> Self {
        let totals = SETUP.totals();
        let [interrupted, long, runtime, aged, settled] = totals.rereads;
        Self {
            mode: clock::mode().name(),
            interrupted,
            long,
            runtime,
            aged,
            settled,
            corrections_ns: totals.corrections_ns,
            covered_ns: totals.covered_ns,
            missed: totals.missed,
            degradations: totals.degradations,
        }
    }

    /// All re-reads.
    #[must_use]
    pub fn rereads(&self) -> u64 {
        self.interrupted + self.long + self.runtime + self.aged + self.settled
    }
}

/// Starts the process's clock in a mode by its name, or in the best one. Returns why it cannot be had.
///
/// # Errors
/// When there is no such mode, or this machine does not have it.
pub fn start_clock(mode: Option<&str>) -> Result<(), String> {
    let mode = mode.map(Mode::parse).transpose()?;
    clock::start(mode).map_or(Ok(()), Err)
}

/// The clock of the calling thread, for a thread that no account touches: a thread can have one clock only.
#[derive(Debug)]
pub struct Clock(ThreadClock);

impl Clock {
    /// Begins at the next reading.
    #[must_use]
    pub const fn new() -> Self {
        const PROCESS: &Setup = &SETUP;
        Self(ThreadClock::new(PROCESS))
    }

    /// CPU time of this thread, in ns.
    #[inline]
    pub fn read(&self) -> i64 {
        self.0.read(Leaving::Other)
    }

    /// The same from the kernel's clock.
    pub fn settle(&self) -> i64 {
        self.0.settle()
    }

    /// The instant of the last reading on the monotonic clock, in ns.
    #[inline]
    pub fn last_instant_ns(&self) -> u64 {
        self.0.last_instant_ns()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// CPU time of the calling thread by the kernel, in ns.
#[must_use]
pub fn kernel_thread_cpu_ns() -> i64 {
    clock::thread_cpu_ns()
}

/// The monotonic clock, in ns.
#[must_use]
pub fn monotonic_ns() -> u64 {
    clock::monotonic_ns()
}

pub use crate::alloc::bench::{
    AllocMode, allocate_and_free, allocate_and_free_inlined, set_alloc_mode,
};

/// Stops measuring, as if `init` had not been called yet. Propagation goes on.
pub fn pause() {
    crate::state::stop_measuring();
}

/// Measures again, once an agent runs.
pub fn resume() {
    crate::state::start_measuring();
}

/// How often the calling thread was taken off its processor, by the kernel: waiting and preempted.
#[must_use]
pub fn thread_switches() -> i64 {
    let switches = clock::switches();
    switches.voluntary + switches.involuntary
}

/// Lets the calling thread, and threads that it starts, run on `n` processors. Returns on how many it runs.
#[cfg(target_os = "linux")]
#[must_use]
pub fn run_on(n: usize) -> usize {
    clock::run_on(n)
}
