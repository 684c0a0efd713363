//! What range the page is about, how well it is covered, and what the weighing itself cost.

use askama::Template;

use super::rendered;
use crate::document::{Document, FigureUnit};
use crate::html::figure::{self, Show};
use crate::html::format;
use crate::html::markup::Markup;
use crate::html::text;

struct Tile {
    label: &'static str,
    value: String,
    note: String,
}

#[derive(Template)]
#[template(path = "header.html")]
struct Header {
    start: String,
    end: String,
    start_words: String,
    end_words: String,
    windows: String,
    tiles: Vec<Tile>,
    notes: Vec<String>,
}

/// The header.
pub(crate) fn section(document: &Document) -> Markup {
    let window = &document.window;
    let windows = match window.window_ns {
        Some(length) if window.windows > 0 => format!(
            "{} of {}",
            plural(window.windows, "window", "windows"),
            format::duration(length as f64)
        ),
        _ => "no window holds data".to_owned(),
    };
    let mut notes: Vec<String> = window
        .notes
        .iter()
        .map(|note| text::sentence(note))
        .collect();
    if window.at_the_load_seen && window.windows > 0 && notes.is_empty() {
        notes.push(
            "The range is too short to hold a daily peak: verdicts speak of the load seen."
                .to_owned(),
        );
    }
    rendered(&Header {
        start: text::name(&window.start),
        end: text::name(&window.end),
        start_words: text::name(&format::instant(&window.start)),
        end_words: text::name(&format::instant(&window.end)),
        windows,
        tiles: tiles(document),
        notes,
    })
}

/// A number with its noun.
pub(crate) fn plural(count: u64, one: &str, many: &str) -> String {
    let noun = if count == 1 { one } else { many };
    format!(
        "{} {noun}",
        format::integer(i64::try_from(count).unwrap_or(i64::MAX))
    )
}

fn tiles(document: &Document) -> Vec<Tile> {
    let processes: usize = document.services.iter().map(|s| s.instances.len()).sum();
    let unexplained = &document.quality.unexplained_share;
    let mut out = vec![
        Tile {
            label: "Services",
            value: format::integer(i64::try_from(document.services.len()).unwrap_or(i64::MAX)),
            note: format!(
                "in {}, with the agent inside",
                plural(processes as u64, "process", "processes")
            ),
        },
        total_cpu(document),
        carrying(document),
        Tile {
            label: "Explained",
            value: unexplained.value.map_or_else(
                || "not known".to_owned(),
                |share| format::percent(1.0 - share),
            ),
            note: "of the CPU time belongs to a named account".to_owned(),
        },
        Tile {
            label: "Agent",
            value: figure::sentence(&document.quality.agent_share),
            note: "of the CPU time went to the agent’s own thread".to_owned(),
        },
    ];
    let blind = document
        .edges
        .iter()
        .filter(|edge| !edge.from.instrumented || !edge.to.instrumented)
        .count();
    out.push(Tile {
        label: "Coverage",
        value: if document.edges.is_empty() {
            "no edges".to_owned()
        } else {
            format!(
                "{} of {}",
                document.edges.len() - blind,
                document.edges.len()
            )
        },
        note: if document.edges.is_empty() {
            "no service called another in this range".to_owned()
        } else {
            "edges are seen from both ends".to_owned()
        },
    });
    out
}

fn total_cpu(document: &Document) -> Tile {
    let known: Vec<f64> = document
        .services
        .iter()
        .filter_map(|s| s.cpu_cores.value)
        .collect();
    let missing = document.services.len() - known.len();
    Tile {
        label: "CPU used",
        value: if known.is_empty() {
            "not known".to_owned()
        } else {
            figure::quantity(known.iter().sum(), FigureUnit::Cores, Show::Plain).to_string()
        },
        note: if missing == 0 {
            "by all processes, as the kernel counts".to_owned()
        } else {
            format!(
                "as the kernel counts; not known for {}",
                plural(missing as u64, "service", "services")
            )
        },
    }
}

/// Which share of the CPU time of all services carried messages.
fn carrying(document: &Document) -> Tile {
    let mut messages = 0.0;
    let mut all = 0.0;
    for service in &document.services {
        if let (Some(share), Some(cpu)) = (service.message_share.value, service.cpu_process.value) {
            messages += share * cpu;
            all += cpu;
        }
    }
    Tile {
        label: "Carrying messages",
        value: if all > 0.0 {
            format::percent(messages / all)
        } else {
            "not known".to_owned()
        },
        note: "of the CPU time: encode, decode, protocol, io".to_owned(),
    }
}
