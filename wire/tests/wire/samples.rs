//! Deltas to test with: one that looks like a service's, and strategies for any that a reader takes.

use std::sync::Arc;

use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use weighbridge_wire::{
    Delta, DistributionKey, EdgeKey, EntityKey, Epoch, Histogram, Identity, LossKey, Merge,
    OperationKey, OwnerKey, ProcessKey, Quality, RowKey, RowSet, RowValue, Sketch, Tombstone,
    Totals, Window, column, limits,
};

pub(crate) fn text(s: &str) -> Arc<str> {
    Arc::from(s)
}

/// A window of a small service: every figure is fixed, so the bytes are.
pub(crate) fn delta() -> Delta {
    Delta {
        identity: Identity {
            namespace: "shop".into(),
            environment: "test".into(),
            service: "store".into(),
            version: "1.2.3".into(),
            instance: "store-1".into(),
            host: "box".into(),
        },
        epoch: Epoch(*b"\0\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\xff"),
        seq: 7,
        window: Window {
            start_unix_ns: 1_700_000_000_000_000_000,
            end_unix_ns: 1_700_000_010_000_000_000,
        },
        rows: rows(),
        cumulative: Totals {
            started: 1_234,
            ended: 1_230,
            process_cpu_ns: 987_654_321,
            accounts_cpu_ns: 987_000_000,
        },
        tombstones: vec![Tombstone {
            seq_first: 2,
            seq_last: 4,
            ended: 30,
            cpu_ns: 1_000_000,
        }],
    }
}

pub(crate) fn rows() -> RowSet {
    let operation = OperationKey {
        component: text(""),
        operation: text("POST /orders"),
        class: text("bulk"),
        caller_service: text(""),
        caller_operation: text(""),
        origin_service: text("store"),
        origin_operation: text("POST /orders"),
    };
    let edge = EdgeKey {
        side: text("caller"),
        mode: text("sync"),
        transport: text("http"),
        component: text(""),
        operation: text("POST /orders"),
        class: text("bulk"),
        peer_service: text(""),
        peer_operation: text(""),
        call_id: text("0123456789abcdef"),
        peer: text("warehouse"),
        target: text("GET /stock/{sku}"),
        origin_service: text("store"),
        origin_operation: text("POST /orders"),
    };
    let entity = EntityKey {
        component: text(""),
        operation: text("POST /orders"),
        class: text("bulk"),
        database: text("store.db"),
        entity: text("product"),
        access: text("read"),
    };
    let process = ProcessKey {
        instance: text("store-1"),
        host: text("box"),
        epoch: text("000102030405060708090a0b0c0d0eff"),
        clock_mode: text("thread"),
        agent_version: text("0.1.0"),
    };
    let distribution = DistributionKey {
        component: text(""),
        operation: text("POST /orders"),
        class: text("bulk"),
        scope: text("all"),
    };
    let owner = |kind: &str, name: &str| OwnerKey {
        owner_kind: text(kind),
        name: text(name),
    };
    let loss = LossKey {
        place: text("agent.operations"),
        reason: text("table full"),
    };

    let mut wall = RowValue::new();
    for n in 0..40 {
        wall.histogram_mut(column::HIST_WALL_NS)
            .record(1_000_000 + n * n * 20_000);
        wall.histogram_mut(column::HIST_REQUEST_CPU_NS)
            .record(200_000 + n * 1_000);
    }
    let mut keys = Sketch::new(8);
    (1..20u64).for_each(|n| keys.insert(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    let mut touched = RowValue::new()
        .with(column::STATEMENTS, 120)
        .with(column::KEYS_MORE, 40);
    touched.add_sketch(column::SKETCH_KEYS, &keys);

    [
        (
            operation.row_key(Quality::Measured),
            RowValue::new()
                .with(column::STARTED, 42)
                .with(column::ENDED, 40)
                .with(column::ERRORS, 1)
                .with(column::IN_FLIGHT_NS, 123_456_789)
                .with(column::CPU_HANDLER_NS, 8_000_000)
                .with(column::CPU_ENCODE_NS, 400_000)
                .with(column::PEAK_LIVE_BYTES, 65_536),
        ),
        (
            owner("runtime", "runtime or unwrapped").row_key(Quality::Measured),
            RowValue::new().with(column::CPU_HANDLER_NS, 300_000),
        ),
        (
            owner("unattributed", "").row_key(Quality::Measured),
            RowValue::new().with(column::CPU_HANDLER_NS, -12_345),
        ),
        (
            edge.row_key(Quality::Measured),
            RowValue::new()
                .with(column::REQUEST_MESSAGES, 120)
                .with(column::REQUEST_BODY_BYTES, 0)
                .with(column::RESPONSE_BODY_BYTES, 9_600)
                .with(column::WAIT_NS, 77_000_000),
        ),
        (entity.row_key(Quality::Measured), touched),
        (distribution.row_key(Quality::Measured), wall),
        (
            process.row_key(Quality::Measured),
            RowValue::new()
                .with(column::CPU_PROCESS_NS, 9_000_000)
                .with(column::CPU_CUMULATIVE_NS, 987_654_321)
                .with(column::RSS_BYTES, 30_000_000),
        ),
        (
            loss.row_key(Quality::Measured),
            RowValue::new().with(column::LOST, 3),
        ),
    ]
    .into_iter()
    .collect()
}

pub(crate) fn any_text() -> impl Strategy<Value = Arc<str>> {
    prop_oneof![
        Just(text("")),
        Just(text("store")),
        Just(text("GET /orders/{id}")),
        "[a-z/\u{e9}\n\u{0}]{0,12}".prop_map(Arc::from),
    ]
}

pub(crate) fn any_key() -> impl Strategy<Value = RowKey> {
    let kind = prop_oneof![4 => 1..=13u32, 1 => 1..=u32::MAX];
    let quality = prop_oneof![4 => 1..=4u8, 1 => 1..=u8::MAX];
    (kind, quality, vec(any_text(), 0..=limits::KEY_PARTS_MAX)).prop_map(
        |(kind, quality, parts)| RowKey {
            kind,
            quality: Quality::from_wire(quality),
            parts: parts.into(),
        },
    )
}

fn any_figure() -> impl Strategy<Value = (u32, i64)> {
    let column = prop_oneof![4 => 0..410u32, 1 => any::<u32>()];
    (column, any::<i64>(), 0..4u8).prop_map(|(column, value, how)| {
        let limit = match Merge::of(column) {
            Merge::Sum => limits::VALUE_MAX,
            Merge::Max | Merge::Min => limits::GAUGE_MAX,
        };
        let value = match how {
            0 => value % 1_000,
            1 => limit,
            2 => -limit,
            _ => value % (limit + 1),
        };
        (column, value)
    })
}

pub(crate) fn any_histogram() -> impl Strategy<Value = Histogram> {
    let count = prop_oneof![1..1_000u64, Just(limits::VALUE_MAX.unsigned_abs())];
    btree_map(0..=Histogram::INDEX_MAX, count, 0..20).prop_map(|buckets| {
        let mut histogram = Histogram::new();
        for (index, count) in buckets {
            assert!(histogram.add_bucket(index, count));
        }
        histogram
    })
}

pub(crate) fn any_sketch() -> impl Strategy<Value = Sketch> {
    (1..=64u32, btree_set(any::<u64>(), 0..80)).prop_map(|(k, hashes)| {
        let mut sketch = Sketch::new(k);
        hashes.into_iter().for_each(|hash| sketch.insert(hash));
        sketch
    })
}

pub(crate) fn any_value() -> impl Strategy<Value = RowValue> {
    (
        vec(any_figure(), 0..12),
        vec((any::<u32>(), any_histogram()), 0..3),
        vec((any::<u32>(), any_sketch()), 0..3),
    )
        .prop_map(|(figures, histograms, sketches)| {
            let mut value = RowValue::new();
            for (column, figure) in figures {
                if value.get(column).is_none() {
                    value.add(column, figure);
                }
            }
            for (column, histogram) in &histograms {
                value.histogram_mut(*column).merge(histogram);
            }
            for (column, sketch) in &sketches {
                value.add_sketch(*column, sketch);
            }
            value
        })
}

pub(crate) fn any_rows() -> impl Strategy<Value = RowSet> {
    btree_map(any_key(), any_value(), 0..12).prop_map(|rows| rows.into_iter().collect())
}

pub(crate) fn any_window() -> impl Strategy<Value = Window> {
    (
        0..limits::UNIX_NS_MAX - limits::WINDOW_NS_MAX,
        1..=limits::WINDOW_NS_MAX,
    )
        .prop_map(|(start_unix_ns, len_ns)| Window {
            start_unix_ns,
            end_unix_ns: start_unix_ns + len_ns,
        })
}

pub(crate) fn any_delta() -> impl Strategy<Value = Delta> {
    let total = || 0..=limits::GAUGE_MAX.unsigned_abs();
    let signed = || -limits::GAUGE_MAX..=limits::GAUGE_MAX;
    let seq = 1..=u64::MAX;
    (
        (vec(any_text(), 5), "[a-z]{1,9}"),
        any::<[u8; 16]>(),
        (
            seq,
            vec((any::<u64>(), any::<u64>(), total(), signed()), 0..4),
        ),
        any_window(),
        any_rows(),
        (total(), total(), signed(), signed()),
    )
        .prop_map(
            |((names, service), epoch, (seq, given_up), window, rows, totals)| Delta {
                identity: Identity {
                    namespace: names[0].to_string(),
                    environment: names[1].to_string(),
                    service,
                    version: names[2].to_string(),
                    instance: names[3].to_string(),
                    host: names[4].to_string(),
                },
                epoch: Epoch(epoch),
                seq,
                window,
                rows,
                cumulative: Totals {
                    started: totals.0,
                    ended: totals.1,
                    process_cpu_ns: totals.2,
                    accounts_cpu_ns: totals.3,
                },
                tombstones: given_up
                    .into_iter()
                    .map(|(a, b, ended, cpu_ns)| {
                        let (a, b) = (a % seq, b % seq);
                        Tombstone {
                            seq_first: a.min(b),
                            seq_last: a.max(b),
                            ended,
                            cpu_ns,
                        }
                    })
                    .collect(),
            },
        )
}
