//! Intervals of predictions: what windows show, widened by what they do not.

use super::figure::Subject;

/// How well the price of what a change adds or takes away is known: in nine of ten cases to this share of it. An
/// assumption; the share of intervals that hold what was measured is its test.
const CHANGE_SHARE: f64 = 0.25;
/// Of a normal distribution, the 95th percentile in standard deviations.
const NINETY: f64 = 1.645;

/// How much the same placement differs from start to start, as a share: addresses, caches, clocks. Windows of one
/// start do not show it.
pub(super) struct Spread {
    loaded: f64,
    idle: f64,
    /// Of the difference between a mean over the starts weighed and one over the rounds measured.
    means: f64,
}

impl Spread {
    pub(super) fn of(starts: &[Vec<(Subject, f64)>], rounds: u32) -> Self {
        let pooled = |wanted: &dyn Fn(&Subject) -> bool| {
            let (mut squares, mut freedom) = (0.0, 0.0);
            for (at, (subject, _)) in starts.first().into_iter().flatten().enumerate() {
                let values: Vec<f64> = starts.iter().filter_map(|s| Some(s.get(at)?.1)).collect();
                let mean = values.iter().sum::<f64>() / values.len() as f64;
                if !wanted(subject) || values.len() < 2 || mean <= 0.0 {
                    continue;
                }
                squares += values.iter().map(|v| (v / mean - 1.0).powi(2)).sum::<f64>();
                freedom += values.len() as f64 - 1.0;
            }
            if freedom > 0.0 {
                (squares / freedom).sqrt()
            } else {
                0.0
            }
        };
        let (weighed, measured) = (starts.len().max(1) as f64, f64::from(rounds.max(1)));
        Self {
            loaded: pooled(&|subject| *subject != Subject::Idle),
            idle: pooled(&|subject| *subject == Subject::Idle),
            means: (1.0 / weighed + 1.0 / measured).sqrt(),
        }
    }

    /// An interval of windows, widened by what starts differ and by what the price of a change is not known to.
    pub(super) fn widen(
        &self,
        subject: &Subject,
        point: f64,
        change: f64,
        drawn: (f64, f64),
    ) -> (f64, f64) {
        let share = if *subject == Subject::Idle {
            self.idle
        } else {
            self.loaded
        };
        let more = (NINETY * share * self.means * point).hypot(CHANGE_SHARE * change);
        let side = |at: f64| (at - point).hypot(more);
        (point - side(drawn.0), point + side(drawn.1))
    }
}

/// 5th to 95th percentile. `None` without draws, or when more than a tenth of them have no value.
pub(super) fn interval(mut values: Vec<f64>) -> Option<(f64, f64)> {
    let drawn = values.len();
    values.retain(|value| value.is_finite());
    if values.is_empty() || values.len() * 10 < drawn * 9 {
        return None;
    }
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values[((values.len() - 1) as f64 * share).round() as usize];
    Some((at(0.05), at(0.95)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_that_differ_and_a_change_widen_an_interval() {
        let start = |ns| vec![(Subject::Mix, ns), (Subject::Idle, 5.0)];
        let spread = Spread::of(&[start(90.0), start(110.0)], 2);
        assert!((spread.loaded - 0.02_f64.sqrt()).abs() < 1e-12);
        assert_eq!((spread.idle, spread.means), (0.0, 1.0));
        let same = spread.widen(&Subject::Idle, 5.0, 0.0, (4.0, 6.0));
        assert_eq!(same, (4.0, 6.0));
        let (low, high) = spread.widen(&Subject::Idle, 100.0, 40.0, (100.0, 100.0));
        assert_eq!((low, high), (90.0, 110.0));
        let (low, _) = spread.widen(&Subject::Mix, 100.0, 0.0, (100.0, 100.0));
        assert!((100.0 - low - 1.645 * 2.0_f64.sqrt() * 10.0).abs() < 1e-9);
    }

    #[test]
    fn an_interval_leaves_a_twentieth_out_on_either_side() {
        let values: Vec<f64> = (0..=100).map(f64::from).collect();
        assert_eq!(interval(values), Some((5.0, 95.0)));
        assert_eq!(interval(Vec::new()), None);
        assert_eq!(interval(vec![1.0, f64::NAN]), None);
    }
}
