//! What a window holds, as rows.

use std::cmp::Ordering;
use std::sync::Arc;

use weighbridge_wire::{
    ALL_CLASSES, DistributionKey, EdgeKey, EdgeSizeKey, EntityKey, EntitySizeKey, OperationKey,
    OwnerKey, Quality, RowSet, RowValue, SeriesKey, column, limits, scope,
};

use super::apportion::{Http2Shares, SHARED, largest_remainder};
use super::drivers::DriverShares;
use super::pages::Pages;
use super::retained;
use crate::alloc::{self, Retained};
use crate::ledger::edge::{add_known, frame_weight, signed};
use crate::ledger::limits::cut;
use crate::ledger::names::{EdgeName, OperationName, OperationRow, Resolved};
use crate::ledger::shard::{
    Arrivals, DistributionCell, EdgeCell, KeyCell, Merged, OperationCell, SLOT_NS, SizeCell,
};

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
pub(super) fn bound_figures(rows: &mut RowSet) -> u64 {
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
            figures += u64::from(kept != value);
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

pub(super) fn write_owners(rows: &mut RowSet, merged: &Merged, names: &Resolved) {
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

/// The order of keys by their parts. Names that are the same are mostly at the same place.
fn by_parts<const N: usize>(a: [&str; N], b: [&str; N]) -> Ordering {
    let differ = |(a, b): (&str, &str)| (!std::ptr::eq(a, b)).then(|| a.cmp(b));
    a.into_iter()
        .zip(b)
        .filter_map(differ)
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// Sorts by parts of a key and writes; what has the same parts shares rows.
fn write_sorted<T, const N: usize>(
    pages: &mut Pages<'_>,
    mut things: Vec<T>,
    parts: impl for<'t> Fn(&'t T) -> [&'t str; N],
    add: impl FnMut(&mut RowSet, &T),
) {
    things.sort_unstable_by(|a, b| by_parts(parts(a), parts(b)));
    let same = |a: &T, b: &T| by_parts(parts(a), parts(b)).is_eq();
    pages.write(&things, same, add);
}

/// Writes the operation rows: those of these cells, each with the integral of its requests in flight.
pub(super) fn write_operations(
    pages: &mut Pages<'_>,
    merged: &Merged,
    shares: &Http2Shares,
    names: &Resolved,
    in_flight: &[(u32, i64)],
) {
    let memory = alloc::is_installed();
    let things: Vec<_> = in_flight
        .iter()
        .filter_map(|&(id, in_flight_ns)| Some((names.row(id)?, in_flight_ns)))
        .collect();
    write_sorted(
        pages,
        things,
        |(row, _)| {
            [
                &row.name.component,
                &row.name.operation,
                &row.name.class,
                &row.caller.service,
                &row.caller.operation,
                &row.origin.service,
                &row.origin.operation,
            ]
        },
        |rows, (name, in_flight_ns)| {
            let cell = merged.operations.get(name.id).unwrap_or_default();
            let row = rows.row_mut(operation_key(name).row_key(Quality::Measured));
            add_operation(row, &cell, *in_flight_ns, memory);
            if let Some(shares) = shares.of_operation(name.id) {
                let row = rows.row_mut(operation_key(name).row_key(Quality::Apportioned));
                for (class, ns) in SHARED.iter().zip(shares) {
                    row.add(class.column(), ns);
                }
            }
            if let Some(shared) = &cell.shared {
                let row = rows.row_mut(operation_key(name).row_key(Quality::Apportioned));
                shared.cost.write(row, memory);
                row.add(column::LATE_CPU_NS, shared.late_cpu_ns);
            }
        },
    );
}

fn add_operation(row: &mut RowValue, cell: &OperationCell, in_flight_ns: i64, memory: bool) {
    cell.cost.write(row, memory);
    row.add(column::STARTED, cell.started);
    row.add(column::ENDED, cell.ended);
    row.add(column::ERRORS, cell.errors);
    row.add(column::CLIENT_ERRORS, cell.client_errors);
    row.add(column::IN_FLIGHT_NS, in_flight_ns);
    row.add(column::WALL_NS, cell.wall_ns);
    row.add(column::WAIT_CALL_NS, cell.wait_call_ns);
    row.add(column::WAIT_STORE_NS, cell.wait_store_ns);
    row.add(column::LATE_CPU_NS, cell.late_cpu_ns);
    if memory {
        row.add(column::PEAK_LIVE_BYTES, cell.peak_live_bytes);
        row.add(column::PEAK_LIVE_SUM_BYTES, cell.peak_live_sum_bytes);
    }
}

fn operation_key(row: &OperationRow) -> OperationKey {
    OperationKey {
        component: row.name.component.clone(),
        operation: row.name.operation.clone(),
        class: row.name.class.clone(),
        caller_service: row.caller.service.clone(),
        caller_operation: row.caller.operation.clone(),
        origin_service: row.origin.service.clone(),
        origin_operation: row.origin.operation.clone(),
    }
}

/// Writes histograms, and what operations retain.
pub(super) fn write_distributions(
    pages: &mut Pages<'_>,
    merged: &Merged,
    retained: Option<&Retained>,
    names: &Resolved,
) {
    let retained = retained.map(|retained| retained::OfOperations::new(retained, names));
    let things: Vec<_> = names
        .operations()
        .filter(|name| retained.is_some() || merged.distributions.has(name.id))
        .collect();
    write_sorted(
        pages,
        things,
        |name| [&name.component, &name.operation, &name.class],
        |rows, name| {
            if let Some(retained) = &retained {
                retained.add(rows, name);
            }
            if let Some(cell) = merged.distributions.get(name.id) {
                add_distribution(rows, name, &cell);
            }
        },
    );
}

fn add_distribution(rows: &mut RowSet, name: &OperationName, cell: &DistributionCell) {
    let of_quality = |scope: &str, quality| {
        DistributionKey {
            component: name.component.clone(),
            operation: name.operation.clone(),
            class: name.class.clone(),
            scope: scope.into(),
        }
        .row_key(quality)
    };
    let key = |scope: &str| of_quality(scope, Quality::Measured);
    let all = rows.row_mut(key(scope::ALL));
    all.histogram_mut(column::HIST_REQUEST_CPU_NS)
        .merge(&cell.request_cpu);
    let wall = all.histogram_mut(column::HIST_WALL_NS);
    wall.merge(&cell.called_wall);
    wall.merge(&cell.root_wall);
    if !cell.shared_request_cpu.is_empty() {
        rows.row_mut(of_quality(scope::ALL, Quality::Apportioned))
            .histogram_mut(column::HIST_REQUEST_CPU_NS)
            .merge(&cell.shared_request_cpu);
    }
    if !cell.root_wall.is_empty() {
        rows.row_mut(key(scope::ROOT))
            .histogram_mut(column::HIST_WALL_NS)
            .merge(&cell.root_wall);
    }
}

/// One row per known operation, also when nothing arrived: a slot without arrivals is an observation.
pub(super) fn write_series(
    pages: &mut Pages<'_>,
    merged: &Merged,
    names: &Resolved,
    length_ns: u64,
) {
    let slots = signed((length_ns + SLOT_NS / 2) / SLOT_NS);
    // Taking it begins the next window's, so it is done once.
    let things: Vec<_> = names
        .operations()
        .filter(|name| !name.operation.is_empty())
        .map(|name| (name, name.take_in_flight_max()))
        .collect();
    write_sorted(
        pages,
        things,
        |(name, _)| [&name.operation, &name.class],
        |rows, (name, in_flight_max)| {
            let arrivals = merged.arrivals.get(name.id);
            let sum = |f: fn(i64) -> i64| {
                arrivals
                    .as_ref()
                    .map_or(0, |slots: &Arrivals| slots.counts().map(f).sum())
            };
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
            row.add(column::IN_FLIGHT, *in_flight_max);
        },
    );
}

/// Writes edges, and then their messages by size.
pub(super) fn write_edges(
    pages: &mut Pages<'_>,
    merged: &Merged,
    http2: &Http2Shares,
    drivers: &DriverShares,
    names: &Resolved,
) {
    let things = || -> Vec<_> {
        let ids = merged.edges.ids();
        ids.filter_map(|id| names.edge(id)).collect()
    };
    let shared = |id: u32, cell: &EdgeCell| {
        let mut shared = drivers.of_edge(id);
        for (sum, ns) in shared
            .iter_mut()
            .zip(http2.of_edge(cell).into_iter().flatten())
        {
            add_known(sum, Some(ns));
        }
        shared
    };
    write_sorted(
        pages,
        things(),
        |name| {
            let (edge, operation) = (&name.edge, &name.name);
            [
                edge.side,
                edge.mode,
                edge.transport,
                &operation.component,
                &operation.operation,
                &operation.class,
                &edge.peer_service,
                &edge.peer_operation,
                &edge.call_id,
                cut(&edge.peer),
                cut(&edge.target),
                &name.origin.service,
                &name.origin.operation,
            ]
        },
        |rows, name| {
            let cell = merged.edges.get(name.id).unwrap_or_default();
            add_edge(rows, name, &cell, shared(name.id, &cell));
        },
    );
    write_sorted(
        pages,
        things(),
        |name| {
            let edge = &name.edge;
            [
                edge.side,
                edge.transport,
                &name.name.operation,
                &edge.peer_service,
                &edge.peer_operation,
                &edge.call_id,
            ]
        },
        |rows, name| {
            let cell = merged.edges.get(name.id).unwrap_or_default();
            let shared = shared(name.id, &cell);
            let shared = shared.map(|ns| ns.map(|ns| by_size(ns, &cell.sizes)));
            for (n, size) in cell.sizes.iter().enumerate() {
                let of_size = |column: &Option<Vec<i64>>| column.as_ref()?.get(n).copied();
                add_size(rows, name, size, shared.each_ref().map(of_size));
            }
        },
    );
}

fn add_edge(rows: &mut RowSet, name: &EdgeName, cell: &EdgeCell, shared: [Option<i64>; 2]) {
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
    for (class, ns) in SHARED.iter().zip(shared) {
        if let Some(ns) = ns {
            let row = rows.row_mut(key.clone().row_key(Quality::Apportioned));
            row.add(class.column(), ns);
        }
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
        (column::WALL_NS, cell.wall_ns),
        (column::ERRORS, Some(cell.errors)),
        (column::RETRIES, Some(cell.retries)),
        (column::REDELIVERED, Some(cell.redelivered)),
        (
            column::REDELIVERED_BYTES,
            (cell.redelivered != 0).then_some(cell.redelivered_bytes),
        ),
        (column::CRITICAL_NS, cell.critical_ns),
    ] {
        if let Some(value) = value {
            row.add(column, value);
        }
    }
}

/// A shared cost over the messages of an edge, by what their frames weigh.
fn by_size(ns: i64, sizes: &[SizeCell]) -> Vec<i64> {
    let unsigned = |n: i64| u64::try_from(n).unwrap_or(0);
    let weights: Vec<i64> = sizes
        .iter()
        .map(|size| frame_weight(unsigned(size.messages), unsigned(size.body_bytes)))
        .collect();
    largest_remainder(ns, &weights)
}

fn add_size(rows: &mut RowSet, name: &EdgeName, size: &SizeCell, shared: [Option<i64>; 2]) {
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
        (column::CPU_PROTOCOL_NS, shared[0]),
        (column::CPU_IO_NS, shared[1]),
    ] {
        if let Some(value) = value {
            rows.row_mut(key.clone().row_key(Quality::Apportioned))
                .add(column, value);
        }
    }
}

fn add_keys(row: &mut RowValue, keys: &KeyCell) {
    let [one, two, more] = keys.requests;
    row.add(column::KEYS_ONE, one);
    row.add(column::KEYS_TWO, two);
    row.add(column::KEYS_MORE, more);
    row.add(column::KEY_TOUCHES, signed(keys.busiest.touches()));
    row.add(column::KEY_TOP_TOUCHES, signed(keys.busiest.top()));
    if let Some(sketch) = &keys.sketch {
        row.add_sketch(column::SKETCH_KEYS, sketch);
    }
}

/// Writes how entities are used, and then how large they are.
pub(super) fn write_entities(pages: &mut Pages<'_>, merged: &Merged, names: &Resolved) {
    let cells = merged.entities.iter();
    let things: Vec<_> = cells
        .filter_map(|(id, cell)| Some((names.entity(*id)?, cell)))
        .collect();
    write_sorted(
        pages,
        things,
        |(entity, _)| {
            [
                &entity.name.component,
                &entity.name.operation,
                &entity.name.class,
                cut(&entity.database),
                &entity.entity,
                entity.access,
            ]
        },
        |rows, (entity, cell)| {
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
            for (column, value) in [
                (column::ERRORS, Some(cell.errors)),
                (column::ROWS, cell.rows),
                (column::BYTES, cell.bytes),
                (column::CPU_STORE_NS, cell.store_ns),
                (column::WAIT_STORE_NS, cell.wait_ns),
            ] {
                if let Some(value) = value {
                    row.add(column, value);
                }
            }
            if let Some(keys) = &cell.keys {
                add_keys(row, keys);
            }
        },
    );
    let mut rows = RowSet::new();
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
    pages.pass(rows);
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

    #[test]
    fn sizes_of_entities_beyond_the_limit_are_dropped_and_counted() {
        const DATABASE: &str = "db-full";
        let max = crate::limits::ENTITIES_MAX;
        let mut books = Books::open();
        for n in 0..=max {
            crate::entity_size(DATABASE, &format!("e{n}"), Some(1), None);
        }
        // One that has its place keeps it.
        crate::entity_size(DATABASE, "e0", Some(7), None);
        let rows = books.rotate().rows;
        let size = |entity: &str| {
            let key = EntitySizeKey {
                database: DATABASE.into(),
                entity: entity.into(),
            };
            rows.get(&key.row_key(Quality::Measured))
                .and_then(|row| row.get(column::ROW_COUNT))
        };
        assert_eq!(size("e0"), Some(7));
        assert_eq!(
            size(&format!("e{max}")),
            None,
            "no gauge under a shared name"
        );
        let kept = (0..=max).filter(|n| size(&format!("e{n}")).is_some());
        // Other tests may have a size in the table too.
        let lost = books.lost("agent.entity_sizes");
        assert!(lost >= 1);
        assert!(kept.count() + usize::try_from(lost).unwrap() > max);
    }
}
