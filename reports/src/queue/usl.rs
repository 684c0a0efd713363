//! The universal scalability law: how throughput grows with replicas or cores, and where it stops growing.

use super::finite;

/// Fewest distinct sizes that are fitted.
pub const USL_POINTS_MIN: usize = 6;
/// How far towards the peak the measurements must reach for the peak to be believed.
pub const USL_REACH_MIN: f64 = 0.7;
/// Steps of the fit at most; it needs a handful.
const STEPS_MAX: u32 = 200;
/// Two-sided 90 % quantile of the normal distribution.
const Z: f64 = 1.644_853_626_951_472_2;

/// `X(N) = γN / (1 + α(N − 1) + βN(N − 1))` (Gunther 1993).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usl {
    /// Throughput of one.
    pub gamma: f64,
    /// Share of the work that is serial.
    pub alpha: f64,
    /// Cost of keeping each pair coherent.
    pub beta: f64,
}

/// A fit with what it is worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UslFit {
    /// The law.
    pub law: Usl,
    /// 90 % interval of α.
    pub alpha_interval: (f64, f64),
    /// 90 % interval of β; nothing but 0 where β was held there.
    pub beta_interval: (f64, f64),
    /// Largest size measured.
    pub measured_max: f64,
}

/// Why measurements are not fitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UslRefusal {
    /// Fewer than [`USL_POINTS_MIN`] distinct sizes.
    TooFewPoints,
    /// A size below 1, or a throughput that is not positive, or a figure that is not finite.
    NotPositive,
    /// The search did not settle.
    NoFit,
}

impl Usl {
    /// Throughput at `size` replicas or cores.
    #[must_use]
    pub fn throughput(self, size: f64) -> Option<f64> {
        finite(self.gamma * size / self.divisor(size))
    }

    /// Size at which throughput is highest: `√((1 − α) / β)`. `None` when it never falls.
    #[must_use]
    pub fn peak(self) -> Option<f64> {
        if self.beta <= 0.0 {
            return None;
        }
        finite(libm::sqrt(((1.0 - self.alpha) / self.beta).max(0.0)))
    }

    /// Throughput that no size exceeds when β is 0: `γ / α`. `None` when it grows without end, or falls again.
    #[must_use]
    pub fn ceiling(self) -> Option<f64> {
        if self.beta > 0.0 || self.alpha <= 0.0 {
            return None;
        }
        finite(self.gamma / self.alpha)
    }

    fn divisor(self, size: f64) -> f64 {
        1.0 + self.alpha * (size - 1.0) + self.beta * size * (size - 1.0)
    }

    /// Throughput, and its derivatives by γ, α and β.
    fn gradient(self, size: f64) -> (f64, [f64; 3]) {
        let divisor = self.divisor(size);
        let at = self.gamma * size / divisor;
        let by_divisor = -at / divisor;
        (
            at,
            [
                size / divisor,
                by_divisor * (size - 1.0),
                by_divisor * size * (size - 1.0),
            ],
        )
    }

    fn squares(self, points: &[(f64, f64)]) -> f64 {
        points
            .iter()
            .map(|(size, throughput)| {
                let off = self.gamma * size / self.divisor(*size) - throughput;
                off * off
            })
            .sum()
    }
}

impl UslFit {
    /// Whether the measurements tell β from 0.
    #[must_use]
    pub fn coherency_is_identifiable(self) -> bool {
        self.beta_interval.0 > 0.0
    }

    /// Whether the measurements tell α from 0.
    #[must_use]
    pub fn serial_share_is_identifiable(self) -> bool {
        self.alpha_interval.0 > 0.0
    }

    /// The peak, where the measurements can tell it: β is identifiable, and they reach [`USL_REACH_MIN`] of it.
    #[must_use]
    pub fn peak(self) -> Option<f64> {
        let peak = self.law.peak()?;
        (self.coherency_is_identifiable() && self.measured_max >= USL_REACH_MIN * peak)
            .then_some(peak)
    }
}

/// The law without its second term, β = 0 (Amdahl's), fitted anew: what is left to say where β is not identifiable.
///
/// # Errors
/// [`UslRefusal`].
pub fn fit_serial_share(points: &[(f64, f64)]) -> Result<UslFit, UslRefusal> {
    fit(points, false)
}

/// Fits the law to (size, throughput) by least squares with α, β ≥ 0 (Levenberg–Marquardt; the start is the line
/// that `N/X` is in `N − 1` and `N(N − 1)`). Intervals are those of the linearised fit, with Student's quantile for
/// the points left over (Abramowitz & Stegun 26.7.5).
///
/// # Errors
/// [`UslRefusal`].
pub fn fit_usl(points: &[(f64, f64)]) -> Result<UslFit, UslRefusal> {
    fit(points, true)
}

/// With β free, or held at 0.
fn fit(points: &[(f64, f64)], coherent: bool) -> Result<UslFit, UslRefusal> {
    for (size, throughput) in points {
        if !(size.is_finite() && throughput.is_finite() && *size >= 1.0 && *throughput > 0.0) {
            return Err(UslRefusal::NotPositive);
        }
    }
    let mut sizes: Vec<f64> = points.iter().map(|(size, _)| *size).collect();
    sizes.sort_by(f64::total_cmp);
    sizes.dedup();
    if sizes.len() < USL_POINTS_MIN {
        return Err(UslRefusal::TooFewPoints);
    }
    let measured_max = sizes.last().copied().unwrap_or(1.0);
    let from = start(points).ok_or(UslRefusal::NoFit)?;
    let law = settle(from, points, coherent).ok_or(UslRefusal::NoFit)?;
    let spare = points.len() as f64 - if coherent { 3.0 } else { 2.0 };
    let variance = law.squares(points) / spare;
    let (mut normal, mut right) = normal_equations(law, points);
    if !coherent {
        hold(&mut normal, &mut right, 2);
    }
    let inverse = inverse(normal).ok_or(UslRefusal::NoFit)?;
    let quantile = student(spare);
    let interval = |value: f64, n: usize| {
        let half = quantile * libm::sqrt((variance * inverse[n][n]).max(0.0));
        (value - half, value + half)
    };
    Ok(UslFit {
        law,
        alpha_interval: interval(law.alpha, 1),
        beta_interval: if coherent {
            interval(law.beta, 2)
        } else {
            (0.0, 0.0)
        },
        measured_max,
    })
}

/// Where the search begins.
fn start(points: &[(f64, f64)]) -> Option<Usl> {
    let mut normal = [[0.0; 3]; 3];
    let mut right = [0.0; 3];
    for (size, throughput) in points {
        let terms = [1.0, size - 1.0, size * (size - 1.0)];
        for (row, term) in terms.iter().enumerate() {
            for (column, other) in terms.iter().enumerate() {
                normal[row][column] += term * other;
            }
            right[row] += term * size / throughput;
        }
    }
    let [one, serial, coherent] = solve(normal, right)?;
    let mean = points.iter().map(|(n, x)| x / n).sum::<f64>() / points.len() as f64;
    if one <= 0.0 {
        return Some(Usl {
            gamma: mean,
            alpha: 0.0,
            beta: 0.0,
        });
    }
    Some(Usl {
        gamma: 1.0 / one,
        alpha: (serial / one).max(0.0),
        beta: (coherent / one).max(0.0),
    })
}

/// Takes one unknown out of the equations: it stays as it is.
fn hold(normal: &mut [[f64; 3]; 3], right: &mut [f64; 3], n: usize) {
    normal[n] = [0.0; 3];
    for row in normal.iter_mut() {
        row[n] = 0.0;
    }
    normal[n][n] = 1.0;
    right[n] = 0.0;
}

fn settle(mut law: Usl, points: &[(f64, f64)], coherent: bool) -> Option<Usl> {
    if !coherent {
        law.beta = 0.0;
    }
    let mut damping = 1e-3;
    let mut squares = law.squares(points);
    for _ in 0..STEPS_MAX {
        let (mut normal, mut right) = normal_equations(law, points);
        // What stands at its bound and would leave it stays there.
        for (n, value, free) in [(1, law.alpha, true), (2, law.beta, coherent)] {
            if !free || value <= 0.0 && right[n] <= 0.0 {
                hold(&mut normal, &mut right, n);
            }
        }
        for (n, row) in normal.iter_mut().enumerate() {
            row[n] *= 1.0 + damping;
        }
        let [gamma, alpha, beta] = solve(normal, right)?;
        let next = Usl {
            gamma: (law.gamma + gamma).max(f64::MIN_POSITIVE),
            alpha: (law.alpha + alpha).max(0.0),
            beta: (law.beta + beta).max(0.0),
        };
        let next_squares = next.squares(points);
        if next_squares <= squares {
            let settled = squares - next_squares <= 1e-14 * squares;
            (law, squares) = (next, next_squares);
            damping = (damping / 10.0).max(1e-12);
            if settled {
                return Some(law);
            }
        } else {
            damping *= 10.0;
            if damping > 1e12 {
                // No step makes it better: it stands at the bound, or at the optimum to the last digit.
                return Some(law);
            }
        }
    }
    None
}

/// `JᵀJ` and `Jᵀr` of the residuals.
fn normal_equations(law: Usl, points: &[(f64, f64)]) -> ([[f64; 3]; 3], [f64; 3]) {
    let mut normal = [[0.0; 3]; 3];
    let mut right = [0.0; 3];
    for (size, throughput) in points {
        let (at, by) = law.gradient(*size);
        for row in 0..3 {
            for column in 0..3 {
                normal[row][column] += by[row] * by[column];
            }
            right[row] += by[row] * (throughput - at);
        }
    }
    (normal, right)
}

/// Solves three equations by elimination with pivots. `None` when they do not tell the unknowns apart.
fn solve(mut a: [[f64; 3]; 3], mut b: [f64; 3]) -> Option<[f64; 3]> {
    for n in 0..3 {
        let pivot = (n..3).max_by(|&i, &j| a[i][n].abs().total_cmp(&a[j][n].abs()))?;
        if a[pivot][n] == 0.0 || !a[pivot][n].is_finite() {
            return None;
        }
        a.swap(n, pivot);
        b.swap(n, pivot);
        for row in n + 1..3 {
            let factor = a[row][n] / a[n][n];
            let above = a[n];
            for (entry, above) in a[row].iter_mut().zip(above).skip(n) {
                *entry -= factor * above;
            }
            b[row] -= factor * b[n];
        }
    }
    let mut x = [0.0; 3];
    for n in (0..3).rev() {
        let known: f64 = (n + 1..3).map(|column| a[n][column] * x[column]).sum();
        x[n] = (b[n] - known) / a[n][n];
    }
    x.iter().all(|x| x.is_finite()).then_some(x)
}

fn inverse(a: [[f64; 3]; 3]) -> Option<[[f64; 3]; 3]> {
    let columns = [
        solve(a, [1.0, 0.0, 0.0])?,
        solve(a, [0.0, 1.0, 0.0])?,
        solve(a, [0.0, 0.0, 1.0])?,
    ];
    Some(std::array::from_fn(|row| {
        std::array::from_fn(|column| columns[column][row])
    }))
}

/// Two-sided 90 % quantile of Student's distribution.
fn student(freedom: f64) -> f64 {
    let (z3, z5) = (Z * Z * Z, Z * Z * Z * Z * Z);
    let z7 = z5 * Z * Z;
    Z + (z3 + Z) / (4.0 * freedom)
        + (5.0 * z5 + 16.0 * z3 + 3.0 * Z) / (96.0 * freedom * freedom)
        + (3.0 * z7 + 19.0 * z5 + 17.0 * z3 - 15.0 * Z) / (384.0 * freedom * freedom * freedom)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The Cisco benchmark of Schwartz, *Practical Scalability*, at 1 to 32; docs/decisions.md.
    const CISCO: [f64; 32] = [
        955.16, 1878.91, 2688.01, 3548.68, 4315.54, 5130.43, 5931.37, 6531.08, 7219.8, 7867.61,
        8278.71, 8646.7, 9047.84, 9426.55, 9645.37, 9897.24, 10097.6, 10240.5, 10532.39, 10798.52,
        11151.43, 11518.63, 11806.0, 12089.37, 12075.41, 12177.29, 12211.41, 12158.93, 12155.27,
        12118.04, 12140.4, 12074.39,
    ];

    fn points(throughputs: &[f64]) -> Vec<(f64, f64)> {
        (1u32..)
            .map(f64::from)
            .zip(throughputs.iter().copied())
            .collect()
    }

    fn close(got: f64, want: f64, relative: f64) {
        assert!(
            (got - want).abs() <= relative * want,
            "{got} instead of {want}"
        );
    }

    #[test]
    fn cisco() {
        let fit = fit_usl(&points(&CISCO)).unwrap();
        // The printed figures stopped a hair before the optimum: they agree to six digits, and the squares here are
        // below theirs.
        close(fit.law.alpha, 0.026_715_91, 2e-6);
        close(fit.law.beta, 7.690_945e-4, 2e-6);
        close(fit.law.gamma, 995.6486, 2e-7);
        let printed = Usl {
            gamma: 995.6486,
            alpha: 0.026_715_91,
            beta: 7.690_945e-4,
        };
        let (ours, theirs) = (
            fit.law.squares(&points(&CISCO)),
            printed.squares(&points(&CISCO)),
        );
        assert!(
            ours <= theirs && theirs / ours - 1.0 < 1e-9,
            "{ours} {theirs}"
        );
        let peak = fit.peak().unwrap();
        assert_eq!(peak.floor(), 35.0);
        assert!((fit.law.throughput(35.0).unwrap() - 12_341.7).abs() < 0.05);
        assert!((fit.law.throughput(20.0).unwrap() - 11_063.63).abs() < 0.005);
        close(35.0 / fit.law.throughput(35.0).unwrap(), 0.002_835_91, 5e-6);
        assert!(fit.coherency_is_identifiable() && fit.serial_share_is_identifiable());
    }

    #[test]
    fn what_never_falls_has_no_peak() {
        let law = Usl {
            gamma: 100.0,
            alpha: 0.1,
            beta: 0.0,
        };
        let noise = [1.0, 0.99, 1.01, 1.005, 0.995, 1.0, 0.99, 1.01];
        let made: Vec<f64> = points(&noise)
            .iter()
            .map(|(n, noise)| law.throughput(*n).unwrap() * noise)
            .collect();
        let fit = fit_usl(&points(&made)).unwrap();
        assert!(!fit.coherency_is_identifiable(), "{fit:?}");
        assert_eq!(fit.peak(), None);
        close(law.ceiling().unwrap(), 1000.0, 1e-12);
        // Without the term that nothing tells, the other one is told better.
        let serial = fit_serial_share(&points(&made)).unwrap();
        assert_eq!((serial.law.beta, serial.beta_interval), (0.0, (0.0, 0.0)));
        assert_eq!(serial.peak(), None);
        let width = |fit: &UslFit| fit.alpha_interval.1 - fit.alpha_interval.0;
        assert!(width(&serial) < width(&fit), "{serial:?} {fit:?}");
        assert!(serial.alpha_interval.0 < 0.1 && 0.1 < serial.alpha_interval.1);
        close(serial.law.ceiling().unwrap(), 1000.0, 0.2);
        // Too far from the peak to tell it.
        let early = fit_usl(&points(&CISCO[..7])).unwrap();
        assert_eq!(early.peak(), None, "{early:?}");
    }

    #[test]
    fn linear_growth_stands_at_the_bounds() {
        let made: Vec<f64> = (1..=8).map(|n| 50.0 * f64::from(n)).collect();
        let fit = fit_usl(&points(&made)).unwrap();
        close(fit.law.gamma, 50.0, 1e-9);
        assert!(fit.law.alpha < 1e-9 && fit.law.beta < 1e-9, "{fit:?}");
        assert!(!fit.serial_share_is_identifiable());
    }

    #[test]
    fn refusals() {
        assert_eq!(fit_usl(&points(&CISCO[..5])), Err(UslRefusal::TooFewPoints));
        let same = vec![(2.0, 10.0); 9];
        assert_eq!(fit_usl(&same), Err(UslRefusal::TooFewPoints));
        for bad in [0.0, f64::NAN, f64::INFINITY, -1.0] {
            let mut with = points(&CISCO);
            with[3].1 = bad;
            assert_eq!(fit_usl(&with), Err(UslRefusal::NotPositive), "{bad}");
        }
    }

    #[test]
    fn students_quantile() {
        for (freedom, want) in [(3.0, 2.353), (5.0, 2.015), (10.0, 1.812), (29.0, 1.699)] {
            close(student(freedom), want, 5e-3);
        }
    }
}
