//! Metrics: CPU and memory of processes are kept, everything else is counted.
//!
//! A cumulative counter is kept as what it is: the largest reading of a window. What a window cost is the difference
//! of two readings, taken when it is asked for, so that late and shuffled points change nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use weighbridge_wire::{ProcessKey, Quality, RowSet, RowValue, ServiceId, Window, column};

use super::attributes::{ResourceAttributes, Scalar, key_value};
use super::derive::{Rules, Tally, service_id};
use super::derived::Derived;
use super::proto::{Fields, Malformed, Value};
use super::spans::{each_message, resource};

/// Most readings of processes in one request, of CPU and of memory each; the points of further ones are rejected.
pub(super) const READINGS_MAX: usize = 4_096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Temporality {
    Cumulative,
    Delta,
}

/// One number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point<'a> {
    pub(crate) temporality: Temporality,
    pub(crate) time_unix_ns: u64,
    pub(crate) value: Option<f64>,
    /// `user`, `system`, … of CPU time; `heap`, `non_heap` of memory.
    pub(crate) state: Option<&'a [u8]>,
}

/// Takes what a request holds.
pub(crate) trait TakePoints {
    fn resource(&mut self, attributes: &ResourceAttributes<'_>);
    fn point(&mut self, name: &[u8], unit: &[u8], point: &Point<'_>);
    /// Points of kinds that are not used.
    fn unused(&mut self, points: u64);
    fn resource_ends(&mut self);
}

/// The attribute that splits CPU time or memory.
pub(crate) fn take_state<'a>(key: &[u8], value: Scalar<'a>, state: &mut Option<&'a [u8]>) {
    let splits = matches!(
        key,
        b"cpu.mode" | b"process.cpu.state" | b"state" | b"type" | b"jvm.memory.type"
    );
    if splits && let Scalar::Text(text) = value {
        *state = Some(text);
    }
}

/// Reads an `ExportMetricsServiceRequest`.
pub(crate) fn read(bytes: &[u8], take: &mut impl TakePoints) -> Result<(), Malformed> {
    each_message(bytes, 1, |resource_metrics| {
        take.resource(&resource(resource_metrics)?);
        each_message(resource_metrics, 2, |scope| {
            each_message(scope, 2, |metric| read_metric(metric, take))
        })?;
        take.resource_ends();
        Ok(())
    })
}

fn read_metric(bytes: &[u8], take: &mut impl TakePoints) -> Result<(), Malformed> {
    let (mut name, mut unit, mut data) = (&[][..], &[][..], None);
    let mut fields = Fields(bytes);
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (1, Value::Bytes(bytes)) => name = bytes,
            (3, Value::Bytes(bytes)) => unit = bytes,
            (5 | 7 | 9..=11, Value::Bytes(bytes)) => data = Some((number, bytes)),
            _ => {}
        }
    }
    let Some((kind, data)) = data else {
        return Ok(());
    };
    let mut temporality = Temporality::Cumulative;
    let mut fields = Fields(data);
    let mut points = 0;
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (1, _) => points += 1,
            (2, Value::Varint(1)) if kind == 7 => temporality = Temporality::Delta,
            _ => {}
        }
    }
    if kind != 5 && kind != 7 {
        take.unused(points);
        return Ok(());
    }
    each_message(data, 1, |point| {
        let mut read = Point {
            temporality,
            time_unix_ns: 0,
            value: None,
            state: None,
        };
        let mut fields = Fields(point);
        while let Some((number, value)) = fields.next()? {
            match (number, value) {
                (3, Value::Fixed64(ns)) => read.time_unix_ns = ns,
                (4, Value::Fixed64(bits)) => read.value = Some(f64::from_bits(bits)),
                (6, Value::Fixed64(bits)) => read.value = Some(bits.cast_signed() as f64),
                (7, Value::Bytes(bytes)) => {
                    key_value(bytes, &mut |key, value| {
                        take_state(key, value, &mut read.state);
                    })?;
                }
                _ => {}
            }
        }
        take.point(name, unit, &read);
        Ok(())
    })
}

/// Counts log records; they are read no further.
pub(crate) fn count_logs(bytes: &[u8]) -> Result<u64, Malformed> {
    let mut count = 0;
    each_message(bytes, 1, |resource| {
        each_message(resource, 2, |scope| {
            each_message(scope, 2, |record| {
                let mut fields = Fields(record);
                while fields.next()?.is_some() {}
                count += 1;
                Ok(())
            })
        })
    })?;
    Ok(count)
}

/// What a metric says of a process.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Meaning {
    /// CPU time; how much one is, ns.
    Cpu(f64),
    /// Bytes in memory.
    Memory,
}

/// By name: first those of the process itself, then of its runtime, then of its container.
fn meaning(name: &[u8], unit: &[u8]) -> Option<(&'static str, Meaning)> {
    let per_unit = match unit {
        b"ns" => 1.0,
        b"us" => 1e3,
        b"ms" => 1e6,
        // Seconds are the convention, and what is meant where nothing is said.
        _ => 1e9,
    };
    let cpu = |source| Some((source, Meaning::Cpu(per_unit)));
    let memory = |source| Some((source, Meaning::Memory));
    match name {
        b"process.cpu.time" | b"process_cpu_seconds_total" => cpu("process"),
        b"jvm.cpu.time"
        | b"dotnet.process.cpu.time"
        | b"process.runtime.cpython.cpu_time"
        | b"nodejs.process.cpu.time"
        | b"go.process.cpu.time" => cpu("runtime"),
        b"container.cpu.time" | b"k8s.pod.cpu.time" | b"container.cpu.usage.total" => {
            cpu("container")
        }
        b"process.memory.usage"
        | b"process.memory.physical_usage"
        | b"process_resident_memory_bytes" => memory("process"),
        b"jvm.memory.used"
        | b"dotnet.process.memory.working_set"
        | b"process.runtime.cpython.memory"
        | b"v8js.memory.heap.used" => memory("runtime"),
        b"container.memory.working_set"
        | b"k8s.pod.memory.working_set"
        | b"container.memory.usage" => memory("container"),
        _ => None,
    }
}

/// A process, as one source of metrics knows it, at one time.
type Reading = (Arc<ServiceId>, [String; 2], &'static str, u64);

/// What its points say together: one for each state, or one alone.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    value: f64,
    points: u64,
}

/// Turns points into process rows.
pub(crate) struct Derive<'s> {
    rules: &'s Rules,
    tally: Tally,
    service: Arc<ServiceId>,
    instance: String,
    host: String,
    cumulative: BTreeMap<Reading, Told>,
    deltas: BTreeMap<Reading, Told>,
    memory: BTreeMap<Reading, Told>,
}

/// CPU of points in these states is no time that the process ran.
const NOT_RUNNING: [&[u8]; 4] = [b"idle", b"wait", b"iowait", b"steal"];

impl<'s> Derive<'s> {
    pub(crate) fn new(rules: &'s Rules) -> Self {
        Self {
            rules,
            tally: Tally::default(),
            service: Arc::default(),
            instance: String::new(),
            host: String::new(),
            cumulative: BTreeMap::new(),
            deltas: BTreeMap::new(),
            memory: BTreeMap::new(),
        }
    }

    fn window(&self, time_unix_ns: u64) -> Window {
        // A reading at the very end of a window belongs to it.
        let within = time_unix_ns.saturating_sub(1);
        let start_unix_ns = within / self.rules.window_ns * self.rules.window_ns;
        Window {
            start_unix_ns,
            end_unix_ns: start_unix_ns + self.rules.window_ns,
        }
    }

    pub(crate) fn finish(mut self) -> (Derived, Tally) {
        use weighbridge_wire::limits::{GAUGE_MAX, VALUE_MAX};
        let cumulative = counted(&self.cumulative, GAUGE_MAX, &mut self.tally);
        let deltas = counted(&self.deltas, VALUE_MAX, &mut self.tally);
        let memory = counted(&self.memory, VALUE_MAX, &mut self.tally);
        let mut windows: BTreeMap<(Window, Arc<ServiceId>), RowSet> = BTreeMap::new();
        let mut put = |of: &Reading, value: RowValue| {
            let (service, [instance, host], source, time) = of;
            let key = ProcessKey {
                instance: instance.as_str().into(),
                host: host.as_str().into(),
                // A counter that begins anew goes back, and that is seen.
                epoch: "otlp".into(),
                clock_mode: format!("otlp {source}").into(),
                agent_version: "".into(),
            };
            windows
                .entry((self.window(*time), service.clone()))
                .or_default()
                .add(key.row_key(Quality::Measured), &value);
        };
        for (of, ns) in cumulative {
            put(of, RowValue::new().with(column::CPU_CUMULATIVE_NS, ns));
        }
        for (of, ns) in deltas {
            put(of, RowValue::new().with(column::CPU_TOLD_NS, ns));
        }
        for (of, bytes) in memory {
            let value = RowValue::new()
                .with(column::RSS_BYTES, bytes)
                .with(column::RSS_SUM_BYTES, bytes)
                .with(column::SAMPLES, 1);
            put(of, value);
        }
        let derived = Derived {
            windows: windows
                .into_iter()
                .map(|((window, service), rows)| (window, service, rows))
                .collect(),
            ..Derived::default()
        };
        (derived, self.tally)
    }
}

/// The readings that can be kept; the points of the others are rejected.
fn counted<'r>(
    readings: &'r BTreeMap<Reading, Told>,
    max: i64,
    tally: &mut Tally,
) -> Vec<(&'r Reading, i64)> {
    let mut kept = Vec::with_capacity(readings.len());
    for (of, told) in readings {
        if told.value >= 0.0 && told.value <= max as f64 {
            kept.push((of, told.value as i64));
        } else {
            tally.spans -= told.points;
            tally.invalid += told.points;
        }
    }
    kept
}

impl TakePoints for Derive<'_> {
    fn resource(&mut self, attributes: &ResourceAttributes<'_>) {
        self.service = Arc::new(service_id(&self.rules.tenant, attributes));
        let text = |bytes: Option<&[u8]>| {
            let text = String::from_utf8_lossy(bytes.unwrap_or_default());
            text.chars()
                .filter(|c| !c.is_control())
                .take(128)
                .collect::<String>()
        };
        self.host = text(attributes.host);
        let pid = attributes.pid.map(|pid| format!("{}:{pid}", self.host));
        self.instance = [
            Some(text(attributes.instance)),
            Some(text(attributes.pod)),
            pid,
            Some(self.host.clone()),
        ]
        .into_iter()
        .flatten()
        .find(|name| !name.is_empty())
        .unwrap_or_default();
    }

    fn point(&mut self, name: &[u8], unit: &[u8], point: &Point<'_>) {
        let time = point.time_unix_ns;
        if time < self.rules.not_before_unix_ns {
            self.tally.too_old += 1;
            return;
        }
        if time > self.rules.not_after_unix_ns {
            self.tally.ahead += 1;
            return;
        }
        let Some(value) = point.value.filter(|value| value.is_finite()) else {
            self.tally.invalid += 1;
            return;
        };
        self.tally.spans += 1;
        let Some((source, meaning)) = meaning(name, unit) else {
            return;
        };
        let process = [self.instance.clone(), self.host.clone()];
        let of = (self.service.clone(), process, source, time);
        let (into, value) = match meaning {
            Meaning::Cpu(per_unit) => {
                if point
                    .state
                    .is_some_and(|state| NOT_RUNNING.contains(&state))
                {
                    return;
                }
                let into = match point.temporality {
                    Temporality::Cumulative => &mut self.cumulative,
                    Temporality::Delta => &mut self.deltas,
                };
                (into, value * per_unit)
            }
            Meaning::Memory => {
                let counts = match (name, point.state) {
                    (b"process.runtime.cpython.memory", Some(state)) => state == b"rss",
                    _ => true,
                };
                if !counts {
                    return;
                }
                (&mut self.memory, value)
            }
        };
        // A further state of a process that is known always fits, so that none is told by half.
        if into.len() >= READINGS_MAX && !into.contains_key(&of) {
            self.tally.spans -= 1;
            self.tally.too_many += 1;
            return;
        }
        let told = into.entry(of).or_default();
        told.value += value;
        told.points += 1;
    }

    fn unused(&mut self, points: u64) {
        self.tally.spans += points;
    }

    fn resource_ends(&mut self) {}
}
