//! The path of an OTLP request: derive → commit → acknowledge → join and fold.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::{Engine, Job, Refusal, Shared, inflate};
use crate::otlp::derive::Rules;
use crate::otlp::derived::Derived;
use crate::otlp::{Format, Kind, Outcome, Signal, derive};
use crate::store::Encoding;

/// Memory that a decoded request may take, bytes per byte of its body: the smallest span has 46 bytes, and takes
/// about 400 until it is folded.
const DERIVED_BYTES_PER_BYTE: usize = 9;

/// A request on its way to the writer.
pub(super) struct OtlpAppend {
    pub(super) signal: Signal,
    pub(super) format: Format,
    /// As it came, inflated: derived again when a part of it came before.
    pub(super) body: Bytes,
    pub(super) rules: Rules,
    pub(super) derived: Derived,
    pub(super) encoded: Bytes,
    pub(super) outcome: Outcome,
    _memory: super::Memory,
    pub(super) reply: oneshot::Sender<Result<Outcome, Refusal>>,
}

impl OtlpAppend {
    /// Leaves out what came before.
    pub(super) fn without(&mut self, known: &dyn Fn(u64, Kind) -> bool) -> Result<(), Refusal> {
        let (derived, tally) = derive(self.signal, self.format, &self.body, &self.rules, known)?;
        self.encoded = derived.encode().into();
        self.derived = derived;
        self.outcome.tally = tally;
        Ok(())
    }
}

impl Engine {
    /// Takes in one OTLP request. The answer says that what it holds is committed, now or before.
    ///
    /// # Errors
    /// [`Refusal`]; nothing of the request counts then, unless it says that the store failed.
    pub(crate) async fn ingest_otlp(
        &self,
        tenant: &Arc<str>,
        signal: Signal,
        format: Format,
        encoding: Encoding,
        body: Bytes,
        allowed: &(dyn Fn(&str) -> bool + Sync),
    ) -> Result<Outcome, Refusal> {
        if !self.is_healthy() {
            return Err(Refusal::StoreFailed);
        }
        let (reply, answer) = oneshot::channel();
        let append = weighbridge_agent::decode(|| {
            self.shared
                .derive(tenant, signal, format, encoding, &body, reply)
        })?;
        let append = match append {
            Ok(append) => append,
            // Nothing of it is kept.
            Err(outcome) => {
                self.shared.metrics.otlp.taken(tenant, signal, &outcome);
                return Ok(outcome);
            }
        };
        let derived = &append.derived;
        let mut services = derived
            .windows
            .iter()
            .map(|(_, service, _)| service)
            .chain(derived.parties.iter().map(|party| &party.service));
        if !services.all(|service| allowed(&service.service)) {
            return Err(Refusal::Service);
        }
        self.send(Job::Otlp(Box::new(append)))?;
        let outcome = answer.await.unwrap_or(Err(Refusal::Stopping))?;
        self.shared.metrics.otlp.taken(tenant, signal, &outcome);
        Ok(outcome)
    }
}

impl Shared {
    fn derive(
        &self,
        tenant: &Arc<str>,
        signal: Signal,
        format: Format,
        encoding: Encoding,
        body: &Bytes,
        reply: oneshot::Sender<Result<Outcome, Refusal>>,
    ) -> Result<Result<OtlpAppend, Outcome>, Refusal> {
        let mut memory = None;
        let limit_bytes = self.limits.otlp_inflated_bytes;
        let body = inflate(encoding, body, limit_bytes, &mut |bytes| {
            self.reserve(&mut memory, bytes)
        })?;
        self.reserve(&mut memory, body.len() * DERIVED_BYTES_PER_BYTE)?;
        let rules = self.rules(tenant);
        let (derived, tally) = derive(signal, format, &body, &rules, &|_, _| false)?;
        let outcome = Outcome {
            tally,
            is_repeated: false,
        };
        if derived.windows.is_empty() && derived.offers.is_empty() {
            return Ok(Err(outcome));
        }
        let encoded = derived.encode().into();
        Ok(Ok(OtlpAppend {
            signal,
            format,
            body,
            rules,
            derived,
            encoded,
            outcome,
            _memory: memory,
            reply,
        }))
    }

    fn rules(&self, tenant: &Arc<str>) -> Rules {
        let now_unix_ns = self.clock.now_unix_ns();
        let nanos = |d: std::time::Duration| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
        Rules {
            tenant: tenant.clone(),
            window_ns: nanos(self.limits.otlp_window).max(1_000_000_000),
            not_before_unix_ns: now_unix_ns
                .saturating_sub(nanos(self.limits.lateness))
                .max(1),
            not_after_unix_ns: now_unix_ns.saturating_add(nanos(self.limits.ahead)),
        }
    }
}
