//! What range the page is about, how well it is covered, and what the weighing itself cost.

use std::collections::BTreeSet;

use askama::Template;

use super::rendered;
use crate::document::{Coverage, Document, Figure, FigureUnit, InstanceReport, ServiceReport};
use crate::html::figure::{self, As};
use crate::html::format;
use crate::html::markup::Markup;
use crate::html::text::{self, escape_text};

struct Tile {
    label: &'static str,
    value: Markup,
    note: Markup,
}

#[derive(Template)]
#[template(path = "header.html")]
struct Header {
    start: String,
    end: String,
    start_words: String,
    end_words: String,
    windows: Markup,
    tiles: Vec<Tile>,
    notes: Vec<String>,
}

/// The header.
pub(crate) fn section(document: &Document) -> Markup {
    let window = &document.window;
    let looked_at = match window.window_ns {
        Some(length) if window.windows > 0 => format!(
            "{} of {}",
            windows(window.windows),
            figure::said_in(length as f64, FigureUnit::Ns)
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
        windows: Markup::composed(looked_at),
        tiles: tiles(document),
        notes,
    })
}

#[derive(Template)]
#[template(path = "tiles.html")]
struct Tiles {
    tiles: Vec<Tile>,
}

/// The tiles without what stands around them.
pub(crate) fn tiles_alone(document: &Document) -> Markup {
    rendered(&Tiles {
        tiles: tiles(document),
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

/// A number of rows, counted by the page, with its noun, as markup.
pub(crate) fn counted(count: usize, one: &str, many: &str) -> String {
    let noun = if count == 1 { one } else { many };
    format!("{} {noun}", figure::counted(count))
}

/// A number of the document with its noun, as markup.
pub(crate) fn told(count: u64, one: &str, many: &str) -> String {
    figure::said(count as f64, &plural(count, one, many))
}

/// A number of windows of the document, as markup.
pub(crate) fn windows(count: u64) -> String {
    told(count, "window", "windows")
}

/// Of so many processes there are rows; one whose clock or agent changed has several.
fn processes(document: &Document, counts: impl Fn(&InstanceReport) -> bool) -> usize {
    let of = |service: &ServiceReport| {
        let counted = service.instances.iter().filter(|one| counts(one));
        let starts: BTreeSet<_> = counted.map(InstanceReport::process).collect();
        starts.len()
    };
    document.services.iter().map(of).sum()
}

fn tiles(document: &Document) -> Vec<Tile> {
    let coverage = document.window.coverage.as_ref();
    let with_agent = processes(document, |one| !one.agent_version.is_empty());
    let processes = processes(document, |_| true);
    let unexplained = &document.quality.unexplained_share;
    let out = vec![
        covered(coverage),
        Tile {
            label: "Agent’s own cost",
            value: known(&document.quality.agent_share),
            note: match document.quality.agent_share.value {
                Some(_) => Markup::text(
                    "of the CPU time: its own thread, and what it does inside requests",
                ),
                None => why(&document.quality.agent_share),
            },
        },
        Tile {
            label: "Services",
            value: Markup::composed(figure::counted(document.services.len())),
            note: Markup::composed(format!(
                "in {}, {} with the agent inside",
                counted(processes, "process", "processes"),
                figure::counted(with_agent)
            )),
        },
        total_cpu(document, coverage),
        Tile {
            label: "Carrying messages",
            value: of_coverage(coverage, |c| &c.message_share),
            note: Markup::text(
                "of all CPU time, requests from outside included: encode, decode, protocol, io",
            ),
        },
        Tile {
            label: "Explained",
            // Beside it stands the document's figure: the share that is not explained.
            value: Markup::composed(unexplained.value.map_or_else(
                || "not known".to_owned(),
                |share| figure::said_as(share, FigureUnit::Ratio, As::Rest),
            )),
            note: Markup::text("of the CPU time belongs to a named account"),
        },
    ];
    out
}

/// What is not known has no figure: `n/a`, and beside it the reason.
fn known(figure: &Figure) -> Markup {
    Markup::composed(match figure.value {
        Some(_) => figure::large(figure),
        None => "n/a".to_owned(),
    })
}

fn of_coverage(coverage: Option<&Coverage>, pick: fn(&Coverage) -> &Figure) -> Markup {
    Markup::composed(coverage.map_or_else(
        || "not known".to_owned(),
        |coverage| figure::large(pick(coverage)),
    ))
}

fn why(figure: &Figure) -> Markup {
    let reason = figure.unknown_reason.as_deref().unwrap_or("no data for it");
    Markup::text(&text::sentence(reason))
}

/// Which part of the traffic came from instances with the agent.
fn covered(coverage: Option<&Coverage>) -> Tile {
    let note = match coverage {
        None => Markup::text("this document is of before coverage was counted"),
        Some(coverage) => match (coverage.answered.value, coverage.both_ends.value) {
            (None, _) => why(&coverage.answered),
            (Some(_), Some(both)) => Markup::composed(format!(
                "of the traffic was answered by processes with the agent; of the calls between services {} are seen from \
                 both ends",
                figure::said_in(both, FigureUnit::Ratio)
            )),
            (Some(_), None) => {
                Markup::text("of the traffic was answered by processes with the agent")
            }
        },
    };
    Tile {
        label: "Coverage",
        value: coverage.map_or_else(|| Markup::text("n/a"), |c| known(&c.answered)),
        note,
    }
}

fn total_cpu(document: &Document, coverage: Option<&Coverage>) -> Tile {
    let missing = document
        .services
        .iter()
        .filter(|s| s.cpu_cores.value.is_none())
        .count();
    let mut note = if missing == 0 {
        "by all processes, as the kernel counts".to_owned()
    } else {
        format!(
            "as the kernel counts; not known for {}",
            counted(missing, "service", "services")
        )
    };
    if let Some((money, prices)) = coverage
        .and_then(|c| c.money.as_ref())
        .and_then(|money| money.value)
        .zip(document.capacity.prices.as_ref())
    {
        note.push_str(&format!(
            "; {} {} an hour",
            figure::said(money, &format::significant(money, 3)),
            escape_text(&text::name(&prices.currency))
        ));
    }
    Tile {
        label: "CPU used",
        value: of_coverage(coverage, |c| &c.cpu_cores),
        note: Markup::composed(note),
    }
}
