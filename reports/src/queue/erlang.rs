//! Erlang's formulas.

/// Probability that all of `servers` are busy when arrivals that find them so are lost (Erlang B), for an
/// offered load of `offered` = λ·S erlangs. By the recursion `b ← a·b / (k + a·b)`, which is stable.
///
/// `None` when there is no server or the load is negative or not finite.
#[must_use]
pub fn erlang_b(servers: u32, offered: f64) -> Option<f64> {
    if servers == 0 || !offered.is_finite() || offered < 0.0 {
        return None;
    }
    let mut b = 1.0;
    for k in 1..=servers {
        b = offered * b / (f64::from(k) + offered * b);
    }
    Some(b)
}

/// Probability that an arrival has to wait in M/M/c (Erlang C): `b / (1 − ρ(1 − b))`, ρ = offered ÷ servers.
///
/// `None` at saturation (ρ ≥ 1), where everybody waits without end, and where [`erlang_b`] has no answer.
#[must_use]
pub fn erlang_c(servers: u32, offered: f64) -> Option<f64> {
    let b = erlang_b(servers, offered)?;
    let rho = offered / f64::from(servers);
    if rho >= 1.0 {
        return None;
    }
    super::finite(b / (1.0 - rho * (1.0 - b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: Option<f64>, want: f64, digits: f64) {
        let got = got.unwrap();
        assert!((got - want).abs() <= digits, "{got} instead of {want}");
    }

    /// LibReDE `ErlangCEquationTest`; docs/decisions.md.
    #[test]
    fn erlang_c_of_librede() {
        for (rho, want) in [(0.25, 0.1), (0.5, 1.0 / 3.0), (0.75, 0.642_857)] {
            close(erlang_c(2, 2.0 * rho), want, 5e-7);
        }
        close(erlang_c(15, 15.0 * 0.25), 9.779_209e-6, 5e-13);
        close(erlang_c(15, 15.0 * 0.5), 0.011_292_44, 5e-9);
        close(erlang_c(15, 15.0 * 0.75), 0.217_989_04, 5e-9);
    }

    #[test]
    fn one_server_waits_with_probability_rho() {
        close(erlang_c(1, 0.3), 0.3, 1e-12);
    }

    #[test]
    fn no_answer_where_there_is_none() {
        assert_eq!(erlang_c(2, 2.0), None, "saturated");
        assert_eq!(erlang_c(2, 9.0), None, "beyond saturation");
        assert_eq!(erlang_c(0, 0.0), None, "no server");
        assert_eq!(erlang_c(2, f64::NAN), None);
        assert_eq!(erlang_b(2, f64::INFINITY), None);
        assert_eq!(erlang_c(4, 0.0), Some(0.0), "nobody comes, nobody waits");
    }
}
