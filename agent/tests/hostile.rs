//! Whatever the collector does, the host's requests are answered as fast as ever, its memory stays flat, and
//! what was acknowledged in the end adds up to the last request.

#![allow(clippy::unwrap_used)]
#![allow(unsafe_code)] // the measure of memory is an allocator

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use support::collector::{Collector, Mood};
use support::{Connection, PATIENCE};
use weighbridge_agent::Agent;
use weighbridge_agent::wire::{OperationKey, RowKind, RowSet, column};

/// Live bytes of the process, and the most there were.
struct Live;

static LIVE: AtomicI64 = AtomicI64::new(0);
static PEAK: AtomicI64 = AtomicI64::new(0);

fn grow(bytes: usize) {
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    PEAK.fetch_max(
        LIVE.fetch_add(bytes, Ordering::Relaxed) + bytes,
        Ordering::Relaxed,
    );
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Live {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: the caller's contract is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        LIVE.fetch_sub(i64::try_from(layout.size()).unwrap_or(0), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOC: Live = Live;

/// How long each mood lasts: a dozen windows, more than the spool holds.
const ORDEAL: Duration = Duration::from_millis(1_200);
const WINDOW: Duration = Duration::from_millis(100);
const SPOOL_WINDOWS: usize = 4;

/// How often the agent may ask a collector that takes nothing. It waits for a fifth of a second at first, and twice as
/// long each time; a load that lasts on may see some more.
const ATTEMPTS_MAX: u64 = 20;

/// What the host saw of it.
#[derive(Debug)]
struct Seen {
    requests: i64,
    /// Nine of ten requests took no longer.
    p90: Duration,
    slowest: Duration,
    /// Most memory above what there was before.
    growth_bytes: i64,
}

#[allow(clippy::disallowed_methods)] // wall time is what is measured
async fn load(host: SocketAddr, until: impl Fn() -> bool) -> Seen {
    let live = LIVE.load(Ordering::Relaxed);
    PEAK.store(live, Ordering::Relaxed);
    let begun = Instant::now();
    let mut connection = Connection::open(host).await;
    let mut latencies = Vec::with_capacity(1 << 16);
    // Its own list is not the agent's growth.
    let own = i64::try_from(latencies.capacity() * size_of::<Duration>()).unwrap();
    while begun.elapsed() < ORDEAL || (!until() && begun.elapsed() < PATIENCE) {
        let asked = Instant::now();
        let answer = connection.ask("GET /hello HTTP/1.1", b"").await;
        latencies.push(asked.elapsed());
        assert_eq!(answer.status, 200);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    latencies.sort();
    Seen {
        requests: i64::try_from(latencies.len()).unwrap(),
        p90: latencies[latencies.len() * 9 / 10],
        slowest: *latencies.last().unwrap(),
        growth_bytes: PEAK.load(Ordering::Relaxed) - live - own,
    }
}

fn agent(service: &str, url: &str) -> Agent {
    weighbridge_agent::builder()
        .service(service)
        .endpoint(url)
        .window(WINDOW)
        .spool_windows_max(SPOOL_WINDOWS)
        .try_init()
        .unwrap()
}

async fn host() -> SocketAddr {
    let app = Router::new()
        .route("/hello", get(|| async { "hello" }))
        .layer(weighbridge_agent::layer());
    support::serve(app).await
}

fn sum(rows: &RowSet, column: u32) -> i64 {
    rows.of_kind(RowKind::Operation)
        .filter(|(key, _)| *OperationKey::read(key).unwrap().operation == *"GET /hello")
        .filter_map(|(_, row)| row.get(column))
        .sum()
}

/// Everything acknowledged adds up, once, and is explained.
fn assert_all_arrived(what: &str, collector: &Collector, requests: i64) {
    let mut rows = RowSet::new();
    let (mut ended, mut accounts_ns, mut next) = (0, 0, 0);
    for received in collector.received() {
        let delta = &received.delta;
        assert_eq!(delta.identity.service, what);
        assert!(
            received.acknowledged,
            "{what}: {} was never taken",
            delta.seq
        );
        assert_eq!(delta.seq, next, "{what}: no number is left out");
        assert!(delta.tombstones.is_empty(), "{what}: nothing was given up");
        next += 1;
        rows.merge(&delta.rows);
        ended += sum(&delta.rows, column::ENDED);
        accounts_ns += delta.rows.accounts_cpu_ns();
        // The totals of the epoch say the same as the sum of what came.
        assert_eq!(delta.cumulative.accounts_cpu_ns, accounts_ns, "{what}");
        support::assert_conserved(delta);
    }
    assert_eq!(sum(&rows, column::STARTED), requests, "{what}");
    assert_eq!(sum(&rows, column::ENDED), requests, "{what}");
    assert_eq!(ended, requests, "{what}");
}

async fn flush(agent: Agent) -> (Agent, bool) {
    tokio::task::spawn_blocking(move || {
        let sent = agent.flush(PATIENCE);
        (agent, sent)
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_collector_hurts_the_host_and_all_that_it_took_adds_up() {
    let host = host().await;

    // What the host is like with a collector that behaves.
    let collector = Collector::start(Mood::Honest);
    let running = agent("Honest", &collector.url());
    let warm = load(host, || true).await;
    let calm = load(host, || true).await;
    let (running, sent) = flush(running).await;
    assert!(sent);
    drop(running);
    assert_all_arrived("Honest", &collector, warm.requests + calm.requests);

    for mood in [
        Mood::Deaf,
        Mood::Silent,
        Mood::Trickle,
        Mood::Garbage,
        Mood::Flood,
        Mood::FloodError,
        Mood::FloodHead,
        Mood::Redirect,
        Mood::Reset,
        Mood::CutOff,
        Mood::TooMany,
        Mood::Unavailable,
    ] {
        let what = format!("{mood:?}");
        let collector = Collector::start(mood);
        let running = agent(&what, &collector.url());
        let seen = load(host, || collector.attempts() > 0).await;
        assert_unharmed(&what, &seen, &calm);
        assert!(
            collector.attempts() > 0,
            "{what}: nobody asked the collector"
        );
        // Each attempt costs the host; they are spaced out, but for the collector that takes everything.
        assert!(
            collector.attempts() <= ATTEMPTS_MAX || mood == Mood::Flood,
            "{what}: asked {} times",
            collector.attempts()
        );
        assert!(
            collector.sent_bytes() < 64 << 20,
            "{what}: {} bytes were let in",
            collector.sent_bytes()
        );
        collector.set_mood(Mood::Honest);
        let (running, sent) = flush(running).await;
        assert!(sent, "{what}: not sent after it recovered");
        drop(running);
        assert_all_arrived(&what, &collector, seen.requests);
        assert!(
            collector.received().len() <= SPOOL_WINDOWS + 4 || mood == Mood::Flood,
            "{what}: windows were merged meanwhile"
        );
    }

    // Nobody is there at all; then somebody is.
    let address = {
        let free = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        free.local_addr().unwrap()
    };
    let running = agent("Down", &format!("http://{address}"));
    let seen = load(host, || true).await;
    assert_unharmed("Down", &seen, &calm);
    let collector = Collector::start_at(address, Mood::Honest);
    let (running, sent) = flush(running).await;
    assert!(sent, "not sent after it came up");
    drop(running);
    assert_all_arrived("Down", &collector, seen.requests);
}

fn assert_unharmed(what: &str, seen: &Seen, calm: &Seen) {
    // The machine may be busy with other things; whoever waits for the collector waits for seconds.
    let bound = calm.p90 * 5 + Duration::from_millis(20);
    assert!(seen.p90 < bound, "{what}: {seen:?}, without it {calm:?}");
    assert!(
        seen.slowest < calm.slowest * 3 + Duration::from_millis(700),
        "{what}: {seen:?}, without it {calm:?}"
    );
    assert!(
        seen.growth_bytes < calm.growth_bytes.max(0) + (1 << 20),
        "{what}: {seen:?}, without it {calm:?}"
    );
}
