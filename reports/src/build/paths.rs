//! The ways on which requests of an origin reach an operation.

use std::collections::{BTreeMap, BTreeSet};

use super::origins::Origin;
use crate::document::{FigureUnit, OriginPath};
use crate::model::{Estimate, Model, Name, OperationId};

use super::figures::{class_figures, figure};

/// An operation of a service.
pub(crate) type Place = (usize, OperationId);

/// Most ways told apart for one origin; the dearest of each operation come first.
pub(crate) const PATHS_MAX: usize = 400;
/// Deepest way.
const DEPTH_MAX: usize = 24;
/// A way that carries a smaller part of an operation's requests is not followed.
const PART_MIN: f64 = 1e-4;

/// Requests that reached an operation of a service from another one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Arrival {
    /// Service and name of the answering operation.
    pub(crate) to: (usize, Name),
    /// Service and name of the calling operation.
    pub(crate) from: (usize, Name),
    /// The caller does not wait.
    pub(crate) detached: bool,
}

/// One way, found.
pub(crate) struct Way {
    pub(crate) places: Vec<Place>,
    /// The part of the last operation's requests that came on this way.
    pub(crate) part: f64,
    /// The origin's answer waits for it.
    pub(crate) waited: bool,
}

struct Search<'a> {
    origin: &'a Origin,
    /// What each operation calls: whom, which part of the callee's requests that is, and whether it waits.
    calls: BTreeMap<&'a Place, Vec<(&'a Place, f64, bool)>>,
    found: Vec<Way>,
}

/// All ways of an origin, each after the one that it continues.
pub(crate) fn ways(origin: &Origin, root: &(usize, Name)) -> Vec<Way> {
    let mut calls: BTreeMap<&Place, Vec<(&Place, f64, bool)>> = BTreeMap::new();
    let mut beginnings: Vec<(&Place, f64, bool)> = Vec::new();
    for (place, own) in &origin.operations {
        let ended = own.ended.as_ref().map_or(0.0, |n| n.point);
        let mut known = 0.0;
        for (arrival, messages) in &origin.arrivals {
            if arrival.to.0 != place.0 || arrival.to.1 != place.1.operation || ended <= 0.0 {
                continue;
            }
            let callers: Vec<&Place> = origin
                .operations
                .keys()
                .filter(|p| p.0 == arrival.from.0 && p.1.operation == arrival.from.1)
                .collect();
            // An arrival names no class: it is shared out over the classes of both ends.
            let siblings = ended_of(origin, &arrival.to);
            let part = messages / siblings.max(ended);
            for caller in callers.iter().filter(|caller| **caller != place) {
                let share = part / callers.len() as f64;
                known += share;
                calls
                    .entry(caller)
                    .or_default()
                    .push((place, share, !arrival.detached));
            }
        }
        let is_root = place.0 == root.0 && place.1.operation == root.1;
        let rest = 1.0 - known;
        if is_root || rest > 0.01 {
            beginnings.push((place, if is_root { rest.max(0.0) } else { rest }, is_root));
        }
    }
    // What is called by several may sum to a hair above one.
    let cost = |place: &Place| {
        origin.operations[place]
            .cpu
            .total()
            .map_or(0.0, |c| c.point)
    };
    for list in calls.values_mut() {
        list.sort_by(|a, b| cost(b.0).total_cmp(&cost(a.0)).then_with(|| a.0.cmp(b.0)));
    }
    beginnings.sort_by(|a, b| {
        b.2.cmp(&a.2)
            .then_with(|| cost(b.0).total_cmp(&cost(a.0)))
            .then_with(|| a.0.cmp(b.0))
    });
    let mut search = Search {
        origin,
        calls,
        found: Vec::new(),
    };
    for (place, part, is_root) in beginnings {
        search.go(&mut Vec::new(), place, part.min(1.0), is_root);
    }
    search.found
}

fn ended_of(origin: &Origin, place: &(usize, Name)) -> f64 {
    origin
        .operations
        .iter()
        .filter(|((service, id), _)| *service == place.0 && id.operation == place.1)
        .filter_map(|(_, own)| own.ended.as_ref().map(|n| n.point))
        .sum()
}

impl<'a> Search<'a> {
    fn go(&mut self, before: &mut Vec<&'a Place>, place: &'a Place, part: f64, waited: bool) {
        if part < PART_MIN || before.len() >= DEPTH_MAX || self.found.len() >= PATHS_MAX {
            return;
        }
        before.push(place);
        self.found.push(Way {
            places: before.iter().map(|p| (*p).clone()).collect(),
            part,
            waited,
        });
        let onward = self.calls.get(place).cloned().unwrap_or_default();
        let here: BTreeSet<&Place> = before.iter().copied().collect();
        for (next, share, waits) in onward {
            if !here.contains(next) {
                self.go(before, next, part * share.min(1.0), waited && waits);
            }
        }
        before.pop();
        debug_assert!(self.origin.operations.contains_key(place));
    }
}

/// The ways as they stand in the document, then what no operation did: pools, connections and brokers by service.
pub(crate) fn paths(
    model: &Model,
    origin: &Origin,
    ways: &[Way],
    ended: Option<&Estimate>,
) -> Vec<OriginPath> {
    let mut out: Vec<OriginPath> = ways
        .iter()
        .filter_map(|way| {
            let own = origin.operations.get(way.places.last()?)?;
            let per_request = |sum: Option<&Estimate>| sum?.scaled(way.part).over(ended?);
            let classes: Vec<Option<Estimate>> = own
                .cpu
                .over(ended)
                .into_iter()
                .map(|cpu| cpu.map(|cpu| cpu.scaled(way.part)))
                .collect();
            Some(OriginPath {
                rows: way
                    .places
                    .iter()
                    .map(|(service, id)| id.row(&model.services()[*service].label))
                    .collect(),
                requests: figure(
                    per_request(own.ended.as_ref()).as_ref(),
                    FigureUnit::PerRequest,
                    "no request ended",
                ),
                cpu: class_figures(&classes, FigureUnit::NsPerRequest),
                alloc_bytes: figure(
                    per_request(own.alloc.as_ref()).as_ref(),
                    FigureUnit::BytesPerRequest,
                    "the allocator does not count",
                ),
            })
        })
        .collect();
    for (service, cpu) in &origin.carriers {
        if cpu.total().is_none_or(|sum| sum.point <= 0.0) {
            continue;
        }
        let label = &model.services()[*service].label;
        out.push(OriginPath {
            rows: vec![format!("service:{label}")],
            requests: crate::document::Figure::unknown(
                FigureUnit::PerRequest,
                "pools, connections and brokers serve no requests of their own",
            ),
            cpu: class_figures(&cpu.over(ended), FigureUnit::NsPerRequest),
            alloc_bytes: crate::document::Figure::unknown(
                FigureUnit::BytesPerRequest,
                "what they allocate is not told apart by request",
            ),
        });
    }
    out
}
