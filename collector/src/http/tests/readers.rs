//! How many may read at once, and what becomes of a reading that nobody waits for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use super::*;
use crate::http::range::read_blocking;
use crate::ingest::Engine;
use crate::metrics::Metrics;
use crate::store::{Encoding, MemoryStore};
use crate::testing::eventually;

#[tokio::test]
async fn so_many_read_at_once_and_the_others_are_told_when_to_come_again() {
    let metrics = Metrics::new();
    let mut config = Config::default();
    config.limits.readers = 2;
    let engine = Engine::start(
        Arc::new(MemoryStore::new(20_000)),
        config.limits.clone(),
        Clock::fixed(START_UNIX_NS + 100 * SECOND_NS),
        metrics.clone(),
    )
    .unwrap();
    // Less than what is read ahead: it has been read from the store long before anybody takes it.
    let mut delta = DeltaSpec::new(1, 0).delta();
    for n in 0..15_000 {
        let name =
            format!("GET /{n}/with/a/name/of/a/certain/length/so/that/it/comes/in/many/pieces");
        let ended = RowValue::new().with(column::ENDED, n);
        delta.rows.add(crate::testing::operation(&name), &ended);
    }
    let body = delta.encode().into();
    engine
        .ingest(&"".into(), Encoding::Identity, body)
        .await
        .unwrap();
    let app = crate::http::App::new(
        &config,
        &[],
        Arc::new(engine),
        metrics.clone(),
        Clock::system(),
    );
    let (readers, router) = (app.readers.clone(), app.router());
    let ask = |path: &'static str| {
        let request = Request::builder()
            .uri(path)
            .header("host", "localhost")
            .body(Body::empty())
            .unwrap();
        let router = router.clone();
        async move { router.oneshot(request).await.unwrap() }
    };
    let (first, second) = (ask("/api/v1/range").await, ask("/api/v1/range").await);
    assert_eq!(first.status(), 200);
    assert_eq!(second.status(), 200);
    for path in ["/api/v1/range", "/api/v1/windows"] {
        let refused = ask(path).await;
        assert_eq!(refused.status(), 503, "{path}");
        assert_eq!(refused.headers()["retry-after"], "5");
    }
    assert!(metrics.encode().contains("refused_reads_total 2\n"));
    // One reads to its end, the other goes away: both make room.
    let whole = first.into_body().collect().await.unwrap().to_bytes();
    assert!(whole.len() > 600_000, "{}", whole.len());
    drop(second);
    // A permit comes back once the thread that read has seen that its reader is gone.
    eventually("both permits are free", || readers.available_permits() == 2).await;
    assert_eq!(ask("/api/v1/range").await.status(), 200);
}

#[tokio::test]
async fn a_reading_that_nobody_waits_for_any_more_ends() {
    let (begun, ended) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    let (has_begun, has_ended) = (begun.clone(), ended.clone());
    let reading = read_blocking(move |stop| {
        has_begun.store(true, Ordering::Relaxed);
        while !stop.is_set() {
            std::thread::sleep(Duration::from_millis(5));
        }
        has_ended.store(true, Ordering::Relaxed);
    });
    let waited = tokio::time::timeout(Duration::from_millis(100), reading).await;
    assert!(waited.is_err());
    eventually("the work has begun and ended", || {
        begun.load(Ordering::Relaxed) && ended.load(Ordering::Relaxed)
    })
    .await;
    // Who got an answer may read on.
    let stop = read_blocking(|stop| stop).await.unwrap();
    assert!(!stop.is_set());
}
