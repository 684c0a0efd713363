//! Networks of stations with known answers: closed ones by mean value analysis, open ones by their utilisations.
//!
//! A station is one server whose service does not depend on who is served (product form): first come first served
//! with exponential times, or shared by time. Demand is visits times service time.

use super::finite;

/// What a closed network does with its customers.
#[derive(Clone, Debug, PartialEq)]
pub struct Closed {
    /// Ended passes in a second.
    pub throughput: f64,
    /// Seconds of one pass, thinking left out.
    pub response: f64,
    /// Seconds of one pass at each station.
    pub residence: Vec<f64>,
    /// Mean customers at each station.
    pub queue: Vec<f64>,
}

/// Exact mean value analysis of one class (Reiser & Lavenberg 1980): `customers` who think for `think` seconds and
/// then need `demands[k]` seconds of each station.
///
/// `None` without customers, or when a figure is negative or not finite, or nobody needs anything.
#[must_use]
pub fn closed(demands: &[f64], customers: u32, think: f64) -> Option<Closed> {
    let classes = closed_classes(&[demands.to_vec()], &[customers], &[think])?;
    classes.into_iter().next()
}

/// Exact mean value analysis of several classes: `demands[c][k]`, `customers[c]`, `think[c]`. Work grows with the
/// product of the populations: more than [`POPULATIONS_MAX`] of them are refused.
///
/// `None` as in [`closed`], or when the shapes differ.
#[must_use]
pub fn closed_classes(
    demands: &[Vec<f64>],
    customers: &[u32],
    think: &[f64],
) -> Option<Vec<Closed>> {
    let classes = demands.len();
    let stations = demands.first()?.len();
    let fits = customers.len() == classes
        && think.len() == classes
        && demands.iter().all(|of| of.len() == stations);
    if !fits || customers.iter().all(|&n| n == 0) {
        return None;
    }
    for figure in demands.iter().flatten().chain(think) {
        finite(*figure)?;
    }
    for class in 0..classes {
        if customers[class] > 0 && demands[class].iter().sum::<f64>() + think[class] <= 0.0 {
            return None;
        }
    }
    let mut size: usize = 1;
    // Position of one customer more of a class in the list of populations.
    let mut strides = Vec::with_capacity(classes);
    for &n in customers {
        strides.push(size);
        size = size
            .checked_mul(usize::try_from(n).ok()? + 1)
            .filter(|&size| size <= POPULATIONS_MAX)?;
    }
    // Mean customers at each station, for each population.
    let mut queues = vec![0.0; size * stations];
    let mut last = Vec::new();
    for at in 1..size {
        let present = |class: usize| (at / strides[class]) % (customers[class] as usize + 1);
        last.clear();
        for class in 0..classes {
            let n = present(class);
            if n == 0 {
                last.push(None);
                continue;
            }
            let without = at - strides[class];
            let residence: Vec<f64> = (0..stations)
                .map(|k| demands[class][k] * (1.0 + queues[without * stations + k]))
                .collect();
            let response: f64 = residence.iter().sum();
            let throughput = n as f64 / (think[class] + response);
            last.push(Some((throughput, response, residence)));
        }
        for k in 0..stations {
            queues[at * stations + k] = last
                .iter()
                .flatten()
                .map(|(throughput, _, residence)| throughput * residence[k])
                .sum();
        }
    }
    last.into_iter()
        .map(|of_class| {
            let (throughput, response, residence) =
                of_class.unwrap_or_else(|| (0.0, 0.0, vec![0.0; stations]));
            Some(Closed {
                throughput: finite(throughput)?,
                response: finite(response)?,
                queue: residence.iter().map(|r| r * throughput).collect(),
                residence,
            })
        })
        .collect()
}

/// Most populations that [`closed_classes`] goes through.
pub const POPULATIONS_MAX: usize = 4_000_000;

/// What an open network does with one class at one station.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Open {
    /// Share of the station's time.
    pub utilisation: f64,
    /// Mean customers of the class there.
    pub queue: f64,
    /// Seconds of one pass there.
    pub residence: f64,
}

/// An open network: `demands[c][k]` seconds and `rates[c]` arrivals in a second. Indexed by class, then station.
///
/// `None` when a station is saturated, a figure is negative or not finite, or the shapes differ.
#[must_use]
pub fn open_classes(demands: &[Vec<f64>], rates: &[f64]) -> Option<Vec<Vec<Open>>> {
    let stations = demands.first()?.len();
    if rates.len() != demands.len() || demands.iter().any(|of| of.len() != stations) {
        return None;
    }
    for figure in demands.iter().flatten().chain(rates) {
        finite(*figure)?;
    }
    let busy: Vec<f64> = (0..stations)
        .map(|k| {
            demands
                .iter()
                .zip(rates)
                .map(|(of, rate)| of[k] * rate)
                .sum()
        })
        .collect();
    if busy.iter().any(|busy| *busy >= 1.0) {
        return None;
    }
    let of = |demand: f64, rate: f64, busy: f64| Open {
        utilisation: demand * rate,
        queue: demand * rate / (1.0 - busy),
        residence: demand / (1.0 - busy),
    };
    Some(
        demands
            .iter()
            .zip(rates)
            .map(|(demands, &rate)| {
                let stations = demands.iter().zip(&busy);
                stations.map(|(&d, &busy)| of(d, rate, busy)).collect()
            })
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: f64, want: f64, tolerance: f64) {
        assert!((got - want).abs() <= tolerance, "{got} instead of {want}");
    }

    /// Jain, *The Art of Computer Systems Performance Analysis*, example 34.2; docs/decisions.md.
    #[test]
    fn closed_network_of_jain() {
        let visits = [16.0, 10.0, 5.0];
        let service = [0.125, 0.3, 0.2];
        let demands: Vec<f64> = visits.iter().zip(&service).map(|(v, s)| v * s).collect();
        let found = closed(&demands, 20, 4.0).unwrap();
        close(found.throughput, 0.333_25, 5e-6);
        close(found.response, 56.016, 5e-4);
        for (k, want) in [0.373, 4.854, 0.300].into_iter().enumerate() {
            close(found.residence[k] / visits[k], want, 5.1e-4);
        }
        for (k, want) in [1.991, 16.177, 0.500].into_iter().enumerate() {
            close(found.queue[k], want, 5.1e-4);
        }
    }

    /// GNU Octave `queueing`, qncmmva.m; docs/decisions.md.
    #[test]
    fn closed_classes_of_the_queueing_package() {
        let demands = [vec![1.0, 3.0], vec![2.0, 4.0]];
        let found = closed_classes(&demands, &[1, 1], &[0.0, 0.0]).unwrap();
        for (class, want) in [[4.0, 15.0], [5.0, 14.0]].into_iter().enumerate() {
            for (k, nineteenths) in want.into_iter().enumerate() {
                close(found[class].queue[k], nineteenths / 19.0, 1e-12);
            }
        }
    }

    /// Schwetman, in the same package.
    #[test]
    fn closed_classes_that_think() {
        let found = closed_classes(&[vec![0.025], vec![0.5]], &[15, 5], &[1.0, 15.0]).unwrap();
        close(found[0].throughput, 14.323, 5e-4);
        close(found[1].throughput, 0.314, 5e-4);
        close(found[0].throughput * 0.025, 0.358, 5e-4);
        close(found[1].throughput * 0.5, 0.157, 5e-4);
    }

    /// Lazowska et al. p. 138 (Zahorjan); docs/decisions.md.
    #[test]
    fn open_classes_of_zahorjan() {
        let demands = [vec![1.0, 3.0], vec![2.0, 4.0]];
        let found = open_classes(&demands, &[3.0 / 19.0, 2.0 / 19.0]).unwrap();
        close(found[0][0].utilisation, 0.158, 5e-4);
        close(found[0][0].queue, 0.25, 1e-12);
    }

    #[test]
    fn little_holds_and_nobody_is_lost() {
        let found = closed_classes(
            &[vec![0.2, 0.1, 0.4], vec![0.05, 0.6, 0.0]],
            &[7, 4],
            &[1.0, 0.5],
        )
        .unwrap();
        for (class, (n, think)) in [(7.0, 1.0), (4.0, 0.5)].into_iter().enumerate() {
            let of = &found[class];
            close(of.throughput * (of.response + think), n, 1e-9);
            close(
                of.queue.iter().sum::<f64>() + of.throughput * think,
                n,
                1e-9,
            );
        }
    }

    #[test]
    fn no_answer_where_there_is_none() {
        assert_eq!(closed(&[0.1], 0, 1.0), None);
        assert_eq!(closed(&[0.0], 3, 0.0), None, "nobody needs anything");
        assert_eq!(closed(&[f64::NAN], 1, 0.0), None);
        assert_eq!(closed_classes(&[vec![1.0]], &[1, 2], &[0.0]), None);
        let many = [u32::MAX, u32::MAX];
        assert_eq!(
            closed_classes(&[vec![1.0], vec![1.0]], &many, &[0.0, 0.0]),
            None
        );
        assert_eq!(open_classes(&[vec![0.5]], &[2.0]), None, "saturated");
        assert_eq!(open_classes(&[vec![0.5], vec![]], &[0.1, 0.1]), None);
    }
}
