//! Double-entry accounts.
//!
//! Each thread has one current account and the reading of the clock at which it became current. Crossing a
//! boundary takes one reading, books what passed since the last one to the account being left, and makes the
//! next one current. So the pieces of a thread add up to its CPU time by construction.

mod future;
mod mark;
mod pending;
mod registry;
mod split;
mod thread;

use std::marker::PhantomData;
use std::sync::Arc;

use weighbridge_wire::{Class, OwnerKind};

pub(crate) use future::InAccount;
pub(crate) use mark::{Mark, Totals, mark};
pub(crate) use registry::{Held, InProgress, hold, in_progress, registered_threads, snapshot};
pub(crate) use split::Split;
pub(crate) use thread::{
    become_runtime_thread, become_thread_of, class_totals_here, flush_here, instant_here_ns,
    is_runtime, leave_thread, on_park, on_unpark, runtime_owner, shard_here, start_here,
};
#[cfg(tokio_unstable)]
pub(crate) use thread::{become_seen_runtime_thread, seen_runtime_owner};

use crate::alloc::Holder;
use crate::bill::Bill;
use crate::layer::unweighed::{self, Unweighed};
use crate::ledger::{OwnerId, ledger};

/// To whom costs are booked.
#[derive(Clone, Debug)]
pub(crate) enum OwnerRef {
    /// A request.
    Bill(Arc<Bill>),
    /// Several requests that share a piece of work.
    Split(Arc<Split>),
    /// A connection, pool, driver, background work, the runtime or the agent.
    Named(OwnerId),
}

impl OwnerRef {
    /// To whom memory belongs that is allocated for this owner.
    #[inline]
    pub(crate) fn holder(&self) -> Holder {
        match self {
            Self::Bill(bill) => Holder::Operation(bill.name_id()),
            Self::Split(split) => split.holder(),
            Self::Named(id) => Holder::Named(id.0),
        }
    }

    /// True when both are the same request or the same named owner.
    pub(crate) fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Bill(a), Self::Bill(b)) => Arc::ptr_eq(a, b),
            (Self::Split(a), Self::Split(b)) => Arc::ptr_eq(a, b),
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
    let hidden = unweighed::hide();
    let mine = |owner: Option<&OwnerRef>, _| owner.is_some_and(|owner| owner.same(&account.owner));
    let restore = match thread::cross_class(account.class, mine) {
        Some(class) => Restore::Class(class),
        None => thread::cross(Some(account)).map_or(Restore::Nothing, Restore::Left),
    };
    Entered::new(restore, hidden)
}

/// As [`enter`] for a request, which most often is current already.
pub(crate) fn enter_bill(bill: &Arc<Bill>, class: Class) -> Entered {
    let hidden = unweighed::hide();
    let restore = match thread::cross_class(class, |owner, _| is_bill(owner, bill)) {
        Some(class) => Restore::Class(class),
        None => {
            let account = Account::new(OwnerRef::Bill(bill.clone()), class);
            thread::cross(Some(account)).map_or(Restore::Nothing, Restore::Left)
        }
    };
    Entered::new(restore, hidden)
}

/// Keeps the owner and changes the class. The innermost class wins, but inside `store` everything is `store`.
/// Without a current owner nothing changes.
#[inline]
pub(crate) fn enter_class(class: Class) -> Entered {
    if !crate::state::measuring() {
        // Nobody looks at classes.
        return Entered::new(Restore::Nothing, None);
    }
    enter_class_weighed(class)
}

fn enter_class_weighed(class: Class) -> Entered {
    let wanted = |owner: Option<&OwnerRef>, present| {
        owner.is_some() && present != class && present != Class::Store
    };
    let restore = thread::cross_class(class, wanted).map_or(Restore::Nothing, Restore::Class);
    Entered::new(restore, None)
}

/// Makes an account current in place of the present one; the guard that holds will restore what was before
/// it all the same. For a connection whose request ends in the middle of a poll.
pub(crate) fn replace_current(account: Account) {
    drop(thread::cross(Some(account)));
}

/// Makes a request's account current in place of that of its connection, if this is current, whose costs
/// since it last booked become the request's.
pub(crate) fn hand_over(from: &OwnerRef, bill: &Arc<Bill>, class: Class) {
    if is_current(from) {
        thread::hand_over_here(bill, class);
    }
}

/// True when this owner's account is current.
pub(crate) fn is_current(owner: &OwnerRef) -> bool {
    thread::with_owner(|current| current.is_some_and(|current| current.same(owner)))
        .unwrap_or(false)
}

/// True when this request's account is current.
pub(crate) fn is_current_bill(bill: &Arc<Bill>) -> bool {
    thread::with_owner(|owner| is_bill(owner, bill)).unwrap_or(false)
}

fn is_bill(owner: Option<&OwnerRef>, bill: &Arc<Bill>) -> bool {
    matches!(owner, Some(OwnerRef::Bill(current)) if Arc::ptr_eq(current, bill))
}

/// Runs `f` in this class and returns the CPU time that was booked to the class meanwhile, in ns: 0 where the
/// class could not be entered, because an outer piece of the same class or `store` counts it already.
pub(crate) fn timed_class<R>(class: Class, f: impl FnOnce() -> R) -> (R, i64) {
    let entered = enter_class(class);
    if matches!(entered.restore, Restore::Nothing) {
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
    if let Some(bill) = unweighed::bill_here() {
        return Some(Account::new(OwnerRef::Bill(bill), Class::Handler));
    }
    thread::current()
}

/// Looks at the current owner, without a reference of one's own. An unweighed request is none.
pub(crate) fn with_current_owner<R>(f: impl FnOnce(Option<&OwnerRef>) -> R) -> Option<R> {
    thread::with_owner(f)
}

/// What dropping a guard brings back.
#[derive(Debug)]
enum Restore {
    Nothing,
    Class(Class),
    Left(mark::Left),
}

/// Restores the account before when dropped. Bound to its thread.
#[must_use = "the account is left when the guard is dropped"]
#[derive(Debug)]
pub(crate) struct Entered {
    restore: Restore,
    /// The unweighed request inside which the account was entered.
    hidden: Option<Box<Unweighed>>,
    not_send: PhantomData<*const ()>,
}

impl Entered {
    #[inline]
    fn new(restore: Restore, hidden: Option<Box<Unweighed>>) -> Self {
        Self {
            restore,
            hidden,
            not_send: PhantomData,
        }
    }
}

impl Drop for Entered {
    #[inline]
    fn drop(&mut self) {
        match std::mem::replace(&mut self.restore, Restore::Nothing) {
            Restore::Nothing => {}
            Restore::Class(class) => thread::come_back_to_class(class),
            Restore::Left(left) => thread::come_back(left),
        }
        if let Some(hidden) = self.hidden.take() {
            unweighed::show(*hidden);
        }
    }
}

#[cfg(test)]
mod tests;
