//! A chain of two services in a standard trace: each hop is a span in it, by a tracer's own propagator and, where a
//! client has none, by ours.

#![allow(clippy::unwrap_used)]

mod support;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::get;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator as _};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
use support::{Connection, builder, serve, weigh_server};
use tracing::Instrument as _;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use weighbridge_agent::{Target, reqwest};

struct Headers<'a>(&'a mut http::HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

impl Injector for Headers<'_> {
    fn set(&mut self, key: &str, value: String) {
        let name: http::HeaderName = key.parse().unwrap();
        self.0.insert(name, value.parse().unwrap());
    }
}

/// What any tracing middleware of a server does.
async fn traced(mut request: Request, next: Next) -> Response {
    let name = request.uri().path().to_owned();
    let span = tracing::info_span!("hop", otel.name = name);
    let parent = TraceContextPropagator::new().extract(&Headers(request.headers_mut()));
    span.set_parent(parent).unwrap();
    next.run(request).instrument(span).await
}

fn with_spans(router: Router) -> Router {
    router
        .layer(from_fn(traced))
        .layer(weighbridge_agent::layer())
}

/// Asks the warehouse, with what a tracer's middleware of a client adds, or without one.
async fn ask(base: String, with_tracer: bool) -> String {
    let client = ::reqwest::Client::builder().no_proxy().build().unwrap();
    let mut headers = http::HeaderMap::new();
    if with_tracer {
        let context = tracing::Span::current().context();
        TraceContextPropagator::new().inject_context(&context, &mut Headers(&mut headers));
    }
    let request = reqwest("warehouse", client)
        .get(format!("{base}/stock"))
        .headers(headers)
        .with_extension(Target("/stock"));
    request.send().await.unwrap().text().await.unwrap()
}

#[test]
fn each_hop_is_a_span_of_the_trace() {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(exporter.clone())
        .build();
    let otel = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    tracing_subscriber::registry().with(otel).init();
    let base = std::sync::Arc::new(std::sync::OnceLock::<String>::new());
    let [traced, plain] = [true, false].map(|with_tracer| {
        let base = base.clone();
        move || ask(base.get().unwrap().clone(), with_tracer)
    });
    let store = Router::new()
        .route("/traced", get(traced))
        .route("/plain", get(plain));
    let app = with_spans(store);
    weigh_server(
        builder("store"),
        |_| app,
        |served| async move {
            let warehouse = Router::new().route("/stock", get(|| async { "7" }));
            let address = serve(with_spans(warehouse)).await;
            base.set(format!("http://{address}")).unwrap();
            let mut connection = Connection::open(served.address).await;
            for (path, trace) in [("traced", 1), ("plain", 2)] {
                let head = format!(
                    "GET /{path} HTTP/1.1\r\ntraceparent: 00-{trace:032x}-00000000000000aa-01"
                );
                assert_eq!(connection.ask(&head, b"").await.body, b"7");
            }
        },
    );
    provider.force_flush().unwrap();
    let spans = exporter.get_finished_spans().unwrap();
    let find = |name: &str, trace: u128| {
        let hit = |span: &&opentelemetry_sdk::trace::SpanData| {
            span.name == name && span.span_context.trace_id().to_bytes() == trace.to_be_bytes()
        };
        let found: Vec<_> = spans.iter().filter(hit).collect();
        assert_eq!(found.len(), 1, "{name} in trace {trace}: {spans:?}");
        found[0].clone()
    };
    for (path, trace) in [("/traced", 1), ("/plain", 2)] {
        let store = find(path, trace);
        assert_eq!(store.parent_span_id.to_bytes(), 0xaa_u64.to_be_bytes());
        let warehouse = find("/stock", trace);
        let is_child = warehouse.parent_span_id == store.span_context.span_id();
        assert_eq!(
            is_child,
            path == "/traced",
            "a tracer's parent wins over ours"
        );
    }
    assert_eq!(spans.len(), 4);
}
