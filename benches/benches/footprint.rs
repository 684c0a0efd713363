//! What the agent holds in memory and sends: with many operations and callers on many threads, for idle
//! connections, under names that a client makes up, and per window.
//!
//! The first is the difference between two processes of this program that do the same work, one with the agent,
//! which sends its deltas to a third, and one without; the second is that between our server and axum's, counted by an allocator of this program.

use std::alloc::{GlobalAlloc, Layout, System};
use std::future::Future;
use std::io::{self, BufRead as _, Error, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
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
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::mpsc;
use tower::ServiceExt as _;
use weighbridge_agent::{Agent, Alloc, Delivery, Sink};
use weighbridge_benches::{Figure, Report, say};

const OPERATIONS: usize = 200;
const CALLERS: usize = 20;
const THREADS: usize = 16;
const CONNECTIONS: i64 = 1_000;
const KIB: f64 = 1_024.0;
const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 4_000);
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

/// Takes every delta, for the children; returns where.
fn collector() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let taken = stream.and_then(|stream| take_deltas(&stream));
            if let Err(error) = taken {
                say::note(&format!("a connection to the collector broke off: {error}"));
            }
        }
    });
    Ok(address)
}

/// Answers each request of a connection when it is whole.
fn take_deltas(mut stream: &TcpStream) -> io::Result<()> {
    let mut reader = io::BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().map_err(Error::other)?;
            }
        }
        io::copy(&mut reader.by_ref().take(length), &mut io::sink())?;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
    }
}

/// Accepts in-memory pipes.
struct Pipes(mpsc::Receiver<DuplexStream>);

impl Pipes {
    async fn next(&mut self) -> DuplexStream {
        match self.0.recv().await {
            Some(pipe) => pipe,
            None => std::future::pending().await,
        }
    }
}

impl axum::serve::Listener for Pipes {
    type Io = DuplexStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (DuplexStream, SocketAddr) {
        (self.next().await, PEER)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(PEER)
    }
}

impl weighbridge_agent::Listener for Pipes {
    type Io = DuplexStream;

    fn accept(&mut self) -> impl Future<Output = io::Result<(DuplexStream, SocketAddr)>> + Send {
        let pipe = self.next();
        async { Ok((pipe.await, PEER)) }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(PEER)
    }
}

/// Live bytes of each of many connections that have asked once and stay.
fn bytes_per_connection(ours: bool) -> io::Result<f64> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (pipes, accepted) = mpsc::channel(1);
        let hello = Router::new().route("/hello", get(async || "hello"));
        let server = if ours {
            let app = hello.layer(weighbridge_agent::layer());
            tokio::spawn(weighbridge_agent::serve(Pipes(accepted), app).into_future())
        } else {
            tokio::spawn(axum::serve(Pipes(accepted), hello).into_future())
        };
        let mut idle = Vec::new();
        ask_once(&pipes, &mut idle).await?;
        idle.reserve(usize::try_from(CONNECTIONS).unwrap_or(0));
        let before = LIVE_BYTES.load(Ordering::Relaxed);
        for _ in 0..CONNECTIONS {
            ask_once(&pipes, &mut idle).await?;
        }
        let held = LIVE_BYTES.load(Ordering::Relaxed) - before;
        server.abort();
        #[allow(clippy::cast_precision_loss)]
        Ok(held as f64 / CONNECTIONS as f64)
    })
}

async fn ask_once(
    pipes: &mpsc::Sender<DuplexStream>,
    idle: &mut Vec<DuplexStream>,
) -> io::Result<()> {
    let (mut pipe, served) = tokio::io::duplex(4_096);
    pipes
        .send(served)
        .await
        .map_err(|_| ErrorKind::BrokenPipe)?;
    pipe.write_all(b"GET /hello HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await?;
    let mut answer = [0; 1_024];
    let mut filled = 0;
    while !answer[..filled].ends_with(b"hello") {
        match pipe.read(&mut answer[filled..]).await? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            n => filled += n,
        }
    }
    tokio::task::yield_now().await;
    idle.push(pipe);
    Ok(())
}

/// How live bytes grow from some thousands of made-up names to a million.
fn growth_bytes(quick: bool) -> io::Result<f64> {
    const WARM: u64 = 20_000;
    const SLICE: u64 = 2_000;
    let many = if quick { 100_000 } else { 1_000_000 };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let app = app(8);
    let made_up = |n: u64| {
        let methods = ["GET", "POST", "BREW", "QUERY", "M-SEARCH"];
        let path = match n % 3 {
            0 => format!("/resource-{}/{n}", n % 8),
            _ => format!("/nothing-{n}/{n}"),
        };
        let headers = [
            (
                "weighbridge-hop",
                format!("1;tenant-{n};GET%20%2F{n};{n:016x};s;{n}"),
            ),
            ("baggage", format!("weighbridge.origin=tenant-{n};{n}")),
            ("x-tenant", format!("{n}")),
        ];
        request(
            methods[usize::try_from(n % 5).unwrap_or(0)],
            &path,
            &headers,
        )
    };
    // How much lives depends on how far the window is: the most of many instants tells.
    let most = |range: std::ops::Range<u64>| {
        let slices = range.step_by(usize::try_from(SLICE).unwrap_or(usize::MAX));
        slices.fold(0, |most, begin| {
            runtime.block_on(async {
                for n in begin..begin + SLICE {
                    let _ = app.clone().oneshot(made_up(n)).await;
                }
            });
            most.max(LIVE_BYTES.load(Ordering::Relaxed))
        })
    };
    most(0..WARM);
    let first = most(WARM..many / 2);
    let second = most(many / 2..many);
    #[allow(clippy::cast_precision_loss)]
    Ok((second - first) as f64)
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
    let collector = collector()?;
    let (off, on) = (
        measured_child("off", collector)?,
        measured_child("on", collector)?,
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
    let (theirs, ours) = (bytes_per_connection(false)?, bytes_per_connection(true)?);
    report.push(
        Figure::new(
            "an idle connection, beside axum::serve",
            ours - theirs,
            "bytes",
        )
        .at_most(256.0),
    );
    report.push(Figure::new(
        "an idle connection of axum::serve",
        theirs,
        "bytes",
    ));
    report.push(
        Figure::new(
            "growth over made-up paths, methods, headers and tenants",
            growth_bytes(quick)? / KIB,
            "KiB",
        )
        .at_most(256.0)
        .note("most live bytes while the second half of a million is asked for, less those of the first; the tables are full after 20 000"),
    );
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
