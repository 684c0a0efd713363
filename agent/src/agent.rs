//! The agent of a process: set-up, its thread, and its end.

mod builder;
mod handle;
mod process;
mod table;
mod worker;

pub use builder::{Builder, InitError, builder, init, try_init};
pub use handle::Agent;

use std::sync::atomic::{AtomicBool, Ordering};

/// One agent per process at a time: CPU clocks are the process's too.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Holds the process's only place for an agent.
#[derive(Debug)]
struct Place(());

impl Place {
    fn take() -> Option<Self> {
        (!TAKEN.swap(true, Ordering::AcqRel)).then_some(Self(()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        TAKEN.store(false, Ordering::Release);
    }
}
