//! Quantiles of latency where waits for cores change: the spread of the waits, added to what was measured. A mean that
//! doubles need not double the median and may multiply the 99th percentile.

use std::collections::BTreeMap;

use super::evaluate::{Priced, price};
use super::{Figures, Inputs, Load, Topology};
use crate::queue::WaitTail;

/// Change of the waits as a share of the mean latency, below which quantiles follow the mean.
const CHANGE_MIN: f64 = 0.01;
/// Most waits of one kind that are added up one by one.
const VISITS_MAX: f64 = 8.0;
/// Shares at which distributions are read, with the weight of each: the tail more finely.
const COARSE: usize = 45;
const FINE: usize = 45;
const FINE_FROM: f64 = 0.9;

/// By how much the quantiles of some origins differ from those that follow the mean.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Tails {
    factors: Vec<(usize, [f64; 3])>,
}

impl Tails {
    /// For these origins in a topology, whose figures by the mean are `figures`.
    pub(crate) fn of(
        inputs: &Inputs,
        topology: &Topology,
        load: &Load,
        figures: &Figures,
        origins: impl IntoIterator<Item = usize>,
    ) -> Self {
        let load = Load {
            simulate: 0,
            ..*load
        };
        let after = price(inputs, topology, &load);
        let today = Topology::as_it_is(inputs);
        let measured = Load {
            factor: 1.0,
            resize: false,
            ..load
        };
        let before = price(inputs, &today, &measured);
        let mut waits = Waits {
            inputs,
            topology,
            before: &before,
            after: &after,
            known: BTreeMap::new(),
        };
        let factors = origins
            .into_iter()
            .filter_map(|at| {
                let by_mean = figures.origins.get(at)?;
                let mean = by_mean.mean_ns?;
                let points = waits.quantiles(at, mean)?;
                let was = [by_mean.p50_ns?, by_mean.p95_ns?, by_mean.p99_ns?];
                let mut factors = [1.0; 3];
                for (factor, (is, was)) in factors.iter_mut().zip(points.iter().zip(was)) {
                    *factor = is / Some(was).filter(|was| *was > 0.0)?;
                }
                Some((at, factors))
            })
            .collect();
        Self { factors }
    }

    /// Turns quantiles that follow the mean into those.
    pub(crate) fn apply(&self, figures: &mut Figures) {
        for (at, [p50, p95, p99]) in &self.factors {
            let origin = &mut figures.origins[*at];
            for (quantile, factor) in [
                (&mut origin.p50_ns, p50),
                (&mut origin.p95_ns, p95),
                (&mut origin.p99_ns, p99),
            ] {
                *quantile = quantile.map(|ns| ns * factor);
            }
        }
    }
}

struct Waits<'a> {
    inputs: &'a Inputs,
    topology: &'a Topology,
    before: &'a Priced,
    after: &'a Priced,
    /// What a request waits more than it did, and what less, at the shares.
    known: BTreeMap<Moved, Option<Change>>,
}

/// Where a request waited for a core, by service, and where it does now, by deployable; none where a task calls it on
/// the core that it has.
type Moved = (Option<usize>, Option<usize>);

#[derive(Clone)]
struct Change {
    /// What some wait more, in pieces, ns; and how likely one does.
    more: Vec<(f64, f64)>,
    chance: f64,
    /// What is waited less on average, ns, and by how much its variance is smaller, ns².
    less: f64,
    less_variance: f64,
    /// Change of the mean, ns.
    mean: f64,
}

impl Waits<'_> {
    /// Median, 95th and 99th percentile, ns, when the mean is `mean`; `None` where the waits hardly change, or are not
    /// known.
    fn quantiles(&mut self, at: usize, mean: f64) -> Option<[f64; 3]> {
        let origin = &self.inputs.origins[at];
        let wall = origin.wall_ns.filter(|wall| wall[3] > 0.0)?;
        let rate = origin.rate.filter(|rate| *rate > 0.0)?;
        let (called, calls) = (
            self.before.direct.visits(self.inputs, at),
            self.after.direct.visits(self.inputs, at),
        );
        let mut visits: BTreeMap<Moved, f64> = BTreeMap::new();
        for waited in &origin.waits_for {
            let operation = &self.inputs.operations[*waited];
            let mine = operation.parts.iter().filter(|part| part.origin == at);
            let all = mine.map(|part| part.rate).sum::<f64>();
            let (was, is) = (operation.service, self.topology.place[*waited]);
            let direct = |of: &BTreeMap<usize, f64>| of.get(waited).map_or(0.0, |r| r.min(all));
            let (called, calls) = (direct(&called), direct(&calls));
            for (moved, part) in [
                ((Some(was), Some(is)), all - called.max(calls)),
                ((Some(was), None), calls - called),
                ((None, Some(is)), called - calls),
            ] {
                if part > 0.0 {
                    *visits.entry(moved).or_insert(0.0) += part / rate;
                }
            }
        }
        let mut changes = Vec::new();
        for (place, times) in visits {
            changes.push((self.change(place)?, times));
        }
        let moved: f64 = changes
            .iter()
            .map(|(c, times)| (c.mean * times).abs())
            .sum();
        if moved < CHANGE_MIN * wall[3] {
            return None;
        }
        let change: f64 = changes.iter().map(|(c, times)| c.mean * times).sum();
        // What is not waiting for cores keeps its spread and follows its mean.
        let scale = ((mean - change) / wall[3]).max(0.0);
        let before: Vec<(f64, f64)> = shares()
            .iter()
            .map(|(share, weight)| (measured(&wall, *share), *weight))
            .collect();
        let goes = |of: fn(&Change) -> f64| -> f64 {
            changes
                .iter()
                .map(|(change, times)| of(change) * times)
                .sum()
        };
        let mut response = less(&before, scale, goes(|c| c.less), goes(|c| c.less_variance));
        for (change, times) in &changes {
            if change.more.is_empty() {
                continue;
            }
            for (values, probability) in visits_of(&change.more, *times) {
                response = added(&response, &values, probability * change.chance);
            }
        }
        let [p50, p95, p99, _] = wall;
        Some([(0.5, p50), (0.95, p95), (0.99, p99)].map(|(share, was)| {
            // In steps, a quantile at a bend is not the one that was measured: what it changes by counts.
            let (from, to) = (quantile(&before, share), quantile(&response, share));
            if to < from {
                was * to / from
            } else {
                was + to - from
            }
        }))
    }

    fn change(&mut self, moved: Moved) -> Option<Change> {
        if let Some(known) = self.known.get(&moved) {
            return known.clone();
        }
        let change = self.work_out(moved);
        self.known.insert(moved, change.clone());
        change
    }

    fn work_out(&self, (service, deployable): Moved) -> Option<Change> {
        let tail = |priced: &Priced, at: Option<usize>| match at {
            Some(at) => priced.queues[at].as_ref()?.tail(),
            None => Some(None),
        };
        let (was, is) = (tail(self.before, service)?, tail(self.after, deployable)?);
        let pieces = |tail: Option<WaitTail>| -> Vec<(f64, f64)> {
            let at = |share| tail.as_ref().map_or(0.0, |tail| tail.quantile(share) * 1e9);
            let all = shares().into_iter();
            all.map(|(share, weight)| (at(share), weight)).collect()
        };
        let (was, is) = (pieces(was), pieces(is));
        let mean = |priced: &Priced, at: Option<usize>| match at {
            Some(at) => priced.wait[at].map(|seconds| seconds * 1e9),
            None => Some(0.0),
        };
        let mean = mean(self.after, deployable)? - mean(self.before, service)?;
        let wider = moments(&is).1 - moments(&was).1;
        let (more, chance) = grown(&is, mean, wider.max(0.0));
        Some(Change {
            more,
            chance,
            less: (-mean).max(0.0),
            less_variance: if mean < 0.0 { (-wider).max(0.0) } else { 0.0 },
            mean,
        })
    }
}

/// What is added to an independent figure so that its mean grows by `mean` and its variance by `variance`: a part of the
/// new waits' shape, and the chance of it.
fn grown(is: &[(f64, f64)], mean: f64, variance: f64) -> (Vec<(f64, f64)>, f64) {
    let (first, spread) = moments(is);
    if mean <= 0.0 || first <= 0.0 {
        return (Vec::new(), 0.0);
    }
    let longer = (variance + mean * mean) * first / (mean * (spread + first * first));
    let longer = longer.max(mean / first);
    let pieces = is.iter().map(|(ns, weight)| (ns * longer, *weight));
    (pieces.collect(), mean / (longer * first))
}

/// Shares in the middle of pieces of the distribution, with the weight of each piece.
fn shares() -> Vec<(f64, f64)> {
    #[allow(clippy::cast_precision_loss)]
    let pieces = |from: f64, to: f64, n: usize| {
        let each = (to - from) / n as f64;
        (0..n).map(move |at| (from + (at as f64 + 0.5) * each, each))
    };
    pieces(0.0, FINE_FROM, COARSE)
        .chain(pieces(FINE_FROM, 1.0, FINE))
        .collect()
}

/// The response that this share did not exceed: between the quantiles that were measured, and beyond them, as exponential
/// times have them, straight over `−ln(1 − share)`. The fastest are such that the mean is the measured one, as far as that
/// goes.
fn measured(wall: &[f64; 4], share: f64) -> f64 {
    let [p50, p95, p99, mean] = *wall;
    let x = |share: f64| -libm::log(1.0 - share);
    let (x50, x95, x99) = (x(0.5), x(0.95), x(0.99));
    let slope = |(a, low): (f64, f64), (b, high): (f64, f64)| ((high - low) / (b - a)).max(0.0);
    let (middle, upper) = (slope((x50, p50), (x95, p95)), slope((x95, p95), (x99, p99)));
    // What the slower half adds to the mean, piece by piece.
    let above = 0.5 * (p50 + middle) - 0.05 * (p95 + middle) + 0.05 * (p95 + upper);
    let part = 0.5 / x50;
    let least = ((mean - above - p50 * (part - 0.5)) / (1.0 - part)).clamp(0.0, p50.max(0.0));
    match share {
        s if s < 0.5 => least + (p50 - least) * x(s) / x50,
        s if s < 0.95 => p50 + middle * (x(s) - x50),
        s => p95 + upper * (x(s) - x95),
    }
}

/// Mean and variance of a figure in pieces.
fn moments(pieces: &[(f64, f64)]) -> (f64, f64) {
    let mean: f64 = pieces.iter().map(|(value, weight)| value * weight).sum();
    let square = |(value, weight): &(f64, f64)| weight * (value - mean) * (value - mean);
    (mean, pieces.iter().map(square).sum())
}

/// A figure in pieces, scaled, without a part of this mean and variance that is independent of the rest. The rest keeps
/// the shape, and is spread at least as its mean says.
fn less(pieces: &[(f64, f64)], scale: f64, gone: f64, variance: f64) -> Vec<(f64, f64)> {
    let scaled: Vec<(f64, f64)> = pieces.iter().map(|(ns, w)| (scale * ns, *w)).collect();
    let (mean, spread) = moments(&scaled);
    if mean <= 0.0 || spread <= 0.0 {
        return scaled;
    }
    let rest = (mean - gone).max(0.0);
    let narrower = libm::sqrt(((spread - variance) / spread).max(0.0)).max(rest / mean);
    let piece = |(ns, weight): (f64, f64)| ((rest + (ns - mean) * narrower).max(0.0), weight);
    scaled.into_iter().map(piece).collect()
}

/// So many waits of a kind as pieces to add: the values of one, and how likely it is to be met.
fn visits_of(one: &[(f64, f64)], times: f64) -> Vec<(Vec<(f64, f64)>, f64)> {
    // More than a few are as many that are longer.
    let longer = (times / VISITS_MAX).max(1.0);
    let values: Vec<(f64, f64)> = one.iter().map(|(ns, w)| (ns * longer, *w)).collect();
    let mut left = times / longer;
    let mut pieces = Vec::new();
    while left > 1e-9 {
        pieces.push((values.clone(), left.min(1.0)));
        left -= 1.0;
    }
    pieces
}

/// The sum of two independent figures, the second with a probability, in as many pieces as before.
fn added(a: &[(f64, f64)], b: &[(f64, f64)], probability: f64) -> Vec<(f64, f64)> {
    let mut all: Vec<(f64, f64)> = Vec::with_capacity(a.len() * (b.len() + 1));
    for (x, weight) in a {
        if probability < 1.0 {
            all.push((*x, weight * (1.0 - probability)));
        }
        all.extend(b.iter().map(|(y, w)| (x + y, weight * w * probability)));
    }
    all.sort_by(|x, y| x.0.total_cmp(&y.0));
    let mut sum = 0.0;
    let mut next = all.iter().peekable();
    shares()
        .into_iter()
        .map(|(share, weight)| {
            let mut value = next.peek().map_or(0.0, |(x, _)| *x);
            while let Some((x, w)) = next.peek() {
                value = *x;
                if sum + w >= share {
                    break;
                }
                sum += w;
                next.next();
            }
            (value, weight)
        })
        .collect()
}

fn quantile(pieces: &[(f64, f64)], share: f64) -> f64 {
    let mut sorted = pieces.to_vec();
    sorted.sort_by(|x, y| x.0.total_cmp(&y.0));
    // Between the middles of two pieces.
    let mut sum = 0.0;
    let mut last: Option<(f64, f64)> = None;
    for (value, weight) in sorted {
        let middle = sum + weight / 2.0;
        if middle >= share {
            return last.map_or(value, |(at, was)| {
                was + (share - at) / (middle - at) * (value - was)
            });
        }
        last = Some((middle, value));
        sum += weight;
    }
    last.map_or(0.0, |(_, value)| value)
}
