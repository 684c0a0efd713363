//! Drives the spool: one delta at a time, until it is acknowledged.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use weighbridge_wire::{Epoch, Identity};

use super::backoff::Backoff;
use super::spool::{Encoder, Form, GivenUp, Spool};
use super::{Delivery, HttpTarget, Sink};
use crate::ledger::WindowEnd;

/// Where deltas go.
pub(crate) enum Target {
    /// A collector.
    Http(Box<HttpTarget>),
    /// A taker in this process.
    Sink(Arc<dyn Sink>),
}

/// What an exporter needs to know.
pub(crate) struct ExportConfig {
    /// Who speaks.
    pub(crate) identity: Identity,
    /// Which start of the process.
    pub(crate) epoch: Epoch,
    /// Where deltas go.
    pub(crate) target: Target,
    /// See [`SPOOL_WINDOWS_MAX`](super::SPOOL_WINDOWS_MAX).
    pub(crate) spool_windows_max: usize,
    /// See [`SPOOL_BYTES_MAX`](super::SPOOL_BYTES_MAX).
    pub(crate) spool_bytes_max: usize,
}

/// The spool with its way out. `offer` never waits; `pump` runs on the agent's runtime.
pub(crate) struct Exporter {
    target: Target,
    spool: Mutex<Spool>,
    /// Held by the one pump that sends.
    sender: tokio::sync::Mutex<Backoff>,
    offered: Notify,
    drained: Notify,
    hurry: Notify,
    hurrying: AtomicUsize,
    /// How often somebody began to wait for a flush.
    hurries: AtomicUsize,
    failing: AtomicBool,
    refusal_told: AtomicBool,
}

impl Exporter {
    /// An exporter with an empty spool.
    pub(crate) fn new(config: ExportConfig) -> Self {
        let form = match config.target {
            Target::Http(_) => Form::Gzip,
            Target::Sink(_) => Form::Plain,
        };
        let spool = Spool::new(
            config.identity,
            config.epoch,
            form,
            config.spool_windows_max,
            config.spool_bytes_max,
        );
        Self {
            target: config.target,
            spool: Mutex::new(spool),
            sender: tokio::sync::Mutex::default(),
            offered: Notify::new(),
            drained: Notify::new(),
            hurry: Notify::new(),
            hurrying: AtomicUsize::new(0),
            hurries: AtomicUsize::new(0),
            failing: AtomicBool::new(false),
            refusal_told: AtomicBool::new(false),
        }
    }

    /// What the rows of a window are written into.
    pub(crate) fn encoder(&self) -> Encoder {
        self.spool().encoder()
    }

    /// Takes a window. Never waits for the network.
    pub(crate) fn offer(&self, end: WindowEnd, rows: Encoder) {
        self.spool().offer(end, rows);
        self.offered.notify_one();
    }

    /// Sends what is there and waits for more, for ever. Dropping it at any point loses nothing: the delta
    /// under way stays in the spool, byte for byte. Two pumps take turns.
    pub(crate) async fn pump(&self) {
        let mut backoff = self.sender.lock().await;
        loop {
            let offered = self.offered.notified();
            let Some((seq, body)) = self.next() else {
                self.drained.notify_waiters();
                offered.await;
                continue;
            };
            let hurried = self.hurry.notified();
            let hurries = self.hurries.load(Ordering::Relaxed);
            match self.deliver(body).await {
                Delivery::Accepted => {
                    self.spool().acknowledge(seq);
                    backoff.reset();
                    if self.failing.swap(false, Ordering::Relaxed) {
                        tracing::info!(collector = %self.target_name(), "the collector takes deltas again");
                    }
                }
                Delivery::Refused { reason } => {
                    self.spool().give_up(seq, GivenUp::Refused);
                    backoff.reset();
                    if !self.refusal_told.swap(true, Ordering::Relaxed) {
                        tracing::warn!(
                            collector = %self.target_name(), seq, reason,
                            "the collector refused a delta; it is given up and counted as lost (told once)"
                        );
                    }
                }
                Delivery::Busy {
                    retry_after,
                    reason,
                } => {
                    if !self.failing.swap(true, Ordering::Relaxed) {
                        tracing::warn!(
                            collector = %self.target_name(), reason,
                            "the collector does not take deltas; they are kept and sent again (told once)"
                        );
                    }
                    let in_hurry = self.hurrying.load(Ordering::Relaxed) > 0;
                    let delay = backoff.next(retry_after, in_hurry);
                    // Who flushes may be about to end: each flush is worth one attempt, whatever the
                    // collector asked for.
                    if self.hurries.load(Ordering::Relaxed) == hurries {
                        tokio::select! {
                            () = tokio::time::sleep(delay) => {}
                            () = hurried => {}
                        }
                    }
                }
            }
        }
    }

    /// Sends until everything offered so far is acknowledged or given up. False when that took longer than
    /// `patience`; nothing is lost by that.
    pub(crate) async fn flush(&self, patience: Duration) -> bool {
        let _hurrying = Hurrying::begin(&self.hurrying);
        self.hurries.fetch_add(1, Ordering::Relaxed);
        self.hurry.notify_waiters();
        let work = async {
            tokio::select! {
                () = self.pump() => {}
                () = self.empty() => {}
            }
        };
        tokio::time::timeout(patience, work).await.is_ok()
    }

    /// True when everything offered so far is acknowledged or given up.
    pub(crate) fn is_drained(&self) -> bool {
        self.spool().is_empty()
    }

    async fn empty(&self) {
        loop {
            let mut drained = std::pin::pin!(self.drained.notified());
            drained.as_mut().enable();
            if self.is_drained() {
                return;
            }
            drained.await;
        }
    }

    fn next(&self) -> Option<(u64, Bytes)> {
        self.spool().next()
    }

    fn spool(&self) -> MutexGuard<'_, Spool> {
        // A panic while it was held left at worst a window uncounted; going on loses less than stopping.
        self.spool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn deliver(&self, body: Bytes) -> Delivery {
        match &self.target {
            Target::Http(http) => http.deliver(body).await,
            Target::Sink(sink) => {
                // A sink is somebody else's code; its panic must not end the agent.
                let delivered = catch_unwind(AssertUnwindSafe(|| sink.deliver(&body)));
                // In-process delivery never waits; others on this runtime get their turn here.
                tokio::task::yield_now().await;
                delivered.unwrap_or_else(|_| Delivery::Busy {
                    retry_after: None,
                    reason: "the sink panicked".to_owned(),
                })
            }
        }
    }

    fn target_name(&self) -> String {
        match &self.target {
            Target::Http(http) => http.address(),
            Target::Sink(_) => "sink".to_owned(),
        }
    }
}

struct Hurrying<'a>(&'a AtomicUsize);

impl<'a> Hurrying<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Hurrying<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
