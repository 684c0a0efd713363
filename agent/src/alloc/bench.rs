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
/// allocated are left out.
///
/// Each call goes through a function of its own, of the bare allocator and of the wrapper alike: that is what
/// the compiler makes of a program's global allocator, whose methods it inlines into such functions.
pub fn allocate_and_free<A: GlobalAlloc>(alloc: &A, sizes: &[usize], rounds: usize) {
    // Hidden, as the functions' callers are many.
    let align = black_box(ALIGN);
    in_rounds(
        sizes,
        rounds,
        // SAFETY: the size is not zero, and bounded.
        |size| unsafe { allocate(alloc, size, align) },
        // SAFETY: allocated by the same allocator for this size, and freed once.
        |ptr, size| unsafe { free(alloc, ptr, size, align) },
    );
}

/// As [`allocate_and_free`], with the calls inlined into the loop: where a program is built as a whole.
pub fn allocate_and_free_inlined<A: GlobalAlloc>(alloc: &A, sizes: &[usize], rounds: usize) {
    in_rounds(
        sizes,
        rounds,
        // SAFETY: the size is not zero, and bounded.
        |size| unsafe { alloc.alloc(layout(size, ALIGN)) },
        // SAFETY: allocated by the same allocator for this size, and freed once.
        |ptr, size| unsafe { alloc.dealloc(ptr, layout(size, ALIGN)) },
    );
}

const ALIGN: usize = 8;

#[inline(always)]
fn in_rounds(
    sizes: &[usize],
    rounds: usize,
    allocate: impl Fn(usize) -> *mut u8,
    free: impl Fn(*mut u8, usize),
) {
    const HELD_MAX: usize = 64;
    let mut held = [(std::ptr::null_mut(), 0); HELD_MAX];
    for _ in 0..rounds {
        for (held, size) in held.iter_mut().zip(sizes) {
            let ptr = if *size == 0 || *size > 1 << 30 {
                std::ptr::null_mut()
            } else {
                allocate(*size)
            };
            // Hidden, or the compiler drops pairs of calls to `malloc`.
            *held = (black_box(ptr), *size);
        }
        for (ptr, size) in held.iter().take(sizes.len()) {
            if !ptr.is_null() {
                free(*ptr, *size);
            }
        }
    }
}

/// # Safety
/// `size` is at most `isize::MAX` − `align`, and `align` a power of two.
unsafe fn layout(size: usize, align: usize) -> Layout {
    // SAFETY: by this function's contract.
    unsafe { Layout::from_size_align_unchecked(size, align) }
}

/// # Safety
/// As for `layout`, and `size` is not zero.
#[inline(never)]
unsafe fn allocate<A: GlobalAlloc>(alloc: &A, size: usize, align: usize) -> *mut u8 {
    // SAFETY: by this function's contract.
    unsafe { alloc.alloc(layout(size, align)) }
}

/// # Safety
/// `ptr` came from `allocate` for this allocator, size and alignment, and was not freed since.
#[inline(never)]
unsafe fn free<A: GlobalAlloc>(alloc: &A, ptr: *mut u8, size: usize, align: usize) {
    // SAFETY: by this function's contract.
    unsafe { alloc.dealloc(ptr, layout(size, align)) };
}
