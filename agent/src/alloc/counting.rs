//! What each thread has allocated.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

static COUNTING: AtomicBool = AtomicBool::new(false);

/// Switches counting on or off for all threads.
pub(crate) fn set_counting(on: bool) {
    COUNTING.store(on, Ordering::Relaxed);
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

/// One cache line of a thread, so that counting touches one.
#[repr(align(64))]
struct Cells {
    alloc_bytes: Cell<i64>,
    alloc_count: Cell<i64>,
    freed_bytes: Cell<i64>,
    net_peak_bytes: Cell<i64>,
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

#[inline]
fn bytes(size: usize) -> i64 {
    // A layout's size is at most isize::MAX.
    size as i64
}

#[inline]
pub(super) fn on_alloc(size: usize) {
    if COUNTING.load(Ordering::Relaxed) {
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
        });
    }
}

#[inline]
pub(super) fn on_free(size: usize) {
    if COUNTING.load(Ordering::Relaxed) {
        let _ = CELLS.try_with(|cells| {
            cells
                .freed_bytes
                .set(cells.freed_bytes.get().wrapping_add(bytes(size)));
        });
    }
}
