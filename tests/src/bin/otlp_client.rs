//! Sends requests as spans, and what its process used as metrics, by OpenTelemetry's SDK for Rust. What is sent where
//! stands in `OTEL_*` variables, as for `tests/otlp/client.py` and `client.mjs`, which send the same.

use opentelemetry::metrics::MeterProvider as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::trace::{Span as _, SpanKind, Status, TraceContextExt as _, Tracer as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{MetricExporter, SpanExporter};
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;

fn main() -> anyhow::Result<()> {
    let requests: u32 = std::env::args()
        .nth(1)
        .ok_or_else(|| anyhow::anyhow!("usage: otlp_client REQUESTS"))?
        .parse()?;
    // The exporters of gRPC want a runtime around them; those of HTTP block, and want none inside.
    let runtime = tokio::runtime::Runtime::new()?;
    let (provider, meters) = {
        let _entered = runtime.enter();
        let spans = SdkTracerProvider::builder()
            .with_batch_exporter(SpanExporter::builder().build()?)
            .build();
        let meters = SdkMeterProvider::builder()
            .with_periodic_exporter(MetricExporter::builder().build()?)
            .build();
        (spans, meters)
    };
    send_spans(&provider, requests)?;
    send_metrics(&meters)?;
    Ok(())
}

fn send_spans(provider: &SdkTracerProvider, requests: u32) -> anyhow::Result<()> {
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

fn send_metrics(meters: &SdkMeterProvider) -> anyhow::Result<()> {
    let meter = meters.meter("test");
    let cpu = meter.f64_counter("process.cpu.time").with_unit("s").build();
    let memory = meter
        .i64_up_down_counter("process.memory.usage")
        .with_unit("By")
        .build();
    let mode = |mode| [KeyValue::new("cpu.mode", mode)];
    cpu.add(2.0, &mode("user"));
    cpu.add(1.0, &mode("system"));
    memory.add(64 << 20, &[]);
    meters.force_flush()?;
    cpu.add(4.0, &mode("user"));
    meters.force_flush()?;
    meters.shutdown()?;
    Ok(())
}
