//! Rollups of made-up systems with known costs, for tests.

use std::collections::BTreeMap;

use weighbridge_wire::{
    DistributionKey, EdgeKey, EntityKey, EntitySizeKey, FoldedRange, FoldedWindow, OperationKey,
    OwnerKey, OwnerKind, ProcessKey, Quality, RowKey, RowKind, RowSet, RowValue, SeriesKey,
    ServiceId, Window, access, column, mode, scope, side,
};

/// CPU of one request by class, ns: handler, encode, decode, protocol, io, store.
pub(crate) type Cpu = [i64; 6];

/// A whole second in nanoseconds.
pub(crate) const SECOND: u64 = 1_000_000_000;

/// An operation with its load.
#[derive(Clone, Debug)]
pub(crate) struct Op {
    pub(crate) service: &'static str,
    pub(crate) operation: &'static str,
    pub(crate) caller: Option<(&'static str, &'static str)>,
    pub(crate) origin: Option<(&'static str, &'static str)>,
    /// Requests in a window, before variation.
    pub(crate) per_window: i64,
    /// How many for each of these.
    pub(crate) times: i64,
    pub(crate) cpu: Cpu,
    /// Wall time of a request, ns.
    pub(crate) wall_ns: i64,
    /// Bytes that a request holds at its peak.
    pub(crate) peak_bytes: i64,
    /// All requests of three windows arrive in every third one, at once.
    pub(crate) bursty: bool,
    /// Requests that end in a window and their wall time, in place of `per_window` and `wall_ns`.
    pub(crate) course: Option<fn(u64) -> (i64, i64)>,
    /// Of the wall time, what stores take, ns.
    pub(crate) wait_store_ns: i64,
}

/// A call or message between operations, `per_request` times for each request of the caller.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) from: (&'static str, &'static str),
    pub(crate) to: (&'static str, &'static str),
    pub(crate) origin: (&'static str, &'static str),
    pub(crate) transport: &'static str,
    pub(crate) mode: &'static str,
    pub(crate) peer: &'static str,
    pub(crate) target: &'static str,
    pub(crate) call_id: &'static str,
    /// Requests of the caller in a window, before variation.
    pub(crate) callers: i64,
    pub(crate) per_request: i64,
    /// Encode, decode, protocol, io per call at the caller; protocol and io stand in its pool.
    pub(crate) caller_cpu: [i64; 4],
    /// The same at the callee; they stand in its operation too.
    pub(crate) callee_cpu: [i64; 4],
    pub(crate) request_bytes: i64,
    pub(crate) response_bytes: i64,
    pub(crate) wait_ns: i64,
    pub(crate) callee_has_agent: bool,
    /// False for the second consumer of one publication: the publisher counts it once.
    pub(crate) publishes: bool,
    /// Of the wait, what is on the critical path, ns; not told when absent.
    pub(crate) critical_ns: Option<i64>,
    /// Calls in a window, in place of `callers · per_request`.
    pub(crate) course: Option<fn(u64) -> i64>,
}

/// Statements on an entity.
#[derive(Clone, Debug)]
pub(crate) struct Use {
    pub(crate) service: &'static str,
    pub(crate) operation: &'static str,
    pub(crate) database: &'static str,
    pub(crate) entity: &'static str,
    pub(crate) access: &'static str,
    /// Statements in a window, before variation.
    pub(crate) per_window: i64,
    pub(crate) store_ns: i64,
    /// Of a hundred requests those that touch one, two and more keys, and of a hundred touches those of the busiest
    /// key; keys are not known when absent.
    pub(crate) keys: Option<[i64; 4]>,
}

/// A process.
#[derive(Clone, Debug)]
pub(crate) struct Proc {
    pub(crate) cores_milli: i64,
    pub(crate) rss_init: i64,
    pub(crate) rss_peak: i64,
}

/// An owner of a service with its CPU in each window.
type Course = (&'static str, OwnerKind, &'static str, fn(u64) -> i64);

/// A made-up system.
#[derive(Clone, Debug, Default)]
pub(crate) struct System {
    pub(crate) windows: u64,
    ops: Vec<Op>,
    calls: Vec<Call>,
    uses: Vec<Use>,
    owners: Vec<(&'static str, OwnerKind, &'static str, i64)>,
    /// Owners whose CPU is not the same in every window.
    courses: Vec<Course>,
    sizes: Vec<(&'static str, &'static str, &'static str, i64, i64)>,
    procs: BTreeMap<&'static str, Proc>,
    /// Service, operation, bytes kept at the end of each window, standard error of that.
    retained: Vec<(&'static str, &'static str, i64, i64)>,
}

impl System {
    pub(crate) fn new(windows: u64) -> Self {
        Self {
            windows,
            ..Self::default()
        }
    }

    /// A request from outside.
    pub(crate) fn root(
        &mut self,
        service: &'static str,
        operation: &'static str,
        per_window: i64,
        cpu: Cpu,
    ) -> &mut Op {
        self.op(
            service,
            operation,
            None,
            (service, operation),
            per_window,
            cpu,
        )
    }

    /// A request from another operation.
    pub(crate) fn op(
        &mut self,
        service: &'static str,
        operation: &'static str,
        caller: Option<(&'static str, &'static str)>,
        origin: (&'static str, &'static str),
        per_window: i64,
        cpu: Cpu,
    ) -> &mut Op {
        self.ops.push(Op {
            service,
            operation,
            caller,
            origin: Some(origin),
            per_window,
            times: 1,
            cpu,
            wall_ns: cpu.iter().sum::<i64>() * 2,
            peak_bytes: 10_000,
            bursty: false,
            course: None,
            wait_store_ns: 0,
        });
        self.ops.last_mut().unwrap()
    }

    /// A synchronous HTTP call and its answering operation.
    pub(crate) fn http(
        &mut self,
        from: (&'static str, &'static str),
        to: (&'static str, &'static str),
        callers: i64,
        per_request: i64,
        message_ns: i64,
        work_ns: i64,
    ) -> &mut Call {
        let m = message_ns / 8;
        let cpu = [work_ns / 2, m, m, m, m, work_ns - work_ns / 2];
        self.op(to.0, to.1, Some(from), from, callers, cpu).times = per_request;
        self.calls.push(Call {
            from,
            to,
            origin: from,
            transport: "http",
            mode: mode::SYNC,
            peer: to.0,
            target: to.1,
            call_id: "00000000000000c1",
            callers,
            per_request,
            caller_cpu: [m; 4],
            callee_cpu: [m; 4],
            request_bytes: 120,
            response_bytes: 300,
            wait_ns: (message_ns + work_ns) * 3,
            callee_has_agent: true,
            publishes: true,
            critical_ns: None,
            course: None,
        });
        self.calls.last_mut().unwrap()
    }

    /// A message through a broker and its consumer.
    pub(crate) fn message(
        &mut self,
        from: (&'static str, &'static str),
        to: (&'static str, &'static str),
        callers: i64,
        target: &'static str,
        message_ns: i64,
        work_ns: i64,
    ) -> &mut Call {
        let m = message_ns / 8;
        let cpu = [work_ns / 2, 0, m, 0, 0, work_ns - work_ns / 2];
        self.op(to.0, to.1, Some(from), from, callers, cpu);
        self.calls.push(Call {
            from,
            to,
            origin: from,
            transport: "mqtt",
            mode: mode::ASYNC,
            peer: "broker",
            target,
            call_id: "00000000000000b1",
            callers,
            per_request: 1,
            caller_cpu: [m; 4],
            callee_cpu: [0, m, 0, 0],
            request_bytes: 200,
            response_bytes: 0,
            wait_ns: 2_000_000,
            callee_has_agent: true,
            publishes: true,
            critical_ns: None,
            course: None,
        });
        self.calls.last_mut().unwrap()
    }

    pub(crate) fn uses(
        &mut self,
        service: &'static str,
        operation: &'static str,
        entity: &'static str,
        how: &'static str,
        per_window: i64,
    ) -> &mut Use {
        self.uses.push(Use {
            service,
            operation,
            database: "main",
            entity,
            access: if how == "write" {
                access::WRITE
            } else {
                access::READ
            },
            per_window,
            store_ns: 20_000,
            keys: None,
        });
        self.uses.last_mut().unwrap()
    }

    /// An operation that is there already.
    #[allow(dead_code)]
    pub(crate) fn operation(&mut self, service: &str, operation: &str) -> &mut Op {
        self.ops
            .iter_mut()
            .find(|op| op.service == service && op.operation == operation)
            .unwrap()
    }

    pub(crate) fn size(
        &mut self,
        service: &'static str,
        entity: &'static str,
        rows: i64,
        bytes: i64,
    ) {
        self.sizes.push((service, "main", entity, rows, bytes));
    }

    pub(crate) fn owner(
        &mut self,
        service: &'static str,
        kind: OwnerKind,
        name: &'static str,
        per_window_ns: i64,
    ) {
        self.owners.push((service, kind, name, per_window_ns));
    }

    /// An owner with so much CPU in each window.
    #[allow(dead_code)]
    pub(crate) fn owner_course(
        &mut self,
        service: &'static str,
        kind: OwnerKind,
        name: &'static str,
        cpu_ns: fn(u64) -> i64,
    ) {
        self.courses.push((service, kind, name, cpu_ns));
    }

    /// Sets the process of a service; the default has 2 cores and 40 MiB.
    pub(crate) fn process(&mut self, service: &'static str) -> &mut Proc {
        self.procs.entry(service).or_insert(Proc {
            cores_milli: 2_000,
            rss_init: 20 << 20,
            rss_peak: 40 << 20,
        })
    }

    /// What an operation keeps alive, by sampling of 512 KiB, with the standard error.
    pub(crate) fn retains(
        &mut self,
        service: &'static str,
        operation: &'static str,
        bytes: i64,
        error: i64,
    ) {
        self.retained.push((service, operation, bytes, error));
    }

    /// The rollup.
    pub(crate) fn range(&self) -> FoldedRange {
        let start = 1_795_406_400 * SECOND;
        let mut windows = Vec::new();
        for w in 0..self.windows {
            let window = Window {
                start_unix_ns: start + w * SECOND,
                end_unix_ns: start + (w + 1) * SECOND,
            };
            for (service, rows) in self.rows(w) {
                let id = ServiceId {
                    service: service.to_owned(),
                    ..ServiceId::default()
                };
                windows.push(FoldedWindow {
                    service: id,
                    window,
                    rows,
                });
            }
        }
        let window = Window {
            start_unix_ns: start,
            end_unix_ns: start + self.windows.max(1) * SECOND,
        };
        FoldedRange { window, windows }
    }

    fn rows(&self, w: u64) -> BTreeMap<&'static str, RowSet> {
        let mut services: BTreeMap<&'static str, RowSet> = BTreeMap::new();
        let q = Quality::Measured;
        for op in &self.ops {
            let n = if let Some(course) = op.course {
                course(w).0
            } else if op.bursty {
                if w.is_multiple_of(3) {
                    op.per_window * 3
                } else {
                    0
                }
            } else {
                varied(op.per_window, w)
            } * op.times;
            let rows = services.entry(op.service).or_default();
            operation_rows(rows, op, n, w);
        }
        for call in &self.calls {
            let calls = match call.course {
                Some(course) => course(w),
                None => varied(call.callers, w) * call.per_request,
            };
            let (caller, callee) = call_rows(call, calls);
            if call.callee_has_agent {
                services
                    .entry(call.to.0)
                    .or_default()
                    .add(callee.0, &callee.1);
            }
            if !call.publishes {
                continue;
            }
            let rows = services.entry(call.from.0).or_default();
            let cpu: i64 = (call.caller_cpu[2] + call.caller_cpu[3]) * calls;
            let kind = if call.mode == mode::SYNC {
                OwnerKind::Pool
            } else {
                OwnerKind::Driver
            };
            rows.add(
                owner_key(kind, &format!("{} {}", call.transport, call.peer)),
                &handler(cpu),
            );
            rows.add(caller.0, &caller.1);
        }
        for u in &self.uses {
            let key = EntityKey {
                component: "".into(),
                operation: u.operation.into(),
                class: "".into(),
                database: u.database.into(),
                entity: u.entity.into(),
                access: u.access.into(),
            };
            let n = varied(u.per_window, w);
            let mut value = RowValue::new()
                .with(column::STATEMENTS, n)
                .with(column::CPU_STORE_NS, n * u.store_ns);
            if let Some([one, two, more, top]) = u.keys {
                value.add(column::KEYS_ONE, n * one / 100);
                value.add(column::KEYS_TWO, n * two / 100);
                value.add(column::KEYS_MORE, n * more / 100);
                value.add(column::KEY_TOUCHES, n);
                value.add(column::KEY_TOP_TOUCHES, n * top / 100);
            }
            services
                .entry(u.service)
                .or_default()
                .add(key.row_key(q), &value);
        }
        for (service, database, entity, n, bytes) in &self.sizes {
            let key = EntitySizeKey {
                database: (*database).into(),
                entity: (*entity).into(),
            };
            let value = RowValue::new()
                .with(column::ROW_COUNT, *n)
                .with(column::SIZE_BYTES, *bytes);
            services
                .entry(service)
                .or_default()
                .add(key.row_key(q), &value);
        }
        for (service, kind, name, ns) in &self.owners {
            services
                .entry(service)
                .or_default()
                .add(owner_key(*kind, name), &handler(*ns));
        }
        for (service, kind, name, ns) in &self.courses {
            services
                .entry(service)
                .or_default()
                .add(owner_key(*kind, name), &handler(ns(w)));
        }
        for (service, rows) in &mut services {
            self.process_rows(service, rows);
        }
        for (service, operation, bytes, error) in &self.retained {
            let key = DistributionKey {
                component: "".into(),
                operation: (*operation).into(),
                class: "".into(),
                scope: scope::ALL.into(),
            };
            let value = RowValue::new()
                .with(column::RETAINED_BYTES, *bytes)
                .with(column::RETAINED_SUM_BYTES, *bytes)
                .with(column::RETAINED_ERROR_SUM_BYTES, *error)
                .with(column::RETAINED_MEAN_BYTES, 512 << 10)
                .with(column::SAMPLES, 1);
            let rows = services.entry(service).or_default();
            rows.add(key.row_key(q), &value);
        }
        services
    }

    fn process_rows(&self, service: &'static str, rows: &mut RowSet) {
        let default = Proc {
            cores_milli: 2_000,
            rss_init: 20 << 20,
            rss_peak: 40 << 20,
        };
        let proc = self.procs.get(service).unwrap_or(&default);
        rows.add(owner_key(OwnerKind::Agent, "agent"), &handler(1_000_000));
        let accounts = rows.accounts_cpu_ns();
        let unattributed = accounts / 50;
        rows.add(
            owner_key(OwnerKind::Unattributed, "unattributed"),
            &handler(unattributed),
        );
        let key = ProcessKey {
            instance: format!("{service}-1").into(),
            host: "host".into(),
            epoch: "00000000000000000000000000000001".into(),
            clock_mode: "thread".into(),
            agent_version: "0.1.0".into(),
        };
        let value = RowValue::new()
            .with(column::CPU_PROCESS_NS, accounts + 500 + unattributed)
            .with(column::CPU_ACCOUNTS_NS, accounts)
            .with(column::CPU_IN_PROGRESS_NS, 500)
            .with(column::CPU_UNATTRIBUTED_NS, unattributed)
            .with(column::RSS_INIT_BYTES, proc.rss_init)
            .with(column::RSS_BYTES, proc.rss_peak)
            .with(column::RSS_PEAK_BYTES, proc.rss_peak)
            .with(column::RSS_SUM_BYTES, proc.rss_peak)
            .with(column::SAMPLES, 1)
            .with(column::THREADS, 4)
            .with(column::CORES_MILLI, proc.cores_milli)
            .with(column::CLOCK_READINGS, 1_000)
            .with(column::CPU_HOOKS_NS, 40_000)
            .with(column::OBSERVED_NS, i64::try_from(SECOND).unwrap());
        rows.add(key.row_key(Quality::Measured), &value);
    }
}

/// Between 85 % and 115 % of `n`, the same for all rows of a window.
fn varied(n: i64, w: u64) -> i64 {
    let noise = i64::try_from(w.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40).unwrap() % 31;
    (n * (85 + noise) + 50) / 100
}

fn handler(ns: i64) -> RowValue {
    RowValue::new().with(column::CPU_HANDLER_NS, ns)
}

fn owner_key(kind: OwnerKind, name: &str) -> RowKey {
    OwnerKey {
        owner_kind: kind.as_str().into(),
        name: name.into(),
    }
    .row_key(Quality::Measured)
}

fn operation_rows(rows: &mut RowSet, op: &Op, n: i64, w: u64) {
    let q = Quality::Measured;
    let (caller_service, caller_operation) = op.caller.unwrap_or(("", ""));
    let (origin_service, origin_operation) = op.origin.unwrap_or(("", ""));
    let key = OperationKey {
        component: "".into(),
        operation: op.operation.into(),
        class: "".into(),
        caller_service: caller_service.into(),
        caller_operation: caller_operation.into(),
        origin_service: origin_service.into(),
        origin_operation: origin_operation.into(),
    };
    let cpu: i64 = op.cpu.iter().sum();
    let wall_ns = op.course.map_or(op.wall_ns, |course| course(w).1);
    let mut value = RowValue::new()
        .with(column::STARTED, n)
        .with(column::ENDED, n)
        .with(column::ERRORS, 0)
        .with(column::IN_FLIGHT_NS, n * wall_ns)
        .with(column::WALL_NS, n * wall_ns)
        .with(column::WAIT_STORE_NS, n * op.wait_store_ns)
        .with(column::ALLOC_BYTES, n * 5_000)
        .with(column::PEAK_LIVE_BYTES, op.peak_bytes)
        .with(column::PEAK_LIVE_SUM_BYTES, n * op.peak_bytes);
    for (class, ns) in weighbridge_wire::ALL_CLASSES.iter().zip(op.cpu) {
        value.add(class.column(), ns * n);
    }
    rows.add(key.row_key(q), &value);

    let scope = if op.caller.is_none() {
        scope::ROOT
    } else {
        scope::ALL
    };
    for scope in [scope::ALL, scope]
        .iter()
        .take(if op.caller.is_none() { 2 } else { 1 })
    {
        let key = DistributionKey {
            component: "".into(),
            operation: op.operation.into(),
            class: "".into(),
            scope: (*scope).into(),
        };
        let mut value = RowValue::new();
        for i in 0..n {
            // Half of the requests need less, half more: c_s² = 0.04.
            let share = if (i + i64::try_from(w).unwrap()) % 2 == 0 {
                80
            } else {
                120
            };
            let ns = u64::try_from(cpu * share / 100).unwrap();
            value.histogram_mut(column::HIST_REQUEST_CPU_NS).record(ns);
            value
                .histogram_mut(column::HIST_WALL_NS)
                .record(u64::try_from(wall_ns * share / 100).unwrap());
        }
        rows.add(key.row_key(q), &value);
    }

    let key = SeriesKey {
        operation: op.operation.into(),
        class: "".into(),
    };
    // Evenly over ten slots, or all in one.
    let squares = if op.bursty { n * n } else { n * n / 10 + n };
    let value = RowValue::new()
        .with(column::SLOTS, 10)
        .with(column::ARRIVALS, n)
        .with(column::ARRIVALS_SQUARED, squares)
        .with(column::IN_FLIGHT, 3);
    rows.add(key.row_key(q), &value);
}

type Row = (RowKey, RowValue);

fn call_rows(call: &Call, calls: i64) -> (Row, Row) {
    let key = |is_caller: bool| {
        EdgeKey {
            side: if is_caller {
                side::CALLER
            } else {
                side::CALLEE
            }
            .into(),
            mode: call.mode.into(),
            transport: call.transport.into(),
            component: "".into(),
            operation: if is_caller { call.from.1 } else { call.to.1 }.into(),
            class: "".into(),
            peer_service: if is_caller { "" } else { call.from.0 }.into(),
            peer_operation: if is_caller { "" } else { call.from.1 }.into(),
            call_id: call.call_id.into(),
            peer: if is_caller { call.peer } else { "" }.into(),
            target: call.target.into(),
            origin_service: call.origin.0.into(),
            origin_operation: call.origin.1.into(),
        }
        .row_key(Quality::Measured)
    };
    let value = |cpu: [i64; 4]| {
        let mut value = RowValue::new()
            .with(column::REQUEST_MESSAGES, calls)
            .with(column::REQUEST_BODY_BYTES, calls * call.request_bytes)
            .with(column::ERRORS, 0)
            .with(column::WAIT_NS, calls * call.wait_ns)
            .with(column::CPU_ENCODE_NS, calls * cpu[0])
            .with(column::CPU_DECODE_NS, calls * cpu[1])
            .with(column::CPU_PROTOCOL_NS, calls * cpu[2])
            .with(column::CPU_IO_NS, calls * cpu[3]);
        if let Some(critical) = call.critical_ns {
            value.add(column::CRITICAL_NS, calls * critical);
        }
        if call.mode == mode::SYNC {
            value.add(column::RESPONSE_MESSAGES, calls);
            value.add(column::RESPONSE_BODY_BYTES, calls * call.response_bytes);
        }
        value
    };
    (
        (key(true), value(call.caller_cpu)),
        (key(false), value(call.callee_cpu)),
    )
}

/// The same with every row of a service made another.
fn rewritten(
    mut range: FoldedRange,
    service: &str,
    other: impl Fn(&RowKey, &RowValue) -> (RowKey, RowValue),
) -> FoldedRange {
    let windows = range.windows.iter_mut();
    for folded in windows.filter(|folded| folded.service.service == service) {
        let mut rows = RowSet::new();
        for (key, value) in folded.rows.iter() {
            let (key, value) = other(key, value);
            rows.add(key, &value);
        }
        folded.rows = rows;
    }
    range
}

/// The same without the CPU of a service's operations: what is known of one that has no agent.
pub(crate) fn without_operation_cpu(range: FoldedRange, service: &str) -> FoldedRange {
    let classes = weighbridge_wire::ALL_CLASSES.iter();
    let cpu: Vec<u32> = classes.map(|class| class.column()).collect();
    rewritten(range, service, |key, value| {
        let mut kept = RowValue::new();
        for (column, figure) in value.columns().filter(|(column, _)| !cpu.contains(column)) {
            kept.add(column, figure);
        }
        (key.clone(), kept)
    })
}

/// The same with the rows of a service's processes as a sender of spans and metrics makes them: no agent has a version.
pub(crate) fn without_agent(range: FoldedRange, service: &str) -> FoldedRange {
    rewritten(range, service, |key, value| {
        let mut other = key.clone();
        if RowKind::from_wire(key.kind) == Some(RowKind::Process) {
            let mut process = ProcessKey::read(key).unwrap();
            process.agent_version = "".into();
            other = process.row_key(key.quality);
        }
        (other, value.clone())
    })
}
