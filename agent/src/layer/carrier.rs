//! Whose work a response is, from the call to the end of its body.

use std::mem;
use std::sync::Arc;

use weighbridge_wire::Class;

use super::unweighed::{self, Unweighed};
use crate::account::{Entered, enter_bill};
use crate::bill::Bill;
use crate::state;

/// What the layer's future and bodies carry along.
#[derive(Debug)]
pub(super) enum Carrier {
    /// An outer layer has the bill.
    Nobody,
    /// The request's bill.
    Bill(Arc<Bill>),
    /// The request began while nothing was measured. Always there outside of [`Inside`].
    Unweighed(Option<Unweighed>),
}

impl Carrier {
    /// Makes the request current until the guard is dropped.
    #[inline]
    pub(super) fn enter(&mut self) -> Inside<'_> {
        match self {
            Self::Nobody => Inside::Nothing,
            Self::Bill(bill) => Inside::Account(enter_bill(bill, Class::Handler)),
            Self::Unweighed(request) => {
                if state::measuring() {
                    return enter_late(request);
                }
                unweighed::swap_here(request);
                Inside::Unweighed(request)
            }
        }
    }

    /// The bill, if the request is weighed.
    pub(super) fn bill(&self) -> Option<&Arc<Bill>> {
        match self {
            Self::Bill(bill) => Some(bill),
            Self::Nobody | Self::Unweighed(_) => None,
        }
    }

    /// Leaves nobody behind.
    pub(super) fn take(&mut self) -> Self {
        mem::replace(self, Self::Nobody)
    }
}

/// Measuring began in the middle of the request: its own bill keeps its cost from those that are weighed.
#[cold]
fn enter_late(request: &mut Option<Unweighed>) -> Inside<'_> {
    match request {
        Some(request) => Inside::Account(enter_bill(&request.bill(), Class::Handler)),
        None => Inside::Nothing,
    }
}

/// The request is current as long as this lives.
#[must_use = "the request is left when the guard is dropped"]
pub(super) enum Inside<'a> {
    Nothing,
    Account(Entered),
    /// Where the request is put back, and what was current before it waits.
    Unweighed(&'a mut Option<Unweighed>),
}

impl Inside<'_> {
    /// Leaves the request, which is polled next: what lies between may as well be the handler's.
    #[inline]
    pub(super) fn leave_soon(mut self) {
        if let Self::Account(entered) = &mut self {
            entered.leave_soon();
        }
    }
}

impl Drop for Inside<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Self::Unweighed(request) = self {
            unweighed::swap_here(request);
        }
    }
}
