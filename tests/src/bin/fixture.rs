//! A service for tests: `fixture store PEER_URL`, `fixture warehouse`, or `fixture vault`, whose users send secrets. Set up as any service would be,
//! from the environment; it counts on its own what the agent should have counted.
//!
//! Prints `listening ADDRESS` when it is ready. When its standard input ends it stops taking connections,
//! lets the agent deliver what it has, prints its own counts as one line of JSON, and ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use serde_json::{Value, json};
use weighbridge_agent::Json;
use weighbridge_agent::http_client::Client;

#[path = "fixture/vault.rs"]
mod vault;

#[global_allocator]
static ALLOC: weighbridge_agent::Alloc = weighbridge_agent::Alloc::system();

/// What the handlers saw: the truth that the ledger is compared with.
#[derive(Debug, Default)]
struct Counts {
    /// Requests that reached a handler.
    requests: AtomicU64,
    /// Calls made to the peer.
    calls: AtomicU64,
    /// Body bytes of requests sent to the peer.
    sent_bytes: AtomicU64,
    /// Body bytes of answers of the peer.
    received_bytes: AtomicU64,
    /// Calls that failed.
    failures: AtomicU64,
}

#[derive(Clone)]
struct Shop {
    counts: Arc<Counts>,
    warehouse: Option<Client>,
}

fn main() -> anyhow::Result<()> {
    let runtime = weighbridge_agent::runtime().worker_threads(2).build()?;
    let agent = weighbridge_agent::init();
    runtime.block_on(serve())?;
    drop(runtime);
    agent.flush(Duration::from_secs(20));
    drop(agent);
    Ok(())
}

async fn serve() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    if std::env::args().nth(1).as_deref() == Some("vault") {
        return vault::serve().await;
    }
    let counts = Arc::<Counts>::default();
    let (router, warehouse) = match args.next().as_deref() {
        Some("store") => {
            let peer = args
                .next()
                .context("fixture store needs the URL of its warehouse")?;
            (
                Router::new()
                    .route("/orders", post(order))
                    .route("/ping", get(ping)),
                Some(Client::new("warehouse", &peer)?),
            )
        }
        Some("warehouse") => (
            Router::new()
                .route("/stock/{sku}", get(stock))
                .route("/reservations", post(reserve)),
            None,
        ),
        other => bail!("fixture: no role {other:?}; there are store and warehouse"),
    };
    let app = router.layer(weighbridge_agent::layer()).with_state(Shop {
        counts: Arc::clone(&counts),
        warehouse,
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    say(&format!("listening {}", listener.local_addr()?));
    weighbridge_agent::serve(listener, app)
        .with_graceful_shutdown(end_of_input())
        .await?;
    let load = |count: &AtomicU64| count.load(Ordering::SeqCst);
    say(&json!({
        "requests": load(&counts.requests),
        "calls": load(&counts.calls),
        "sent_bytes": load(&counts.sent_bytes),
        "received_bytes": load(&counts.received_bytes),
        "failures": load(&counts.failures),
    })
    .to_string());
    Ok(())
}

/// Asks for the stock of each line, then reserves all of them at once.
async fn order(
    State(shop): State<Shop>,
    Json(order): Json<Value>,
) -> Result<Json<Value>, StatusCode> {
    shop.counts.requests.fetch_add(1, Ordering::SeqCst);
    let warehouse = shop
        .warehouse
        .as_ref()
        .ok_or(StatusCode::INTERNAL_SERVER_ERROR)?;
    let lines = order["lines"]
        .as_array()
        .ok_or(StatusCode::UNPROCESSABLE_ENTITY)?;
    let mut in_stock = 0;
    for line in lines {
        let sku = line["sku"].as_str().unwrap_or("?");
        let answer = warehouse.get("/stock/{sku}").param("sku", sku).send().await;
        let answer = read(&shop.counts, 0, answer).await?;
        in_stock += answer["quantity"].as_u64().unwrap_or(0);
    }
    let body = json!({ "lines": lines });
    let sent = serde_json::to_vec(&body).map_or(0, |bytes| bytes.len() as u64);
    let answer = warehouse.post("/reservations").json(&body).send().await;
    let answer = read(&shop.counts, sent, answer).await?;
    Ok(Json(
        json!({ "in_stock": in_stock, "reserved": answer["reserved"] }),
    ))
}

async fn read<E: std::fmt::Display>(
    counts: &Counts,
    sent: u64,
    answer: Result<weighbridge_agent::http_client::Response, E>,
) -> Result<Value, StatusCode> {
    counts.calls.fetch_add(1, Ordering::SeqCst);
    counts.sent_bytes.fetch_add(sent, Ordering::SeqCst);
    let fail = || {
        counts.failures.fetch_add(1, Ordering::SeqCst);
        StatusCode::BAD_GATEWAY
    };
    let answer = answer.map_err(|_| fail())?;
    let bytes = answer.bytes().await.map_err(|_| fail())?;
    counts
        .received_bytes
        .fetch_add(bytes.len() as u64, Ordering::SeqCst);
    serde_json::from_slice(&bytes).map_err(|_| fail())
}

async fn ping() -> &'static str {
    "pong"
}

async fn stock(State(shop): State<Shop>, Path(sku): Path<String>) -> Json<Value> {
    shop.counts.requests.fetch_add(1, Ordering::SeqCst);
    let quantity: u64 = sku.bytes().map(u64::from).sum();
    Json(json!({ "sku": sku, "quantity": quantity, "shelf": "x".repeat(sku.len() * 13) }))
}

async fn reserve(State(shop): State<Shop>, Json(body): Json<Value>) -> Json<Value> {
    shop.counts.requests.fetch_add(1, Ordering::SeqCst);
    Json(json!({ "reserved": body["lines"].as_array().map_or(0, Vec::len) }))
}

/// Ends when standard input does.
async fn end_of_input() {
    let (ended, end) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        let _ = ended.send(());
    });
    let _ = end.await;
}

#[allow(
    clippy::print_stdout,
    reason = "the test that started this program reads it"
)]
fn say(line: &str) {
    use std::io::Write as _;
    println!("{line}");
    let _ = std::io::stdout().flush();
}
