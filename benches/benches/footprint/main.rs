//! What the agent holds in memory and sends: with many operations and callers on many threads, for idle
//! connections, under names that a client makes up, and per window.
//!
//! The first is the difference between two processes of this program that do the same work, one with the agent,
//! which sends its deltas to a third, and one without; what connections and names hold is counted by an allocator of
//! this program.

mod connections;
mod growth;

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{self, Error, ErrorKind, Write as _};
use std::net::SocketAddr;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::routing::get;
use flate2::Compression;
use flate2::write::GzEncoder;
use tower::ServiceExt as _;
use weighbridge_agent::{Agent, Alloc, Delivery, Sink};
use weighbridge_benches::otlp::Otlp;
use weighbridge_benches::pipes::PEER;
use weighbridge_benches::{Figure, Report, say};

const OPERATIONS: usize = 200;
const CALLERS: usize = 20;
const THREADS: usize = 16;
const KIB: f64 = 1_024.0;
const WINDOW: Duration = Duration::from_secs(1);
/// How long a child waits until its deltas are taken.
const PATIENCE: Duration = Duration::from_secs(20);

/// The system's allocator, which knows how much it has given away.
struct Live;

static LIVE_BYTES: AtomicI64 = AtomicI64::new(0);

#[allow(clippy::cast_possible_wrap)]
fn add(size: usize) {
    LIVE_BYTES.fetch_add(size as i64, Ordering::Relaxed);
}

#[allow(clippy::cast_possible_wrap)]
fn take(size: usize) {
    LIVE_BYTES.fetch_sub(size as i64, Ordering::Relaxed);
}

// SAFETY: every call is passed on unchanged to the system's allocator; counting touches one atomic.
#[allow(unsafe_code, reason = "an allocator cannot be written without it")]
unsafe impl GlobalAlloc for Live {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        take(layout.size());
        // SAFETY: `ptr` came from `System` by the methods of this type.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        take(layout.size());
        add(new_size);
        // SAFETY: `ptr` came from `System` by the methods of this type, and the caller keeps the contract.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

#[global_allocator]
static ALLOC: Alloc<Live> = Alloc::new(Live);

/// Counts deltas and keeps the last.
#[derive(Default)]
struct Kept {
    deltas: AtomicUsize,
    last: Mutex<Vec<u8>>,
}

impl Sink for Kept {
    fn deliver(&self, delta: &[u8]) -> Delivery {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.clear();
        last.extend_from_slice(delta);
        self.deltas.fetch_add(1, Ordering::Release);
        Delivery::Accepted
    }
}

impl Kept {
    /// Waits until so many more deltas have come.
    fn wait_for(&self, more: usize) {
        let wanted = self.deltas.load(Ordering::Acquire) + more;
        while self.deltas.load(Ordering::Acquire) < wanted {
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// The size of the last delta after compression, as it travels.
    fn gzip_bytes(&self) -> io::Result<usize> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(&last)?;
        Ok(gzip.finish()?.len())
    }
}

fn agent(sink: &Arc<Kept>, window: Duration) -> Agent {
    weighbridge_agent::builder()
        .service("footprint")
        .window(window)
        .key_secret("so that keys of entities are kept")
        .sink(sink.clone())
        .init()
}

/// An app with so many operations.
fn app(operations: usize) -> Router {
    let mut app = Router::new();
    for n in 0..operations {
        app = app.route(&format!("/resource-{n}/{{id}}"), get(async || "hello"));
    }
    app.layer(weighbridge_agent::layer())
}

fn request(method: &str, path: &str, headers: &[(&str, String)]) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let mut request = request.body(Body::empty()).unwrap_or_default();
    request.extensions_mut().insert(PEER);
    request
}

/// The headers of a caller.
fn hop(caller: usize) -> [(&'static str, String); 2] {
    [
        (
            "weighbridge-hop",
            format!("1;store;POST%20%2Forders-{caller};{caller:016x};s;1764000000000000"),
        ),
        (
            "baggage",
            format!("weighbridge.origin=store;POST%20%2Forders-{caller}"),
        ),
    ]
}

/// Each operation called by each caller, on each of the threads.
fn call_all(rounds: usize) -> io::Result<()> {
    let runtime = weighbridge_agent::runtime()
        .worker_threads(THREADS)
        .build()?;
    let app = app(OPERATIONS);
    runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for thread in 0..THREADS {
            let app = app.clone();
            tasks.spawn(async move {
                for n in 0..rounds * OPERATIONS * CALLERS {
                    // Every kind once in a round, in another order on each thread.
                    let kind = (n * 1_009 + thread * 251) % (OPERATIONS * CALLERS);
                    let path = format!("/resource-{}/{n}", kind / CALLERS);
                    let request = request("GET", &path, &hop(kind % CALLERS));
                    let _ = app.clone().oneshot(request).await;
                    if n % 64 == 0 {
                        tokio::task::yield_now().await;
                    }
                }
            });
        }
        while tasks.join_next().await.is_some() {}
    });
    drop(runtime);
    Ok(())
}

fn resident_bytes() -> io::Result<i64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse::<i64>().ok())
        .map(|kib| kib * 1_024)
        .ok_or_else(|| ErrorKind::Unsupported.into())
}

/// What one process of the pair does; prints its resident and its live bytes.
fn child(mode: &str) -> io::Result<()> {
    // It finds the collector in its environment, as a service does.
    let agent = (mode == "on").then(|| {
        weighbridge_agent::builder()
            .service("footprint")
            .window(WINDOW)
            .init()
    });
    let flush = || match &agent {
        Some(agent) if !agent.flush(PATIENCE) => Err(Error::from(ErrorKind::TimedOut)),
        _ => Ok(()),
    };
    for _ in 0..3 {
        call_all(1)?;
        flush()?;
    }
    flush()?;
    say::line(&format!(
        "{} {}",
        resident_bytes()?,
        LIVE_BYTES.load(Ordering::Relaxed)
    ));
    drop(agent);
    Ok(())
}

fn measured_child(mode: &str, collector: SocketAddr) -> io::Result<[f64; 2]> {
    let output = Command::new(std::env::current_exe()?)
        .arg(mode)
        .env("WEIGHBRIDGE_ENDPOINT", format!("http://{collector}"))
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut figures = text.split_whitespace().map(str::parse::<f64>);
    match (figures.next(), figures.next()) {
        (Some(Ok(resident)), Some(Ok(live))) => Ok([resident, live]),
        _ => Err(Error::other(format!("the child `{mode}` said `{text}`"))),
    }
}

/// Bytes of a delta of the default window, with so many operations that are called.
fn delta_bytes(operations: usize) -> io::Result<(f64, usize)> {
    const DEFAULT: Duration = Duration::from_secs(10);
    let sink = Arc::new(Kept::default());
    let guard = agent(&sink, DEFAULT);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let app = app(operations);
    sink.wait_for(1);
    runtime.block_on(async {
        for n in 0..operations * 200 {
            let path = format!("/resource-{}/{n}", n % operations);
            let _ = app.clone().oneshot(request("GET", &path, &hop(0))).await;
        }
    });
    sink.wait_for(1);
    let gzip = sink.gzip_bytes()?;
    let last = sink.last.lock().unwrap_or_else(PoisonError::into_inner);
    let rows = weighbridge_wire::Delta::decode(&last).map_or(0, |delta| delta.rows.len());
    drop(last);
    drop(guard);
    #[allow(clippy::cast_precision_loss)]
    Ok((gzip as f64 / DEFAULT.as_secs_f64(), rows))
}

fn measure(report: &mut Report, quick: bool) -> io::Result<()> {
    let collector = Otlp::start()?;
    let (off, on) = (
        measured_child("off", collector.address)?,
        measured_child("on", collector.address)?,
    );
    report.push(
        Figure::new(
            "resident, 200 operations of 20 callers, 16 threads",
            (on[0] - off[0]) / KIB,
            "KiB",
        )
        .at_most(4.0 * KIB)
        .note(
            "difference between two processes, with all that the agent does, sending to a collector included",
        ),
    );
    report.push(Figure::new(
        "live on the heap of that",
        (on[1] - off[1]) / KIB,
        "KiB",
    ));
    let sink = Arc::new(Kept::default());
    let guard = agent(&sink, WINDOW);
    connections::measure(report)?;
    growth::measure(quick, report)?;
    drop(guard);
    for (operations, limit) in [(50, Some(2.0 * KIB)), (200, None)] {
        let (bytes, rows) = delta_bytes(operations)?;
        let name = format!("deltas after gzip, {operations} operations in {rows} rows");
        let figure = Figure::new(name, bytes, "bytes/s");
        report.push(match limit {
            Some(limit) => figure.at_most(limit),
            None => figure,
        });
    }
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(mode @ ("on" | "off")) = arguments.first().map(String::as_str) {
        return match child(mode) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                say::note(&format!("the child broke off: {error}"));
                ExitCode::FAILURE
            }
        };
    }
    let mut report = Report::new("footprint");
    let quick = arguments.iter().any(|argument| argument == "--quick");
    if let Err(error) = measure(&mut report, quick) {
        say::note(&format!("the bench broke off: {error}"));
        return ExitCode::FAILURE;
    }
    report.finish()
}
