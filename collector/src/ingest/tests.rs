//! Exactly once: whatever is sent, sent again, folded, killed or unplugged, totals end the same.

mod arrival;
mod full_disk;
mod losses;
mod one_graph;
mod retention;
mod snapshot;
mod spans;
mod summing;
mod together;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use weighbridge_wire::{LossKey, RowKind, RowSet, RowValue, ServiceId, Window, column};

use super::*;
use crate::store::{
    Aged, Appended, EpochState, HalfRun, Marks, MemoryStore, Plan, RedbStore, Scan,
};
use crate::testing::SECOND_NS;
use crate::testing::disk::Disk;
use crate::testing::{DeltaSpec, START_UNIX_NS, eventually, gzip};

type Totals = BTreeMap<(Window, ServiceId), RowSet>;

fn limits() -> Limits {
    // Tests say themselves when to fold.
    Limits {
        fold_every: Duration::from_secs(3_600),
        ..Limits::default()
    }
}

fn clock() -> Clock {
    Clock::fixed(START_UNIX_NS + 100 * SECOND_NS)
}

fn start(store: Arc<dyn Store>) -> Engine {
    Engine::start(store, limits(), clock(), Metrics::new()).expect("the store works")
}

async fn send(engine: &Engine, delta: &Delta) -> Result<pb::Ack, Refusal> {
    engine
        .ingest(&"".into(), Encoding::Gzip, gzip(&delta.encode()).into())
        .await
}

/// What is stored, loss rows apart.
fn totals(engine: &Engine) -> (Totals, RowSet) {
    let mut totals = Totals::new();
    let mut losses = RowSet::new();
    for folded in engine.view("", 0, u64::MAX).expect("readable") {
        let folded = folded.expect("readable");
        let mut rows = RowSet::new();
        for (key, value) in folded.rows.iter() {
            let into = if key.kind == RowKind::Loss.to_wire() {
                &mut losses
            } else {
                &mut rows
            };
            into.add(key.clone(), value);
        }
        let before = totals.insert((folded.window, folded.service), rows);
        assert!(before.is_none(), "a window appeared twice");
    }
    totals.retain(|_, rows| !rows.is_empty());
    (totals, losses)
}

fn expected<'a>(deltas: impl IntoIterator<Item = &'a Delta>) -> Totals {
    let mut totals = Totals::new();
    for delta in deltas {
        let service = ServiceId {
            service: delta.identity.service.clone(),
            ..ServiceId::default()
        };
        totals
            .entry((delta.window, service))
            .or_default()
            .merge(&delta.rows);
    }
    totals
}

/// Three starts of two services, five deltas each; windows overlap.
fn pool() -> Vec<Delta> {
    (1..=3u8)
        .flat_map(|epoch| {
            (0..5).map(move |seq| {
                let service = if epoch == 3 { "warehouse" } else { "store" };
                DeltaSpec::new(epoch, seq).service(service).delta()
            })
        })
        .collect()
}

/// A disk for one engine; opened once.
#[derive(Clone, Debug, Default)]
struct Shared(Arc<redb::backends::InMemoryBackend>);

impl redb::StorageBackend for Shared {
    fn len(&self) -> std::io::Result<u64> {
        self.0.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.0.read(offset, out)
    }
    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.0.set_len(len)
    }
    fn sync_data(&self) -> std::io::Result<()> {
        Ok(())
    }
    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.0.write(offset, data)
    }
}

/// A store in a process that can be killed: from then on it does nothing any more.
struct Mortal {
    inner: Arc<dyn Store>,
    dead: AtomicBool,
}

impl Mortal {
    fn alive(&self) -> Result<&dyn Store, StoreError> {
        if self.dead.load(Ordering::SeqCst) {
            return Err(StoreError::Failed("killed".into()));
        }
        Ok(&*self.inner)
    }
}

impl Store for Mortal {
    fn append(&self, blobs: &[Blob]) -> Result<Vec<Appended>, StoreError> {
        self.alive()?.append(blobs)
    }
    fn fold(&self, batch: &FoldBatch) -> Result<(), StoreError> {
        self.alive()?.fold(batch)
    }
    fn write_run(&self, run: &HalfRun) -> Result<(), StoreError> {
        self.alive()?.write_run(run)
    }
    fn scan(
        &self,
        since: u64,
        until: u64,
        finest: Option<Tier>,
    ) -> Result<(Plan, Scan), StoreError> {
        self.alive()?.scan(since, until, finest)
    }
    fn window_bytes(&self) -> u64 {
        self.inner.window_bytes()
    }
    fn halves(&self) -> Result<(Vec<u64>, Option<Vec<u8>>), StoreError> {
        self.alive()?.halves()
    }
    fn half_chunk(&self, run: u64, key: u64) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        self.alive()?.half_chunk(run, key)
    }
    fn half_chunks(&self, run: u64) -> Result<Vec<Vec<u8>>, StoreError> {
        self.alive()?.half_chunks(run)
    }
    fn spilled_runs(&self) -> Result<Vec<u64>, StoreError> {
        self.alive()?.spilled_runs()
    }
    fn spilled(&self, run: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.alive()?.spilled(run)
    }
    fn epochs(&self, visit: &mut dyn FnMut(&EpochId, &EpochState)) -> Result<(), StoreError> {
        self.alive()?.epochs(visit)
    }
    fn age(&self, due: Marks, epochs: u64) -> Result<Aged, StoreError> {
        self.alive()?.age(due, epochs)
    }
    fn snapshot(&self, to: &Path) -> Result<(), StoreError> {
        self.alive()?.snapshot(to)
    }
    fn restore(&self, from: &Path) -> Result<(), StoreError> {
        self.alive()?.restore(from)
    }
    fn recover(
        &self,
        visit: &mut dyn FnMut(Blob) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.alive()?.recover(visit)
    }
}

fn on_disk(disk: &Disk) -> Arc<dyn Store> {
    let disk = disk.clone();
    Arc::new(RedbStore::open_backend(1_000, move || disk.open()).unwrap())
}

/// A collector process that can be killed and started again on what remained.
struct Process {
    open: Box<dyn Fn() -> Arc<dyn Store>>,
    mortal: Arc<Mortal>,
    engine: Engine,
}

impl Process {
    fn new(open: impl Fn() -> Arc<dyn Store> + 'static) -> Self {
        let mortal = Arc::new(Mortal {
            inner: open(),
            dead: AtomicBool::new(false),
        });
        let engine = start(mortal.clone());
        Self {
            open: Box::new(open),
            mortal,
            engine,
        }
    }

    fn on_disk(disk: &Disk) -> Self {
        let disk = disk.clone();
        Self::new(move || on_disk(&disk))
    }

    fn kill(&mut self, before_restart: impl FnOnce()) {
        self.mortal.dead.store(true, Ordering::SeqCst);
        self.engine.stop();
        before_restart();
        self.mortal = Arc::new(Mortal {
            inner: (self.open)(),
            dead: AtomicBool::new(false),
        });
        self.engine = start(self.mortal.clone());
    }
}

#[derive(Clone, Debug)]
enum Step {
    Send(usize),
    Fold,
    Kill,
}

#[derive(Clone, Debug)]
enum DiskStep {
    Plain(Step),
    /// The disk fails after so many changes; then the power goes, and these unsynced changes survive.
    FailThenCut(u32, usize, u64),
    CutPower(u64),
}

fn step(pool: usize) -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..pool).prop_map(Step::Send),
        2 => Just(Step::Fold),
        1 => Just(Step::Kill),
    ]
}

fn disk_step(pool: usize) -> impl Strategy<Value = DiskStep> {
    prop_oneof![
        6 => step(pool).prop_map(DiskStep::Plain),
        2 => (0u32..60, 0..pool, any::<u64>())
            .prop_map(|(n, i, survivors)| DiskStep::FailThenCut(n, i, survivors)),
        1 => any::<u64>().prop_map(DiskStep::CutPower),
    ]
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// Of a pool, what was acknowledged while disks failed and the power went, and what may count although it was not.
#[derive(Default)]
struct Answered {
    acknowledged: BTreeSet<usize>,
    perhaps: BTreeSet<usize>,
}

impl Answered {
    /// Does one step. `send` sends one of the pool and says whether that had come before.
    async fn step(
        &mut self,
        process: &mut Process,
        disk: &Disk,
        step: &DiskStep,
        send: impl AsyncFn(&Engine, usize) -> Result<bool, Refusal>,
    ) {
        match step {
            DiskStep::Plain(Step::Send(i)) => {
                let is_repeated = send(&process.engine, *i).await.expect("accepted");
                let is_new = self.acknowledged.insert(*i);
                assert!(is_repeated || is_new, "{i} counts twice");
            }
            DiskStep::Plain(Step::Fold) => process.engine.fold_now().await.expect("folded"),
            DiskStep::Plain(Step::Kill) => process.kill(|| disk.cut_power(u64::MAX)),
            DiskStep::CutPower(survivors) => process.kill(|| disk.cut_power(*survivors)),
            DiskStep::FailThenCut(changes, i, survivors) => {
                disk.fail_after(*changes);
                match send(&process.engine, *i).await {
                    Ok(_) => self.acknowledged.insert(*i),
                    Err(_) => self.perhaps.insert(*i),
                };
                // Whether it works or not, nothing may be lost or counted twice.
                let _ = process.engine.fold_now().await;
                process.kill(|| disk.cut_power(*survivors));
            }
        }
    }

    /// These count: all that were acknowledged, and none that was never sent.
    fn hold(&self, counted: &BTreeSet<usize>, after: &DiskStep) {
        assert!(
            counted.is_superset(&self.acknowledged),
            "lost after {after:?}"
        );
        let was_sent = |i: &usize| self.acknowledged.contains(i) || self.perhaps.contains(i);
        assert!(counted.iter().all(was_sent), "invented after {after:?}");
    }
}

async fn play(process: &mut Process, steps: &[Step]) {
    let pool = pool();
    let mut acknowledged = BTreeSet::new();
    for step in steps {
        match step {
            Step::Send(i) => {
                let ack = send(&process.engine, &pool[*i]).await.expect("accepted");
                assert_eq!(ack.duplicate, !acknowledged.insert(*i), "{step:?}");
            }
            Step::Fold => process.engine.fold_now().await.expect("folded"),
            Step::Kill => process.kill(|| {}),
        }
        let now = expected(acknowledged.iter().map(|&i| &pool[i]));
        assert_eq!(totals(&process.engine).0, now, "after {step:?}");
    }
    for delta in &pool {
        send(&process.engine, delta).await.expect("accepted");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn sends_resends_folds_and_kills_count_each_delta_once(
        steps in proptest::collection::vec(step(15), 0..40),
    ) {
        runtime().block_on(async {
            let memory: Arc<dyn Store> = Arc::new(MemoryStore::new(1_000));
            let mut memory = Process::new(move || memory.clone());
            play(&mut memory, &steps).await;
            let redb: Arc<dyn Store> = {
                let disk = Disk::default();
                Arc::new(RedbStore::open_backend(1_000, move || disk.open()).unwrap())
            };
            let mut redb = Process::new(move || redb.clone());
            play(&mut redb, &steps).await;
            let all = pool();
            for process in [&memory, &redb] {
                let (found, losses) = totals(&process.engine);
                assert_eq!(found, expected(&all));
                assert!(losses.is_empty(), "{losses:?}");
            }
        });
    }

    #[test]
    fn power_cuts_and_failing_disks_lose_nothing_acknowledged(
        steps in proptest::collection::vec(disk_step(15), 0..25),
    ) {
        runtime().block_on(async {
            let pool = pool();
            let disk = Disk::default();
            let mut process = Process::on_disk(&disk);
            let mut answered = Answered::default();
            for step in &steps {
                let resend = async |engine: &Engine, i: usize| {
                    send(engine, &pool[i]).await.map(|ack| ack.duplicate)
                };
                answered.step(&mut process, &disk, step, resend).await;
                let (found, _) = totals(&process.engine);
                let ids: BTreeSet<usize> = pool
                    .iter()
                    .enumerate()
                    .filter(|(_, delta)| is_in(&found, delta))
                    .map(|(i, _)| i)
                    .collect();
                answered.hold(&ids, step);
                assert_eq!(found, expected(ids.iter().map(|&i| &pool[i])), "after {step:?}");
            }
            for delta in &pool {
                send(&process.engine, delta).await.expect("accepted");
            }
            let (found, losses) = totals(&process.engine);
            assert_eq!(found, expected(&pool));
            assert!(losses.is_empty(), "{losses:?}");
        });
    }
}

/// Whether a delta of the pool stands in totals: its CPU tells, since the deltas of one window and service
/// differ in it and no sum of some equals a sum of others.
fn is_in(totals: &Totals, delta: &Delta) -> bool {
    let service = ServiceId {
        service: delta.identity.service.clone(),
        ..ServiceId::default()
    };
    let Some(rows) = totals.get(&(delta.window, service.clone())) else {
        return false;
    };
    let candidates: Vec<_> = pool()
        .into_iter()
        .filter(|other| other.window == delta.window && other.identity.service == service.service)
        .collect();
    let cpu_ns = rows.accounts_cpu_ns();
    let fits = |subset: u32| {
        let sum: i64 = candidates
            .iter()
            .enumerate()
            .filter(|(i, _)| subset >> i & 1 == 1)
            .map(|(_, other)| other.rows.accounts_cpu_ns())
            .sum();
        sum == cpu_ns
    };
    let Some(subset) = (0..1u32 << candidates.len()).find(|&subset| fits(subset)) else {
        panic!("{cpu_ns} ns is no sum of deltas")
    };
    candidates
        .iter()
        .enumerate()
        .any(|(i, other)| other == delta && subset >> i & 1 == 1)
}

#[tokio::test]
async fn a_failed_store_refuses_with_a_time_to_come_again_and_then_works_again() {
    let disk = Disk::default();
    let store = {
        let disk = disk.clone();
        RedbStore::open_backend(1_000, move || disk.open()).unwrap()
    };
    let engine = start(Arc::new(store));
    let deltas = pool();
    send(&engine, &deltas[0]).await.unwrap();
    disk.fail_after(0);
    let refusal = send(&engine, &deltas[1]).await.unwrap_err();
    assert_eq!(refusal, Refusal::StoreFailed);
    assert_eq!(refusal.status(), http::StatusCode::SERVICE_UNAVAILABLE);
    assert!(refusal.retry_after_seconds().is_some());
    assert!(!engine.is_healthy());
    disk.repair();
    eventually("the store is opened again", || engine.is_healthy()).await;
    for delta in &deltas {
        send(&engine, delta).await.unwrap();
    }
    assert_eq!(totals(&engine).0, expected(&deltas));
}

#[tokio::test]
async fn a_row_of_an_unknown_kind_survives_ingest_restart_and_scan() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1_000));
    let mut delta = DeltaSpec::new(1, 0).delta();
    let key = weighbridge_wire::RowKey {
        kind: 777,
        quality: weighbridge_wire::Quality::Other(9),
        parts: ["a".into(), "".into(), "c".into()].into(),
    };
    let mut value = RowValue::new().with(4_000, 5).with(4_001, 6).with(4_002, 7);
    value.histogram_mut(4_004).record(12);
    delta.rows.add(key.clone(), &value);
    let mut process = Process::new(move || store.clone());
    send(&process.engine, &delta).await.unwrap();
    process.kill(|| {});
    process.engine.fold_now().await.unwrap();
    let mut second = DeltaSpec::new(2, 0).delta();
    second.rows.add(key.clone(), &value);
    send(&process.engine, &second).await.unwrap();
    process.engine.fold_now().await.unwrap();
    process.kill(|| {});
    let found: Vec<_> = process.engine.view("", 0, u64::MAX).unwrap().collect();
    let row = found[0].as_ref().unwrap().rows.get(&key).unwrap();
    // Sum, maximum, minimum, by the column number alone.
    assert_eq!(
        [4_000, 4_001, 4_002].map(|c| row.get(c)),
        [Some(10), Some(6), Some(7)]
    );
    assert_eq!(row.histogram(4_004).unwrap().count(), 2);
}

#[tokio::test]
async fn late_data_folds_into_its_own_window_and_beyond_the_horizon_it_is_refused() {
    const DAY_NS: u64 = 86_400 * SECOND_NS;
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1_000));
    let engine = start(store);
    let now = clock().now_unix_ns();
    let late = DeltaSpec::new(1, 0).start(now - 6 * DAY_NS).delta();
    let recent = DeltaSpec::new(1, 1).start(now - SECOND_NS).delta();
    send(&engine, &recent).await.unwrap();
    engine.fold_now().await.unwrap();
    send(&engine, &late).await.unwrap();
    assert_eq!(totals(&engine).0, expected([&late, &recent]));
    let too_old = DeltaSpec::new(1, 2).start(now - 8 * DAY_NS).delta();
    assert_eq!(send(&engine, &too_old).await, Err(Refusal::TooOld));
    let ahead = DeltaSpec::new(1, 2).start(now + 2 * DAY_NS).delta();
    assert_eq!(send(&engine, &ahead).await, Err(Refusal::Ahead));
    let metrics = engine.shared.metrics.encode();
    assert!(
        metrics.contains("refused_deltas_total{reason=\"too_old\"} 1"),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_range_holds_the_windows_that_start_inside_it() {
    let engine = start(Arc::new(MemoryStore::new(1_000)));
    for seq in 0..5 {
        send(&engine, &DeltaSpec::new(1, seq).delta())
            .await
            .unwrap();
        if seq == 2 {
            engine.fold_now().await.unwrap();
        }
    }
    let starts = |since: u64, until: u64| -> Vec<u64> {
        engine
            .view("", START_UNIX_NS + since, START_UNIX_NS + until)
            .unwrap()
            .map(|folded| (folded.unwrap().window.start_unix_ns - START_UNIX_NS) / SECOND_NS)
            .collect()
    };
    assert_eq!(starts(0, 5 * SECOND_NS), [0, 1, 2, 3, 4]);
    assert_eq!(starts(SECOND_NS, 3 * SECOND_NS), [1, 2]);
    assert_eq!(starts(SECOND_NS + 1, 3 * SECOND_NS + 1), [2, 3]);
    assert_eq!(starts(SECOND_NS, SECOND_NS), [] as [u64; 0]);
    assert!(
        engine
            .view("another tenant", 0, u64::MAX)
            .unwrap()
            .next()
            .is_none()
    );
}

#[tokio::test]
async fn a_view_that_is_told_to_stop_reads_no_further() {
    let engine = start(Arc::new(MemoryStore::new(1_000)));
    for seq in 0..3 {
        send(&engine, &DeltaSpec::new(1, seq).delta())
            .await
            .unwrap();
    }
    let stop = Stop::default();
    let mut view = engine.view_until("", 0, u64::MAX, None, &stop).unwrap();
    assert!(view.next().unwrap().is_ok());
    stop.set();
    assert!(view.next().unwrap().is_err());
    engine.stop();
}

#[tokio::test]
async fn what_never_came_stands_in_the_range() {
    let engine = start(Arc::new(MemoryStore::new(1_000)));
    let missing = DeltaSpec::new(1, 1);
    for seq in [0, 2] {
        send(&engine, &DeltaSpec::new(1, seq).delta())
            .await
            .unwrap();
    }
    let (_, losses) = totals(&engine);
    let (key, value) = losses.iter().next().expect("a loss row");
    assert_eq!(&*LossKey::read(key).unwrap().reason, "never came");
    assert_eq!(value.get(column::LOST), Some(1));
    assert_eq!(value.get(column::LOST_CPU_NS), Some(missing.total_cpu_ns()));
    engine.fold_now().await.unwrap();
    assert_eq!(totals(&engine).1, losses);
    send(&engine, &missing.delta()).await.unwrap();
    assert!(totals(&engine).1.is_empty());
}

#[tokio::test]
async fn hostile_deltas_are_refused_with_a_reason() {
    let engine = start(Arc::new(MemoryStore::new(1_000)));
    let good = DeltaSpec::new(1, 0).delta();
    let mut cases = Vec::new();
    let mut nameless = good.clone();
    nameless.identity.service.clear();
    cases.push(nameless.encode());
    let mut backwards = good.clone();
    backwards.window.end_unix_ns = backwards.window.start_unix_ns;
    cases.push(backwards.encode());
    let mut huge = good.clone();
    huge.rows.add(
        crate::testing::operation("GET /"),
        &RowValue::new().with(column::CPU_HANDLER_NS, i64::MAX),
    );
    cases.push(huge.encode());
    let encoded = good.encode();
    cases.push(encoded[..encoded.len() / 2].to_vec());
    cases.push(b"{\"not\": \"protobuf\"}".to_vec());
    cases.push(Vec::new());
    cases.push([7 << 3 | 2, 0].repeat(1 << 20));
    for body in cases {
        let shown = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
        let outcome = engine
            .ingest(&"".into(), Encoding::Identity, body.into())
            .await;
        assert!(
            matches!(outcome, Err(Refusal::Malformed(_))),
            "{shown}: {outcome:?}"
        );
    }
    let bomb = gzip(&vec![0; 64 << 20]);
    let outcome = engine.ingest(&"".into(), Encoding::Gzip, bomb.into()).await;
    assert!(
        matches!(outcome, Err(Refusal::TooLarge { .. })),
        "{outcome:?}"
    );
    assert!(totals(&engine).0.is_empty());
}

#[tokio::test]
async fn what_is_remembered_is_bounded() {
    let limits = Limits {
        epochs: 2,
        ranges_per_epoch: 2,
        ..limits()
    };
    let store = Arc::new(MemoryStore::new(1_000));
    let engine = Engine::start(store, limits, clock(), Metrics::new()).unwrap();
    for seq in [0, 2] {
        send(&engine, &DeltaSpec::new(1, seq).delta())
            .await
            .unwrap();
    }
    assert_eq!(
        send(&engine, &DeltaSpec::new(1, 4).delta()).await,
        Err(Refusal::TooManyGaps)
    );
    send(&engine, &DeltaSpec::new(1, 1).delta()).await.unwrap();
    send(&engine, &DeltaSpec::new(1, 4).delta()).await.unwrap();
    send(&engine, &DeltaSpec::new(2, 0).delta()).await.unwrap();
    assert_eq!(
        send(&engine, &DeltaSpec::new(3, 0).delta()).await,
        Err(Refusal::TooManyEpochs)
    );
}

#[tokio::test]
async fn after_the_stop_everything_is_folded_and_nothing_more_is_taken() {
    let store = Arc::new(MemoryStore::new(1_000));
    let engine = start(store.clone());
    send(&engine, &DeltaSpec::new(1, 0).delta()).await.unwrap();
    engine.stop();
    assert_eq!(
        send(&engine, &DeltaSpec::new(1, 1).delta()).await,
        Err(Refusal::Stopping)
    );
    let mut blobs = 0;
    store
        .recover(&mut |_| {
            blobs += 1;
            Ok(())
        })
        .unwrap();
    assert_eq!(blobs, 0);
    assert_eq!(store.scan(0, u64::MAX, None).unwrap().1.count(), 1);
}
