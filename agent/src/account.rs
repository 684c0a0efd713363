//! Double-entry accounts.
//!
//! Each thread has one current account and the reading of the clock at which it became current. Crossing a
//! boundary takes one reading, books what passed since the last one to the account being left, and makes the
//! next one current. So the pieces of a thread add up to its CPU time by construction.

mod future;
mod mark;
mod registry;
mod thread;

use std::marker::PhantomData;
use std::sync::Arc;

use weighbridge_wire::{Class, OwnerKind};

pub(crate) use future::InAccount;
pub(crate) use mark::{Mark, Totals, mark};
pub(crate) use registry::{Held, InProgress, hold, in_progress, registered_threads, snapshot};
pub(crate) use thread::{
    become_runtime_thread, book_spent_here_to, class_totals_here, flush_here, instant_here_ns,
    is_runtime, leave_thread, on_park, on_unpark, runtime_owner, shard_here, start_here,
};
#[cfg(tokio_unstable)]
pub(crate) use thread::{become_seen_runtime_thread, seen_runtime_owner};

use crate::alloc::Holder;
use crate::bill::Bill;
use crate::ledger::{OwnerId, ledger};

/// To whom costs are booked.
#[derive(Clone, Debug)]
pub(crate) enum OwnerRef {
    /// A request.
    Bill(Arc<Bill>),
    /// A connection, pool, driver, background work, the runtime or the agent.
    Named(OwnerId),
}

impl OwnerRef {
    /// To whom memory belongs that is allocated for this owner.
    #[inline]
    pub(crate) fn holder(&self) -> Holder {
        match self {
            Self::Bill(bill) => Holder::Operation(bill.name_id()),
            Self::Named(id) => Holder::Named(id.0),
        }
    }

    /// True when both are the same request or the same named owner.
    pub(crate) fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Bill(a), Self::Bill(b)) => Arc::ptr_eq(a, b),
            (Self::Named(a), Self::Named(b)) => a == b,
            _ => false,
        }
    }
}

/// Owner × class.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) owner: OwnerRef,
    pub(crate) class: Class,
}

impl Account {
    pub(crate) fn new(owner: OwnerRef, class: Class) -> Self {
        Self { owner, class }
    }
}

/// The owner under this name; made once, bounded by `OWNERS_MAX`.
pub(crate) fn owner(kind: OwnerKind, name: &str) -> OwnerRef {
    OwnerRef::Named(ledger().owner(kind, name))
}

/// Makes an account current until the guard is dropped. Guards nest; the one before comes back.
pub(crate) fn enter(account: Account) -> Entered {
    Entered {
        previous: Some(thread::cross(Some(account))),
        not_send: PhantomData,
    }
}

/// Keeps the owner and changes the class. The innermost class wins, but inside `store` everything is `store`.
/// Without a current owner nothing changes.
pub(crate) fn enter_class(class: Class) -> Entered {
    match current() {
        Some(account) if account.class != class && account.class != Class::Store => {
            enter(Account {
                owner: account.owner,
                class,
            })
        }
        _ => Entered {
            previous: None,
            not_send: PhantomData,
        },
    }
}

/// Makes an account current in place of the present one; the guard that holds will restore what was before
/// it all the same. For a connection whose request begins or ends in the middle of a poll.
pub(crate) fn replace_current(account: Account) {
    drop(thread::cross(Some(account)));
}

/// Runs `f` in this class and returns the CPU time that was booked to the class meanwhile, in ns: 0 where the
/// class could not be entered, because an outer piece of the same class or `store` counts it already.
pub(crate) fn timed_class<R>(class: Class, f: impl FnOnce() -> R) -> (R, i64) {
    let entered = enter_class(class);
    if entered.previous.is_none() {
        return (f(), 0);
    }
    // Entering and leaving take the readings: before and after are exact.
    let before = class_totals_here()[class as usize];
    let result = f();
    drop(entered);
    let spent = class_totals_here()[class as usize] - before;
    (result, spent)
}

/// The current account of this thread.
pub(crate) fn current() -> Option<Account> {
    thread::current()
}

/// Restores the account before when dropped. Bound to its thread.
#[must_use = "the account is left when the guard is dropped"]
#[derive(Debug)]
pub(crate) struct Entered {
    /// `None` when nothing was changed.
    previous: Option<mark::Left>,
    not_send: PhantomData<*const ()>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        if let Some(previous) = self.previous.take() {
            thread::cross_back(previous);
        }
    }
}

#[cfg(test)]
mod tests;
