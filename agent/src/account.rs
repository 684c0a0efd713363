//! Double-entry accounts.
//!
//! Each thread has one current account and the reading of the clock at which it became current. Crossing a
//! boundary takes one reading, books what passed since the last one to the account being left, and makes the
//! next one current. So the pieces of a thread add up to its CPU time by construction.

mod calls;
mod future;
mod mark;
mod pending;
mod registry;
mod split;
mod thread;

use std::marker::PhantomData;
use std::sync::Arc;

use weighbridge_wire::{Class, OwnerKind};

pub(crate) use calls::{MessageNs, OuterCall};
pub(crate) use future::InAccount;
pub(crate) use mark::{Mark, Totals, mark};
pub(crate) use registry::{
    Held, InProgress, hold, in_progress, note_elders, registered_threads, snapshot, thread_ids,
};
pub(crate) use split::Split;
#[cfg(test)]
pub(crate) use thread::readings_here;
pub(crate) use thread::{
    be_born_here, become_new_thread_of, become_runtime_thread, begin_call_here, call_was_none_here,
    class_totals_here, end_call_here, flush_here, instant_here_ns, is_runtime, leave_thread,
    on_park, on_unpark, runtime_owner, shard_here, start_here,
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
        self.whose() == other.whose()
    }

    #[inline]
    fn whose(&self) -> Whose {
        match self {
            Self::Bill(bill) => Whose::request(bill),
            Self::Split(split) => Whose(Arc::as_ptr(split).addr()),
            // Odd, as no address of these is.
            Self::Named(id) => Whose(id.0 as usize * 2 + 1),
        }
    }
}

/// Tells owners apart, as long as the owner lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Whose(usize);

impl Whose {
    const NOBODY: Self = Self(0);

    #[inline]
    fn request(bill: &Arc<Bill>) -> Self {
        Self(Arc::as_ptr(bill).addr())
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
#[inline]
pub(crate) fn enter(account: Account) -> Entered {
    let hidden = unweighed::hide();
    let restore = match thread::enter_class_of(account.owner.whose(), account.class) {
        Some(before) => Restore::Class(before),
        None => thread::cross(Some(account)).map_or(Restore::Nothing, Restore::Left),
    };
    Entered::new(restore, hidden)
}

/// As [`enter`] for a request, which most often is current already.
#[inline]
pub(crate) fn enter_bill(bill: &Arc<Bill>, class: Class) -> Entered {
    if !unweighed::may_be_here()
        && let Some(before) = thread::enter_class_of(Whose::request(bill), class)
    {
        return Entered::new(Restore::Class(before), None);
    }
    enter(Account::new(OwnerRef::Bill(bill.clone()), class))
}

/// Keeps the owner and changes the class. The innermost class wins, but inside `store` everything is `store`.
/// Without a current owner nothing changes.
#[inline]
pub(crate) fn enter_class(class: Class) -> InClass {
    InClass {
        before: if crate::state::measuring() {
            thread::enter_class(class)
        } else {
            // Nobody looks at classes.
            None
        },
        not_send: PhantomData,
    }
}

/// Books to `class` what passed since the last reading, and goes on in the class that is current: for work of which
/// only its end tells whether it was worth a reading.
#[inline]
pub(crate) fn was_in_class(class: Class) {
    if crate::state::measuring() {
        thread::was_in_class(class);
    }
}

/// Takes the reading that leaving a class soon left out.
#[inline]
pub(crate) fn have_left() {
    if crate::state::measuring() {
        thread::have_come_back();
    }
}

/// Makes an account current in place of the present one; the guard that holds will restore what was before
/// it all the same. For a connection whose request ends in the middle of a poll.
#[inline]
pub(crate) fn replace_current(account: Account) {
    thread::replace(account);
}

/// Makes a request's account current in place of that of its connection, if this is current, whose costs
/// since it last booked become the request's.
#[inline]
pub(crate) fn hand_over(from: &OwnerRef, bill: &Arc<Bill>, class: Class) {
    thread::hand_over_here(from.whose(), bill, class);
}

/// True when this owner's account is current.
#[inline]
pub(crate) fn is_current(owner: &OwnerRef) -> bool {
    thread::whose() == owner.whose()
}

/// True when the account of the request at this address is current.
#[inline]
pub(crate) fn is_current_at(address: usize) -> bool {
    thread::whose() == Whose(address)
}

/// The instant of the last crossing, if this owner's account is current.
#[inline]
pub(crate) fn instant_in(owner: &OwnerRef) -> Option<u64> {
    is_current(owner).then(instant_here_ns)
}

/// True when this request's account is current.
#[inline]
pub(crate) fn is_current_bill(bill: &Arc<Bill>) -> bool {
    thread::whose() == Whose::request(bill)
}

/// Runs `f` in this class and returns the CPU time that was booked to the class meanwhile, in ns: 0 where the
/// class could not be entered, because an outer piece of the same class or `store` counts it already.
pub(crate) fn timed_class<R>(class: Class, f: impl FnOnce() -> R) -> (R, i64) {
    let entered = enter_class(class);
    if entered.before.is_none() {
        return (f(), 0);
    }
    // Entering and leaving take the readings: before and after are exact.
    let before = class_totals_here()[class as usize];
    let result = f();
    drop(entered);
    let spent = class_totals_here()[class as usize] - before;
    (result, spent)
}

/// Asks the request whose account is current; false without one.
#[inline]
pub(crate) fn with_current_bill(f: impl FnOnce(&Arc<Bill>) -> bool) -> bool {
    let ask = |owner: Option<&OwnerRef>| matches!(owner, Some(OwnerRef::Bill(bill)) if f(bill));
    thread::with_owner(ask).unwrap_or(false)
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

/// Restores the class before when dropped. Bound to its thread.
#[must_use = "the class is left when the guard is dropped"]
#[derive(Debug)]
pub(crate) struct InClass {
    before: Option<Class>,
    not_send: PhantomData<*const ()>,
}

impl InClass {
    /// Leaves with the next reading: for what is followed by one at once. What lies between is booked to this class.
    #[inline]
    pub(crate) fn leave_soon(mut self) {
        if let Some(class) = self.before.take() {
            thread::come_back_soon(class);
        }
    }
}

impl Drop for InClass {
    #[inline]
    fn drop(&mut self) {
        if let Some(class) = self.before {
            thread::come_back_to_class(class);
        }
    }
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

impl Entered {
    /// Leaves with the next reading where only the class changes, as [`InClass::leave_soon`] does.
    #[inline]
    pub(crate) fn leave_soon(&mut self) {
        if let Restore::Class(class) = self.restore {
            self.restore = Restore::Nothing;
            thread::come_back_soon(class);
        }
    }
}

impl Drop for Entered {
    #[inline]
    fn drop(&mut self) {
        // What is left in place is small and moves nowhere: a crossing happens several times in each request.
        match &mut self.restore {
            Restore::Nothing => {}
            Restore::Class(class) => thread::come_back_to_class(*class),
            Restore::Left(left) => thread::come_back(std::mem::take(left)),
        }
        if let Some(hidden) = self.hidden.take() {
            unweighed::show(*hidden);
        }
    }
}

#[cfg(test)]
mod tests;
