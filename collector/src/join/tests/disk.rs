//! Runs on disk: written before a fold where much comes, and searched a few at a time.

use std::time::Duration;

use super::*;
use crate::join::Joiner;
use crate::otlp::derive::Rules;
use crate::store::FoldBatch;

pub(super) const RULES_WINDOW_NS: u64 = 10 * SECOND_NS;

pub(super) fn derive(service: &str, spans: Vec<SpanSpec>) -> crate::otlp::derived::Derived {
    derive_of("", service, spans)
}

pub(super) fn derive_of(
    tenant: &str,
    service: &str,
    spans: Vec<SpanSpec>,
) -> crate::otlp::derived::Derived {
    let rules = Rules {
        tenant: tenant.into(),
        window_ns: RULES_WINDOW_NS,
        not_before_unix_ns: 1,
        not_after_unix_ns: u64::MAX,
    };
    let body = traces(service, spans).encode_to_vec();
    crate::otlp::derive(Signal::Traces, Format::Protobuf, &body, &rules, &|_, _| {
        false
    })
    .unwrap()
    .0
}

/// As the writer does it: the joiner's part, then the fold.
pub(super) fn fold(
    joiner: &mut Joiner,
    store: &dyn Store,
    pending: &mut FoldBatch,
    now: Duration,
    now_unix_ns: u64,
) {
    joiner
        .prepare_fold(store, now, now_unix_ns, pending, 1_000)
        .unwrap();
    store.fold(pending).unwrap();
    *pending = FoldBatch::default();
}

/// Searches until nothing is left to find.
pub(super) fn search(
    joiner: &mut Joiner,
    store: &dyn Store,
    pending: &mut FoldBatch,
    now: Duration,
) {
    while joiner.is_searching() {
        joiner.search(store, now, pending, 1_000).unwrap();
    }
}

#[test]
fn a_half_in_the_oldest_of_many_runs_is_found_a_few_runs_at_a_time() {
    const RUNS: u64 = 100;
    let store = MemoryStore::new(1_000);
    let mut joiner = Joiner::new(RULES_WINDOW_NS, WITHIN);
    let mut pending = FoldBatch::default();
    let at = Duration::from_secs;
    let fold = |joiner: &mut Joiner, pending: &mut FoldBatch, seconds: u64| {
        let now_unix_ns = START_UNIX_NS + seconds * SECOND_NS;
        fold(joiner, &store, pending, at(seconds), now_unix_ns);
    };
    let parts = system();
    for (service, spans) in parts.iter().filter(|(service, _)| *service != "stock") {
        joiner.take(&derive(service, spans.clone()), at(1), &mut pending, 1_000);
    }
    for n in 0..RUNS {
        let mut other = SpanSpec::server(100 + n);
        other.trace = 2;
        let seconds = 2 + 3 * n;
        joiner.take(
            &derive("other", vec![other]),
            at(seconds),
            &mut pending,
            1_000,
        );
        fold(&mut joiner, &mut pending, seconds);
    }
    assert!(!joiner.has_any(&derive("shop", parts[2].1.clone())));
    let now = 2 + 3 * RUNS;
    joiner.take(
        &derive("stock", parts[3].1.clone()),
        at(now),
        &mut pending,
        1_000,
    );
    assert_eq!(joiner.waiting(), 1);
    let mut searches = 0;
    loop {
        joiner
            .search(&store, at(now + 10), &mut pending, 1_000)
            .unwrap();
        searches += 1;
        if !joiner.is_searching() {
            break;
        }
        assert!(searches < 100, "it does not end");
    }
    assert!(searches > 5, "all runs at once: {searches}");
    assert_eq!(joiner.waiting(), 0);
    fold(&mut joiner, &mut pending, now + 10);
    let mut rows = stored(&store);
    rows.remove("other");
    is_whole(&rows);
}

#[tokio::test]
async fn a_run_that_was_written_before_a_fold_changes_nothing_after_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let limits = Limits {
        fold_every: Duration::from_secs(3_600),
        ..Limits::default()
    };
    let clock = || Clock::fixed(START_UNIX_NS + 20 * SECOND_NS);
    let store = Arc::new(RedbStore::open(directory.path(), 1_000).unwrap());
    let engine = Engine::start(store.clone(), limits.clone(), clock(), Metrics::new()).unwrap();
    let (first, last) = {
        let mut parts = system();
        let last = parts.split_off(3);
        (parts, last)
    };
    for (service, spans) in first {
        send(&engine, service, spans).await;
    }
    let (requests_sent, spans) = (62, 1_000);
    for n in 0..requests_sent {
        let spans = (0..spans).map(|m| {
            let mut other = SpanSpec::server(1_000 + n * spans + m);
            other.trace = 3;
            other
        });
        send(&engine, "other", spans.collect()).await;
    }
    assert_eq!(store.halves().unwrap().0.len(), 1, "no run was written");
    // Not stopped: what the next one reads is as after a kill.
    let copy = directory.path().join("copy");
    std::fs::create_dir(&copy).unwrap();
    engine
        .snapshot(&copy.join(crate::store::DATABASE_FILE))
        .unwrap();
    engine.stop();
    let store = Arc::new(RedbStore::open(&copy, 1_000).unwrap());
    let engine = Engine::start(store, limits, clock(), Metrics::new()).unwrap();
    for (service, spans) in last {
        send(&engine, service, spans).await;
    }
    let mut rows = rows(&engine);
    let other = rows.remove("other").unwrap();
    let ended: i64 = other
        .of_kind(RowKind::Operation)
        .filter_map(|(_, value)| value.get(column::ENDED))
        .sum();
    assert_eq!(ended, i64::try_from(requests_sent * spans).unwrap());
    is_whole(&rows);
    engine.stop();
}
