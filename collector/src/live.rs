//! What the services cost right now: the figures of the live page.

use std::collections::{BTreeMap, BTreeSet};

use weighbridge_wire::{
    FoldedWindow, OperationKey, OwnerKey, OwnerKind, ProcessKey, RowKind, Window, column,
};

use crate::store::StoreError;

/// Operations shown, dearest first.
const OPERATIONS_MAX: usize = 30;

/// One service. An absent figure is unknown.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ServiceNow {
    pub(crate) service: String,
    pub(crate) instances: usize,
    pub(crate) requests_per_second: Option<f64>,
    pub(crate) cores: Option<f64>,
    pub(crate) cpu_per_request_ns: Option<f64>,
    pub(crate) errors: Option<i64>,
    /// Share of the process CPU that no account explains.
    pub(crate) unattributed_share: Option<f64>,
    pub(crate) rss_bytes: Option<i64>,
}

/// One operation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OperationNow {
    pub(crate) service: String,
    pub(crate) operation: String,
    pub(crate) ended: Option<i64>,
    pub(crate) cpu_ns: i64,
    pub(crate) cpu_per_request_ns: Option<f64>,
}

/// Everything on the live page.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Now {
    pub(crate) services: Vec<ServiceNow>,
    pub(crate) operations: Vec<OperationNow>,
    /// Time that the windows cover, ns.
    pub(crate) covered_ns: u64,
}

#[derive(Default)]
struct Sums {
    window: Option<Window>,
    instances: BTreeSet<(String, String)>,
    ended: Option<i64>,
    errors: Option<i64>,
    operations_cpu_ns: i64,
    process_cpu_ns: Option<i64>,
    unattributed_ns: Option<i64>,
    rss_bytes: Option<i64>,
    operations: BTreeMap<String, (Option<i64>, i64)>,
}

fn add(sum: &mut Option<i64>, value: Option<i64>) {
    if let Some(value) = value {
        *sum = Some(sum.unwrap_or_default().saturating_add(value));
    }
}

fn over(numerator: f64, denominator: f64) -> Option<f64> {
    (denominator > 0.0).then(|| numerator / denominator)
}

impl Now {
    /// Sums up what a view holds.
    pub(crate) fn of(
        view: impl Iterator<Item = Result<FoldedWindow, StoreError>>,
    ) -> Result<Self, StoreError> {
        let mut services: BTreeMap<String, Sums> = BTreeMap::new();
        let mut covered: Option<Window> = None;
        for folded in view {
            let folded = folded?;
            let window = folded.window;
            covered = Some(covered.map_or(window, |all| all.cover(window)));
            services
                .entry(folded.service.service.clone())
                .or_default()
                .add(&folded);
        }
        let mut now = Self {
            covered_ns: covered.map_or(0, Window::len_ns),
            ..Self::default()
        };
        for (service, sums) in services {
            for (operation, (ended, cpu_ns)) in &sums.operations {
                now.operations.push(OperationNow {
                    service: service.clone(),
                    operation: operation.clone(),
                    ended: *ended,
                    cpu_ns: *cpu_ns,
                    cpu_per_request_ns: ended.and_then(|n| over(*cpu_ns as f64, n as f64)),
                });
            }
            now.services.push(sums.service(service));
        }
        now.operations.sort_by(|a, b| {
            let name = |o: &OperationNow| (o.service.clone(), o.operation.clone());
            b.cpu_ns.cmp(&a.cpu_ns).then_with(|| name(a).cmp(&name(b)))
        });
        now.operations.truncate(OPERATIONS_MAX);
        Ok(now)
    }
}

impl Sums {
    fn add(&mut self, folded: &FoldedWindow) {
        self.window = Some(
            self.window
                .map_or(folded.window, |window| window.cover(folded.window)),
        );
        for (key, value) in folded.rows.of_kind(RowKind::Operation) {
            let Some(key) = OperationKey::read(key) else {
                continue;
            };
            add(&mut self.ended, value.get(column::ENDED));
            add(&mut self.errors, value.get(column::ERRORS));
            let cpu_ns = value.cpu_ns();
            self.operations_cpu_ns = self.operations_cpu_ns.saturating_add(cpu_ns);
            let of = self
                .operations
                .entry(key.operation.to_string())
                .or_default();
            add(&mut of.0, value.get(column::ENDED));
            of.1 = of.1.saturating_add(cpu_ns);
        }
        for (key, value) in folded.rows.of_kind(RowKind::Process) {
            let Some(key) = ProcessKey::read(key) else {
                continue;
            };
            self.instances
                .insert((key.instance.to_string(), key.epoch.to_string()));
            add(&mut self.process_cpu_ns, value.get(column::CPU_PROCESS_NS));
            self.rss_bytes = self.rss_bytes.max(value.get(column::RSS_BYTES));
        }
        for (key, value) in folded.rows.of_kind(RowKind::Owner) {
            let unattributed = OwnerKey::read(key)
                .is_some_and(|key| &*key.owner_kind == OwnerKind::Unattributed.as_str());
            if unattributed {
                add(&mut self.unattributed_ns, Some(value.cpu_ns()));
            }
        }
    }

    fn service(self, service: String) -> ServiceNow {
        let seconds = self
            .window
            .map_or(0.0, |window| window.len_ns() as f64 / 1e9);
        ServiceNow {
            service,
            instances: self.instances.len(),
            requests_per_second: self.ended.and_then(|ended| over(ended as f64, seconds)),
            cores: self
                .process_cpu_ns
                .and_then(|ns| over(ns as f64 / 1e9, seconds)),
            cpu_per_request_ns: self
                .ended
                .and_then(|ended| over(self.operations_cpu_ns as f64, ended as f64)),
            errors: self.errors,
            unattributed_share: self
                .unattributed_ns
                .zip(self.process_cpu_ns)
                .and_then(|(ns, process)| over(ns as f64, process as f64)),
            rss_bytes: self.rss_bytes,
        }
    }
}
