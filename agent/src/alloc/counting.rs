//! What each thread has allocated, and when its next allocation is a sample.

use std::cell::Cell;
use std::sync::atomic::{AtomicU8, Ordering};

use super::{live, sampling};

/// What is done at an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Mode {
    /// Nothing, until `init`.
    Inert = 0,
    /// Threads count what they allocate and free.
    Counting = 1,
    /// They count, some allocations are samples, and freed addresses are looked up among them.
    Sampling = 2,
}

/// A [`Mode`].
static MODE: AtomicU8 = AtomicU8::new(Mode::Inert as u8);

/// Switches counting on or off for all threads. Sampling ends in either case.
pub(crate) fn set_counting(on: bool) {
    set(if on { Mode::Counting } else { Mode::Inert });
}

/// Sets the mode for all threads.
///
/// It is one word: whoever frees an allocation that was sampled came to know of it after it was made, so it sees
/// the mode that made it a sample, or a later one.
pub(super) fn set(mode: Mode) {
    MODE.store(mode as u8, Ordering::SeqCst);
}

/// Whether some allocations are samples.
#[inline]
pub(super) fn is_sampling() -> bool {
    is(Mode::Sampling)
}

#[inline]
pub(super) fn is(mode: Mode) -> bool {
    MODE.load(Ordering::Relaxed) == mode as u8
}

/// What one thread has allocated since it started, while counting was on. Nothing here ever falls but the
/// peak, which [`restart_peak`] brings down to the balance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Bytes allocated.
    pub(crate) alloc_bytes: i64,
    /// Number of allocations.
    pub(crate) alloc_count: i64,
    /// Bytes freed.
    pub(crate) freed_bytes: i64,
    /// The largest balance since the peak was restarted.
    pub(crate) net_peak_bytes: i64,
}

impl Counts {
    /// Nothing yet.
    pub(crate) const NONE: Self = Self {
        alloc_bytes: 0,
        alloc_count: 0,
        freed_bytes: 0,
        net_peak_bytes: 0,
    };

    /// Allocated minus freed bytes: negative on a thread that frees what others allocate.
    pub(crate) fn net_bytes(&self) -> i64 {
        self.alloc_bytes - self.freed_bytes
    }
}

/// The state of one thread: one cache line, so that an allocation touches one.
///
/// What is compared at an allocation counts down to zero, so that one subtraction both counts and compares; the
/// balance and the bytes freed follow from how far it is below its peak, so that a free is one addition.
#[repr(align(64))]
pub(super) struct Cells {
    alloc_bytes: Cell<i64>,
    alloc_count: Cell<i64>,
    /// How far the balance is below its peak. Below zero only on the way to a new peak.
    below_peak: Cell<i64>,
    net_peak_bytes: Cell<i64>,
    /// Bytes to allocate, while there is sampling, until an allocation is a sample. Below zero only then.
    pub(super) until: Cell<i64>,
    /// State of the thread's random numbers; 0 before its first draw.
    pub(super) random: Cell<u64>,
    /// To whom samples belong.
    pub(super) owner: Cell<u32>,
}

impl Cells {
    /// A thread that has not allocated yet.
    pub(super) const fn new() -> Self {
        Self {
            alloc_bytes: Cell::new(0),
            alloc_count: Cell::new(0),
            below_peak: Cell::new(0),
            net_peak_bytes: Cell::new(0),
            until: Cell::new(0),
            random: Cell::new(0),
            owner: Cell::new(0),
        }
    }

    /// Whether an allocation of this size reaches the next point of the sampling.
    #[inline]
    pub(super) fn reaches(&self, size: usize) -> bool {
        count_down(&self.until, bytes(size)) < 0
    }

    #[inline]
    fn counts(&self) -> Counts {
        let alloc_bytes = self.alloc_bytes.get();
        let net_peak_bytes = self.net_peak_bytes.get();
        let net = net_peak_bytes.wrapping_sub(self.below_peak.get());
        Counts {
            alloc_bytes,
            alloc_count: self.alloc_count.get(),
            freed_bytes: alloc_bytes.wrapping_sub(net),
            net_peak_bytes,
        }
    }

    #[inline]
    fn count(&self, size: usize) {
        let size = bytes(size);
        self.alloc_bytes
            .set(self.alloc_bytes.get().wrapping_add(size));
        self.alloc_count.set(self.alloc_count.get().wrapping_add(1));
        if count_down(&self.below_peak, size) < 0 {
            self.restart_peak();
        }
    }

    /// Makes the present balance the peak.
    #[inline]
    fn restart_peak(&self) {
        let below = self.below_peak.replace(0);
        self.net_peak_bytes
            .set(self.net_peak_bytes.get().wrapping_sub(below));
    }
}

/// Subtracts, and tells what is left.
#[inline]
fn count_down(cell: &Cell<i64>, by: i64) -> i64 {
    let left = cell.get().wrapping_sub(by);
    cell.set(left);
    left
}

thread_local! {
    // Const and without a destructor: it can be used from inside the allocator at any time in a thread's life.
    static CELLS: Cells = const { Cells::new() };
}

/// The counts of this thread.
#[inline]
pub(crate) fn snapshot() -> Counts {
    CELLS.try_with(Cells::counts).unwrap_or_default()
}

/// The counts of this thread; the peak starts anew at the present balance.
#[inline]
pub(crate) fn restart_peak() -> Counts {
    CELLS
        .try_with(|cells| {
            let counts = cells.counts();
            cells.restart_peak();
            counts
        })
        .unwrap_or_default()
}

/// Says to whom what this thread allocates from now on belongs; 0 is nobody.
#[inline]
pub(crate) fn set_owner(owner: u32) {
    let _ = CELLS.try_with(|cells| cells.owner.set(owner));
}

#[inline]
fn bytes(size: usize) -> i64 {
    // A layout's size is at most isize::MAX.
    size as i64
}

/// An allocation has succeeded. Counting is the case to be fast in.
#[inline]
pub(super) fn on_alloc(ptr: *mut u8, size: usize) {
    let mode = MODE.load(Ordering::Relaxed);
    if mode == Mode::Counting as u8 {
        let _ = CELLS.try_with(|cells| cells.count(size));
    } else if mode == Mode::Sampling as u8 {
        on_alloc_sampling(ptr, size);
    }
}

#[inline(never)]
fn on_alloc_sampling(ptr: *mut u8, size: usize) {
    let _ = CELLS.try_with(|cells| {
        cells.count(size);
        if cells.reaches(size) {
            sampling::passed(cells, ptr, size);
        }
    });
}

/// An allocation is about to be freed.
#[inline]
pub(super) fn on_free(ptr: *mut u8, size: usize) {
    let mode = MODE.load(Ordering::Relaxed);
    if mode == Mode::Counting as u8 {
        count_freed(size);
    } else if mode == Mode::Sampling as u8 {
        count_freed(size);
        if live::LIVE.may_hold(ptr as u64) {
            freed_sample(ptr);
        }
    }
}

#[cold]
#[inline(never)]
fn freed_sample(ptr: *mut u8) {
    let _ = live::LIVE.remove(ptr as u64);
}

/// An allocation has become one of another size.
#[inline]
pub(super) fn on_realloc(ptr: *mut u8, old_size: usize, new_size: usize) {
    if !is(Mode::Inert) {
        count_freed(old_size);
        on_alloc(ptr, new_size);
    }
}

#[inline]
fn count_freed(size: usize) {
    let _ = CELLS.try_with(|cells| {
        let _ = count_down(&cells.below_peak, -bytes(size));
    });
}

/// Forgets the sample at an address that is about to be moved, if it is one.
#[inline]
pub(super) fn forget(ptr: *mut u8) -> Option<live::Sample> {
    if is(Mode::Sampling) && live::LIVE.may_hold(ptr as u64) {
        live::LIVE.remove(ptr as u64)
    } else {
        None
    }
}
