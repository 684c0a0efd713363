//! Looking things up in a document.

use weighbridge_reports::document::{
    Document, EdgeReport, Figure, OperationReport, Recommendation, RecommendationKind,
    ServiceReport, SubjectKind, Verdict,
};

/// The service of this name.
pub(super) fn service<'a>(document: &'a Document, name: &str) -> Option<&'a ServiceReport> {
    document
        .services
        .iter()
        .find(|service| service.service == name)
}

/// An operation of a service.
pub(super) fn operation<'a>(
    document: &'a Document,
    service_name: &str,
    name: &str,
) -> Option<&'a OperationReport> {
    service(document, service_name)?
        .operations
        .iter()
        .find(|o| o.operation == name)
}

/// The edge between two operations.
pub(super) fn edge<'a>(document: &'a Document, from: &str, to: &str) -> Option<&'a EdgeReport> {
    document
        .edges
        .iter()
        .find(|edge| edge.from.operation == from && edge.to.operation == to)
}

/// True when a recommendation says that something should be done.
pub(super) fn acts(recommendation: &Recommendation) -> bool {
    matches!(recommendation.verdict, Verdict::Do | Verdict::Try)
}

/// True when a recommendation is about this service as a whole or about a part of it.
pub(super) fn touches(recommendation: &Recommendation, service: &str) -> bool {
    recommendation
        .subjects
        .iter()
        .any(|subject| subject.service == service)
}

/// True when a recommendation is about this operation.
pub(super) fn names_operation(recommendation: &Recommendation, operation: &str) -> bool {
    recommendation
        .subjects
        .iter()
        .any(|subject| subject.kind != SubjectKind::Service && subject.name == operation)
}

/// Recommendations of a kind, those that act first.
pub(super) fn of_kind(
    document: &Document,
    kind: RecommendationKind,
) -> impl Iterator<Item = &Recommendation> {
    document
        .recommendations
        .iter()
        .filter(move |r| r.kind == kind)
}

/// A recommendation in a few words.
pub(super) fn words(recommendation: &Recommendation) -> String {
    format!(
        "{} ({})",
        recommendation.title,
        recommendation.verdict.as_str()
    )
}

/// Why a recommendation has its verdict, without what is said of every short range.
pub(super) fn reason(recommendation: &Recommendation) -> String {
    let reason = &recommendation.verdict_reason;
    reason
        .split(" This holds at the load seen")
        .next()
        .unwrap_or(reason)
        .to_owned()
}

/// Nanoseconds for people.
pub(super) fn time(figure: &Figure) -> String {
    match figure.value {
        None => "not known".to_owned(),
        Some(ns) if ns.abs() >= 1e9 => format!("{:.2} s", ns / 1e9),
        Some(ns) if ns.abs() >= 1e6 => format!("{:.2} ms", ns / 1e6),
        Some(ns) => format!("{:.0} µs", ns / 1e3),
    }
}

/// Bytes for people.
pub(super) fn bytes(figure: &Figure) -> String {
    match figure.value {
        None => "not known".to_owned(),
        Some(bytes) if bytes >= 1024.0 * 1024.0 => format!("{:.1} MiB", bytes / 1024.0 / 1024.0),
        Some(bytes) => format!("{:.1} KiB", bytes / 1024.0),
    }
}

/// A share for people.
pub(super) fn percent(figure: &Figure) -> String {
    figure.value.map_or_else(
        || "not known".to_owned(),
        |share| format!("{:.1} %", share * 100.0),
    )
}
