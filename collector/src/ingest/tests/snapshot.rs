//! Snapshots are taken and restored while deltas come in.

use super::*;

fn open(directory: &tempfile::TempDir) -> Engine {
    start(Arc::new(RedbStore::open(directory.path(), 1_000).unwrap()))
}

#[tokio::test]
async fn a_snapshot_holds_what_was_acknowledged_and_a_restore_brings_it_back() {
    let deltas = pool();
    let directory = tempfile::tempdir().unwrap();
    let engine = open(&directory);
    for delta in &deltas[..6] {
        send(&engine, delta).await.unwrap();
    }
    engine.fold_now().await.unwrap();
    // Three more that are not folded yet.
    for delta in &deltas[6..9] {
        send(&engine, delta).await.unwrap();
    }
    let file = directory.path().join("snapshot");
    engine.snapshot(&file).unwrap();
    let error = engine.snapshot(&file).unwrap_err().to_string();
    assert!(error.contains("exists"), "{error}");
    for delta in &deltas {
        send(&engine, delta).await.unwrap();
    }
    assert_eq!(totals(&engine).0, expected(&deltas));

    // Elsewhere, and here in the place of what came since.
    let other = tempfile::tempdir().unwrap();
    let elsewhere = open(&other);
    let copy = other.path().join("copy");
    std::fs::copy(&file, &copy).unwrap();
    elsewhere.restore(copy).await.unwrap();
    engine.restore(file).await.unwrap();
    for engine in [&engine, &elsewhere] {
        assert_eq!(totals(engine).0, expected(&deltas[..9]));
        // What came since comes again, and what was there is a duplicate.
        for (n, delta) in deltas.iter().enumerate() {
            assert_eq!(send(engine, delta).await.unwrap().duplicate, n < 9, "{n}");
        }
        engine.fold_now().await.unwrap();
        let (found, losses) = totals(engine);
        assert_eq!(found, expected(&deltas));
        assert!(losses.is_empty(), "{losses:?}");
    }
}

#[tokio::test]
async fn what_came_after_the_snapshot_and_does_not_come_again_shows_as_lost() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(&directory);
    let delta = |seq| DeltaSpec::new(1, seq).delta();
    send(&engine, &delta(0)).await.unwrap();
    let file = directory.path().join("snapshot");
    engine.snapshot(&file).unwrap();
    send(&engine, &delta(1)).await.unwrap();
    engine.restore(file).await.unwrap();
    send(&engine, &delta(2)).await.unwrap();
    let (_, losses) = totals(&engine);
    let lost: i64 = losses
        .iter()
        .filter_map(|(_, value)| value.get(column::LOST))
        .sum();
    let lost_cpu_ns: i64 = losses
        .iter()
        .filter_map(|(_, value)| value.get(column::LOST_CPU_NS))
        .sum();
    assert_eq!(
        (lost, lost_cpu_ns),
        (1, DeltaSpec::new(1, 1).total_cpu_ns())
    );
}

#[tokio::test]
async fn a_damaged_snapshot_changes_nothing() {
    let deltas = pool();
    let directory = tempfile::tempdir().unwrap();
    let engine = open(&directory);
    for delta in &deltas {
        send(&engine, delta).await.unwrap();
    }
    let file = directory.path().join("snapshot");
    engine.snapshot(&file).unwrap();
    let whole = std::fs::read(&file).unwrap();
    for (n, keep) in [whole.len() / 2, 5_000, 100, 0].into_iter().enumerate() {
        let damaged = directory.path().join(format!("damaged-{n}"));
        std::fs::write(&damaged, &whole[..keep]).unwrap();
        let outcome = engine.restore(damaged).await;
        // An empty file is an empty database to the engine that stores it, and is no snapshot all the same.
        let error = outcome.expect_err("a part is not a snapshot").to_string();
        assert!(
            error.contains("damaged") || error.contains("cannot use"),
            "{keep}: {error}"
        );
        assert!(engine.is_healthy(), "{keep}");
        assert_eq!(totals(&engine).0, expected(&deltas), "{keep}");
    }
}
