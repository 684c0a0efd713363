//! Services, edges and origins from a few numbers each.

use weighbridge_reports::document::*;

use super::figures::*;

pub(crate) fn operation(service: &str, op: &Op, process_ns: f64) -> OperationReport {
    let ns = op.us.map(|us| us * 1000.0);
    let unit: f64 = ns.iter().sum();
    let ended = op.rate * 60.0;
    let thin = ended < 400.0;
    OperationReport {
        id: format!("operation:{service}/{}", op.name),
        component: String::new(),
        operation: op.name.clone(),
        class: String::new(),
        rate: measured(op.rate, FigureUnit::PerSecond),
        started: measured(ended + 1.0, FigureUnit::Count),
        ended: measured(ended, FigureUnit::Count),
        errors: measured((ended / 900.0).floor(), FigureUnit::Count),
        client_errors: measured((ended / 70.0).floor(), FigureUnit::Count),
        cpu_per_request: classes(
            ns,
            if thin { 0.21 } else { 0.035 },
            FigureUnit::NsPerRequest,
        ),
        cpu_cores: measured(op.rate * unit / 1e9, FigureUnit::Cores),
        cpu_share: measured(ended * unit / process_ns, FigureUnit::Ratio),
        edge_error: measured(0.0006, FigureUnit::Ratio),
        wall: quantiles(ended as u64, op.wall_ms * 1e6),
        request_cpu: quantiles(ended as u64, unit * 0.8),
        wait_call: measured(op.wall_ms * 4.5e5, FigureUnit::NsPerRequest),
        wait_store: unknown(
            "the database client runs inside the request",
            FigureUnit::NsPerRequest,
        ),
        wait_other: measured(op.wall_ms * 1e5, FigureUnit::NsPerRequest),
        in_flight: measured(op.rate * op.wall_ms / 1000.0, FigureUnit::Count),
        in_flight_max: measured(
            (op.rate * op.wall_ms / 300.0).ceil() + 1.0,
            FigureUnit::Count,
        ),
        alloc_bytes: measured(op.peak * 3.1, FigureUnit::BytesPerRequest),
        alloc_count: measured((unit / 900.0).round(), FigureUnit::PerRequest),
        peak_live_max: measured(op.peak * 1.6, FigureUnit::Bytes),
        peak_live_mean: measured(op.peak, FigureUnit::BytesPerRequest),
        retained: Some(measured(op.peak * 0.3, FigureUnit::Bytes)),
        regions: vec![RegionReport {
            id: format!("region:{service}/{}/load;parse", op.name),
            path: vec!["load".to_owned(), "parse".to_owned()],
            runs: measured(2.0, FigureUnit::PerRequest),
            cpu: measured(unit * 0.1, FigureUnit::NsPerRequest),
            cpu_inclusive: measured(unit * 0.15, FigureUnit::NsPerRequest),
            alloc_bytes: measured(op.peak * 0.2, FigureUnit::BytesPerRequest),
        }],
        cpu_by_regression: None,
        service_time_cs2: measured(0.42, FigureUnit::Ratio),
        arrival_dispersion: if thin {
            unknown("fewer than 400 requests", FigureUnit::Ratio)
        } else {
            measured(1.07, FigureUnit::Ratio)
        },
        callers: vec![CallerShare {
            service: String::new(),
            operation: String::new(),
            share: measured(1.0, FigureUnit::Ratio),
        }],
        shapes: vec![CallShapeReport {
            signature: "00f1a2b3c4d5e6f7*".to_owned(),
            shown: "warehouse POST /reservations again and again".to_owned(),
            requests: measured(ended, FigureUnit::Count),
            share: measured(1.0, FigureUnit::Ratio),
            wall: measured(op.wall_ms * 1e6, FigureUnit::NsPerRequest),
            own: measured(op.wall_ms * 4e5, FigureUnit::NsPerRequest),
            critical: measured(op.wall_ms * 6e5, FigureUnit::NsPerRequest),
            steps: vec![CallStepReport {
                step: 0,
                call_id: "00f1a2b3c4d5e6f7".to_owned(),
                shown: "warehouse POST /reservations".to_owned(),
                order: "serial".to_owned(),
                calls: measured(3.0, FigureUnit::PerRequest),
                wall: measured(op.wall_ms * 2e5, FigureUnit::NsPerCall),
                critical: measured(op.wall_ms * 2e5, FigureUnit::NsPerCall),
                offset: measured(op.wall_ms * 1e5, FigureUnit::NsPerCall),
            }],
        }],
    }
}

/// A service with its conservation row, exact to the nanosecond.
pub(crate) fn service(
    name: &str,
    operations: &[Op],
    owners_ms: &[(&str, &str, f64)],
) -> (ServiceReport, ServiceConservation) {
    let seconds = DURATION_NS as f64 / 1e9;
    let operations_ns: f64 = operations
        .iter()
        .map(|o| o.rate * seconds * o.us.iter().sum::<f64>() * 1000.0)
        .sum();
    let owners_ns: f64 = owners_ms.iter().map(|(_, _, ms)| ms * 1e6).sum();
    let process_ns = operations_ns + owners_ns;
    let mut by_class = [0.0; 6];
    for o in operations {
        for (sum, us) in by_class.iter_mut().zip(o.us) {
            *sum += o.rate * seconds * us * 1000.0;
        }
    }
    by_class[0] += owners_ns * 0.4;
    by_class[4] += owners_ns * 0.6;
    let owner_parts = |ms: f64| [ms * 4e5, 0.0, 0.0, 0.0, ms * 6e5, 0.0];
    let mut report_operations: Vec<OperationReport> = operations
        .iter()
        .map(|o| operation(name, o, process_ns))
        .collect();
    report_operations.sort_by(|a, b| known(&b.cpu_cores).total_cmp(&known(&a.cpu_cores)));
    let owners: Vec<OwnerReport> = owners_ms
        .iter()
        .map(|(kind, owner, ms)| OwnerReport {
            id: format!("owner:{name}/{kind}/{owner}"),
            owner_kind: (*kind).to_owned(),
            name: (*owner).to_owned(),
            cpu: classes(owner_parts(*ms), 0.05, UNIT),
            share: measured(ms * 1e6 / process_ns, FigureUnit::Ratio),
        })
        .collect();
    let agent_ms = owners_ms
        .iter()
        .find(|(kind, _, _)| *kind == "agent")
        .map_or(0.0, |o| o.2);
    let unexplained: f64 = owners_ms
        .iter()
        .filter(|(kind, _, _)| *kind == "unattributed" || *kind == "runtime")
        .map(|(_, _, ms)| ms * 1e6)
        .sum();
    let mut accounts: Vec<AccountRow> = report_operations
        .iter()
        .map(|o| {
            account(
                &o.id,
                "operation",
                &o.operation,
                &o.cpu_per_request,
                known(&o.ended),
                process_ns,
            )
        })
        .collect();
    accounts.extend(
        owners
            .iter()
            .map(|o| account(&o.id, &o.owner_kind, &o.name, &o.cpu, 1.0, process_ns)),
    );
    let accounts_cpu_ns: i64 = accounts.iter().map(|a| a.cpu_ns).sum();
    let in_progress = 18_211_i64;
    let process = accounts_cpu_ns + in_progress;
    let message_share = by_class[1..5].iter().sum::<f64>() / process_ns;
    let instance = InstanceReport {
        id: format!("instance:{name}/1"),
        instance: format!("{name}-1"),
        host: "demo".to_owned(),
        epoch: "5f0c7a3be19d4c02a8b1774de0936612".to_owned(),
        clock_mode: "thread".to_owned(),
        agent_version: "0.1.0".to_owned(),
        cpu_process: measured(process as f64, UNIT),
        rss: measured(31.5e6, FigureUnit::Bytes),
        rss_peak: measured(44.1e6, FigureUnit::Bytes),
        threads: measured(7.0, FigureUnit::Count),
        cores_limit: measured(2.0, FigureUnit::Cores),
        versions: vec!["0.1.0".to_owned()],
        share: measured(1.0, FigureUnit::Ratio),
        windows: 60,
    };
    let report = ServiceReport {
        id: format!("service:{name}"),
        service: name.to_owned(),
        namespace: String::new(),
        environment: "demo".to_owned(),
        versions: vec!["0.1.0".to_owned()],
        instances: vec![instance.clone()],
        instance_count: measured(1.0, FigureUnit::Count),
        windows: 60,
        cpu_process: measured(process as f64, UNIT),
        cpu_cores: measured(process as f64 / DURATION_NS as f64, FigureUnit::Cores),
        cpu_by_class: classes(by_class, 0.02, UNIT),
        cpu_operations: measured(operations_ns, UNIT),
        owners,
        agent: AgentCost {
            cpu: measured(agent_ms * 1e6, UNIT),
            hooks: estimated(agent_ms * 2e6, UNIT),
            share: estimated(agent_ms * 3e6 / process_ns, FigureUnit::Ratio),
            clock_readings: measured(1_204_311.0, FigureUnit::Count),
            note: "The hooks inside requests are part of the accounts they run in.".to_owned(),
        },
        base: BaseCost {
            cpu: measured(owners_ns / DURATION_NS as f64, FigureUnit::Cores),
            rss: measured(12.2e6, FigureUnit::Bytes),
            method: "CPU of owners that no request causes; resident set at init.".to_owned(),
        },
        rss: measured(31.5e6, FigureUnit::Bytes),
        rss_peak: measured(44.1e6, FigureUnit::Bytes),
        rss_init: measured(12.2e6, FigureUnit::Bytes),
        threads: measured(7.0, FigureUnit::Count),
        cores_limit: measured(2.0, FigureUnit::Cores),
        imbalance: measured(1.25, FigureUnit::Ratio),
        message_share: measured(message_share, FigureUnit::Ratio),
        operations: report_operations,
        load: None,
        memory: None,
        serial: None,
        obstacles: vec![Obstacle {
            kind: ObstacleKind::WrittenByOthers,
            name: "product".to_owned(),
            figure: measured(2.0, FigureUnit::PerSecond),
            sentence: "product is written by warehouse too.".to_owned(),
            rows: vec![format!("service:{name}")],
        }],
    };
    let unattributed: i64 = accounts
        .iter()
        .filter(|a| a.kind == "unattributed")
        .map(|a| a.cpu_ns)
        .sum();
    let conservation = ServiceConservation {
        id: format!("conservation:{name}"),
        service: name.to_owned(),
        process_cpu_ns: Some(process),
        accounts,
        accounts_cpu_ns,
        in_progress_ns: Some(in_progress),
        sum_ns: Some(process),
        difference_ns: Some(0),
        unexplained_share: measured(unexplained / process_ns, FigureUnit::Ratio),
        unexplained_limit: 0.2,
        processes: vec![ProcessConservation {
            row: instance.id,
            instance: instance.instance,
            epoch: instance.epoch,
            process_cpu_ns: Some(process),
            accounts_cpu_ns: Some(accounts_cpu_ns - unattributed),
            in_progress_ns: Some(in_progress),
            unattributed_ns: Some(unattributed),
            difference_ns: Some(0),
        }],
    };
    (report, conservation)
}

pub(crate) fn account(
    row: &str,
    kind: &str,
    name: &str,
    cpu: &ClassFigures,
    times: f64,
    process_ns: f64,
) -> AccountRow {
    let of = |figure: &Figure| figure.value.map(|v| (v * times) as i64);
    let parts: Vec<Option<i64>> = cpu.each().iter().map(|(_, f)| of(f)).collect();
    let cpu_ns = parts.iter().flatten().sum();
    AccountRow {
        row: row.to_owned(),
        kind: kind.to_owned(),
        name: name.to_owned(),
        cpu_ns,
        handler_ns: parts[0],
        encode_ns: parts[1],
        decode_ns: parts[2],
        protocol_ns: parts[3],
        io_ns: parts[4],
        store_ns: parts[5],
        share: measured(cpu_ns as f64 / process_ns, FigureUnit::Ratio),
    }
}

pub(crate) fn side(us: [f64; 4], pool: f64) -> EdgeSideCpu {
    let of = |us: f64| measured(us * 1000.0, FigureUnit::NsPerCall);
    EdgeSideCpu {
        encode: of(us[0]),
        decode: of(us[1]),
        protocol: of(us[2]),
        io: of(us[3]),
        pool: mixed(pool * 1000.0, 1.0, FigureUnit::NsPerCall),
        total: mixed(
            (us.iter().sum::<f64>() + pool) * 1000.0,
            0.2,
            FigureUnit::NsPerCall,
        ),
    }
}

/// An edge: ends, transport, rate, calls per request, µs of both sides, pool, broker, work, body bytes.
#[allow(clippy::too_many_arguments)]
pub(crate) fn edge(
    from: (&str, &str),
    to: (&str, &str),
    transport: &str,
    rate: f64,
    per_request: f64,
    caller: [f64; 4],
    callee: [f64; 4],
    work: f64,
    bytes: (f64, f64),
) -> EdgeReport {
    let mqtt = transport == "mqtt";
    let broker = mqtt.then_some(38.0);
    let pool = if mqtt { 22.0 } else { 9.0 };
    let overhead =
        caller.iter().sum::<f64>() + callee.iter().sum::<f64>() + pool + broker.unwrap_or(0.0);
    let calls = rate * 60.0;
    let count = |v: f64| measured(v, FigureUnit::Count);
    let size = |v: f64| measured(v, FigureUnit::Bytes);
    let none = |unit| unknown("a broker gives no response", unit);
    EdgeReport {
        id: format!("edge:{}/{}→{}/{}", from.0, from.1, to.0, to.1),
        from: EdgeEnd {
            row: format!("operation:{}/{}", from.0, from.1),
            service: from.0.to_owned(),
            component: String::new(),
            operation: from.1.to_owned(),
            instrumented: true,
        },
        to: EdgeEnd {
            row: format!("operation:{}/{}", to.0, to.1),
            service: to.0.to_owned(),
            component: String::new(),
            operation: to.1.to_owned(),
            instrumented: true,
        },
        transport: transport.to_owned(),
        mode: if mqtt { "async" } else { "sync" }.to_owned(),
        call_id: "00f1a2b3c4d5e6f7".to_owned(),
        target: if mqtt {
            "product.changed".to_owned()
        } else {
            to.1.to_owned()
        },
        broker: mqtt.then(|| "broker".to_owned()),
        calls: count(calls),
        rate: measured(rate, FigureUnit::PerSecond),
        calls_per_request: measured(per_request, FigureUnit::PerRequest),
        traffic: EdgeTraffic {
            request_messages_sent: count(calls),
            request_messages_received: count(calls),
            request_body_bytes_sent: size(calls * bytes.0),
            request_body_bytes_received: size(calls * bytes.0),
            response_messages_sent: if mqtt {
                none(FigureUnit::Count)
            } else {
                count(calls)
            },
            response_messages_received: if mqtt {
                none(FigureUnit::Count)
            } else {
                count(calls)
            },
            response_body_bytes_sent: if mqtt {
                none(FigureUnit::Bytes)
            } else {
                size(calls * bytes.1)
            },
            response_body_bytes_received: if mqtt {
                none(FigureUnit::Bytes)
            } else {
                size(calls * bytes.1)
            },
            wire_bytes: if mqtt {
                unknown("the socket is the client library’s", FigureUnit::Bytes)
            } else {
                size(calls * (bytes.0 + bytes.1 + 310.0))
            },
        },
        ends: EdgeEnds {
            request_messages: count(0.0),
            request_body_bytes: size(0.0),
            response_messages: if mqtt {
                none(FigureUnit::Count)
            } else {
                count(0.0)
            },
            response_body_bytes: if mqtt {
                none(FigureUnit::Bytes)
            } else {
                size(0.0)
            },
            answer_wall: if mqtt {
                none(FigureUnit::NsPerCall)
            } else {
                measured(0.9e6, FigureUnit::NsPerCall)
            },
            wire: if mqtt {
                none(FigureUnit::NsPerCall)
            } else {
                measured(0.4e6, FigureUnit::NsPerCall)
            },
        },
        shape: EdgeShape {
            serial: measured(if mqtt { 0.0 } else { 1.0 }, FigureUnit::Ratio),
            parallel: measured(0.0, FigureUnit::Ratio),
            detached: measured(if mqtt { 1.0 } else { 0.0 }, FigureUnit::Ratio),
            repeated: measured(
                if per_request >= 2.0 { 1.0 } else { 0.0 },
                FigureUnit::Ratio,
            ),
            critical: measured(if mqtt { 0.0 } else { 1.3e6 }, FigureUnit::NsPerCall),
            critical_share: measured(if mqtt { 0.0 } else { 0.4 }, FigureUnit::Ratio),
        },
        caller_cpu: side(caller, pool),
        callee_cpu: side(callee, 0.0),
        broker_cpu: broker.map(|us| mixed(us * 1000.0, 1.0, FigureUnit::NsPerMessage)),
        overhead: Figure {
            quality: mixed(1.0, 0.14, FigureUnit::NsPerCall).quality,
            ..between(overhead * 1000.0, 0.04, FigureUnit::NsPerCall)
        },
        overhead_cores: mixed(overhead * rate / 1e6, 0.14, FigureUnit::Cores),
        work: measured(work * 1000.0, FigureUnit::NsPerCall),
        overhead_share: mixed(overhead / (overhead + work), 0.14, FigureUnit::Ratio),
        wait: if mqtt {
            none(FigureUnit::NsPerCall)
        } else {
            measured(1.3e6, FigureUnit::NsPerCall)
        },
        lag: if mqtt {
            measured(3.4e6, FigureUnit::NsPerMessage)
        } else {
            unknown("the caller waits", FigureUnit::NsPerMessage)
        },
        errors: count(0.0),
        retries: count(0.0),
        redelivered: count(0.0),
        prices: vec![MessagePrice {
            side: "caller".to_owned(),
            direction: "request".to_owned(),
            messages: calls as u64,
            per_message: between(caller[0] * 700.0, 0.09, FigureUnit::NsPerMessage),
            per_byte: unknown(
                "all messages have about the same size",
                FigureUnit::NsPerByte,
            ),
            residual: None,
            note: "mean over one size class".to_owned(),
        }],
        notes: Vec::new(),
    }
}

pub(crate) fn origin(
    service: &str,
    operation: &str,
    rate: f64,
    us: [f64; 6],
    overhead_us: [f64; 4],
    all_cores: f64,
    parts: &[(&str, &str, f64, [f64; 6])],
) -> OriginReport {
    let ns = us.map(|us| us * 1000.0);
    let total: f64 = ns.iter().sum();
    let of = |us: f64| mixed(us * 1000.0, 0.1, FigureUnit::NsPerRequest);
    let overhead: f64 = overhead_us.iter().sum::<f64>() * 1000.0;
    let mut services: Vec<OriginService> = Vec::new();
    for (name, _, calls, us) in parts {
        let ns = us.map(|us| us * 1000.0 * calls);
        services.push(OriginService {
            service: (*name).to_owned(),
            requests: measured(*calls, FigureUnit::PerRequest),
            cpu: classes(ns, 0.04, FigureUnit::NsPerRequest),
            alloc_bytes: measured(900.0 * calls, FigureUnit::BytesPerRequest),
            share: measured(ns.iter().sum::<f64>() / total, FigureUnit::Ratio),
        });
    }
    OriginReport {
        id: format!("origin:{service}/{operation}"),
        service: service.to_owned(),
        operation: operation.to_owned(),
        rate: measured(rate, FigureUnit::PerSecond),
        ended: measured(rate * 60.0, FigureUnit::Count),
        unit_cost: classes(
            ns,
            if rate * 60.0 < 400.0 { 0.2 } else { 0.03 },
            FigureUnit::NsPerRequest,
        ),
        cores: measured(rate * total / 1e9, FigureUnit::Cores),
        share: measured(rate * total / 1e9 / all_cores, FigureUnit::Ratio),
        message_overhead: MessageOverhead {
            caller: of(overhead_us[0]),
            callee: of(overhead_us[1]),
            pool: of(overhead_us[2]),
            broker: of(overhead_us[3]),
            outside: unknown("no message of this kind was seen", FigureUnit::NsPerRequest),
            total: of(overhead_us.iter().sum()),
            share: measured(overhead / total, FigureUnit::Ratio),
        },
        money: Some(measured(
            rate * total / 1e9 * 0.04,
            FigureUnit::MoneyPerHour,
        )),
        wall: quantiles((rate * 60.0) as u64, total * 1.6),
        paths: paths(service, operation, parts),
        services,
        operations: parts
            .iter()
            .map(|(service, operation, calls, us)| {
                let each: f64 = us.iter().sum::<f64>() * 1000.0;
                OriginOperation {
                    row: format!("operation:{service}/{operation}"),
                    service: (*service).to_owned(),
                    operation: (*operation).to_owned(),
                    calls: measured(*calls, FigureUnit::PerRequest),
                    cpu_per_call: measured(each, FigureUnit::NsPerRequest),
                    cpu: classes(
                        us.map(|us| us * 1000.0 * calls),
                        0.04,
                        FigureUnit::NsPerRequest,
                    ),
                    alloc_bytes: measured(700.0 * calls, FigureUnit::BytesPerRequest),
                    share: measured(each * calls / total, FigureUnit::Ratio),
                }
            })
            .collect(),
    }
}

/// The origin's own operation first, the others called by it.
fn paths(service: &str, operation: &str, parts: &[(&str, &str, f64, [f64; 6])]) -> Vec<OriginPath> {
    let root = format!("operation:{service}/{operation}");
    let mut sorted: Vec<_> = parts.iter().collect();
    sorted.sort_by_key(|part| (part.0, part.1) != (service, operation));
    sorted
        .into_iter()
        .map(|(at, what, calls, us)| {
            let row = format!("operation:{at}/{what}");
            OriginPath {
                rows: if row == root {
                    vec![row]
                } else {
                    vec![root.clone(), row]
                },
                requests: measured(*calls, FigureUnit::PerRequest),
                cpu: classes(
                    us.map(|us| us * 1000.0 * calls),
                    0.04,
                    FigureUnit::NsPerRequest,
                ),
                alloc_bytes: measured(1_000.0 * calls, FigureUnit::BytesPerRequest),
            }
        })
        .collect()
}

/// Responses that grow with load until they are not known.
pub(crate) fn latency(origins: &[OriginReport]) -> Vec<OriginLatency> {
    let loads = [
        0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.5,
    ];
    origins
        .iter()
        .map(|origin| OriginLatency {
            id: format!("latency:{}/{}", origin.service, origin.operation),
            origin: origin.id.clone(),
            service: origin.service.clone(),
            operation: origin.operation.clone(),
            points: loads
                .iter()
                .map(|load| LatencyPoint {
                    load_factor: *load,
                    response: if *load > 4.0 {
                        unknown("saturated", FigureUnit::Ns)
                    } else {
                        estimated(
                            known(&origin.wall.mean) * (0.8 + 0.2 * load),
                            FigureUnit::Ns,
                        )
                    },
                })
                .collect(),
        })
        .collect()
}

pub(crate) fn edge_checks(edge: &EdgeReport) -> Vec<EdgeConservation> {
    let pairs = [
        (
            "request messages",
            &edge.traffic.request_messages_sent,
            &edge.traffic.request_messages_received,
        ),
        (
            "request body bytes",
            &edge.traffic.request_body_bytes_sent,
            &edge.traffic.request_body_bytes_received,
        ),
    ];
    pairs
        .into_iter()
        .map(|(what, sent, received)| EdgeConservation {
            rows: vec![edge.id.clone()],
            name: format!(
                "{} {} → {}",
                edge.from.service, edge.from.operation, edge.target
            ),
            transport: edge.transport.clone(),
            what: what.to_owned(),
            sent: sent.value.map(|v| v as i64),
            received: received.value.map(|v| v as i64),
            difference: Some(0),
        })
        .collect()
}

/// Capacity at 1, 2 and 5 times the load.
pub(crate) fn capacity(services: &[ServiceReport]) -> CapacityReport {
    let factors = [1.0, 2.0, 5.0];
    let rows: Vec<ServiceCapacity> = services
        .iter()
        .map(|s| {
            let cores = s.cpu_cores.value.unwrap_or(0.0);
            let fixed = s.base.cpu.value.unwrap_or(0.0).min(cores);
            let grows = cores - fixed;
            ServiceCapacity {
                id: format!("capacity:{}", s.service),
                service: s.service.clone(),
                instances: measured(1.0, FigureUnit::Count),
                cores_limit: measured(0.25, FigureUnit::Cores),
                cores_variable: between(grows, 0.05, FigureUnit::Cores),
                cores_base: measured(fixed, FigureUnit::Cores),
                target_load: estimated((0.15 - fixed) / grows, FigureUnit::Ratio),
                knee_load: estimated(0.12 / grows, FigureUnit::Ratio),
                saturation_load: estimated((0.25 - fixed) / grows, FigureUnit::Ratio),
                utilisation_one_less: unknown("one process is all there is", FigureUnit::Ratio),
                saturation_load_one_less: unknown("one process is all there is", FigureUnit::Ratio),
                serial: (s.service == "accounting").then(|| SerialCapacity {
                    operation: "operation:accounting/POST /closing/{month}".to_owned(),
                    name: "POST /closing/{month}".to_owned(),
                    throughput_max: between(40.0, 0.1, FigureUnit::PerSecond),
                    utilisation: between(0.1, 0.1, FigureUnit::Ratio),
                    full_load: between(10.0, 0.1, FigureUnit::Ratio),
                }),
                points: factors
                    .iter()
                    .map(|factor| {
                        let need = fixed + grows * factor;
                        let saturated = need > 0.25;
                        CapacityPoint {
                            load_factor: *factor,
                            cores: Figure {
                                quality: estimated(0.0, UNIT).quality,
                                ..between(need, 0.03 + 0.03 * factor, FigureUnit::Cores)
                            },
                            utilisation: estimated(need / 0.25, FigureUnit::Ratio),
                            replicas: estimated(
                                (need / 0.25 / 0.6).ceil().max(1.0),
                                FigureUnit::Count,
                            ),
                            wait: if saturated {
                                unknown(
                                    "beyond saturation the wait grows without end",
                                    FigureUnit::Ns,
                                )
                            } else {
                                estimated(need / (0.25 - need).max(0.01) * 3e5, FigureUnit::Ns)
                            },
                            turn_wait: (s.service == "accounting")
                                .then(|| estimated(2.8e6 * factor, FigureUnit::Ns)),
                            memory: estimated(
                                44.1e6 * (need / 0.25 / 0.6).ceil().max(1.0),
                                FigureUnit::Bytes,
                            ),
                            money: Some(estimated(need * 0.04, FigureUnit::MoneyPerHour)),
                            extrapolated: *factor > 1.0,
                            saturated,
                        }
                    })
                    .collect(),
            }
        })
        .collect();
    CapacityReport {
        target_utilisation: 0.6,
        least_processes: 1,
        latency: Vec::new(),
        growth: None,
        prices: Some(PriceSheet {
            core_hour: 0.04,
            gib_hour: 0.005,
            currency: "EUR".to_owned(),
        }),
        load_factors: factors.to_vec(),
        total_cores: (0..factors.len())
            .map(|i| {
                between(
                    rows.iter().filter_map(|r| r.points[i].cores.value).sum(),
                    0.05,
                    FigureUnit::Cores,
                )
            })
            .collect(),
        services: rows,
        notes: vec!["Load grows on all origins alike.".to_owned()],
    }
}
