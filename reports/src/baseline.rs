//! What other tools would advise from the same usage, reimplemented to be compared with.

/// What the vertical pod autoscaler of Kubernetes asks for from a usage history: percentiles with a margin, and
/// bounds that widen where the history is short.
///
/// `kubernetes/autoscaler`, `vertical-pod-autoscaler/pkg/recommender/logic/recommender.go`: target = P90 · 1.15, lower =
/// P50 · 1.15 · (1 + 0.001 ÷ days)⁻², upper = P95 · 1.15 · (1 + 1 ÷ days). It knows no latency, no load and no topology.
/// Its floors (25 millicores, 250 MB for each pod) are flags of its own and left out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Vpa {
    /// Below it a pod is evicted and given more.
    pub lower: f64,
    /// What is asked for.
    pub target: f64,
    /// Above it a pod is evicted and given less.
    pub upper: f64,
}

/// Safety margin on each percentile.
const MARGIN: f64 = 1.15;

/// Bounds from the 50th, 90th and 95th percentile of the usage and the length of the history in days. `None` without a
/// history, or when a figure is negative or not finite.
#[must_use]
pub fn vpa(p50: f64, p90: f64, p95: f64, days: f64) -> Option<Vpa> {
    let sound = |x: f64| x.is_finite() && x >= 0.0;
    if !(sound(p50) && sound(p90) && sound(p95) && days.is_finite() && days > 0.0) {
        return None;
    }
    Some(Vpa {
        lower: p50 * MARGIN * lower_factor(days),
        target: p90 * MARGIN,
        upper: p95 * MARGIN * upper_factor(days),
    })
}

/// `(1 + 1 ÷ days)`.
fn upper_factor(days: f64) -> f64 {
    1.0 + 1.0 / days
}

/// `(1 + 0.001 ÷ days)⁻²`.
fn lower_factor(days: f64) -> f64 {
    libm::pow(1.0 + 0.001 / days, -2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: f64 = 1.0 / 1_440.0;

    /// The comments in recommender.go; docs/decisions.md. They print 12 h → ×3, 24 h → ×2, 7 d → ×1.14 for the upper
    /// bound, and 5 min → ×0.6, 30 min → ×0.9, 60 min → ×0.95 for the lower one.
    #[test]
    fn bounds_narrow_as_the_history_grows() {
        for (days, want, digits) in [(0.5, 3.0, 1e-12), (1.0, 2.0, 1e-12), (7.0, 1.14, 5e-3)] {
            assert!((upper_factor(days) - want).abs() < digits, "{days}");
        }
        for (minutes, want, digits) in [(5.0, 0.6, 0.05), (30.0, 0.9, 0.05), (60.0, 0.95, 5e-3)] {
            let got = lower_factor(minutes * MINUTE);
            assert!((got - want).abs() < digits, "{minutes}: {got}");
        }
    }

    #[test]
    fn a_week_of_steady_usage() {
        let vpa = vpa(0.2, 0.5, 0.6, 7.0).unwrap();
        assert!((vpa.target - 0.575).abs() < 1e-12);
        assert!((vpa.upper - 0.6 * 1.15 * 8.0 / 7.0).abs() < 1e-12);
        assert!(vpa.lower < vpa.target && vpa.target < vpa.upper);
    }

    #[test]
    fn no_history_has_no_bounds() {
        assert_eq!(vpa(0.2, 0.5, 0.6, 0.0), None);
        assert_eq!(vpa(f64::NAN, 0.5, 0.6, 1.0), None);
        assert_eq!(vpa(0.2, -0.5, 0.6, 1.0), None);
    }
}
