//! The agent of a process: set-up, its thread, and its end.

mod back_off;
mod builder;
mod handle;
mod last_words;
mod life;
mod process;
mod table;
mod worker;

pub use back_off::{OVERHEAD_FREE_PERMILLE, OVERHEAD_MAX_PERMILLE};
pub use builder::{Builder, InitError, builder, init, try_init};
pub use handle::Agent;
pub use last_words::flush_on_panic;

use std::sync::atomic::{AtomicU32, Ordering};

/// The process whose agent it is; 0 = none. One agent per process at a time: CPU clocks are the process's too.
/// A forked child inherits the number of its parent, which holds nothing there.
static TAKEN: AtomicU32 = AtomicU32::new(0);

/// Holds the process's only place for an agent.
#[derive(Debug)]
struct Place {
    process: u32,
}

impl Place {
    fn take() -> Option<Self> {
        let process = std::process::id();
        TAKEN
            .try_update(Ordering::AcqRel, Ordering::Acquire, |taken| {
                (taken != process).then_some(process)
            })
            .ok()
            .map(|_| Self { process })
    }

    /// True in the process that took it, false in its forked children.
    fn is_here(&self) -> bool {
        self.process == std::process::id()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A guard that a child inherited must not give away the child's own place.
        let _ = TAKEN.compare_exchange(self.process, 0, Ordering::AcqRel, Ordering::Relaxed);
    }
}
