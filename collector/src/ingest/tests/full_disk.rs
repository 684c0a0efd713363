//! A disk that takes no more writes: nothing comes in, and everything that was there is still read.

use super::*;

/// Whatever the change is at which the disk begins to fail, in a commit or in a fold.
#[tokio::test]
async fn a_full_disk_stops_ingest_and_goes_on_serving_reads() {
    let deltas = pool();
    for (fold, fail_after) in [true, false]
        .into_iter()
        .flat_map(|fold| (0..12).map(move |n| (fold, n)))
    {
        let disk = Disk::default();
        let store = {
            let disk = disk.clone();
            RedbStore::open_backend(1_000, move || disk.open()).unwrap()
        };
        let engine = start(Arc::new(store));
        for delta in &deltas[..4] {
            send(&engine, delta).await.unwrap();
        }
        engine.fold_now().await.unwrap();
        for delta in &deltas[4..8] {
            send(&engine, delta).await.unwrap();
        }
        disk.fail_after(fail_after);
        let failed = if fold {
            engine.fold_now().await.is_err()
        } else {
            send(&engine, &deltas[8]).await.is_err()
        };
        let case = format!("fold {fold}, fails after {fail_after} changes");
        if !failed {
            assert!(fail_after > 4, "{case}: no change was made");
            continue;
        }
        assert!(!engine.is_healthy(), "{case}");
        assert_eq!(
            send(&engine, &deltas[9]).await,
            Err(Refusal::StoreFailed),
            "{case}"
        );
        // The ninth was refused, but may be on disk all the same: then it is a blob, and counts.
        let (found, losses) = totals(&engine);
        let without = expected(&deltas[..8]);
        assert!(
            found == without || (!fold && found == expected(&deltas[..9])),
            "{case}: {found:?}"
        );
        assert!(losses.is_empty(), "{case}: {losses:?}");
    }
}

#[tokio::test]
async fn when_there_is_room_again_everything_goes_on() {
    let deltas = pool();
    let disk = Disk::default();
    let store = {
        let disk = disk.clone();
        RedbStore::open_backend(1_000, move || disk.open()).unwrap()
    };
    let engine = start(Arc::new(store));
    for delta in &deltas[..8] {
        send(&engine, delta).await.unwrap();
    }
    disk.fail_after(2);
    assert!(engine.fold_now().await.is_err());
    // A reader that began meanwhile does not keep the store from being opened again.
    let mut reader = engine.view("", 0, u64::MAX).unwrap();
    reader.next().unwrap().unwrap();
    disk.repair();
    eventually("the store takes writes again", || engine.is_healthy()).await;
    for delta in &deltas {
        send(&engine, delta).await.unwrap();
    }
    engine.fold_now().await.unwrap();
    let (found, losses) = totals(&engine);
    assert_eq!(found, expected(&deltas));
    assert!(losses.is_empty(), "{losses:?}");
}

#[tokio::test]
async fn spans_that_a_failing_disk_did_not_take_are_refused_and_not_counted() {
    use prost::Message as _;

    use crate::otlp::{Format, Signal};
    use crate::testing::otlp::{SpanSpec, traces};

    // In the commit: at its first write and at its sync.
    for fail_after in [0, 2] {
        let disk = Disk::default();
        let store = {
            let disk = disk.clone();
            RedbStore::open_backend(1_000, move || disk.open()).unwrap()
        };
        let engine = start(Arc::new(store));
        let tenant: Arc<str> = "".into();
        let send = async |id| {
            let spans = vec![SpanSpec::server(id).with("http.route", "/")];
            let body = traces("shop", spans).encode_to_vec().into();
            let (traces, format) = (Signal::Traces, Format::Protobuf);
            engine
                .ingest_otlp(&tenant, traces, format, Encoding::Identity, body, &|_| true)
                .await
        };
        send(1).await.unwrap();
        disk.fail_after(fail_after);
        assert_eq!(send(2).await.unwrap_err(), Refusal::StoreFailed);
        assert!(!engine.is_healthy());
        assert_eq!(send(3).await.unwrap_err(), Refusal::StoreFailed);
        disk.repair();
        eventually("the store takes writes again", || engine.is_healthy()).await;
        // Its sender sends it again.
        send(2).await.unwrap();
        let ended: i64 = totals(&engine)
            .0
            .values()
            .flat_map(|rows| rows.of_kind(RowKind::Operation))
            .filter_map(|(_, value)| value.get(column::ENDED))
            .sum();
        assert_eq!(ended, 2, "fails after {fail_after} changes");
    }
}
