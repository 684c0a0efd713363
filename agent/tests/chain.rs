//! The chain store → warehouse → broker → accounting: the origin's bill holds every hop, and a standard trace has a
//! span for each. The broker is the real NATS.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::post;
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator as _};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use support::servers;
use support::{Connection, Worked, builder, figure, serve, weigh_server};
use tracing::Instrument as _;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use weighbridge_agent::wire::{RowKind, column};
use weighbridge_agent::{Target, nats, reqwest};

const ORDERS: i64 = 50;
/// What each hop works.
const WORK: Duration = Duration::from_millis(2);
/// What a hop may cost besides: the store makes a client for each order.
const BESIDES: Duration = Duration::from_millis(1);
const STORE: &str = "POST /orders";
const WAREHOUSE: &str = "POST /reservations";
const ACCOUNTING: &str = "CONSUME orders.created";

struct Http<'a>(&'a mut http::HeaderMap);

impl Extractor for Http<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

impl Injector for Http<'_> {
    fn set(&mut self, key: &str, value: String) {
        let name: http::HeaderName = key.parse().unwrap();
        self.0.insert(name, value.parse().unwrap());
    }
}

struct Nats<'a>(&'a mut HeaderMap);

impl Extractor for Nats<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(async_nats::HeaderValue::as_str)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_ref()).collect()
    }
}

impl Injector for Nats<'_> {
    fn set(&mut self, key: &str, value: String) {
        self.0.insert(key, value);
    }
}

fn propagator() -> TraceContextPropagator {
    TraceContextPropagator::new()
}

fn here() -> Context {
    tracing::Span::current().context()
}

/// What any tracing middleware of a server does.
async fn traced(mut request: Request, next: Next) -> Response {
    let name = request.uri().path().to_owned();
    let span = tracing::info_span!("hop", otel.name = name);
    let parent = propagator().extract(&Http(request.headers_mut()));
    span.set_parent(parent).unwrap();
    next.run(request).instrument(span).await
}

fn with_layers(router: Router) -> Router {
    router
        .layer(from_fn(traced))
        .layer(weighbridge_agent::layer())
}

#[derive(Clone, Default)]
struct Store {
    warehouse: Arc<std::sync::OnceLock<String>>,
    worked: Worked,
}

/// The store asks the warehouse, with what a tracer's client middleware adds.
async fn order(State(store): State<Store>) -> StatusCode {
    store.worked.burn(WORK);
    let mut headers = http::HeaderMap::new();
    propagator().inject_context(&here(), &mut Http(&mut headers));
    let client = ::reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = reqwest("warehouse", client)
        .post(format!("{}/reservations", store.warehouse.get().unwrap()))
        .headers(headers)
        .with_extension(Target("/reservations"))
        .body("one anvil")
        .send();
    answer.await.unwrap().status()
}

/// The warehouse tells accounting, over the broker.
async fn reserve(
    State((broker, worked)): State<(nats::Client, Worked)>,
    body: String,
) -> StatusCode {
    worked.burn(WORK);
    let mut headers = HeaderMap::new();
    propagator().inject_context(&here(), &mut Nats(&mut headers));
    let told = broker.publish_with_headers("orders.created", headers, body.into());
    told.await.unwrap();
    StatusCode::OK
}

/// Accounting: what any tracing consumer does.
async fn book(message: nats::Message, worked: Worked) {
    let mut headers = message.headers.clone().unwrap_or_default();
    let parent = propagator().extract(&Nats(&mut headers));
    let span = tracing::info_span!("hop", otel.name = "orders.created");
    span.set_parent(parent).unwrap();
    async { worked.burn(WORK) }.instrument(span).await;
}

#[test]
fn every_hop_is_on_the_origins_bill_and_in_the_trace() {
    let Some(server) = servers::nats() else {
        return;
    };
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(exporter.clone())
        .build();
    let otel = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    tracing_subscriber::registry()
        .with(weighbridge_agent::regions())
        .with(otel)
        .init();
    let state = Store::default();
    let base = state.warehouse.clone();
    let worked = [state.worked.clone(), Worked::default(), Worked::default()];
    let store = Router::new()
        .route("/orders", post(order))
        .with_state(state);
    let store = with_layers(store);
    let [_, warehouse_worked, accounting_worked] = worked.clone();
    let ledger = weigh_server(
        // While the end is waited for windows are so short that the agent's own share in them is large.
        builder("shop").overhead_max_permille(1_000),
        |_| store,
        |served| async move {
            let broker = nats::connect("broker", server.address().to_string());
            let broker = broker.await.unwrap();
            let orders = broker.subscribe("orders.created").await.unwrap();
            broker.inner().flush().await.unwrap();
            tokio::spawn(orders.consume(move |message| book(message, accounting_worked.clone())));
            let warehouse = Router::new()
                .route("/reservations", post(reserve))
                .with_state((broker, warehouse_worked));
            let address = serve(with_layers(warehouse)).await;
            base.set(format!("http://{address}")).unwrap();
            let mut connection = Connection::open(served.address).await;
            for trace in 1..=ORDERS {
                let head = format!(
                    "POST /orders HTTP/1.1\r\ntraceparent: 00-{trace:032x}-00000000000000aa-01"
                );
                assert_eq!(connection.ask(&head, b"").await.status, 200);
            }
            for operation in [STORE, WAREHOUSE, ACCOUNTING] {
                served.ended(operation, ORDERS).await;
            }
        },
    );

    // The bill of the origin: all hops are on it, and nothing of them is on another one.
    for (operation, worked) in [STORE, WAREHOUSE, ACCOUNTING].into_iter().zip(&worked) {
        assert_eq!(worked.so_far()[0], ORDERS, "{operation}");
        worked.assert_caused(&ledger, operation, STORE, BESIDES);
    }
    for (operation, caller) in [(WAREHOUSE, STORE), (ACCOUNTING, WAREHOUSE)] {
        let row = ledger.select(RowKind::Operation, &[(1, operation), (4, caller)]);
        assert_eq!(
            figure(&row, column::ENDED),
            ORDERS,
            "{caller} → {operation}"
        );
    }

    // The trace: a span for each hop, each the child of the one before, and what it cost stands on it.
    provider.force_flush().unwrap();
    let spans = exporter.get_finished_spans().unwrap();
    assert_eq!(i64::try_from(spans.len()).unwrap(), 3 * ORDERS);
    for trace in 1..=ORDERS {
        let find = |name: &str| -> &SpanData {
            let trace = u128::try_from(trace).unwrap().to_be_bytes();
            let hit = |span: &&SpanData| {
                span.name == name && span.span_context.trace_id().to_bytes() == trace
            };
            let found: Vec<_> = spans.iter().filter(hit).collect();
            assert_eq!(found.len(), 1, "{name} of {trace:?}");
            found[0]
        };
        let hops = ["/orders", "/reservations", "orders.created"].map(find);
        assert_eq!(hops[0].parent_span_id.to_bytes(), 0xaa_u64.to_be_bytes());
        for pair in hops.windows(2) {
            assert_eq!(pair[1].parent_span_id, pair[0].span_context.span_id());
        }
        for hop in hops {
            let cost = |attribute: &&opentelemetry::KeyValue| {
                attribute.key.as_str().starts_with("weighbridge.cpu.time")
            };
            assert!(hop.attributes.iter().any(|kv| cost(&kv)), "{hop:?}");
        }
    }
}
