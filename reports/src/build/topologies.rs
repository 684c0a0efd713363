//! The search over topologies, as part of the document.

use std::collections::BTreeSet;

use crate::decide::{Context, against};
use crate::document::{
    CutObjection, DeployableReport, Figure, FigureUnit, QualityWord, Recommendation,
    RecommendationKind, SubjectKind, TopologiesReport, TopologyProposal, Verdict,
};
use crate::topology::{
    Figures, Found, Inputs, Load, Proposal, Rules, SEARCH_MAX, Topology, Weights, search_with,
};

pub(super) fn topologies(context: &Context<'_>, said: &[Recommendation]) -> TopologiesReport {
    let (model, options) = (context.model, context.options);
    let inputs = context.weighed.inputs();
    let factor = options.design_load();
    let load = Load::planned(options, factor);
    let weights = Weights::of(options.prices.as_ref());
    let (found, implied) = match Rules::of(inputs, &options.constraints) {
        Ok(mut rules) => {
            object(context, &mut rules);
            let leaves = |a, b| Some(against::merging(context, a, b)?.1);
            let found = search_with(inputs, &rules, &leaves, &load, weights, model.rollup.seed);
            (found, rules.implied)
        }
        Err(error) => (refused(error.to_string()), Vec::new()),
    };
    let unit = if options.prices.is_some() {
        FigureUnit::MoneyPerHour
    } else {
        FigureUnit::Cores
    };
    let cost = |x: Option<f64>| known(x, unit, "nothing satisfies the constraints");
    TopologiesReport {
        load_factor: factor,
        cost_is: match &options.prices {
            Some(prices) => format!("cores used and memory held, {} in an hour", prices.currency),
            None => {
                "cores used, and memory held at an eighth of a core for a GiB: no prices were given"
                    .to_owned()
            }
        },
        exact: found.exact,
        examined: found.examined,
        today: cost(Some(found.today)),
        best: cost(found.best),
        bound: cost(found.best.map(|_| found.bound)),
        gap: known(
            found.gap(),
            FigureUnit::Ratio,
            "nothing satisfies the constraints",
        ),
        pareto_size: u64::try_from(found.pareto_size).unwrap_or(u64::MAX),
        infeasible: found.infeasible.clone(),
        implied,
        proposals: proposals(&found.pareto, unit, inputs, said),
    }
}

/// Pairs that are named.
const NAMED_MAX: usize = 12;

/// Keeps apart what should not share a process, whatever that saves.
fn object(context: &Context<'_>, rules: &mut Rules) {
    let services = context.weighed.inputs().services.len();
    if services > SEARCH_MAX {
        return;
    }
    let talking = context.pairs();
    // The search joins also those that do not call each other.
    let pairs = (0..services).flat_map(|a| (a + 1..services).map(move |b| (a, b)));
    let (mut named, mut more) = (0, 0);
    for (a, b) in pairs {
        if rules.linked(a, b) {
            continue;
        }
        let Some(why) = against::stands(context, a, b) else {
            continue;
        };
        rules.object(a, b);
        if talking.contains(&(a, b)) && named < NAMED_MAX {
            named += 1;
            let (a, b) = (context.label(a), context.label(b));
            rules.implied.push(format!("{a} and {b} stay apart: {why}"));
        } else {
            more += 1;
        }
    }
    if more > 0 {
        let (pairs, stay) = match more {
            1 => ("pair", "stays"),
            _ => ("pairs", "stay"),
        };
        rules.implied.push(format!(
            "{more}{} {pairs} of services {stay} apart: requests of one would wait behind long ones of the other, or for its lock.",
            if named > 0 { " more" } else { "" }
        ));
    }
}

fn refused(why: String) -> Found {
    Found {
        pareto: Vec::new(),
        pareto_size: 0,
        exact: false,
        examined: 0,
        today: 0.0,
        best: None,
        bound: 0.0,
        infeasible: Some(why),
    }
}

fn known(value: Option<f64>, unit: FigureUnit, absent: &str) -> Figure {
    match value.filter(|x| x.is_finite()) {
        Some(value) => {
            let mut figure = Figure::exact(value, unit, QualityWord::Estimated);
            figure.interval_absent_reason = Some("from point figures".to_owned());
            figure
        }
        None => Figure::unknown(unit, absent),
    }
}

/// What the recommendations say against a topology: those that advise against a change that it makes.
fn objections(inputs: &Inputs, topology: &Topology, said: &[Recommendation]) -> Vec<CutObjection> {
    let service = |label: &str| inputs.services.iter().position(|s| s.label == label);
    let does = |r: &Recommendation| -> Option<bool> {
        let services: Vec<usize> = r
            .subjects
            .iter()
            .filter(|s| s.kind == SubjectKind::Service)
            .filter_map(|s| service(&s.service))
            .collect();
        let named = |kind| r.subjects.iter().find(|s| s.kind == kind);
        Some(match r.kind {
            RecommendationKind::Merge | RecommendationKind::Keep => {
                let [a, b] = services[..] else { return None };
                topology.home(a)? == topology.home(b)?
            }
            RecommendationKind::PlaceEntity => {
                let name = &named(SubjectKind::Entity)?.name;
                let mut gone = topology.read_remotely.iter();
                // Other copies of it may be advised to go.
                gone.any(|(entity, holder)| {
                    inputs.entities[*entity].name == *name && services.contains(holder)
                })
            }
            RecommendationKind::Split | RecommendationKind::Move => {
                let row = &named(SubjectKind::Operation)?.row;
                let at = inputs.operations.iter().position(|o| o.row == *row)?;
                topology.place[at] != topology.home(inputs.operations[at].service)?
            }
            _ => false,
        })
    };
    said.iter()
        .filter(|r| r.verdict == Verdict::Leave && does(r) == Some(true))
        .map(|r| CutObjection {
            recommendation: r.id.clone(),
            sentence: r.title.clone(),
        })
        .collect()
}

fn proposals(
    pareto: &[Proposal],
    unit: FigureUnit,
    inputs: &Inputs,
    said: &[Recommendation],
) -> Vec<TopologyProposal> {
    let mut used = BTreeSet::new();
    pareto
        .iter()
        .map(|found| {
            // By what it is and not by its place: that of a cut changes with each figure.
            let steps: Vec<String> = found.steps.iter().map(ToString::to_string).collect();
            let named = if steps.is_empty() {
                "as it is".to_owned()
            } else {
                steps.join("; ")
            };
            TopologyProposal {
                objections: objections(inputs, &found.topology, said),
                ..proposal(&unique(&named, &mut used), steps, found, unit)
            }
        })
        .collect()
}

/// The name, with a number behind it when it was given before.
fn unique(name: &str, used: &mut BTreeSet<String>) -> String {
    let mut tried = name.to_owned();
    let mut n = 2u32;
    while !used.insert(tried.clone()) {
        tried = format!("{name} ({n})");
        n += 1;
    }
    tried
}

fn proposal(
    named: &str,
    steps: Vec<String>,
    proposal: &Proposal,
    unit: FigureUnit,
) -> TopologyProposal {
    let figures: &Figures = &proposal.figures;
    let mut names = BTreeSet::new();
    let no_memory = "a service reports no resident set";
    let no_cores = "the cores of a process are not known";
    TopologyProposal {
        id: format!("topology:{named}"),
        steps,
        first_step: proposal
            .first_step
            .as_ref()
            .map(|(step, _)| step.to_string()),
        first_step_cost: known(
            proposal.first_step.as_ref().map(|(_, cost)| *cost),
            unit,
            if proposal.left.is_empty() {
                "no single step of the way saves by itself"
            } else {
                "the rules leave the steps that save by themselves: see the notes"
            },
        ),
        beaten: proposal.beaten,
        objections: Vec::new(),
        boundaries: u64::try_from(proposal.boundaries).unwrap_or(u64::MAX),
        cost: known(Some(proposal.cost), unit, no_cores),
        latency: known(
            Some(proposal.latency).filter(|ratio| *ratio > 0.0),
            FigureUnit::Ratio,
            "no origin has wall times, or one would be saturated",
        ),
        latency_of: proposal
            .slowest
            .filter(|_| {
                !proposal.steps.is_empty() && proposal.latency > 1.0 && proposal.latency.is_finite()
            })
            .and_then(|at| figures.origins.get(at))
            .map(|origin| format!("{} of {}", origin.operation, origin.service)),
        blast_radius: known(figures.blast_radius, FigureUnit::Ratio, "no root is known"),
        cores: known(Some(figures.cores), FigureUnit::Cores, no_cores),
        memory: known(figures.memory_bytes, FigureUnit::Bytes, no_memory),
        replicas: known(Some(figures.replicas), FigureUnit::Count, no_cores),
        deployables: figures
            .deployables
            .iter()
            .map(|d| DeployableReport {
                id: format!("deployable:{named}/{}", unique(&d.name, &mut names)),
                name: d.name.clone(),
                cores: known(Some(d.cores), FigureUnit::Cores, no_cores),
                replicas: known(Some(d.replicas), FigureUnit::Count, no_cores),
                memory: known(d.memory_bytes, FigureUnit::Bytes, no_memory),
                utilisation: known(d.utilisation, FigureUnit::Ratio, no_cores),
            })
            .collect(),
        notes: figures
            .notes
            .iter()
            .chain(&proposal.left)
            .cloned()
            .collect(),
    }
}
