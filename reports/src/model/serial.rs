//! Serial sections: what requests queue for that is neither a core, nor a call, nor a store.

use weighbridge_wire::column;

use super::load::ascending;
use super::{CPU_COLUMNS, Estimate, Model, OperationFacts, OperationId, ServiceFacts};
use crate::queue::{ClassLoad, Mixture, Section, UslFit, fit_serial_share, fit_usl};

/// Sizes into which the slots are put for the fit.
const BINS: usize = 8;
/// Share of a request's wall time that nothing explains, above which there is something to look for.
pub(crate) const UNEXPLAINED_WAIT_MIN: f64 = 0.5;
/// Utilisation of the cores in the busiest third, above which waiting for a core explains what is seen.
pub(crate) const UTILISATION_MAX: f64 = 0.5;
/// Serial share whose whole interval has to lie above this.
pub(crate) const SERIAL_SHARE_MIN: f64 = 0.05;

/// Unexplained wait of a request ÷ what the queue model of the cores says, up to which the cores explain it: the
/// formula is a mean, and off by half where requests are few and mixed.
pub(crate) const QUEUE_RATIO_MIN: f64 = 5.0;

/// A serial section, with what shows it.
#[derive(Clone, Debug)]
pub(crate) struct Serial {
    /// The operation whose requests queue for it.
    pub(crate) operation: OperationId,
    /// Throughput against requests in flight, over the slots: the law that the bound is taken from.
    pub(crate) fit: UslFit,
    /// Why β is not in it, where it was held at 0.
    pub(crate) no_coherency: Option<&'static str>,
    /// Share of the wall time that neither CPU nor calls nor stores explain, in the busiest third of the slots.
    pub(crate) unexplained: f64,
    /// Utilisation of the cores there.
    pub(crate) utilisation: f64,
    /// Requests in a second that no number of cores, processes or requests in flight exceeds. Its spread is that of
    /// the law fitted to each resampled range.
    pub(crate) most: Estimate,
}

impl Serial {
    /// How long a request is in the section, ns: at most one at a time passes.
    pub(crate) fn hold_ns(&self) -> Estimate {
        self.most.clone().map(|most| 1e9 / most)
    }

    /// The section as a queue. How much the time in it varies is not seen: as the CPU of the operation does.
    pub(crate) fn section(&self, service_cs2: f64, arrival_cs2: f64) -> Section {
        Section {
            hold: 1.0 / self.most.point,
            hold_cs2: service_cs2,
            arrival_cs2,
        }
    }
}

/// A law with the largest throughput that it lets through.
struct Bounded {
    fit: UslFit,
    most: f64,
    no_coherency: Option<&'static str>,
}

/// The bound of a fit of all three figures: at its peak, where the measurements tell one. Else a β that may be noise
/// makes no peak: it is held at 0, and the bound is the ceiling of what is fitted then.
fn bounded(whole: UslFit, points: &[(f64, f64)]) -> Option<Bounded> {
    let (fit, most) = if let Some(peak) = whole.peak() {
        // Worse with each one more: one alone gets most through.
        (whole, whole.law.throughput(peak.max(1.0))?)
    } else {
        let serial = fit_serial_share(points).ok()?;
        (serial, serial.law.ceiling()?)
    };
    let no_coherency = if !whole.coherency_is_identifiable() {
        Some("not identifiable: its interval holds 0")
    } else if whole.peak().is_none() {
        Some("not identifiable: the requests in flight do not come near the peak that it makes")
    } else {
        None
    };
    (most > 0.0).then_some(Bounded {
        fit,
        most,
        no_coherency,
    })
}

impl Model {
    /// Looks for a serial section inside a service: the universal scalability law (Gunther 1993) over the slots, with
    /// the mean number of requests in flight as size. Queues for cores bend that curve too, and so do calls and
    /// stores that get slower: so it is only called one where cores are idle and the time is explained by nothing
    /// else. The reason when there is none.
    pub(crate) fn serial(&self, service: &ServiceFacts) -> Result<Serial, &'static str> {
        let (id, facts) = self
            .longest_unexplained(service)
            .ok_or("no request waits for what is not explained")?;
        let column = |wanted: u32| facts.all.get(wanted).map(|tally| self.by_slot(tally));
        let cpu = facts.all.sum_of(&CPU_COLUMNS).map(|cpu| self.by_slot(&cpu));
        let (Some(ended), Some(in_flight), Some(wall), Some(cpu)) = (
            column(column::ENDED),
            column(column::IN_FLIGHT_NS),
            column(column::WALL_NS),
            cpu,
        ) else {
            return Err("requests in flight, their wall time or their CPU are not known");
        };
        let calls = column(column::WAIT_CALL_NS);
        let stores = column(column::WAIT_STORE_NS);
        let order = ascending(&in_flight);
        let busy = &order[order.len() - order.len() / 3..];
        let over = |series: &[f64]| busy.iter().map(|at| series[*at]).sum::<f64>();
        let wall_ns = over(&wall);
        if busy.is_empty() || wall_ns <= 0.0 {
            return Err("no request ended in enough windows");
        }
        let known =
            over(&cpu) + calls.as_deref().map_or(0.0, over) + stores.as_deref().map_or(0.0, over);
        let unexplained = (1.0 - known / wall_ns).max(0.0);
        if unexplained < UNEXPLAINED_WAIT_MIN {
            return Err("CPU, calls and stores explain the time of its requests");
        }
        let Some(limit) = self.cores_limit(service).zip(self.instances(service)) else {
            return Err("the cores of its processes are not known");
        };
        let Some(cores) = self.cores_by_slot(service) else {
            return Err("its CPU is not known");
        };
        #[allow(clippy::cast_precision_loss)]
        let utilisation = over(&cores) / busy.len() as f64 / (limit.0 * limit.1.max(1.0));
        if utilisation > UTILISATION_MAX {
            return Err("its cores are busy: waiting for them explains what is seen");
        }
        let requests = over(&ended);
        if requests > 0.0
            && let Some(wait) = self.core_wait_ns(service)
            && (wall_ns - known) / requests <= QUEUE_RATIO_MIN * wait
        {
            return Err("waiting for a core behind others explains what is seen");
        }
        let once = vec![1; order.len()];
        let points = binned(&ended, &in_flight, &order, &once);
        let whole = fit_usl(&points).map_err(
            |_| "the load varies too little: fewer than six distinct numbers of requests in flight",
        )?;
        let steady =
            "not identifiable: throughput grows with the requests in flight as far as was seen";
        if whole.alpha_interval.0 <= SERIAL_SHARE_MIN {
            return Err(steady);
        }
        let without = "the law has no ceiling";
        let found = bounded(whole, &points).ok_or(without)?;
        if found.fit.alpha_interval.0 <= SERIAL_SHARE_MIN {
            return Err(steady);
        }
        // A resampled range in which the load varies too little says nothing else.
        let most = self
            .sampler
            .over_slots(|weight| {
                let again = binned(&ended, &in_flight, &order, weight);
                let law = fit_usl(&again).ok();
                let law = law.and_then(|whole| bounded(whole, &again));
                Some(law.map_or(found.most, |law| law.most))
            })
            .ok_or(without)?;
        Ok(Serial {
            operation: id.clone(),
            fit: found.fit,
            no_coherency: found.no_coherency,
            most,
            unexplained,
            utilisation,
        })
    }
}

impl Model {
    /// Mean wait for a core by the mixture of all operations, ns; `None` where it cannot be computed.
    fn core_wait_ns(&self, service: &ServiceFacts) -> Option<f64> {
        let limit = self.cores_limit(service)?;
        let instances = self.instances(service)?.max(1.0);
        let loads: Vec<ClassLoad> = service
            .operations
            .iter()
            .filter_map(|(id, facts)| self.class_load(service, id, facts))
            .map(|load| ClassLoad {
                rate: load.rate / instances,
                ..load
            })
            .collect();
        Some(Mixture::of(&loads)?.wait_on(limit)? * 1e9)
    }

    /// The operation with most wall time that CPU, calls and stores do not explain.
    fn longest_unexplained<'a>(
        &self,
        service: &'a ServiceFacts,
    ) -> Option<(&'a OperationId, &'a OperationFacts)> {
        let unexplained = |facts: &OperationFacts| -> Option<i64> {
            let total = |wanted| facts.all.total(wanted).unwrap_or(0);
            let cpu = facts.all.sum_of(&CPU_COLUMNS)?.total;
            let wall = facts.all.total(column::WALL_NS)?;
            Some(wall - cpu - total(column::WAIT_CALL_NS) - total(column::WAIT_STORE_NS))
        };
        service
            .operations
            .iter()
            .filter_map(|(id, facts)| Some((unexplained(facts).filter(|ns| *ns > 0)?, id, facts)))
            .max_by(|a, b| a.0.cmp(&b.0).then_with(|| b.1.cmp(a.1)))
            .map(|(_, id, facts)| (id, facts))
    }
}

/// Means of the slots in [`BINS`] groups of rising size, each slot counted `weight` times: (requests in flight,
/// requests in a second).
fn binned(ended: &[f64], in_flight_ns: &[f64], order: &[usize], weight: &[u32]) -> Vec<(f64, f64)> {
    let used: Vec<usize> = order
        .iter()
        .copied()
        .filter(|at| ended[*at] > 0.0 && in_flight_ns[*at] > 0.0)
        .flat_map(|at| {
            let times = weight.get(at).copied().unwrap_or(0);
            std::iter::repeat_n(at, times as usize)
        })
        .collect();
    let bins = BINS.min(used.len()).max(1);
    (0..bins)
        .filter_map(|bin| {
            let part = used.get(bin * used.len() / bins..(bin + 1) * used.len() / bins)?;
            #[allow(clippy::cast_precision_loss)]
            let n = part.len() as f64;
            let mean = |series: &[f64]| part.iter().map(|at| series[*at]).sum::<f64>() / n;
            (n > 0.0).then(|| (mean(in_flight_ns) * 1e-9, mean(ended)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::System;

    /// Closed load of 1 to 12 requests on a section of 10 ms that only one can be in: `X(N) = N / (.012 + .01 (N − 1))`.
    fn locked(w: u64) -> (i64, i64) {
        let n = i64::try_from(w % 12).unwrap() + 1;
        let ended = n * 1_000 / (12 + 10 * (n - 1));
        (ended, n * 1_000_000_000 / ended.max(1))
    }

    fn serial(course: fn(u64) -> (i64, i64), cpu_ns: i64) -> Result<Serial, &'static str> {
        let mut s = System::new(60);
        s.root("one", "GET /a", 0, [cpu_ns, 0, 0, 0, 0, 0]).course = Some(course);
        let model = Model::new(&s.range());
        model.serial(&model.services()[0])
    }

    #[test]
    fn a_lock_shows_as_a_ceiling_with_idle_cores() {
        let found = serial(locked, 500_000).unwrap();
        // γ/α of X(N) = N/(.012 + .01 (N − 1)) is 100 in a second, α = 10/12.
        assert!(
            (found.fit.law.alpha - 10.0 / 12.0).abs() < 0.06,
            "{found:?}"
        );
        let most = found.most.point;
        assert!((most / 100.0 - 1.0).abs() < 0.05, "{most}");
        let (low, high) = found.most.interval().unwrap();
        assert!(
            95.0 < low && low <= most && most <= high && high < 105.0,
            "{low} to {high}"
        );
        assert!((found.hold_ns().point - 1e9 / most).abs() < 1.0);
        assert!(found.unexplained > 0.9 && found.utilisation < 0.1);
    }

    /// `X(N) = N / (.001 + .0003 (N − 1))`, which no more than 3 333 in a second pass, measured within so many percent.
    fn third(w: u64, off: [i64; 12]) -> (i64, i64) {
        let at = usize::try_from(w % 12).unwrap();
        let n = i64::try_from(at).unwrap() + 1;
        let ended = n * 100 * (100 + off[at]) / (10 + 3 * (n - 1));
        (ended, n * 1_000_000_000 / ended)
    }

    /// A β that noise makes has a peak of 2 860 in a second, at 21 requests in flight. Windows of different sizes in one
    /// group make another, told from nothing, but at three times the size that was seen: it says 3 020.
    #[test]
    fn a_coherency_that_is_not_identifiable_bounds_nothing() {
        let rough = |w| third(w, [1, -2, 0, 2, -1, 2, -2, 1, 2, -1, 0, -1]);
        let exact = |w| third(w, [0; 12]);
        let found = [rough as fn(u64) -> _, exact].map(|course| serial(course, 50_000).unwrap());
        let reasons = ["holds 0", "do not come near the peak"];
        for (found, why) in found.into_iter().zip(reasons) {
            assert!(found.no_coherency.unwrap().contains(why), "{found:?}");
            assert_eq!(found.fit.law.beta, 0.0);
            let (most, alpha) = (found.most.point, found.fit.law.alpha);
            assert!((most * 3e-4 - 1.0).abs() < 0.03, "{why}: {most}");
            assert!((alpha - 0.3).abs() < 0.015, "{why}: {alpha}");
            let (low, high) = found.most.interval().unwrap();
            assert!(low <= most && most <= high, "{why}: {low} to {high}");
        }
    }

    /// Where β is told and the peak was seen, the bound is there: `X(N) = 1 000 N / (1 + .1 (N − 1) + .02 N (N − 1))`
    /// is largest at √(.9 ÷ .02) = 6.7, with 2 867 in a second.
    #[test]
    fn a_peak_that_was_seen_is_the_bound() {
        let falls = |w: u64| {
            let n = i64::try_from(w % 12).unwrap() + 1;
            let ended = n * 100_000 / (100 + 10 * (n - 1) + 2 * n * (n - 1));
            (ended, n * 1_000_000_000 / ended)
        };
        let found = serial(falls, 50_000).unwrap();
        assert!(found.no_coherency.is_none() && found.fit.law.beta > 0.015);
        let most = found.most.point;
        assert!((most / 2_867.0 - 1.0).abs() < 0.02, "{most}");
    }

    #[test]
    fn busy_cores_short_waits_and_steady_load_are_no_lock() {
        assert!(serial(locked, 15_000_000).is_err());
        assert!(
            serial(|_| (100, 40_000_000), 500_000)
                .unwrap_err()
                .contains("varies too little")
        );
        let free = |w: u64| (i64::try_from(w % 12).unwrap() * 25 + 25, 40_000_000);
        assert!(
            serial(free, 500_000)
                .unwrap_err()
                .contains("not identifiable")
        );
        let mut s = System::new(60);
        s.root("one", "GET /a", 50, [2_000_000, 0, 0, 0, 0, 0])
            .wall_ns = 2_100_000;
        let model = Model::new(&s.range());
        assert!(
            model
                .serial(&model.services()[0])
                .unwrap_err()
                .contains("explain")
        );
    }
}
