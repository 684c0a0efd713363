//! CPU of a stretch on one thread.

use weighbridge_wire::Class;

use crate::account;

/// A stretch on one thread whose protocol and io CPU is to be known.
pub(crate) struct Spent {
    entered: account::Entered,
    before: [i64; weighbridge_wire::ALL_CLASSES.len()],
}

impl Spent {
    /// Makes an account current for the stretch.
    pub(crate) fn begin_in(account: account::Account) -> Self {
        let entered = account::enter(account);
        Self {
            entered,
            before: account::class_totals_here(),
        }
    }

    /// Stays with the owner, in class protocol.
    pub(crate) fn begin_protocol() -> Self {
        let entered = account::enter_class(Class::Protocol).into_entered();
        Self {
            entered,
            before: account::class_totals_here(),
        }
    }

    /// CPU of classes protocol and io, in ns.
    pub(crate) fn end(self) -> (i64, i64) {
        // Crossing books the last piece, so the sums are exact afterwards.
        drop(self.entered);
        let after = account::class_totals_here();
        let of = |class: Class| after[class as usize] - self.before[class as usize];
        (of(Class::Protocol), of(Class::Io))
    }
}
