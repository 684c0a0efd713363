//! What the collector takes in on one core, beside rotel, which decodes and drops.
//!
//! The servers run one after the other, pinned to core 0; the load comes from core 1. Each request holds 1000 spans of
//! the semantic conventions; four of five come from `shop`, the fifth from `stock`, whose requests are the other halves
//! of shop's calls, so that everything that can be joined is joined.
//!
//! It needs `cargo build --profile measure --package weighbridge` before, or the binary in `WEIGHBRIDGE_BENCH_BINARY`,
//! and rotel's agent of PyPI (`pip install rotel`; the file `rotel-agent` in it) in `ROTEL_AGENT`. A word as argument
//! (`plain`, `gzip`, `memory`, `overload`, `latency`, `deltas`) runs that part alone.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::rc::Rc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::Request;
use http_body_util::BodyExt as _;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use weighbridge_benches::{Figure, Report, clock, delta_of, say};

mod batch;
use batch::{SPANS, Writer};

type Outcome<T> = Result<T, Box<dyn Error>>;

const PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const CONNECTIONS: usize = 16;
const STREAMS: usize = 4;
/// 1 024 requests under way.
const STREAMS_OVERLOAD: usize = 64;
/// Programs that compete with the collector's two busy threads.
const BUSY: usize = 19;
const SECONDS: u64 = 6;
/// Long enough for both generations of halves that are kept in memory to fill.
const MEMORY_SECONDS: u64 = 20;
/// Rows of a delta.
const ROWS: usize = 200;
/// Requests of a row.
const REQUESTS: u64 = 20;
/// A request every so often: 100 000 spans/s.
const PACE: Duration = Duration::from_millis(10);

/// A server pinned to core 0.
struct Server {
    child: Child,
    address: SocketAddr,
    _data: Option<PathBuf>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(data) = &self._data {
            let _ = std::fs::remove_dir_all(data);
        }
    }
}

impl Server {
    fn weighbridge(settings: &[&str]) -> Outcome<Self> {
        let data = std::env::temp_dir().join(format!("weighbridge-bench-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&data);
        let address = free_port()?;
        let mut command = Command::new("taskset");
        command
            .args(["-c", "0"])
            .arg(program("WEIGHBRIDGE_BENCH_BINARY", "weighbridge"))
            .args(["collect", "--listen-http", &address.to_string(), "--data"])
            .arg(&data);
        for setting in settings {
            command.args(["--set", setting]);
        }
        Self::start(command, address, Some(data))
    }

    fn rotel() -> Outcome<Self> {
        let (address, http) = (free_port()?, free_port()?);
        let mut command = Command::new("taskset");
        command
            .args(["-c", "0"])
            .arg(program("ROTEL_AGENT", "rotel-agent"))
            .args(["start", "--exporter", "blackhole", "--otlp-grpc-endpoint"])
            .arg(address.to_string())
            .args(["--otlp-http-endpoint", &http.to_string()]);
        Self::start(command, address, None)
    }

    fn start(mut command: Command, address: SocketAddr, data: Option<PathBuf>) -> Outcome<Self> {
        let child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let server = Self {
            child,
            address,
            _data: data,
        };
        for _ in 0..500 {
            if TcpStream::connect(address).is_ok() {
                return Ok(server);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(format!("nothing listens on {address}; does this start by itself: {command:?}").into())
    }

    /// CPU of its process, all threads, ns.
    fn cpu_ns(&self) -> Outcome<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .ok_or("no stat")?
            .1
            .split_whitespace()
            .collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok());
        Ok((ticks(11).ok_or("no utime")? + ticks(12).ok_or("no stime")?) * 1e7)
    }

    /// Largest resident set so far, MiB.
    fn peak_mib(&self) -> Outcome<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status
            .lines()
            .find(|line| line.starts_with("VmHWM:"))
            .ok_or("no VmHWM")?;
        let kib: f64 = line.split_whitespace().nth(1).ok_or("no figure")?.parse()?;
        Ok(kib / 1024.0)
    }

    /// The sum of a metric over its labels.
    fn metric(&self, name: &str) -> Outcome<f64> {
        let mut stream = TcpStream::connect(self.address)?;
        write!(
            stream,
            "GET /metrics HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
            self.address
        )?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text
            .lines()
            .filter(|line| line.starts_with(&format!("weighbridge_collector_{name}")))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .fold(0.0, |sum, value| sum + value))
    }
}

/// A program by its variable, or beside the binaries of this bench's profile.
fn program(variable: &str, otherwise: &str) -> PathBuf {
    let beside = || {
        let bench = std::env::current_exe().ok()?;
        Some(bench.parent()?.parent()?.join(otherwise))
    };
    std::env::var_os(variable)
        .map(PathBuf::from)
        .or_else(beside)
        .unwrap_or_else(|| otherwise.into())
}

fn free_port() -> Outcome<SocketAddr> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// What is sent.
enum Source {
    /// Spans, patched for each request so that no two are the same.
    Fresh(RefCell<Writer>),
    /// Requests made before.
    Made {
        bodies: Vec<Bytes>,
        next: Cell<usize>,
        path: &'static str,
        headers: &'static [(&'static str, &'static str)],
    },
}

impl Source {
    fn request(&self, address: SocketAddr) -> Outcome<Option<Request<Body>>> {
        let (path, headers, body): (_, &[(&str, &str)], Bytes) = match self {
            Self::Fresh(writer) => (
                PATH,
                &[("content-type", "application/grpc"), ("te", "trailers")],
                batch::framed(writer.borrow_mut().next_batch(), 0),
            ),
            Self::Made {
                bodies,
                next,
                path,
                headers,
            } => {
                let Some(body) = bodies.get(next.get()) else {
                    return Ok(None);
                };
                next.set(next.get() + 1);
                (*path, *headers, body.clone())
            }
        };
        let mut request = Request::post(format!("http://{address}{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Ok(Some(request.body(Body::from(body))?))
    }
}

/// What came of a load.
#[derive(Default)]
struct Told {
    accepted: Cell<u64>,
    refused: Cell<u64>,
    latency_ns: RefCell<Vec<i64>>,
    seconds: Cell<f64>,
}

/// Keeps requests under way for a while: as many as fit (`pace` 0), or one every `pace`.
fn load(
    address: SocketAddr,
    streams: usize,
    source: Source,
    pace: Duration,
    seconds: u64,
) -> Outcome<Told> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let told = Rc::new(Told::default());
    let source = Rc::new(source);
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let mut senders = Vec::new();
        for _ in 0..CONNECTIONS {
            let stream = tokio::net::TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let (sender, connection) =
                http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
            tokio::spawn(async move { drop(connection.await) });
            senders.push(sender);
        }
        let begun = clock::monotonic_ns();
        let ends = begun + i64::try_from(seconds)? * 1_000_000_000;
        let mut tasks = Vec::new();
        let due = Rc::new(Cell::new(begun));
        for sender in senders
            .iter()
            .flat_map(|sender| std::iter::repeat_n(sender, streams))
        {
            let (mut sender, told) = (sender.clone(), Rc::clone(&told));
            let (source, due) = (Rc::clone(&source), Rc::clone(&due));
            tasks.push(tokio::task::spawn_local(async move {
                loop {
                    if !pace.is_zero() {
                        let mine = due.get();
                        due.set(mine + i64::try_from(pace.as_nanos()).unwrap_or(i64::MAX));
                        let wait = u64::try_from(mine - clock::monotonic_ns()).unwrap_or(0);
                        tokio::time::sleep(Duration::from_nanos(wait)).await;
                    }
                    if clock::monotonic_ns() >= ends {
                        return;
                    }
                    let Ok(Some(request)) = source.request(address) else {
                        return;
                    };
                    let sent = clock::monotonic_ns();
                    if answered(&mut sender, request).await {
                        told.accepted.set(told.accepted.get() + 1);
                        told.latency_ns
                            .borrow_mut()
                            .push(clock::monotonic_ns() - sent);
                    } else {
                        told.refused.set(told.refused.get() + 1);
                    }
                }
            }));
        }
        for task in tasks {
            task.await?;
        }
        told.seconds
            .set((clock::monotonic_ns() - begun) as f64 / 1e9);
        Ok::<_, Box<dyn Error>>(())
    })?;
    drop(local);
    Rc::into_inner(told).ok_or_else(|| "a task still runs".into())
}

async fn answered(sender: &mut SendRequest<Body>, request: Request<Body>) -> bool {
    if sender.ready().await.is_err() {
        return false;
    }
    let Ok(answer) = sender.send_request(request).await else {
        return false;
    };
    let (head, body) = answer.into_parts();
    let Ok(body) = body.collect().await else {
        return false;
    };
    let said = body
        .trailers()
        .and_then(|trailers| trailers.get("grpc-status"))
        .or_else(|| head.headers.get("grpc-status"));
    // Without that header it was no gRPC.
    head.status == 200 && said.is_none_or(|status| status == "0")
}

/// CPU of one item, µs, and items a second of wall time.
fn cost(server: &Server, source: Source, items: f64) -> Outcome<(f64, f64)> {
    let before = server.cpu_ns()?;
    let told = load(server.address, STREAMS, source, Duration::ZERO, SECONDS)?;
    let spent = server.cpu_ns()? - before;
    let all = told.accepted.get() as f64 * items;
    Ok((spent / all / 1e3, all / told.seconds.get()))
}

fn fresh() -> Source {
    Source::Fresh(RefCell::new(Writer::new()))
}

fn gzipped(count: usize) -> Outcome<Source> {
    let mut writer = Writer::new();
    let mut bodies = Vec::with_capacity(count);
    for _ in 0..count {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(writer.next_batch())?;
        bodies.push(batch::framed(&encoder.finish()?, 1));
    }
    Ok(Source::Made {
        bodies,
        next: Cell::new(0),
        path: PATH,
        headers: &[
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            ("grpc-encoding", "gzip"),
        ],
    })
}

/// One window each of as many processes.
fn deltas(count: u32) -> Source {
    let mut delta = delta_of(ROWS, 1, REQUESTS);
    let now_unix_ns = clock::unix_ns();
    delta.window.start_unix_ns = now_unix_ns / 10_000_000_000 * 10_000_000_000;
    delta.window.end_unix_ns = delta.window.start_unix_ns + 10_000_000_000;
    let bodies = (0..count)
        .map(|n| {
            delta.epoch.0[..4].copy_from_slice(&n.to_be_bytes());
            delta.seq = 0;
            delta.encode().into()
        })
        .collect();
    Source::Made {
        bodies,
        next: Cell::new(0),
        path: "/v1/ledger",
        headers: &[("content-type", "application/x-protobuf")],
    }
}

/// A part of the bench, by the word that runs it alone.
type Part = (&'static str, fn(&mut Report) -> Outcome<()>);

const PARTS: [Part; 6] = [
    ("plain", plain),
    ("gzip", gzip),
    ("memory", memory),
    ("overload", overload),
    ("latency", latency),
    ("deltas", deltas_per_second),
];

fn run(report: &mut Report) -> Outcome<()> {
    let pid = std::process::id().to_string();
    Command::new("taskset")
        .args(["-p", "-c", "1", &pid])
        .stdout(Stdio::null())
        .status()?;
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    for (name, part) in PARTS {
        if wanted.is_empty() || wanted.iter().any(|word| word == name) {
            part(report)?;
        }
    }
    Ok(())
}

fn plain(report: &mut Report) -> Outcome<()> {
    let name = "OTLP traces, gRPC, uncompressed";
    beside_rotel(report, name, 1e6 / 300_000.0, || Ok(fresh()))
}

fn gzip(report: &mut Report) -> Outcome<()> {
    let name = "OTLP traces, gRPC, gzip";
    beside_rotel(report, name, 1e6 / 150_000.0, || gzipped(900))
}

/// Full load on both, one after the other.
fn beside_rotel(
    report: &mut Report,
    name: &str,
    limit: f64,
    source: impl Fn() -> Outcome<Source>,
) -> Outcome<()> {
    let theirs = match Server::rotel() {
        Ok(server) => Some(cost(&server, source()?, SPANS as f64)?),
        Err(error) => {
            say::note(&format!("no rotel beside it: {error}; set ROTEL_AGENT"));
            None
        }
    };
    let server = Server::weighbridge(&[])?;
    let (us, per_second) = cost(&server, source()?, SPANS as f64)?;
    report.push(
        Figure::new(format!("{name}: CPU"), us, "µs/span")
            .at_most(limit)
            .note(format!(
                "{:.0} spans/s of a core; {per_second:.0} spans/s on the wall",
                1e6 / us
            )),
    );
    report.push(Figure::new(
        format!("{name}: joined halves"),
        server.metric("joined_halves_total")?,
        "halves",
    ));
    let Some((theirs, per_second)) = theirs else {
        return Ok(());
    };
    report.push(
        Figure::new(
            format!("{name}: rotel, blackhole exporter"),
            theirs,
            "µs/span",
        )
        .note(format!(
            "{:.0} spans/s of a core; {per_second:.0} spans/s on the wall",
            1e6 / theirs
        )),
    );
    report.push(Figure::new(format!("{name}: ours over rotel's"), us / theirs, "").at_most(1.0));
    Ok(())
}

fn memory(report: &mut Report) -> Outcome<()> {
    let server = Server::weighbridge(&[])?;
    let told = load(server.address, STREAMS, fresh(), PACE, MEMORY_SECONDS)?;
    report.push(
        Figure::new("memory at 100 000 spans/s", server.peak_mib()?, "MiB")
            .at_most(96.0)
            .note(format!(
                "the most in {MEMORY_SECONDS} s; {:.0} spans/s taken in",
                told.accepted.get() as f64 * SPANS as f64 / told.seconds.get()
            )),
    );
    Ok(())
}

/// Programs that take most of the collector's core, so that the other core can offer ten times what is left.
struct Busy(Vec<Child>);

impl Busy {
    fn start() -> Outcome<Self> {
        let mut busy = Self(Vec::new());
        for _ in 0..BUSY {
            let mut command = Command::new("taskset");
            command.args(["-c", "0", "sh", "-c", "while :; do :; done"]);
            busy.0.push(command.spawn()?);
        }
        Ok(busy)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Spans that are taken in each second at full load, by a collector of its own.
fn spans_at_full_load() -> Outcome<f64> {
    let server = Server::weighbridge(&[])?;
    Ok(cost(&server, fresh(), SPANS as f64)?.1)
}

fn overload(report: &mut Report) -> Outcome<()> {
    let busy = Busy::start()?;
    let most = spans_at_full_load()?;
    let server = Server::weighbridge(&[])?;
    let pace = Duration::from_secs_f64(SPANS as f64 / (most * 10.0));
    let told = load(server.address, STREAMS_OVERLOAD, fresh(), pace, 10)?;
    drop(busy);
    let counted = server.metric("otlp_refused_requests_total")?;
    let (taken, refused) = (told.accepted.get(), told.refused.get());
    report.push(
        Figure::new("memory offered ten times what it can take", server.peak_mib()?, "MiB")
            .at_most(256.0)
            .note(format!(
                "{:.0} spans/s due for 10 s where {most:.0} are taken in; {:.0} came through the connections, the rest they \
                 held back; {taken} requests taken in, {refused} refused, all answered, none sent again",
                most * 10.0,
                (taken + refused) as f64 * SPANS as f64 / told.seconds.get()
            )),
    );
    report.push(
        Figure::new(
            "refused but not counted by the collector",
            (refused as f64 - counted).abs(),
            "requests",
        )
        .at_most(0.0),
    );
    Ok(())
}

/// The time from a request to its answer at half of what is taken in at full load.
fn latency(report: &mut Report) -> Outcome<()> {
    let half = spans_at_full_load()? / 2.0;
    let server = Server::weighbridge(&[])?;
    let pace = Duration::from_secs_f64(SPANS as f64 / half);
    let told = load(server.address, STREAMS, fresh(), pace, 10)?;
    let mut latency = told.latency_ns.borrow().clone();
    latency.sort_unstable();
    let at = |share: f64| {
        latency
            .get((latency.len() as f64 * share) as usize)
            .map_or(f64::NAN, |ns| *ns as f64 / 1e6)
    };
    report.push(
        Figure::new("acknowledgement at half load, p99", at(0.99), "ms")
            .at_most(50.0)
            .note(format!(
                "p50 {:.1} ms, p90 {:.1} ms, longest {:.1} ms; {} requests, {half:.0} spans/s",
                at(0.5),
                at(0.9),
                at(0.999_999),
                latency.len()
            )),
    );
    Ok(())
}

fn deltas_per_second(report: &mut Report) -> Outcome<()> {
    let server = Server::weighbridge(&[])?;
    let rows = delta_of(ROWS, 1, REQUESTS).rows.len() as f64;
    let (us, per_second) = cost(&server, deltas(12_000), rows)?;
    report.push(
        Figure::new("ledger deltas: CPU", us, "µs/row")
            .at_most(1.0)
            .note(format!(
                "{rows} rows a delta; {per_second:.0} rows/s on the wall"
            )),
    );
    report.push(
        Figure::new(
            "10 000 instances each 10 s: cores",
            us * rows * 1_000.0 / 1e6,
            "cores",
        )
        .at_most(0.5),
    );
    Ok(())
}

fn main() -> ExitCode {
    let mut report = Report::new("ingest");
    if let Err(error) = run(&mut report) {
        say::note(&format!("the bench ended early: {error}"));
        let _ = report.finish();
        return ExitCode::FAILURE;
    }
    report.finish()
}
