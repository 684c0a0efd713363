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
    /// By (service, deployable): what a request waits more there than it did, and what less, at the shares.
    known: BTreeMap<(usize, usize), Option<Change>>,
}

#[derive(Clone)]
struct Change {
    more: Vec<f64>,
    less: Vec<f64>,
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
        let mut visits: BTreeMap<(usize, usize), f64> = BTreeMap::new();
        for waited in &origin.waits_for {
            let operation = &self.inputs.operations[*waited];
            let mine = operation.parts.iter().filter(|part| part.origin == at);
            let times = mine.map(|part| part.rate / rate).sum::<f64>();
            let place = (operation.service, self.topology.place[*waited]);
            *visits.entry(place).or_insert(0.0) += times;
        }
        let mut changes = Vec::new();
        for (place, times) in visits.into_iter().filter(|(_, times)| *times > 0.0) {
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
        let shares = shares();
        // Waits that go were longest where the response was.
        let mut response: Vec<(f64, f64)> = shares
            .iter()
            .enumerate()
            .map(|(n, (share, weight))| {
                let less: f64 = changes.iter().map(|(c, times)| c.less[n] * times).sum();
                ((scale * measured(&wall, *share) - less).max(0.0), *weight)
            })
            .collect();
        for (change, times) in &changes {
            if change.more.iter().all(|ns| *ns <= 0.0) {
                continue;
            }
            let one: Vec<(f64, f64)> = change
                .more
                .iter()
                .zip(&shares)
                .map(|(ns, (_, weight))| (*ns, *weight))
                .collect();
            for (values, probability) in visits_of(&one, *times) {
                response = added(&response, &values, probability);
            }
        }
        Some([0.5, 0.95, 0.99].map(|share| quantile(&response, share)))
    }

    fn change(&mut self, (service, deployable): (usize, usize)) -> Option<Change> {
        if let Some(known) = self.known.get(&(service, deployable)) {
            return known.clone();
        }
        let change = self.work_out(service, deployable);
        self.known.insert((service, deployable), change.clone());
        change
    }

    fn work_out(&self, service: usize, deployable: usize) -> Option<Change> {
        let tail = |priced: &Priced, at: usize| priced.queues[at].as_ref()?.tail();
        let (was, is) = (tail(self.before, service)?, tail(self.after, deployable)?);
        let at = |tail: &Option<WaitTail>, share| {
            tail.as_ref().map_or(0.0, |tail| tail.quantile(share) * 1e9)
        };
        let differences: Vec<f64> = shares()
            .iter()
            .map(|(share, _)| at(&is, *share) - at(&was, *share))
            .collect();
        let mean = |priced: &Priced, at: usize| priced.wait[at].map(|seconds| seconds * 1e9);
        Some(Change {
            more: differences.iter().map(|ns| ns.max(0.0)).collect(),
            less: differences.iter().map(|ns| (-ns).max(0.0)).collect(),
            mean: mean(self.after, deployable)? - mean(self.before, service)?,
        })
    }
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
