//! Retained bytes: who holds what, found by sampling, against sets that the test knows.

#![allow(clippy::unwrap_used)]

mod support;

use std::hint::black_box;
use std::sync::{Arc, Mutex};

use support::{Ledger, PATIENCE, assert_conserved, figure};
use weighbridge_agent::wire::{Delta, DistributionKey, Quality, RowKind, RowValue, column};
use weighbridge_agent::{Alloc, background, class, job};

#[global_allocator]
static ALLOC: Alloc = Alloc::system();

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
/// The densest: the estimates below are then good to a few per cent.
const MEAN_BYTES: usize = 16 * KIB;

type Held = Vec<Box<[u8]>>;

/// What operations leave behind.
static HELD: Mutex<Vec<(&str, Held)>> = Mutex::new(Vec::new());

fn hold(name: &'static str, held: Held) {
    HELD.lock().unwrap().push((name, held));
}

fn pieces(count: usize, size: usize) -> Held {
    (0..count)
        .map(|_| black_box(vec![1; size].into_boxed_slice()))
        .collect()
}

/// The row in which an operation's retained bytes stand in one delta.
fn row(delta: &Delta, operation: &str, class: &str) -> Option<RowValue> {
    delta
        .rows
        .of_kind(RowKind::Distribution)
        .find_map(|(row_key, row)| {
            let key = DistributionKey::read(row_key)?;
            (row_key.quality == Quality::Sampled
                && *key.operation == *operation
                && *key.class == *class)
                .then(|| row.clone())
        })
}

/// The estimate is within five standard errors: wrong in one of two million runs.
fn assert_retains(delta: &Delta, operation: &str, class: &str, expected: usize) {
    let row = row(delta, operation, class).unwrap();
    let expected = i64::try_from(expected).unwrap();
    let told = figure(&row, column::RETAINED_BYTES);
    let error = figure(&row, column::RETAINED_ERROR_SUM_BYTES);
    // What the agent itself keeps for the operation, and the vector of boxes, are small.
    let slack = i64::try_from(200 * KIB).unwrap();
    assert!(
        (told - expected).abs() <= 5 * error + slack,
        "{operation}: {told} ± {error}, holds {expected}"
    );
    assert!(
        expected == 0 || error < expected / 10,
        "{operation}: ± {error}"
    );
    assert_eq!(
        row.get(column::RETAINED_SUM_BYTES),
        Some(told),
        "one window"
    );
    assert_eq!(figure(&row, column::SAMPLES), 1);
    assert_eq!(
        figure(&row, column::RETAINED_MEAN_BYTES),
        i64::try_from(MEAN_BYTES).unwrap()
    );
}

/// Samples that found no room.
fn samples_lost(delta: &Delta) -> i64 {
    delta
        .rows
        .of_kind(RowKind::Loss)
        .filter(|(key, _)| &*key.parts[0] == "agent.retained")
        .map(|(_, row)| figure(row, column::LOST))
        .sum()
}

#[test]
fn what_an_operation_left_behind_is_found_by_sampling() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    // The first agent of the process, since names outlive it and would fill the small table.
    an_operation_that_gave_way_keeps_what_it_left_behind(&runtime);
    let ledger = Ledger::new();
    let agent = weighbridge_agent::builder()
        .service("retains")
        .window(std::time::Duration::from_secs(3_600))
        .retained_mean_bytes(MEAN_BYTES)
        .sink(ledger.clone())
        .try_init()
        .unwrap();
    runtime.block_on(async {
        job("small", async {
            hold("small", pieces(8 * KIB, KIB));
        })
        .await;
        job("large", async {
            hold("large", pieces(20, MIB));
        })
        .await;
        job("frees", async { drop(pieces(8 * KIB, KIB)) }).await;
        job("grows", async {
            let mut all = Vec::new();
            for _ in 0..64 {
                // Each growth is a realloc, in place or not; only the last is alive.
                let mut grown = Vec::new();
                for _ in 0..64 {
                    grown.extend_from_slice(&[1_u8; KIB]);
                }
                all.push(grown.into_boxed_slice());
            }
            hold("grows", all);
        })
        .await;
        job("hands over", async {
            hold("hands over", pieces(4 * KIB, KIB));
        })
        .await;
        job("classed", async {
            class("bulk");
            hold("classed", pieces(4 * KIB, KIB));
        })
        .await;
        background("owner", async {
            hold("owner", pieces(8 * KIB, KIB));
        })
        .await;
    });
    // Freed by a thread that never allocated any of it.
    let mut handed = HELD.lock().unwrap();
    let position = handed
        .iter()
        .position(|(name, _)| *name == "hands over")
        .unwrap();
    let (_, freed) = handed.swap_remove(position);
    drop(handed);
    std::thread::spawn(move || drop(freed)).join().unwrap();

    assert!(agent.flush(PATIENCE));
    let delta = last(&ledger);
    assert_conserved(&delta);
    assert_retains(&delta, "JOB small", "", 8 * MIB);
    assert_retains(&delta, "JOB large", "", 20 * MIB);
    assert_retains(&delta, "JOB grows", "", 4 * MIB);
    assert_retains(&delta, "JOB classed", "bulk", 4 * MIB);
    assert_retains(&delta, "JOB classed", "", 0);
    for gone in ["JOB frees", "JOB hands over"] {
        assert_retains(&delta, gone, "", 0);
    }
    let owner = delta
        .rows
        .of_kind(RowKind::Owner)
        .find(|(key, _)| key.quality == Quality::Sampled && &*key.parts[1] == "owner")
        .map(|(_, row)| figure(row, column::RETAINED_BYTES))
        .unwrap();
    assert!((owner - 8 * MIB as i64).abs() < 2 * MIB as i64, "{owner}");
    // A place with eight neighbours takes no ninth: with some 1 600 samples in 2 048 places that happens in one of three
    // thousand runs.
    assert_eq!(samples_lost(&delta), 0, "the table had room");

    // All is freed: the next window says so, for operations that did nothing in it too.
    HELD.lock().unwrap().clear();
    assert!(agent.flush(PATIENCE));
    let delta = last(&ledger);
    for gone in ["JOB small", "JOB large", "JOB grows"] {
        assert_retains(&delta, gone, "", 0);
    }

    // More than the table holds: what has no room is lost and counted, the rest stays right.
    runtime.block_on(job("floods", async {
        hold("floods", pieces(32 * KIB, 16 * KIB));
    }));
    assert!(agent.flush(PATIENCE));
    let delta = last(&ledger);
    let lost = samples_lost(&delta);
    let expected = 32.0 * 1024.0 * (1.0 - (-1.0_f64).exp());
    let kept = figure(
        &row(&delta, "JOB floods", "").unwrap(),
        column::RETAINED_BYTES,
    ) as f64
        / (16_384.0 / (1.0 - (-1.0_f64).exp()));
    assert!(lost > 0);
    assert!(
        (kept + lost as f64 - expected).abs() < 0.05 * expected,
        "{kept:.0} kept, {lost} lost of {expected:.0}"
    );
    agent.shutdown();
}

const HEAVY: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];

/// Idle, it loses its place to heavier ones; its number, which its samples bear, must not become another's.
fn an_operation_that_gave_way_keeps_what_it_left_behind(runtime: &tokio::runtime::Runtime) {
    let ledger = Ledger::new();
    let agent = weighbridge_agent::builder()
        .service("gives way")
        .window(std::time::Duration::from_secs(3_600))
        .retained_mean_bytes(MEAN_BYTES)
        .operations_max(4)
        .sink(ledger.clone())
        .try_init()
        .unwrap();
    let leaves = |bytes| {
        runtime.block_on(job("leaves", async move {
            support::burn(std::time::Duration::from_millis(if bytes > 0 {
                0
            } else {
                10
            }));
            hold("leaves", pieces(bytes / KIB, KIB));
        }));
    };
    leaves(8 * MIB);
    let mut owned = 0;
    for name in HEAVY {
        // Some windows each: a heavy newcomer first shows itself, then gets a place, and is in it.
        for window in 0..4 {
            runtime.block_on(job(name, async {
                support::burn(std::time::Duration::from_millis(3));
            }));
            assert!(agent.flush(PATIENCE));
            let delta = last(&ledger);
            assert_retains(&delta, "JOB leaves", "", 8 * MIB);
            let others = others_retain(&delta, "JOB leaves");
            assert!(others < MIB as i64, "{others} in window {window} of {name}");
            owned += usize::from(row(&delta, &format!("JOB {name}"), "").is_some());
        }
    }
    assert!(
        owned > HEAVY.len(),
        "heavy ones had places of their own: {owned}"
    );
    // Back again, under another number: one name, one figure.
    for _ in 0..4 {
        leaves(0);
        assert!(agent.flush(PATIENCE));
    }
    leaves(4 * MIB);
    assert!(agent.flush(PATIENCE));
    assert_retains(&last(&ledger), "JOB leaves", "", 12 * MIB);
    HELD.lock().unwrap().clear();
    agent.shutdown();
}

/// Retained bytes of all operations but one.
fn others_retain(delta: &Delta, operation: &str) -> i64 {
    delta
        .rows
        .of_kind(RowKind::Distribution)
        .filter(|(key, _)| key.quality == Quality::Sampled)
        .filter(|(key, _)| {
            DistributionKey::read(key).is_some_and(|key| *key.operation != *operation)
        })
        .map(|(_, row)| figure(row, column::RETAINED_BYTES))
        .sum()
}

fn last(ledger: &Arc<Ledger>) -> Delta {
    ledger.deltas().pop().unwrap()
}
