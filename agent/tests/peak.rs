//! Peak live bytes of a request, for shapes whose peak is known.

#![allow(clippy::unwrap_used)]

mod support;

use std::hint::black_box;
use std::sync::{Barrier, Mutex};

use support::{Ledger, PATIENCE, figure};
use weighbridge_agent::wire::column;
use weighbridge_agent::{Alloc, job, spawn, spawn_blocking};

#[global_allocator]
static ALLOC: Alloc = Alloc::system();

const MIB: usize = 1 << 20;
/// What the request's own machinery holds: its tasks, channels and bill.
const SLACK: usize = 64 << 10;

fn mib(n: usize) -> Vec<u8> {
    black_box(vec![1; n * MIB])
}

static CACHE: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
static BOTH: Barrier = Barrier::new(2);

#[test]
fn peaks_of_known_shapes() {
    let ledger = Ledger::new();
    let agent = weighbridge_agent::builder()
        .service("peaks")
        .sink(ledger.clone())
        .try_init()
        .unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    runtime.block_on(async {
        job("larger second", async {
            drop(mib(1));
            drop(mib(2));
        })
        .await;
        job("larger first", async {
            drop(mib(3));
            drop(mib(1));
        })
        .await;
        job("held over an await", async {
            let held = mib(2);
            tokio::task::yield_now().await;
            drop(mib(3));
            drop(held);
        })
        .await;
        job("grown", async {
            let mut grown: Vec<u8> = Vec::with_capacity(MIB);
            grown.resize(MIB, 1);
            // A realloc is a free and an allocation: never both sizes at once.
            grown.reserve_exact(3 * MIB);
            drop(black_box(grown));
        })
        .await;
        job("in a child that is awaited", async {
            let held = mib(1);
            let child = spawn(async {
                let held = mib(4);
                tokio::task::yield_now().await;
                drop(held);
            });
            child.await.unwrap();
            drop(held);
        })
        .await;
        job("on the blocking pool", async {
            let held = mib(1);
            spawn_blocking(|| drop(mib(2))).await.unwrap();
            drop(held);
        })
        .await;
        job("handed to the request", async {
            let given = spawn_blocking(|| mib(2)).await.unwrap();
            drop(mib(2));
            drop(given);
        })
        .await;
        job("two threads at once", async {
            let on_a_thread = || {
                let held = mib(4);
                // Both hold theirs now.
                BOTH.wait();
                drop(held);
            };
            let (a, b) = (spawn_blocking(on_a_thread), spawn_blocking(on_a_thread));
            a.await.unwrap();
            b.await.unwrap();
        })
        .await;
        job("kept by a cache", async {
            CACHE.lock().unwrap().push(mib(2));
        })
        .await;
        job("frees what others made", async {
            CACHE.lock().unwrap().clear();
            drop(mib(1));
        })
        .await;
        for n in 1..=3 {
            job("three requests", async move { drop(mib(n)) }).await;
        }
    });
    assert!(agent.flush(PATIENCE));
    let peak = |name: &str| {
        let row = ledger.operation(&format!("JOB {name}"), "");
        usize::try_from(figure(&row, column::PEAK_LIVE_BYTES)).unwrap()
    };
    for (name, expected) in [
        ("larger second", 2),
        ("larger first", 3),
        ("held over an await", 5),
        ("grown", 4),
        ("in a child that is awaited", 5),
        ("on the blocking pool", 3),
        ("handed to the request", 4),
        ("kept by a cache", 2),
        // Its balance went down first: what it made afterwards does not show.
        ("frees what others made", 0),
        ("three requests", 3),
    ] {
        let (told, expected) = (peak(name), expected * MIB);
        assert!(
            (expected..expected + SLACK).contains(&told),
            "{name}: {told}, expected {expected}"
        );
    }
    // A lower bound: the stays of two threads are added one after the other.
    let told = peak("two threads at once");
    assert!((4 * MIB..8 * MIB + SLACK).contains(&told), "{told}");
    let three = ledger.operation("JOB three requests", "");
    let sum = usize::try_from(figure(&three, column::PEAK_LIVE_SUM_BYTES)).unwrap();
    assert!((6 * MIB..6 * MIB + 3 * SLACK).contains(&sum), "{sum}");
    assert_eq!(figure(&three, column::ENDED), 3);
    agent.shutdown();
}
