//! Runtimes whose scheduler has an account.

use std::future::Future;

use tokio::runtime::{Builder, Runtime};
use weighbridge_wire::{Class, MAIN_OWNER, OwnerKind};

use crate::account::{Account, InAccount, OwnerRef, enter, owner};
use crate::hooks;

/// A builder of a multi-threaded Tokio runtime with everything enabled, whose threads book what no account
/// claims to the runtime: the scheduler, waiting for sockets and timers, and on stable Tokio also tasks that
/// nothing wrapped (the row is then named `runtime or unwrapped`).
///
/// Setting `on_thread_start` and its kin on it replaces our hooks; [`hooks`](crate::hooks) has the ways to
/// keep both.
#[must_use]
pub fn runtime() -> Builder {
    weighed(Builder::new_multi_thread())
}

/// The same for a runtime that runs its tasks on the thread that calls `block_on`.
///
/// That thread is not started by the runtime: use [`block_on`] to have all of its time booked. With the
/// runtime's own `block_on` it is seen from its first sleep on, and counts as the runtime's until it ends.
#[must_use]
pub fn runtime_current_thread() -> Builder {
    weighed(Builder::new_current_thread())
}

fn weighed(mut builder: Builder) -> Builder {
    hooks::chain().install(&mut builder).enable_all();
    builder
}

/// The owner of the program's root future.
pub(crate) fn root_owner() -> OwnerRef {
    owner(OwnerKind::Background, MAIN_OWNER)
}

/// Runs a future to its end on a runtime: the future's costs belong to the owner `background main`, what the
/// scheduler does on this thread meanwhile to the runtime. Afterwards the thread's account is what it was.
///
/// # Panics
/// As [`Runtime::block_on`] does, inside another runtime.
pub fn block_on<F: Future>(runtime: &Runtime, future: F) -> F::Output {
    let _runtime = enter(Account::new(hooks::scheduler_owner(), Class::Handler));
    runtime.block_on(InAccount::new(
        Account::new(root_owner(), Class::Handler),
        future,
    ))
}

/// What the attribute [`main`](crate::main) expands to.
#[doc(hidden)]
pub mod macro_support {
    use super::Future;

    /// Which scheduler runs the tasks.
    #[derive(Clone, Copy, Debug)]
    pub enum Flavor {
        /// As many threads as cores, or as given.
        MultiThread {
            /// Number of worker threads; `None` leaves it to Tokio.
            worker_threads: Option<usize>,
        },
        /// The calling thread.
        CurrentThread,
    }

    /// Runs the program's future on a runtime of its own, in the owner `background main`.
    ///
    /// # Errors
    /// When the runtime cannot be built.
    pub fn block_on<F: Future>(flavor: Flavor, future: F) -> std::io::Result<F::Output> {
        let mut builder = match flavor {
            Flavor::MultiThread { worker_threads } => {
                let mut builder = super::runtime();
                if let Some(n) = worker_threads {
                    builder.worker_threads(n.max(1));
                }
                builder
            }
            Flavor::CurrentThread => super::runtime_current_thread(),
        };
        let runtime = builder.build()?;
        crate::account::become_runtime_thread();
        Ok(super::block_on(&runtime, future))
    }
}
