//! Points of processes that cannot be kept: none is lost without being counted and told.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;

use super::*;
use crate::otlp::metrics::READINGS_MAX;
use crate::otlp::status::success;

/// CPU by its states and memory of processes, each a resource of its own.
fn request(processes: usize, cpu_s: &[(&str, f64)], memory: f64) -> ExportMetricsServiceRequest {
    let time = START_UNIX_NS + 20 * SECOND_NS;
    let sum = |data_points| {
        metrics::metric::Data::Sum(metrics::Sum {
            data_points,
            aggregation_temporality: 2,
            is_monotonic: true,
        })
    };
    let metric = |name: &str, data| metrics::Metric {
        name: name.into(),
        data: Some(data),
        ..Default::default()
    };
    let states = cpu_s.iter().map(|(state, s)| cpu(*s, time, state));
    let states: Vec<_> = states.collect();
    let bytes = metrics::NumberDataPoint {
        time_unix_nano: time,
        value: Some(Value::AsDouble(memory)),
        ..Default::default()
    };
    let of = |n: usize| metrics::ResourceMetrics {
        resource: Some(Resource {
            attributes: vec![
                text("service.name", "shop"),
                text("service.instance.id", &n.to_string()),
            ],
            ..Default::default()
        }),
        scope_metrics: vec![metrics::ScopeMetrics {
            metrics: vec![
                metric("process.cpu.time", sum(states.clone())),
                metric("process.memory.usage", sum(vec![bytes.clone()])),
            ],
            ..Default::default()
        }],
        ..Default::default()
    };
    ExportMetricsServiceRequest {
        resource_metrics: (0..processes).map(of).collect(),
    }
}

fn rejected(tally: &Tally) -> (i64, String) {
    let told = success(Signal::Metrics, Format::Protobuf, tally);
    let told = ExportMetricsServiceResponse::decode(&told[..]).unwrap();
    let partial = told.partial_success.unwrap_or_default();
    (partial.rejected_data_points, partial.error_message)
}

#[test]
fn points_of_more_processes_than_fit_are_rejected_and_told() {
    let body = request(READINGS_MAX + 3, &[("user", 2.0), ("system", 1.0)], 7.0).encode_to_vec();
    let (derived, tally) = of(Signal::Metrics, Format::Protobuf, &body).unwrap();
    let fit = READINGS_MAX as u64 * 3;
    assert_eq!((tally.spans, tally.too_many, tally.rejected()), (fit, 9, 9));
    let [(_, _, rows)] = &derived.windows[..] else {
        panic!("{} windows", derived.windows.len());
    };
    assert_eq!(rows.of_kind(RowKind::Process).count(), READINGS_MAX);
    // None is told by half: each has both states of its CPU.
    for (_, value) in rows.of_kind(RowKind::Process) {
        assert_eq!(value.get(column::CPU_CUMULATIVE_NS), Some(3_000_000_000));
        assert_eq!(value.get(column::RSS_BYTES), Some(7));
    }
    let (points, why) = rejected(&tally);
    assert_eq!(points, 9);
    assert!(
        why.contains("9 of more processes") && why.contains(&READINGS_MAX.to_string()),
        "{why}"
    );
    let json = success(Signal::Metrics, Format::Json, &tally);
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["partialSuccess"]["rejectedDataPoints"], "9");
}

#[test]
fn values_that_no_process_can_have_are_rejected_with_all_their_points() {
    for (cpu_s, memory, bad) in [
        (&[("user", -2.0), ("system", 1.0)][..], 7.0, 2),
        (
            &[("user", 1e300), ("system", 1e300), ("user", 1.0)][..],
            7.0,
            3,
        ),
        (&[("user", 2.0)][..], -1.0, 1),
        (&[("user", 2.0)][..], f64::NAN, 1),
    ] {
        let body = request(1, cpu_s, memory).encode_to_vec();
        let (_, tally) = of(Signal::Metrics, Format::Protobuf, &body).unwrap();
        let sent = cpu_s.len() as u64 + 1;
        assert_eq!(
            (tally.spans, tally.invalid, tally.rejected()),
            (sent - bad, bad, bad),
            "{cpu_s:?} {memory}"
        );
        assert_eq!(rejected(&tally).0, i64::try_from(bad).unwrap());
    }
}
