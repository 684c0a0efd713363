//! What a window holds, as rows.

use std::sync::Arc;

use weighbridge_wire::{
    ALL_CLASSES, DistributionKey, EdgeKey, EdgeSizeKey, EntityKey, EntitySizeKey, OwnerKey,
    Quality, RowSet, RowValue, SeriesKey, column, limits, scope,
};

use super::apportion::{Http2Shares, largest_remainder};
use crate::alloc;
use crate::ledger::edge::{frame_weight, signed};
use crate::ledger::limits::cut;
use crate::ledger::names::EdgeName;
use crate::ledger::names::Resolved;
use crate::ledger::shard::{Arrivals, SLOT_NS, Shard, SizeCell};

/// A name given by the host, cut: the collector refuses a delta with a longer one as a whole.
fn short(name: &Arc<str>) -> Arc<str> {
    match cut(name) {
        whole if whole.len() == name.len() => name.clone(),
        shorter => shorter.into(),
    }
}

/// Brings figures beyond the bounds of the wire back to them, and returns how many there were: the collector
/// refuses a delta with one of them as a whole. A hundred streams that were open for a day and end together
/// are enough, and so is a host that reports a size of `u64::MAX`.
pub(super) fn bound_figures(rows: &mut RowSet) -> i64 {
    let bounded = |column: u32, value: i64| {
        let max = limits::column_max(column);
        value.clamp(-max, max)
    };
    let beyond: Vec<_> = rows
        .iter()
        .filter(|(_, row)| row.columns().any(|(n, value)| bounded(n, value) != value))
        .map(|(key, row)| (key.clone(), row.clone()))
        .collect();
    let mut figures = 0;
    for (key, row) in beyond {
        let mut within = RowValue::new();
        for (column, value) in row.columns() {
            let kept = bounded(column, value);
            figures += i64::from(kept != value);
            within.add(column, kept);
        }
        for (column, histogram) in row.histograms() {
            within.histogram_mut(column).merge(histogram);
        }
        for (column, sketch) in row.sketches() {
            within.add_sketch(column, sketch);
        }
        *rows.row_mut(key) = within;
    }
    figures
}

/// The same rows, those with CPU time marked as apportioned: the clock scaled its pieces.
pub(super) fn apportion_cpu(rows: &RowSet) -> RowSet {
    let mut marked = RowSet::new();
    for (key, row) in rows.iter() {
        let mut key = key.clone();
        let has_cpu = ALL_CLASSES
            .iter()
            .any(|class| row.get(class.column()).is_some())
            || row.get(column::CPU_EXCLUSIVE_NS).is_some()
            || row.histogram(column::HIST_REQUEST_CPU_NS).is_some();
        if has_cpu && key.quality == Quality::Measured {
            key.quality = Quality::Apportioned;
        }
        marked.add(key, row);
    }
    marked
}

pub(super) fn write_owners(rows: &mut RowSet, merged: &Shard, names: &Resolved) {
    let memory = alloc::is_installed();
    for (owner, cost) in names.owners.iter().zip(&merged.owners) {
        if cost.is_zero() {
            continue;
        }
        let key = OwnerKey {
            owner_kind: owner.kind.as_str().into(),
            name: owner.name.clone(),
        };
        cost.write(rows.row_mut(key.row_key(Quality::Measured)), memory);
    }
}

pub(super) fn write_distributions(rows: &mut RowSet, merged: &Shard, names: &Resolved) {
    for (id, cell) in &merged.distributions {
        let Some(name) = names.operation(*id) else {
            continue;
        };
        let key = |scope: &str| {
            DistributionKey {
                component: name.component.clone(),
                operation: name.operation.clone(),
                class: name.class.clone(),
                scope: scope.into(),
            }
            .row_key(Quality::Measured)
        };
        let all = rows.row_mut(key(scope::ALL));
        all.histogram_mut(column::HIST_REQUEST_CPU_NS)
            .merge(&cell.request_cpu);
        all.histogram_mut(column::HIST_WALL_NS).merge(&cell.wall);
        if !cell.root_wall.is_empty() {
            rows.row_mut(key(scope::ROOT))
                .histogram_mut(column::HIST_WALL_NS)
                .merge(&cell.root_wall);
        }
    }
}

/// One row per known operation, also when nothing arrived: a slot without arrivals is an observation.
pub(super) fn write_series(rows: &mut RowSet, merged: &Shard, names: &Resolved, length_ns: u64) {
    let slots = signed((length_ns + SLOT_NS / 2) / SLOT_NS);
    for name in names.operations() {
        if name.operation.is_empty() {
            continue;
        }
        let arrivals = merged.arrivals.get(&name.id);
        let sum =
            |f: fn(i64) -> i64| arrivals.map_or(0, |slots: &Arrivals| slots.counts().map(f).sum());
        let key = SeriesKey {
            operation: name.operation.clone(),
            class: name.class.clone(),
        };
        let row = rows.row_mut(key.row_key(Quality::Measured));
        // Components of one operation share the row and its slots.
        if row.get(column::SLOTS).is_none() {
            row.add(column::SLOTS, slots);
        }
        row.add(column::ARRIVALS, sum(|n| n));
        row.add(column::ARRIVALS_SQUARED, sum(|n| n.saturating_mul(n)));
        row.add(column::IN_FLIGHT, name.take_in_flight_max());
    }
}

pub(super) fn write_edges(
    rows: &mut RowSet,
    merged: &Shard,
    shares: &Http2Shares,
    names: &Resolved,
) {
    for (id, cell) in &merged.edges {
        let Some(name) = names.edge(*id) else {
            continue;
        };
        let edge = &name.edge;
        let key = EdgeKey {
            side: edge.side.into(),
            mode: edge.mode.into(),
            transport: edge.transport.into(),
            component: name.name.component.clone(),
            operation: name.name.operation.clone(),
            class: name.name.class.clone(),
            peer_service: edge.peer_service.clone(),
            peer_operation: edge.peer_operation.clone(),
            call_id: edge.call_id.clone(),
            peer: short(&edge.peer),
            target: short(&edge.target),
            origin_service: name.origin.service.clone(),
            origin_operation: name.origin.operation.clone(),
        };
        let http2 = shares.of_edge(cell);
        if let Some([protocol_ns, io_ns]) = http2 {
            let row = rows.row_mut(key.clone().row_key(Quality::Apportioned));
            row.add(column::CPU_PROTOCOL_NS, protocol_ns);
            row.add(column::CPU_IO_NS, io_ns);
        }
        let row = rows.row_mut(key.row_key(Quality::Measured));
        for (column, value) in [
            (column::REQUEST_MESSAGES, Some(cell.request_messages)),
            (column::REQUEST_BODY_BYTES, Some(cell.request_body_bytes)),
            (column::REQUEST_WIRE_BYTES, cell.request_wire_bytes),
            (column::RESPONSE_MESSAGES, Some(cell.response_messages)),
            (column::RESPONSE_BODY_BYTES, Some(cell.response_body_bytes)),
            (column::RESPONSE_WIRE_BYTES, cell.response_wire_bytes),
            (column::CPU_ENCODE_NS, cell.encode_ns),
            (column::CPU_DECODE_NS, cell.decode_ns),
            (column::CPU_PROTOCOL_NS, cell.protocol_ns),
            (column::CPU_IO_NS, cell.io_ns),
            (column::WAIT_NS, cell.wait_ns),
            (column::ERRORS, Some(cell.errors)),
            (column::RETRIES, Some(cell.retries)),
            (column::REDELIVERED, Some(cell.redelivered)),
        ] {
            if let Some(value) = value {
                row.add(column, value);
            }
        }
        let http2 = http2.map(|[protocol, io]| [protocol, io].map(|ns| by_size(ns, &cell.sizes)));
        for (n, size) in cell.sizes.iter().enumerate() {
            let of_http2 = http2
                .as_ref()
                .map(|columns| columns.each_ref().map(|c| c[n]));
            write_size(rows, name, size, of_http2);
        }
    }
}

/// A cost of an HTTP/2 connection over the messages of an edge, by what their frames weigh.
fn by_size(ns: i64, sizes: &[SizeCell]) -> Vec<i64> {
    let unsigned = |n: i64| u64::try_from(n).unwrap_or(0);
    let weights: Vec<i64> = sizes
        .iter()
        .map(|size| frame_weight(unsigned(size.messages), unsigned(size.body_bytes)))
        .collect();
    largest_remainder(ns, &weights)
}

fn write_size(rows: &mut RowSet, name: &EdgeName, size: &SizeCell, http2: Option<[i64; 2]>) {
    let id = &name.edge;
    let key = EdgeSizeKey {
        side: id.side.into(),
        transport: id.transport.into(),
        operation: name.name.operation.clone(),
        peer_service: id.peer_service.clone(),
        peer_operation: id.peer_operation.clone(),
        call_id: id.call_id.clone(),
        direction: size.direction.as_str().into(),
        size_class: size.class.to_string().into(),
    };
    let row = rows.row_mut(key.clone().row_key(Quality::Measured));
    row.add(column::MESSAGES, size.messages);
    row.add(column::BODY_BYTES, size.body_bytes);
    for (column, value) in [
        (column::CPU_ENCODE_NS, size.encode_ns),
        (column::CPU_DECODE_NS, size.decode_ns),
    ] {
        if let Some(value) = value {
            row.add(column, value);
        }
    }
    // Both messages of an exchange share its parsing and its socket calls.
    for (column, value) in [
        (column::CPU_PROTOCOL_NS, size.protocol_ns),
        (column::CPU_IO_NS, size.io_ns),
        (column::CPU_PROTOCOL_NS, http2.map(|[protocol, _]| protocol)),
        (column::CPU_IO_NS, http2.map(|[_, io]| io)),
    ] {
        if let Some(value) = value {
            rows.row_mut(key.clone().row_key(Quality::Apportioned))
                .add(column, value);
        }
    }
}

pub(super) fn write_entities(rows: &mut RowSet, merged: &Shard, names: &Resolved) {
    for (id, cell) in &merged.entities {
        let Some(entity) = names.entity(*id) else {
            continue;
        };
        let key = EntityKey {
            component: entity.name.component.clone(),
            operation: entity.name.operation.clone(),
            class: entity.name.class.clone(),
            database: short(&entity.database),
            entity: entity.entity.clone(),
            access: entity.access.into(),
        };
        let row = rows.row_mut(key.row_key(Quality::Measured));
        row.add(column::STATEMENTS, cell.statements);
        for (column, value) in [(column::ROWS, cell.rows), (column::BYTES, cell.bytes)] {
            if let Some(value) = value {
                row.add(column, value);
            }
        }
    }
    for ((database, entity), (count, bytes)) in &merged.entity_sizes {
        let key = EntitySizeKey {
            database: database.clone(),
            entity: entity.clone(),
        };
        let row = rows.row_mut(key.row_key(Quality::Measured));
        for (column, value) in [(column::ROW_COUNT, count), (column::SIZE_BYTES, bytes)] {
            if let Some(value) = value {
                row.add(column, *value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use weighbridge_wire::{Delta, EntitySizeKey, Epoch, Identity, Totals, Window, mode, side};

    use super::*;
    use crate::ledger::{EdgeFigures, EdgeId, record_edge};
    use crate::testing::Books;

    #[test]
    fn no_figure_and_no_name_of_the_host_makes_a_delta_that_is_refused() {
        let mut books = Books::open();
        crate::entity_size("db-bounds", "huge", Some(u64::MAX), Some(7));
        let long: Arc<str> = "t".repeat(limits::STRING_BYTES_MAX + 1).into();
        let edge = EdgeId {
            side: side::CALLER,
            mode: mode::SYNC,
            transport: "http",
            peer_service: "".into(),
            peer_operation: "".into(),
            call_id: "b0".into(),
            peer: long.clone(),
            target: long,
        };
        let figures = EdgeFigures {
            request_messages: 1,
            wait_ns: Some(u64::MAX / 4),
            ..EdgeFigures::default()
        };
        record_edge(None, &edge, &figures);
        let rows = books.rotate().rows;
        let delta = Delta {
            identity: Identity {
                service: "bounds".into(),
                instance: "1".into(),
                ..Identity::default()
            },
            epoch: Epoch([1; 16]),
            seq: 0,
            window: Window {
                start_unix_ns: 0,
                end_unix_ns: 1,
            },
            rows,
            cumulative: Totals::default(),
            tombstones: Vec::new(),
        };
        let decoded = Delta::decode(&delta.encode()).expect("a delta that is taken");
        let key = EntitySizeKey {
            database: "db-bounds".into(),
            entity: "huge".into(),
        };
        let size = decoded.rows.get(&key.row_key(Quality::Measured)).unwrap();
        assert_eq!(size.get(column::ROW_COUNT), Some(limits::GAUGE_MAX));
        assert_eq!(size.get(column::SIZE_BYTES), Some(7), "the others stay");
        assert!(books.lost("agent.figures") >= 2, "and it is counted");
    }
}
