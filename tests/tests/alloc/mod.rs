//! The agent's allocator as the global one, over whatever the binary names: what it counts is what was
//! allocated, to the byte, and the same over each allocator, since requested sizes are counted.
//!
//! Expected figures come from programs whose allocations are known; what the agent allocates itself is the
//! same with and without them, so each figure is a difference to an empty run.

use std::hint::black_box;
use std::time::Duration;

use weighbridge_tests::CaptureSink;
use weighbridge_wire::{OperationKey, OwnerKey, Quality, RowSet, RowValue, column};

const KIB: i64 = 1 << 10;
const MIB: i64 = 1 << 20;

/// One after the other in one test: they share the process's agent.
pub(crate) fn allocations_are_counted_to_the_byte() {
    let sink = CaptureSink::new();
    let runtime = weighbridge_agent::runtime()
        .worker_threads(2)
        .build()
        .expect("a runtime starts");
    let agent = weighbridge_agent::builder()
        .service("alloc")
        .window(Duration::from_secs(3_600))
        .retained_mean_bytes(16 << 10)
        .sink(sink.clone())
        .init();

    runtime.block_on(async {
        // Each name once as a warm-up, so that tables that grow at first sight have grown.
        for round in ["warm", ""] {
            for (name, body) in BODIES {
                let name: &'static str = if round.is_empty() { name } else { "warm-up" };
                weighbridge_agent::spawn(weighbridge_agent::background(
                    name,
                    async move { body() },
                ))
                .await
                .expect("the body does not panic");
            }
        }
        weighbridge_agent::job("peak", async {
            drop(black_box(vec![1_u8; 3 << 20]));
            let both = (
                black_box(vec![1_u8; 1 << 20]),
                black_box(vec![1_u8; 1 << 20]),
            );
            tokio::task::yield_now().await;
            drop(black_box(both));
        })
        .await;
    });
    drop(runtime);
    assert!(
        agent.flush(Duration::from_secs(20)),
        "the sink takes everything"
    );
    let rows = sink.rows("alloc");

    let empty = figures(&rows, "empty");
    let more = |name| {
        let figures = figures(&rows, name);
        [0, 1, 2].map(|n: usize| figures[n] - empty[n])
    };
    assert_eq!(
        more("plain"),
        [1_000 * KIB, 1_000, 1_000 * KIB],
        "allocated bytes, count, freed bytes"
    );
    assert_eq!(more("zeroed"), [10 * MIB, 10, 10 * MIB]);
    // Growing in place or not: a realloc frees the old size and allocates the new one.
    assert_eq!(more("grown"), [3 * MIB, 2, 3 * MIB]);
    // Freed on another thread: the bytes that left are booked where they are freed.
    assert_eq!(more("given away")[0], MIB);
    assert_eq!(more("given away")[2], 0);
    assert_eq!(more("aligned"), [4_096, 1, 4_096]);

    let job = rows
        .iter()
        .find(|(key, _)| OperationKey::read(key).is_some_and(|key| &*key.operation == "JOB peak"))
        .map(|(_, value)| value.clone())
        .expect("the job has a row");
    let peak = job.get(column::PEAK_LIVE_BYTES).expect("the peak is known");
    assert!(
        (3 * MIB..3 * MIB + 64 * KIB).contains(&peak),
        "peak live bytes: {peak}"
    );
    assert!(job.get(column::ALLOC_BYTES) >= Some(5 * MIB));

    // What was given away is alive, and large enough to be a sample for certain.
    let retained: i64 = rows
        .iter()
        .filter(|(key, _)| key.quality == Quality::Sampled)
        .filter(|(key, _)| OwnerKey::read(key).is_some_and(|key| &*key.name == "given away"))
        .filter_map(|(_, row)| row.get(column::RETAINED_BYTES))
        .sum();
    assert!(
        (MIB..MIB + 256 * KIB).contains(&retained),
        "retained: {retained}"
    );
}

type Body = fn();

const BODIES: [(&str, Body); 6] = [
    ("empty", || ()),
    ("plain", || {
        for _ in 0..1_000 {
            drop(black_box(Vec::<u8>::with_capacity(1 << 10)));
        }
    }),
    ("zeroed", || {
        for _ in 0..10 {
            drop(black_box(vec![0_u8; 1 << 20]));
        }
    }),
    ("grown", || {
        let mut grown = black_box(Vec::<u8>::with_capacity(1 << 20));
        grown.extend_from_slice(&[1; 10]);
        grown.reserve_exact((2 << 20) - 10);
        drop(black_box(grown));
    }),
    ("given away", || {
        let boxed = black_box(Vec::<u8>::with_capacity(1 << 20));
        GIVEN_AWAY.lock().expect("nobody panics").push(boxed);
    }),
    ("aligned", || {
        #[repr(align(4096))]
        struct Page {
            bytes: [u8; 4096],
        }
        let page = black_box(Box::new(Page {
            bytes: black_box([1; 4096]),
        }));
        assert_eq!(page.bytes[0], 1);
    }),
];

static GIVEN_AWAY: std::sync::Mutex<Vec<Vec<u8>>> = std::sync::Mutex::new(Vec::new());

/// Allocated bytes, allocations, freed bytes of a background owner.
fn figures(rows: &RowSet, name: &str) -> [i64; 3] {
    let row = rows
        .iter()
        .filter(|(key, _)| OwnerKey::read(key).is_some_and(|key| &*key.name == name))
        .fold(RowValue::new(), |mut all, (_, value)| {
            all.merge(value);
            all
        });
    [
        column::ALLOC_BYTES,
        column::ALLOC_COUNT,
        column::FREED_BYTES,
    ]
    .map(|column| {
        row.get(column)
            .unwrap_or_else(|| panic!("{name}: column {column} is absent"))
    })
}
