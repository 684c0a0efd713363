//! What was refused stands in rows once, also when the disk fails while it is told.

use super::*;
use crate::join::{Counts, Failed};
use crate::otlp::derive::Tally;
use crate::otlp::{Outcome, Signal};
use crate::testing::losses::{Lost, expected, lost};

#[tokio::test]
async fn whatever_is_lost_is_told_by_kind_to_whose_it_was() {
    let metrics = Metrics::new();
    let store = Arc::new(MemoryStore::new(1_000));
    let engine = Engine::start(store, limits(), clock(), metrics.clone()).unwrap();
    let (shop, other): (Arc<str>, Arc<str>) = ("shop".into(), "other".into());
    let outcome = Outcome {
        tally: Tally {
            too_old: 3,
            too_many: 2,
            ..Tally::default()
        },
        is_repeated: false,
    };
    metrics.otlp.taken(&shop, Signal::Metrics, &outcome);
    metrics
        .otlp
        .refused(&shop, Signal::Traces, &Refusal::QueueFull);
    let failed = Failed {
        unjoined: 4,
        given_up: 5,
        unnamed: 8,
        skewed: 6,
    };
    let counts = Counts {
        joined: 9,
        failed: [(other.clone(), failed)].into(),
    };
    metrics.otlp.joins(&counts, 7);
    metrics.refused(&other, "too_old");
    engine.fold_now().await.unwrap();
    assert_eq!(
        lost(&engine, "shop"),
        expected(&[
            ("collector.otlp: points rejected: too_many", 2),
            ("collector.otlp: points rejected: too_old", 3),
            (
                "collector.otlp: requests of traces refused for now: queue_full",
                1
            ),
        ])
    );
    assert_eq!(
        lost(&engine, "other"),
        expected(&[
            (
                "collector.otlp: calls whose ends contradict each other's clocks",
                6
            ),
            (
                "collector.otlp: halves of calls given up because too many waited",
                5
            ),
            (
                "collector.otlp: halves of calls not joined because there are too many names",
                8
            ),
            (
                "collector.otlp: halves of calls whose other half did not come",
                4
            ),
            ("collector.refused: too_old", 1),
        ])
    );
    assert_eq!(lost(&engine, ""), Lost::new());
}

/// The disk fails after so many changes while one loss is told, and works again. Returns what is told in the end, also by
/// the next process.
async fn told_through_a_failure(changes: u32) -> [Lost; 2] {
    let disk = Disk::default();
    let open = || on_disk(&disk);
    let metrics = Metrics::new();
    let engine = Engine::start(open(), limits(), clock(), metrics.clone()).unwrap();
    metrics.refused(&"shop".into(), "malformed");
    engine.fold_now().await.unwrap();
    metrics.refused(&"shop".into(), "malformed");
    disk.fail_after(changes);
    // Whether it works or not.
    let _ = engine.fold_now().await;
    disk.repair();
    metrics.refused(&"shop".into(), "malformed");
    // The thread that adds minutes up may have met the failing disk too.
    while engine.fold_now().await.is_err() {
        eventually("the store is opened again", || engine.is_healthy()).await;
    }
    let told = lost(&engine, "shop");
    engine.stop();
    disk.cut_power(0);
    [told, lost(&start(open()), "shop")]
}

#[tokio::test]
async fn losses_are_told_once_wherever_the_disk_fails_meanwhile() {
    let mut waiting = tokio::task::JoinSet::new();
    for changes in 0..24 {
        waiting.spawn(async move { (changes, told_through_a_failure(changes).await) });
    }
    let mut outcomes = 0;
    while let Some(outcome) = waiting.join_next().await {
        let (changes, told) = outcome.unwrap();
        let all = expected(&[("collector.refused: malformed", 3)]);
        assert_eq!(told, [all.clone(), all], "after {changes}");
        outcomes += 1;
    }
    assert_eq!(outcomes, 24);
}
