//! What weighing a request costs: one JSON request through an axum router, without a socket, on one thread.
//! The router alone, then with the layer while the agent is inert, then with everything on. The difference
//! between the first and the last is what a service pays per request beside its sockets.
#![allow(missing_docs, reason = "the macro makes an undocumented function")]

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use axum::routing::post;
use axum::{Json, Router};
use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use weighbridge_agent::{Delivery, Sink};

#[global_allocator]
static ALLOC: weighbridge_agent::Alloc = weighbridge_agent::Alloc::system();

/// A sink that keeps nothing.
struct Forget;

impl Sink for Forget {
    fn deliver(&self, _delta: &[u8]) -> Delivery {
        Delivery::Accepted
    }
}

async fn plain(Json(order): Json<Value>) -> Json<Value> {
    Json(json!({ "lines": order["lines"].as_array().map_or(0, Vec::len) }))
}

async fn weighed(
    weighbridge_agent::Json(order): weighbridge_agent::Json<Value>,
) -> weighbridge_agent::Json<Value> {
    weighbridge_agent::Json(json!({ "lines": order["lines"].as_array().map_or(0, Vec::len) }))
}

async fn send(router: &Router) -> usize {
    let body = r#"{"lines":[{"sku":"a","quantity":1},{"sku":"b","quantity":2}]}"#;
    let request = Request::post("/orders/17")
        .header("content-type", "application/json")
        .body(Body::from(body));
    let Ok(request) = request else { return 0 };
    let Ok(response) = router.clone().oneshot(request).await;
    to_bytes(response.into_body(), usize::MAX)
        .await
        .map_or(0, |bytes| bytes.len())
}

fn request(criterion: &mut Criterion) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    else {
        return;
    };
    let bare = Router::new().route("/orders/{id}", post(plain));
    let layered = Router::new()
        .route("/orders/{id}", post(weighed))
        .layer(weighbridge_agent::layer());
    let mut group = criterion.benchmark_group("request through a router");
    group.bench_function("router alone", |bencher| {
        bencher.iter(|| runtime.block_on(send(&bare)));
    });
    group.bench_function("with the layer, agent inert", |bencher| {
        bencher.iter(|| runtime.block_on(send(&layered)));
    });
    let guard = weighbridge_agent::builder()
        .service("bench")
        .sink(Arc::new(Forget))
        .init();
    group.bench_function("router alone, agent on", |bencher| {
        bencher.iter(|| runtime.block_on(send(&bare)));
    });
    group.bench_function("with the layer, agent on", |bencher| {
        bencher.iter(|| runtime.block_on(send(&layered)));
    });
    group.finish();
    drop(guard);
}

criterion_group!(benches, request);
criterion_main!(benches);
