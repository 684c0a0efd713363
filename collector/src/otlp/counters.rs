//! What OTLP counts.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::status::Status;
use super::{Outcome, Signal};
use crate::ingest::Refusal;
use crate::join::Counts;
use crate::metrics::Losses;

/// Place of the loss rows of what could not be used of OTLP.
pub(crate) const PLACE: &str = "collector.otlp";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfSignal {
    signal: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfReason {
    signal: &'static str,
    reason: &'static str,
}

/// Counters of the OTLP receiver and of the joins. No label holds a name from outside.
#[derive(Clone, Default)]
pub(crate) struct Counters {
    accepted: Family<OfSignal, Counter>,
    rejected: Family<OfReason, Counter>,
    refused: Family<OfReason, Counter>,
    duplicates: Family<OfSignal, Counter>,
    repeated: Family<OfSignal, Counter>,
    joined: Counter,
    unjoined: Counter,
    given_up: Counter,
    unnamed: Counter,
    skewed: Counter,
    waiting: Gauge,
    losses: Losses,
}

impl Counters {
    pub(crate) fn register(registry: &mut Registry, losses: Losses) -> Self {
        let it = Self {
            losses,
            ..Self::default()
        };
        let families = [
            (
                "otlp_accepted_items",
                "Spans, metric points and log records taken in; logs are not used",
                &it.accepted,
            ),
            (
                "otlp_duplicate_items",
                "Spans left out because they had come before",
                &it.duplicates,
            ),
            (
                "otlp_repeated_requests",
                "Requests whose body had come before as a whole",
                &it.repeated,
            ),
        ];
        for (name, help, family) in families {
            registry.register(name, help, family.clone());
        }
        for (name, help, family) in [
            (
                "otlp_rejected_items",
                "Spans and points rejected, by reason; their sender was told",
                &it.rejected,
            ),
            (
                "otlp_refused_requests",
                "Requests refused, by reason; their sender was told",
                &it.refused,
            ),
        ] {
            registry.register(name, help, family.clone());
        }
        for (name, help, counter) in [
            (
                "joined_halves",
                "Halves of calls that found the other",
                &it.joined,
            ),
            (
                "unjoined_halves",
                "Halves of calls that waited in vain",
                &it.unjoined,
            ),
            (
                "given_up_halves",
                "Halves of calls that had to go because too many waited",
                &it.given_up,
            ),
            (
                "unnamed_halves",
                "Halves of calls that are not joined because there are too many names",
                &it.unnamed,
            ),
            (
                "skewed_calls",
                "Calls whose two ends contradict each other's clocks",
                &it.skewed,
            ),
        ] {
            registry.register(name, help, counter.clone());
        }
        registry.register(
            "waiting_halves",
            "Halves of calls that wait for the other",
            it.waiting.clone(),
        );
        it
    }

    pub(crate) fn taken(&self, tenant: &Arc<str>, signal: Signal, outcome: &Outcome) {
        let of = OfSignal {
            signal: signal.as_str(),
        };
        if outcome.is_repeated {
            self.repeated.get_or_create(&of).inc();
            return;
        }
        let tally = &outcome.tally;
        self.accepted.get_or_create(&of).inc_by(tally.spans);
        if tally.duplicates > 0 {
            self.duplicates.get_or_create(&of).inc_by(tally.duplicates);
        }
        for (reason, count) in [
            ("invalid", tally.invalid),
            ("too_old", tally.too_old),
            ("ahead", tally.ahead),
            ("too_many", tally.too_many),
        ] {
            if count > 0 {
                let of = OfReason {
                    signal: signal.as_str(),
                    reason,
                };
                self.rejected.get_or_create(&of).inc_by(count);
                let reason = format!("{} rejected: {reason}", signal.items());
                self.lost(tenant, reason, count);
            }
        }
    }

    pub(crate) fn refused(&self, tenant: &Arc<str>, signal: Signal, refusal: &Refusal) {
        let advice = match Status::from(refusal).retry_after_seconds {
            // Not lost for certain: who keeps to OTLP comes again.
            Some(_) => "refused for now",
            None => "refused",
        };
        self.refused_by(tenant, signal, refusal.reason(), advice);
    }

    /// Refused for want of a token.
    pub(crate) fn unauthorized(&self, tenant: &Arc<str>, signal: Signal) {
        self.refused_by(tenant, signal, "unauthorized", "refused");
    }

    fn refused_by(&self, tenant: &Arc<str>, signal: Signal, reason: &'static str, advice: &str) {
        let of = OfReason {
            signal: signal.as_str(),
            reason,
        };
        self.refused.get_or_create(&of).inc();
        let requests = signal.as_str();
        let reason = format!("requests of {requests} {advice}: {reason}");
        self.lost(tenant, reason, 1);
    }

    fn lost(&self, tenant: &Arc<str>, reason: impl Into<String>, lost: u64) {
        self.losses.add(tenant, PLACE, reason, lost);
    }

    pub(crate) fn joins(&self, counts: &Counts, waiting: u64) {
        self.joined.inc_by(counts.joined);
        for (tenant, failed) in &counts.failed {
            self.unjoined.inc_by(failed.unjoined);
            self.given_up.inc_by(failed.given_up);
            self.unnamed.inc_by(failed.unnamed);
            self.skewed.inc_by(failed.skewed);
            for (reason, count) in [
                (
                    "halves of calls whose other half did not come",
                    failed.unjoined,
                ),
                (
                    "halves of calls given up because too many waited",
                    failed.given_up,
                ),
                (
                    "halves of calls not joined because there are too many names",
                    failed.unnamed,
                ),
                (
                    "calls whose ends contradict each other's clocks",
                    failed.skewed,
                ),
            ] {
                self.lost(tenant, reason, count);
            }
        }
        self.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }
}

impl Signal {
    /// The word in metrics and paths.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        }
    }

    /// What its requests hold.
    fn items(self) -> &'static str {
        match self {
            Self::Traces => "spans",
            Self::Metrics => "points",
            Self::Logs => "log records",
        }
    }
}
