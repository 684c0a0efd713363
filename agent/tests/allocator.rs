//! The allocator's counters against an oracle below them.

#![allow(clippy::unwrap_used)]
#![allow(unsafe_code)] // the oracle is an allocator

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use support::{Ledger, PATIENCE, figure};
use weighbridge_agent::wire::column;
use weighbridge_agent::{Alloc, job};

/// Counts on its own, per thread, while it is told to.
struct Oracle;

thread_local! {
    static ON: Cell<bool> = const { Cell::new(false) };
    static ALLOCATED: Cell<i64> = const { Cell::new(0) };
    static ALLOCATIONS: Cell<i64> = const { Cell::new(0) };
    static FREED: Cell<i64> = const { Cell::new(0) };
    static ZEROED: Cell<i64> = const { Cell::new(0) };
    static REALLOCATIONS: Cell<i64> = const { Cell::new(0) };
}

fn add(cell: &'static std::thread::LocalKey<Cell<i64>>, n: usize) {
    if ON.get() {
        cell.set(cell.get() + i64::try_from(n).unwrap_or(i64::MAX));
    }
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Oracle {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(&ALLOCATED, layout.size());
        add(&ALLOCATIONS, 1);
        // SAFETY: the caller's contract is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        add(&FREED, layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add(&ALLOCATED, layout.size());
        add(&ALLOCATIONS, 1);
        add(&ZEROED, 1);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        add(&FREED, layout.size());
        add(&ALLOCATED, new_size);
        add(&ALLOCATIONS, 1);
        add(&REALLOCATIONS, 1);
        // SAFETY: as above.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

#[global_allocator]
static ALLOC: Alloc<Oracle> = Alloc::new(Oracle);

const PEAK_BYTES: usize = 3 << 20;

/// Every way to allocate and free.
fn churn() -> [i64; 3] {
    ON.set(true);
    let mut grown = Vec::new();
    for n in 0..10_000u32 {
        grown.push(n);
    }
    let zeroed = vec![0u8; 1 << 16];
    let boxed: Vec<Box<u64>> = (0..1_000).map(Box::new).collect();
    let mut text = String::new();
    for n in 0..100 {
        text.push_str(&n.to_string());
    }
    text.shrink_to_fit();
    drop((grown, zeroed, boxed, text));
    let peak = vec![1u8; PEAK_BYTES];
    std::hint::black_box(&peak);
    drop(peak);
    ON.set(false);
    assert!(
        ZEROED.get() > 0 && REALLOCATIONS.get() > 0,
        "the special calls are passed on as such"
    );
    [ALLOCATED.get(), ALLOCATIONS.get(), FREED.get()]
}

#[test]
fn what_a_request_allocates_is_counted_to_the_byte() {
    let ledger = Ledger::new();
    let agent = weighbridge_agent::builder()
        .service("allocates")
        .sink(ledger.clone())
        .try_init()
        .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(job("idle", async {}));
    runtime.block_on(job("idle", async {}));
    let oracle = runtime.block_on(job("churn", async { churn() }));
    assert!(agent.flush(PATIENCE));
    let row = ledger.operation("JOB churn", "");
    let idle = ledger.operation("JOB idle", "");
    // What the agent's own bookkeeping allocates inside a request, here that of opening and closing it.
    let own_count = figure(&idle, column::ALLOC_COUNT);
    for (column, expected) in [
        (column::ALLOC_BYTES, oracle[0]),
        (column::ALLOC_COUNT, oracle[1]),
        (column::FREED_BYTES, oracle[2]),
    ] {
        let counted = figure(&row, column);
        let own = figure(&idle, column);
        assert!(counted >= expected, "{column}: {counted} of {expected}");
        assert!(
            counted - expected <= own,
            "{column}: {counted} of {expected}, own {own}"
        );
    }
    assert!(
        own_count < 40,
        "{own_count} allocations of the agent in two requests"
    );
    let peak = figure(&row, column::PEAK_LIVE_BYTES);
    let expected = i64::try_from(PEAK_BYTES).unwrap();
    assert!(peak >= expected && peak < expected + (64 << 10), "{peak}");
    agent.shutdown();
}
