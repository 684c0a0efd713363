use weighbridge_wire::{FoldedRange, ProcessKey, RowKind};

use super::*;
use crate::Options;
use crate::testing::System;

mod observed;

const CPU: [i64; 6] = [400_000, 600_000, 600_000, 50_000, 50_000, 300_000];

fn build(system: &System) -> Document {
    Document::build(&system.range(), &Options::default())
}

/// Messages dearer than the work, `load` times twenty requests.
fn apart(load: i64) -> System {
    let mut s = System::new(60);
    s.root("front", "POST /a", 20 * load, CPU);
    s.http(
        ("front", "POST /a"),
        ("back", "POST /b"),
        20 * load,
        12,
        240_000,
        60_000,
    );
    s
}

/// The same in one process: 1 µs in place of a call, `more` ns of CPU for each request that nobody expected.
fn together(load: i64, more: i64) -> System {
    let mut s = System::new(60);
    let mut cpu = CPU;
    // The callee's messages were in its rows, the caller's in its own; 12 local calls are left.
    cpu[0] += 12 * 1_000 + more;
    cpu[1] -= 12 * 30_000;
    cpu[2] -= 12 * 30_000;
    s.root("shop", "POST /a", 20 * load, cpu).wall_ns = 8_000_000;
    let inner = s.op(
        "shop",
        "POST /b",
        Some(("shop", "POST /a")),
        ("shop", "POST /a"),
        20 * load,
        [30_000, 0, 0, 0, 0, 30_000],
    );
    inner.times = 12;
    s
}

fn figure<'a>(document: &'a Document, id: &str, figure: &str) -> &'a OutcomeFigure {
    let outcome = document.after.as_ref().unwrap();
    let outcome = outcome
        .outcomes
        .iter()
        .find(|o| o.id.starts_with(id))
        .unwrap();
    assert!(outcome.applied, "{}", outcome.seen);
    let found = outcome.figures.iter().find(|f| f.figure.contains(figure));
    found.unwrap()
}

#[test]
fn a_merge_that_was_made_is_scored_at_the_load_seen_now() {
    let earlier = build(&apart(1));
    let mut later = build(&together(2, 0));
    later.compare_with_earlier(&earlier);
    let after = later.after.as_ref().unwrap();
    // Windows hold whole requests.
    assert!((after.load_factor.unwrap() - 2.0).abs() < 0.01, "{after:?}");
    assert!(after.notes.is_empty(), "{:?}", after.notes);
    let cores = figure(&later, "rec:merge", "cores of");
    let error = cores.error.unwrap();
    assert!(error.abs() < 0.05, "{cores:?}");
    let calls = figure(&later, "rec:merge", "synchronous calls");
    assert_eq!(
        (calls.predicted, calls.observed, calls.error),
        (Some(0.0), Some(0.0), Some(0.0))
    );
    let memory = figure(&later, "rec:merge", "memory");
    assert!(memory.not_scored_reason.is_some() && memory.error.is_none());
    assert!(after.score.figures >= 2 && after.score.error_median.unwrap() < 0.05);
    // Nobody batched: the calls are gone for another reason, and the pair is one.
    let text = crate::formats::json(&later).unwrap();
    let back: Document = serde_json::from_str(&text).unwrap();
    assert_eq!(back, later);
}

#[test]
fn a_wrong_prediction_is_shown_to_be_wrong() {
    let earlier = build(&apart(1));
    let mut later = build(&together(1, 4_000_000));
    later.compare_with_earlier(&earlier);
    let cores = figure(&later, "rec:merge", "cores of");
    assert!(cores.error.unwrap() > 0.5, "{cores:?}");
    assert_eq!(cores.inside, Some(false));
    let score = &later.after.as_ref().unwrap().score;
    assert!(score.inside < score.with_interval);
    assert!(score.error_max.unwrap() >= cores.error.unwrap());
}

#[test]
fn the_score_runs_on_from_report_to_report() {
    let earlier = build(&apart(1));
    let mut second = build(&together(1, 0));
    second.compare_with_earlier(&earlier);
    let first = second.after.clone().unwrap().score;
    // The third is told of the second, which advises nothing new; the score is kept.
    let mut third = build(&together(1, 0));
    third.compare_with_earlier(&second);
    let after = third.after.unwrap();
    assert_eq!(after.score.figures, 0);
    assert_eq!(after.running, first);
}

#[test]
fn what_was_not_applied_is_not_scored() {
    let earlier = build(&apart(1));
    let mut later = build(&apart(1));
    later.compare_with_earlier(&earlier);
    let after = later.after.unwrap();
    assert!(after.outcomes.len() >= 2);
    assert!(
        after
            .outcomes
            .iter()
            .all(|o| !o.applied && o.figures.is_empty())
    );
    assert_eq!(after.score, Score::default());
}

#[test]
fn another_mix_is_said_and_not_scored() {
    let mut both = apart(1);
    both.root("front", "GET /other", 40, [500_000; 6]);
    let earlier = build(&both);
    let mut changed = together(1, 0);
    changed.root("shop", "GET /other", 400, [500_000; 6]);
    let mut later = build(&changed);
    later.compare_with_earlier(&earlier);
    let after = later.after.as_ref().unwrap();
    assert!(
        after.notes.iter().any(|n| n.contains("mix")),
        "{:?}",
        after.notes
    );
    assert_eq!(after.score.figures, 0);
    let cores = figure(&later, "rec:merge", "cores of");
    assert!(cores.observed.is_some() && cores.not_scored_reason.is_some());
}

/// A second process of a service beside its first, in every window.
fn in_two_processes(mut range: FoldedRange, service: &str) -> FoldedRange {
    let windows = range.windows.iter_mut();
    for folded in windows.filter(|folded| folded.service.service == service) {
        let rows = folded.rows.of_kind(RowKind::Process);
        let second: Vec<_> = rows
            .map(|(key, value)| {
                let process = ProcessKey::read(key).unwrap();
                let other = ProcessKey {
                    instance: "second".into(),
                    ..process
                };
                (other.row_key(key.quality), value.clone())
            })
            .collect();
        for (key, value) in second {
            folded.rows.add(key, &value);
        }
    }
    range
}

#[test]
fn a_division_is_seen_by_more_processes() {
    let mut s = System::new(60);
    s.root("shop", "PUT /cart", 200, [1_000_000; 6]);
    s.uses("shop", "PUT /cart", "cart", "write", 200).keys = Some([100, 0, 0, 1]);
    let earlier = build(&s);
    let outcome = |range: &FoldedRange| {
        let mut later = Document::build(range, &Options::default());
        later.compare_with_earlier(&earlier);
        let outcomes = later.after.unwrap().outcomes;
        let shard = outcomes.into_iter().find(|o| o.id == "rec:shard:shop/cart");
        let shard = shard.unwrap();
        (shard.applied, shard.seen)
    };
    let (applied, seen) = outcome(&s.range());
    assert!(!applied && seen.contains("run in 1"), "{seen}");
    let (applied, seen) = outcome(&in_two_processes(s.range(), "shop"));
    assert!(applied && seen.contains("run in 2"), "{seen}");
}
