//! Halves in any order, late, and over restarts.

mod batches;
mod clocks;
mod disk;
mod late;
mod spilled;

use std::collections::BTreeMap;
use std::sync::Arc;

use prost::Message as _;
use weighbridge_wire::{EdgeKey, OperationKey, RowKind, RowSet, column, side};

use crate::otlp::{Format, Signal};
use crate::store::{MemoryStore, RedbStore, Store};
use crate::testing::otlp::{self, SpanSpec, traces};
use crate::testing::{SECOND_NS, START_UNIX_NS};
use crate::{Clock, Engine, Limits, Metrics};

/// shop: a request that calls stock through a piece of its own code, reads a table, and publishes; stock answers;
/// mail consumes. One request for each service.
fn system() -> Vec<(&'static str, Vec<SpanSpec>)> {
    vec![
        (
            "shop",
            vec![
                SpanSpec::server(1)
                    .with("http.request.method", "POST")
                    .with("http.route", "/orders"),
            ],
        ),
        (
            "shop",
            vec![SpanSpec::internal(2).child_of(1).named("reserve")],
        ),
        (
            "shop",
            vec![
                SpanSpec::client(3)
                    .child_of(2)
                    .with("http.request.method", "GET")
                    .with("server.address", "stock.local")
                    .with_number("server.port", 80)
                    .with("url.template", "/stock/{sku}")
                    .with_number("http.request.resend_count", 1),
                SpanSpec::client(4)
                    .child_of(2)
                    .with("db.system.name", "postgresql")
                    .with("db.namespace", "shop")
                    .with("db.collection.name", "orders")
                    .with("db.operation.name", "INSERT"),
                SpanSpec::producer(5)
                    .child_of(1)
                    .with("messaging.system", "nats")
                    .with("messaging.destination.name", "orders.created")
                    .with_number("messaging.batch.message_count", 3),
            ],
        ),
        (
            "stock",
            vec![
                SpanSpec::server(6)
                    .child_of(3)
                    .with("http.request.method", "GET")
                    .with("http.route", "/stock/:sku"),
            ],
        ),
        (
            "mail",
            vec![{
                let mut consumer = SpanSpec::consumer(7)
                    .linked_to(5)
                    .with("messaging.system", "nats")
                    .with("messaging.destination.name", "orders.created");
                consumer.start_unix_ns += SECOND_NS;
                consumer.end_unix_ns += SECOND_NS;
                consumer
            }],
        ),
    ]
}

/// How long halves wait.
const WITHIN: std::time::Duration = std::time::Duration::from_secs(600);

fn start(store: Arc<dyn Store>) -> Engine {
    let clock = Clock::fixed(START_UNIX_NS + 20 * SECOND_NS);
    Engine::start(store, Limits::default(), clock, Metrics::new()).unwrap()
}

async fn send(engine: &Engine, service: &str, spans: Vec<SpanSpec>) -> u64 {
    let body = traces(service, spans).encode_to_vec();
    let outcome = otlp::send(engine, Signal::Traces, Format::Protobuf, body).await;
    outcome.tally.duplicates + u64::from(outcome.is_repeated)
}

type Rows = BTreeMap<String, RowSet>;

fn rows(engine: &Engine) -> Rows {
    let mut all = Rows::new();
    for folded in engine.view("", 0, u64::MAX).unwrap() {
        let folded = folded.unwrap();
        all.entry(folded.service.service)
            .or_default()
            .merge(&folded.rows);
    }
    all
}

/// Every operation row as `service operation <- caller of origin: ended`.
fn requests(rows: &Rows) -> Vec<String> {
    rows.iter()
        .flat_map(|(service, rows)| {
            rows.of_kind(RowKind::Operation).map(move |(key, value)| {
                let key = OperationKey::read(key).unwrap();
                format!(
                    "{service} {} <- {} {} of {} {}: {}",
                    key.operation,
                    key.caller_service,
                    key.caller_operation,
                    key.origin_service,
                    key.origin_operation,
                    value.get(column::ENDED).unwrap()
                )
            })
        })
        .collect()
}

fn edges(rows: &Rows) -> Vec<String> {
    rows.iter()
        .flat_map(|(service, rows)| {
            rows.of_kind(RowKind::Edge).map(move |(key, value)| {
                let key = EdgeKey::read(key).unwrap();
                let end = if &*key.side == side::CALLER {
                    "->"
                } else {
                    "<-"
                };
                format!(
                    "{service} {} {end} {} {}{} {} {}: {}",
                    key.operation,
                    key.transport,
                    key.peer_service,
                    key.peer_operation,
                    key.target,
                    key.origin_operation,
                    value.get(column::REQUEST_MESSAGES).unwrap()
                )
            })
        })
        .collect()
}

const REQUESTS: [&str; 3] = [
    "mail CONSUME orders.created <- shop POST /orders of shop POST /orders: 1",
    "shop POST /orders <-   of shop POST /orders: 1",
    "stock GET /stock/:sku <- shop POST /orders of shop POST /orders: 1",
];

const EDGES: [&str; 4] = [
    "mail CONSUME orders.created <- nats shopPOST /orders orders.created POST /orders: 1",
    "shop POST /orders -> http  GET /stock/{sku} POST /orders: 1",
    "shop POST /orders -> nats  orders.created POST /orders: 3",
    "stock GET /stock/:sku <- http shopPOST /orders GET /stock/{sku} POST /orders: 1",
];

/// Everything that the store holds, by service.
fn stored(store: &dyn Store) -> Rows {
    let mut rows = Rows::new();
    for folded in store.scan(0, u64::MAX, None).unwrap().1 {
        let folded = folded.unwrap();
        rows.entry(folded.service.service)
            .or_default()
            .merge(&folded.rows);
    }
    rows
}

fn is_whole(rows: &Rows) {
    assert_eq!(requests(rows), REQUESTS);
    let mut found = edges(rows);
    found.sort();
    assert_eq!(found, EDGES);
    let shop = &rows["shop"];
    let entities: Vec<_> = shop.of_kind(RowKind::Entity).collect();
    assert_eq!(entities.len(), 1);
    assert_eq!(&*entities[0].0.parts[1], "POST /orders");
    assert_eq!(&*entities[0].0.parts[5], "write");
    let calls = shop.of_kind(RowKind::Edge);
    let retries: i64 = calls
        .filter_map(|(_, value)| value.get(column::RETRIES))
        .sum();
    assert_eq!(retries, 1);
    let lag = rows["mail"]
        .of_kind(RowKind::Edge)
        .next()
        .unwrap()
        .1
        .get(column::WAIT_NS);
    assert_eq!(
        lag,
        Some(999_000_000),
        "from the end of publishing to the start of consuming"
    );
}

#[tokio::test]
async fn halves_join_in_every_order() {
    let parts = system();
    let mut orders = vec![vec![]];
    for _ in 0..parts.len() {
        orders = orders
            .into_iter()
            .flat_map(|order: Vec<usize>| {
                let left = |next: &usize| !order.contains(next);
                let longer = |next| [&order[..], &[next]].concat();
                let orders: Vec<_> = (0..parts.len()).filter(left).map(longer).collect();
                orders
            })
            .collect();
    }
    assert_eq!(orders.len(), 120);
    let mut first = None;
    for order in orders {
        let engine = start(Arc::new(MemoryStore::new(1_000)));
        for (n, at) in order.iter().enumerate() {
            let (service, spans) = parts[*at].clone();
            assert_eq!(send(&engine, service, spans).await, 0);
            // Folded in between, at a different place in each order.
            if n == order[0] {
                engine.fold_now().await.unwrap();
            }
        }
        engine.fold_now().await.unwrap();
        let rows = rows(&engine);
        is_whole(&rows);
        assert_eq!(
            first.get_or_insert_with(|| rows.clone()),
            &rows,
            "{order:?}"
        );
        engine.stop();
    }
}

#[tokio::test]
async fn restarts_between_all_halves_lose_nothing_and_repeat_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut parts = system();
    parts.reverse();
    for fold in [true, false] {
        let path = directory.path().join(fold.to_string());
        for (service, spans) in parts.clone() {
            let store = Arc::new(RedbStore::open(&path, 1_000).unwrap());
            let engine = start(store);
            assert_eq!(send(&engine, service, spans.clone()).await, 0);
            if fold {
                engine.fold_now().await.unwrap();
            }
            // The answer was lost: it comes again, before and after the restart.
            assert_ne!(send(&engine, service, spans.clone()).await, 0);
            engine.stop();
            drop(engine);
            let engine = start(Arc::new(RedbStore::open(&path, 1_000).unwrap()));
            assert_ne!(send(&engine, service, spans).await, 0);
            engine.stop();
        }
        let engine = start(Arc::new(RedbStore::open(&path, 1_000).unwrap()));
        is_whole(&rows(&engine));
        engine.stop();
    }
}

#[tokio::test]
async fn what_is_not_folded_is_replayed_with_its_joins() {
    let store = Arc::new(MemoryStore::new(1_000));
    let engine = start(store.clone());
    for (service, spans) in system() {
        send(&engine, service, spans).await;
    }
    // Not stopped: as if killed. The next one reads the same blobs.
    let next = Engine::read_only(
        store,
        Limits::default(),
        Clock::fixed(START_UNIX_NS),
        Metrics::new(),
    )
    .unwrap();
    is_whole(&rows(&next));
    engine.stop();
}

#[tokio::test]
async fn spans_that_came_before_are_left_out_of_what_is_new() {
    let engine = start(Arc::new(MemoryStore::new(1_000)));
    let server = |id| {
        SpanSpec::server(id)
            .with("http.request.method", "GET")
            .with("http.route", "/")
    };
    assert_eq!(send(&engine, "shop", vec![server(1), server(2)]).await, 0);
    assert_eq!(
        send(&engine, "shop", vec![server(2), server(3), server(1)]).await,
        2
    );
    assert_eq!(
        requests(&rows(&engine)),
        ["shop GET / <-   of shop GET /: 3"]
    );
    engine.stop();
}

#[tokio::test]
async fn a_call_without_a_request_around_it_begins_the_chain_at_its_callee() {
    let engine = start(Arc::new(MemoryStore::new(1_000)));
    let http = |span: SpanSpec| {
        span.with("http.request.method", "GET")
            .with("http.route", "/")
    };
    send(&engine, "deep", vec![http(SpanSpec::server(4).child_of(3))]).await;
    send(
        &engine,
        "front",
        vec![
            http(SpanSpec::server(2).child_of(1)),
            http(SpanSpec::client(3).child_of(2)),
        ],
    )
    .await;
    send(&engine, "script", vec![http(SpanSpec::client(1))]).await;
    assert_eq!(
        requests(&rows(&engine)),
        [
            "deep GET / <- front GET / of front GET /: 1",
            "front GET / <- script  of front GET /: 1",
        ]
    );
    engine.stop();
}

#[tokio::test]
async fn a_consumer_in_a_trace_of_its_own_carries_the_origin_on() {
    let http = |span: SpanSpec| {
        span.with("http.request.method", "GET")
            .with("http.route", "/")
    };
    let consumer = |id| {
        SpanSpec::consumer(id)
            .with("messaging.system", "nats")
            .with("messaging.destination.name", "t")
    };
    let (mut consumed, mut call, mut answer) = (
        consumer(3).linked_to(2),
        http(SpanSpec::client(4).child_of(3)),
        http(SpanSpec::server(5).child_of(4)),
    );
    for span in [&mut consumed, &mut call, &mut answer] {
        span.trace = 2;
        span.link_trace = 1;
    }
    let publisher = vec![
        http(SpanSpec::server(1)),
        SpanSpec::producer(2)
            .child_of(1)
            .with("messaging.system", "nats")
            .with("messaging.destination.name", "t"),
    ];
    let mut parts = vec![
        ("shop", publisher),
        ("mail", vec![consumed, call]),
        ("smtp", vec![answer]),
    ];
    for _ in 0..2 {
        let engine = start(Arc::new(MemoryStore::new(1_000)));
        for (service, spans) in &parts {
            send(&engine, service, spans.clone()).await;
        }
        assert_eq!(
            requests(&rows(&engine)),
            [
                "mail CONSUME t <- shop GET / of shop GET /: 1",
                "shop GET / <-   of shop GET /: 1",
                "smtp GET / <- mail CONSUME t of shop GET /: 1",
            ]
        );
        engine.stop();
        parts.reverse();
    }
}

#[tokio::test]
async fn a_half_that_left_memory_is_found_on_disk() {
    use super::Joiner;
    use crate::store::FoldBatch;
    use disk::derive;
    use std::time::Duration;

    let store = MemoryStore::new(1_000);
    let mut joiner = Joiner::new(disk::RULES_WINDOW_NS, WITHIN);
    let parts = system();
    let at = |seconds| Duration::from_secs(seconds);
    let fold = |joiner: &mut Joiner, pending: &mut FoldBatch, seconds: u64| {
        let now_unix_ns = START_UNIX_NS + seconds * SECOND_NS;
        disk::fold(joiner, &store, pending, at(seconds), now_unix_ns);
    };
    let mut pending = FoldBatch::default();
    let all_but_stock = parts.iter().filter(|(service, _)| *service != "stock");
    for (service, spans) in all_but_stock {
        joiner.take(&derive(service, spans.clone()), at(1), &mut pending, 1_000);
    }
    fold(&mut joiner, &mut pending, 2);
    // Two generations of others push it out of memory.
    for (id, seconds) in [(100, 20), (101, 40), (102, 60)] {
        let mut other = SpanSpec::server(id);
        other.trace = 2;
        let other = derive("other", vec![other]);
        joiner.take(&other, at(seconds), &mut pending, 1_000);
    }
    let late = derive("stock", parts[3].1.clone());
    assert!(
        !joiner.has_any(&derive("shop", parts[2].1.clone())),
        "still in memory"
    );
    joiner.take(&late, at(61), &mut pending, 1_000);
    fold(&mut joiner, &mut pending, 70);
    let mut rows = stored(&store);
    rows.remove("other");
    is_whole(&rows);
}
