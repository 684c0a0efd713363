//! Tables of what decided, of what changed, and of what came of earlier advice.

use super::{CsvTable, by_columns, number, value};
use crate::Document;
use crate::document::{Figure, FigureUnit, Prediction, Recommendation};

/// What is advised: a row for each figure that is predicted, or one where none is.
pub(super) fn recommendations(document: &Document) -> CsvTable {
    type Row<'a> = (&'a Recommendation, Option<&'a Prediction>);
    let rows = document.recommendations.iter().flat_map(|r| {
        let none = r.prediction.is_empty().then_some((r, None));
        let predicted = r.prediction.iter().map(move |p| (r, Some(p)));
        predicted.chain(none)
    });
    let gain = |r: &Recommendation, of: fn(&Figure) -> Option<f64>| {
        let in_cores = Some(&r.gain).filter(|gain| gain.unit == FigureUnit::Cores);
        number(in_cores.and_then(of))
    };
    let of = |p: &Option<&Prediction>, of: fn(&Prediction) -> Option<f64>| number(p.and_then(of));
    by_columns(
        "recommendations",
        rows,
        &[
            ("id", &|(r, _): &Row<'_>| r.id.clone()),
            ("kind", &|(r, _)| r.kind.as_str().to_owned()),
            ("verdict", &|(r, _)| r.verdict.as_str().to_owned()),
            ("title", &|(r, _)| r.title.clone()),
            ("reason", &|(r, _)| r.verdict_reason.clone()),
            ("gain_cores", &|(r, _)| gain(r, |gain| gain.value)),
            ("gain_cores_low", &|(r, _)| gain(r, |gain| gain.low)),
            ("gain_cores_high", &|(r, _)| gain(r, |gain| gain.high)),
            ("figure", &|(_, p)| {
                p.map_or_else(String::new, |p| p.figure.clone())
            }),
            ("unit", &|(_, p)| {
                p.map_or_else(String::new, |p| p.unit.as_str().to_owned())
            }),
            ("before", &|(_, p)| of(p, |p| p.before)),
            ("after", &|(_, p)| of(p, |p| p.after)),
            ("low", &|(_, p)| of(p, |p| p.low)),
            ("high", &|(_, p)| of(p, |p| p.high)),
        ],
    )
}

/// Thresholds that decided.
pub(super) fn thresholds(document: &Document) -> CsvTable {
    let rows = document
        .recommendations
        .iter()
        .flat_map(|r| r.thresholds.iter().map(move |threshold| (r, threshold)));
    by_columns(
        "recommendation_thresholds",
        rows,
        &[
            ("id", &|(r, _)| r.id.clone()),
            ("threshold", &|(_, t)| t.name.clone()),
            ("unit", &|(_, t)| t.unit.as_str().to_owned()),
            ("found", &|(_, t)| number(t.found)),
            ("limit", &|(_, t)| number(Some(t.limit))),
        ],
    )
}

/// What would turn a recommendation.
pub(super) fn turns(document: &Document) -> CsvTable {
    let judged = document
        .recommendations
        .iter()
        .filter_map(|r| Some((r, r.judgement.as_ref()?)));
    let rows = judged.flat_map(|(r, judged)| judged.turns.iter().map(move |t| (r, judged, t)));
    by_columns(
        "recommendation_turns",
        rows,
        &[
            ("id", &|(r, ..)| r.id.clone()),
            ("objective", &|(_, judged, _)| judged.objective.clone()),
            ("input", &|(.., t)| t.input.clone()),
            ("unit", &|(.., t)| t.unit.as_str().to_owned()),
            ("found", &|(.., t)| number(Some(t.point))),
            ("low", &|(.., t)| number(Some(t.low))),
            ("high", &|(.., t)| number(Some(t.high))),
            ("gain_at_low", &|(.., t)| number(Some(t.gain_at_low))),
            ("gain_at_high", &|(.., t)| number(Some(t.gain_at_high))),
            ("turns_at", &|(.., t)| number(t.turns_at)),
        ],
    )
}

/// Changes since the baseline: of origins, and of operations.
pub(super) fn changes(document: &Document) -> CsvTable {
    let rows = document.change.iter().flat_map(|change| {
        let of = |what: &'static str| move |row| (what, row);
        let origins = change.origins.iter().map(of("origin"));
        origins.chain(change.operations.iter().map(of("operation")))
    });
    by_columns(
        "changes",
        rows,
        &[
            ("of", &|(what, _)| (*what).to_owned()),
            ("service", &|(_, c)| c.service.clone()),
            ("operation", &|(_, c)| c.operation.clone()),
            ("verdict", &|(_, c)| c.verdict.as_str().to_owned()),
            ("cpu_ns_per_request_before", &|(_, c)| value(&c.unit_before)),
            ("cpu_ns_per_request_before_low", &|(_, c)| {
                number(c.unit_before.low)
            }),
            ("cpu_ns_per_request_before_high", &|(_, c)| {
                number(c.unit_before.high)
            }),
            ("cpu_ns_per_request_after", &|(_, c)| value(&c.unit_after)),
            ("cpu_ns_per_request_after_low", &|(_, c)| {
                number(c.unit_after.low)
            }),
            ("cpu_ns_per_request_after_high", &|(_, c)| {
                number(c.unit_after.high)
            }),
            ("unit_change", &|(_, c)| value(&c.unit_change)),
            ("unit_change_low", &|(_, c)| number(c.unit_change.low)),
            ("unit_change_high", &|(_, c)| number(c.unit_change.high)),
            ("rate_per_s_before", &|(_, c)| value(&c.rate_before)),
            ("rate_per_s_after", &|(_, c)| value(&c.rate_after)),
            ("more_calls_cores", &|(_, c)| value(&c.more_calls)),
            ("dearer_calls_cores", &|(_, c)| value(&c.dearer_calls)),
            ("cores_change", &|(_, c)| value(&c.cores_change)),
        ],
    )
}

/// What was predicted against what came.
pub(super) fn outcomes(document: &Document) -> CsvTable {
    let outcomes = document.after.iter().flat_map(|after| &after.outcomes);
    let rows = outcomes.flat_map(|o| o.figures.iter().map(move |figure| (o, figure)));
    by_columns(
        "outcomes",
        rows,
        &[
            ("id", &|(o, _)| o.id.clone()),
            ("title", &|(o, _)| o.title.clone()),
            ("applied", &|(o, _)| o.applied.to_string()),
            ("figure", &|(_, f)| f.figure.clone()),
            ("unit", &|(_, f)| f.unit.as_str().to_owned()),
            ("predicted", &|(_, f)| number(f.predicted)),
            ("low", &|(_, f)| number(f.low)),
            ("high", &|(_, f)| number(f.high)),
            ("observed", &|(_, f)| number(f.observed)),
            ("error", &|(_, f)| number(f.error)),
            ("inside", &|(_, f)| {
                f.inside
                    .map_or_else(String::new, |inside| inside.to_string())
            }),
        ],
    )
}

/// How often predictions were right: in this comparison, and in all so far.
pub(super) fn scores(document: &Document) -> CsvTable {
    let rows = document.after.iter().flat_map(|after| {
        [
            ("this comparison", &after.score),
            ("all so far", &after.running),
        ]
    });
    by_columns(
        "prediction_scores",
        rows,
        &[
            ("of", &|(what, _)| (*what).to_owned()),
            ("figures", &|(_, s)| s.figures.to_string()),
            ("with_interval", &|(_, s)| s.with_interval.to_string()),
            ("inside", &|(_, s)| s.inside.to_string()),
            ("error_median", &|(_, s)| number(s.error_median)),
            ("error_max", &|(_, s)| number(s.error_max)),
        ],
    )
}
