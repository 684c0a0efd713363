//! Load over the windows: its levels, and which services rise and fall together.

use weighbridge_wire::column;

use super::estimate::quantile;
use super::{CPU_COLUMNS, Estimate, Model, ServiceFacts, Tally, as_f64};

/// Fewest slots from which a correlation is told.
const SLOTS_MIN: usize = 9;

impl Model {
    /// An amount in each slot, per second of the slot; 0 where nothing fell into it.
    pub(crate) fn by_slot(&self, tally: &Tally) -> Vec<f64> {
        let mut series = vec![0.0; self.rollup.slots as usize];
        for (slot, value) in tally.slots() {
            let at = *slot as usize;
            if let (Some(sum), Some(seconds)) = (series.get_mut(at), self.slot_seconds(at)) {
                *sum = as_f64(*value) / seconds;
            }
        }
        series
    }

    /// Time covered in a slot, seconds; `None` when another one's windows cover all of it.
    fn slot_seconds(&self, slot: usize) -> Option<f64> {
        let ns = *self.rollup.slot_ns.get(slot)?;
        #[allow(clippy::cast_precision_loss)]
        let seconds = ns as f64 / 1e9;
        (ns > 0).then_some(seconds)
    }

    /// CPU of a service in each slot, cores: by the kernel, else from its accounts.
    pub(crate) fn cores_by_slot(&self, service: &ServiceFacts) -> Option<Vec<f64>> {
        let ns = match service.process.get(column::CPU_PROCESS_NS) {
            Some(tally) => tally.clone(),
            None => {
                let mut sum: Option<Tally> = None;
                for cpu in service
                    .accounts()
                    .filter_map(|sums| sums.sum_of(&CPU_COLUMNS))
                {
                    sum.get_or_insert_default().merge_sum(&cpu);
                }
                sum?
            }
        };
        Some(self.by_slot(&ns).into_iter().map(|ns| ns * 1e-9).collect())
    }

    /// Correlation of the CPU of two services over the slots, −1 to 1. `None` below nine slots, or when one of them
    /// does not vary.
    pub(crate) fn correlation(&self, a: &ServiceFacts, b: &ServiceFacts) -> Option<f64> {
        pearson(&self.cores_by_slot(a)?, &self.cores_by_slot(b)?)
    }

    /// A quantile over the slots of a series, with its spread over resampled ranges.
    pub(crate) fn level(&self, series: &[f64], q: f64) -> Option<Estimate> {
        let order = ascending(series);
        self.sampler
            .over_slots(|weight| weighted_quantile(series, &order, weight, q))
    }
}

/// Indices of a series, smallest value first.
pub(crate) fn ascending(series: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..series.len()).collect();
    order.sort_by(|a, b| series[*a].total_cmp(&series[*b]).then(a.cmp(b)));
    order
}

/// Quantile of a series in which each value counts `weight` times; `order` is [`ascending`].
pub(crate) fn weighted_quantile(
    series: &[f64],
    order: &[usize],
    weight: &[u32],
    q: f64,
) -> Option<f64> {
    let drawn: Vec<f64> = order
        .iter()
        .flat_map(|at| {
            let times = weight.get(*at).copied().unwrap_or(0);
            std::iter::repeat_n(series[*at], times as usize)
        })
        .collect();
    quantile(&drawn, q)
}

/// Pearson's correlation; `None` below nine pairs, or when one side does not vary.
pub(crate) fn pearson(x: &[f64], y: &[f64]) -> Option<f64> {
    let count = x.len().min(y.len());
    if count < SLOTS_MIN {
        return None;
    }
    let (x, y) = (&x[..count], &y[..count]);
    #[allow(clippy::cast_precision_loss)]
    let n = count as f64;
    let mean = |s: &[f64]| s.iter().sum::<f64>() / n;
    let (mx, my) = (mean(x), mean(y));
    let product = |p: &[f64], mp: f64, q: &[f64], mq: f64| -> f64 {
        p.iter().zip(q).map(|(p, q)| (p - mp) * (q - mq)).sum()
    };
    let spread = libm::sqrt(product(x, mx, x, mx) * product(y, my, y, my));
    // Rounding alone makes a constant series vary by the last digit.
    if spread <= 1e-12 * n * (mx * my).abs() {
        return None;
    }
    let correlation = product(x, mx, y, my) / spread;
    correlation
        .is_finite()
        .then_some(correlation.clamp(-1.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::System;

    fn model() -> Model {
        let mut s = System::new(60);
        s.root("grows", "GET /a", 0, [1_000_000, 0, 0, 0, 0, 0])
            .course = Some(|w| (100 + i64::try_from(w).unwrap(), 2_000_000));
        s.root("falls", "GET /b", 0, [1_000_000, 0, 0, 0, 0, 0])
            .course = Some(|w| (160 - i64::try_from(w).unwrap(), 2_000_000));
        Model::new(&s.range())
    }

    #[test]
    fn level_and_correlation_are_those_that_were_made() {
        let model = model();
        let [falls, grows] = [0, 1].map(|at| &model.services()[at]);
        let series = model.cores_by_slot(grows).unwrap();
        // 100 to 159 requests of 1 ms, 1 ms of agent, and 2 % that nothing explains.
        assert!(
            (series[0] / (0.101 * 1.02) - 1.0).abs() < 1e-3,
            "{}",
            series[0]
        );
        let correlation = model.correlation(grows, falls).unwrap();
        assert!(correlation < -0.999, "{correlation}");
        let p95 = model.level(&series, 0.95).unwrap().point;
        assert!((0.155..0.162).contains(&p95), "{p95}");
    }

    #[test]
    fn what_does_not_vary_correlates_with_nothing() {
        assert_eq!(pearson(&[0.1; 20], &[0.3; 20]), None);
        assert_eq!(pearson(&[1.0, 2.0], &[1.0, 2.0]), None, "too few");
        let up: Vec<f64> = (0..20).map(f64::from).collect();
        assert_eq!(pearson(&up, &up), Some(1.0));
    }
}
