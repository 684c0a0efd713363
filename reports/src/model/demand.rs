//! Demand of operations and services: CPU per request, shares, base costs, variability.

use weighbridge_wire::{OwnerKind, column};

use super::service::{CPU_COLUMNS, MESSAGE_COLUMNS, OperationFacts, OperationId};
use super::{Estimate, Model, ServiceFacts, Tally, as_f64};
use crate::queue::ClassLoad;

impl Model {
    /// A column for each ended request.
    pub(crate) fn per_ended(&self, facts: &OperationFacts, columns: &[u32]) -> Option<Estimate> {
        self.columns(&facts.all, columns)?
            .over(&self.column(&facts.all, column::ENDED)?)
    }

    /// CPU of one request in all classes, ns.
    pub(crate) fn cpu_per_request(&self, facts: &OperationFacts) -> Option<Estimate> {
        self.per_ended(facts, &CPU_COLUMNS)
    }

    /// Requests that ended, in a second.
    pub(crate) fn ended_rate(&self, facts: &OperationFacts) -> Option<Estimate> {
        self.rate(&self.column(&facts.all, column::ENDED)?)
    }

    /// CPU of an operation, cores.
    pub(crate) fn operation_cores(&self, facts: &OperationFacts) -> Option<Estimate> {
        self.cores(&self.columns(&facts.all, &CPU_COLUMNS)?)
    }

    /// CPU time of a service by the kernel, ns; from its accounts when no process row came.
    pub(crate) fn service_cpu(&self, service: &ServiceFacts) -> Option<Estimate> {
        self.column(&service.process, column::CPU_PROCESS_NS)
            .or_else(|| {
                let mut sum: Option<Tally> = None;
                for cpu in service
                    .accounts()
                    .filter_map(|sums| sums.sum_of(&CPU_COLUMNS))
                {
                    sum.get_or_insert_default().merge_sum(&cpu);
                }
                self.sum(sum.as_ref())
            })
    }

    /// The same as cores.
    pub(crate) fn service_cores(&self, service: &ServiceFacts) -> Option<Estimate> {
        self.cores(&self.service_cpu(service)?)
    }

    /// The same without its spread: for orders and thresholds.
    pub(crate) fn service_cores_point(&self, service: &ServiceFacts) -> Option<f64> {
        let by_kernel = service.process.total(column::CPU_PROCESS_NS);
        let ns = by_kernel.or_else(|| {
            let accounts = service.accounts();
            let known = accounts.filter_map(|sums| sums.total_of(&CPU_COLUMNS));
            known.reduce(i64::saturating_add)
        })?;
        Some(as_f64(ns) * 1e-9 / self.seconds()?)
    }

    /// CPU that no request causes (background, agent), ns. It does not grow with load, or hardly; the scheduler's does,
    /// since an idle runtime parks.
    pub(crate) fn base_cpu(&self, service: &ServiceFacts) -> Option<Estimate> {
        let base = [OwnerKind::Background, OwnerKind::Agent].map(OwnerKind::as_str);
        let cpu = service.owners_cpu(|kind, _| base.contains(&kind));
        self.sum(cpu.as_ref())
    }

    /// CPU of all accounts that carried messages, ns.
    pub(crate) fn message_cpu(&self, service: &ServiceFacts) -> Option<Estimate> {
        let mut sum: Option<Tally> = None;
        for cpu in service
            .accounts()
            .filter_map(|sums| sums.sum_of(&MESSAGE_COLUMNS))
        {
            sum.get_or_insert_default().merge_sum(&cpu);
        }
        self.sum(sum.as_ref())
    }

    /// Mean number of processes at once: time observed by all of them ÷ time covered; their number when
    /// they do not say how long they observed.
    pub(crate) fn instances(&self, service: &ServiceFacts) -> Option<f64> {
        let count = service.processes.len();
        if count == 0 {
            return None;
        }
        #[allow(clippy::cast_precision_loss)]
        let (covered, count) = (self.rollup.covered_ns as f64, count as f64);
        let observed = service.process.total(column::OBSERVED_NS).map(as_f64);
        match observed {
            // A service that ran for a part of the range still ran in whole processes.
            Some(ns) if ns > 0.0 && covered > 0.0 => {
                Some((ns / covered).clamp(f64::MIN_POSITIVE, count))
            }
            _ => Some(count),
        }
    }

    /// Cores that one process may use.
    pub(crate) fn cores_limit(&self, service: &ServiceFacts) -> Option<f64> {
        service
            .process
            .total(column::CORES_MILLI)
            .filter(|milli| *milli > 0)
            .map(|m| as_f64(m) / 1e3)
    }

    /// Squared coefficient of variation of the CPU of a request, from the histogram.
    pub(crate) fn service_cs2(&self, facts: &OperationFacts) -> Option<f64> {
        let histogram = facts.distribution.histogram(column::HIST_REQUEST_CPU_NS)?;
        let mean = histogram.mean()?;
        let square = histogram.mean_square()?;
        (mean > 0.0).then(|| (square / (mean * mean) - 1.0).max(0.0))
    }

    /// Index of dispersion of arrivals in slots of 100 ms: variance ÷ mean. 1 for Poisson.
    pub(crate) fn dispersion(&self, service: &ServiceFacts, id: &OperationId) -> Option<f64> {
        let series = service
            .series
            .get(&(id.operation.clone(), id.class.clone()))?;
        let slots = as_f64(series.total(column::SLOTS)?);
        let sum = as_f64(series.total(column::ARRIVALS)?);
        let squares = as_f64(series.total(column::ARRIVALS_SQUARED)?);
        if slots < 2.0 || sum <= 0.0 {
            return None;
        }
        let mean = sum / slots;
        let dispersion = (squares / slots - mean * mean) / mean;
        dispersion.is_finite().then_some(dispersion.max(0.0))
    }

    /// An operation as load on a queue of cores. Variability is that of the request-CPU histogram, scaled to
    /// the whole demand; arrivals are Poisson where no series says otherwise.
    pub(crate) fn class_load(
        &self,
        service: &ServiceFacts,
        id: &OperationId,
        facts: &OperationFacts,
    ) -> Option<ClassLoad> {
        // Their points alone: nobody asks here how sure they are.
        let ended = as_f64(facts.all.total(column::ENDED)?);
        let rate = ended * (1.0 / self.seconds()?);
        let mean = as_f64(facts.all.total_of(&CPU_COLUMNS)?) / ended / 1e9;
        if !(rate > 0.0 && mean > 0.0) {
            return None;
        }
        let cs2 = self.service_cs2(facts)?;
        Some(ClassLoad {
            rate,
            mean,
            mean_square: (1.0 + cs2) * mean * mean,
            arrival_cs2: self.dispersion(service, id).unwrap_or(1.0),
        })
    }

    /// Mean resident set of one process at the ends of windows, bytes.
    pub(crate) fn rss_mean(&self, service: &ServiceFacts) -> Option<Estimate> {
        let sum = self.column(&service.process, column::RSS_SUM_BYTES)?;
        sum.over(&self.column(&service.process, column::SAMPLES)?)
    }
}
