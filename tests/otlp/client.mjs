// Sends requests as spans, and what its process used as metrics, by OpenTelemetry's SDK for Node. What is sent where
// stands in OTEL_* variables.

import { context, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { defaultResource, resourceFromAttributes } from "@opentelemetry/resources";
import { MeterProvider, PeriodicExportingMetricReader } from "@opentelemetry/sdk-metrics";
import { BasicTracerProvider, BatchSpanProcessor } from "@opentelemetry/sdk-trace-base";

const exporters = {
  grpc: "grpc",
  "http/protobuf": "proto",
  "http/json": "http",
};
const exporter = exporters[process.env.OTEL_EXPORTER_OTLP_PROTOCOL];
const { OTLPTraceExporter } = await import(`@opentelemetry/exporter-trace-otlp-${exporter}`);
const { OTLPMetricExporter } = await import(`@opentelemetry/exporter-metrics-otlp-${exporter}`);
const resource = defaultResource().merge(resourceFromAttributes({ "service.name": process.env.OTEL_SERVICE_NAME }));
const provider = new BasicTracerProvider({
  resource,
  spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())],
});
const tracer = provider.getTracer("test");
const within = (span) => trace.setSpan(context.active(), span);

for (let n = 0; n < Number(process.argv[2]); n++) {
  const attributes = {
    "http.request.method": "GET",
    "http.route": "/orders/{id}",
    "http.response.status_code": n % 10 === 0 ? 503 : 200,
  };
  const server = tracer.startSpan("GET /orders/{id}", { kind: SpanKind.SERVER, attributes }, context.active());
  if (n % 10 === 0) server.setStatus({ code: SpanStatusCode.ERROR });
  const reserve = tracer.startSpan("reserve", {}, within(server));
  const call = { "http.request.method": "GET", "server.address": "stock", "server.port": 80 };
  tracer.startSpan("GET", { kind: SpanKind.CLIENT, attributes: call }, within(reserve)).end();
  reserve.end();
  server.end();
}
await provider.forceFlush();
await provider.shutdown();

const meters = new MeterProvider({
  resource,
  readers: [new PeriodicExportingMetricReader({ exporter: new OTLPMetricExporter() })],
});
const meter = meters.getMeter("test");
const cpu = meter.createCounter("process.cpu.time", { unit: "s" });
const memory = meter.createUpDownCounter("process.memory.usage", { unit: "By" });
cpu.add(2, { "cpu.mode": "user" });
cpu.add(1, { "cpu.mode": "system" });
memory.add(64 * 1024 * 1024);
await meters.forceFlush();
cpu.add(4, { "cpu.mode": "user" });
await meters.forceFlush();
await meters.shutdown();
