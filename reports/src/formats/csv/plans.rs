//! Tables of what could be, and of what limits it: cuts, responses under load, obstacles; and of processes and regions.

use super::{CsvTable, Table, by_columns, number, value};
use crate::Document;
use crate::document::{SerialCapacity, ServiceCapacity};

/// The search over cuts: one row, or none where nothing was searched.
pub(super) fn search(document: &Document) -> CsvTable {
    let mut table = Table::new(
        "topology_search",
        &[
            "load_factor",
            "exact",
            "examined",
            "pareto_size",
            "cost_unit",
            "today",
            "best",
            "bound",
            "gap",
            "cost_is",
            "infeasible",
        ],
    );
    if let Some(found) = &document.topologies {
        table.row(&[
            found.load_factor.to_string(),
            found.exact.to_string(),
            found.examined.to_string(),
            found.pareto_size.to_string(),
            found.today.unit.as_str().to_owned(),
            value(&found.today),
            value(&found.best),
            value(&found.bound),
            value(&found.gap),
            found.cost_is.clone(),
            found.infeasible.clone().unwrap_or_default(),
        ]);
    }
    table.done()
}

/// Cuts that no other beats, and today's.
pub(super) fn topologies(document: &Document) -> CsvTable {
    let mut table = Table::new(
        "topologies",
        &[
            "id",
            "steps",
            "boundaries",
            "cost_unit",
            "cost",
            "latency_ratio",
            "latency_of",
            "blast_radius",
            "cores",
            "memory_bytes",
            "processes",
            "first_step",
            "first_step_cost",
            "beaten",
            "objections",
        ],
    );
    for p in document.topologies.iter().flat_map(|t| &t.proposals) {
        let objections: Vec<&str> = p
            .objections
            .iter()
            .map(|objection| objection.recommendation.as_str())
            .collect();
        table.row(&[
            p.id.clone(),
            p.steps.join("; "),
            p.boundaries.to_string(),
            p.cost.unit.as_str().to_owned(),
            value(&p.cost),
            value(&p.latency),
            p.latency_of.clone().unwrap_or_default(),
            value(&p.blast_radius),
            value(&p.cores),
            value(&p.memory),
            value(&p.replicas),
            p.first_step.clone().unwrap_or_default(),
            value(&p.first_step_cost),
            p.beaten.to_string(),
            objections.join("; "),
        ]);
    }
    table.done()
}

/// The services of each cut.
pub(super) fn deployables(document: &Document) -> CsvTable {
    let mut table = Table::new(
        "topology_services",
        &[
            "topology",
            "id",
            "service",
            "cores",
            "processes",
            "memory_bytes",
            "utilisation",
        ],
    );
    for p in document.topologies.iter().flat_map(|t| &t.proposals) {
        for d in &p.deployables {
            table.row(&[
                p.id.clone(),
                d.id.clone(),
                d.name.clone(),
                value(&d.cores),
                value(&d.replicas),
                value(&d.memory),
                value(&d.utilisation),
            ]);
        }
    }
    table.done()
}

/// Processes, one by one.
pub(super) fn instances(document: &Document) -> CsvTable {
    let mut table = Table::new(
        "instances",
        &[
            "id",
            "service",
            "instance",
            "host",
            "versions",
            "agent_version",
            "clock",
            "cpu_process_ns",
            "share_of_service",
            "rss_bytes",
            "rss_peak_bytes",
            "threads",
            "cores_limit",
            "windows",
        ],
    );
    for s in &document.services {
        for i in &s.instances {
            table.row(&[
                i.id.clone(),
                s.service.clone(),
                i.instance.clone(),
                i.host.clone(),
                i.versions.join(" "),
                i.agent_version.clone(),
                i.clock_mode.clone(),
                value(&i.cpu_process),
                value(&i.share),
                value(&i.rss),
                value(&i.rss_peak),
                value(&i.threads),
                value(&i.cores_limit),
                i.windows.to_string(),
            ]);
        }
    }
    table.done()
}

/// Named pieces of code.
pub(super) fn regions(document: &Document) -> CsvTable {
    let mut table = Table::new(
        "regions",
        &[
            "id",
            "service",
            "operation",
            "class",
            "region",
            "runs_per_request",
            "cpu_ns_per_request",
            "cpu_inclusive_ns_per_request",
            "alloc_bytes_per_request",
        ],
    );
    for s in &document.services {
        for o in &s.operations {
            for r in &o.regions {
                table.row(&[
                    r.id.clone(),
                    s.service.clone(),
                    o.operation.clone(),
                    o.class.clone(),
                    r.path.join(" > "),
                    value(&r.runs),
                    value(&r.cpu),
                    value(&r.cpu_inclusive),
                    value(&r.alloc_bytes),
                ]);
            }
        }
    }
    table.done()
}

/// What the capacity of each service is made of, and how far its processes reach.
pub(super) fn capacity_services(document: &Document) -> CsvTable {
    let serial = |s: &ServiceCapacity, of: fn(&SerialCapacity) -> Option<f64>| {
        number(s.serial.as_ref().and_then(of))
    };
    by_columns(
        "capacity_services",
        &document.capacity.services,
        &[
            ("service", &|s| s.service.clone()),
            ("processes", &|s| value(&s.instances)),
            ("cores_limit", &|s| value(&s.cores_limit)),
            ("cores_variable", &|s| value(&s.cores_variable)),
            ("cores_variable_low", &|s| number(s.cores_variable.low)),
            ("cores_variable_high", &|s| number(s.cores_variable.high)),
            ("cores_base", &|s| value(&s.cores_base)),
            ("cores_base_low", &|s| number(s.cores_base.low)),
            ("cores_base_high", &|s| number(s.cores_base.high)),
            ("target_load", &|s| value(&s.target_load)),
            ("target_load_low", &|s| number(s.target_load.low)),
            ("target_load_high", &|s| number(s.target_load.high)),
            ("knee_load", &|s| value(&s.knee_load)),
            ("saturation_load", &|s| value(&s.saturation_load)),
            ("saturation_load_low", &|s| number(s.saturation_load.low)),
            ("saturation_load_high", &|s| number(s.saturation_load.high)),
            ("utilisation_one_less", &|s| value(&s.utilisation_one_less)),
            ("saturation_load_one_less", &|s| {
                value(&s.saturation_load_one_less)
            }),
            ("saturation_load_one_less_low", &|s| {
                number(s.saturation_load_one_less.low)
            }),
            ("saturation_load_one_less_high", &|s| {
                number(s.saturation_load_one_less.high)
            }),
            ("serial_operation", &|s| {
                s.serial
                    .as_ref()
                    .map_or_else(String::new, |serial| serial.name.clone())
            }),
            ("serial_throughput_max_per_s", &|s| {
                serial(s, |serial| serial.throughput_max.value)
            }),
            ("serial_throughput_max_per_s_low", &|s| {
                serial(s, |serial| serial.throughput_max.low)
            }),
            ("serial_throughput_max_per_s_high", &|s| {
                serial(s, |serial| serial.throughput_max.high)
            }),
            ("serial_utilisation", &|s| {
                serial(s, |serial| serial.utilisation.value)
            }),
            ("serial_utilisation_low", &|s| {
                serial(s, |serial| serial.utilisation.low)
            }),
            ("serial_utilisation_high", &|s| {
                serial(s, |serial| serial.utilisation.high)
            }),
            ("serial_full_load", &|s| {
                serial(s, |serial| serial.full_load.value)
            }),
            ("serial_full_load_low", &|s| {
                serial(s, |serial| serial.full_load.low)
            }),
            ("serial_full_load_high", &|s| {
                serial(s, |serial| serial.full_load.high)
            }),
            ("turn_wait_ns_at_the_load_seen", &|s| {
                let seen = s.points.iter().find(|point| !point.extrapolated);
                let wait = seen.and_then(|point| point.turn_wait.as_ref());
                wait.map_or_else(String::new, value)
            }),
        ],
    )
}

/// What all services need on later days, if the load goes on growing.
pub(super) fn growth(document: &Document) -> CsvTable {
    let rows = document.capacity.growth.iter().flat_map(|g| &g.points);
    by_columns(
        "growth",
        rows,
        &[
            ("days", &|p| p.days.to_string()),
            ("load_factor", &|p| value(&p.load_factor)),
            ("load_factor_low", &|p| number(p.load_factor.low)),
            ("load_factor_high", &|p| number(p.load_factor.high)),
            ("cores", &|p| value(&p.cores)),
            ("cores_low", &|p| number(p.cores.low)),
            ("cores_high", &|p| number(p.cores.high)),
            ("processes", &|p| value(&p.replicas)),
            ("memory_bytes", &|p| value(&p.memory)),
        ],
    )
}

/// Mean response of each origin at each load.
pub(super) fn latency(document: &Document) -> CsvTable {
    let mut table = Table::new(
        "latency",
        &[
            "id",
            "service",
            "operation",
            "load_factor",
            "response_ns",
            "response_low_ns",
            "response_high_ns",
        ],
    );
    for o in &document.capacity.latency {
        for p in &o.points {
            table.row(&[
                o.id.clone(),
                o.service.clone(),
                o.operation.clone(),
                p.load_factor.to_string(),
                value(&p.response),
                number(p.response.low),
                number(p.response.high),
            ]);
        }
    }
    table.done()
}

/// What stands in the way of more processes or shards.
pub(super) fn obstacles(document: &Document) -> CsvTable {
    let mut table = Table::new(
        "obstacles",
        &["service", "kind", "name", "figure", "unit", "sentence"],
    );
    for s in &document.services {
        for o in &s.obstacles {
            table.row(&[
                s.service.clone(),
                o.kind.as_str().to_owned(),
                o.name.clone(),
                value(&o.figure),
                o.figure.unit.as_str().to_owned(),
                o.sentence.clone(),
            ]);
        }
    }
    table.done()
}
