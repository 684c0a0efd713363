//! Capacity: cores and processes at today's load and beyond.

use askama::Template;

use super::header::{counted, plural};
use super::rendered;
use crate::chart::{Caption, Ink, Line, LineChart, LinePoint, Scale, lines};
use crate::document::{CapacityReport, Document, Figure, FigureUnit, ServiceCapacity};
use crate::html::anchors::Anchors;
use crate::html::figure::{self, Notes, Show};
use crate::html::format;
use crate::html::markup::Markup;
use crate::html::picture;
use crate::html::shown::{PARTS_SHOWN, left_out};
use crate::html::table::{Row, Table, figures, figures_at, words};
use crate::html::text::{self, escape_text, name};

/// Services and origins in the tables below the first: the largest. `report.json` has all.
const ROWS_SHOWN: usize = 24;

/// Services drawn as lines beside their sum.
const LINES_SHOWN: usize = 5;

#[derive(Template)]
#[template(path = "capacity.html")]
struct Capacity {
    chart: Markup,
    growth: Markup,
    table: Markup,
    terms: Markup,
    limits: Markup,
    latency: Markup,
    responses: Markup,
    target: Markup,
    has_services: bool,
    few: bool,
    notes: Vec<String>,
}

/// The section.
pub(crate) fn section(document: &Document, anchors: &Anchors) -> Markup {
    build(document, anchors, growth(&document.capacity))
}

/// The section without growth, which takes days to be seen.
pub(crate) fn live(document: &Document, anchors: &Anchors) -> Markup {
    build(document, anchors, Markup::default())
}

fn build(document: &Document, anchors: &Anchors, growth: Markup) -> Markup {
    let capacity = &document.capacity;
    rendered(&Capacity {
        chart: chart(capacity),
        growth,
        table: table(capacity, anchors),
        terms: terms(capacity, anchors),
        limits: Markup::composed(format!(
            "{}{}{}",
            limits(capacity, anchors),
            passed(capacity, anchors),
            sections(capacity, anchors)
        )),
        latency: latency_chart(capacity),
        responses: responses(capacity, anchors),
        target: Markup::composed(figure::said_in(
            capacity.target_utilisation,
            FigureUnit::Ratio,
        )),
        has_services: !capacity.services.is_empty(),
        few: capacity.services.len() > ROWS_SHOWN || capacity.latency.len() > ROWS_SHOWN / 2,
        notes: capacity
            .notes
            .iter()
            .map(|note| text::sentence(note))
            .collect(),
    })
}

fn point(x: f64, figure: &Figure, extrapolated: bool) -> Option<LinePoint> {
    Some(LinePoint {
        x,
        y: figure.value?,
        band: picture::interval(figure),
        extrapolated,
    })
}

fn chart(capacity: &CapacityReport) -> Markup {
    if capacity.services.is_empty() || capacity.load_factors.len() < 2 {
        return Markup::default();
    }
    let mut drawn: Vec<Line> = Vec::new();
    if capacity.services.len() > 1 {
        drawn.push(Line {
            label: "all services".to_owned(),
            ink: Ink::Other,
            points: capacity
                .load_factors
                .iter()
                .zip(&capacity.total_cores)
                .filter_map(|(factor, figure)| point(*factor, figure, *factor > 1.0))
                .collect(),
        });
    }
    for (service, ink) in capacity.services.iter().take(LINES_SHOWN).zip(Ink::SERIES) {
        drawn.push(Line {
            label: name(&service.service),
            ink,
            points: service
                .points
                .iter()
                .filter_map(|p| point(p.load_factor, &p.cores, p.extrapolated))
                .collect(),
        });
    }
    let entries: Vec<(Ink, String)> = drawn
        .iter()
        .map(|line| (line.ink, line.label.clone()))
        .collect();
    let legend_entries: Vec<(Ink, &str)> = entries
        .iter()
        .map(|(ink, label)| (*ink, label.as_str()))
        .collect();
    let chart = LineChart {
        caption: Caption {
            id: "chart-capacity",
            title: "Cores needed, by load",
            description: "One line for each service over the load as a multiple of the load seen; dashed where the \
                          load was not seen and unit costs are assumed to stay as they are.",
        },
        logarithmic_if_spread: false,
        lines: drawn,
        scale: Scale::plain("cores"),
        x_label: "Load, as a multiple of the load seen",
        x_suffix: "×",
    };
    picture::figure(
        &chart.caption,
        "t-capacity",
        &picture::legend(&legend_entries),
        |layout| lines(&chart, layout),
    )
}

/// The growth line with its table; in words where the range does not tell it.
fn growth(capacity: &CapacityReport) -> Markup {
    let Some(growth) = &capacity.growth else {
        return said("the document is from before it was computed");
    };
    if growth.per_day.value.is_none() {
        let why = growth.per_day.unknown_reason.as_deref();
        return Markup::composed(format!(
            "{}{}",
            said(why.unwrap_or("no data for it")),
            planned(&growth.said)
        ));
    }
    let points: Vec<LinePoint> = growth
        .points
        .iter()
        .filter_map(|p| point(p.days, &p.cores, p.days > 0.0))
        .collect();
    let chart = LineChart {
        caption: Caption {
            id: "chart-growth",
            title: "Cores needed, if the load goes on growing as it did",
            description: "All services together over the days from the end of the range; the band is the 90 % interval. It goes \
                          on in a straight line from the growth within the range.",
        },
        logarithmic_if_spread: false,
        lines: vec![Line {
            label: "all services".to_owned(),
            ink: Ink::Other,
            points,
        }],
        scale: Scale::plain("cores"),
        x_label: "Days from the end of the range",
        x_suffix: "",
    };
    let mut notes = Notes::default();
    let columns = vec![
        words("Day", ""),
        figures("Load", "As a multiple of the load seen"),
        figures("Cores", "Needed, with the 90 % interval"),
        figures("Processes", "Needed at the target utilisation"),
        figures("Memory", "Of these processes"),
    ];
    let rows = growth
        .points
        .iter()
        .map(|p| {
            let day = if p.days > 0.0 {
                format!("in {} days", figure::said(p.days, &format::count(p.days)))
            } else {
                "at its end".to_owned()
            };
            Row::new("")
                .head(&Markup::composed(day))
                .interval(&p.load_factor, Show::Number, &mut notes)
                .interval(&p.cores, Show::Bare, &mut notes)
                .figure(&p.replicas, Show::Number, &mut notes)
                .figure(&p.memory, Show::Plain, &mut notes)
        })
        .collect();
    let table = Table::new(
        "t-growth",
        "What the growth line needs, all services together",
        columns,
        rows,
        notes,
    )
    .fixed()
    .markup();
    let line = picture::figure(&chart.caption, "t-growth", "", |layout| {
        lines(&chart, layout)
    });
    Markup::composed(format!(
        "{line}<p class=small>Growth in a day: {}.</p>{}{table}",
        figure::prose(&growth.per_day),
        planned(&growth.said)
    ))
}

/// Whether growth is in the loads above.
fn planned(said: &str) -> Markup {
    if said.is_empty() {
        return Markup::default();
    }
    Markup::composed(format!("<p class=small>{}</p>", escape_text(said)))
}

/// That there is no growth line, and why.
fn said(why: &str) -> Markup {
    Markup::composed(format!(
        "<p><b>Growth line: not known</b>, because {}. The lines say what a load would need, not when it comes; \
         under <a href=#what-if>What if</a> a growth can be assumed.</p>",
        escape_text(&text::sentence(why))
    ))
}

fn table(capacity: &CapacityReport, anchors: &Anchors) -> Markup {
    let mut notes = Notes::default();
    let columns = vec![
        words("Service", ""),
        figures("Load", "As a multiple of the load seen"),
        figures("Cores", "Needed, with the 90 % interval"),
        figures("Utilisation", "Of today’s processes at this load"),
        figures("Processes", "Needed at the target utilisation"),
        figures(
            "Memory",
            "Of the processes needed, each as large as the largest seen",
        ),
        figures("Wait for a core", "Mean, with today’s processes"),
        words("Mark", ""),
    ];
    let mut rows = Vec::new();
    for service in capacity.services.iter().take(PARTS_SHOWN) {
        for (index, at) in service.points.iter().enumerate() {
            let id = if index == 0 {
                anchors.slug(&service.id)
            } else {
                ""
            };
            let mut marks = Vec::new();
            if at.saturated {
                marks.push("<mark class=strong>beyond saturation</mark>");
            }
            if at.extrapolated {
                marks.push("<mark>extrapolated</mark>");
            } else {
                marks.push("seen");
            }
            let row = Row::new(id);
            let row = if index == 0 {
                row.group_head(&Markup::text(&name(&service.service)), service.points.len())
            } else {
                row
            };
            rows.push(
                row.cell(load_cell(at.load_factor))
                    .interval(&at.cores, Show::Bare, &mut notes)
                    .figure(&at.utilisation, Show::Plain, &mut notes)
                    .figure(&at.replicas, Show::Number, &mut notes)
                    .figure(&at.memory, Show::Plain, &mut notes)
                    .figure(&at.wait, Show::Plain, &mut notes)
                    .markup(&Markup::composed(marks.join(" "))),
            );
        }
    }
    let unknown = capacity
        .services
        .iter()
        .filter(|service| service.cores_variable.value.is_none())
        .count();
    let totals = capacity.load_factors.iter().zip(&capacity.total_cores);
    for (index, (factor, total)) in totals.enumerate() {
        let mark = if *factor > 1.0 {
            "<mark>extrapolated</mark>"
        } else {
            "seen"
        };
        let row = Row::new("");
        let row = if index == 0 {
            row.group_head(&all_services(unknown), capacity.total_cores.len())
        } else {
            row
        };
        rows.push(
            row.cell(load_cell(*factor))
                .interval(total, Show::Bare, &mut notes)
                .empty(4)
                .markup(&Markup::composed(mark.to_owned()))
                .strong(),
        );
    }
    Table::new(
        "t-capacity",
        "Cores, processes and memory at each load, by service",
        columns,
        rows,
        notes,
    )
    .fixed()
    .quiet()
    .note(left_out(
        capacity.services.len(),
        PARTS_SHOWN,
        "services, the largest",
    ))
    .markup()
}

/// The head of a sum. What is not known is not zero: the sum is without it, and says so.
fn all_services(unknown: usize) -> Markup {
    let without = match unknown {
        0 => String::new(),
        more => format!(
            "<small>without {}</small>",
            counted(more, "service", "services")
        ),
    };
    Markup::composed(format!("All services{without}"))
}

fn load_cell(factor: f64) -> Markup {
    figure::number_cell(
        factor,
        &format!("{}×", escape_text(&format::significant(factor, 3))),
    )
}

fn terms(capacity: &CapacityReport, anchors: &Anchors) -> Markup {
    let mut notes = Notes::default();
    let columns = vec![
        words("Service", ""),
        figures("Processes", "Running, mean"),
        figures("Limit", "Cores that one process may use"),
        figures("Grows with load", "Cores at the load seen"),
        figures("Does not grow", "Cores"),
    ];
    let rows = capacity
        .services
        .iter()
        .take(ROWS_SHOWN)
        .map(|service| {
            let processes = figure::processes_cell(&service.instances, &mut notes);
            Row::new("")
                .head(&anchors.link_as(&service.id, &service.service))
                .cell(processes)
                .figure(&service.cores_limit, Show::Bare, &mut notes)
                .interval(&service.cores_variable, Show::Bare, &mut notes)
                .interval(&service.cores_base, Show::Bare, &mut notes)
        })
        .collect();
    Table::new(
        "t-capacity-terms",
        "What the lines are made of",
        columns,
        rows,
        notes,
    )
    .quiet()
    .markup()
}

/// How far today's processes reach.
fn limits(capacity: &CapacityReport, anchors: &Anchors) -> Markup {
    let mut notes = Notes::default();
    let columns = vec![
        words("Service", ""),
        figures(
            "Target at",
            "Load at which today’s processes reach the target utilisation, as a multiple of the load seen",
        ),
        figures(
            "Knee at",
            "Load at which a request waits for a core as long as it computes, or for its turn as long as it takes; from there waits grow fast",
        ),
        figures(
            "Full at",
            "Load at which today’s processes are fully used, or a serial section is",
        ),
        figures(
            "N−1: used",
            "Utilisation at the load seen with one process less",
        ),
        figures(
            "N−1: full at",
            "Load at which one process less is fully used",
        ),
    ];
    let rows = capacity
        .services
        .iter()
        .take(ROWS_SHOWN)
        .map(|service| {
            Row::new("")
                .head(&anchors.link_as(&service.id, &service.service))
                .interval(&service.target_load, Show::Number, &mut notes)
                .figure(&service.knee_load, Show::Number, &mut notes)
                .interval(&service.saturation_load, Show::Number, &mut notes)
                .figure(&service.utilisation_one_less, Show::Plain, &mut notes)
                .interval(&service.saturation_load_one_less, Show::Number, &mut notes)
        })
        .collect();
    Table::new(
        "t-limits",
        "How far today’s processes reach, in multiples of the load seen",
        columns,
        rows,
        notes,
    )
    .markup()
}

/// What today's processes are past already, at the load seen: nothing where they are past nothing.
fn passed(capacity: &CapacityReport, anchors: &Anchors) -> Markup {
    let said: Vec<String> = capacity
        .services
        .iter()
        .filter_map(|service| {
            let past = |load: &Figure| load.value.filter(|at| *at <= 1.0);
            let (at, what) = [
                (
                    &service.saturation_load,
                    "full: its processes, or what one request at a time can be in, cannot keep up",
                ),
                (
                    &service.knee_load,
                    "past its knee: a request waits for a core as long as it computes, or for its turn as long as it \
                     takes, and waits grow faster than load from here",
                ),
                (
                    &service.target_load,
                    "above the target utilisation",
                ),
            ]
            .into_iter()
            .find_map(|(load, what)| Some((past(load)?, what)))?;
            let times = format!("{}×", format::significant(at, 3));
            Some(format!(
                "<li><b>{}</b> is {what} (reached at {} the load seen).",
                anchors.link_as(&service.id, &service.service),
                figure::said(at, &times),
            ))
        })
        .take(ROWS_SHOWN)
        .collect();
    if said.is_empty() {
        return Markup::default();
    }
    Markup::composed(format!(
        "<p class=prose-line>Passed already, at the load seen:</p><ul class=prose>{}</ul>",
        said.concat()
    ))
}

/// What one request at a time can be in: nothing where no service has such a section.
fn sections(capacity: &CapacityReport, anchors: &Anchors) -> Markup {
    let mut notes = Notes::default();
    let columns = vec![
        words("Service", ""),
        words("Passes it", "The operation whose requests queue for it"),
        figures(
            "At most",
            "Requests in a second, however many processes run",
        ),
        figures("Taken", "Share of the time, at the load seen"),
        figures("Wait for a turn", "Mean, at the load seen"),
        figures("Full at", "Load at which it is always taken"),
    ];
    let of = |service: &ServiceCapacity| {
        let at = service.points.iter().find(|p| !p.extrapolated)?;
        Some((service.serial.clone()?, at.turn_wait.clone()?))
    };
    let rows: Vec<Row> = capacity
        .services
        .iter()
        .filter_map(|service| Some((service, of(service)?)))
        .take(ROWS_SHOWN)
        .map(|(service, (serial, wait))| {
            Row::new("")
                .head(&anchors.link_as(&service.id, &service.service))
                .markup(&anchors.link_as(&serial.operation, &serial.name))
                .interval(&serial.throughput_max, Show::Plain, &mut notes)
                .interval(&serial.utilisation, Show::Plain, &mut notes)
                .figure(&wait, Show::Plain, &mut notes)
                .interval(&serial.full_load, Show::Number, &mut notes)
        })
        .collect();
    if rows.is_empty() {
        return Markup::default();
    }
    Table::new(
        "t-sections",
        "Sections that one request at a time can be in: more processes do not lift them",
        columns,
        rows,
        notes,
    )
    .markup()
}

fn latency_chart(capacity: &CapacityReport) -> Markup {
    let shown: Vec<_> = capacity
        .latency
        .iter()
        .filter(|origin| {
            origin
                .points
                .iter()
                .filter(|p| p.response.value.is_some())
                .count()
                > 1
        })
        .take(LINES_SHOWN)
        .zip(Ink::SERIES)
        .collect();
    if shown.is_empty() {
        return Markup::default();
    }
    let max = shown
        .iter()
        .flat_map(|(origin, _)| &origin.points)
        .filter_map(|p| p.response.value)
        .fold(0.0, f64::max);
    let entries: Vec<(Ink, String)> = shown
        .iter()
        .map(|(origin, ink)| (*ink, name(&origin.operation)))
        .collect();
    let legend: Vec<(Ink, &str)> = entries
        .iter()
        .map(|(ink, label)| (*ink, label.as_str()))
        .collect();
    let chart = LineChart {
        caption: Caption {
            id: "chart-latency",
            title: "Mean response against load, with today’s processes",
            description: "One line for each of the dearest origins; it ends where a service on its way is saturated. Where \
                          the lines lie far apart the vertical axis is logarithmic: each step up is ten times as long.",
        },
        logarithmic_if_spread: true,
        lines: shown
            .iter()
            .map(|(origin, ink)| Line {
                label: name(&origin.operation),
                ink: *ink,
                points: origin
                    .points
                    .iter()
                    .filter_map(|p| point(p.load_factor, &p.response, p.load_factor > 1.0))
                    .collect(),
            })
            .collect(),
        scale: Scale::nanoseconds(max),
        x_label: "Load, as a multiple of the load seen",
        x_suffix: "×",
    };
    picture::figure(
        &chart.caption,
        "t-latency",
        &picture::legend(&legend),
        |layout| lines(&chart, layout),
    )
}

fn responses(capacity: &CapacityReport, anchors: &Anchors) -> Markup {
    let mut notes = Notes::default();
    // The loads of the document, whatever the model chose.
    let mut loads: Vec<f64> = capacity
        .latency
        .iter()
        .flat_map(|origin| origin.points.iter().map(|point| point.load_factor))
        .collect();
    loads.sort_by(f64::total_cmp);
    loads.dedup();
    let mut columns = vec![words("Origin", "")];
    columns.extend(loads.iter().map(|load| {
        figures_at(
            format!("{}×", format::significant(*load, 3)),
            "Mean response at this load",
        )
    }));
    let rows: Vec<Row> = capacity
        .latency
        .iter()
        .take(ROWS_SHOWN / 2)
        .map(|origin| {
            let mut row = Row::new(anchors.slug(&origin.id)).head(&Markup::composed(format!(
                "{}<small>{}</small>",
                anchors.link_as(&origin.origin, &origin.operation),
                Markup::text(&name(&origin.service)),
            )));
            for load in &loads {
                let point = origin
                    .points
                    .iter()
                    .find(|point| point.load_factor == *load);
                row = match point {
                    Some(point) => row.unmarked(&point.response, Show::Plain, &mut notes),
                    None => row.empty(1),
                };
            }
            row
        })
        .collect();
    if rows.is_empty() {
        return Markup::default();
    }
    Table::new(
        "t-latency",
        &format!(
            "Mean response of each origin at {}, with today’s processes; all estimated",
            plural(loads.len() as u64, "load", "loads")
        ),
        columns,
        rows,
        notes,
    )
    .quiet()
    .markup()
}
