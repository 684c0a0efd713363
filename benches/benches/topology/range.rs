//! Made-up ranges for reports: windows over 30 days of services that call each other.

use std::sync::Arc;

use weighbridge_wire::{
    CallShapeKey, CallStepKey, DistributionKey, EdgeKey, EdgeSizeKey, EntityKey, EntitySizeKey,
    FoldedRange, FoldedWindow, OperationKey, OwnerKey, OwnerKind, ProcessKey, Quality, RegionKey,
    RowSet, RowValue, SeriesKey, ServiceId, Window, access, column, direction, mode, scope, side,
};

use crate::numbers::Numbers;

const SECOND: u64 = 1_000_000_000;
const DAYS: u64 = 30;

/// What a range is like.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) services: usize,
    /// Of each service.
    pub(crate) operations: usize,
    pub(crate) windows: u64,
    /// Whether operations have everything that an agent tells: histograms, series, regions, shapes of calls, classes of
    /// sizes, statements; and services three processes.
    pub(crate) rich: bool,
}

/// Calls of each service, over its operations.
pub(crate) const CALLS: usize = 10;

/// Names of one service and its operations, shared by all rows as a store's reader shares them.
struct Names {
    service: Arc<str>,
    operations: Vec<Arc<str>>,
}

struct Call {
    id: Arc<str>,
    from: (usize, usize),
    to: (usize, usize),
    /// The operation at which the chain began.
    origin: (usize, usize),
}

impl Call {
    /// The operation that asks, and the one that answers.
    fn operations<'n>(&self, names: &'n [Names]) -> (&'n Arc<str>, &'n Arc<str>) {
        let of = |(service, operation): (usize, usize)| &names[service].operations[operation];
        (of(self.from), of(self.to))
    }
}

fn side_of(is_caller: bool) -> Arc<str> {
    if is_caller {
        side::CALLER
    } else {
        side::CALLEE
    }
    .into()
}

/// Ten calls of each service, to others below it in a tree of calls.
pub(crate) fn range(shape: Shape) -> FoldedRange {
    let step = DAYS * 24 * 3_600 * SECOND / shape.windows;
    let start = 1_795_406_400 * SECOND;
    let names: Vec<Names> = (0..shape.services)
        .map(|at| Names {
            service: format!("s{at}").into(),
            operations: (0..shape.operations)
                .map(|n| format!("GET /{at}/{n}").into())
                .collect(),
        })
        .collect();
    let mut numbers = Numbers(11);
    let half = shape.services as u64 / 2 + 1;
    let calls: Vec<Call> = (0..shape.services * CALLS)
        .map(|n| {
            let from = n / CALLS;
            let to = (from + 1 + numbers.below(half) as usize) % shape.services;
            let operation = n % shape.operations;
            Call {
                id: format!("{n:016x}").into(),
                from: (from, operation),
                to: (to, operation),
                origin: (from % 20, operation),
            }
        })
        .collect();
    let window = |w: u64| Window {
        start_unix_ns: start + w * step,
        end_unix_ns: start + (w + 1) * step,
    };
    let mut range = FoldedRange {
        window: Window {
            start_unix_ns: start,
            end_unix_ns: start + shape.windows * step,
        },
        windows: Vec::new(),
    };
    for w in 0..shape.windows {
        let load = 400 + i64::try_from(w * 37 % 101).unwrap_or(0);
        for (service, mut rows) in rows_of(shape, &names, &calls, load).into_iter().enumerate() {
            processes(shape, &names[service], &mut rows, step);
            range.windows.push(FoldedWindow {
                service: ServiceId {
                    service: names[service].service.to_string(),
                    ..ServiceId::default()
                },
                window: window(w),
                rows,
            });
        }
    }
    range
}

const Q: Quality = Quality::Measured;

fn rows_of(shape: Shape, names: &[Names], calls: &[Call], load: i64) -> Vec<RowSet> {
    let mut sets: Vec<RowSet> = vec![RowSet::default(); shape.services];
    for (at, rows) in sets.iter_mut().enumerate() {
        for operation in 0..shape.operations {
            let (key, value) = operation_row(names, (at, operation), None, (at, operation), load);
            rows.add(key.row_key(Q), &value);
            if shape.rich {
                details(&names[at].operations[operation], at, rows, load);
            }
        }
        let agent = OwnerKey {
            owner_kind: OwnerKind::Agent.as_str().into(),
            name: "agent".into(),
        };
        let spent = RowValue::new().with(column::CPU_HANDLER_NS, 1_000_000);
        rows.add(agent.row_key(Q), &spent);
    }
    for call in calls {
        for (is_caller, at) in [(true, call.from.0), (false, call.to.0)] {
            let (key, value) = edge_row(names, call, is_caller, load);
            sets[at].add(key.row_key(Q), &value);
            if shape.rich {
                sizes(names, call, is_caller, load, &mut sets[at]);
            }
        }
        let (key, value) = operation_row(names, call.to, Some(call.from), call.origin, load);
        sets[call.to.0].add(key.row_key(Q), &value);
        if shape.rich {
            shapes(names, call, load, &mut sets[call.from.0]);
        }
    }
    sets
}

fn operation_row(
    names: &[Names],
    at: (usize, usize),
    caller: Option<(usize, usize)>,
    origin: (usize, usize),
    ended: i64,
) -> (OperationKey, RowValue) {
    let service = |at: (usize, usize)| names[at.0].service.clone();
    let operation = |at: (usize, usize)| names[at.0].operations[at.1].clone();
    let none = || Arc::from("");
    let key = OperationKey {
        component: none(),
        operation: operation(at),
        class: none(),
        caller_service: caller.map_or_else(none, service),
        caller_operation: caller.map_or_else(none, operation),
        origin_service: service(origin),
        origin_operation: operation(origin),
    };
    let value = RowValue::new()
        .with(column::STARTED, ended)
        .with(column::ENDED, ended)
        .with(column::ERRORS, 0)
        .with(column::IN_FLIGHT_NS, ended * 3_000_000)
        .with(column::WALL_NS, ended * 3_000_000)
        .with(column::PEAK_LIVE_BYTES, 100_000)
        .with(column::PEAK_LIVE_SUM_BYTES, ended * 10_000)
        .with(column::CPU_HANDLER_NS, ended * 800_000)
        .with(column::CPU_ENCODE_NS, ended * 60_000)
        .with(column::CPU_DECODE_NS, ended * 60_000)
        .with(column::CPU_PROTOCOL_NS, ended * 40_000)
        .with(column::CPU_IO_NS, ended * 40_000)
        .with(column::CPU_STORE_NS, ended * 200_000);
    (key, value)
}

fn edge_row(names: &[Names], call: &Call, is_caller: bool, calls: i64) -> (EdgeKey, RowValue) {
    let (from, to) = (&names[call.from.0], &names[call.to.0]);
    let (asks, answers) = call.operations(names);
    let origin = &names[call.origin.0];
    let when = |wanted: bool, name: &Arc<str>| if wanted { name.clone() } else { "".into() };
    let key = EdgeKey {
        side: side_of(is_caller),
        mode: mode::SYNC.into(),
        transport: "http".into(),
        component: "".into(),
        operation: if is_caller { asks } else { answers }.clone(),
        class: "".into(),
        peer_service: when(!is_caller, &from.service),
        peer_operation: when(!is_caller, asks),
        call_id: call.id.clone(),
        peer: when(is_caller, &to.service),
        target: answers.clone(),
        origin_service: origin.service.clone(),
        origin_operation: origin.operations[call.origin.1].clone(),
    };
    let value = RowValue::new()
        .with(column::REQUEST_MESSAGES, calls)
        .with(column::RESPONSE_MESSAGES, calls)
        .with(column::REQUEST_BODY_BYTES, calls * 120)
        .with(column::RESPONSE_BODY_BYTES, calls * 300)
        .with(column::ERRORS, 0)
        .with(column::WAIT_NS, calls * 4_000_000)
        .with(column::CPU_ENCODE_NS, calls * 30_000)
        .with(column::CPU_DECODE_NS, calls * 30_000)
        .with(column::CPU_PROTOCOL_NS, calls * 20_000)
        .with(column::CPU_IO_NS, calls * 20_000);
    (key, value)
}

/// Two classes of sizes that tell a price per byte.
fn sizes(names: &[Names], call: &Call, is_caller: bool, calls: i64, rows: &mut RowSet) {
    let from = &names[call.from.0];
    let (asks, answers) = call.operations(names);
    let when = |name: &Arc<str>| if is_caller { "".into() } else { name.clone() };
    for (class, bytes, part) in [("2", 60, 3), ("5", 2_000, 1)] {
        let key = EdgeSizeKey {
            side: side_of(is_caller),
            transport: "http".into(),
            operation: if is_caller { asks } else { answers }.clone(),
            peer_service: when(&from.service),
            peer_operation: when(asks),
            call_id: call.id.clone(),
            direction: direction::REQUEST.into(),
            size_class: class.into(),
        };
        let n = calls * part / 4;
        let value = RowValue::new()
            .with(column::MESSAGES, n)
            .with(column::BODY_BYTES, n * bytes)
            .with(column::CPU_ENCODE_NS, n * (20_000 + 2 * bytes));
        rows.add(key.row_key(Q), &value);
    }
}

/// The caller's requests make this call and a statement, one after the other.
fn shapes(names: &[Names], call: &Call, requests: i64, rows: &mut RowSet) {
    let operation = &names[call.from.0].operations[call.from.1];
    let signature: Arc<str> = format!("{};@main", call.id).into();
    let key = CallShapeKey {
        operation: operation.clone(),
        class: "".into(),
        signature: signature.clone(),
    };
    let value = RowValue::new()
        .with(column::WALL_NS, requests * 6_000_000)
        .with(column::OWN_NS, requests * 1_500_000)
        .with(column::CRITICAL_NS, requests * 4_500_000)
        .with(column::COUNT, requests);
    rows.add(key.row_key(Q), &value);
    for (step, id, wall) in [("0", &*call.id, 4_000_000), ("1", "@main", 500_000)] {
        let key = CallStepKey {
            operation: operation.clone(),
            class: "".into(),
            signature: signature.clone(),
            step: step.into(),
            call_id: id.into(),
        };
        let value = RowValue::new()
            .with(column::WALL_NS, requests * wall)
            .with(column::CRITICAL_NS, requests * wall)
            .with(column::COUNT, requests);
        rows.add(key.row_key(Q), &value);
    }
}

/// Histograms, arrivals, statements and regions of an operation. Services have databases of their own: tables of one size
/// would be one table.
fn details(operation: &Arc<str>, service: usize, rows: &mut RowSet, requests: i64) {
    let held = 9_000 + i64::try_from(service).unwrap_or(0);
    let mut value = RowValue::new();
    for n in 0..40u64 {
        value
            .histogram_mut(column::HIST_REQUEST_CPU_NS)
            .record(900_000 + n * 20_000);
        value
            .histogram_mut(column::HIST_WALL_NS)
            .record(2_000_000 + n * 90_000);
    }
    for scope in [scope::ALL, scope::ROOT] {
        let key = DistributionKey {
            component: "".into(),
            operation: operation.clone(),
            class: "".into(),
            scope: scope.into(),
        };
        rows.add(key.row_key(Q), &value);
    }
    let key = SeriesKey {
        operation: operation.clone(),
        class: "".into(),
    };
    let value = RowValue::new()
        .with(column::SLOTS, 10)
        .with(column::ARRIVALS, requests)
        .with(
            column::ARRIVALS_SQUARED,
            requests * requests / 10 + requests,
        )
        .with(column::IN_FLIGHT, 3);
    rows.add(key.row_key(Q), &value);
    for (entity, how) in [("item", access::READ), ("stock", access::WRITE)] {
        let key = EntityKey {
            component: "".into(),
            operation: operation.clone(),
            class: "".into(),
            database: "main".into(),
            entity: entity.into(),
            access: how.into(),
        };
        let value = RowValue::new()
            .with(column::STATEMENTS, requests)
            .with(column::CPU_STORE_NS, requests * 100_000)
            .with(column::KEYS_ONE, requests)
            .with(column::KEY_TOUCHES, requests)
            .with(column::KEY_TOP_TOUCHES, requests / 50);
        rows.add(key.row_key(Q), &value);
        let key = EntitySizeKey {
            database: "main".into(),
            entity: entity.into(),
        };
        let value = RowValue::new()
            .with(column::ROW_COUNT, held)
            .with(column::SIZE_BYTES, held * 300);
        rows.add(key.row_key(Q), &value);
    }
    for (region, ns) in [
        ("check", 90_000),
        ("check;prices", 40_000),
        ("save", 70_000),
    ] {
        let key = RegionKey {
            operation: operation.clone(),
            class: "".into(),
            region: region.into(),
        };
        let value = RowValue::new()
            .with(column::CPU_INCLUSIVE_NS, requests * ns)
            .with(column::CPU_EXCLUSIVE_NS, requests * ns)
            .with(column::ALLOC_BYTES, requests * 900)
            .with(column::COUNT, requests);
        rows.add(key.row_key(Q), &value);
    }
}

fn processes(shape: Shape, names: &Names, rows: &mut RowSet, step: u64) {
    let accounts = rows.accounts_cpu_ns();
    let count = if shape.rich { 3 } else { 1 };
    for replica in 1..=count {
        let key = ProcessKey {
            instance: format!("{}-{replica}", names.service).into(),
            host: "host".into(),
            epoch: format!("{replica:032x}").into(),
            clock_mode: "thread".into(),
            agent_version: "0.1.0".into(),
        };
        let value = RowValue::new()
            .with(column::CPU_PROCESS_NS, accounts / count)
            .with(column::CPU_ACCOUNTS_NS, accounts / count)
            .with(column::RSS_INIT_BYTES, 20 << 20)
            .with(column::RSS_BYTES, 60 << 20)
            .with(column::RSS_PEAK_BYTES, 60 << 20)
            .with(column::CORES_MILLI, 2_000)
            .with(column::OBSERVED_NS, i64::try_from(step).unwrap_or(i64::MAX));
        rows.add(key.row_key(Q), &value);
    }
}
