//! At most five sentences for who reads no further.

use askama::Template;

use super::{rendered, sure};
use crate::decide::say::and_more;
use crate::document::{
    Document, FigureUnit, OriginReport, Recommendation, RecommendationKind, ServiceReport, Verdict,
};
use crate::html::anchors::Anchors;
use crate::html::figure;
use crate::html::markup::Markup;
use crate::html::text::{self, escape_text, name};

/// Most findings.
const FINDINGS: usize = 5;
/// Services of an origin that are named.
const SERVICES_SAID: usize = 4;
/// Services of which it is said what keeps them from being replicated or sharded.
const OBSTRUCTED_SAID: usize = 4;
/// Obstacles of a service that are named.
const OBSTACLES_SAID: usize = 3;
/// Services whose accounts do not add up that are named.
const UNEQUAL_SAID: usize = 3;
/// Letters of what gets worse.
const WORSE_CHARACTERS: usize = 120;
/// Characters of the name of an origin in a sentence.
const NAME_CHARACTERS: usize = 60;

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
    out.extend(costliest(document, anchors));
    let obstacles = obstacles(document, anchors);
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
    // Places are kept for the last sentences.
    let before_changes = out.len();
    let room = FINDINGS - 1 - out.len() - usize::from(obstacles.is_some());
    // Of changes that exclude each other the first has a place of its own, and names the others.
    let mut named: Vec<&str> = Vec::new();
    for change in &changes {
        if out.len() >= before_changes + room {
            break;
        }
        if named.contains(&change.id.as_str()) {
            continue;
        }
        let instead = sure::instead_of(document, change);
        named.extend(instead.iter().map(|other| other.id.as_str()));
        out.push(advice(change, &instead, anchors));
    }
    if changes.is_empty() && !document.services.is_empty() {
        out.push(nothing_to_change(document));
    }
    out.extend(obstacles);
    out.extend(trust(document));
    out
}

/// The origin that a reader asks for first: the one that uses most CPU of those that cross services, or of all where
/// none does. What one of its requests costs, where, and what of it carries messages.
fn costliest(document: &Document, anchors: &Anchors) -> Option<Markup> {
    let cores = |origin: &OriginReport| origin.cores.value.unwrap_or(0.0);
    let known = document
        .origins
        .iter()
        .filter(|o| o.cores.value.is_some() && o.unit_cost.total.value.is_some());
    let origin = known.max_by(|a, b| {
        let crosses = |o: &OriginReport| o.services.len() > 1;
        crosses(a)
            .cmp(&crosses(b))
            .then(cores(a).total_cmp(&cores(b)))
            // The first of equals, as the document has them.
            .then(std::cmp::Ordering::Greater)
    })?;
    let link = anchors.link_as(&origin.id, &origin.operation);
    let cost = &origin.unit_cost.total;
    let interval = match (cost.low, cost.high) {
        (Some(low), Some(high)) => format!(
            " ({})",
            figure::said_range(low, high, cost.unit, figure::As::Itself)
        ),
        _ => String::new(),
    };
    let mut text = format!(" costs {}{interval} of CPU", figure::prose(cost));
    let parts: Vec<String> = origin
        .services
        .iter()
        .filter_map(|s| Some((s, s.share.value?)))
        .take(SERVICES_SAID)
        .map(|(s, share)| {
            format!(
                "{} {}",
                escape_text(&name(&s.service)),
                figure::said_in(share, FigureUnit::Ratio)
            )
        })
        .collect();
    if !parts.is_empty() {
        text.push_str(&format!(": {}", parts.join(", ")));
        let more = origin.services.len().saturating_sub(parts.len());
        if more > 0 {
            text.push_str(&format!(
                " and {}",
                super::header::counted(more, "other", "others")
            ));
        }
    }
    if let Some(share) = origin.message_overhead.share.value {
        text.push_str(&format!(
            ". {} of it carries messages, the request itself and its answer included",
            figure::said_in(share, FigureUnit::Ratio)
        ));
    }
    if let Some(share) = origin.share.value {
        text.push_str(&format!(
            ". All {} together take {} of the CPU that requests cost",
            escape_text(&name(&origin.operation)),
            figure::said_in(share, FigureUnit::Ratio)
        ));
    }
    text.push('.');
    Some(Markup::composed(format!("One {link}{text}")))
}

/// What keeps services from being replicated or sharded, the largest first.
fn obstacles(document: &Document, anchors: &Anchors) -> Option<Markup> {
    let mut obstructed = document
        .services
        .iter()
        .filter(|service| !service.obstacles.is_empty());
    let said: Vec<String> = obstructed
        .by_ref()
        .take(OBSTRUCTED_SAID)
        .map(|service| obstacles_of(service, anchors))
        .collect();
    let more = match obstructed.count() {
        0 => String::new(),
        more => format!(
            "<li class=of>and {}.",
            super::header::plural(more as u64, "more service", "more services")
        ),
    };
    (!said.is_empty()).then(|| {
        Markup::composed(format!(
            "<a href=\"#obstacles\">What keeps a service from being replicated or sharded</a>:<ul>{}{more}</ul>",
            said.concat(),
        ))
    })
}

fn obstacles_of(service: &ServiceReport, anchors: &Anchors) -> String {
    let said: Vec<String> = service
        .obstacles
        .iter()
        .take(OBSTACLES_SAID)
        .map(|o| {
            let figure = match o.figure.value {
                Some(_) => format!(", {}", figure::prose(&o.figure)),
                None => String::new(),
            };
            format!(
                "{} ({}{figure})",
                escape_text(&super::entities::obstacle_name(o)),
                escape_text(super::entities::obstacle_words(o.kind))
            )
        })
        .collect();
    let more = and_more(service.obstacles.len().saturating_sub(said.len()));
    format!(
        "<li class=of>service <b>{}</b>: {}{more}.",
        anchors.link_as(&service.id, &service.service),
        said.join("; ")
    )
}

/// What to do, what it brings, and the first thing that gets worse.
fn advice(change: &Recommendation, instead: &[&Recommendation], anchors: &Anchors) -> Markup {
    let verdict = match change.verdict {
        Verdict::Do => "do",
        _ => "try",
    };
    let mut gain = in_a_sentence(&super::recommendations::gain(change).to_string());
    if change.gain.value.is_none() {
        gain.push_str(&first_prediction(change));
    }
    let worse = match change.downsides.first() {
        Some(first) => {
            let worse = text::clip(&text::sentence(first), WORSE_CHARACTERS);
            // After a colon; a name at the beginning stays as it is written.
            match worse.strip_prefix("The ") {
                Some(rest) => format!(" Worse: the {rest}"),
                None => format!(" Worse: {worse}"),
            }
        }
        None => String::new(),
    };
    // Who chooses between two wants to know what each does to those who wait.
    let latency = |change| {
        (!instead.is_empty())
            .then(|| latency(change))
            .flatten()
            .unwrap_or_default()
    };
    let others: String = instead
        .iter()
        .map(|other| {
            let gain = in_a_sentence(&super::recommendations::gain(other).to_string());
            format!(
                "<br><b>Or, instead of it:</b> {}{}{}",
                anchors.link_sentence(&other.id, &text::sentence(&other.title)),
                gain,
                latency(other)
            )
        })
        .collect();
    let gain = format!("{gain}{}", latency(change));
    Markup::composed(format!(
        "<span class=\"badge b-{verdict}\">{verdict}</span> {}{gain}{} <a class=\"more\" href=\"#{}\" \
         aria-label=\"how sure, evidence: {}\">how sure, evidence</a>{others}",
        escape_text(&text::sentence(&change.title)),
        escape_text(&worse),
        anchors.slug(&change.id),
        escape_text(&text::clip(&change.title, 80)),
    ))
}

/// What a change is about that saves no cores: what its first prediction says.
fn first_prediction(change: &Recommendation) -> String {
    let said = change
        .prediction
        .first()
        .and_then(|p| Some((p, p.before?, p.after?)));
    said.map_or_else(String::new, |(p, before, after)| {
        let shown = |value| figure::said_in(value, p.unit);
        format!(
            " By the model, the {} goes from {} to {}.",
            escape_text(&text::sentence(&p.figure)),
            shown(before),
            shown(after)
        )
    })
}

/// Start of the names of predictions of latency.
const LATENCY: &str = "mean latency of ";
/// Change of a latency that is not said: the model does not know it better.
const LATENCY_SAID_MIN: f64 = 0.02;

/// Which origin's latency gains and which loses most, as markup.
fn latency(change: &Recommendation) -> Option<String> {
    let of: Vec<_> = change
        .prediction
        .iter()
        .filter_map(|p| {
            let (before, after) = p.before.zip(p.after)?;
            let name = p.figure.strip_prefix(LATENCY)?;
            (before > 0.0 && after > 0.0).then_some((name, before, after, after / before))
        })
        .collect();
    let ends = [
        of.iter().min_by(|a, b| a.3.total_cmp(&b.3)),
        of.iter().max_by(|a, b| a.3.total_cmp(&b.3)),
    ];
    let ns = |ns| figure::said_in(ns, FigureUnit::Ns);
    let said: Vec<String> = ends
        .into_iter()
        .zip([-1.0, 1.0])
        .filter_map(|(end, way)| {
            let (name, before, after, ratio) = *end?;
            ((ratio - 1.0) * way >= LATENCY_SAID_MIN).then(|| {
                format!(
                    "{} takes {} in place of {}",
                    escape_text(&text::clip(name, NAME_CHARACTERS)),
                    ns(after),
                    ns(before)
                )
            })
        })
        .collect();
    (!said.is_empty()).then(|| format!(" On average, by the model, {}.", said.join("; ")))
}

/// What is gained, as a sentence after another; nothing where nothing is.
fn in_a_sentence(gain: &str) -> String {
    match gain.chars().next() {
        Some(first) => format!(" {}{}.", first.to_uppercase(), &gain[first.len_utf8()..]),
        None => String::new(),
    }
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
            super::header::counted(unsure, "question", "questions"),
        )
    } else {
        "No change is clearly worth doing at the load seen.".to_owned()
    };
    Markup::composed(text)
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
            .map(|s| name(&s.service))
            .collect();
        let said = &names[..names.len().min(UNEQUAL_SAID)];
        format!(
            "the accounts do not add up to the kernel’s CPU time ({}{})",
            escape_text(&said.join(", ")),
            and_more(names.len() - said.len())
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
            figure::said_in(share, FigureUnit::Ratio)
        ));
    }
    parts.extend(super::conservation::lost(document));
    let head = if check.cpu_exact && check.edges_exact {
        "The figures add up"
    } else {
        "The figures do not all add up"
    };
    Some(Markup::composed(format!(
        "<a href=\"#conservation\">{head}</a>: {}.",
        parts.join("; "),
    )))
}
