//! The service map: what stands on it, what its arrows say, and the same as a table.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;

use crate::build;
use crate::chart::{Caption, MapEdge, MapNode, MapProposal, ServiceMap, service_map};
use crate::document::{
    Document, EdgeReport, Figure, MapArrow, MapPlace, MapPlaceKind, Recommendation,
    RecommendationKind, Verdict,
};
use crate::html::anchors::Anchors;
use crate::html::figure::{Notes, Show, sentence};
use crate::html::format;
use crate::html::markup::Markup;
use crate::html::picture;
use crate::html::shown::left_out;
use crate::html::table::{Row, Table, figures, words};
use crate::html::text::{self, name};

use super::rendered;

/// Most proposed boundaries drawn over the map.
const PROPOSALS_SHOWN: usize = 9;

/// Edges in the table beside the map: those with the dearest messages. The tables of edges and `report.json` have all.
const ROWS_SHOWN: usize = 200;

#[derive(Template)]
#[template(path = "map.html")]
struct Map {
    map: Markup,
    note: Markup,
    table: Markup,
    proposed: bool,
}

/// The section.
pub(crate) fn section(document: &Document, anchors: &Anchors) -> Markup {
    let (map, note) = map(document, anchors);
    let proposals = proposals(document);
    let few = left_out(proposals.len(), PROPOSALS_SHOWN, "proposed boundaries");
    rendered(&Map {
        map,
        note: Markup::composed([note, few].join(" ").trim().to_owned()),
        table: table(&document.edges, anchors),
        proposed: !proposals.is_empty(),
    })
}

/// What the arrows say, one row for each edge.
fn table(edges: &[EdgeReport], anchors: &Anchors) -> Markup {
    if edges.is_empty() {
        return Markup::default();
    }
    let mut notes = Notes::default();
    let columns = vec![
        words("Edge", "Caller → callee, and how they talk"),
        figures("Calls/s", "Calls or messages in a second"),
        figures(
            "Message CPU",
            "Cores that carrying its messages takes, on both sides, in pools and brokers",
        ),
        figures(
            "Of the call messages",
            "Message overhead ÷ (overhead + work that the call causes)",
        ),
        figures(
            "Request bytes",
            "Bodies of all requests in the range, as the receiving side counted; both counts stand under Both ends",
        ),
        figures(
            "Response bytes",
            "Bodies of all responses in the range, as the receiving side counted",
        ),
        figures(
            "On the wire",
            "Bytes of both directions, where a socket was ours",
        ),
        figures(
            "Wait",
            "From the send to the end of the response; for async the time from publishing to consuming",
        ),
        figures("Errors", "Calls that ended as errors"),
        figures(
            "Again",
            "Calls made again after a failure, and messages delivered again",
        ),
    ];
    let rows = edges
        .iter()
        .take(ROWS_SHOWN)
        .map(|edge| {
            let (traffic, is_async) = (&edge.traffic, edge.mode == "async");
            Row::new("")
                .head(&Markup::composed(format!(
                    "{}<small>{}</small>",
                    anchors.link_as(&edge.id, &super::edges::short_name(edge)),
                    Markup::text(&format!("{} {}", name(&edge.mode), name(&edge.transport))),
                )))
                .figure(&edge.rate, Show::Bare, &mut notes)
                .figure(&edge.overhead_cores, Show::Bare, &mut notes)
                .figure(&edge.overhead_share, Show::Plain, &mut notes)
                .figure(
                    counted(
                        &traffic.request_body_bytes_received,
                        &traffic.request_body_bytes_sent,
                    ),
                    Show::Plain,
                    &mut notes,
                )
                .figure(
                    counted(
                        &traffic.response_body_bytes_received,
                        &traffic.response_body_bytes_sent,
                    ),
                    Show::Plain,
                    &mut notes,
                )
                .figure(&traffic.wire_bytes, Show::Plain, &mut notes)
                .figure(
                    if is_async { &edge.lag } else { &edge.wait },
                    Show::Plain,
                    &mut notes,
                )
                .figure(&edge.errors, Show::Plain, &mut notes)
                .figure(
                    if edge.broker.is_some() {
                        &edge.redelivered
                    } else {
                        &edge.retries
                    },
                    Show::Plain,
                    &mut notes,
                )
        })
        .collect();
    Table::new(
        "t-map",
        if edges.len() > ROWS_SHOWN {
            "What the arrows say: the dearest edges"
        } else {
            "What the arrows say, dearest messages first"
        },
        columns,
        rows,
        notes,
    )
    .wide_head()
    .markup()
}

/// What the receiving side counted, or the sending side where only that one could.
fn counted<'a>(received: &'a Figure, sent: &'a Figure) -> &'a Figure {
    if received.value.is_some() {
        received
    } else {
        sent
    }
}

fn map(document: &Document, anchors: &Anchors) -> (Markup, String) {
    if document.services.is_empty() {
        return (Markup::default(), String::new());
    }
    let drawn = match &document.map {
        Some(map) => map.clone(),
        // A document of before it stood there.
        None => build::map(&document.services, &document.edges, &document.origins),
    };
    let nodes: Vec<MapNode> = drawn
        .places
        .iter()
        .map(|place| node(place, document, anchors))
        .collect();
    let index: BTreeMap<String, usize> = drawn
        .places
        .iter()
        .enumerate()
        .filter(|(_, place)| place.kind != MapPlaceKind::Outside)
        .map(|(n, place)| (place.name.clone(), n))
        .collect();
    let heaviest = drawn
        .arrows
        .iter()
        .filter_map(|arrow| arrow.overhead_cores.value)
        .fold(0.0, f64::max);
    let edges: Vec<MapEdge> = drawn
        .arrows
        .iter()
        .map(|arrow| map_edge(arrow, heaviest, &nodes, waited(arrow, document), anchors))
        .collect();
    let mut proposals = proposals(document);
    proposals.truncate(PROPOSALS_SHOWN);
    let map = ServiceMap {
        caption: Caption {
            id: "chart-map",
            title: "Who calls whom",
            description: "Services as boxes, calls as arrows from the caller to the called; the thicker, the more CPU \
                          its messages cost; dashed where the caller does not wait. The tables below hold the same.",
        },
        proposals: proposals
            .iter()
            .enumerate()
            .map(|(n, recommendation)| MapProposal {
                mark: (n + 1).to_string(),
                description: text::sentence(&recommendation.title),
                nodes: subject_nodes(recommendation, &index),
            })
            .collect(),
        nodes,
        edges,
    };
    let missing = document
        .services
        .iter()
        .filter(|s| !index.contains_key(&s.service))
        .count();
    let note = if drawn.edges_left_out > 0 || missing > 0 {
        format!(
            "The map shows the services with the dearest edges; {} and {} stand in the tables only.",
            super::header::counted(missing, "service", "services"),
            super::header::told(drawn.edges_left_out, "edge", "edges"),
        )
    } else {
        String::new()
    };
    let legend = legend(&proposals, anchors);
    (
        picture::figure(&map.caption, "t-map", &legend, |layout| {
            service_map(&map, layout)
        }),
        note,
    )
}

fn node(place: &MapPlace, document: &Document, anchors: &Anchors) -> MapNode {
    if place.kind == MapPlaceKind::Outside {
        let origins = document
            .origins
            .iter()
            .filter(|o| o.rate.value.is_some_and(|rate| rate > 0.0))
            .filter(|o| !o.operation.starts_with("JOB "))
            .count();
        return MapNode {
            name: name(&place.name),
            lines: vec![super::header::plural(origins as u64, "origin", "origins")],
            anchor: Some("origins".to_owned()),
            kind: "outside",
        };
    }
    let known = document.services.iter().find(|s| s.service == place.name);
    let is_broker = place.kind == MapPlaceKind::Broker;
    let lines = match known {
        Some(service) => vec![
            sentence(&service.cpu_cores),
            match service.message_share.value {
                _ if is_broker => "carries messages".to_owned(),
                Some(share) => format!("{} messages", format::percent(share)),
                None => "messages: n/a".to_owned(),
            },
        ],
        None => vec!["no agent inside".to_owned()],
    };
    MapNode {
        name: name(&place.name),
        lines,
        anchor: known
            .map(|s| anchors.slug(&s.id).to_owned())
            .filter(|anchor| !anchor.is_empty()),
        kind: if is_broker { "broker" } else { "service" },
    }
}

/// Changes of boundaries that are worth doing or trying, the first of them numbered in this order on the map.
fn proposals(document: &Document) -> Vec<&Recommendation> {
    use RecommendationKind::{Merge, Move, Replicate, Shard, Split};
    document
        .recommendations
        .iter()
        .filter(|r| matches!(r.verdict, Verdict::Do | Verdict::Try))
        .filter(|r| matches!(r.kind, Merge | Split | Move | Replicate | Shard))
        .collect()
}

fn subject_nodes(recommendation: &Recommendation, index: &BTreeMap<String, usize>) -> Vec<usize> {
    let nodes: BTreeSet<usize> = recommendation
        .subjects
        .iter()
        .filter_map(|subject| index.get(&subject.service).copied())
        .collect();
    nodes.into_iter().collect()
}

fn legend(proposals: &[&Recommendation], anchors: &Anchors) -> String {
    if proposals.is_empty() {
        return String::new();
    }
    let mut out = "<ol class=\"legend proposed\" aria-label=\"Proposed boundaries\">".to_owned();
    for (n, recommendation) in proposals.iter().enumerate() {
        out.push_str(&format!(
            "<li><b>{}</b> {}</li>",
            n + 1,
            anchors.link_sentence(&recommendation.id, &recommendation.title)
        ));
    }
    out.push_str("</ol>");
    out
}

/// What the time on an arrow is: nobody waits for a message, which lags behind the one that sent it.
fn waited(arrow: &MapArrow, document: &Document) -> &'static str {
    let waits = document
        .edges
        .iter()
        .any(|edge| edge.mode != "async" && arrow.edges.contains(&edge.id));
    match (arrow.detached, waits) {
        (false, _) => "wait",
        (true, false) => "lag",
        (true, true) => "wait or lag",
    }
}

/// What an arrow says: what stands on it, and the whole for who rests on it.
fn map_edge(
    arrow: &MapArrow,
    heaviest: f64,
    nodes: &[MapNode],
    waited: &str,
    anchors: &Anchors,
) -> MapEdge {
    let known = |figure: &Figure| figure.value.map(|_| sentence(figure));
    let of = |index: usize| nodes.get(index).map_or("", |n| n.name.as_str());
    let rate = known(&arrow.rate).unwrap_or_else(|| "rate not known".to_owned());
    let mut description = format!("{} to {}: {rate}", of(arrow.from), of(arrow.to));
    let mut short_label = vec![rate.clone()];
    let mut label = vec![rate];
    if let Some(bytes) = known(&arrow.body_bytes).filter(|_| arrow.body_bytes.value > Some(0.0)) {
        // Both in a line: labels stand between nodes, where width is what there is of room.
        if let Some(first) = label.first_mut() {
            first.push_str(", ");
            first.push_str(&bytes);
        }
        description.push_str(&format!(", {bytes} of bodies"));
    }
    let cores = known(&arrow.overhead_cores);
    if let Some(cores) = &cores {
        description.push_str(&format!(", message overhead {cores}"));
    }
    if let Some(share) = known(&arrow.overhead_share) {
        label.push(match cores {
            Some(cores) => format!("{cores} ({share})"),
            None => format!("{share} messages"),
        });
        short_label.push(share.clone());
        description.push_str(&format!(", {share} of what the calls cost"));
    }
    if let Some(wait) = known(&arrow.wait) {
        description.push_str(&format!(", mean {waited} {wait}"));
        label.push(format!("{wait} {waited}"));
    }
    if arrow.edges.len() > 1 {
        description.push_str(&format!("; {} edges together", arrow.edges.len()));
    }
    let anchor = match arrow.edges.first() {
        Some(edge) => anchors.slug(edge).to_owned(),
        None => "origins".to_owned(),
    };
    MapEdge {
        from: arrow.from,
        to: arrow.to,
        label,
        short_label,
        description,
        weight: match arrow.overhead_cores.value {
            Some(cores) if heaviest > 0.0 => cores / heaviest,
            _ => 0.0,
        },
        is_async: arrow.detached,
        // An edge without a row leads nowhere.
        anchor: Some(anchor).filter(|anchor| !anchor.is_empty()),
    }
}
