//! Documents to look at and to test the page with: an ERP of three services and a broker, and any number of services.
//!
//! The figures are invented but hang together: unit cost × rate = cores, parts sum to totals.

mod advice;
mod figures;
mod rows;

use weighbridge_reports::document::*;

use advice::*;
pub(crate) use figures::*;
use rows::*;

/// The ERP of the demo.
pub(crate) fn erp() -> Document {
    let reserve = [62.0, 21.0, 18.0, 33.0, 29.0, 48.0];
    let order = [310.0, 96.0, 88.0, 210.0, 170.0, 190.0];
    let search = [880.0, 120.0, 4.0, 41.0, 30.0, 310.0];
    let close = [41_000.0, 30.0, 4.0, 40.0, 31.0, 9_400.0];
    let balance = [55.0, 19.0, 2.0, 30.0, 26.0, 70.0];
    let export = [5_200.0, 2_900.0, 3.0, 60.0, 410.0, 3_300.0];
    let apply = [14.0, 0.0, 13.0, 9.0, 12.0, 41.0];
    let book = [75.0, 4.0, 22.0, 12.0, 13.0, 88.0];
    let owners = [
        ("runtime", "runtime or unwrapped", 310.0),
        ("unattributed", "", 122.0),
        ("agent", "agent", 41.0),
        ("pool", "http client", 96.0),
        ("driver", "mqtt", 130.0),
        ("connection", "http", 71.0),
        ("background", "stock check", 60.0),
    ];
    let (store, store_check) = service(
        "store",
        &[
            op("POST /orders", 22.0, order, 14.0, 190e3),
            op("GET /search", 31.0, search, 4.1, 320e3),
            op(
                "GET /orders/{id}",
                18.0,
                [44.0, 17.0, 2.0, 29.0, 26.0, 51.0],
                0.9,
                21e3,
            ),
            op("CONSUME product.changed", 2.0, apply, 0.6, 9e3),
        ],
        &owners,
    );
    let (warehouse, warehouse_check) = service(
        "warehouse",
        &[
            op("POST /reservations", 132.0, reserve, 1.1, 17e3),
            op(
                "PUT /products/{id}",
                2.0,
                [48.0, 16.0, 15.0, 30.0, 25.0, 62.0],
                1.2,
                15e3,
            ),
        ],
        &owners[..6],
    );
    let (accounting, accounting_check) = service(
        "accounting",
        &[
            op("POST /closing/{month}", 0.2, close, 61.0, 2.1e6),
            op("GET /balance/{account}", 20.0, balance, 3.8, 12e3),
            op("GET /export/{year}", 0.1, export, 40.0, 48e6),
            op("CONSUME order.placed", 22.0, book, 0.8, 11e3),
            op("CONSUME product.changed", 2.0, apply, 0.6, 9e3),
        ],
        &owners[..5],
    );
    let (broker, broker_check) = service(
        "broker",
        &[],
        &[
            ("background", "rumqttd", 210.0),
            ("runtime", "runtime or unwrapped", 44.0),
            ("agent", "agent", 20.0),
        ],
    );
    let mut services = vec![store, warehouse, accounting, broker];
    services.sort_by(|a, b| known(&b.cpu_process).total_cmp(&known(&a.cpu_process)));
    let all: f64 = services.iter().map(|s| known(&s.cpu_cores)).sum();
    let six = reserve.map(|us| us * 6.0);
    let place = std::array::from_fn(|i| order[i] + six[i] + book[i]);
    let origins = vec![
        origin(
            "store",
            "POST /orders",
            22.0,
            place,
            [410.0, 505.0, 96.0, 38.0],
            all,
            &[
                ("warehouse", "POST /reservations", 6.0, reserve),
                ("store", "POST /orders", 1.0, order),
                ("accounting", "CONSUME order.placed", 1.0, book),
            ],
        ),
        origin(
            "store",
            "GET /search",
            31.0,
            search,
            [0.0; 4],
            all,
            &[("store", "GET /search", 1.0, search)],
        ),
        origin(
            "accounting",
            "POST /closing/{month}",
            0.2,
            close,
            [0.0; 4],
            all,
            &[("accounting", "POST /closing/{month}", 1.0, close)],
        ),
        origin(
            "accounting",
            "GET /balance/{account}",
            20.0,
            balance,
            [0.0; 4],
            all,
            &[("accounting", "GET /balance/{account}", 1.0, balance)],
        ),
        origin(
            "accounting",
            "GET /export/{year}",
            0.1,
            export,
            [0.0; 4],
            all,
            &[("accounting", "GET /export/{year}", 1.0, export)],
        ),
    ];
    let edges = vec![
        edge(
            ("store", "POST /orders"),
            ("warehouse", "POST /reservations"),
            "http",
            132.0,
            6.0,
            [14.0, 13.0, 31.0, 27.0],
            [21.0, 18.0, 33.0, 29.0],
            110.0,
            (86.0, 41.0),
        ),
        edge(
            ("store", "POST /orders"),
            ("accounting", "CONSUME order.placed"),
            "mqtt",
            22.0,
            1.0,
            [12.0, 0.0, 14.0, 16.0],
            [4.0, 22.0, 12.0, 13.0],
            163.0,
            (1_420.0, 0.0),
        ),
        edge(
            ("warehouse", "PUT /products/{id}"),
            ("store", "CONSUME product.changed"),
            "mqtt",
            2.0,
            1.0,
            [9.0, 0.0, 12.0, 14.0],
            [0.0, 13.0, 9.0, 12.0],
            55.0,
            (310.0, 0.0),
        ),
        edge(
            ("warehouse", "PUT /products/{id}"),
            ("accounting", "CONSUME product.changed"),
            "mqtt",
            2.0,
            1.0,
            [9.0, 0.0, 12.0, 14.0],
            [0.0, 13.0, 9.0, 12.0],
            55.0,
            (310.0, 0.0),
        ),
    ];
    Document {
        after: None,
        schema_version: SCHEMA_VERSION,
        window: WindowReport {
            start_unix_ns: 1_795_406_400_000_000_000,
            end_unix_ns: 1_795_406_400_000_000_000 + DURATION_NS,
            start: "2026-11-23T04:00:00.000Z".to_owned(),
            end: "2026-11-23T04:01:00.000Z".to_owned(),
            duration_ns: DURATION_NS,
            window_ns: Some(1_000_000_000),
            windows: 60,
            at_the_load_seen: true,
            coverage: Some(Coverage {
                answered: measured(0.97, FigureUnit::Ratio),
                both_ends: measured(0.97, FigureUnit::Ratio),
                processes: measured(4.0, FigureUnit::Count),
                cpu_cores: between(all, 0.04, FigureUnit::Cores),
                message_share: measured(0.23, FigureUnit::Ratio),
                money: Some(measured(all * 0.04, FigureUnit::MoneyPerHour)),
            }),
            notes: vec!["accounting reported in 59 of 60 windows.".to_owned()],
        },
        capacity: CapacityReport {
            latency: latency(&origins),
            ..capacity(&services)
        },
        conservation: ConservationReport {
            cpu_exact: true,
            edges_exact: true,
            services: vec![store_check, warehouse_check, accounting_check, broker_check],
            edges: edges.iter().flat_map(edge_checks).collect(),
            losses: Vec::new(),
        },
        services,
        origins,
        edges,
        entities: entities(),
        recommendations: recommendations(),
        suppressed: vec![Suppressed {
            id: "rec:merge:a+b".to_owned(),
            title: "Merge a and b".to_owned(),
            verdict: Verdict::Try,
            reason: "two teams".to_owned(),
            until: "2027-01-31".to_owned(),
        }],
        change: None,
        topologies: Some(topologies()),
        map: None,
        quality: quality(),
    }
}

/// The system as it is and with two services merged, as a search over cuts gives them.
fn topologies() -> TopologiesReport {
    let of = |id: &str, steps: &[&str], parts: &[(&str, f64)]| {
        let cores: f64 = parts.iter().map(|(_, cores)| cores).sum();
        TopologyProposal {
            id: format!("topology:{id}"),
            steps: steps.iter().map(|step| (*step).to_owned()).collect(),
            first_step: steps.first().map(|step| (*step).to_owned()),
            first_step_cost: if steps.is_empty() {
                unknown(
                    "no single step of the way saves by itself",
                    FigureUnit::Cores,
                )
            } else {
                measured(cores * 1.02, FigureUnit::Cores)
            },
            beaten: steps.is_empty(),
            objections: steps
                .iter()
                .map(|_| CutObjection {
                    recommendation: "rec:keep/store+accounting".to_owned(),
                    sentence: "Keep store and accounting apart.".to_owned(),
                })
                .collect(),
            boundaries: steps.len() as u64,
            cost: measured(cores * 1.1, FigureUnit::Cores),
            latency: measured(0.9, FigureUnit::Ratio),
            latency_of: None,
            blast_radius: measured(0.7, FigureUnit::Ratio),
            cores: measured(cores, FigureUnit::Cores),
            memory: measured(9e7, FigureUnit::Bytes),
            replicas: measured(parts.len() as f64, FigureUnit::Count),
            deployables: parts
                .iter()
                .map(|(name, cores)| DeployableReport {
                    id: format!("deployable:{id}/{name}"),
                    name: (*name).to_owned(),
                    cores: measured(*cores, FigureUnit::Cores),
                    replicas: measured(1.0, FigureUnit::Count),
                    memory: measured(4e7, FigureUnit::Bytes),
                    utilisation: measured(0.31, FigureUnit::Ratio),
                })
                .collect(),
            notes: vec!["The broker stays as it is.".to_owned()],
        }
    };
    let cores = |value| measured(value, FigureUnit::Cores);
    TopologiesReport {
        load_factor: 2.0,
        cost_is: "cores used, and memory held at an eighth of a core for a GiB".to_owned(),
        exact: true,
        examined: 15,
        today: cores(0.22),
        best: cores(0.176),
        bound: cores(0.17),
        gap: measured(0.03, FigureUnit::Ratio),
        pareto_size: 4,
        infeasible: None,
        implied: vec!["store and warehouse share no lock".to_owned()],
        proposals: vec![
            of(
                "merge store and warehouse",
                &["merge store and warehouse"],
                &[("store+warehouse", 0.11), ("accounting", 0.05)],
            ),
            of(
                "as it is",
                &[],
                &[("store", 0.1), ("warehouse", 0.05), ("accounting", 0.05)],
            ),
        ],
    }
}

/// A document about nothing.
pub(crate) fn empty() -> Document {
    let mut document = erp();
    document.services.clear();
    document.origins.clear();
    document.edges.clear();
    document.entities.clear();
    document.recommendations.clear();
    document.suppressed.clear();
    document.conservation.services.clear();
    document.conservation.edges.clear();
    document.capacity.services.clear();
    document.capacity.total_cores.clear();
    document.capacity.latency.clear();
    document.topologies = None;
    document.window.coverage = None;
    document.window.window_ns = None;
    document.window.windows = 0;
    document.window.notes.clear();
    document.quality.cpu_shares.clear();
    document.quality.clocks.clear();
    document.quality.unexplained_share = unknown("no CPU was booked", FigureUnit::Ratio);
    document.quality.agent_share = unknown("no CPU was booked", FigureUnit::Ratio);
    document
}

/// `count` services in chains, each with three operations.
pub(crate) fn many(count: usize) -> Document {
    let mut document = empty();
    document.window = erp().window;
    document.quality = erp().quality;
    let us = [62.0, 21.0, 18.0, 33.0, 29.0, 48.0];
    for n in 0..count {
        let name = format!("service-{n:03}");
        let rate = 5.0 + (n % 17) as f64;
        let (report, check) = service(
            &name,
            &[
                op("GET /items/{id}", rate, us, 1.1, 17e3),
                op("POST /items", rate / 3.0, us.map(|v| v * 1.7), 2.0, 29e3),
                op(
                    "CONSUME item.changed",
                    rate / 5.0,
                    us.map(|v| v * 0.4),
                    0.6,
                    9e3,
                ),
            ],
            &[
                ("runtime", "runtime or unwrapped", 31.0),
                ("unattributed", "", 12.0),
                ("agent", "agent", 4.0),
                ("pool", "http client", 9.0),
            ],
        );
        document.services.push(report);
        document.conservation.services.push(check);
        if n > 0 {
            let from = format!("service-{:03}", n / 2);
            document.edges.push(edge(
                (&from, "POST /items"),
                (&name, "GET /items/{id}"),
                "http",
                rate,
                1.5,
                [14.0, 13.0, 31.0, 27.0],
                [21.0, 18.0, 33.0, 29.0],
                110.0,
                (86.0, 41.0),
            ));
        }
        if n % 3 == 0 {
            document.origins.push(origin(
                &name,
                "POST /items",
                rate / 3.0,
                us.map(|v| v * 4.0),
                [60.0, 70.0, 9.0, 0.0],
                10.0,
                &[
                    (&name, "POST /items", 1.0, us.map(|v| v * 1.7)),
                    (
                        &format!("service-{:03}", (n * 2).min(count - 1)),
                        "GET /items/{id}",
                        1.5,
                        us,
                    ),
                ],
            ));
        }
    }
    document.conservation.edges = document.edges.iter().flat_map(edge_checks).collect();
    document.capacity = capacity(&document.services);
    document
}

/// A load that grows by a share of `per_day` of itself each day, over the days that are told.
fn growth(cores: f64, per_day: f64) -> GrowthReport {
    let point = |days: f64| {
        let load = 1.0 + per_day * days;
        GrowthPoint {
            days,
            load_factor: between(load, 0.05, FigureUnit::Ratio),
            cores: between(cores * load, 0.08, FigureUnit::Cores),
            replicas: estimated((4.0 * load).ceil(), FigureUnit::Count),
            memory: estimated(44.1e6 * (4.0 * load).ceil(), FigureUnit::Bytes),
        }
    };
    GrowthReport {
        per_day: between(per_day, 0.2, FigureUnit::Ratio),
        points: [0.0, 30.0, 90.0, 180.0, 365.0].map(point).into(),
        plan: None,
        said: "Growth is not in the loads that are planned for.".to_owned(),
    }
}

/// The sample with what only some documents have.
#[allow(dead_code)] // the example shows the plain one
pub(crate) fn whole() -> Document {
    let mut document = erp();
    // More advice than there are cards.
    for n in 0..12 {
        let mut more = document.recommendations[n % 3].clone();
        more.id = format!("{}/{n}", more.id);
        more.title = format!("{}, again {n}", more.title);
        document.recommendations.push(more);
    }
    document.capacity.growth = Some(growth(known(&document.capacity.total_cores[0]), 0.004));
    let figure = |unit| measured(1.0, unit);
    let change = CostChange {
        id: document.origins[0].id.clone(),
        service: "store".to_owned(),
        operation: "POST /orders".to_owned(),
        rate_before: figure(FigureUnit::PerSecond),
        rate_after: figure(FigureUnit::PerSecond),
        unit_before: figure(FigureUnit::NsPerRequest),
        unit_after: figure(FigureUnit::NsPerRequest),
        unit_change: figure(FigureUnit::Ratio),
        more_calls: figure(FigureUnit::Cores),
        dearer_calls: figure(FigureUnit::Cores),
        cores_change: figure(FigureUnit::Cores),
        verdict: ChangeVerdict::Dearer,
    };
    let side = ChangeSide {
        start: document.window.start.clone(),
        end: document.window.end.clone(),
        windows: 60,
        seed: "0".to_owned(),
    };
    document.change = Some(ChangeReport {
        base: side.clone(),
        head: side,
        origins: vec![change.clone()],
        operations: vec![change],
        notes: Vec::new(),
    });
    let score = Score {
        figures: 1,
        with_interval: 1,
        inside: 1,
        errors: vec![1.0],
        errors_dropped: 0,
        error_median: Some(1.0),
        error_max: Some(1.0),
    };
    document.conservation.losses = vec![LossRow {
        service: "store".to_owned(),
        place: "agent.operations".to_owned(),
        reason: "the table is full".to_owned(),
        lost: Some(1),
        lost_cpu_ns: Some(1),
    }];
    let mut second = document.services[0].instances[0].clone();
    second.id = second.id.replace("/1", "/2");
    second.instance = second.instance.replace("-1", "-2");
    document.services[0].instances.push(second);
    for (service, instances) in document
        .conservation
        .services
        .iter_mut()
        .zip(&document.services)
    {
        service.processes = instances
            .instances
            .iter()
            .map(|instance| ProcessConservation {
                row: instance.id.clone(),
                instance: instance.instance.clone(),
                epoch: instance.epoch.clone(),
                process_cpu_ns: Some(1),
                accounts_cpu_ns: Some(1),
                in_progress_ns: Some(1),
                unattributed_ns: Some(1),
                difference_ns: Some(1),
            })
            .collect();
    }
    document.after = Some(AfterReport {
        earlier_start: document.window.start.clone(),
        earlier_end: document.window.end.clone(),
        load_factor: Some(1.0),
        notes: Vec::new(),
        outcomes: vec![Outcome {
            id: "rec:a".to_owned(),
            title: "Merge".to_owned(),
            applied: true,
            seen: "they are one service".to_owned(),
            figures: vec![OutcomeFigure {
                figure: "cores".to_owned(),
                unit: FigureUnit::Cores,
                predicted: Some(1.0),
                low: Some(1.0),
                high: Some(1.0),
                observed: Some(1.0),
                error: Some(1.0),
                inside: Some(true),
                not_scored_reason: None,
            }],
        }],
        score: score.clone(),
        running: score,
    });
    document
}
