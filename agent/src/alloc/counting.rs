//! What each thread has allocated, and when its next allocation is a sample.

use std::cell::Cell;
use std::sync::atomic::{AtomicU8, Ordering};

use super::sampling;

/// Threads count what they allocate and free.
pub(super) const COUNT: u8 = 1;
/// Allocations are sampled.
pub(super) const SAMPLE: u8 = 2;
/// Freed addresses are looked up among the samples. Once set it stays: a sample that is freed unseen would
/// be held for alive.
pub(super) const LOOK: u8 = 4;

/// What is done at an allocation; nothing until `init`.
static MODE: AtomicU8 = AtomicU8::new(0);

/// Switches counting on or off for all threads.
pub(crate) fn set_counting(on: bool) {
    set(COUNT, on);
}

/// Sets or clears bits of the mode. One store for all bits: whoever sees an allocation that was sampled also
/// sees that freed addresses are looked up.
pub(super) fn set(bits: u8, on: bool) {
    if on {
        MODE.fetch_or(bits, Ordering::SeqCst);
    } else {
        MODE.fetch_and(!bits, Ordering::SeqCst);
    }
}

#[inline]
pub(super) fn mode() -> u8 {
    MODE.load(Ordering::Relaxed)
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
#[repr(align(64))]
pub(super) struct Cells {
    alloc_bytes: Cell<i64>,
    alloc_count: Cell<i64>,
    freed_bytes: Cell<i64>,
    net_peak_bytes: Cell<i64>,
    /// The byte, counted as `alloc_bytes` is, whose allocation is the next sample.
    pub(super) next_sample: Cell<i64>,
    /// State of the thread's random numbers; 0 until the first draw.
    pub(super) random: Cell<u64>,
    /// To whom samples belong.
    pub(super) owner: Cell<u32>,
}

impl Cells {
    fn counts(&self) -> Counts {
        Counts {
            alloc_bytes: self.alloc_bytes.get(),
            alloc_count: self.alloc_count.get(),
            freed_bytes: self.freed_bytes.get(),
            net_peak_bytes: self.net_peak_bytes.get(),
        }
    }
}

thread_local! {
    // Const and without a destructor: it can be used from inside the allocator at any time in a thread's life.
    static CELLS: Cells = const {
        Cells {
            alloc_bytes: Cell::new(0),
            alloc_count: Cell::new(0),
            freed_bytes: Cell::new(0),
            net_peak_bytes: Cell::new(0),
            next_sample: Cell::new(0),
            random: Cell::new(0),
            owner: Cell::new(0),
        }
    };
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
            cells.net_peak_bytes.set(counts.net_bytes());
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

/// An allocation has succeeded.
#[inline]
pub(super) fn on_alloc(ptr: *mut u8, size: usize) {
    let mode = mode();
    if mode & COUNT != 0 {
        let _ = CELLS.try_with(|cells| {
            let allocated = cells.alloc_bytes.get().wrapping_add(bytes(size));
            cells.alloc_bytes.set(allocated);
            cells
                .alloc_count
                .set(cells.alloc_count.get().wrapping_add(1));
            let net = allocated.wrapping_sub(cells.freed_bytes.get());
            if net > cells.net_peak_bytes.get() {
                cells.net_peak_bytes.set(net);
            }
            if mode & SAMPLE != 0 && cells.next_sample.get() < allocated {
                sampling::passed(cells, ptr, size, allocated);
            }
        });
    }
}

/// An allocation is about to be freed, or was moved.
#[inline]
pub(super) fn on_free(size: usize) {
    if mode() & COUNT != 0 {
        let _ = CELLS.try_with(|cells| {
            cells
                .freed_bytes
                .set(cells.freed_bytes.get().wrapping_add(bytes(size)));
        });
    }
}
