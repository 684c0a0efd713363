//! What goes: with age; and where more is there than may be kept, every tier is kept half as long until it fits.

use super::*;

const HOUR_NS: u64 = 3_600 * SECOND_NS;
const DAY: Duration = Duration::from_secs(86_400);
const DAYS: u64 = 28;

#[tokio::test]
async fn beyond_its_size_the_oldest_goes_until_the_rest_fits() {
    let store = Arc::new(RedbStore::open_backend(1_000, Shared::default).unwrap());
    let clock = Clock::fixed(START_UNIX_NS + DAYS * 24 * HOUR_NS);
    let limits = |retention_bytes| Limits {
        lateness: 60 * DAY,
        retention: 60 * DAY,
        fold_every: Duration::from_millis(5),
        retention_bytes,
        ..Limits::default()
    };
    let start = |retention_bytes| {
        let limits = limits(retention_bytes);
        Engine::start(store.clone(), limits, clock.clone(), Metrics::new()).unwrap()
    };
    let engine = start(u64::MAX);
    for n in 0..DAYS * 24 {
        let mut spec = DeltaSpec::new(1, n).start(START_UNIX_NS + n * HOUR_NS);
        spec.len_ns = 60 * SECOND_NS;
        send(&engine, &spec.delta()).await.unwrap();
    }
    engine.fold_now().await.unwrap();
    engine.stop();
    let all = store.window_bytes();
    assert!(all > 10_000, "{all} bytes");
    let count = |engine: &Engine, since_unix_ns, until_unix_ns| {
        engine
            .view("", since_unix_ns, until_unix_ns)
            .unwrap()
            .count()
    };
    let day = |n: u64| START_UNIX_NS + n * 24 * HOUR_NS;

    // What fits stays, however often it is looked at.
    let engine = start(all);
    // The second comes after the first look at the size.
    engine.fold_now().await.unwrap();
    engine.fold_now().await.unwrap();
    assert!(
        count(&engine, 0, day(1)) > 0,
        "the oldest went though all fits"
    );
    engine.stop();

    let engine = start(all / 3);
    eventually("it fits", || store.window_bytes() <= all / 3).await;
    assert_eq!(count(&engine, 0, day(1)), 0, "the oldest is still there");
    assert!(
        count(&engine, day(DAYS - 1), u64::MAX) > 0,
        "the newest went"
    );
    engine.stop();
}

fn epochs(store: &dyn Store) -> usize {
    let mut count = 0;
    store.epochs(&mut |_, _| count += 1).unwrap();
    count
}

#[tokio::test]
async fn old_windows_and_epochs_are_retired() {
    const DAY_NS: u64 = 86_400 * SECOND_NS;
    let store = Arc::new(MemoryStore::new(1_000));
    let clock = clock();
    let engine = Engine::start(store.clone(), limits(), clock.clone(), Metrics::new()).unwrap();
    send(&engine, &DeltaSpec::new(1, 0).delta()).await.unwrap();
    engine.stop();
    drop(engine);
    assert_eq!(epochs(&*store), 1);
    clock.set(clock.now_unix_ns() + 8 * DAY_NS);
    let engine = Engine::start(
        store.clone(),
        Limits {
            fold_every: Duration::from_millis(1),
            ..limits()
        },
        clock.clone(),
        Metrics::new(),
    )
    .unwrap();
    eventually("the epoch is forgotten", || epochs(&*store) == 0).await;
    assert_eq!(totals(&engine).0.len(), 1);
    drop(engine);
    clock.set(clock.now_unix_ns() + 30 * DAY_NS);
    let engine = Engine::start(
        store.clone(),
        Limits {
            fold_every: Duration::from_millis(1),
            ..limits()
        },
        clock,
        Metrics::new(),
    )
    .unwrap();
    eventually("the window is removed", || totals(&engine).0.is_empty()).await;
}
