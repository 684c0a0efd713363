//! The path of a delta: bounded inflate and decode → commit → acknowledge → fold → written windows.

mod ageing;
mod inflate;
mod otlp;
mod refusal;
mod view;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use weighbridge_wire::{Delta, pb};

use crate::clock::Clock;
use crate::join::Joiner;
use crate::metrics::Metrics;
use crate::store::{Blob, DeltaId, Encoding, EpochId, FoldBatch, Keep, Store, StoreError, Tier};

pub(crate) use inflate::inflate;
pub use refusal::Refusal;
pub(crate) use view::Stop;
pub use view::View;

/// Bounds and rhythms of the engine. [`Limits::default`] is what [`crate::Config`] starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// Largest request body as sent, bytes.
    pub body_bytes: usize,
    /// Largest request body after decompression, bytes; at most the wire's own limit.
    pub inflated_bytes: usize,
    /// Bytes of request bodies that may be in the collector at once, all requests together.
    pub in_flight_bytes: usize,
    /// Memory for decoded deltas until they are folded, bytes: the most they can take, see
    /// [`DECODE_BYTES_PER_BYTE`](weighbridge_wire::limits::DECODE_BYTES_PER_BYTE).
    pub decoded_bytes: usize,
    /// Deltas that may wait for their commit.
    pub queue_deltas: usize,
    /// Ranges that are read at once.
    pub readers: usize,
    /// Rows kept per window and service.
    pub rows_per_window: usize,
    /// Epochs (process starts) remembered.
    pub epochs: usize,
    /// Ranges of sequence numbers remembered per epoch.
    pub ranges_per_epoch: usize,
    /// How often folded windows are written.
    pub fold_every: Duration,
    /// Age beyond which a delta is refused, and its epoch forgotten.
    pub lateness: Duration,
    /// How far a window may lie in the future.
    pub ahead: Duration,
    /// Age beyond which everything is removed.
    pub retention: Duration,
    /// Largest body of an OTLP request as sent, bytes.
    pub otlp_body_bytes: usize,
    /// Largest body of an OTLP request after decompression, bytes.
    pub otlp_inflated_bytes: usize,
    /// Length of the windows that spans and metrics are booked to.
    pub otlp_window: Duration,
    /// How long a half of a call waits for the other.
    pub join_within: Duration,
    /// How long windows are kept as they were sent.
    pub keep_as_sent: Duration,
    /// How long sums by the minute are kept.
    pub keep_minutes: Duration,
    /// How long sums by the hour are kept.
    pub keep_hours: Duration,
    /// Bytes of folded windows beyond which every age is halved until they fit.
    pub retention_bytes: u64,
}

impl Limits {
    /// How long each tier is kept, halved so many times.
    pub(crate) fn keep(&self, halvings: u32) -> Keep {
        let halved = |age: Duration| age / (1 << halvings.min(20));
        Keep {
            as_sent: halved(self.keep_as_sent),
            minutes: halved(self.keep_minutes),
            hours: halved(self.keep_hours),
            days: halved(self.retention),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(86_400);
        Self {
            connections: 10_000,
            body_bytes: 4 << 20,
            inflated_bytes: weighbridge_wire::limits::DELTA_BYTES_MAX,
            in_flight_bytes: 64 << 20,
            decoded_bytes: 256 << 20,
            queue_deltas: 1_024,
            readers: 8,
            rows_per_window: crate::fold::ROWS_PER_WINDOW_DEFAULT,
            epochs: 100_000,
            ranges_per_epoch: 1_024,
            fold_every: Duration::from_secs(3),
            lateness: 7 * DAY,
            ahead: DAY,
            retention: 30 * DAY,
            keep_as_sent: DAY / 48,
            keep_minutes: DAY / 4,
            keep_hours: 14 * DAY,
            retention_bytes: 16 << 30,
            otlp_body_bytes: 20 << 20,
            otlp_inflated_bytes: 20 << 20,
            otlp_window: Duration::from_secs(10),
            join_within: Duration::from_secs(600),
        }
    }
}

/// What the engine's threads and handles share.
struct Shared {
    store: Arc<dyn Store>,
    limits: Limits,
    clock: Clock,
    metrics: Metrics,
    /// Deltas that are committed as blobs, but not yet written as folded windows.
    /// Held for writing from before folded windows are written until they are no longer pending, so that
    /// a reader sees each delta exactly once.
    pending: RwLock<FoldBatch>,
    /// True while the store works.
    healthy: AtomicBool,
    /// One permit per KiB of memory for decoded deltas.
    decoded: Arc<Semaphore>,
    /// Joins what OTLP spans say of each other. Locked after `pending`.
    joiner: Mutex<Joiner>,
}

/// Bytes per permit.
const KIB: usize = 1 << 10;

/// What a request holds of the memory for decoded deltas, in [`KIB`].
type Memory = Option<OwnedSemaphorePermit>;

type Reply = Box<dyn FnOnce(Result<pb::Ack, Refusal>) + Send>;

/// A delta on its way to the writer.
struct Append {
    blob: Blob,
    delta: Delta,
    /// The delta's share of the memory for decoded deltas.
    _memory: Memory,
    reply: Reply,
}

enum Job {
    Append(Box<Append>),
    Otlp(Box<otlp::OtlpAppend>),
    /// Write folded windows now.
    Fold(oneshot::Sender<Result<(), String>>),
    /// Epochs whose last window ended before this instant are forgotten.
    Forgotten(u64),
    /// The store failed on another thread.
    Broke(StoreError),
    /// Put a snapshot in the place of everything.
    Restore(PathBuf, oneshot::Sender<Result<(), StoreError>>),
}

/// Takes deltas in, once each, and answers for ranges.
pub struct Engine {
    shared: Arc<Shared>,
    jobs: Mutex<Option<SyncSender<Job>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    ageing: Mutex<Option<Ageing>>,
}

/// The thread that adds minutes up and removes what is old; it ends when `_stop` is dropped.
struct Ageing {
    _stop: SyncSender<()>,
    thread: JoinHandle<()>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("limits", &self.shared.limits)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// Folds what the store holds unfolded, and starts the writer.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read or written, or no thread can be started.
    pub fn start(
        store: Arc<dyn Store>,
        limits: Limits,
        clock: Clock,
        metrics: Metrics,
    ) -> Result<Self, StoreError> {
        let (jobs, queue) = sync_channel(limits.queue_deltas.max(1));
        let shared = Shared::recovered(store, limits, clock, metrics)?;
        let for_writer = shared.clone();
        let writer = std::thread::Builder::new()
            .name(crate::STORE_THREAD.into())
            .spawn(move || writer::run(&for_writer, &queue))
            .map_err(no_thread)?;
        let (stop, stopped) = sync_channel(0);
        let (for_ageing, to_writer) = (shared.clone(), jobs.clone());
        let thread = std::thread::Builder::new()
            // The kernel keeps so much of a name that the agent takes it for the writer's, and books it there.
            .name(format!("{}-ageing", crate::STORE_THREAD))
            .spawn(move || ageing::run(&for_ageing, &to_writer, &stopped))
            .map_err(no_thread)?;
        Ok(Self {
            shared,
            jobs: Mutex::new(Some(jobs)),
            writer: Mutex::new(Some(writer)),
            ageing: Mutex::new(Some(Ageing {
                _stop: stop,
                thread,
            })),
        })
    }

    /// Folds what the store holds unfolded, in memory; takes nothing in.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    pub fn read_only(
        store: Arc<dyn Store>,
        limits: Limits,
        clock: Clock,
        metrics: Metrics,
    ) -> Result<Self, StoreError> {
        let shared = Shared::recovered(store, limits, clock, metrics)?;
        Ok(Self {
            shared,
            jobs: Mutex::new(None),
            writer: Mutex::new(None),
            ageing: Mutex::new(None),
        })
    }

    /// Takes in one request body. The acknowledgement says that it is committed, now or before.
    ///
    /// # Errors
    /// [`Refusal`]; nothing of the delta counts then, unless it says that the store failed, when the same
    /// bytes may be sent again.
    pub async fn ingest(
        &self,
        tenant: &Arc<str>,
        encoding: Encoding,
        body: Bytes,
    ) -> Result<pb::Ack, Refusal> {
        self.ingest_allowed(tenant, encoding, body, &|_| true).await
    }

    /// [`ingest`](Self::ingest) from a sender who may not send every service.
    pub(crate) async fn ingest_allowed(
        &self,
        tenant: &Arc<str>,
        encoding: Encoding,
        body: Bytes,
        allowed: &(dyn Fn(&str) -> bool + Sync),
    ) -> Result<pb::Ack, Refusal> {
        let (reply, answer) = oneshot::channel();
        let reply = Box::new(move |outcome| {
            // The sender may have gone; it will send again and be told that it is a duplicate.
            let _ = reply.send(outcome);
        });
        self.try_submit(tenant, encoding, body, allowed, reply)
            .inspect_err(|refusal| self.shared.metrics.refused(tenant, refusal.reason()))?;
        answer.await.unwrap_or(Err(Refusal::Stopping))
    }

    /// [`ingest`](Self::ingest) for those who cannot await: `reply` is called on the store's thread once the
    /// delta is committed or refused, unless the engine stops before. It must not block.
    ///
    /// # Errors
    /// [`Refusal`], when it is refused before it is handed to the store; `reply` is not called then.
    pub fn submit(
        &self,
        tenant: &Arc<str>,
        encoding: Encoding,
        body: Bytes,
        reply: impl FnOnce(Result<pb::Ack, Refusal>) + Send + 'static,
    ) -> Result<(), Refusal> {
        self.try_submit(tenant, encoding, body, &|_| true, Box::new(reply))
            .inspect_err(|refusal| self.shared.metrics.refused(tenant, refusal.reason()))
    }

    fn try_submit(
        &self,
        tenant: &Arc<str>,
        encoding: Encoding,
        body: Bytes,
        allowed: &dyn Fn(&str) -> bool,
        reply: Reply,
    ) -> Result<(), Refusal> {
        if !self.is_healthy() {
            return Err(Refusal::StoreFailed);
        }
        let (delta, memory) = weighbridge_agent::decode(|| {
            let mut memory = None;
            let inflated = self.shared.inflate(encoding, &body, &mut memory)?;
            self.shared.reserve_decoded(&mut memory, &inflated)?;
            Ok((decode(&inflated)?, memory))
        })?;
        if !allowed(&delta.identity.service) {
            return Err(Refusal::Service);
        }
        self.shared.check_time(&delta)?;
        let epoch = EpochId {
            tenant: tenant.clone(),
            epoch: delta.epoch,
        };
        let blob = Blob {
            id: DeltaId {
                epoch,
                seq: delta.seq,
            },
            encoding,
            body,
        };
        self.send(Job::Append(Box::new(Append {
            blob,
            delta,
            _memory: memory,
            reply,
        })))
    }

    fn send(&self, job: Job) -> Result<(), Refusal> {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let jobs = jobs.as_ref().ok_or(Refusal::Stopping)?;
        // Counted before the job is sent, so that the writer never takes off more than was put on.
        self.shared.metrics.queued();
        jobs.try_send(job).map_err(|error| {
            self.shared.metrics.unqueued();
            match error {
                TrySendError::Full(_) => Refusal::QueueFull,
                TrySendError::Disconnected(_) => Refusal::Stopping,
            }
        })
    }

    /// Writes folded windows now, and returns when they are on disk.
    ///
    /// # Errors
    /// What the store said; it is tried again by itself.
    pub async fn fold_now(&self) -> Result<(), String> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Fold(reply))
            .map_err(|refusal| refusal.to_string())?;
        answer.await.map_err(|_| Refusal::Stopping.to_string())?
    }

    /// Writes everything that is acknowledged, as it stands, into a new file. Blocks, and nothing waits for it.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read, or the file exists or cannot be written.
    pub fn snapshot(&self, to: &Path) -> Result<(), StoreError> {
        self.shared.store.snapshot(to)
    }

    /// Puts what a snapshot holds in the place of everything. The file is the caller's to remove.
    ///
    /// # Errors
    /// [`StoreError`]; when the snapshot is at fault, nothing was changed.
    pub async fn restore(&self, from: PathBuf) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        let stopping = |why: Refusal| StoreError::Failed(why.to_string());
        self.send(Job::Restore(from, reply)).map_err(stopping)?;
        answer.await.map_err(|_| stopping(Refusal::Stopping))?
    }

    /// Every folded window of a tenant that starts in `[since_unix_ns, until_unix_ns)`, with what is not
    /// written yet, and with rows for what never came.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    pub fn view(
        &self,
        tenant: &str,
        since_unix_ns: u64,
        until_unix_ns: u64,
    ) -> Result<View, StoreError> {
        self.shared.view(
            Some(tenant),
            since_unix_ns,
            until_unix_ns,
            None,
            &Stop::default(),
        )
    }

    /// [`view`](Self::view) not finer than a tier.
    ///
    /// # Errors
    /// As for [`view`](Self::view).
    pub fn view_by(
        &self,
        tenant: &str,
        since_unix_ns: u64,
        until_unix_ns: u64,
        finest: Option<Tier>,
    ) -> Result<View, StoreError> {
        self.shared.view(
            Some(tenant),
            since_unix_ns,
            until_unix_ns,
            finest,
            &Stop::default(),
        )
    }

    /// [`view_by`](Self::view_by) that ends with an error once it is told to stop.
    pub(crate) fn view_until(
        &self,
        tenant: &str,
        since_unix_ns: u64,
        until_unix_ns: u64,
        finest: Option<Tier>,
        stop: &Stop,
    ) -> Result<View, StoreError> {
        self.shared
            .view(Some(tenant), since_unix_ns, until_unix_ns, finest, stop)
    }

    /// [`view`](Self::view) of all tenants together, for who holds the directory itself.
    ///
    /// # Errors
    /// As for [`view`](Self::view).
    pub fn view_all(&self, since_unix_ns: u64, until_unix_ns: u64) -> Result<View, StoreError> {
        self.shared
            .view(None, since_unix_ns, until_unix_ns, None, &Stop::default())
    }

    /// Bounds and rhythms.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// True while the store works.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.shared.healthy.load(Ordering::Relaxed)
    }

    /// Takes in nothing more, commits and folds what waits, and stops the writer. Blocks.
    pub fn stop(&self) {
        let ageing = self
            .ageing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(Ageing {
            _stop: stop,
            thread,
        }) = ageing
        {
            drop(stop);
            if thread.join().is_err() {
                tracing::error!("the thread that adds minutes up had panicked");
            }
        }
        drop(
            self.jobs
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        let writer = self
            .writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if writer.is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("the store's thread had panicked");
        }
    }
}

impl Shared {
    /// A joiner that a panic left behind is still a joiner.
    fn joiner(&self) -> MutexGuard<'_, Joiner> {
        self.joiner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn recovered(
        store: Arc<dyn Store>,
        limits: Limits,
        clock: Clock,
        metrics: Metrics,
    ) -> Result<Arc<Self>, StoreError> {
        let permits = (limits.decoded_bytes / KIB).clamp(1, Semaphore::MAX_PERMITS);
        let window_ns = u64::try_from(limits.otlp_window.as_nanos()).unwrap_or(u64::MAX);
        let shared = Self {
            decoded: Arc::new(Semaphore::new(permits)),
            joiner: Mutex::new(Joiner::new(window_ns, limits.join_within)),
            store,
            limits,
            clock,
            metrics,
            pending: RwLock::default(),
            healthy: AtomicBool::new(true),
        };
        writer::recover(&shared)?;
        Ok(Arc::new(shared))
    }

    /// Inflates a delta; what that takes meanwhile is added to `memory`.
    fn inflate(
        &self,
        encoding: Encoding,
        body: &Bytes,
        memory: &mut Memory,
    ) -> Result<Bytes, Refusal> {
        inflate(encoding, body, self.delta_bytes(), &mut |bytes| {
            self.reserve(memory, bytes)
        })
    }

    /// Most bytes of a delta.
    fn delta_bytes(&self) -> usize {
        let most = weighbridge_wire::limits::DELTA_BYTES_MAX;
        self.limits.inflated_bytes.min(most)
    }

    /// Reserves what the decoded delta may take at most.
    fn reserve_decoded(&self, memory: &mut Memory, inflated: &Bytes) -> Result<(), Refusal> {
        use weighbridge_wire::limits::{DECODE_BASE_BYTES, DECODE_BYTES_PER_BYTE};
        self.reserve(
            memory,
            inflated.len() * DECODE_BYTES_PER_BYTE + DECODE_BASE_BYTES,
        )
    }

    /// Sees to it that a request has so many bytes. One that could take everything gets it.
    fn reserve(&self, memory: &mut Memory, bytes: usize) -> Result<(), Refusal> {
        let most = (self.limits.decoded_bytes / KIB).clamp(1, Semaphore::MAX_PERMITS);
        let had = memory.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let wanted = (bytes / KIB + 1).min(most).saturating_sub(had);
        if wanted == 0 {
            return Ok(());
        }
        let more = self
            .decoded
            .clone()
            .try_acquire_many_owned(u32::try_from(wanted).unwrap_or(u32::MAX))
            .map_err(|_| Refusal::Busy {
                limit_bytes: self.limits.decoded_bytes,
            })?;
        match memory {
            Some(permit) => permit.merge(more),
            None => *memory = Some(more),
        }
        Ok(())
    }

    fn check_time(&self, delta: &Delta) -> Result<(), Refusal> {
        let now_unix_ns = self.clock.now_unix_ns();
        let nanos = |d: Duration| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
        if delta.window.end_unix_ns < now_unix_ns.saturating_sub(nanos(self.limits.lateness)) {
            return Err(Refusal::TooOld);
        }
        if delta.window.start_unix_ns > now_unix_ns.saturating_add(nanos(self.limits.ahead)) {
            return Err(Refusal::Ahead);
        }
        Ok(())
    }
}

#[allow(clippy::needless_pass_by_value)] // for `map_err`
fn no_thread(error: std::io::Error) -> StoreError {
    StoreError::Failed(format!("cannot start a thread: {error}"))
}

fn decode(inflated: &Bytes) -> Result<Delta, Refusal> {
    Delta::decode(inflated).map_err(|error| Refusal::Malformed(error.to_string()))
}

#[cfg(test)]
mod tests;
