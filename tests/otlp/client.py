"""Sends requests as spans, and what its process used as metrics, by OpenTelemetry's SDK for Python. What is sent where
stands in OTEL_* variables."""

import os
import sys

from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode

if os.environ["OTEL_EXPORTER_OTLP_PROTOCOL"] == "grpc":
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
else:
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

requests = int(sys.argv[1])
provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
tracer = provider.get_tracer("test")
for n in range(requests):
    route = {"http.request.method": "GET", "http.route": "/orders/{id}", "http.response.status_code": 200}
    with tracer.start_as_current_span("GET /orders/{id}", kind=SpanKind.SERVER, attributes=route) as server:
        if n % 10 == 0:
            server.set_attribute("http.response.status_code", 503)
            server.set_status(Status(StatusCode.ERROR))
        with tracer.start_as_current_span("reserve"):
            call = {"http.request.method": "GET", "server.address": "stock", "server.port": 80}
            with tracer.start_as_current_span("GET", kind=SpanKind.CLIENT, attributes=call):
                pass
if not provider.force_flush():
    sys.exit("not every span was sent")
provider.shutdown()

reader = PeriodicExportingMetricReader(OTLPMetricExporter(), export_interval_millis=float("inf"))
meters = MeterProvider([reader])
meter = meters.get_meter("test")
cpu = meter.create_counter("process.cpu.time", "s")
memory = meter.create_up_down_counter("process.memory.usage", "By")
cpu.add(2.0, {"cpu.mode": "user"})
cpu.add(1.0, {"cpu.mode": "system"})
memory.add(64 << 20)
if not meters.force_flush():
    sys.exit("not every metric was sent")
cpu.add(4.0, {"cpu.mode": "user"})
if not meters.force_flush():
    sys.exit("not every metric was sent")
meters.shutdown()
