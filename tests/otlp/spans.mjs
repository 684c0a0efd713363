// Sends requests as spans by OpenTelemetry's SDK for Node. What is sent where stands in OTEL_* variables.

import { context, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { defaultResource, resourceFromAttributes } from "@opentelemetry/resources";
import { BasicTracerProvider, BatchSpanProcessor } from "@opentelemetry/sdk-trace-base";

const exporters = {
  grpc: "@opentelemetry/exporter-trace-otlp-grpc",
  "http/protobuf": "@opentelemetry/exporter-trace-otlp-proto",
  "http/json": "@opentelemetry/exporter-trace-otlp-http",
};
const { OTLPTraceExporter } = await import(exporters[process.env.OTEL_EXPORTER_OTLP_PROTOCOL]);
const provider = new BasicTracerProvider({
  resource: defaultResource().merge(resourceFromAttributes({ "service.name": process.env.OTEL_SERVICE_NAME })),
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
