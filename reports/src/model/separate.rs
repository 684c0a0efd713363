//! Demand of operations that nobody weighed, from the CPU of their process and how often each ran.

use std::collections::BTreeMap;

use weighbridge_wire::column;

use super::load::pearson;
use super::{CPU_COLUMNS, Estimate, Model, OperationId, ServiceFacts};

/// Most operations that are told apart.
pub(crate) const OPERATIONS_MAX: usize = 12;
/// Condition number of the scaled loads (a column of ones with them) above which they are collinear (Belsley, Kuh &
/// Welsch 1980: 30).
pub(crate) const CONDITION_MAX: f64 = 30.0;

/// What regression says about a service whose operations have no CPU of their own.
#[derive(Clone, Debug)]
pub(crate) enum Separation {
    /// CPU of one request of each, ns.
    Told(BTreeMap<OperationId, Estimate>),
    /// Their loads rise and fall together, so their demands cannot be told apart. The pair that does so most, and
    /// the condition number.
    Collinear {
        first: OperationId,
        second: Option<OperationId>,
        condition: f64,
    },
    /// Why there is nothing to tell.
    NotKnown(&'static str),
}

impl Model {
    /// `U_t = β₀ + Σ X_ct · D_c` over the slots, non-negative least squares (Lawson & Hanson 1974); β₀ is what runs
    /// without requests. `None` where every operation has been weighed.
    pub(crate) fn separate(&self, service: &ServiceFacts) -> Option<Separation> {
        let unweighed: Vec<_> = service
            .operations
            .iter()
            .filter(|(_, facts)| facts.all.total(column::ENDED).is_some_and(|n| n > 0))
            .collect();
        let weighed = |facts: &super::OperationFacts| facts.all.sum_of(&CPU_COLUMNS).is_some();
        if unweighed.is_empty() || unweighed.iter().any(|(_, facts)| weighed(facts)) {
            return None;
        }
        if unweighed.len() > OPERATIONS_MAX {
            return Some(Separation::NotKnown(
                "it has more operations than can be told apart",
            ));
        }
        let cpu = self.by_slot(service.process.get(column::CPU_PROCESS_NS)?);
        let loads: Vec<Vec<f64>> = unweighed
            .iter()
            .filter_map(|(_, facts)| facts.all.get(column::ENDED))
            .map(|tally| self.by_slot(tally))
            .collect();
        if cpu.len() < 2 * (loads.len() + 1) {
            return Some(Separation::NotKnown(
                "too few windows for so many operations",
            ));
        }
        let ones = vec![1.0; cpu.len()];
        let condition = condition(std::iter::once(&ones).chain(&loads));
        if condition.is_none_or(|condition| condition > CONDITION_MAX) {
            let (first, second) = closest(&loads);
            return Some(Separation::Collinear {
                first: unweighed[first].0.clone(),
                second: second.map(|at| unweighed[at].0.clone()),
                condition: condition.unwrap_or(f64::INFINITY),
            });
        }
        let columns: Vec<&Vec<f64>> = std::iter::once(&ones).chain(&loads).collect();
        let told = (1..columns.len())
            .map(|at| {
                let demand = self
                    .sampler
                    .over_slots(|weight| Some(least_squares(&columns, &cpu, weight)?[at]))?;
                Some((unweighed[at - 1].0.clone(), demand))
            })
            .collect::<Option<BTreeMap<_, _>>>();
        Some(told.map_or(
            Separation::NotKnown("the regression has no answer"),
            Separation::Told,
        ))
    }
}

/// The two loads with the largest correlation; one alone is collinear with the time itself.
fn closest(loads: &[Vec<f64>]) -> (usize, Option<usize>) {
    let mut best = (0, None, -1.0);
    for (i, a) in loads.iter().enumerate() {
        for (j, b) in loads.iter().enumerate().skip(i + 1) {
            let together = pearson(a, b).map_or(1.0, f64::abs);
            if together > best.2 {
                best = (i, Some(j), together);
            }
        }
    }
    (best.0, best.1)
}

/// Largest ÷ smallest singular value of the columns, each scaled to length 1. `None` when one of them is nothing.
pub(super) fn condition<'a>(columns: impl Iterator<Item = &'a Vec<f64>>) -> Option<f64> {
    let columns: Vec<&Vec<f64>> = columns.collect();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let lengths: Vec<f64> = columns.iter().map(|c| libm::sqrt(dot(c, c))).collect();
    if lengths.iter().any(|length| *length <= 0.0) {
        return None;
    }
    let mut gram: Vec<Vec<f64>> = (0..columns.len())
        .map(|i| {
            (0..columns.len())
                .map(|j| dot(columns[i], columns[j]) / (lengths[i] * lengths[j]))
                .collect()
        })
        .collect();
    let values = eigenvalues(&mut gram);
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(0.0, f64::max);
    (least > 1e-14 * most).then(|| libm::sqrt(most / least))
}

/// Eigenvalues of a symmetric matrix by Jacobi's rotations; it is small.
fn eigenvalues(m: &mut [Vec<f64>]) -> Vec<f64> {
    let n = m.len();
    for _ in 0..60 {
        let mut off = 0.0;
        for p in 0..n {
            for q in p + 1..n {
                let pq = m[p][q];
                off += pq * pq;
                if pq.abs() < 1e-300 {
                    continue;
                }
                let theta = (m[q][q] - m[p][p]) / (2.0 * pq);
                let t = theta.signum() / (theta.abs() + libm::sqrt(theta * theta + 1.0));
                let t = if theta == 0.0 { 1.0 } else { t };
                let c = 1.0 / libm::sqrt(t * t + 1.0);
                let s = t * c;
                for row in m.iter_mut() {
                    let (a, b) = (row[p], row[q]);
                    row[p] = c * a - s * b;
                    row[q] = s * a + c * b;
                }
                let (above, below) = m.split_at_mut(q);
                for (a, b) in above[p].iter_mut().zip(&mut below[0]) {
                    (*a, *b) = (c * *a - s * *b, s * *a + c * *b);
                }
            }
        }
        if off < 1e-24 {
            break;
        }
    }
    (0..n).map(|k| m[k][k]).collect()
}

/// Non-negative least squares over weighted slots, by an active set: what would be negative is held at 0, and the
/// rest solved again. `None` when the slots drawn do not tell the columns apart.
pub(super) fn least_squares(
    columns: &[&Vec<f64>],
    target: &[f64],
    weight: &[u32],
) -> Option<Vec<f64>> {
    let mut free: Vec<usize> = (0..columns.len()).collect();
    loop {
        let dot = |a: &[f64], b: &[f64]| {
            a.iter()
                .zip(b)
                .zip(weight)
                .map(|((a, b), w)| a * b * f64::from(*w))
                .sum::<f64>()
        };
        let mut rows: Vec<Vec<f64>> = free
            .iter()
            .map(|i| {
                let mut row: Vec<f64> =
                    free.iter().map(|j| dot(columns[*i], columns[*j])).collect();
                row.push(dot(columns[*i], target));
                row
            })
            .collect();
        let solved = eliminate(&mut rows)?;
        let least = solved
            .iter()
            .enumerate()
            .filter(|(_, x)| **x < 0.0)
            .min_by(|a, b| a.1.total_cmp(b.1))
            .map(|(at, _)| at);
        match least {
            Some(at) => {
                free.remove(at);
            }
            None => {
                let mut all = vec![0.0; columns.len()];
                for (at, x) in free.iter().zip(solved) {
                    all[*at] = x;
                }
                return Some(all);
            }
        }
    }
}

/// Gauss with pivots on `[A | b]`.
fn eliminate(rows: &mut [Vec<f64>]) -> Option<Vec<f64>> {
    let n = rows.len();
    for k in 0..n {
        let pivot = (k..n).max_by(|a, b| rows[*a][k].abs().total_cmp(&rows[*b][k].abs()))?;
        rows.swap(k, pivot);
        if rows[k][k].abs() < 1e-12 {
            return None;
        }
        for i in 0..n {
            if i != k {
                let factor = rows[i][k] / rows[k][k];
                let above = rows[k].clone();
                for (entry, above) in rows[i].iter_mut().zip(above).skip(k) {
                    *entry -= factor * above;
                }
            }
        }
    }
    let solved: Vec<f64> = (0..n).map(|k| rows[k][n] / rows[k][k]).collect();
    solved.iter().all(|x| x.is_finite()).then_some(solved)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{System, without_operation_cpu};

    fn two(a: fn(u64) -> (i64, i64), b: fn(u64) -> (i64, i64)) -> Option<Separation> {
        let mut s = System::new(60);
        s.root("old", "GET /a", 0, [3_000_000, 0, 0, 0, 0, 0])
            .course = Some(a);
        s.root("old", "GET /b", 0, [500_000, 0, 0, 0, 0, 0]).course = Some(b);
        let model = Model::new(&without_operation_cpu(s.range(), "old"));
        model.separate(&model.services()[0])
    }

    fn wave(w: u64, of: u64) -> i64 {
        20 + i64::try_from((w * 7 + w * w * 3) % of).unwrap()
    }

    #[test]
    fn loads_that_vary_apart_tell_the_demands() {
        let found = two(|w| (wave(w, 31), 1_000_000), |w| (wave(w, 17), 1_000_000));
        let Some(Separation::Told(demands)) = found else {
            panic!("{found:?}")
        };
        let ns: Vec<f64> = demands.values().map(|d| d.point).collect();
        // Unattributed is 2 % of everything and follows the load.
        assert!((ns[0] / 3_060_000.0 - 1.0).abs() < 0.01, "{ns:?}");
        assert!((ns[1] / 510_000.0 - 1.0).abs() < 0.03, "{ns:?}");
        assert!(demands.values().all(|d| d.interval().is_ok()));
    }

    #[test]
    fn loads_that_go_together_are_named_and_not_divided() {
        let both = |w: u64| (wave(w, 31), 1_000_000);
        let found = two(both, both);
        let Some(Separation::Collinear { first, second, .. }) = found else {
            panic!("{found:?}")
        };
        assert_eq!(&*first.operation, "GET /a");
        assert_eq!(&*second.unwrap().operation, "GET /b");
    }

    #[test]
    fn what_was_weighed_is_not_guessed() {
        let mut s = System::new(60);
        s.root("one", "GET /a", 20, [1_000_000; 6]);
        let model = Model::new(&s.range());
        assert!(model.separate(&model.services()[0]).is_none());
    }

    #[test]
    fn least_squares_stays_above_zero() {
        let (ones, x) = (vec![1.0; 4], vec![1.0, 2.0, 3.0, 4.0]);
        let falling = [4.0, 3.0, 2.0, 1.0];
        let found = least_squares(&[&ones, &x], &falling, &[1; 4]).unwrap();
        assert_eq!(found, [2.5, 0.0]);
        let rising = [3.0, 5.0, 7.0, 9.0];
        let found = least_squares(&[&ones, &x], &rising, &[1, 0, 2, 1]).unwrap();
        assert!((found[0] - 1.0).abs() < 1e-9 && (found[1] - 2.0).abs() < 1e-9);
    }
}
