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
/// How long what it is compared with lasts.
const CALM: Duration = Duration::from_millis(600);
const WINDOW: Duration = Duration::from_millis(100);
const SPOOL_WINDOWS: usize = 4;

/// How often the agent may ask a collector that takes nothing. It waits for a fifth of a second at first, and twice as
/// long each time; a load that lasts on may see some more.
const ATTEMPTS_MAX: u64 = 20;

/// What the host saw of it.
#[derive(Debug)]
struct Seen {
    requests: i64,
    /// Half of the requests took no longer.
    p50: Duration,
    /// Nine of ten requests took no longer.
    p90: Duration,
    slowest: Duration,
    /// Most memory above what there was before.
    growth_bytes: i64,
}

#[allow(clippy::disallowed_methods)] // wall time is what is measured
async fn load(host: SocketAddr, time: Duration, until: impl Fn() -> bool) -> Seen {
    let live = LIVE.load(Ordering::Relaxed);
    PEAK.store(live, Ordering::Relaxed);
    let begun = Instant::now();
    let mut connection = Connection::open(host).await;
    let mut latencies = Vec::with_capacity(1 << 16);
    // Its own list is not the agent's growth.
    let own = i64::try_from(latencies.capacity() * size_of::<Duration>()).unwrap();
    while begun.elapsed() < time || (!until() && begun.elapsed() < PATIENCE) {
        let asked = Instant::now();
        let answer = connection.ask("GET /hello HTTP/1.1", b"").await;
        latencies.push(asked.elapsed());
        assert_eq!(answer.status, 200);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    latencies.sort();
    Seen {
        requests: i64::try_from(latencies.len()).unwrap(),
        p50: latencies[latencies.len() / 2],
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

/// How the host does while its agent has this to do with a collector. A machine that has other things to do may slow
/// a load down, but not each time; a host that waits for its collector always does.
async fn ordeal(
    what: &str,
    host: SocketAddr,
    before: &Seen,
    until: impl Fn() -> bool,
) -> (Seen, i64) {
    const TRIES: usize = 3;
    let mut requests = 0;
    for tries in 1.. {
        let seen = load(host, ORDEAL, &until).await;
        requests += seen.requests;
        assert!(
            seen.slowest < before.slowest * 3 + Duration::from_millis(700),
            "{what}: {seen:?}, without it {before:?}"
        );
        assert!(
            seen.growth_bytes < before.growth_bytes.max(0) + (1 << 20),
            "{what}: {seen:?}, without it {before:?}"
        );
        if tries == TRIES || is_as_fast(&seen, before) {
            return (seen, requests);
        }
    }
    unreachable!("it ends with the last try")
}

/// Loopback and a handler that does nothing take a fraction of a millisecond.
fn is_as_fast(seen: &Seen, calm: &Seen) -> bool {
    seen.p50 <= calm.p50 * 3 / 2 + Duration::from_millis(2)
        && seen.p90 <= calm.p90 * 3 / 2 + Duration::from_millis(5)
}

/// Sends everything to a collector that has recovered, goes on with it for a while, and ends. Returns what the host
/// is like with a collector that behaves, right after it was with one that did not.
async fn recover(
    what: &str,
    host: SocketAddr,
    running: Agent,
    collector: &Collector,
    requests: i64,
) -> Seen {
    let (running, sent) = flush(running).await;
    assert!(sent, "{what}: not sent after it recovered");
    let windows = collector.received().len();
    assert!(
        windows <= SPOOL_WINDOWS + 4 || what == "Flood",
        "{what}: windows were merged meanwhile"
    );
    let calm = load(host, CALM, || true).await;
    let (running, sent) = flush(running).await;
    assert!(sent, "{what}: not sent to one that behaves");
    drop(running);
    assert_all_arrived(what, collector, requests + calm.requests);
    calm
}

fn assert_unharmed(what: &str, seen: &Seen, before: &Seen, after: &Seen) {
    assert!(
        is_as_fast(seen, before) || is_as_fast(seen, after),
        "{what}: {seen:?}, without it {before:?} before and {after:?} after"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_collector_hurts_the_host_and_all_that_it_took_adds_up() {
    let host = host().await;

    // What the host is like with a collector that behaves.
    let collector = Collector::start(Mood::Honest);
    let running = agent("Honest", &collector.url());
    let warm = load(host, ORDEAL, || true).await;
    let mut before = load(host, ORDEAL, || true).await;
    let (running, sent) = flush(running).await;
    assert!(sent);
    drop(running);
    assert_all_arrived("Honest", &collector, warm.requests + before.requests);

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
        let (seen, requests) = ordeal(&what, host, &before, || collector.attempts() > 0).await;
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
        let after = recover(&what, host, running, &collector, requests).await;
        assert_unharmed(&what, &seen, &before, &after);
        before = after;
    }

    // Somebody is there and takes no connection; then it does.
    let what = "Unreachable";
    let nobody = Collector::unreachable();
    let running = agent(what, &nobody.url());
    let (seen, requests) = ordeal(what, host, &before, || true).await;
    let collector = nobody.come_up();
    let after = recover(what, host, running, &collector, requests).await;
    assert_unharmed(what, &seen, &before, &after);
    before = after;

    // Nobody is there at all; then somebody is.
    let what = "Down";
    let address = {
        let free = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        free.local_addr().unwrap()
    };
    let running = agent(what, &format!("http://{address}"));
    let (seen, requests) = ordeal(what, host, &before, || true).await;
    let collector = Collector::start_at(address, Mood::Honest);
    let after = recover(what, host, running, &collector, requests).await;
    assert_unharmed(what, &seen, &before, &after);
}
