//! Running totals of the owner that is current on a thread: what regions are measured by.

use std::cell::RefCell;

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
    /// Where the [rest](Rest) of it is kept on the thread.
    pub(super) rest: Kept,
}

/// Of what a crossing left behind, what is seldom there.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rest {
    /// Set while somebody takes marks.
    pub(super) stretch: Option<Running>,
    /// What the piece of a call that was under way had spent, if one was.
    pub(super) call_ns: Option<MessageNs>,
}

/// A place among the [`Rests`], counted from 1; 0 where there was nothing to keep.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Kept(u32);

/// The rests of crossings that a thread will come back from, the innermost last. They wait here, and not in the guards:
/// those are moved several times with each crossing.
pub(super) struct Rests(RefCell<Vec<Rest>>);

impl Rests {
    pub(super) const fn new() -> Self {
        Self(RefCell::new(Vec::new()))
    }

    /// Keeps a rest until [`Self::take`]. `grown` is called when that took memory.
    #[inline]
    pub(super) fn keep(&self, rest: Rest, grown: impl FnOnce()) -> Kept {
        if rest.stretch.is_none() && rest.call_ns.is_none() {
            return Kept::default();
        }
        let mut rests = self.0.borrow_mut();
        if rests.len() == rests.capacity() {
            rests.reserve(8);
            grown();
        }
        rests.push(rest);
        Kept(u32::try_from(rests.len()).unwrap_or(0))
    }

    /// What was kept there. Whatever was kept after it has no use any more.
    #[inline]
    pub(super) fn take(&self, kept: Kept) -> Rest {
        let Some(place) = kept.0.checked_sub(1) else {
            return Rest::default();
        };
        let mut rests = self.0.borrow_mut();
        let place = place as usize;
        let rest = rests.get(place).copied().unwrap_or_default();
        rests.truncate(place);
        rest
    }
}

/// Books the piece since the last reading to the current account and returns the running totals of its owner.
/// `None` without a current account and while nothing is measured.
pub(crate) fn mark() -> Option<Mark> {
    super::thread::mark()
}
