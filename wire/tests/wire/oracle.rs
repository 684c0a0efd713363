//! A second reader: the generated decoder, then the plainest code over the public API. Only for tests,
//! since it builds everything before it counts.

use prost::Message as _;
use weighbridge_wire::{
    Delta, Epoch, Histogram, Identity, Quality, RowKey, RowSet, RowValue, Sketch, Tombstone,
    Totals, Window, pb,
};

/// What the bytes say; `None` when the generated decoder refuses them or they make no sense to it.
pub(crate) fn delta(bytes: &[u8]) -> Option<Delta> {
    let read = pb::Delta::decode(bytes).ok()?;
    let identity = read.identity?;
    let window = read.window?;
    let totals = read.cumulative.unwrap_or_default();
    Some(Delta {
        identity: Identity {
            namespace: identity.namespace,
            environment: identity.environment,
            service: identity.service,
            version: identity.version,
            instance: identity.instance,
            host: identity.host,
        },
        epoch: Epoch(read.epoch.try_into().ok()?),
        seq: read.seq,
        window: Window {
            start_unix_ns: window.start_unix_ns,
            end_unix_ns: window.end_unix_ns,
        },
        rows: rows(&read.rows, &read.strings)?,
        cumulative: Totals {
            started: totals.started,
            ended: totals.ended,
            process_cpu_ns: totals.process_cpu_ns,
            accounts_cpu_ns: totals.accounts_cpu_ns,
        },
        tombstones: read
            .tombstones
            .iter()
            .map(|t| Tombstone {
                seq_first: t.seq_first,
                seq_last: t.seq_last,
                ended: t.ended,
                cpu_ns: t.cpu_ns,
            })
            .collect(),
    })
}

fn rows(read: &[pb::Row], strings: &[String]) -> Option<RowSet> {
    let mut rows = RowSet::new();
    for row in read {
        let parts: Option<Box<[_]>> = row
            .key
            .iter()
            .map(|&at| Some(strings.get(at as usize)?.as_str().into()))
            .collect();
        let mut value = RowValue::new();
        for (&column, &v) in row.column.iter().zip(&row.value) {
            value.add(column, v);
        }
        for histogram in &row.histogram {
            let mut built = Histogram::new();
            let mut index = 0;
            for (delta, &count) in histogram.bucket_delta.iter().zip(&histogram.count) {
                index += delta;
                assert!(built.add_bucket(index, count));
            }
            value.histogram_mut(histogram.id).merge(&built);
        }
        for sketch in &row.sketch {
            let mut built = Sketch::new(sketch.k);
            sketch.hash.iter().for_each(|&hash| built.insert(hash));
            value.add_sketch(sketch.id, &built);
        }
        let quality = Quality::from_wire(u8::try_from(row.quality).ok()?);
        rows.add(
            RowKey {
                kind: row.kind,
                quality,
                parts: parts?,
            },
            &value,
        );
    }
    Some(rows)
}
