//! The service map: what stands on it, what its arrows say, and the same as a table.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;

use crate::chart::{Caption, MapEdge, MapNode, MapProposal, ServiceMap, service_map};
use crate::document::{
    Document, EdgeReport, Figure, FigureUnit, OriginReport, Recommendation, RecommendationKind,
    Verdict,
};
use crate::html::anchors::Anchors;
use crate::html::figure::{self, Notes, Show, sentence};
use crate::html::format;
use crate::html::markup::Markup;
use crate::html::picture;
use crate::html::table::{Row, Table, figures, words};
use crate::html::text::{self, name};

use super::edges::MANY_CALLS;
use super::rendered;

/// Most services on the map: those with the dearest edges first.
const MAP_NODES: usize = 16;

/// Most proposed boundaries drawn over the map.
const PROPOSALS_SHOWN: usize = 9;

/// All edges between two nodes, as one.
#[derive(Default)]
struct Bundle {
    rate: f64,
    bytes: f64,
    /// Wait of all calls, ns a second.
    waited: f64,
    waits: f64,
    overhead: f64,
    overhead_known: bool,
    weighted_share: f64,
    share_weight: f64,
    is_async: bool,
    anchor: String,
    best: f64,
    many: bool,
    count: usize,
}

/// What stands on the map: the outside, services and brokers, in the order in which they are met.
#[derive(Default)]
struct Nodes {
    nodes: Vec<MapNode>,
    index: BTreeMap<String, usize>,
}

impl Nodes {
    fn of(
        &mut self,
        service: &str,
        kind: &'static str,
        document: &Document,
        anchors: &Anchors,
    ) -> usize {
        if let Some(index) = self.index.get(service) {
            // A service may first be met as a caller and later turn out to be a broker.
            if kind == "broker" {
                self.nodes[*index].kind = kind;
            }
            return *index;
        }
        let known = document.services.iter().find(|s| s.service == service);
        let lines = match known {
            Some(service) => vec![
                sentence(&service.cpu_cores),
                match service.message_share.value {
                    Some(share) => format!("{} messages", format::percent(share)),
                    None => "messages not known".to_owned(),
                },
            ],
            None => vec!["no agent inside".to_owned()],
        };
        self.nodes.push(MapNode {
            name: name(service),
            lines,
            anchor: known
                .map(|s| anchors.slug(&s.id).to_owned())
                .filter(|anchor| !anchor.is_empty()),
            kind,
        });
        self.index.insert(service.to_owned(), self.nodes.len() - 1);
        self.nodes.len() - 1
    }
}

/// Edges in the table beside the map: those with the dearest messages. The tables of edges and `report.json` have all.
const ROWS_SHOWN: usize = 200;

#[derive(Template)]
#[template(path = "map.html")]
struct Map {
    map: Markup,
    note: String,
    table: Markup,
    proposed: bool,
}

/// The section.
pub(crate) fn section(document: &Document, anchors: &Anchors) -> Markup {
    let (map, note) = map(document, anchors);
    rendered(&Map {
        map,
        note,
        table: table(&document.edges, anchors),
        proposed: !proposals(document).is_empty(),
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
            "Share",
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
    let mut nodes = Nodes::default();
    let mut bundles: BTreeMap<(usize, usize), Bundle> = BTreeMap::new();
    let entering = entering(document);
    if !entering.is_empty() {
        nodes.nodes.push(MapNode {
            name: "outside".to_owned(),
            lines: vec![super::header::plural(
                entering.len() as u64,
                "origin",
                "origins",
            )],
            anchor: Some("origins".to_owned()),
            kind: "outside",
        });
    }
    let mut left_out: usize = 0;
    // Calls from outside stand there as origins, each with its rate.
    for edge in document.edges.iter().filter(|edge| edge.from.instrumented) {
        let new = [&edge.from.service, &edge.to.service]
            .into_iter()
            .chain(edge.broker.as_ref())
            .filter(|service| !nodes.index.contains_key(*service))
            .count();
        if nodes.nodes.len() + new > MAP_NODES {
            left_out += 1;
            continue;
        }
        let from = nodes.of(&edge.from.service, "service", document, anchors);
        let broker = edge
            .broker
            .as_ref()
            .map(|b| nodes.of(b, "broker", document, anchors));
        let to = nodes.of(&edge.to.service, "service", document, anchors);
        for pair in match broker {
            Some(broker) => vec![(from, broker), (broker, to)],
            None => vec![(from, to)],
        } {
            add(bundles.entry(pair).or_default(), edge, anchors);
        }
    }
    for service in &document.services {
        if nodes.nodes.len() < MAP_NODES {
            nodes.of(&service.service, "service", document, anchors);
        }
    }
    for origin in entering {
        if let Some(to) = nodes.index.get(&origin.service) {
            let bundle = bundles.entry((0, *to)).or_default();
            bundle.rate += origin.rate.value.unwrap_or(0.0);
            bundle.count += 1;
            bundle.anchor = "origins".to_owned();
        }
    }
    let heaviest = bundles.values().map(|b| b.overhead).fold(0.0, f64::max);
    let edges: Vec<MapEdge> = bundles
        .iter()
        .map(|((from, to), bundle)| map_edge(*from, *to, bundle, heaviest, &nodes.nodes))
        .collect();
    let proposals = proposals(document);
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
                nodes: subject_nodes(recommendation, &nodes.index),
            })
            .collect(),
        nodes: nodes.nodes,
        edges,
    };
    let missing = document
        .services
        .iter()
        .filter(|s| !nodes.index.contains_key(&s.service))
        .count();
    let note = if left_out + missing > 0 {
        format!(
            "The map shows the services with the dearest edges; {} and {} stand in the tables only.",
            super::header::plural(missing as u64, "service", "services"),
            super::header::plural(left_out as u64, "edge", "edges"),
        )
    } else {
        String::new()
    };
    let legend = legend(&proposals, anchors);
    (
        picture::figure(&map.caption, &legend, |layout| service_map(&map, layout)),
        note,
    )
}

/// Changes of boundaries that are worth doing or trying, numbered in this order on the map.
fn proposals(document: &Document) -> Vec<&Recommendation> {
    use RecommendationKind::{Merge, Move, Replicate, Shard, Split};
    document
        .recommendations
        .iter()
        .filter(|r| matches!(r.verdict, Verdict::Do | Verdict::Try))
        .filter(|r| matches!(r.kind, Merge | Split | Move | Replicate | Shard))
        .take(PROPOSALS_SHOWN)
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

/// The outside world, as the caller of all origins that a request from outside can begin at. It stands first, and so
/// before all others; its arrows come last, when it is known which services have a place.
fn entering(document: &Document) -> Vec<&OriginReport> {
    document
        .origins
        .iter()
        .filter(|o| o.rate.value.is_some_and(|rate| rate > 0.0))
        .filter(|o| !o.operation.starts_with("JOB "))
        .collect()
}

fn add(bundle: &mut Bundle, edge: &EdgeReport, anchors: &Anchors) {
    bundle.rate += edge.rate.value.unwrap_or(0.0);
    if let Some(cores) = edge.overhead_cores.value {
        bundle.overhead += cores;
        bundle.overhead_known = true;
        if let Some(share) = edge.overhead_share.value {
            bundle.weighted_share += share * cores;
            bundle.share_weight += cores;
        }
    }
    let wait = if edge.mode == "async" {
        &edge.lag
    } else {
        &edge.wait
    };
    if let (Some(wait), Some(rate)) = (wait.value, edge.rate.value) {
        bundle.waited += wait * rate;
        bundle.waits += rate;
    }
    // Bodies of both directions for one call, as the receiving side counted.
    let bytes = |received: &Figure, sent: &Figure| received.value.or(sent.value).unwrap_or(0.0);
    let traffic = &edge.traffic;
    let both = bytes(
        &traffic.request_body_bytes_received,
        &traffic.request_body_bytes_sent,
    ) + bytes(
        &traffic.response_body_bytes_received,
        &traffic.response_body_bytes_sent,
    );
    if let (Some(calls), Some(rate)) = (edge.calls.value.filter(|n| *n > 0.0), edge.rate.value) {
        bundle.bytes += both / calls * rate;
    }
    bundle.is_async |= edge.mode == "async";
    bundle.many |= edge
        .calls_per_request
        .value
        .is_some_and(|n| n >= MANY_CALLS);
    let cores = edge.overhead_cores.value.unwrap_or(0.0);
    if bundle.anchor.is_empty() || cores > bundle.best {
        bundle.best = cores;
        bundle.anchor = anchors.slug(&edge.id).to_owned();
    }
    bundle.count += 1;
}

fn map_edge(from: usize, to: usize, bundle: &Bundle, heaviest: f64, nodes: &[MapNode]) -> MapEdge {
    let rate = format!("{}/s", format::significant(bundle.rate, 3));
    let of = |index: usize| nodes.get(index).map_or("", |n| n.name.as_str());
    let mut description = format!("{} to {}: {rate}", of(from), of(to));
    let mut label = vec![rate];
    if bundle.bytes > 0.0 {
        let bytes = format!("{}/s", format::bytes(bundle.bytes));
        // Both in a line: labels stand between nodes, where width is what there is of room.
        if let Some(first) = label.first_mut() {
            first.push_str(", ");
            first.push_str(&bytes);
        }
        description.push_str(&format!(", {bytes} of bodies"));
    }
    if bundle.overhead_known {
        let cores = figure::quantity(bundle.overhead, FigureUnit::Cores, Show::Plain);
        description.push_str(&format!(", message overhead {cores}"));
        if bundle.share_weight > 0.0 {
            let share = format::percent(bundle.weighted_share / bundle.share_weight);
            label.push(format!("{share} messages"));
            if bundle.waits > 0.0 {
                let wait = format::duration(bundle.waited / bundle.waits);
                description.push_str(&format!(", mean wait {wait}"));
                label.push(format!("{wait} wait"));
            }
            description.push_str(&format!(", {share} of what the calls cost"));
        }
    }
    if bundle.count > 1 {
        description.push_str(&format!("; {} together", bundle.count));
    }
    MapEdge {
        from,
        to,
        label,
        description,
        weight: if heaviest > 0.0 {
            bundle.overhead / heaviest
        } else {
            0.0
        },
        is_async: bundle.is_async,
        // An edge without a row leads nowhere.
        anchor: Some(bundle.anchor.clone()).filter(|anchor| !anchor.is_empty()),
    }
}
