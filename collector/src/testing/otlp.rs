//! What the tests of OTLP build requests from.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

use super::{SECOND_NS, START_UNIX_NS};
use crate::Engine;
use crate::otlp::{Format, Outcome, Signal};
use crate::store::Encoding;

pub(crate) fn text(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(AnyValue {
            value: Some(Value::StringValue(value.into())),
        }),
        ..Default::default()
    }
}

pub(crate) fn number(key: &str, value: i64) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(AnyValue {
            value: Some(Value::IntValue(value)),
        }),
        ..Default::default()
    }
}

/// A recipe for a span, of trace 1 unless it says otherwise: it takes a millisecond and ends 5 s after the start of the tests.
#[derive(Clone, Debug)]
pub(crate) struct SpanSpec {
    pub(crate) trace: u128,
    pub(crate) link_trace: u128,
    pub(crate) id: u64,
    pub(crate) parent: u64,
    pub(crate) link: u64,
    /// Links behind the first: trace and span.
    pub(crate) further_links: Vec<(u128, u64)>,
    pub(crate) name: String,
    pub(crate) kind: SpanKind,
    pub(crate) start_unix_ns: u64,
    pub(crate) end_unix_ns: u64,
    pub(crate) is_error: bool,
    pub(crate) attributes: Vec<KeyValue>,
}

impl SpanSpec {
    fn new(id: u64, kind: SpanKind) -> Self {
        let end_unix_ns = START_UNIX_NS + 5 * SECOND_NS;
        Self {
            trace: 1,
            link_trace: 1,
            id,
            parent: 0,
            link: 0,
            further_links: Vec::new(),
            name: "span".into(),
            kind,
            start_unix_ns: end_unix_ns - 1_000_000,
            end_unix_ns,
            is_error: false,
            attributes: Vec::new(),
        }
    }

    pub(crate) fn server(id: u64) -> Self {
        Self::new(id, SpanKind::Server)
    }

    pub(crate) fn client(id: u64) -> Self {
        Self::new(id, SpanKind::Client)
    }

    pub(crate) fn producer(id: u64) -> Self {
        Self::new(id, SpanKind::Producer)
    }

    pub(crate) fn consumer(id: u64) -> Self {
        Self::new(id, SpanKind::Consumer)
    }

    pub(crate) fn internal(id: u64) -> Self {
        Self::new(id, SpanKind::Internal)
    }

    pub(crate) fn named(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    pub(crate) fn child_of(mut self, parent: u64) -> Self {
        self.parent = parent;
        self
    }

    pub(crate) fn linked_to(mut self, id: u64) -> Self {
        self.link = id;
        self
    }

    pub(crate) fn failed(mut self) -> Self {
        self.is_error = true;
        self
    }

    pub(crate) fn with(mut self, key: &str, value: &str) -> Self {
        self.attributes.push(text(key, value));
        self
    }

    pub(crate) fn with_number(mut self, key: &str, value: i64) -> Self {
        self.attributes.push(number(key, value));
        self
    }

    fn span(&self) -> Span {
        let bytes = |id: u64| {
            if id == 0 {
                Vec::new()
            } else {
                id.to_be_bytes().to_vec()
            }
        };
        let first = (self.link != 0).then_some((self.link_trace, self.link));
        let links = first.into_iter().chain(self.further_links.iter().copied());
        let links = links.map(|(trace, span)| Link {
            trace_id: trace.to_be_bytes().to_vec(),
            span_id: bytes(span),
            ..Default::default()
        });
        Span {
            trace_id: self.trace.to_be_bytes().to_vec(),
            span_id: bytes(self.id),
            parent_span_id: bytes(self.parent),
            name: self.name.clone(),
            kind: self.kind.into(),
            start_time_unix_nano: self.start_unix_ns,
            end_time_unix_nano: self.end_unix_ns,
            attributes: self.attributes.clone(),
            links: links.collect(),
            status: self.is_error.then(|| Status {
                code: 2,
                ..Default::default()
            }),
            ..Default::default()
        }
    }
}

/// A request with the spans of one service.
pub(crate) fn traces(service: &str, spans: Vec<SpanSpec>) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: vec![text("service.name", service)],
                ..Default::default()
            }),
            scope_spans: vec![ScopeSpans {
                spans: spans.into_iter().map(|spec| spec.span()).collect(),
                ..Default::default()
            }],
            ..Default::default()
        }],
    }
}

/// Sends a body of no tenant that may tell of any service.
pub(crate) async fn send(
    engine: &Engine,
    signal: Signal,
    format: Format,
    body: Vec<u8>,
) -> Outcome {
    let encoding = Encoding::Identity;
    engine
        .ingest_otlp(&"".into(), signal, format, encoding, body.into(), &|_| true)
        .await
        .unwrap()
}
