//! Whether the bill tells who worked how much: ten operations of fixed-iteration work in ratios 1 to 10, and
//! ten equal ones, each under all loads, over HTTP on loopback. The reference is the number of iterations that each operation did;
//! what the agent booked to its handler, per iteration, must be the same for all. Each request also costs
//! something that is no iteration (routing, the response); an eleventh operation does nothing, and what it
//! costs is taken off from all alike. The loads are those that mislead samplers and wall clocks: more threads than
//! cores beside busy neighbours, requests that move between threads at every step, requests cancelled half-way, a
//! thousand connections.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use weighbridge_agent::{Agent, wire};
use weighbridge_benches::sink::Keep;
use weighbridge_benches::{Figure, Interval, Report, clock, say};
use wire::{Class, OperationKey, RowKind, column};

const OPERATIONS: usize = 10;
/// They and the empty one.
const ROUTES: usize = OPERATIONS + 1;
/// The limit of the deviation, in percent.
const OFF_MOST: f64 = 2.0;
const ROUNDS: usize = 24;
const PATIENCE: Duration = Duration::from_secs(20);

/// Requests that must have moved between threads where they are to, in percent: a load that moves none shows nothing.
const MOVED_LEAST: f64 = 1.0;

/// How long the operations work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    /// All alike, one unit.
    Equal,
    /// Operation k works k times as long.
    Proportional,
}

impl Work {
    fn units(self, operation: usize) -> usize {
        match self {
            Self::Equal => 1,
            Self::Proportional => operation + 1,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Proportional => "proportional",
        }
    }
}

/// One load.
struct Scenario {
    name: &'static str,
    workers: usize,
    /// Threads beside the service that never rest.
    neighbours: usize,
    connections: usize,
    requests_per_connection: usize,
    /// Steps of a unit of work; between steps the handler gives way.
    steps_per_unit: usize,
    /// One request in so many is given up by its client before the answer.
    cancelled_one_in: Option<u64>,
    /// Requests are to move between threads.
    moves: bool,
}

const USUAL: Scenario = Scenario {
    name: "unstressed",
    workers: 2,
    neighbours: 0,
    connections: 16,
    requests_per_connection: 60,
    steps_per_unit: 1,
    cancelled_one_in: None,
    moves: false,
};

const SCENARIOS: &[Scenario] = &[
    Scenario {
        requests_per_connection: 120,
        ..USUAL
    },
    Scenario {
        name: "oversubscribed",
        workers: 8,
        neighbours: 2,
        ..USUAL
    },
    Scenario {
        name: "migrating",
        workers: 4,
        steps_per_unit: 4,
        moves: true,
        ..USUAL
    },
    Scenario {
        name: "cancelled",
        steps_per_unit: 4,
        cancelled_one_in: Some(4),
        ..USUAL
    },
    Scenario {
        name: "1000 connections",
        connections: 1_000,
        requests_per_connection: 1,
        ..USUAL
    },
];

/// Work of a fixed number of dependent steps of the processor.
#[inline(never)]
fn iterate(iterations: u64) {
    let mut state = iterations;
    for n in 0..iterations {
        state = std::hint::black_box(
            state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(n),
        );
    }
}

/// Iterations that take a unit of 130 µs here.
fn unit() -> u64 {
    const PROBE: u64 = 2_000_000;
    let fastest = (0..5)
        .map(|_| {
            let begun = clock::process_cpu_ns();
            iterate(PROBE);
            clock::process_cpu_ns() - begun
        })
        .min()
        .unwrap_or(0);
    PROBE * 130_000 / u64::try_from(fastest).unwrap_or(0).max(1)
}

/// What the handlers did, by their own count.
#[derive(Debug, Default)]
struct Done {
    iterations: [AtomicU64; OPERATIONS],
    /// Requests of all but the empty operation, and those of them that more than one thread polled.
    begun: AtomicU64,
    moved: AtomicU64,
}

impl Done {
    async fn work(&self, operation: usize, steps: usize, iterations: u64, give_way: bool) {
        self.begun.fetch_add(1, Ordering::Relaxed);
        let first = std::thread::current().id();
        let mut moved = false;
        for _ in 0..steps {
            iterate(iterations);
            self.iterations[operation].fetch_add(iterations, Ordering::Relaxed);
            if give_way {
                tokio::task::yield_now().await;
                if !moved && std::thread::current().id() != first {
                    moved = true;
                    self.moved.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }
}

/// What one round came to, by operation; the empty one is the last.
#[derive(Clone, Copy, Debug, Default)]
struct Round {
    cpu_ns: [f64; ROUTES],
    requests: [f64; ROUTES],
    iterations: [f64; OPERATIONS],
}

impl Round {
    /// CPU of a request that does nothing.
    fn empty_ns(&self) -> f64 {
        self.cpu_ns[OPERATIONS] / self.requests[OPERATIONS]
    }

    fn add(mut self, other: &Self) -> Self {
        let pairs = (self.cpu_ns.iter_mut().zip(&other.cpu_ns))
            .chain(self.requests.iter_mut().zip(&other.requests))
            .chain(self.iterations.iter_mut().zip(&other.iterations));
        pairs.for_each(|(sum, more)| *sum += more);
        self
    }

    /// How far the price of an iteration in each operation lies from the mean over all, in percent.
    fn deviations(&self, empty_ns: f64) -> [f64; OPERATIONS] {
        let work = |n: usize| self.cpu_ns[n] - self.requests[n] * empty_ns;
        let all: f64 = (0..OPERATIONS).map(work).sum();
        let mean = all / self.iterations.iter().sum::<f64>();
        std::array::from_fn(|n| (work(n) / self.iterations[n] / mean - 1.0) * 100.0)
    }
}

fn app(scenario: &Scenario, work: Work, unit: u64, done: &Arc<Done>) -> Router {
    let mut app = Router::new();
    for n in 0..OPERATIONS {
        let steps = work.units(n) * scenario.steps_per_unit;
        let iterations = unit / scenario.steps_per_unit as u64;
        let give_way = scenario.steps_per_unit > 1;
        let done = done.clone();
        app = app.route(
            &format!("/operation-{n}"),
            get(async move || {
                done.work(n, steps, iterations, give_way).await;
                "ok"
            }),
        );
    }
    app.route(&format!("/operation-{OPERATIONS}"), get(async || "ok"))
        .layer(weighbridge_agent::layer())
}

/// A small generator: which operation is next must not depend on anything measured.
struct Draw(u64);

impl Draw {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }
}

async fn connection(
    address: SocketAddr,
    seed: u64,
    requests: usize,
    cancelled_one_in: Option<u64>,
) -> std::io::Result<()> {
    let mut draw = Draw(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut stream = TcpStream::connect(address).await?;
    for _ in 0..requests {
        let operation = draw.below(ROUTES as u64);
        let head = format!("GET /operation-{operation} HTTP/1.1\r\nhost: bench\r\n\r\n");
        stream.write_all(head.as_bytes()).await?;
        if cancelled_one_in.is_some_and(|n| draw.below(n) == 0) {
            tokio::time::sleep(Duration::from_micros(draw.below(1_500))).await;
            stream = TcpStream::connect(address).await?;
            continue;
        }
        let mut answer = Vec::with_capacity(256);
        while !answer.ends_with(b"\r\n\r\nok") {
            if stream.read_buf(&mut answer).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
    Ok(())
}

/// One round of load from a runtime and thread of its own, whose costs are nobody's.
fn load(address: SocketAddr, scenario: &Scenario, round: usize) -> std::io::Result<()> {
    std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?
                .block_on(async {
                    let all = (0..scenario.connections).map(|n| {
                        connection(
                            address,
                            (round * scenario.connections + n) as u64 + 1,
                            scenario.requests_per_connection,
                            scenario.cancelled_one_in,
                        )
                    });
                    futures_util::future::try_join_all(all).await.map(drop)
                })
        });
        client
            .join()
            .unwrap_or_else(|_| Err(std::io::Error::other("the client panicked")))
    })
}

/// Requests and handler CPU booked to each operation since the last call.
fn booked(sink: &Keep) -> Round {
    let mut round = Round::default();
    for delta in sink.take() {
        for (key, row) in delta.rows.of_kind(RowKind::Operation) {
            let number = OperationKey::read(key).and_then(|key| {
                let n = key.operation.strip_prefix("GET /operation-")?;
                n.parse::<usize>().ok().filter(|n| *n < ROUTES)
            });
            if let Some(n) = number {
                round.cpu_ns[n] += row.class_cpu_ns(Class::Handler).unwrap_or(0) as f64;
                round.requests[n] += row.get(column::STARTED).unwrap_or(0) as f64;
            }
        }
    }
    round
}

fn measure(
    scenario: &Scenario,
    work: Work,
    unit: u64,
    agent: &Agent,
    sink: &Keep,
) -> std::io::Result<Vec<Figure>> {
    let done = Arc::new(Done::default());
    let runtime = weighbridge_agent::runtime()
        .worker_threads(scenario.workers)
        .build()?;
    let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0)))?;
    let address = listener.local_addr()?;
    let app = app(scenario, work, unit, &done);
    runtime.spawn(weighbridge_agent::serve(listener, app).into_future());
    let stop = Arc::new(AtomicBool::new(false));
    let neighbours: Vec<_> = (0..scenario.neighbours)
        .map(|_| {
            let stop = stop.clone();
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    iterate(10_000);
                }
            })
        })
        .collect();
    let take_done = || -> [f64; OPERATIONS] {
        std::array::from_fn(|n| done.iterations[n].swap(0, Ordering::Relaxed) as f64)
    };
    let mut rounds = Vec::new();
    for round in 0..=ROUNDS {
        load(address, scenario, round)?;
        agent.flush(PATIENCE);
        let ended = Round {
            iterations: take_done(),
            ..booked(sink)
        };
        // The first one warms up.
        if round > 0 {
            rounds.push(ended);
        }
    }
    stop.store(true, Ordering::Relaxed);
    for neighbour in neighbours {
        drop(neighbour.join());
    }
    drop(runtime);
    agent.flush(PATIENCE);
    drop(sink.take());
    let mut figures = figures(scenario, work, &rounds);
    if scenario.steps_per_unit > 1 {
        figures.push(moved(scenario, work, &done));
    }
    Ok(figures)
}

/// How many requests more than one thread polled, by their handlers.
fn moved(scenario: &Scenario, work: Work, done: &Done) -> Figure {
    let [moved, begun] =
        [&done.moved, &done.begun].map(|count| count.load(Ordering::Relaxed) as f64);
    let figure = Figure::new(
        format!(
            "{}, {}: requests polled by more than one thread",
            scenario.name,
            work.name()
        ),
        moved * 100.0 / begun,
        "%",
    );
    if scenario.moves {
        figure.at_least(MOVED_LEAST)
    } else {
        figure
    }
}

fn figures(scenario: &Scenario, work: Work, rounds: &[Round]) -> Vec<Figure> {
    let whole = rounds.iter().fold(Round::default(), Round::add);
    let empty_ns = whole.empty_ns();
    let per_round: Vec<[f64; OPERATIONS]> = rounds
        .iter()
        .map(|round| round.deviations(empty_ns))
        .collect();
    let of_operation = |n: usize| {
        let samples: Vec<f64> = per_round.iter().map(|round| round[n]).collect();
        Interval::of_mean(&samples)
    };
    // The worst operation, by the far end of its interval.
    let worst = (0..OPERATIONS)
        .filter_map(|n| {
            let interval = of_operation(n)?;
            Some((n, interval, interval.low.abs().max(interval.high.abs())))
        })
        .max_by(|a, b| a.2.total_cmp(&b.2));
    let case = format!("{}, {}", scenario.name, work.name());
    let name = format!("{case}: worst operation off by");
    let Some((n, interval, far)) = worst else {
        return vec![Figure::of(name, None, "%")];
    };
    let near = if interval.low <= 0.0 && interval.high >= 0.0 {
        0.0
    } else {
        interval.low.abs().min(interval.high.abs())
    };
    let of_worst = match work {
        Work::Proportional => format!("the operation of {} units", work.units(n)),
        Work::Equal => format!("operation {n}"),
    };
    let figure = Figure::of(
        name,
        Some(Interval {
            mean: interval.mean.abs(),
            low: near,
            high: far,
        }),
        "%",
    )
    .at_most(OFF_MOST)
    .note(format!(
        "{of_worst}: {:+.2} %; {ROUNDS} rounds of {} requests on {} connections, {} worker threads, {} busy \
         neighbours",
        interval.mean,
        scenario.connections * scenario.requests_per_connection,
        scenario.connections,
        scenario.workers,
        scenario.neighbours,
    ));
    vec![
        figure,
        Figure::new(
            format!("{case}: an empty request's handler"),
            empty_ns / 1e3,
            "µs",
        ),
    ]
}

fn main() -> ExitCode {
    let mut report = Report::new("accuracy");
    let sink = Arc::new(Keep::default());
    let agent = weighbridge_agent::builder()
        .service("accuracy")
        // Longer than a round: each round ends with a flush.
        .window(Duration::from_secs(3_600))
        .sink(sink.clone())
        .init();
    let unit = unit();
    report.push(Figure::new("iterations of a unit of work", unit as f64, ""));
    let cases = SCENARIOS
        .iter()
        .flat_map(|scenario| [(scenario, Work::Equal), (scenario, Work::Proportional)]);
    for (scenario, work) in cases {
        match measure(scenario, work, unit, &agent, &sink) {
            Ok(figures) => figures.into_iter().for_each(|figure| report.push(figure)),
            Err(error) => {
                say::note(&format!("{}, {}: {error}", scenario.name, work.name()));
                return ExitCode::FAILURE;
            }
        }
    }
    report.finish()
}
