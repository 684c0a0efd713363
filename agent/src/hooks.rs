//! The agent's hooks into a Tokio runtime, for those who build their runtime themselves.
//!
//! [`runtime`](crate::runtime) and [`runtime_current_thread`](crate::runtime_current_thread) have them set.
//! Tokio keeps one closure of each kind: setting `on_thread_park` and its kin on such a builder replaces ours,
//! and the costs behind it become `unattributed`. So either add yours with [`chain`]:
//!
//! ```
//! let mut builder = tokio::runtime::Builder::new_multi_thread();
//! weighbridge_agent::hooks::chain()
//!     .on_thread_park(|| { /* yours; ours runs too */ })
//!     .install(&mut builder);
//! let runtime = builder.enable_all().build()?;
//! # drop(runtime);
//! # std::io::Result::Ok(())
//! ```
//!
//! or call the functions of this module from your own closures:
//!
//! ```
//! use weighbridge_agent::hooks;
//! let runtime = tokio::runtime::Builder::new_multi_thread()
//!     .on_thread_start(|| { hooks::on_thread_start(); /* yours */ })
//!     .on_thread_park(|| { /* yours */ hooks::on_thread_park(); })
//!     .on_thread_unpark(|| { hooks::on_thread_unpark(); /* yours */ })
//!     .on_thread_stop(|| { /* yours */ hooks::on_thread_stop(); })
//!     .enable_all()
//!     .build()?;
//! # drop(runtime);
//! # std::io::Result::Ok(())
//! ```
//!
//! **With `--cfg tokio_unstable`** there are four more, `on_task_spawn`, `on_before_task_poll`,
//! `on_after_task_poll` and `on_task_terminate`, set by all of the above. They see each task of the runtime,
//! wrapped or not:
//!
//! - A task spawned inside a request is its child, as if spawned by [`spawn`](crate::spawn()).
//! - Tasks of known pools, drivers and servers are owners of their own, told by the file in which they were
//!   spawned, never charged to the request that opened them. `task_owner` names more of them.
//! - A task spawned inside a [`background`](crate::background()), [`driver`](crate::driver()),
//!   [`pool`](crate::pool()) or connection is that owner's.
//! - Any other is the owner `background` under the place where it was spawned, such as `src/jobs.rs:41`.
//!
//! The scheduler's own row is then named `runtime`. Tokio does not call the hooks for the root future of
//! `block_on` (use [`block_on`](crate::block_on)), for tasks of a `LocalSet` (they belong to whoever polls the
//! set, unless spawned by [`spawn_local`](crate::spawn_local)), and for blocking closures (use
//! [`spawn_blocking`](crate::spawn_blocking); unwrapped ones stay in the row `runtime or unwrapped`).

mod chain;
#[cfg(any(tokio_unstable, test))]
mod living;
#[cfg(any(tokio_unstable, test))]
mod rules;
mod site;
#[cfg(tokio_unstable)]
mod task;

pub use chain::{Chain, chain};
#[cfg(any(tokio_unstable, test))]
pub use rules::task_owner;
#[cfg(tokio_unstable)]
pub use task::{on_after_task_poll, on_before_task_poll, on_task_spawn, on_task_terminate};

pub(crate) use site::{is_anonymous, spawned_owner};

use weighbridge_wire::Class;

use crate::account::{self, Account};

/// The current task turned out to be an owner of its own (a driver, background work): the request that
/// spawned it does not wait for it.
pub(crate) fn detach_current() {
    #[cfg(tokio_unstable)]
    task::detach_current();
}

/// The owner of the scheduler on a thread that runs a runtime of ours.
pub(crate) fn scheduler_owner() -> account::OwnerRef {
    #[cfg(tokio_unstable)]
    if task::are_live() {
        return account::seen_runtime_owner();
    }
    account::runtime_owner()
}

/// Call when a thread of the runtime starts: what no account claims on it is the runtime's, from the thread's
/// beginning on where it began after `init`.
pub fn on_thread_start() {
    account::become_new_thread_of(Account::new(account::runtime_owner(), Class::Handler));
}

/// Call when a thread of the runtime stops: what it has spent is booked.
pub fn on_thread_stop() {
    account::leave_thread();
}

/// Call when a thread of the runtime is about to sleep: what it has spent is booked, so that an idle thread
/// holds nothing back. Waiting for sockets and timers is the runtime's.
pub fn on_thread_park() {
    account::on_park();
}

/// Call when a thread of the runtime woke up.
pub fn on_thread_unpark() {
    account::on_unpark();
}
