//! Sends requests as spans by OpenTelemetry's SDK for Rust. What is sent where stands in `OTEL_*` variables, as for
//! `tests/otlp/spans.py` and `spans.mjs`, which send the same.

use opentelemetry::trace::TracerProvider as _;
use opentelemetry::trace::{Span as _, SpanKind, Status, TraceContextExt as _, Tracer as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::trace::SdkTracerProvider;

fn main() -> anyhow::Result<()> {
    let requests: u32 = std::env::args()
        .nth(1)
        .ok_or_else(|| anyhow::anyhow!("usage: otlp_client REQUESTS"))?
        .parse()?;
    // The exporter of gRPC wants a runtime around it; the one of HTTP blocks, and none inside it.
    let runtime = tokio::runtime::Runtime::new()?;
    let provider = {
        let _entered = runtime.enter();
        SdkTracerProvider::builder()
            .with_batch_exporter(SpanExporter::builder().build()?)
            .build()
    };
    let tracer = provider.tracer("test");
    for n in 0..requests {
        let fails = n % 10 == 0;
        let mut server = tracer
            .span_builder("GET /orders/{id}")
            .with_kind(SpanKind::Server)
            .with_attributes([
                KeyValue::new("http.request.method", "GET"),
                KeyValue::new("http.route", "/orders/{id}"),
                KeyValue::new("http.response.status_code", if fails { 503 } else { 200 }),
            ])
            .start_with_context(&tracer, &Context::new());
        if fails {
            server.set_status(Status::error("no answer"));
        }
        let server = Context::new().with_span(server);
        let reserve = tracer
            .span_builder("reserve")
            .start_with_context(&tracer, &server);
        let reserve = server.with_span(reserve);
        tracer
            .span_builder("GET")
            .with_kind(SpanKind::Client)
            .with_attributes([
                KeyValue::new("http.request.method", "GET"),
                KeyValue::new("server.address", "stock"),
                KeyValue::new("server.port", 80),
            ])
            .start_with_context(&tracer, &reserve)
            .end();
        reserve.span().end();
        server.span().end();
    }
    provider.force_flush()?;
    provider.shutdown()?;
    Ok(())
}
