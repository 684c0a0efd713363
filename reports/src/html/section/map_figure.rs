//! The service map as a figure: what stands on it, and what its arrows say.

use std::collections::BTreeMap;

use crate::chart::{Caption, MapEdge, MapNode, ServiceMap, service_map};
use crate::document::{Document, EdgeReport, FigureUnit, OriginReport};
use crate::html::anchors::Anchors;
use crate::html::figure::{self, Show, sentence};
use crate::html::format;
use crate::html::markup::Markup;
use crate::html::picture;
use crate::html::text::name;

use super::edges::MANY_CALLS;

/// Most services on the map: those with the dearest edges first.
const MAP_NODES: usize = 16;

/// All edges between two nodes, as one.
#[derive(Default)]
struct Bundle {
    rate: f64,
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
            anchor: known.map(|s| anchors.slug(&s.id).to_owned()),
            kind,
        });
        self.index.insert(service.to_owned(), self.nodes.len() - 1);
        self.nodes.len() - 1
    }
}

pub(super) fn map(document: &Document, anchors: &Anchors) -> (Markup, String) {
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
    for edge in &document.edges {
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
    let map = ServiceMap {
        caption: Caption {
            id: "map",
            title: "Who calls whom",
            description: "Services as boxes, calls as arrows from the caller to the called; the thicker, the more CPU \
                          its messages cost; dashed where the caller does not wait. The tables below hold the same.",
        },
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
    (
        picture::figure(&map.caption, "", |layout| service_map(&map, layout)),
        note,
    )
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
    if bundle.overhead_known {
        let cores = figure::quantity(bundle.overhead, FigureUnit::Cores, Show::Plain);
        description.push_str(&format!(", message overhead {cores}"));
        if bundle.share_weight > 0.0 {
            let share = format::percent(bundle.weighted_share / bundle.share_weight);
            label.push(format!("{share} msg"));
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
        anchor: Some(bundle.anchor.clone()),
    }
}
