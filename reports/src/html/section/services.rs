//! Services, their operations, owners and processes.

use std::collections::BTreeSet;

use askama::Template;

use super::rendered;
use crate::chart::{Bar, BarChart, Caption, Ink, Scale, Segment, stacked_bars};
use crate::decide::say::and_more;
use crate::document::{Document, OperationReport, ServiceReport};
use crate::html::anchors::{Anchors, operation_name};
use crate::html::figure::{self, Notes, Show, sentence};
use crate::html::format;
use crate::html::markup::Markup;
use crate::html::picture::{self, BARS_SHOWN};
use crate::html::shown::{CLASS_ROWS_SHOWN, PARTS_SHOWN, REGIONS_SHOWN, ROWS_SHOWN, left_out};
use crate::html::table::{CLASS_COLUMNS, Row, Table, figures, words};
use crate::html::text::{self, escape_text, name};

/// Callers of an operation that are named.
const CALLERS_SAID: usize = 3;

struct Service {
    slug: String,
    name: String,
    facts: Markup,
    cores: Markup,
    operations: Markup,
    regions: Markup,
    times: Markup,
    load: Markup,
    accounts: Markup,
    instances: Markup,
}

#[derive(Template)]
#[template(path = "services.html")]
struct Services {
    chart: Markup,
    table: Markup,
    classes: Markup,
    services: Vec<Service>,
    notes: Vec<String>,
}

/// The section.
pub(crate) fn section(document: &Document, anchors: &Anchors) -> Markup {
    // Services whose operations have a table, so far.
    let mut tables = 0;
    rendered(&Services {
        chart: chart(document),
        table: table(document, anchors),
        classes: classes(document, anchors),
        services: document
            .services
            .iter()
            .take(PARTS_SHOWN)
            .enumerate()
            .map(|(index, service)| {
                let (operations, times, load) = if service.operations.is_empty() {
                    let none = "<p class=none>No request came here.</p>".to_owned();
                    (Markup::composed(none), Markup::default(), Markup::default())
                } else {
                    tables += 1;
                    (
                        operations(tables - 1, service, anchors),
                        times(tables - 1, service),
                        load(tables - 1, service),
                    )
                };
                Service {
                    slug: anchors.slug(&service.id).to_owned(),
                    name: name(&service.service),
                    facts: facts(service, document.window.windows),
                    cores: Markup::composed(figure::prose(&service.cpu_cores)),
                    operations,
                    times,
                    regions: regions(index, service, anchors),
                    load,
                    accounts: accounts_link(document, service, anchors),
                    instances: instances(index, service, anchors),
                }
            })
            .collect(),
        notes: notes(document),
    })
}

/// What is said of the agent's own cost and of the base cost, each sentence once.
fn notes(document: &Document) -> Vec<String> {
    let mut out = Vec::new();
    out.extend(
        Some(left_out(
            document.services.len(),
            PARTS_SHOWN,
            "services, the largest, with their operations",
        ))
        .filter(|s| !s.is_empty()),
    );
    for service in &document.services {
        for (what, sentence) in [
            ("Agent", &service.agent.note),
            ("Base cost", &service.base.method),
        ] {
            let note = format!("{what}: {}", text::sentence(sentence));
            if !sentence.is_empty() && !out.contains(&note) {
                out.push(note);
            }
        }
    }
    out
}

/// What tells the service apart; its windows only where it did not report in all of them.
fn facts(service: &ServiceReport, windows: u64) -> Markup {
    let mut parts = Vec::new();
    if !service.namespace.is_empty() {
        parts.push(escape_text(&format!(
            "namespace {}",
            name(&service.namespace)
        )));
    }
    if !service.environment.is_empty() {
        parts.push(escape_text(&format!(
            "environment {}",
            name(&service.environment)
        )));
    }
    let versions: Vec<String> = service
        .versions
        .iter()
        .filter(|v| !v.is_empty())
        .map(|v| name(v))
        .collect();
    match versions.len() {
        0 => {}
        1 => parts.push(escape_text(&format!("version {}", versions[0]))),
        _ => parts.push(escape_text(&format!("versions {}", versions.join(", ")))),
    }
    if service.windows != windows {
        parts.push(format!(
            "{} of {}",
            figure::said(
                service.windows as f64,
                &format::count(service.windows as f64)
            ),
            super::header::windows(windows)
        ));
    }
    Markup::composed(parts.join(" · "))
}

/// Versions that ran, or that none was said.
fn versions(said: &[String]) -> String {
    let versions: Vec<String> = said
        .iter()
        .filter(|version| !version.is_empty())
        .map(|version| name(version))
        .collect();
    match versions.len() {
        0 => "none said".to_owned(),
        _ => versions.join(", "),
    }
}

fn chart(document: &Document) -> Markup {
    if document.services.is_empty() {
        return Markup::default();
    }
    // ns of CPU in ns of time are cores.
    let duration = document.window.duration_ns.max(1) as f64;
    let shown: Vec<&ServiceReport> = document.services.iter().take(BARS_SHOWN).collect();
    let description = format!(
        "One bar for each service, made of the classes of work; grey is what no request asked for: runtime, agent, \
         background.{}",
        picture::shown_of(document.services.len())
    );
    let chart = BarChart {
        caption: Caption {
            id: "chart-services",
            title: "CPU of each service, by class of work",
            description: &description,
        },
        bars: shown
            .iter()
            .map(|service| Bar {
                label: service.service.clone(),
                segments: segments(service, duration),
                interval: None,
                value_text: sentence(&service.cpu_cores),
            })
            .collect(),
        scale: Scale::plain("cores"),
        axis_label: "CPU",
    };
    let legend =
        picture::class_legend_and(&[(Ink::Other, "no request’s: runtime, agent, background")]);
    picture::of_bars(
        &chart.caption,
        "t-services",
        &legend,
        shown.iter().map(|service| &service.cpu_cores),
        |layout| stacked_bars(&chart, layout),
    )
}

/// The classes of a service, in cores. What its runtime, the agent and background work do is in class handler too, and
/// no handler's work: a broker, which has no operation, would be nothing but a handler.
fn segments(service: &ServiceReport, duration: f64) -> Vec<Segment> {
    let owned: f64 = service
        .owners
        .iter()
        .filter_map(|owner| owner.cpu.handler.value)
        .sum();
    let mut parts: Vec<Segment> = picture::class_segments(&service.cpu_by_class)
        .into_iter()
        .map(|part| Segment {
            value: match part.ink {
                Ink::Handler => (part.value - owned).max(0.0) / duration,
                _ => part.value / duration,
            },
            ..part
        })
        .collect();
    parts.push(Segment {
        ink: Ink::Other,
        value: owned.max(0.0) / duration,
    });
    parts
}

fn table(document: &Document, anchors: &Anchors) -> Markup {
    let mut notes = Notes::default();
    let columns = vec![
        words("Service", ""),
        words("Versions", "That ran in the range"),
        figures("Processes", "Mean number running at once"),
        figures(
            "Imbalance",
            "CPU of the busiest process as a multiple of the mean of all: 1 is even",
        ),
        figures("Cores", "CPU seconds in a second, as the kernel counts"),
        figures("CPU", "CPU time of its processes in the range"),
        figures(
            "Requests",
            "CPU of all operations together; the rest has owners of its own",
        ),
        figures(
            "Of it messages",
            "Share of the CPU that carried messages: encode, decode, protocol, io of all accounts",
        ),
        figures(
            "Of it agent",
            "Share of the CPU that the agent used, on its own thread and inside requests",
        ),
        figures("Base", "Cores that one process uses without any request"),
        figures("Threads", "Most in one process"),
        figures("Limit", "Cores that one process may use"),
    ];
    let rows = document
        .services
        .iter()
        .enumerate()
        .map(|(index, service)| {
            // A service without a part of its own is linked to here.
            let row = if index < PARTS_SHOWN {
                Row::new("").head(&anchors.link_as(&service.id, &service.service))
            } else {
                Row::new(anchors.slug(&service.id)).head(&Markup::text(&name(&service.service)))
            };
            let processes = figure::processes_cell(&service.instance_count, &mut notes);
            row.words(&versions(&service.versions))
                .cell(processes)
                .figure(&service.imbalance, Show::Number, &mut notes)
                .figure(&service.cpu_cores, Show::Bare, &mut notes)
                .figure(&service.cpu_process, Show::Plain, &mut notes)
                .figure(&service.cpu_operations, Show::Plain, &mut notes)
                .figure(&service.message_share, Show::Plain, &mut notes)
                .figure(&service.agent.share, Show::Plain, &mut notes)
                .figure(&service.base.cpu, Show::Bare, &mut notes)
                .figure(&service.threads, Show::Plain, &mut notes)
                .figure(&service.cores_limit, Show::Bare, &mut notes)
        })
        .collect();
    Table::new("t-services", "Services in the range", columns, rows, notes)
        .at_most(ROWS_SHOWN)
        .markup()
}

/// The CPU of each service by class of work, owners included.
fn classes(document: &Document, anchors: &Anchors) -> Markup {
    let mut notes = Notes::default();
    let mut columns = vec![words("Service", "")];
    columns.extend(CLASS_COLUMNS);
    let rows = document
        .services
        .iter()
        .map(|service| {
            let mut row = Row::new("").head(&anchors.link_as(&service.id, &service.service));
            for (_, class) in service.cpu_by_class.each() {
                row = row.figure(class, Show::Plain, &mut notes);
            }
            row
        })
        .collect();
    Table::new(
        "t-service-classes",
        "CPU of each service in the range, by class of work",
        columns,
        rows,
        notes,
    )
    .at_most(CLASS_ROWS_SHOWN)
    .quiet()
    .markup()
}

fn operation_head(operation: &OperationReport) -> Markup {
    let label = Markup::text(&operation_name(&operation.operation, &operation.class));
    if operation.component.is_empty() {
        label
    } else {
        Markup::composed(format!(
            "{label}<small>component {}</small>",
            Markup::text(&name(&operation.component))
        ))
    }
}

fn operations(index: usize, service: &ServiceReport, anchors: &Anchors) -> Markup {
    let mut notes = Notes::default();
    let mut columns = vec![
        words("Operation", ""),
        figures("Requests/s", "Requests that ended, in a second"),
        figures(
            "× CPU each",
            "CPU of one request here, with its 90 % interval",
        ),
        figures("= Cores", "CPU of all its requests"),
        figures("Share", "Of the CPU of the service"),
    ];
    columns.extend(CLASS_COLUMNS);
    columns.extend([
        figures("Ended", "Requests that ended in the range"),
        figures("Errors", "5xx, gRPC errors, transport failures"),
        figures("4xx", "Answered 4xx, counted apart from errors"),
    ]);
    let rows = service
        .operations
        .iter()
        .map(|operation| {
            let mut row = Row::new(anchors.slug(&operation.id))
                .head(&operation_head(operation))
                .figure(&operation.rate, Show::Bare, &mut notes)
                .interval(&operation.cpu_per_request.total, Show::Plain, &mut notes)
                .figure(&operation.cpu_cores, Show::Bare, &mut notes)
                .figure(&operation.cpu_share, Show::Plain, &mut notes);
            for (_, class) in operation.cpu_per_request.each() {
                row = row.figure(class, Show::Plain, &mut notes);
            }
            row.figure(&operation.ended, Show::Plain, &mut notes)
                .figure(&operation.errors, Show::Plain, &mut notes)
                .figure(&operation.client_errors, Show::Plain, &mut notes)
        })
        .collect();
    Table::new(
        &format!("ts{index}o"),
        "Operations: CPU for one request",
        columns,
        rows,
        notes,
    )
    .one_of_many(index)
    .markup()
}

/// The named pieces of code of all operations; nothing where no region was seen.
fn regions(index: usize, service: &ServiceReport, anchors: &Anchors) -> Markup {
    if index >= REGIONS_SHOWN {
        let all = service.operations.iter().map(|o| o.regions.len()).sum();
        return match left_out(all, 0, "regions") {
            said if said.is_empty() => Markup::default(),
            said => Markup::composed(format!("<p class=small>{said}</p>")),
        };
    }
    let mut notes = Notes::default();
    let columns = vec![
        words(
            "Region",
            "A named piece of code (tracing span), inside its operation",
        ),
        figures("Runs", "For each request of the operation"),
        figures("CPU", "For each request, without the regions inside it"),
        figures("with inner", "For each request, with the regions inside it"),
        figures(
            "Allocated",
            "For each request, without the regions inside it",
        ),
    ];
    let rows: Vec<Row> = service
        .operations
        .iter()
        .flat_map(|operation| {
            operation
                .regions
                .iter()
                .map(move |region| (operation, region))
        })
        .map(|(operation, region)| {
            let path: Vec<String> = region.path.iter().map(|part| name(part)).collect();
            Row::new(anchors.slug(&region.id))
                .head(&Markup::composed(format!(
                    "{}<small>{}</small>",
                    Markup::text(&path.join(" › ")),
                    Markup::text(&operation_name(&operation.operation, &operation.class)),
                )))
                .figure(&region.runs, Show::Plain, &mut notes)
                .figure(&region.cpu, Show::Plain, &mut notes)
                .figure(&region.cpu_inclusive, Show::Plain, &mut notes)
                .figure(&region.alloc_bytes, Show::Plain, &mut notes)
        })
        .collect();
    if rows.is_empty() {
        return Markup::default();
    }
    Table::new(
        &format!("ts{index}r"),
        "Regions: named pieces of code inside the operations",
        columns,
        rows,
        notes,
    )
    .one_of_many(index)
    .markup()
}

fn times(index: usize, service: &ServiceReport) -> Markup {
    let mut notes = Notes::default();
    let columns = vec![
        words("Operation", ""),
        figures(
            "p50",
            "Wall time from the head of the request to the end of its answer, without reading the one and sending the other: half took at most this long",
        ),
        figures("p95", "Wall time: 95 % took at most this long"),
        figures("p99", "Wall time: 99 % took at most this long"),
        figures(
            "CPU p50",
            "CPU of the request’s own polls, without protocol and io, which the mean has: half used at most this",
        ),
        figures("CPU p99", "The same: 99 % used at most this"),
        figures("Waits: calls", "Wall time waiting for calls, mean"),
        figures("stores", "Wall time waiting for stores, mean"),
        figures("other", "Wall time waiting otherwise, mean"),
    ];
    let rows = service
        .operations
        .iter()
        .map(|operation| {
            Row::new("")
                .head(&Markup::text(&operation_name(
                    &operation.operation,
                    &operation.class,
                )))
                .figure(&operation.wall.p50, Show::Plain, &mut notes)
                .figure(&operation.wall.p95, Show::Plain, &mut notes)
                .figure(&operation.wall.p99, Show::Plain, &mut notes)
                .figure(&operation.request_cpu.p50, Show::Plain, &mut notes)
                .figure(&operation.request_cpu.p99, Show::Plain, &mut notes)
                .figure(&operation.wait_call, Show::Plain, &mut notes)
                .figure(&operation.wait_store, Show::Plain, &mut notes)
                .figure(&operation.wait_other, Show::Plain, &mut notes)
        })
        .collect();
    Table::new(
        &format!("ts{index}t"),
        "Operations: time of a request",
        columns,
        rows,
        notes,
    )
    .one_of_many(index)
    .markup()
}

fn load(index: usize, service: &ServiceReport) -> Markup {
    let mut notes = Notes::default();
    let columns = vec![
        words("Operation", ""),
        figures("In flight", "Mean number at once"),
        figures("most", "Most at one instant"),
        figures(
            "Spread of CPU, c²",
            "Squared coefficient of variation of the CPU of a request: 0 constant, 1 exponential",
        ),
        figures(
            "Burstiness",
            "Variance ÷ mean of arrivals in slots of 100 ms: 1 is Poisson",
        ),
        figures(
            "Edge error",
            "What requests in flight at the ends of the range may add to the unit cost",
        ),
        words("Called by", "Largest share first"),
    ];
    let rows = service
        .operations
        .iter()
        .map(|operation| {
            let callers: Vec<String> = operation
                .callers
                .iter()
                .take(CALLERS_SAID)
                .map(|caller| {
                    let who = match (caller.service.is_empty(), caller.operation.is_empty()) {
                        (true, _) => "outside".to_owned(),
                        (false, true) => name(&caller.service),
                        (false, false) => {
                            format!("{} {}", name(&caller.service), name(&caller.operation))
                        }
                    };
                    format!("{} {}", escape_text(&who), figure::prose(&caller.share))
                })
                .collect();
            Row::new("")
                .head(&Markup::text(&operation_name(
                    &operation.operation,
                    &operation.class,
                )))
                .figure(&operation.in_flight, Show::Number, &mut notes)
                .figure(&operation.in_flight_max, Show::Number, &mut notes)
                .figure(&operation.service_time_cs2, Show::Number, &mut notes)
                .figure(&operation.arrival_dispersion, Show::Number, &mut notes)
                .figure(&operation.edge_error, Show::Plain, &mut notes)
                .markup(&Markup::composed(format!(
                    "{}{}",
                    callers.join("; "),
                    and_more(operation.callers.len() - callers.len())
                )))
        })
        .collect();
    Table::new(
        &format!("ts{index}l"),
        "Operations: load",
        columns,
        rows,
        notes,
    )
    .one_of_many(index)
    .markup()
}

/// Owners stand with the other accounts, where they are summed.
fn accounts_link(document: &Document, service: &ServiceReport, anchors: &Anchors) -> Markup {
    let checked = document
        .conservation
        .services
        .iter()
        .find(|c| c.service == service.service);
    let Some(checked) = checked else {
        return Markup::default();
    };
    let owners: usize = service.owners.len();
    Markup::composed(format!(
        "<p class=small><a href=#{}>CPU that no request caused</a>: {}</p>",
        anchors.slug(&checked.id),
        super::header::counted(owners, "owner", "owners"),
    ))
}

/// What a process says of itself, or that it does not.
fn said(word: &str) -> &str {
    if word.is_empty() { "none said" } else { word }
}

fn instances(index: usize, service: &ServiceReport, anchors: &Anchors) -> Markup {
    let mut notes = Notes::default();
    let columns = vec![
        words(
            "Process",
            "Instance; two starts of one instance are two processes",
        ),
        words("Host", ""),
        words("Clock", "How CPU time was read"),
        words("Agent", "Its version"),
        words("Version", "Of the service"),
        figures("CPU", "By the kernel, in the range"),
        figures("Share", "Of the CPU of the service"),
        figures("RSS", "Resident set, mean"),
        figures("RSS peak", "By the kernel"),
        figures("Threads", "Most"),
        figures("Limit", "Cores that it may use"),
        figures("Windows", "In which it reported"),
    ];
    let mut seen = BTreeSet::new();
    let rows = service
        .instances
        .iter()
        .map(|instance| {
            let again = !seen.insert(instance.process());
            Row::new(anchors.slug(&instance.id))
                .head(&Markup::composed(format!(
                    "{}<small>start {}{}</small>",
                    Markup::text(&name(&instance.instance)),
                    Markup::text(&text::clip(&instance.epoch, 9)),
                    if again {
                        ": the process above, while it read another clock"
                    } else {
                        ""
                    },
                )))
                .text(said(&instance.host))
                .text(said(&instance.clock_mode))
                .text(if instance.agent_version.is_empty() {
                    "no agent"
                } else {
                    &instance.agent_version
                })
                .text(&versions(&instance.versions))
                .figure(&instance.cpu_process, Show::Plain, &mut notes)
                .figure(&instance.share, Show::Plain, &mut notes)
                .figure(&instance.rss, Show::Plain, &mut notes)
                .figure(&instance.rss_peak, Show::Plain, &mut notes)
                .figure(&instance.threads, Show::Plain, &mut notes)
                .figure(&instance.cores_limit, Show::Bare, &mut notes)
                .number(instance.windows)
        })
        .collect();
    Table::new(&format!("ts{index}p"), "Processes", columns, rows, notes)
        .one_of_many(index)
        .markup()
}
