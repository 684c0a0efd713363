//! U = β₀ + Σ X·D by least squares with nothing below 0, and only where the operations can be told apart.

use std::collections::BTreeMap;

/// Fewest windows, and fewest for each unknown.
const WINDOWS_MIN: usize = 30;
const WINDOWS_PER_UNKNOWN_MIN: usize = 6;
/// Most operations.
const OPERATIONS_MAX: usize = 24;
/// Largest condition number of the scaled normal matrix: beyond it the operations vary together.
const CONDITION_MAX: f64 = 100.0;
/// Samples of the bootstrap; its blocks are this many windows long, so that what hangs together stays together.
const RESAMPLES: usize = 200;
const BLOCK: usize = 5;
/// Rounds of the coordinate descent.
const ROUNDS: usize = 2_000;

/// CPU of each window (ns), and how many of each operation ended in it.
pub(super) struct Samples {
    pub(super) names: Vec<String>,
    pub(super) rows: Vec<(f64, Vec<f64>)>,
}

/// What one request costs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Each {
    pub(super) ns: f64,
    pub(super) low_ns: f64,
    pub(super) high_ns: f64,
}

/// A fit that holds.
#[derive(Debug)]
pub(super) struct Fit {
    pub(super) operations: BTreeMap<String, Each>,
    /// In each window, whatever is asked.
    pub(super) background_ns: f64,
}

/// Fits, or says why not.
pub(super) fn fit(samples: &Samples) -> Result<Fit, &'static str> {
    let unknowns = samples.names.len() + 1;
    let windows = samples.rows.len();
    if samples.names.len() < 2 {
        return Err("no regression: fewer than two operations, their share is all there is");
    }
    if samples.names.len() > OPERATIONS_MAX {
        return Err("no regression: too many operations to tell apart; shared out by their times");
    }
    if windows < WINDOWS_MIN.max(unknowns * WINDOWS_PER_UNKNOWN_MIN) {
        return Err("no regression: too few windows with a reading each; shared out by times");
    }
    let design = Design::new(samples);
    let all: Vec<usize> = (0..windows).collect();
    let normal = design.normal(&all);
    if condition(&normal.matrix) > CONDITION_MAX {
        return Err("no regression: the operations vary together; shared out by their times");
    }
    let point = design.unscaled(&normal.solve());
    let mut random = 0x5745_4947_4842_5249_u64;
    let mut found: Vec<Vec<f64>> = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        let mut picked = Vec::with_capacity(windows);
        while picked.len() < windows {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let from = (random >> 33) as usize % windows;
            picked.extend((from..from + BLOCK).map(|at| at % windows));
        }
        found.push(design.unscaled(&design.normal(&picked).solve()));
    }
    let each = |at: usize| {
        let mut values: Vec<f64> = found
            .iter()
            .filter_map(|one| one.get(at).copied())
            .collect();
        values.sort_by(f64::total_cmp);
        let quantile = |share: f64| {
            let place = (share * (values.len() - 1) as f64).round() as usize;
            values.get(place).copied().unwrap_or(f64::NAN)
        };
        Each {
            ns: point[at],
            low_ns: quantile(0.025).min(point[at]),
            high_ns: quantile(0.975).max(point[at]),
        }
    };
    Ok(Fit {
        operations: samples
            .names
            .iter()
            .enumerate()
            .map(|(at, name)| (name.clone(), each(at + 1)))
            .collect(),
        background_ns: point[0],
    })
}

/// The samples with columns of equal length.
struct Design<'a> {
    samples: &'a Samples,
    scale: Vec<f64>,
}

struct Normal {
    matrix: Vec<Vec<f64>>,
    right: Vec<f64>,
}

impl<'a> Design<'a> {
    fn new(samples: &'a Samples) -> Self {
        let mut scale = vec![0.0; samples.names.len() + 1];
        for (_, ended) in &samples.rows {
            for (sum, x) in scale.iter_mut().zip(with_one(ended)) {
                *sum += x * x;
            }
        }
        for sum in &mut scale {
            *sum = if *sum > 0.0 { sum.sqrt() } else { 1.0 };
        }
        Self { samples, scale }
    }

    fn normal(&self, picked: &[usize]) -> Normal {
        let n = self.scale.len();
        let mut normal = Normal {
            matrix: vec![vec![0.0; n]; n],
            right: vec![0.0; n],
        };
        for (cpu, ended) in picked.iter().filter_map(|at| self.samples.rows.get(*at)) {
            let row: Vec<f64> = with_one(ended)
                .zip(&self.scale)
                .map(|(x, scale)| x / scale)
                .collect();
            for (i, x) in row.iter().enumerate() {
                normal.right[i] += x * cpu;
                for (j, y) in row.iter().enumerate() {
                    normal.matrix[i][j] += x * y;
                }
            }
        }
        normal
    }

    fn unscaled(&self, solution: &[f64]) -> Vec<f64> {
        solution
            .iter()
            .zip(&self.scale)
            .map(|(x, scale)| x / scale)
            .collect()
    }
}

fn with_one(ended: &[f64]) -> impl Iterator<Item = f64> + '_ {
    std::iter::once(1.0).chain(ended.iter().copied())
}

impl Normal {
    /// Coordinate descent: each unknown in turn takes its best value that is not below 0.
    fn solve(&self) -> Vec<f64> {
        let n = self.right.len();
        let mut x = vec![0.0; n];
        for _ in 0..ROUNDS {
            let mut moved: f64 = 0.0;
            for i in 0..n {
                let diagonal = self.matrix[i][i];
                if diagonal <= 0.0 {
                    continue;
                }
                let rest: f64 = (0..n)
                    .filter(|j| *j != i)
                    .map(|j| self.matrix[i][j] * x[j])
                    .sum();
                let best = ((self.right[i] - rest) / diagonal).max(0.0);
                moved = moved.max((best - x[i]).abs());
                x[i] = best;
            }
            if moved <= 1e-9 * x.iter().fold(1.0, |most: f64, v| most.max(*v)) {
                break;
            }
        }
        x
    }
}

/// Largest over smallest eigenvalue of a symmetric matrix, by Jacobi's rotations.
fn condition(matrix: &[Vec<f64>]) -> f64 {
    let mut a = matrix.to_vec();
    let n = a.len();
    for _ in 0..60 {
        let mut off = 0.0;
        for p in 0..n {
            for q in p + 1..n {
                off += a[p][q] * a[p][q];
                if a[p][q].abs() < 1e-14 {
                    continue;
                }
                let theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
                let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                let c = 1.0 / (t * t + 1.0).sqrt();
                let s = t * c;
                for row in &mut a {
                    let (x, y) = (row[p], row[q]);
                    row[p] = c * x - s * y;
                    row[q] = s * x + c * y;
                }
                let (of_p, of_q) = (a[p].clone(), a[q].clone());
                let rotated = |x_by: f64, y_by: f64| {
                    let pairs = of_p.iter().zip(&of_q);
                    pairs
                        .map(|(x, y)| x_by * x + y_by * y)
                        .collect::<Vec<f64>>()
                };
                a[p] = rotated(c, -s);
                a[q] = rotated(s, c);
            }
        }
        if off < 1e-18 {
            break;
        }
    }
    let values = (0..n).map(|i| a[i][i].abs());
    let (low, high) = values.fold((f64::INFINITY, 0.0f64), |(low, high), v| {
        (low.min(v), high.max(v))
    });
    if low <= 0.0 {
        f64::INFINITY
    } else {
        high / low
    }
}
