//! A large system over a month: what the ledger takes on disk, and how long a rollup of all of it takes.
//!
//! By default a thousandth of it, with shorter tiers, so that the test is one; `cargo xtask evidence month` runs the
//! whole in a release build and prints the figures.
#![allow(clippy::unwrap_used)] // the helpers of a test
#![allow(clippy::disallowed_methods)] // it measures time

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use weighbridge_collector::store::{
    Blob, DeltaId, Encoding, EpochId, FoldBatch, Keep, Marks, RedbStore, Store as _,
};
use weighbridge_collector::{Clock, Engine, Limits, Metrics};
use weighbridge_wire::{
    DistributionKey, EdgeKey, EdgeSizeKey, Epoch, OperationKey, OwnerKey, ProcessKey, Quality,
    RowKind, RowSet, RowValue, ServiceId, Window, column,
};

const SECOND_NS: u64 = 1_000_000_000;
const DAY_NS: u64 = 86_400 * SECOND_NS;
const DAYS: u64 = 30;
const EDGES_PER_SERVICE: u64 = 10;
const OPERATIONS: u64 = 3;

/// Numbers from a seed (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// About `mean`, spread by a half either way.
    fn about(&mut self, mean: u64) -> i64 {
        i64::try_from(mean / 2 + self.next() % mean.max(1)).unwrap()
    }
}

fn name(service: u64) -> String {
    format!("shop-service-{service:04}")
}

fn operation(n: u64) -> String {
    format!("POST /v1/orders/{{id}}/part-{n}")
}

/// The rows of one service in one window: each of its operations is asked by several callers, it calls ten others and
/// is called by ten, and every edge has two size classes. No two figures are alike.
fn rows(service: u64, services: u64, seconds: u64, random: &mut Random) -> RowSet {
    let mut rows = RowSet::new();
    let empty: Arc<str> = "".into();
    let origin: Arc<str> = name(service % 7).into();
    let requests = 20 * seconds;
    let cpu = |value: RowValue, random: &mut Random, unit: u64| {
        value
            .with(column::CPU_ENCODE_NS, random.about(unit * 4_000))
            .with(column::CPU_DECODE_NS, random.about(unit * 3_000))
            .with(column::CPU_PROTOCOL_NS, random.about(unit * 9_000))
            .with(column::CPU_IO_NS, random.about(unit * 11_000))
    };
    for edge in 0..EDGES_PER_SERVICE {
        let of: Arc<str> = operation(edge % OPERATIONS).into();
        let other = (service + edge * 37 + 1) % services;
        let peer: Arc<str> = name(other).into();
        let key = OperationKey {
            component: empty.clone(),
            operation: of.clone(),
            class: empty.clone(),
            caller_service: peer.clone(),
            caller_operation: of.clone(),
            origin_service: origin.clone(),
            origin_operation: of.clone(),
        };
        let value = RowValue::new()
            .with(column::STARTED, random.about(requests))
            .with(column::ENDED, random.about(requests))
            .with(column::IN_FLIGHT_NS, random.about(requests * 9_000_000))
            .with(column::WALL_NS, random.about(requests * 9_000_000))
            .with(column::WAIT_CALL_NS, random.about(requests * 5_000_000))
            .with(column::CPU_HANDLER_NS, random.about(requests * 300_000))
            .with(column::ALLOC_BYTES, random.about(requests * 40_000))
            .with(column::ALLOC_COUNT, random.about(requests * 200))
            .with(column::FREED_BYTES, random.about(requests * 40_000))
            .with(column::PEAK_LIVE_BYTES, random.about(90_000))
            .with(column::PEAK_LIVE_SUM_BYTES, random.about(requests * 60_000));
        rows.add(
            key.row_key(Quality::Measured),
            &cpu(value, random, requests),
        );
        for side in ["caller", "callee"] {
            let key = EdgeKey {
                side: side.into(),
                mode: "sync".into(),
                transport: "http".into(),
                component: empty.clone(),
                operation: of.clone(),
                class: empty.clone(),
                peer_service: peer.clone(),
                peer_operation: of.clone(),
                call_id: format!("{other:08x}{edge:02x}").into(),
                peer: peer.clone(),
                target: of.clone(),
                origin_service: origin.clone(),
                origin_operation: of.clone(),
            };
            let value = RowValue::new()
                .with(column::REQUEST_MESSAGES, random.about(requests))
                .with(column::REQUEST_BODY_BYTES, random.about(requests * 900))
                .with(column::RESPONSE_MESSAGES, random.about(requests))
                .with(column::RESPONSE_BODY_BYTES, random.about(requests * 3_000))
                .with(column::WAIT_NS, random.about(requests * 4_000_000));
            rows.add(
                key.row_key(Quality::Measured),
                &cpu(value, random, requests),
            );
            for direction in ["request", "response"] {
                let key = EdgeSizeKey {
                    side: side.into(),
                    transport: "http".into(),
                    operation: of.clone(),
                    peer_service: peer.clone(),
                    peer_operation: of.clone(),
                    call_id: format!("{other:08x}{edge:02x}").into(),
                    direction: direction.into(),
                    size_class: "5".into(),
                };
                let value = RowValue::new()
                    .with(column::MESSAGES, random.about(requests))
                    .with(column::BODY_BYTES, random.about(requests * 900));
                rows.add(
                    key.row_key(Quality::Measured),
                    &cpu(value, random, requests),
                );
            }
        }
    }
    for n in 0..OPERATIONS {
        let key = DistributionKey {
            component: empty.clone(),
            operation: operation(n).into(),
            class: empty.clone(),
            scope: "operation".into(),
        };
        let value = rows.row_mut(key.row_key(Quality::Measured));
        for column in [column::HIST_REQUEST_CPU_NS, column::HIST_WALL_NS] {
            for _ in 0..40 {
                let about = random.about(400_000).unsigned_abs();
                value.histogram_mut(column).record(about);
            }
        }
    }
    for owner in ["connection", "runtime", "agent", "background"] {
        let key = OwnerKey {
            owner_kind: owner.into(),
            name: owner.into(),
        };
        rows.add(
            key.row_key(Quality::Measured),
            &cpu(RowValue::new(), random, seconds * 50),
        );
    }
    for instance in 0..2 {
        let key = ProcessKey {
            instance: format!("{}-{instance}", name(service)).into(),
            host: format!("node-{}", service % 50).into(),
            epoch: format!("{service:032x}").into(),
            clock_mode: "rseq".into(),
            agent_version: "0.1.0".into(),
        };
        let mut value = RowValue::new();
        for column in [
            column::CPU_PROCESS_NS,
            column::CPU_ACCOUNTS_NS,
            column::CPU_UNATTRIBUTED_NS,
            column::RSS_BYTES,
            column::RSS_SUM_BYTES,
            column::OBSERVED_NS,
            column::CLOCK_READINGS,
        ] {
            value.add(column, random.about(seconds * 400_000_000));
        }
        rows.add(key.row_key(Quality::Measured), &value);
    }
    rows
}

/// How long something takes, how many commits of one request after the other there were meanwhile, and how long the
/// longest took: what an acknowledgement waits for.
fn commits_while(store: &RedbStore, work: impl FnOnce()) -> (Duration, usize, Duration) {
    let is_done = AtomicBool::new(false);
    let epoch = EpochId {
        tenant: "".into(),
        epoch: Epoch([7; 16]),
    };
    let (took, commits) = std::thread::scope(|scope| {
        let committing = scope.spawn(|| {
            let mut commits: Vec<(DeltaId, Duration)> = Vec::new();
            while !is_done.load(Ordering::Relaxed) {
                let id = DeltaId {
                    epoch: epoch.clone(),
                    seq: commits.len() as u64,
                };
                let blob = Blob {
                    id: id.clone(),
                    encoding: Encoding::Identity,
                    body: vec![1; 4_096].into(),
                };
                let begin = Instant::now();
                store.append(&[blob]).unwrap();
                commits.push((id, begin.elapsed()));
            }
            commits
        });
        let begin = Instant::now();
        work();
        let took = begin.elapsed();
        is_done.store(true, Ordering::Relaxed);
        (took, committing.join().unwrap())
    });
    let longest = commits.iter().map(|(_, took)| *took).max();
    let count = commits.len();
    let batch = FoldBatch {
        derived: commits.into_iter().map(|(id, _)| id).collect(),
        ..FoldBatch::default()
    };
    store.fold(&batch).unwrap();
    (took, count, longest.unwrap_or_default())
}

#[test]
fn a_month_of_a_large_system_is_small_on_disk_and_soon_read() {
    let whole = std::env::var("WEIGHBRIDGE_TEST_MONTH").is_ok();
    let services = if whole { 1_000 } else { 4 };
    let directory = tempfile::tempdir().unwrap();
    let limits = Limits::default();
    let now_unix_ns = 1_800_000_000 * SECOND_NS;
    // Each tier long enough for some groups.
    let shorter = |whole_length: Duration, minutes: u64| {
        let short = Duration::from_secs(60 * minutes);
        if whole { whole_length } else { short }
    };
    let keep = Keep {
        as_sent: shorter(limits.keep_as_sent, 15),
        minutes: shorter(limits.keep_minutes, 100),
        hours: shorter(limits.keep_hours, 1_440),
        days: limits.retention,
    };
    let store = RedbStore::open(directory.path(), limits.rows_per_window).unwrap();
    let due = Marks::due(now_unix_ns, keep);
    // The marks first, so that each window goes at once to where it would stand after a month.
    store.age(due, 0).unwrap();
    let mut random = Random(1);
    let mut fold = |start_unix_ns: u64, seconds: u64| {
        let mut batch = FoldBatch::default();
        let window = Window {
            start_unix_ns,
            end_unix_ns: start_unix_ns + seconds * SECOND_NS,
        };
        for service in 0..services {
            let id = ServiceId {
                service: name(service),
                version: "1.0.0".into(),
                ..ServiceId::default()
            };
            let rows = rows(service, services, seconds, &mut random);
            batch.windows.insert((window, id), rows);
        }
        store.fold(&batch).unwrap();
    };
    let begin = Instant::now();
    let ages = [
        (keep.days, 86_400u64),
        (keep.hours, 3_600),
        (keep.minutes, 60),
        (keep.as_sent, 10),
    ];
    let mut windows = 0;
    for (n, (from, seconds)) in ages.iter().enumerate() {
        let until = ages.get(n + 1).map_or(0, |(next, _)| next.as_secs());
        let first = (now_unix_ns - from.as_secs() * SECOND_NS) / (seconds * SECOND_NS) + 1;
        let last = (now_unix_ns - until * SECOND_NS) / (seconds * SECOND_NS);
        for bucket in first..last {
            fold(bucket * seconds * SECOND_NS, *seconds);
            windows += 1;
            // What comes late in such numbers is put into groups soon.
            while whole && store.age(due, 0).unwrap().more {}
        }
    }
    let filled = begin.elapsed();
    let alone_bytes = store.window_bytes();
    // Five minutes later what is over is put into groups.
    let minute_ns = 60 * SECOND_NS;
    let now_unix_ns = now_unix_ns + 5 * minute_ns;
    let due = Marks::due(now_unix_ns, keep);
    let begin = Instant::now();
    let mut steps = 0;
    while store.age(due, 0).unwrap().more {
        steps += 1;
        assert!(steps < 100_000);
    }
    let grouped = begin.elapsed();
    // What adding up one more minute holds ingest up for.
    let summed_unix_ns = (now_unix_ns - minute_ns) / minute_ns * minute_ns;
    for n in 0..6 {
        fold(summed_unix_ns + n * 10 * SECOND_NS, 10);
    }
    let later = Marks::due(now_unix_ns + minute_ns, keep);
    let (minute, commits, longest) =
        commits_while(&store, || while store.age(later, 0).unwrap().more {});
    let window_bytes = store.window_bytes();
    let engine = Engine::read_only(
        Arc::new(store),
        limits,
        Clock::fixed(now_unix_ns),
        Metrics::new(),
    )
    .unwrap();
    // Twice: the first may read from disk.
    let mut took = Vec::new();
    let mut read = 0u64;
    for _ in 0..2 {
        let begin = Instant::now();
        let mut rollup: BTreeMap<ServiceId, RowSet> = BTreeMap::new();
        read = 0;
        for folded in engine
            .view("", now_unix_ns - DAYS * DAY_NS, u64::MAX)
            .unwrap()
        {
            let folded = folded.unwrap();
            rollup
                .entry(folded.service)
                .or_default()
                .merge(&folded.rows);
            read += 1;
        }
        took.push(begin.elapsed());
        assert_eq!(rollup.len() as u64, services);
        for rows in rollup.values() {
            let edges = rows.of_kind(RowKind::Edge).count() as u64;
            assert_eq!(edges, 2 * EDGES_PER_SERVICE, "both ends of ten edges");
        }
    }
    // The file is made longer by doubling it; what was never written takes no disk.
    let file = std::fs::metadata(directory.path().join("ledger.redb")).unwrap();
    let (file_bytes, disk_bytes) = (file.len(), file.blocks() * 512);
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    println!(
        "{services} services, {} edges, {DAYS} days: {windows} windows each, filled in {filled:.0?}; put into groups \
         in {grouped:.0?}: file {:.0} MiB long, {:.0} MiB on disk, windows {:.0} MiB, alone {:.0} MiB; rollup of {read} windows in {took:.2?}; one minute added up in {minute:.0?}, while {commits} commits \
         took {longest:.1?} at most",
        services * EDGES_PER_SERVICE,
        mib(file_bytes),
        mib(disk_bytes),
        mib(window_bytes),
        mib(alone_bytes),
    );
    // Alone they share nothing. What is not over stands alone still.
    assert!(
        whole || window_bytes * 10 <= alone_bytes * 8,
        "{window_bytes} bytes in groups, {alone_bytes} before"
    );
    if whole {
        assert!(disk_bytes <= 2 << 30, "{:.0} MiB on disk", mib(disk_bytes));
        assert!(took[1].as_secs_f64() <= 3.0, "{took:?}");
    }
}
