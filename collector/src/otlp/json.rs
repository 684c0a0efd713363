//! OTLP's JSON: ids in hexadecimal of either case, 64-bit integers quoted or not, enums as numbers, nulls as if
//! absent, unknown fields ignored. Only what is used is built; nesting is bounded by the parser.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

use super::attributes::{ResourceAttributes, Scalar, SpanAttributes};
use super::metrics::{Point, TakePoints, Temporality};
use super::spans::{Kind, LINKS_MAX, Span, TakeSpans};

/// A 64-bit integer as JSON writes it: a number or a text.
#[derive(Clone, Copy, Debug, Default)]
struct Int(i128);

impl<'de> Deserialize<'de> for Int {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Take;
        impl Visitor<'_> for Take {
            type Value = Int;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an integer, quoted or not")
            }

            fn visit_u64<E: Error>(self, n: u64) -> Result<Int, E> {
                Ok(Int(n.into()))
            }

            fn visit_i64<E: Error>(self, n: i64) -> Result<Int, E> {
                Ok(Int(n.into()))
            }

            fn visit_f64<E: Error>(self, n: f64) -> Result<Int, E> {
                // Some writers make integers of 1e3 or 1.0.
                if n.fract() == 0.0 && n.abs() < 1e18 {
                    Ok(Int(n as i128))
                } else {
                    Err(E::custom(format_args!("{n} is no integer")))
                }
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Int, E> {
                text.trim()
                    .parse()
                    .map(Int)
                    .map_err(|_| E::custom(format_args!("{text:?} is no integer")))
            }
        }
        deserializer.deserialize_any(Take)
    }
}

impl Int {
    fn u64(self) -> u64 {
        u64::try_from(self.0).unwrap_or(0)
    }

    fn i64(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }
}

/// A number with a fraction; `"NaN"` and the infinities are texts.
#[derive(Clone, Copy, Debug)]
struct Double(f64);

impl<'de> Deserialize<'de> for Double {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Number(f64),
            Text(String),
        }
        Ok(Self(match Form::deserialize(deserializer)? {
            Form::Number(n) => n,
            Form::Text(text) => text.parse().unwrap_or(f64::NAN),
        }))
    }
}

type List<T> = Option<Vec<T>>;

macro_rules! messages {
    ($($name:ident { $($field:ident: $type:ty),+ $(,)? })+) => {
        $(#[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct $name { $($field: Option<$type>),+ })+
    };
}

messages! {
    Traces { resource_spans: Vec<ResourceSpans> }
    ResourceSpans { resource: Resource, scope_spans: Vec<ScopeSpans> }
    Resource { attributes: Vec<KeyValue> }
    KeyValue { key: String, value: AnyValue }
    AnyValue { string_value: String, int_value: Int, bool_value: bool }
    ScopeSpans { spans: Vec<JsonSpan> }
    JsonSpan {
        trace_id: String,
        span_id: String,
        parent_span_id: String,
        name: String,
        kind: Int,
        start_time_unix_nano: Int,
        end_time_unix_nano: Int,
        attributes: Vec<KeyValue>,
        links: Vec<Link>,
        status: JsonStatus,
    }
    Link { trace_id: String, span_id: String }
    JsonStatus { code: Int }
    Metrics { resource_metrics: Vec<ResourceMetrics> }
    ResourceMetrics { resource: Resource, scope_metrics: Vec<ScopeMetrics> }
    ScopeMetrics { metrics: Vec<Metric> }
    Metric { name: String, unit: String, gauge: Data, sum: Data, histogram: Points, exponential_histogram: Points, summary: Points }
    Data { data_points: Vec<JsonPoint>, aggregation_temporality: Int }
    Points { data_points: Vec<serde::de::IgnoredAny> }
    JsonPoint {
        attributes: Vec<KeyValue>,
        time_unix_nano: Int,
        as_double: Double,
        as_int: Int,
        flags: Int,
    }
    Logs { resource_logs: Vec<ResourceLogs> }
    ResourceLogs { scope_logs: Vec<ScopeLogs> }
    ScopeLogs { log_records: Vec<serde::de::IgnoredAny> }
}

fn parse<'a, T: Deserialize<'a> + Default>(body: &'a [u8]) -> Result<T, serde_json::Error> {
    if body.trim_ascii().is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(body)
}

fn items<T>(list: &List<T>) -> impl Iterator<Item = &T> {
    list.iter().flatten()
}

fn text(text: &Option<String>) -> &[u8] {
    text.as_deref().unwrap_or_default().as_bytes()
}

fn scalar(value: Option<&AnyValue>) -> Option<Scalar<'_>> {
    let value = value?;
    if let Some(text) = &value.string_value {
        return Some(Scalar::Text(text.as_bytes()));
    }
    value
        .int_value
        .map(|n| Scalar::Number(n.i64()))
        .or(value.bool_value.map(Scalar::Bool))
}

fn resource(resource: Option<&Resource>) -> ResourceAttributes<'_> {
    let mut attributes = ResourceAttributes::default();
    for pair in resource
        .into_iter()
        .flat_map(|resource| items(&resource.attributes))
    {
        if let Some(value) = scalar(pair.value.as_ref()) {
            attributes.take(text(&pair.key), value);
        }
    }
    attributes
}

/// Reads hexadecimal digits of either case; empty when they are none.
fn hex(id: &Option<String>) -> Vec<u8> {
    let digits = text(id);
    if digits.len() > 64 || !digits.len().is_multiple_of(2) {
        return Vec::new();
    }
    let digit = |b: u8| {
        char::from(b)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    digits
        .chunks_exact(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect::<Option<Vec<u8>>>()
        .unwrap_or_default()
}

/// Reads traces.
pub(super) fn spans(body: &[u8], take: &mut impl TakeSpans) -> Result<(), serde_json::Error> {
    let traces: Traces = parse(body)?;
    for resource_spans in items(&traces.resource_spans) {
        take.resource(&resource(resource_spans.resource.as_ref()));
        for span in items(&resource_spans.scope_spans).flat_map(|scope| items(&scope.spans)) {
            let mut attributes = SpanAttributes::default();
            for pair in items(&span.attributes) {
                if let Some(value) = scalar(pair.value.as_ref()) {
                    attributes.take(text(&pair.key), value);
                }
            }
            let links: Vec<_> = items(&span.links)
                .map(|link| (hex(&link.trace_id), hex(&link.span_id)))
                .filter(|(trace, span)| trace.len() == 16 && span.len() == 8)
                .collect();
            let read = links.iter().take(LINKS_MAX);
            let ids: Vec<_> = read.map(|(trace, span)| (&trace[..], &span[..])).collect();
            take.span(&Span {
                trace: &hex(&span.trace_id),
                id: &hex(&span.span_id),
                parent: &hex(&span.parent_span_id),
                links: &ids,
                links_cut: (links.len() - ids.len()) as u64,
                name: text(&span.name),
                kind: Kind::of(span.kind.unwrap_or_default().u64()),
                start_unix_ns: span.start_time_unix_nano.unwrap_or_default().u64(),
                end_unix_ns: span.end_time_unix_nano.unwrap_or_default().u64(),
                is_error: span
                    .status
                    .as_ref()
                    .and_then(|status| status.code)
                    .is_some_and(|code| code.u64() == 2),
                attributes,
            });
        }
        take.resource_ends();
    }
    Ok(())
}

/// Reads metrics.
pub(super) fn metrics(body: &[u8], take: &mut impl TakePoints) -> Result<(), serde_json::Error> {
    let metrics: Metrics = parse(body)?;
    for resource_metrics in items(&metrics.resource_metrics) {
        take.resource(&resource(resource_metrics.resource.as_ref()));
        for metric in items(&resource_metrics.scope_metrics).flat_map(|scope| items(&scope.metrics))
        {
            for (data, is_sum) in [(&metric.gauge, false), (&metric.sum, true)] {
                let Some(data) = data else { continue };
                let temporality = match data.aggregation_temporality.unwrap_or_default().u64() {
                    1 if is_sum => Temporality::Delta,
                    _ => Temporality::Cumulative,
                };
                for point in items(&data.data_points) {
                    let mut state = None;
                    for pair in items(&point.attributes) {
                        if let Some(value) = scalar(pair.value.as_ref()) {
                            super::metrics::take_state(text(&pair.key), value, &mut state);
                        }
                    }
                    take.point(
                        text(&metric.name),
                        text(&metric.unit),
                        &Point {
                            temporality,
                            time_unix_ns: point.time_unix_nano.unwrap_or_default().u64(),
                            value: point
                                .as_int
                                .map(|n| n.i64() as f64)
                                .or(point.as_double.map(|double| double.0)),
                            state,
                        },
                    );
                }
            }
            let others = [
                &metric.histogram,
                &metric.exponential_histogram,
                &metric.summary,
            ];
            let others = others.into_iter().flatten();
            take.unused(
                others
                    .map(|points| items(&points.data_points).count() as u64)
                    .sum(),
            );
        }
        take.resource_ends();
    }
    Ok(())
}

/// Counts log records.
pub(super) fn count_logs(body: &[u8]) -> Result<u64, serde_json::Error> {
    let logs: Logs = parse(body)?;
    Ok(items(&logs.resource_logs)
        .flat_map(|resource| items(&resource.scope_logs))
        .map(|scope| items(&scope.log_records).count() as u64)
        .sum())
}
