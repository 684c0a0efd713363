//! The service map: which services stand on it, and the edges between two of them as one arrow.

use std::collections::BTreeMap;

use super::figures::plain;
use crate::document::{
    EdgeReport, Figure, FigureUnit, MapArrow, MapPlace, MapPlaceKind, MapReport, OriginReport,
    QualityWord, ServiceReport,
};

/// Most things on the map: those with the dearest edges first.
const PLACES_MAX: usize = 16;
/// From this many calls for each request on, an edge is chatty.
pub(crate) const MANY_CALLS: f64 = 2.0;

/// What stands on the map, in the order in which it is met.
#[derive(Default)]
struct Places {
    places: Vec<MapPlace>,
    index: BTreeMap<String, usize>,
}

impl Places {
    fn of(&mut self, name: &str, kind: MapPlaceKind) -> usize {
        if let Some(index) = self.index.get(name) {
            // A service may first be met as a caller and later turn out to be a broker.
            if kind == MapPlaceKind::Broker {
                self.places[*index].kind = kind;
            }
            return *index;
        }
        self.places.push(MapPlace {
            name: name.to_owned(),
            kind,
        });
        self.index.insert(name.to_owned(), self.places.len() - 1);
        self.places.len() - 1
    }
}

/// All edges between two places.
#[derive(Default)]
struct Bundle<'a> {
    edges: Vec<&'a EdgeReport>,
    /// Requests from outside, in a second.
    entering: Option<f64>,
}

/// The map of these services.
pub(crate) fn map(
    services: &[ServiceReport],
    edges: &[EdgeReport],
    origins: &[OriginReport],
) -> MapReport {
    let mut places = Places::default();
    let mut bundles: BTreeMap<(usize, usize), Bundle<'_>> = BTreeMap::new();
    let entering = entering(origins);
    if !entering.is_empty() && !services.is_empty() {
        // A service may be called so: the outside is not in the index.
        places.places.push(MapPlace {
            name: "outside".to_owned(),
            kind: MapPlaceKind::Outside,
        });
    }
    let mut edges_left_out = 0;
    // Calls from outside stand there as origins, each with its rate.
    for edge in edges.iter().filter(|edge| edge.from.instrumented) {
        let new = [&edge.from.service, &edge.to.service]
            .into_iter()
            .chain(edge.broker.as_ref())
            .filter(|service| !places.index.contains_key(*service))
            .count();
        if places.places.len() + new > PLACES_MAX {
            edges_left_out += 1;
            continue;
        }
        let from = places.of(&edge.from.service, MapPlaceKind::Service);
        let broker = edge
            .broker
            .as_ref()
            .map(|broker| places.of(broker, MapPlaceKind::Broker));
        let to = places.of(&edge.to.service, MapPlaceKind::Service);
        for pair in match broker {
            Some(broker) => vec![(from, broker), (broker, to)],
            None => vec![(from, to)],
        } {
            bundles.entry(pair).or_default().edges.push(edge);
        }
    }
    for service in services {
        if places.places.len() < PLACES_MAX {
            places.of(&service.service, MapPlaceKind::Service);
        }
    }
    for origin in entering {
        if let Some(to) = places.index.get(&origin.service) {
            let rate = origin.rate.value.unwrap_or(0.0);
            *bundles
                .entry((0, *to))
                .or_default()
                .entering
                .get_or_insert(0.0) += rate;
        }
    }
    let places = places.places;
    MapReport {
        arrows: bundles
            .into_iter()
            .map(|((from, to), bundle)| arrow(from, to, &bundle, &places))
            .collect(),
        places,
        edges_left_out,
    }
}

/// Origins that a request from outside can begin at.
fn entering(origins: &[OriginReport]) -> Vec<&OriginReport> {
    origins
        .iter()
        .filter(|o| o.rate.value.is_some_and(|rate| rate > 0.0))
        .filter(|o| !o.operation.starts_with("JOB "))
        .collect()
}

/// Sum of those that are known; nothing when none is.
fn sum(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    values.flatten().reduce(|a, b| a + b)
}

fn arrow(from: usize, to: usize, bundle: &Bundle<'_>, places: &[MapPlace]) -> MapArrow {
    let edges = &bundle.edges;
    let of = |figure: fn(&EdgeReport) -> Option<f64>| sum(edges.iter().map(|edge| figure(edge)));
    // Only edges of which both are known say what share it is.
    let priced = || {
        edges
            .iter()
            .filter_map(|edge| Some((edge.overhead_cores.value?, edge.overhead_share.value?)))
    };
    let carried: f64 = priced().map(|(overhead, _)| overhead).sum();
    let whole: f64 = priced()
        .filter(|(_, share)| *share > 0.0)
        .map(|(overhead, share)| overhead / share)
        .sum();
    let waits = || {
        edges
            .iter()
            .filter_map(|edge| Some((wait(edge)?, edge.rate.value?)))
    };
    let waited: f64 = waits().map(|(wait, rate)| wait * rate).sum();
    let waiting: f64 = waits().map(|(_, rate)| rate).sum();
    let absent = if edges.is_empty() {
        "calls from outside stand as origins"
    } else {
        "no edge in it knows this"
    };
    let figure = |value: Option<f64>, unit: FigureUnit| {
        plain(
            value.filter(|v| v.is_finite()),
            unit,
            quality(edges),
            absent,
        )
    };
    MapArrow {
        id: format!("map:{} → {}", places[from].name, places[to].name),
        from,
        to,
        edges: edges.iter().map(|edge| edge.id.clone()).collect(),
        detached: edges.iter().any(|edge| edge.mode == "async"),
        chatty: edges.iter().any(|edge| {
            edge.calls_per_request
                .value
                .is_some_and(|n| n >= MANY_CALLS)
        }),
        rate: figure(
            match (of(|edge| edge.rate.value), bundle.entering) {
                (None, None) => None,
                (calls, entering) => Some(calls.unwrap_or(0.0) + entering.unwrap_or(0.0)),
            },
            FigureUnit::PerSecond,
        ),
        body_bytes: figure(of(bytes_a_second), FigureUnit::BytesPerSecond),
        overhead_cores: figure(of(|edge| edge.overhead_cores.value), FigureUnit::Cores),
        overhead_share: figure((whole > 0.0).then(|| carried / whole), FigureUnit::Ratio),
        wait: figure((waiting > 0.0).then(|| waited / waiting), FigureUnit::Ns),
    }
}

/// That of the edges' overhead that was not measured, if any was not.
fn quality(edges: &[&EdgeReport]) -> QualityWord {
    edges
        .iter()
        .flat_map(|edge| &edge.overhead.quality)
        .map(|part| part.quality)
        .max()
        .unwrap_or(QualityWord::Measured)
}

fn wait(edge: &EdgeReport) -> Option<f64> {
    if edge.mode == "async" {
        edge.lag.value
    } else {
        edge.wait.value
    }
}

/// Bodies of both directions in a second, as the receiving side counted, or the sending side where only that one could.
fn bytes_a_second(edge: &EdgeReport) -> Option<f64> {
    let counted =
        |received: &Figure, sent: &Figure| -> Option<f64> { received.value.or(sent.value) };
    let traffic = &edge.traffic;
    let both = sum([
        counted(
            &traffic.request_body_bytes_received,
            &traffic.request_body_bytes_sent,
        ),
        counted(
            &traffic.response_body_bytes_received,
            &traffic.response_body_bytes_sent,
        ),
    ]
    .into_iter())?;
    let calls = edge.calls.value.filter(|n| *n > 0.0)?;
    Some(both / calls * edge.rate.value?)
}

#[cfg(test)]
mod tests {
    use crate::document::MapPlaceKind;
    use crate::testing::System;
    use crate::{Document, Options};

    #[test]
    fn an_arrow_is_the_sum_of_its_edges_and_a_broker_stands_between() {
        let mut s = System::new(60);
        let orders = ("store", "POST /orders");
        s.root(orders.0, orders.1, 20, [300_000; 6]);
        let reserve = ("warehouse", "POST /reservations");
        s.http(orders, reserve, 20, 12, 240_000, 60_000);
        s.message(orders, ("accounting", "CONSUME o"), 20, "o", 80_000, 60_000);
        let document = Document::build(&s.range(), &Options::default());
        let map = document.map.expect("a map");
        let place = |name: &str| map.places.iter().position(|p| p.name == name).expect("it");
        assert_eq!(map.places[place("broker")].kind, MapPlaceKind::Broker);
        assert_eq!(map.places[0].kind, MapPlaceKind::Outside);
        let arrow = |from: usize, to: usize| {
            let arrow = map.arrows.iter().find(|a| a.from == from && a.to == to);
            arrow.expect("an arrow")
        };
        let called = arrow(place("store"), place("warehouse"));
        let edge = document
            .edges
            .iter()
            .find(|e| e.mode == "sync")
            .expect("it");
        assert_eq!(called.edges, std::slice::from_ref(&edge.id));
        assert_eq!(called.rate.value, edge.rate.value);
        let near =
            |a: Option<f64>, b: Option<f64>| (a.expect("a") / b.expect("b") - 1.0).abs() < 1e-9;
        assert!(near(called.overhead_share.value, edge.overhead_share.value));
        assert!(near(called.wait.value, edge.wait.value));
        // 120 and 300 bytes.
        let bytes = edge.rate.value.map(|rate| rate * 420.0);
        assert!(near(called.body_bytes.value, bytes));
        assert!(called.chatty && !called.detached);
        assert!(arrow(place("broker"), place("accounting")).detached);
        let entering = arrow(0, place("store"));
        assert_eq!((entering.edges.len(), entering.wait.value), (0, None));
        assert_eq!(entering.rate.value, document.origins[0].rate.value);
        assert!(entering.id.starts_with("map:outside → "), "{}", entering.id);
    }
}
