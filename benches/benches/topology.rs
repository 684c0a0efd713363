//! What a search over topologies takes, and a report with everything, at 50 and at 1 000 services.

use std::process::ExitCode;

use weighbridge_benches::{Figure, Report, clock};
use weighbridge_reports::topology::{
    Component, Edge, EdgePart, End, Inputs, Load, Operation, Origin, Part, Rules, Service, Weights,
    search,
};
use weighbridge_reports::{Constraints, Document, Options};
use weighbridge_wire::{
    EdgeKey, FoldedRange, FoldedWindow, OperationKey, OwnerKey, OwnerKind, ProcessKey, Quality,
    RowSet, RowValue, ServiceId, Window, column, mode, side,
};

/// The limits.
const SEARCH_MAX_S: f64 = 5.0;
const REPORT_50_MAX_S: f64 = 3.0;
const REPORT_1000_MAX_S: f64 = 30.0;
const SECOND: u64 = 1_000_000_000;
/// Of eight hours each; a collector keeps days, hours and minutes of 30 days in fewer.
const WINDOWS: u64 = 90;

/// The same pseudo-random numbers each time (an LCG; Knuth).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    fn real(&mut self, n: u64) -> f64 {
        self.below(n) as f64
    }
}

/// Services with one operation each and calls between random ones; 20 origins.
fn system(services: usize, edges: usize) -> Inputs {
    let mut numbers = Numbers(7);
    let n = &mut numbers;
    let mut inputs = Inputs {
        local_call_ns: 1_000.0,
        remote_call_ns: Some(250_000.0),
        ..Inputs::default()
    };
    for at in 0..services {
        let (rate, cpu_ns) = (1.0 + n.real(300), 200_000.0 + n.real(3_000_000));
        let cores = rate * cpu_ns * 1e-9;
        let (agent, background) = (n.real(10) * 1e-3, n.real(5) * 1e-3);
        inputs.services.push(Service {
            label: format!("s{at}"),
            has_agent: true,
            instances: 1.0 + n.real(3),
            min_replicas: 0.0,
            cores_limit: Some(2.0),
            cores: cores + agent + background,
            background,
            agent,
            wake_ns: n.real(5_000),
            rest: 0.0,
            base_bytes: Some(3e7),
            peak_bytes: Some(6e7 + n.real(500_000_000)),
        });
        inputs.components.push(Component {
            service: at,
            name: String::new(),
        });
        inputs.operations.push(Operation {
            service: at,
            component: at,
            name: format!("GET /{at}"),
            row: format!("operation:s{at}/GET /{at}"),
            rate,
            cores,
            parts: vec![Part {
                origin: at % 20,
                rate,
                cores,
            }],
            in_flight: n.real(5),
            wall_ns: Some(cpu_ns * 4.0),
            held_bytes: 10_000.0,
            held_max_bytes: 100_000.0,
            service_cs2: 1.0,
            arrival_cs2: 1.0,
            spread_known: true,
            shapes: Vec::new(),
            wait_call_ns: None,
            hold_ns: None,
        });
    }
    for at in 0..edges {
        let (from, to) = (
            n.below(services as u64) as usize,
            n.below(services as u64) as usize,
        );
        let (rate, half) = (n.real(100), 10_000.0 + n.real(200_000));
        inputs.edges.push(Edge {
            id: format!("edge:{at}"),
            shown: format!("{from} → {to}"),
            from: End::Operation(from),
            to: End::Operation(to),
            sync: n.below(4) > 0,
            local: false,
            broker: None,
            rate,
            parts: vec![EdgePart {
                origin: from % 20,
                rate,
            }],
            caller_ns: half,
            caller_pool_ns: half / 2.0,
            callee_ns: half,
            callee_pool_ns: half / 4.0,
            broker_ns: 0.0,
            broker_publication_ns: 0.0,
            shares_with: Vec::new(),
            by_bytes_ns: 0.0,
            by_bytes_known: false,
            bytes: 500.0,
            wait_ns: Some(4e6),
            critical_share: None,
        });
    }
    let rates: Vec<f64> = inputs.operations.iter().take(20).map(|o| o.rate).collect();
    for (at, rate) in rates.into_iter().enumerate() {
        inputs.origins.push(Origin {
            service: format!("s{at}"),
            operation: format!("GET /{at}"),
            rate: Some(rate),
            carried: 0.0,
            root: Some(at),
            wall_ns: Some([4e6, 1e7, 2e7, 5e6]),
            waits_for: (0..services).filter(|s| s % 20 == at).collect(),
        });
    }
    inputs
}

fn operation(
    at: usize,
    caller: Option<usize>,
    origin: usize,
    ended: i64,
) -> (OperationKey, RowValue) {
    let name = |at: usize| format!("s{at}");
    let path = |at: usize| format!("GET /{at}");
    let key = OperationKey {
        component: "".into(),
        operation: path(at).into(),
        class: "".into(),
        caller_service: caller.map(name).unwrap_or_default().into(),
        caller_operation: caller.map(path).unwrap_or_default().into(),
        origin_service: name(origin).into(),
        origin_operation: path(origin).into(),
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

fn edge(
    is_caller: bool,
    from: usize,
    to: usize,
    call: usize,
    origin: usize,
    calls: i64,
) -> (EdgeKey, RowValue) {
    let key = EdgeKey {
        side: if is_caller {
            side::CALLER
        } else {
            side::CALLEE
        }
        .into(),
        mode: mode::SYNC.into(),
        transport: "http".into(),
        component: "".into(),
        operation: format!("GET /{}", if is_caller { from } else { to }).into(),
        class: "".into(),
        peer_service: if is_caller {
            String::new()
        } else {
            format!("s{from}")
        }
        .into(),
        peer_operation: if is_caller {
            String::new()
        } else {
            format!("GET /{from}")
        }
        .into(),
        call_id: format!("{call:016x}").into(),
        peer: if is_caller {
            format!("s{to}")
        } else {
            String::new()
        }
        .into(),
        target: format!("GET /{to}").into(),
        origin_service: format!("s{origin}").into(),
        origin_operation: format!("GET /{origin}").into(),
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

/// A folded range of so many windows over 30 days; ten calls for each service, to others below it in a tree of calls.
fn range(services: usize, windows: u64) -> FoldedRange {
    let step = 30 * 24 * 3_600 * SECOND / windows;
    let start = 1_795_406_400 * SECOND;
    let q = Quality::Measured;
    let mut numbers = Numbers(11);
    let calls: Vec<(usize, usize)> = (0..services * 10)
        .map(|n| {
            let from = n / 10;
            (
                from,
                (from + 1 + numbers.below(services as u64 / 2 + 1) as usize) % services,
            )
        })
        .collect();
    let mut range = FoldedRange {
        window: Window {
            start_unix_ns: start,
            end_unix_ns: start + windows * step,
        },
        windows: Vec::new(),
    };
    for w in 0..windows {
        let mut sets: Vec<RowSet> = vec![RowSet::default(); services];
        let load = 400 + i64::try_from(w * 37 % 101).unwrap_or(0);
        for (at, rows) in sets.iter_mut().enumerate() {
            let (key, value) = operation(at, None, at, load);
            rows.add(key.row_key(q), &value);
            let agent = OwnerKey {
                owner_kind: OwnerKind::Agent.as_str().into(),
                name: "agent".into(),
            };
            rows.add(
                agent.row_key(q),
                &RowValue::new().with(column::CPU_HANDLER_NS, 1_000_000),
            );
        }
        for (call, (from, to)) in calls.iter().enumerate() {
            let origin = from % 20;
            let (key, value) = edge(true, *from, *to, call, origin, load);
            sets[*from].add(key.row_key(q), &value);
            let (key, value) = edge(false, *from, *to, call, origin, load);
            sets[*to].add(key.row_key(q), &value);
            let (key, value) = operation(*to, Some(*from), origin, load);
            sets[*to].add(key.row_key(q), &value);
        }
        for (at, mut rows) in sets.into_iter().enumerate() {
            let accounts = rows.accounts_cpu_ns();
            let key = ProcessKey {
                instance: format!("s{at}-1").into(),
                host: "host".into(),
                epoch: "00000000000000000000000000000001".into(),
                clock_mode: "thread".into(),
                agent_version: "0.1.0".into(),
            };
            let value = RowValue::new()
                .with(column::CPU_PROCESS_NS, accounts)
                .with(column::CPU_ACCOUNTS_NS, accounts)
                .with(column::RSS_INIT_BYTES, 20 << 20)
                .with(column::RSS_BYTES, 60 << 20)
                .with(column::RSS_PEAK_BYTES, 60 << 20)
                .with(column::CORES_MILLI, 2_000)
                .with(column::OBSERVED_NS, i64::try_from(step).unwrap_or(i64::MAX));
            rows.add(key.row_key(q), &value);
            range.windows.push(FoldedWindow {
                service: ServiceId {
                    service: format!("s{at}"),
                    ..ServiceId::default()
                },
                window: Window {
                    start_unix_ns: start + w * step,
                    end_unix_ns: start + (w + 1) * step,
                },
                rows,
            });
        }
    }
    range
}

/// CPU time of this thread: nobody else's work counts.
fn seconds<T>(of: impl FnOnce() -> T) -> (f64, T) {
    let begun = clock::thread_cpu_ns();
    let made = of();
    ((clock::thread_cpu_ns() - begun) as f64 / 1e9, made)
}

/// The exact search looks at every partition: Bell numbers.
fn every_partition(report: &mut Report, load: &Load) {
    for (services, partitions) in [(11, 678_570u64), (12, 4_213_597)] {
        let inputs = system(services, 2 * services);
        let Ok(rules) = Rules::of(&inputs, &Constraints::default()) else {
            continue;
        };
        let (took, found) = seconds(|| search(&inputs, &rules, load, Weights::of(None), 1));
        let missed = partitions.abs_diff(found.examined) as f64;
        report.push(
            Figure::new(
                format!("partitions of {services} services not looked at"),
                missed,
                "",
            )
            .at_most(0.0)
            .note(format!("{} looked at in {took:.2} s", found.examined)),
        );
    }
}

fn main() -> ExitCode {
    let mut report = Report::new("topology");
    let options = Options::default();
    let inputs = system(1_000, 10_000);
    let Ok(rules) = Rules::of(&inputs, &Constraints::default()) else {
        return ExitCode::FAILURE;
    };
    let load = Load::planned(&options, 5.0);
    let (took, found) = seconds(|| search(&inputs, &rules, &load, Weights::of(None), 1));
    report.push(
        Figure::new("search, 1 000 services and 10 000 edges", took, "s").at_most(SEARCH_MAX_S),
    );
    report.push(Figure::new(
        "its gap to the bound",
        found.gap().map_or(f64::NAN, |gap| gap * 100.0),
        "%",
    ));
    every_partition(&mut report, &load);
    for (services, most) in [(50, REPORT_50_MAX_S), (1_000, REPORT_1000_MAX_S)] {
        let range = range(services, WINDOWS);
        let (took, document) = seconds(|| Document::build(&range, &options));
        let edges = document.edges.len();
        let name = format!(
            "report with everything, {services} services, {edges} edges, {WINDOWS} windows of 30 days"
        );
        report.push(Figure::new(name, took, "s").at_most(most));
    }
    report.finish()
}
