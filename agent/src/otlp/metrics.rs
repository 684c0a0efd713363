//! Rows as metrics.
//!
//! A column of a row kind is a metric `weighbridge.KIND.COLUMN` in the ledger's own unit, an integer; the parts of
//! the row's key are attributes `weighbridge.PART`. What conventions have a name for stands under that name too.

use std::collections::BTreeMap;

use weighbridge_wire::{
    ColumnInfo, Identity, Merge, OTHER, OperationKey, RowKey, RowKind, RowSet, RowValue, Unit,
    column,
};

use super::OTLP_ROWS_MAX;
use super::config::Temporality;
use super::message::{
    Data, ExportMetricsServiceRequest, Gauge, KeyValue, Metric, Number, NumberDataPoint, Resource,
    ResourceMetrics, Scope, ScopeMetrics, Sum,
};

const NS_PER_S: f64 = 1e9;

/// The rows of a range of time that are to be exported.
#[derive(Debug)]
pub(super) struct Range {
    pub(super) rows: RowSet,
    pub(super) start_unix_ns: u64,
    pub(super) end_unix_ns: u64,
}

/// The key under which a row is exported: without what would make it one of many. `None` for kinds that are not.
fn exported(key: &RowKey) -> Option<RowKey> {
    let mut key = key.clone();
    match RowKind::from_wire(key.kind)? {
        RowKind::Operation => {
            let folded = OperationKey {
                caller_service: "".into(),
                caller_operation: "".into(),
                origin_service: "".into(),
                origin_operation: "".into(),
                ..OperationKey::read(&key)?
            };
            Some(folded.row_key(key.quality))
        }
        RowKind::Edge => {
            // Service and operation at which the chain began come last.
            let n = key.parts.len().saturating_sub(2);
            key.parts = (key.parts.iter().enumerate())
                .map(|(at, part)| if at < n { part.clone() } else { "".into() })
                .collect();
            Some(key)
        }
        RowKind::Owner
        | RowKind::Entity
        | RowKind::EntitySize
        | RowKind::CallShape
        | RowKind::Process
        | RowKind::Loss => Some(key),
        _ => None,
    }
}

/// The same rows without what holds for one window only.
pub(super) fn sums(rows: &RowSet) -> RowSet {
    let mut kept = RowSet::new();
    for (key, row) in rows.iter() {
        let sums = row
            .columns()
            .filter(|(column, _)| Merge::of(*column) == Merge::Sum)
            .fold(RowValue::new(), |sums, (column, value)| {
                sums.with(column, value)
            });
        kept.add(key.clone(), &sums);
    }
    kept
}

/// Adds a window's rows. Returns how many found no room under their own key.
pub(super) fn add(into: &mut RowSet, rows: &RowSet) -> u64 {
    let mut folded = 0;
    for (key, row) in rows.iter() {
        let Some(mut key) = exported(key) else {
            continue;
        };
        let fixed = matches!(
            RowKind::from_wire(key.kind),
            Some(RowKind::Process | RowKind::Loss)
        );
        if !fixed && into.len() >= OTLP_ROWS_MAX && into.get(&key).is_none() {
            folded += 1;
            // Words of ours stay with the kinds that begin with one.
            let kept = match RowKind::from_wire(key.kind) {
                Some(RowKind::Edge) => 3,
                Some(RowKind::Owner) => 1,
                _ => 0,
            };
            key.parts = (key.parts.iter().enumerate())
                .map(|(at, part)| {
                    if at < kept || part.is_empty() {
                        part.clone()
                    } else {
                        OTHER.into()
                    }
                })
                .collect();
        }
        into.add(key, row);
    }
    folded
}

/// The request that carries a range.
pub(super) fn request(
    identity: &Identity,
    range: &Range,
    temporality: Temporality,
) -> ExportMetricsServiceRequest {
    let mut metrics = Metrics {
        by_name: BTreeMap::new(),
        range,
        temporality,
    };
    for (key, row) in range.rows.iter() {
        let Some(kind) = RowKind::from_wire(key.kind) else {
            continue;
        };
        let attributes = attributes(kind, key);
        for (column, value) in row.columns() {
            if let Some(info) = ColumnInfo::find(column) {
                let name = format!("weighbridge.{}.{}", kind.as_str(), info.name.to_lowercase());
                metrics.add(
                    &name,
                    info.meaning,
                    unit(info.unit),
                    column,
                    &attributes,
                    Number::AsInt(value),
                );
            }
            if kind == RowKind::Process {
                metrics.add_convention(column, value);
            }
        }
    }
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(Resource {
                attributes: resource(identity),
            }),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(Scope {
                    name: "weighbridge-agent".to_owned(),
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                }),
                metrics: metrics.by_name.into_values().collect(),
            }],
        }],
    }
}

struct Metrics<'a> {
    by_name: BTreeMap<String, Metric>,
    range: &'a Range,
    temporality: Temporality,
}

impl Metrics<'_> {
    fn add(
        &mut self,
        name: &str,
        description: &str,
        unit: &str,
        column: u32,
        attributes: &[KeyValue],
        value: Number,
    ) {
        let point = NumberDataPoint {
            start_time_unix_nano: self.range.start_unix_ns,
            time_unix_nano: self.range.end_unix_ns,
            value: Some(value),
            attributes: attributes.to_vec(),
        };
        let temporality = self.temporality;
        let metric = self
            .by_name
            .entry(name.to_owned())
            .or_insert_with(|| Metric {
                name: name.to_owned(),
                description: description.to_owned(),
                unit: unit.to_owned(),
                data: Some(match Merge::of(column) {
                    Merge::Sum => Data::Sum(Sum {
                        data_points: Vec::new(),
                        aggregation_temporality: match temporality {
                            Temporality::Delta => 1,
                            Temporality::Cumulative => 2,
                        },
                        // Corrections and moves subtract.
                        is_monotonic: false,
                    }),
                    Merge::Max | Merge::Min => Data::Gauge(Gauge {
                        data_points: Vec::new(),
                    }),
                }),
            });
        match &mut metric.data {
            Some(Data::Sum(sum)) => sum.data_points.push(point),
            Some(Data::Gauge(gauge)) => gauge.data_points.push(point),
            None => {}
        }
    }

    /// A column of the process under the name that semantic conventions have for it.
    fn add_convention(&mut self, column: u32, value: i64) {
        #[allow(clippy::cast_precision_loss)]
        let seconds = Number::AsDouble(value as f64 / NS_PER_S);
        let mode = |mode: &str| vec![KeyValue::new("cpu.mode", mode)];
        let switches = |kind: &str| vec![KeyValue::new("process.context_switch.type", kind)];
        let int = Number::AsInt(value);
        let (name, unit, attributes, value) = match column {
            column::CPU_USER_NS => ("process.cpu.time", "s", mode("user"), seconds),
            column::CPU_SYSTEM_NS => ("process.cpu.time", "s", mode("system"), seconds),
            column::RSS_BYTES => ("process.memory.usage", "By", Vec::new(), int),
            column::THREADS => ("process.thread.count", "{thread}", Vec::new(), int),
            column::SWITCHES_VOLUNTARY => (
                "process.context_switches",
                "{context_switch}",
                switches("voluntary"),
                int,
            ),
            column::SWITCHES_INVOLUNTARY => (
                "process.context_switches",
                "{context_switch}",
                switches("involuntary"),
                int,
            ),
            _ => return,
        };
        let meaning = ColumnInfo::find(column).map_or("", |info| info.meaning);
        self.add(name, meaning, unit, column, &attributes, value);
    }
}

fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Count => "1",
        Unit::Nanoseconds => "ns",
        Unit::Bytes => "By",
        Unit::MilliCores => "m{core}",
        Unit::CountNanoseconds => "ns",
    }
}

fn attributes(kind: RowKind, key: &RowKey) -> Vec<KeyValue> {
    let mut attributes: Vec<KeyValue> = kind
        .part_names()
        .iter()
        .zip(&key.parts)
        .filter(|(_, part)| !part.is_empty())
        .map(|(name, part)| KeyValue::new(format!("weighbridge.{name}"), &**part))
        .collect();
    attributes.push(KeyValue::new("weighbridge.quality", key.quality.as_str()));
    if let Some(operation) = OperationKey::read(key) {
        attributes.extend(conventions(&operation.operation));
    }
    attributes
}

/// What conventions call an operation: method and route, or the method of an RPC.
fn conventions(operation: &str) -> Vec<KeyValue> {
    match operation.split_once(' ') {
        Some((method, route)) if route.starts_with('/') => vec![
            KeyValue::new("http.request.method", method),
            KeyValue::new("http.route", route),
        ],
        None if operation.contains('/') => vec![KeyValue::new("rpc.method", operation)],
        _ => Vec::new(),
    }
}

fn resource(identity: &Identity) -> Vec<KeyValue> {
    [
        ("service.name", &identity.service),
        ("service.namespace", &identity.namespace),
        ("service.version", &identity.version),
        ("service.instance.id", &identity.instance),
        ("deployment.environment.name", &identity.environment),
        ("host.name", &identity.host),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
    .map(|(key, value)| KeyValue::new(key, value.as_str()))
    .collect()
}
