//! The server with tower-http's `TraceLayer`, tracing-opentelemetry and the batch exporter of OTLP over HTTP,
//! to the sink that `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` names. Spans at level INFO, so that they are
//! exported; the layer's events are at level DEBUG and stay off.

use std::process::ExitCode;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tower_http::trace::{DefaultMakeSpan, TraceLayer};
use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use weighbridge_benches::{say, server};

fn main() -> ExitCode {
    let exporter = match opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .build()
    {
        Ok(exporter) => exporter,
        Err(error) => {
            say::note(&format!("no exporter: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .build();
    tracing_subscriber::registry()
        .with(LevelFilter::INFO)
        .with(tracing_opentelemetry::layer().with_tracer(provider.tracer("bench")))
        .init();
    let ended = server::run(&mut server::runtime(), |listener| {
        let spans = DefaultMakeSpan::new().level(Level::INFO);
        axum::serve(
            listener,
            server::app().layer(TraceLayer::new_for_http().make_span_with(spans)),
        )
    });
    let _ = provider.shutdown();
    ended
}
