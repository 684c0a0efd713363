//! For this project's own benches: a loop that only allocates and frees, and the modes of the wrapper.

use std::alloc::{GlobalAlloc, Layout};
use std::hint::black_box;

use super::{RETAINED_MEAN_BYTES, set_counting, start_sampling};

/// What [`Alloc`](super::Alloc) does besides allocating.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllocMode {
    /// Nothing, as before `init`.
    Inert,
    /// It counts.
    Counting,
    /// It counts, and samples what is retained.
    Sampling,
}

/// Sets the mode for all threads. Samples before are forgotten.
pub fn set_alloc_mode(mode: AllocMode) {
    match mode {
        AllocMode::Inert => set_counting(false),
        AllocMode::Counting => set_counting(true),
        AllocMode::Sampling => start_sampling(RETAINED_MEAN_BYTES, 1),
    }
}

/// Allocates one block of each size and frees them in the same order, `rounds` times. Blocks that cannot be
/// allocated are left out. The calls are inlined, of the bare allocator and of the wrapper alike.
pub fn allocate_and_free<A: GlobalAlloc>(alloc: &A, sizes: &[usize], rounds: usize) {
    const HELD_MAX: usize = 64;
    let mut held = [(std::ptr::null_mut(), 0); HELD_MAX];
    for _ in 0..rounds {
        for (held, size) in held.iter_mut().zip(sizes) {
            *held = (allocate(alloc, *size), *size);
        }
        for (ptr, size) in held.iter().take(sizes.len()) {
            // SAFETY: allocated above by the same allocator for this size, and freed once.
            unsafe { free(alloc, *ptr, *size) };
        }
    }
}

/// # Safety
/// `size` is at most `isize::MAX` − 7.
unsafe fn layout(size: usize) -> Layout {
    // SAFETY: 8 is a power of two, and the size is bounded by this function's contract.
    unsafe { Layout::from_size_align_unchecked(size, 8) }
}

#[inline(always)]
fn allocate<A: GlobalAlloc>(alloc: &A, size: usize) -> *mut u8 {
    if size == 0 || size > 1 << 30 {
        return std::ptr::null_mut();
    }
    // SAFETY: the size is not zero, and bounded. Hidden, or the compiler drops pairs of calls to `malloc`.
    black_box(unsafe { alloc.alloc(layout(size)) })
}

/// # Safety
/// `ptr` is null, or came from `allocate` for this size and was not freed since.
#[inline(always)]
unsafe fn free<A: GlobalAlloc>(alloc: &A, ptr: *mut u8, size: usize) {
    if !ptr.is_null() {
        // SAFETY: by this function's contract.
        unsafe { alloc.dealloc(ptr, layout(size)) };
    }
}
