//! The counting allocator.
//!
//! Counts are kept per thread in plain cells, so an allocation costs no shared memory traffic. The wrapper
//! never allocates, locks, logs or panics, and is silent once a thread's storage is gone.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

static COUNTING: AtomicBool = AtomicBool::new(false);

/// Switches counting on or off for all threads.
pub(crate) fn set_counting(on: bool) {
    COUNTING.store(on, Ordering::Relaxed);
}

/// What one thread has allocated since it started, and its balance since the last [`take`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Bytes allocated.
    pub(crate) alloc_bytes: i64,
    /// Number of allocations.
    pub(crate) alloc_count: i64,
    /// Bytes freed.
    pub(crate) freed_bytes: i64,
    /// Allocated minus freed bytes.
    pub(crate) net_bytes: i64,
    /// The largest balance on the way, at least 0.
    pub(crate) net_max_bytes: i64,
}

struct Cells {
    alloc_bytes: Cell<i64>,
    alloc_count: Cell<i64>,
    freed_bytes: Cell<i64>,
    net_max_bytes: Cell<i64>,
}

thread_local! {
    // Const and without a destructor: it can be used from inside the allocator at any time in a thread's life.
    static CELLS: Cells = const {
        Cells {
            alloc_bytes: Cell::new(0),
            alloc_count: Cell::new(0),
            freed_bytes: Cell::new(0),
            net_max_bytes: Cell::new(0),
        }
    };
}

/// Takes what was counted on this thread since the last call, and starts at zero.
#[inline]
pub(crate) fn take() -> Counts {
    CELLS
        .try_with(|cells| {
            let alloc_bytes = cells.alloc_bytes.replace(0);
            let freed_bytes = cells.freed_bytes.replace(0);
            Counts {
                alloc_bytes,
                alloc_count: cells.alloc_count.replace(0),
                freed_bytes,
                net_bytes: alloc_bytes - freed_bytes,
                net_max_bytes: cells.net_max_bytes.replace(0),
            }
        })
        .unwrap_or_default()
}

#[inline]
fn bytes(size: usize) -> i64 {
    // A layout's size is at most isize::MAX.
    size as i64
}

#[inline]
fn on_alloc(size: usize) {
    if COUNTING.load(Ordering::Relaxed) {
        let _ = CELLS.try_with(|cells| {
            let allocated = cells.alloc_bytes.get().wrapping_add(bytes(size));
            cells.alloc_bytes.set(allocated);
            cells
                .alloc_count
                .set(cells.alloc_count.get().wrapping_add(1));
            let net = allocated.wrapping_sub(cells.freed_bytes.get());
            if net > cells.net_max_bytes.get() {
                cells.net_max_bytes.set(net);
            }
        });
    }
}

#[inline]
fn on_free(size: usize) {
    if COUNTING.load(Ordering::Relaxed) {
        let _ = CELLS.try_with(|cells| {
            cells
                .freed_bytes
                .set(cells.freed_bytes.get().wrapping_add(bytes(size)));
        });
    }
}

/// An allocator that counts for the agent and otherwise is the one it wraps.
///
/// Inert until [`init`](crate::init): one relaxed load per call. After that it keeps, per thread, bytes
/// allocated, bytes freed and the number of allocations. `realloc` is forwarded and counted as a free of the
/// old size and an allocation of the new one; `alloc_zeroed` is forwarded, so zero pages stay lazy.
///
/// ```
/// #[global_allocator]
/// static ALLOC: weighbridge_agent::Alloc = weighbridge_agent::Alloc::system();
/// # fn main() {}
/// ```
#[derive(Debug)]
pub struct Alloc<A = System> {
    inner: A,
}

impl Alloc<System> {
    /// Counts for the system's allocator.
    #[must_use]
    pub const fn system() -> Self {
        Self { inner: System }
    }
}

impl<A> Alloc<A> {
    /// Counts for any allocator, e.g. mimalloc's or jemalloc's.
    #[must_use]
    pub const fn new(inner: A) -> Self {
        Self { inner }
    }
}

// SAFETY: every call is passed on unchanged to the wrapped allocator, whose contract is thereby kept; the
// counting before or after it touches only this thread's cells and can neither unwind nor allocate.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Alloc<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps `alloc`'s contract, which is the same for the wrapped allocator.
        let ptr = unsafe { self.inner.alloc(layout) };
        if !ptr.is_null() {
            on_alloc(layout.size());
        }
        ptr
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        on_free(layout.size());
        // SAFETY: the caller got `ptr` from this allocator with this layout, so the wrapped one made it.
        unsafe { self.inner.dealloc(ptr, layout) };
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as for `alloc`.
        let ptr = unsafe { self.inner.alloc_zeroed(layout) };
        if !ptr.is_null() {
            on_alloc(layout.size());
        }
        ptr
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller got `ptr` from this allocator with this layout and keeps `realloc`'s contract.
        let new = unsafe { self.inner.realloc(ptr, layout, new_size) };
        if !new.is_null() {
            on_free(layout.size());
            on_alloc(new_size);
        }
        new
    }
}
