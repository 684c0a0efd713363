//! A request while nothing is measured: what its outgoing calls would say of it, and no more.
//!
//! It stands beside the accounts of its thread while the request is polled, on top of whatever is current. A call
//! that goes out, or a task that is spawned, makes a bill of it, which nobody records.

use std::cell::{Cell, RefCell};
use std::mem;
use std::sync::Arc;

use super::known::Kind;
use super::operation::Named;
use super::service::find;
use crate::bill::{Bill, Opening};
use crate::ledger::ledger;

/// A request that began while nothing was measured.
#[derive(Debug)]
pub(crate) enum Unweighed {
    /// Its headers said nothing, and nobody asked for it yet.
    Named(Named),
    /// It has a bill, for its names.
    Bill(Arc<Bill>),
}

thread_local! {
    static HERE: RefCell<Option<Unweighed>> = const { RefCell::new(None) };
    /// Shows without a look whether one may be there.
    static MAY_BE_HERE: Cell<bool> = const { Cell::new(false) };
}

impl Unweighed {
    /// The bill, which is made now if it has none.
    pub(super) fn bill(&mut self) -> Arc<Bill> {
        let bill = match self {
            Self::Bill(bill) => return bill.clone(),
            Self::Named(named) => named.unweighed_bill(),
        };
        *self = Self::Bill(bill.clone());
        bill
    }
}

impl Named {
    #[cold]
    fn unweighed_bill(&self) -> Arc<Bill> {
        let asked = self.asked();
        let kind = Kind {
            asked: &asked,
            chain: None,
        };
        let find = || find(&asked, None);
        let entrance = kind.entrance(ledger(), || None, find);
        Bill::open_unweighed(entrance, Opening::default())
    }
}

/// Puts what is in the slot on top of this thread's accounts, and what was there into the slot. To be called again
/// to restore both.
pub(super) fn swap_here(slot: &mut Option<Unweighed>) {
    let _ = HERE.try_with(|here| {
        if let Ok(mut here) = here.try_borrow_mut() {
            mem::swap(&mut *here, slot);
            MAY_BE_HERE.set(here.is_some());
        }
    });
}

/// False when no unweighed request is current on this thread.
#[inline]
pub(crate) fn may_be_here() -> bool {
    MAY_BE_HERE.get()
}

/// Takes the request away while another account runs inside it.
#[inline]
pub(crate) fn hide() -> Option<Box<Unweighed>> {
    if may_be_here() { take() } else { None }
}

#[cold]
#[inline(never)]
fn take() -> Option<Box<Unweighed>> {
    MAY_BE_HERE.set(false);
    HERE.try_with(|here| {
        let mut here = here.try_borrow_mut().ok()?;
        here.take().map(Box::new)
    })
    .ok()
    .flatten()
}

/// Brings back what was taken away.
pub(crate) fn show(hidden: Unweighed) {
    swap_here(&mut Some(hidden));
}

/// The bill of the unweighed request that runs on this thread, if one does.
#[inline]
pub(crate) fn bill_here() -> Option<Arc<Bill>> {
    let mut hidden = hide()?;
    let bill = hidden.bill();
    show(*hidden);
    Some(bill)
}
