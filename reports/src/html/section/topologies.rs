//! Other cuts of the system: those that no other beats in cost, latency and blast radius.

use askama::Template;

use super::rendered;
use crate::document::{Document, TopologiesReport, TopologyProposal};
use crate::html::anchors::Anchors;
use crate::html::figure::{self, Notes, Show};
use crate::html::format;
use crate::html::markup::Markup;
use crate::html::table::{Row, Table, figures, words};
use crate::html::text::{self, escape_text, name};

/// Services of one cut in the table of services; `report.json` has all.
const DEPLOYABLES_SHOWN: usize = 12;
/// Steps of one cut that are written out.
const STEPS_SHOWN: usize = 12;

#[derive(Template)]
#[template(path = "topologies.html")]
struct Topologies {
    lead: Markup,
    infeasible: String,
    search: Markup,
    table: Markup,
    deployables: Markup,
    few: bool,
    notes: Vec<String>,
}

/// The part of the section of recommendations; nothing where no search was made.
pub(crate) fn part(document: &Document, anchors: &Anchors) -> Markup {
    let Some(found) = &document.topologies else {
        return Markup::default();
    };
    let infeasible = found
        .infeasible
        .as_deref()
        .map(text::sentence)
        .unwrap_or_default();
    let shown = infeasible.is_empty();
    rendered(&Topologies {
        lead: lead(found),
        search: if shown {
            search(found)
        } else {
            Markup::default()
        },
        table: table(&found.proposals, anchors),
        deployables: deployables(&found.proposals, anchors),
        few: found
            .proposals
            .iter()
            .any(|p| p.deployables.len() > DEPLOYABLES_SHOWN || p.steps.len() > STEPS_SHOWN),
        notes: notes(found),
        infeasible,
    })
}

fn lead(found: &TopologiesReport) -> Markup {
    let looked = if found.exact {
        "Every way to cut the system along its components was looked at"
    } else {
        "Not every way to cut the system was looked at"
    };
    Markup::composed(format!(
        "{looked}, at {} times the load seen. Cost counts {}. In the table stand the cuts that no other beats in cost, \
         latency and blast radius at once, and the system as it is; which of them is best is a matter of what you value. \
         A cut is priced by the middle of its figures, and copies of data go where reading from the owner costs less. \
         The recommendations above weigh more: how sure a figure is, locks, waits in the windows, who owns what. Where \
         one of them says otherwise, it stands beside the cut.",
        figure::said(
            found.load_factor,
            &format::significant(found.load_factor, 3)
        ),
        escape_text(&text::sentence(&found.cost_is)),
    ))
}

/// Notes of the cuts and constraints that the data implies, each once.
fn notes(found: &TopologiesReport) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let implied = found
        .implied
        .iter()
        .map(|rule| format!("In every cut: {}", text::sentence(rule)));
    let of_cuts = found
        .proposals
        .iter()
        .flat_map(|proposal| &proposal.notes)
        .map(|note| text::sentence(note));
    for note in implied.chain(of_cuts) {
        if !out.contains(&note) {
            out.push(note);
        }
    }
    out
}

fn search(found: &TopologiesReport) -> Markup {
    let mut notes = Notes::default();
    let columns = vec![
        words("Search", ""),
        figures(
            "Load",
            "For which all cuts are sized, as a multiple of the load seen",
        ),
        figures("Today", "Cost of the system as it is"),
        figures(
            "Best",
            "Cost of the cheapest cut found, copies of data kept or taken away by what they cost",
        ),
        figures(
            "Bound",
            "No cut costs less than this, whichever copies are taken away",
        ),
        figures(
            "Gap",
            "(Best − bound) ÷ best: by how much the best found can be off at most",
        ),
        figures("Looked at", "Cuts, or changes of cuts, that were priced"),
        figures(
            "Unbeaten",
            "Cuts that no other beats, before near twins were left out",
        ),
    ];
    let row = Row::new("")
        .head(&Markup::text(if found.exact {
            "all cuts"
        } else {
            "in steps, with a bound"
        }))
        .cell(figure::number_cell(
            found.load_factor,
            &format!(
                "{}×",
                escape_text(&format::significant(found.load_factor, 3))
            ),
        ))
        .figure(&found.today, Show::Plain, &mut notes)
        .figure(&found.best, Show::Plain, &mut notes)
        .figure(&found.bound, Show::Plain, &mut notes)
        .figure(&found.gap, Show::Plain, &mut notes)
        .number(found.examined)
        .number(found.pareto_size);
    Table::new(
        "t-search",
        "How good the best cut can be",
        columns,
        vec![row],
        notes,
    )
    .fixed()
    .markup()
}

/// What leads to a cut, one step on each line.
fn steps(proposal: &TopologyProposal) -> Markup {
    if proposal.steps.is_empty() {
        return Markup::text("as it is today");
    }
    let mut lines: Vec<String> = proposal
        .steps
        .iter()
        .take(STEPS_SHOWN)
        .map(|step| escape_text(&text::sentence(step)))
        .collect();
    let more = proposal.steps.len().saturating_sub(STEPS_SHOWN);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    Markup::composed(lines.join("<br>"))
}

/// Objections of one cut that are written out.
const OBJECTIONS_SHOWN: usize = 3;

/// What advises against a cut, one on each line.
fn objections(proposal: &TopologyProposal, anchors: &Anchors) -> Markup {
    let mut lines: Vec<String> = proposal
        .objections
        .iter()
        .take(OBJECTIONS_SHOWN)
        .map(|objection| {
            let sentence = text::sentence(&objection.sentence);
            anchors
                .link_as(&objection.recommendation, &sentence)
                .to_string()
        })
        .collect();
    let more = proposal.objections.len().saturating_sub(OBJECTIONS_SHOWN);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    Markup::composed(lines.join("<br>"))
}

fn table(proposals: &[TopologyProposal], anchors: &Anchors) -> Markup {
    if proposals.is_empty() {
        return Markup::default();
    }
    let mut notes = Notes::default();
    let columns = vec![
        words("Cut", "The steps from today’s system"),
        figures("Cost", "As said above"),
        figures(
            "Worst response",
            "95th percentile of the origin whose responses grow most, at this load, as a share of today’s: 100 % is as today",
        ),
        figures(
            "Fails with one",
            "Blast radius: largest share of requests that fail when one service does",
        ),
        figures("Cores", "Of all its services"),
        figures("Memory", "Of all its services"),
        figures("Processes", "Of all its services"),
        figures(
            "Boundaries",
            "Merges and splits between today’s system and this",
        ),
        words(
            "First step",
            "The step that saves most by itself and can be taken back",
        ),
        figures("then costs", "Cost after the first step"),
        words(
            "Says otherwise",
            "Recommendations that advise against a part of this cut",
        ),
    ];
    let rows = proposals
        .iter()
        .map(|proposal| {
            let first = match &proposal.first_step {
                Some(step) => text::sentence(step),
                None if proposal.steps.is_empty() => String::new(),
                None => "none saves by itself".to_owned(),
            };
            Row::new(anchors.slug(&proposal.id))
                .head(&steps(proposal))
                .unmarked(&proposal.cost, Show::Plain, &mut notes)
                .cell(response(proposal, &mut notes))
                .unmarked(&proposal.blast_radius, Show::Plain, &mut notes)
                .unmarked(&proposal.cores, Show::Bare, &mut notes)
                .unmarked(&proposal.memory, Show::Plain, &mut notes)
                .unmarked(&proposal.replicas, Show::Number, &mut notes)
                .number(proposal.boundaries)
                .words(&first)
                .unmarked(&proposal.first_step_cost, Show::Plain, &mut notes)
                .markup(&objections(proposal, anchors))
        })
        .collect();
    Table::new(
        "t-topologies",
        "Cuts that no other beats, and today’s, cheapest first; all estimated",
        columns,
        rows,
        notes,
    )
    .wide_head()
    .markup()
}

/// The worst response of a cut, and whose it is.
fn response(proposal: &TopologyProposal, notes: &mut Notes) -> Markup {
    let cell = figure::unmarked_cell(&proposal.latency, Show::Plain, notes);
    match &proposal.latency_of {
        Some(origin) => Markup::composed(format!(
            "{cell}<small class=w>{}</small>",
            escape_text(&name(origin))
        )),
        None => cell,
    }
}

fn deployables(proposals: &[TopologyProposal], anchors: &Anchors) -> Markup {
    let mut notes = Notes::default();
    let columns = vec![
        words("Cut", ""),
        words("Service", ""),
        figures("Cores", ""),
        figures("Processes", ""),
        figures("Memory", "Of all its processes"),
        figures("Utilisation", "Share of its processes’ cores that is used"),
    ];
    let mut rows = Vec::new();
    for proposal in proposals {
        let shown = proposal.deployables.len().min(DEPLOYABLES_SHOWN);
        for (index, deployable) in proposal.deployables.iter().take(shown).enumerate() {
            let row = Row::new(anchors.slug(&deployable.id));
            let row = if index == 0 {
                row.group_head(&anchors.link(&proposal.id).unwrap_or_default(), shown)
            } else {
                row
            };
            rows.push(
                row.words(&name(&deployable.name))
                    .figure(&deployable.cores, Show::Bare, &mut notes)
                    .figure(&deployable.replicas, Show::Number, &mut notes)
                    .figure(&deployable.memory, Show::Plain, &mut notes)
                    .figure(&deployable.utilisation, Show::Plain, &mut notes),
            );
        }
    }
    if rows.is_empty() {
        return Markup::default();
    }
    Table::new(
        "t-deployables",
        "The services of each cut",
        columns,
        rows,
        notes,
    )
    .fixed()
    .markup()
}
