//! At most five sentences for who reads no further.

use askama::Template;

use super::rendered;
use crate::document::{Document, Recommendation, RecommendationKind, Verdict};
use crate::html::anchors::Anchors;
use crate::html::figure::sentence;
use crate::html::format;
use crate::html::markup::Markup;
use crate::html::text::{self, escape_text, name};

/// Most findings.
const FINDINGS: usize = 5;

#[derive(Template)]
#[template(path = "findings.html")]
struct Findings {
    findings: Vec<Markup>,
}

/// The findings: the dearest request, what to change, whether the figures can be trusted.
pub(crate) fn section(document: &Document, anchors: &Anchors) -> Markup {
    rendered(&Findings {
        findings: findings(document, anchors),
    })
}

fn findings(document: &Document, anchors: &Anchors) -> Vec<Markup> {
    let mut out = Vec::new();
    out.extend(dearest(document, anchors));
    let changes: Vec<&Recommendation> = [Verdict::Do, Verdict::Try]
        .into_iter()
        .flat_map(|verdict| {
            document
                .recommendations
                .iter()
                .filter(move |r| r.verdict == verdict)
        })
        .filter(|r| r.kind != RecommendationKind::Keep)
        .collect();
    // One place is kept for the last sentence.
    let room = FINDINGS - 1 - out.len();
    for change in changes.iter().take(room) {
        out.push(advice(change, anchors));
    }
    if changes.is_empty() && !document.services.is_empty() {
        out.push(nothing_to_change(document));
    }
    out.extend(trust(document));
    out
}

/// The origin that uses most CPU, and what of it carries messages.
fn dearest(document: &Document, anchors: &Anchors) -> Option<Markup> {
    let origin = document
        .origins
        .iter()
        .filter(|o| o.cores.value.is_some() && o.unit_cost.total.value.is_some())
        .max_by(|a, b| {
            a.cores
                .value
                .unwrap_or(0.0)
                .total_cmp(&b.cores.value.unwrap_or(0.0))
                // The first of equals, as the document has them.
                .then(std::cmp::Ordering::Greater)
        })?;
    let link = anchors.link_as(&origin.id, &origin.operation);
    let mut text = format!(
        " costs most: {} of CPU for each request over {}",
        sentence(&origin.unit_cost.total),
        super::header::plural(origin.services.len() as u64, "service", "services"),
    );
    if let Some(share) = origin.share.value {
        text.push_str(&format!(
            ", {} of what all requests cost",
            format::percent(share)
        ));
    }
    if let Some(share) = origin.message_overhead.share.value {
        text.push_str(&format!(
            "; {} of that carries messages",
            format::percent(share)
        ));
    }
    text.push('.');
    Some(Markup::composed(format!("{link}{}", escape_text(&text))))
}

fn advice(change: &Recommendation, anchors: &Anchors) -> Markup {
    let verdict = match change.verdict {
        Verdict::Do => "do",
        _ => "try",
    };
    Markup::composed(format!(
        "<span class=\"badge b-{verdict}\">{verdict}</span> {} <a class=\"more\" href=\"#{}\" \
         aria-label=\"The evidence: {}\">evidence</a>",
        escape_text(&text::sentence(&change.title)),
        anchors.slug(&change.id),
        escape_text(&text::clip(&change.title, 80)),
    ))
}

fn nothing_to_change(document: &Document) -> Markup {
    let unsure = document
        .recommendations
        .iter()
        .filter(|r| r.verdict == Verdict::CannotSay)
        .count();
    let text = if unsure > 0 {
        format!(
            "No change is clearly worth doing; for {} the data does not suffice, and the cards below say what is missing.",
            super::header::plural(unsure as u64, "question", "questions"),
        )
    } else {
        "No change is clearly worth doing at the load seen.".to_owned()
    };
    Markup::text(&text)
}

/// Whether the figures add up, said even when they do.
fn trust(document: &Document) -> Option<Markup> {
    if document.services.is_empty() {
        return Some(Markup::text(
            "No service reported in this range. Start the services with the agent inside and WEIGHBRIDGE_ENDPOINT \
             set to the collector, or ask for a range that holds data.",
        ));
    }
    let check = &document.conservation;
    let mut parts = vec![if check.cpu_exact {
        "each service’s accounts add up to the CPU time that the kernel reports, to the nanosecond"
            .to_owned()
    } else {
        let names: Vec<String> = check
            .services
            .iter()
            .filter(|s| s.difference_ns != Some(0))
            .take(3)
            .map(|s| name(&s.service))
            .collect();
        format!(
            "the accounts do not add up to the kernel’s CPU time ({})",
            names.join(", ")
        )
    }];
    if !check.edges.is_empty() {
        parts.push(if check.edges_exact {
            "every message that was sent was received".to_owned()
        } else {
            "some edges count more sent than received, or the reverse".to_owned()
        });
    }
    if let Some(share) = document.quality.unexplained_share.value {
        parts.push(format!(
            "{} of the CPU time has no named account",
            format::percent(share)
        ));
    }
    if let Some(lost) = document.quality.lost.value.filter(|lost| *lost > 0.0) {
        parts.push(format!(
            "{} things were dropped or folded",
            format::count(lost)
        ));
    }
    let head = if check.cpu_exact && check.edges_exact {
        "The figures add up"
    } else {
        "The figures do not all add up"
    };
    Some(Markup::composed(format!(
        "<a href=\"#conservation\">{head}</a>: {}.",
        escape_text(&text::sentence(&parts.join("; "))),
    )))
}
