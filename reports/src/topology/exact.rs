//! The cheapest partition of few atoms, exactly: every set of atoms is priced once, then every partition is walked.

use super::groups::Groups;

/// Most atoms whose partitions are walked: 12 have 4 213 597 (Bell numbers).
pub const EXACT_MAX: usize = 12;

/// What a set of atoms costs, and what else its partition is judged by.
#[derive(Clone, Debug)]
pub(super) struct SetFigures {
    /// `None`: may not be.
    pub(super) cost: Option<f64>,
    /// Number of services that have parts in it.
    pub(super) services: usize,
    /// Share of requests that wait for it.
    pub(super) blast: f64,
    /// Change of the mean latency of each origin, as a share of it.
    pub(super) latency: Vec<f64>,
}

/// Prices every set.
pub(super) fn sets(
    groups: &Groups<'_>,
    judge: &impl Fn(&[usize]) -> (f64, Vec<f64>),
) -> Vec<SetFigures> {
    let n = groups.atoms.len();
    (0usize..1 << n)
        .map(|set| {
            let members: Vec<usize> = (0..n).filter(|a| set >> a & 1 == 1).collect();
            let allowed = members
                .iter()
                .enumerate()
                .all(|(at, a)| members[at + 1..].iter().all(|b| groups.may(*a, *b)));
            let cost = allowed
                .then(|| groups.cost(&groups.sum(&members)))
                .flatten();
            let mut services: Vec<usize> = members
                .iter()
                .flat_map(|a| groups.atoms[*a].services.iter().copied())
                .collect();
            services.sort_unstable();
            services.dedup();
            let (blast, latency) = if cost.is_some() {
                judge(&members)
            } else {
                (0.0, Vec::new())
            };
            SetFigures {
                cost,
                services: services.len(),
                blast,
                latency,
            }
        })
        .collect()
}

/// A partition with what it is judged by.
#[derive(Clone, Debug)]
pub(super) struct Leaf {
    /// Its sets.
    pub(super) groups: Vec<usize>,
    pub(super) cost: f64,
    /// Worst change of latency over the origins, as a ratio to today's.
    pub(super) latency: f64,
    pub(super) blast: f64,
}

/// Walks all partitions and calls `leaf` for those that may be. Returns how many there were.
pub(super) fn walk(
    sets: &[SetFigures],
    n: usize,
    services: usize,
    boundaries_max: Option<u32>,
    leaf: &mut impl FnMut(&[usize], f64, f64, &[f64]),
) -> u64 {
    let origins = sets.iter().map(|s| s.latency.len()).max().unwrap_or(0);
    let mut walk = Walk {
        sets,
        services,
        boundaries_max,
        leaf,
        seen: 0,
        groups: Vec::with_capacity(n),
        parts: 0,
    };
    walk.go((1 << n) - 1, 0.0, 0.0, &vec![0.0; origins]);
    walk.seen
}

struct Walk<'a, F> {
    sets: &'a [SetFigures],
    services: usize,
    boundaries_max: Option<u32>,
    leaf: &'a mut F,
    seen: u64,
    groups: Vec<usize>,
    /// Services counted once in each group that holds parts of them.
    parts: usize,
}

impl<F: FnMut(&[usize], f64, f64, &[f64])> Walk<'_, F> {
    fn go(&mut self, left: usize, cost: f64, blast: f64, latency: &[f64]) {
        if left == 0 {
            self.seen += 1;
            // Steps of merging and splitting between the two: twice the common refinement, less both.
            let steps = 2 * self.parts - self.services - self.groups.len();
            if self
                .boundaries_max
                .is_none_or(|most| steps <= most as usize)
            {
                (self.leaf)(&self.groups, cost, blast, latency);
            }
            return;
        }
        // The lowest atom left, with every subset of the others.
        let lowest = left & left.wrapping_neg();
        let others = left & !lowest;
        let mut subset = others;
        loop {
            let set = subset | lowest;
            let sets = self.sets;
            if let Some(more) = sets[set].cost {
                self.groups.push(set);
                self.parts += sets[set].services;
                let next: Vec<f64> = latency
                    .iter()
                    .zip(&sets[set].latency)
                    .map(|(a, b)| a + b)
                    .collect();
                self.go(left & !set, cost + more, blast.max(sets[set].blast), &next);
                self.parts -= sets[set].services;
                self.groups.pop();
            }
            if subset == 0 {
                break;
            }
            subset = (subset - 1) & others;
        }
    }
}
