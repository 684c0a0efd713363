//! The collector's own metrics. No label of theirs ever holds a name from outside.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

/// What was lost since the start: figures that travel to the report.
#[derive(Clone, Debug, Default)]
pub(crate) struct Losses(Arc<Mutex<BTreeMap<Loss, u64>>>);

/// What stands for one figure.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Loss {
    /// Whose it was; the unnamed tenant's where that is not known.
    pub(crate) tenant: Arc<str>,
    pub(crate) place: &'static str,
    pub(crate) reason: String,
}

impl Losses {
    pub(crate) fn add(
        &self,
        tenant: &Arc<str>,
        place: &'static str,
        reason: impl Into<String>,
        lost: u64,
    ) {
        if lost > 0 {
            let loss = Loss {
                tenant: tenant.clone(),
                place,
                reason: reason.into(),
            };
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            *all.entry(loss).or_default() += lost;
        }
    }

    /// All of them so far.
    pub(crate) fn all(&self) -> BTreeMap<Loss, u64> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Place of the loss rows that say which deltas were refused.
const PLACE_REFUSED: &str = "collector.refused";

/// Counts what the collector does.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    accepted: Counter,
    duplicates: Counter,
    refused: Family<Reason, Counter>,
    /// Also the figures of `refused`, which cannot be listed.
    losses: Losses,
    received_bytes: Counter,
    queue: Gauge,
    pending_blobs: Gauge,
    pending_rows: Gauge,
    rows_cut: Counter,
    unreadable_blobs: Counter,
    store_failures: Counter,
    retired_windows: Counter,
    window_bytes: Gauge,
    commit_seconds: Histogram,
    fold_seconds: Histogram,
    panics: Counter,
    timed_out: Counter,
    reads_refused: Counter,
    /// OTLP's.
    pub(crate) otlp: crate::otlp::Counters,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Metrics that start at zero.
    #[must_use]
    pub fn new() -> Self {
        const SECONDS: [f64; 11] = [
            0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0,
        ];
        let mut registry = Registry::with_prefix("weighbridge_collector");
        let mut counter = |name: &str, help: &str| {
            let counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let accepted = counter("accepted_deltas", "Deltas committed, each counted once");
        let duplicates = counter(
            "duplicate_deltas",
            "Deltas that came again and were acknowledged again",
        );
        let rows_cut = counter(
            "bounded_rows",
            "Rows folded into __other__ or cut because of a limit",
        );
        let unreadable_blobs = counter(
            "unreadable_blobs",
            "Committed blobs that could not be read at a start",
        );
        let store_failures = counter(
            "store_failures",
            "Times that reading or writing the store failed",
        );
        let retired_windows = counter("retired_windows", "Folded windows removed by age or size");
        let panics = counter(
            "handler_panics",
            "Requests answered 500 because of a defect",
        );
        let timed_out = counter(
            "timed_out_requests",
            "Requests that were not answered within the setting request_timeout",
        );
        let reads_refused = counter(
            "refused_reads",
            "Ranges not read because as many were being read as may be",
        );
        let received_bytes = Counter::default();
        registry.register_with_unit(
            "received",
            "Bodies of acknowledged deltas as sent",
            Unit::Bytes,
            received_bytes.clone(),
        );
        let refused = Family::<Reason, Counter>::default();
        registry.register(
            "refused_deltas",
            "Deltas refused, by reason",
            refused.clone(),
        );
        let mut gauge = |name: &str, help: &str| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let queue = gauge("queue_deltas", "Deltas that wait for their commit");
        let pending_blobs = gauge(
            "pending_blobs",
            "Deltas committed, but not yet written as folded windows",
        );
        let pending_rows = gauge("pending_series", "Rows folded in memory, not yet written");
        let window_bytes = gauge("window_bytes", "Folded windows of all tiers as stored");
        let mut histogram = |name: &str, help: &str| {
            let histogram = Histogram::new(SECONDS);
            registry.register_with_unit(name, help, Unit::Seconds, histogram.clone());
            histogram
        };
        let commit_seconds = histogram(
            "commit",
            "Time of one commit of waiting deltas, sync included",
        );
        let fold_seconds = histogram("fold", "Time to write folded windows, sync included");
        let losses = Losses::default();
        let otlp = crate::otlp::Counters::register(&mut registry, losses.clone());
        Self {
            otlp,
            registry: Arc::new(registry),
            accepted,
            duplicates,
            refused,
            losses,
            received_bytes,
            queue,
            pending_blobs,
            pending_rows,
            rows_cut,
            unreadable_blobs,
            store_failures,
            retired_windows,
            window_bytes,
            commit_seconds,
            fold_seconds,
            panics,
            timed_out,
            reads_refused,
        }
    }

    /// The metrics in the OpenMetrics text format.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }

    pub(crate) fn accepted(&self) {
        self.accepted.inc();
    }

    /// Deltas accepted since the start.
    #[must_use]
    pub fn accepted_deltas(&self) -> u64 {
        self.accepted.get()
    }

    pub(crate) fn duplicate(&self) {
        self.duplicates.inc();
    }

    pub(crate) fn refused(&self, tenant: &Arc<str>, reason: &'static str) {
        self.refused.get_or_create(&Reason { reason }).inc();
        self.losses.add(tenant, PLACE_REFUSED, reason, 1);
    }

    /// What was refused or lost since the start.
    pub(crate) fn losses(&self) -> BTreeMap<Loss, u64> {
        self.losses.all()
    }

    pub(crate) fn received(&self, bytes: usize) {
        self.received_bytes.inc_by(bytes as u64);
    }

    pub(crate) fn queued(&self) {
        self.queue.inc();
    }

    pub(crate) fn unqueued(&self) {
        self.queue.dec();
    }

    pub(crate) fn pending(&self, blobs: usize, rows: usize) {
        self.pending_blobs
            .set(i64::try_from(blobs).unwrap_or(i64::MAX));
        self.pending_rows
            .set(i64::try_from(rows).unwrap_or(i64::MAX));
    }

    pub(crate) fn rows_folded_or_cut(&self, rows: u64) {
        self.rows_cut.inc_by(rows);
    }

    pub(crate) fn unreadable_blob(&self) {
        self.unreadable_blobs.inc();
    }

    pub(crate) fn store_failed(&self) {
        self.store_failures.inc();
    }

    pub(crate) fn aged(&self, removed_windows: u64, window_bytes: u64) {
        self.retired_windows.inc_by(removed_windows);
        self.window_bytes
            .set(i64::try_from(window_bytes).unwrap_or(i64::MAX));
    }

    pub(crate) fn committed(&self, took: Duration) {
        self.commit_seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn folded(&self, took: Duration) {
        self.fold_seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn read_refused(&self) {
        self.reads_refused.inc();
    }

    pub(crate) fn timed_out(&self) {
        self.timed_out.inc();
    }

    pub(crate) fn panicked(&self) {
        self.panics.inc();
    }
}
