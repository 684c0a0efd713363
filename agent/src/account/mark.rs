//! Running totals of the owner that is current on a thread: what regions are measured by.

use super::Account;
use super::calls::MessageNs;
use crate::alloc;

/// What a thread has spent for its current owner, from some zero point on: only differences of two marks of
/// one stretch mean something. What other owners spent that were entered and left in between is not in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) cpu_ns: i64,
    pub(crate) alloc_bytes: i64,
    pub(crate) alloc_count: i64,
}

impl Totals {
    /// Nothing.
    pub(crate) const NONE: Self = Self {
        cpu_ns: 0,
        alloc_bytes: 0,
        alloc_count: 0,
    };

    pub(super) fn new(cpu_ns: i64, counts: alloc::Counts) -> Self {
        Self {
            cpu_ns,
            alloc_bytes: counts.alloc_bytes,
            alloc_count: counts.alloc_count,
        }
    }

    /// What was spent since the earlier mark.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            cpu_ns: self.cpu_ns - earlier.cpu_ns,
            alloc_bytes: self.alloc_bytes - earlier.alloc_bytes,
            alloc_count: self.alloc_count - earlier.alloc_count,
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.cpu_ns += other.cpu_ns;
        self.alloc_bytes += other.alloc_bytes;
        self.alloc_count += other.alloc_count;
    }
}

/// A reading taken in the middle of an owner's stretch: the time from one entering of an owner on a thread to
/// its leaving. Stretches nest, and one that begins later on the same thread has the larger number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    pub(crate) stretch: u64,
    pub(crate) totals: Totals,
}

/// How far a stretch has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Running {
    pub(super) stretch: u64,
    pub(super) totals: Totals,
}

/// What a crossing left behind.
#[derive(Debug, Default)]
pub(super) struct Left {
    pub(super) account: Option<Account>,
    /// Set when the owner changed.
    pub(super) stretch: Option<Running>,
    /// What the piece of a call that was under way had spent, if one was.
    pub(super) call_ns: Option<MessageNs>,
}

/// Books the piece since the last reading to the current account and returns the running totals of its owner.
/// `None` without a current account and while nothing is measured.
pub(crate) fn mark() -> Option<Mark> {
    super::thread::mark()
}
