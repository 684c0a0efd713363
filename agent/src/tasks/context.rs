//! A request as something to hand on.

use std::sync::Arc;

use crate::bill::{Bill, Child};

/// The request to which work that is done elsewhere will be charged. It stays open as long as this exists, for at
/// most 10 s after its response; what comes later is counted as late.
#[derive(Debug)]
pub struct Context(Option<Child>);

impl Context {
    /// The current request; nobody outside one.
    #[must_use]
    pub fn current() -> Self {
        Self(Bill::current().as_ref().map(Bill::child))
    }

    /// That of a request.
    pub(crate) fn of(bill: &Arc<Bill>) -> Self {
        Self(Some(bill.child()))
    }

    /// True when there is a request to charge.
    #[must_use]
    pub fn is_request(&self) -> bool {
        self.0.is_some()
    }

    pub(super) fn bill(&self) -> Option<&Arc<Bill>> {
        self.0.as_ref().map(Child::bill)
    }

    pub(super) fn into_child(self) -> Option<Child> {
        self.0
    }
}

impl Clone for Context {
    fn clone(&self) -> Self {
        Self(self.bill().map(Bill::child))
    }
}
