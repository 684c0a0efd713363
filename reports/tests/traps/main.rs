//! Traps: systems whose right answer is known, and that a careless tool gets wrong. No merge is ever advised where it
//! would hurt.

#![allow(clippy::unwrap_used, clippy::cast_precision_loss)]

#[path = "../../src/testing.rs"]
#[allow(dead_code)]
mod testing;

mod asynchronous;
mod behind;
mod collinear;
mod constraints;
mod copies;
mod critical_path;
mod database;
mod idle_edge;
mod keys;
mod lock;
mod memory;
mod mixture;
mod new_copies;
mod numbers;
mod peaks;
mod simulate;
mod sizes;
mod thin;
mod worked;

use serde_json::Value;
use testing::System;
use weighbridge_reports::document::{
    Recommendation, RecommendationKind as Kind, TopologyProposal, Verdict,
};
use weighbridge_reports::topology::{Change, Question, what_if};
use weighbridge_reports::{Document, Options, formats, html};
use weighbridge_wire::FoldedRange;

fn build(system: &System) -> Document {
    build_range(&system.range(), &Options::default())
}

/// The document, after what holds for every document was checked.
fn build_range(range: &FoldedRange, options: &Options) -> Document {
    let document = Document::build(range, options);
    let text = formats::json(&document).unwrap();
    if text.contains("null") {
        no_null(&serde_json::from_str(&text).unwrap(), "");
    }
    cuts_agree(&document);
    says_what_is_missing(&document);
    document
}

/// Who cannot say what to do says what would have to be added.
fn says_what_is_missing(document: &Document) {
    for r in &document.recommendations {
        let reason = &r.verdict_reason;
        let said = ["eigh ", "Missing: ", "Try one copy"];
        assert!(
            r.verdict != Verdict::CannotSay || said.iter().any(|word| reason.contains(word)),
            "{}: {reason}",
            r.title
        );
    }
}

/// The best cut that is said is the cheapest that is shown, no cut is cheaper than the bound, and today's stands among
/// them.
fn cuts_agree(document: &Document) {
    let found = document.topologies.as_ref().unwrap();
    let Some(best) = found.best.value.filter(|_| !found.proposals.is_empty()) else {
        return;
    };
    let costs = found.proposals.iter().filter_map(|p| p.cost.value);
    let cheapest = costs.reduce(f64::min).unwrap();
    let bound = found.bound.value.unwrap();
    assert!(
        (best - cheapest).abs() <= 1e-9 * best,
        "{best} and {cheapest}"
    );
    assert!(bound <= best * (1.0 + 1e-9), "{bound} and {best}");
    let today = found.proposals.iter().filter(|p| p.steps.is_empty());
    assert_eq!(today.count(), 1);
}

/// `serde_json` writes NaN and infinities as null, and no field of the document is null.
fn no_null(value: &Value, path: &str) {
    match value {
        Value::Null => panic!("{path} is not a number"),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(n, item)| no_null(item, &format!("{path}/{n}"))),
        Value::Object(map) => map
            .iter()
            .for_each(|(key, item)| no_null(item, &format!("{path}/{key}"))),
        _ => {}
    }
}

fn find<'a>(document: &'a Document, kind: Kind, subjects: &[&str]) -> Option<&'a Recommendation> {
    document.recommendations.iter().find(|r| {
        r.kind == kind
            && subjects.iter().all(|name| {
                r.subjects
                    .iter()
                    .any(|s| s.service == *name || s.name == *name)
            })
    })
}

fn get<'a>(document: &'a Document, kind: Kind, subjects: &[&str]) -> &'a Recommendation {
    find(document, kind, subjects).unwrap_or_else(|| panic!("no {kind:?} of {subjects:?}"))
}

fn acts(r: &Recommendation) -> bool {
    matches!(r.verdict, Verdict::Do | Verdict::Try)
}

/// No merge is advised, and no cut begins with a merge that the rules leave.
fn no_merge(document: &Document) {
    for r in document
        .recommendations
        .iter()
        .filter(|r| r.kind == Kind::Merge)
    {
        assert!(!acts(r), "{}: {}", r.title, r.verdict_reason);
    }
    no_cut_contradicts(document);
}

/// No cut begins with a merge that the rules leave.
fn no_cut_contradicts(document: &Document) {
    let cuts = document.topologies.as_ref().unwrap();
    let steps: Vec<&String> = cuts
        .proposals
        .iter()
        .filter_map(|cut| cut.first_step.as_ref())
        .collect();
    for r in &document.recommendations {
        let Some((a, b)) = pair(r).filter(|_| !acts(r)) else {
            continue;
        };
        for step in &steps {
            assert!(
                **step != format!("merge {a} and {b}") && **step != format!("merge {b} and {a}"),
                "{step} comes first, but: {} {}",
                r.title,
                r.verdict_reason
            );
        }
    }
}

/// The two services that a recommendation would merge or keep apart.
fn pair(r: &Recommendation) -> Option<(&str, &str)> {
    let merges = matches!(r.kind, Kind::Merge | Kind::Keep);
    match &r.subjects[..] {
        [a, b] if merges => Some((&a.service, &b.service)),
        _ => None,
    }
}

/// Does a cut put these two into one process?
fn holds(cut: &TopologyProposal, a: &str, b: &str) -> bool {
    cut.deployables.iter().any(|deployable| {
        let held: Vec<&str> = deployable.name.split('+').collect();
        held.contains(&a) && held.contains(&b)
    })
}

/// No cut puts these two into one process.
fn kept_apart(document: &Document, a: &str, b: &str) {
    for cut in &document.topologies.as_ref().unwrap().proposals {
        assert!(!holds(cut, a, b), "{}", cut.id);
    }
}

/// What `simulate` answers, after what holds for every answer was checked.
fn answered(range: &FoldedRange, options: &Options, question: &Question) -> Document {
    let document = what_if(range, options, question).unwrap().document;
    let text = formats::json(&document).unwrap();
    no_null(&serde_json::from_str(&text).unwrap(), "");
    says_what_is_missing(&document);
    document
}

/// What `simulate` says of a merge.
fn asked_to_merge(range: &FoldedRange, options: &Options, services: [&str; 2]) -> Recommendation {
    let change = Change::Merge {
        services: services.map(str::to_owned).into(),
        name: None,
    };
    let question = Question {
        changes: vec![change],
        load: 1.0,
    };
    let document = answered(range, options, &question);
    document.recommendations[0].clone()
}

/// `simulate` does not advise the merge either; why.
fn not_simulated(system: &System, services: [&str; 2]) -> String {
    let said = asked_to_merge(&system.range(), &Options::default(), services);
    assert!(!acts(&said), "{}", said.verdict_reason);
    said.verdict_reason
}

/// Twelve calls for each request, messages dearer than the work: a merge lies near, and is right unless something
/// stands against it. Both services have one core in each process.
fn chatty() -> System {
    let mut s = System::new(60);
    let cpu = [400_000, 600_000, 600_000, 50_000, 50_000, 300_000];
    s.root("front", "POST /a", 20, cpu);
    s.http(
        ("front", "POST /a"),
        ("back", "POST /b"),
        20,
        12,
        240_000,
        60_000,
    );
    for service in ["front", "back"] {
        s.process(service).cores_milli = 1_000;
    }
    s
}

/// What makes the traps traps: without them the merge is right, and the judge is sure of it.
#[test]
fn a_chatty_pair_with_nothing_against_it_is_merged() {
    let d = build(&chatty());
    let merge = get(&d, Kind::Merge, &["front", "back"]);
    assert_eq!(merge.verdict, Verdict::Do, "{}", merge.verdict_reason);
    let range = chatty().range();
    let said = asked_to_merge(&range, &Options::default(), ["front", "back"]);
    assert_eq!(said.verdict, Verdict::Do, "{}", said.verdict_reason);
    let sure = said.judgement.as_ref().unwrap();
    assert!(sure.improves >= 0.95 && sure.draws == 1_000, "{sure:?}");
    let cuts = d.topologies.as_ref().unwrap();
    let first = cuts.proposals[0].first_step.as_deref();
    assert_eq!(first, Some("merge back and front"), "{cuts:?}");
    let judgement = merge.judgement.as_ref().unwrap();
    assert!(
        judgement.improves >= 0.95 && judgement.cost_falls >= 0.95,
        "{judgement:?}"
    );
    assert_eq!(judgement.draws, 1_000);
    assert!(judgement.gain.value.unwrap() <= judgement.gain_found);
    assert!(judgement.regret.value.unwrap() < 0.01 * judgement.gain_found);
    let local = judgement
        .turns
        .iter()
        .find(|t| t.input == "a call inside the process")
        .unwrap();
    // A local call as dear as the messages, and its part of the agent that goes, would gain nothing.
    let calls = d.edges[0].rate.value.unwrap();
    let want = 240_000.0 + 1e6 / calls;
    assert!(
        (local.turns_at.unwrap() / want - 1.0).abs() < 1e-6,
        "{local:?} and not {want}"
    );
    assert!(!html::render(&d).is_empty() && !formats::markdown(&d).is_empty());
}
