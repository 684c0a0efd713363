//! The counting allocator.
//!
//! Counts are kept per thread in plain cells of one cache line, so an allocation costs no shared memory
//! traffic. The wrapper never allocates, locks, logs or panics, and works in a thread's last destructors too:
//! its storage has none of its own.

#![allow(unsafe_code)]

#[cfg(feature = "bench")]
pub(crate) mod bench;
mod counting;
mod live;
mod retained;
mod sampling;

use std::alloc::{GlobalAlloc, Layout, System};

pub(crate) use counting::{Counts, restart_peak, set_counting, set_owner, snapshot};
pub use live::RETAINED_SAMPLES_MAX;
pub(crate) use retained::{Holder, Retained, retained};
pub(crate) use sampling::{Estimate, start as start_sampling};
pub use sampling::{RETAINED_MEAN_BYTES, RETAINED_MEAN_BYTES_MAX, RETAINED_MEAN_BYTES_MIN};

use counting::{forget, is_sampling, on_alloc, on_free, on_realloc};
use live::LIVE;

/// Whether [`Alloc`] is the process's allocator: told by an allocation, while counting is on.
pub(crate) fn is_installed() -> bool {
    let before = snapshot().alloc_count;
    drop(std::hint::black_box(Box::new(0_u8)));
    snapshot().alloc_count != before
}

/// An allocator that counts for the agent and otherwise is the one it wraps.
///
/// Inert until [`init`](crate::init): one relaxed load per call. After that it keeps, per thread, bytes
/// allocated, bytes freed and the number of allocations. `realloc` is forwarded and counted as a free of the
/// old size and an allocation of the new one; `alloc_zeroed` is forwarded, so zero pages stay lazy. An
/// allocation that fails is passed on as null, and counts nothing.
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
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let ptr = if is_plain(layout) {
            // SAFETY: the caller keeps `alloc`'s contract, which is the same for the wrapped allocator.
            unsafe { self.inner.alloc(layout) }
        } else {
            // SAFETY: as above.
            unsafe { self.alloc_aligned(layout) }
        };
        if !ptr.is_null() {
            on_alloc(ptr, layout.size());
        }
        ptr
    }

    #[inline]
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        on_free(ptr, layout.size());
        // SAFETY: the caller got `ptr` from this allocator with this layout, so the wrapped one made it.
        unsafe { self.inner.dealloc(ptr, layout) };
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as for `alloc`.
        let ptr = unsafe { self.inner.alloc_zeroed(layout) };
        if !ptr.is_null() {
            on_alloc(ptr, layout.size());
        }
        ptr
    }

    #[inline]
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if is_sampling() {
            // SAFETY: the caller keeps `realloc`'s contract.
            return unsafe { self.realloc_sampling(ptr, layout, new_size) };
        }
        // SAFETY: the caller got `ptr` from this allocator with this layout and keeps `realloc`'s contract.
        let new = unsafe { self.inner.realloc(ptr, layout, new_size) };
        if !new.is_null() {
            on_realloc(new, layout.size(), new_size);
        }
        new
    }
}

/// True where the system's allocator calls `malloc` and nothing else.
#[inline]
fn is_plain(layout: Layout) -> bool {
    const MALLOC_ALIGN: usize = 16;
    layout.align() <= MALLOC_ALIGN && layout.align() <= layout.size()
}

impl<A: GlobalAlloc> Alloc<A> {
    /// Apart, so that the common path needs no room on the stack.
    ///
    /// # Safety
    /// As for `alloc`.
    #[cold]
    #[inline(never)]
    unsafe fn alloc_aligned(&self, layout: Layout) -> *mut u8 {
        // SAFETY: by this function's contract.
        unsafe { self.inner.alloc(layout) }
    }

    /// # Safety
    /// As for `realloc`.
    #[cold]
    #[inline(never)]
    unsafe fn realloc_sampling(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // Before, because once it is moved the old address can be somebody else's.
        let sample = forget(ptr);
        // SAFETY: by this function's contract.
        let new = unsafe { self.inner.realloc(ptr, layout, new_size) };
        if !new.is_null() {
            on_realloc(new, layout.size(), new_size);
        } else if let Some(sample) = sample {
            LIVE.insert(ptr as u64, sample);
        }
        new
    }
}

#[cfg(test)]
mod tests;
