//! A runtime whose scheduler has an account.

use std::future::Future;

use weighbridge_wire::{Class, OwnerKind};

use crate::account::{self, Account, InAccount, owner};

/// A builder of a multi-threaded Tokio runtime with everything enabled, whose threads book what no account
/// claims to the owner `runtime or unwrapped`: the scheduler, and on stable Tokio also tasks that nothing
/// wrapped.
///
/// Setting `on_thread_start`, `on_thread_stop`, `on_thread_park` or `on_thread_unpark` on it replaces our
/// hooks; that time is then `unattributed`.
#[must_use]
pub fn runtime() -> tokio::runtime::Builder {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    hook(&mut builder);
    builder
}

fn hook(builder: &mut tokio::runtime::Builder) {
    builder
        .enable_all()
        .on_thread_start(account::become_runtime_thread)
        .on_thread_park(account::on_park)
        .on_thread_stop(account::leave_thread);
}

/// What the attribute [`main`](crate::main) expands to.
#[doc(hidden)]
pub mod macro_support {
    use super::{Account, Class, Future, InAccount, OwnerKind, account, hook, owner};

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
                let mut builder = tokio::runtime::Builder::new_multi_thread();
                if let Some(n) = worker_threads {
                    builder.worker_threads(n.max(1));
                }
                builder
            }
            Flavor::CurrentThread => tokio::runtime::Builder::new_current_thread(),
        };
        hook(&mut builder);
        let runtime = builder.build()?;
        account::become_runtime_thread();
        let main = Account::new(owner(OwnerKind::Background, "main"), Class::Handler);
        let output = runtime.block_on(InAccount::new(main, future));
        drop(runtime);
        Ok(output)
    }
}
