//! The wrapper never comes back into the allocator while it is in it: not when it counts, not when it takes a
//! sample, not in a thread that ends. An allocator around it aborts if it does.

#![allow(clippy::unwrap_used)]
#![allow(unsafe_code)] // the guard is an allocator

mod support;

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use support::{Ledger, PATIENCE};
use weighbridge_agent::{Alloc, background, limits};

/// Around the wrapper: whatever allocates inside it meets the guard a second time.
struct Guard(Alloc);

static CALLS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

fn guarded<R>(call: impl FnOnce() -> R) -> R {
    if INSIDE.replace(true) {
        // Nothing that could allocate, a panic included, is possible here.
        std::process::abort();
    }
    CALLS.fetch_add(1, Ordering::Relaxed);
    let result = call();
    INSIDE.set(false);
    result
}

// SAFETY: every call goes to the wrapper unchanged.
unsafe impl GlobalAlloc for Guard {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract is passed on.
        guarded(|| unsafe { self.0.alloc(layout) })
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: as above.
        guarded(|| unsafe { self.0.dealloc(ptr, layout) });
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        guarded(|| unsafe { self.0.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: as above.
        guarded(|| unsafe { self.0.realloc(ptr, layout, new_size) })
    }
}

#[global_allocator]
static ALLOC: Guard = Guard(Alloc::system());

/// Allocates in the destructors of its thread's storage.
struct Late(Vec<u8>);

impl Drop for Late {
    fn drop(&mut self) {
        let mut more: Vec<Vec<u8>> = Vec::new();
        for n in 0..100 {
            more.push(vec![1; n * 17]);
        }
        self.0.extend_from_slice(&more.concat());
    }
}

thread_local! {
    static LATE: Cell<Option<Late>> = const { Cell::new(None) };
}

#[test]
fn the_wrapper_never_allocates() {
    let agent = weighbridge_agent::builder()
        .service("reentry")
        .retained_mean_bytes(limits::RETAINED_MEAN_BYTES_MIN)
        .sink(Ledger::new())
        .try_init()
        .unwrap();
    let before = CALLS.load(Ordering::Relaxed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    for storm in 0..20 {
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    LATE.set(Some(Late(Vec::new())));
                    let mut kept: Vec<Vec<u8>> = Vec::new();
                    for n in 0..2_000_usize {
                        kept.push(vec![0; n % 700 * (1 + n % 3)]);
                        if n % 3 == 0 {
                            kept.swap_remove(n % kept.len());
                        }
                    }
                });
            }
        });
        runtime.block_on(background("storm", async {
            drop(std::hint::black_box(vec![1_u8; 100 << 10]));
        }));
        if storm % 5 == 0 {
            assert!(agent.flush(PATIENCE));
        }
    }
    assert!(CALLS.load(Ordering::Relaxed) - before > 160 * 2_000);
    agent.shutdown();
}
