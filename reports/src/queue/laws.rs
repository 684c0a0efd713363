//! Operational laws: exact for any measured range, whatever the distributions (Denning & Buzen 1978).

/// Utilisation law: busy servers = throughput · demand. With CPU seconds this is cores.
#[must_use]
pub fn utilisation(throughput: f64, demand: f64) -> Option<f64> {
    super::finite(throughput * demand)
}

/// Mean number at an open single server without assuming more than its utilisation: ρ ÷ (1 − ρ).
/// `None` at saturation.
#[must_use]
pub fn mean_in_system(utilisation: f64) -> Option<f64> {
    if utilisation >= 1.0 {
        return None;
    }
    super::finite(utilisation / (1.0 - utilisation))
}

/// How wrong a unit cost may be because requests straddle the ends of the range: in flight ÷ ended.
/// `None` when nothing ended.
#[must_use]
pub fn window_edge_error(in_flight: f64, ended: f64) -> Option<f64> {
    if ended <= 0.0 {
        return None;
    }
    super::finite(in_flight / ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lazowska et al., *Quantitative System Performance*, p. 113; docs/decisions.md: V = 121,
    /// S = .005, λ = .3 gives U = .182, X = 36.3, Q = .222.
    #[test]
    fn open_network_of_lazowska() {
        let throughput: f64 = 0.3 * 121.0;
        assert!((throughput - 36.3).abs() < 1e-9);
        let u = utilisation(throughput, 0.005).unwrap();
        assert!((u - 0.182).abs() < 5.01e-4, "{u}");
        let q = mean_in_system(u).unwrap();
        assert!((q - 0.222).abs() < 5e-4, "{q}");
    }

    #[test]
    fn nothing_ended_has_no_unit_cost() {
        assert_eq!(window_edge_error(3.0, 0.0), None);
        assert_eq!(window_edge_error(3.0, 300.0), Some(0.01));
        assert_eq!(mean_in_system(1.0), None);
    }
}
