//! Conservation, end to end: a weighed axum app over loopback, everything in one process, so that server,
//! client, scheduler and agent must add up to the CPU time that the kernel reports.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use support::{Connection, burn, carried, figure};
use weighbridge_agent::messages::Peer;
use weighbridge_agent::wire::{Class, RowKind, column};
use weighbridge_agent::{Json, background, class, spawn, spawn_blocking};

#[global_allocator]
static ALLOC: weighbridge_agent::Alloc = weighbridge_agent::Alloc::system();

#[derive(Serialize, Deserialize)]
struct Item {
    id: u64,
    name: String,
}

const STREAM_CHUNKS: usize = 8;
const STREAM_CHUNK_BYTES: usize = 1_000;

fn app() -> Router {
    Router::new()
        .route("/hello/{name}", get(|| async { "hello" }))
        .route(
            "/echo",
            post(|Json(items): Json<Vec<Item>>| async { Json(items) }),
        )
        .route(
            "/stream",
            get(|| async {
                let chunk = || Ok::<_, std::io::Error>(vec![b'x'; STREAM_CHUNK_BYTES]);
                Body::from_stream(stream::iter((0..STREAM_CHUNKS).map(move |_| chunk())))
            }),
        )
        .route(
            "/children",
            get(|| async {
                class("with children");
                let child = spawn(async { burn(Duration::from_millis(2)) });
                let blocking = spawn_blocking(|| burn(Duration::from_millis(2)));
                child.await.unwrap();
                blocking.await.unwrap();
                "done"
            }),
        )
        .route("/asks", get(asks))
        .layer(weighbridge_agent::layer())
}

/// Asks somebody who needs CPU of this very request for it, and asks again meanwhile.
async fn asks() -> &'static str {
    let peer = Peer::new("queue", "asked");
    let mut outer = peer.call("outer");
    outer.encode(|| burn(Duration::from_micros(200)));
    outer.sent(10);
    let work = async {
        burn(Duration::from_micros(500));
        tokio::task::yield_now().await;
        let mut inner = peer.call("inner");
        inner.sent(10);
        inner.wait(async { burn(Duration::from_millis(1)) }).await;
        inner.end();
        burn(Duration::from_micros(500));
    };
    outer.wait(work).await;
    outer.decode(|| burn(Duration::from_micros(200)));
    outer.end();
    "answered"
}

/// Over everything that an operation called or answered, its edges hold what its rows hold of messages.
fn assert_messages_stand_once(ledger: &support::Ledger, operation: &str) {
    let row = ledger.select(RowKind::Operation, &[(1, operation)]);
    let [caller, callee] =
        ["caller", "callee"].map(|side| ledger.select(RowKind::Edge, &[(0, side), (4, operation)]));
    for class in [Class::Encode, Class::Decode, Class::Protocol, Class::Io] {
        let [called, answered] =
            [&caller, &callee].map(|side| side.class_cpu_ns(class).unwrap_or(0));
        assert_eq!(
            row.class_cpu_ns(class).unwrap_or(0),
            called + answered,
            "{operation}, {class:?}: {called} ns of its calls and {answered} ns of its own"
        );
    }
}

/// What the kernel says of this process and its machine now, from `/proc`.
#[cfg(target_os = "linux")]
struct Now {
    rss_bytes: i64,
    rss_peak_bytes: i64,
    threads: i64,
    host_cores: i64,
}

#[cfg(target_os = "linux")]
impl Now {
    fn read() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let field = |name: &str| -> i64 {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        let stat = std::fs::read_to_string("/proc/stat").unwrap();
        let cores = stat.lines().filter(|line| {
            let number = line.strip_prefix("cpu");
            number.is_some_and(|number| number.starts_with(|c: char| c.is_ascii_digit()))
        });
        Self {
            rss_bytes: field("VmRSS:") * 1_024,
            rss_peak_bytes: field("VmHWM:") * 1_024,
            threads: field("Threads:"),
            host_cores: i64::try_from(cores.count()).unwrap(),
        }
    }
}

/// The process row of each window says what the kernel says. `then` is what it said before `init`.
#[cfg(target_os = "linux")]
fn assert_kernels_figures(ledger: &support::Ledger, then: &Now) {
    const MIB: i64 = 1 << 20;
    let deltas = ledger.deltas();
    let now = Now::read();
    let rows: Vec<_> = deltas
        .iter()
        .map(|delta| delta.rows.of_kind(RowKind::Process).next().unwrap().1)
        .collect();
    let each = |column| rows.iter().map(move |row| figure(row, column));
    let sum = |column| each(column).sum::<i64>();

    let init_bytes = figure(rows[0], column::RSS_INIT_BYTES);
    assert!(
        (init_bytes - then.rss_bytes).abs() < 8 * MIB,
        "{init_bytes} at init, {} a moment before",
        then.rss_bytes
    );
    for row in &rows {
        let [rss, peak] =
            [column::RSS_BYTES, column::RSS_PEAK_BYTES].map(|column| figure(row, column));
        assert_eq!(figure(row, column::RSS_INIT_BYTES), init_bytes);
        assert!((MIB..=peak).contains(&rss) && peak <= now.rss_peak_bytes);
        assert_eq!(figure(row, column::RSS_SUM_BYTES), rss, "one sample");
        assert_eq!(figure(row, column::SAMPLES), 1);
        assert_eq!(figure(row, column::HOST_CORES), now.host_cores);
        let cores_milli = figure(row, column::CORES_MILLI);
        match row.get(column::QUOTA_MILLI) {
            Some(quota_milli) => assert!((1..=quota_milli).contains(&cores_milli)),
            None => {
                let cores = std::thread::available_parallelism().unwrap().get();
                assert_eq!(cores_milli, 1_000 * i64::try_from(cores).unwrap());
            }
        }
    }
    let last = rows.last().unwrap();
    let rss = figure(last, column::RSS_BYTES);
    assert!(
        (rss - now.rss_bytes).abs() < 8 * MIB,
        "{rss}, {} now",
        now.rss_bytes
    );
    // The runtime is gone: the harness, this test, and the agent.
    let threads = figure(last, column::THREADS);
    assert!(
        (threads - now.threads).abs() <= 1,
        "{threads}, {} now",
        now.threads
    );
    let most = each(column::THREADS).max().unwrap();
    assert!(
        (now.threads + 2..64).contains(&most),
        "{most} with two workers"
    );

    let process_ns = sum(column::CPU_PROCESS_NS);
    let split_ns = sum(column::CPU_USER_NS) + sum(column::CPU_SYSTEM_NS);
    assert!(
        (split_ns - process_ns).abs() < process_ns / 20 + 5_000_000,
        "{split_ns} of {process_ns}"
    );
    let [busy, softirq, steal] = [
        column::HOST_BUSY_NS,
        column::HOST_SOFTIRQ_NS,
        column::HOST_STEAL_NS,
    ]
    .map(sum);
    // In hundredths of a second, and all the machine's: this process's at least, and no more than it has.
    let all_ns = now.host_cores * sum(column::OBSERVED_NS);
    assert!(
        (process_ns * 3 / 4..all_ns * 5 / 4 + 100_000_000).contains(&busy),
        "{busy} of {all_ns}, {process_ns} of them here"
    );
    assert!(softirq >= 0 && steal >= 0 && softirq + steal <= busy);
    // Client and server take turns on two workers, which sleep between.
    let waits = sum(column::SWITCHES_VOLUNTARY);
    assert!((20..1_000_000).contains(&waits), "{waits}");
    let preempted = sum(column::SWITCHES_INVOLUNTARY);
    assert!((0..1_000_000).contains(&preempted), "{preempted}");
}

const ROUNDS: usize = 300;

async fn load(address: std::net::SocketAddr) -> (usize, usize) {
    let items: Vec<Item> = (0..50)
        .map(|id| Item {
            id,
            name: format!("item {id}"),
        })
        .collect();
    let json = serde_json::to_vec(&items).unwrap();
    let mut connection = Connection::open(address).await;
    for n in 0..ROUNDS {
        assert_eq!(
            connection
                .ask(&format!("GET /hello/{n} HTTP/1.1"), b"")
                .await
                .body,
            b"hello"
        );
        let head = "POST /echo HTTP/1.1\r\ncontent-type: application/json";
        assert_eq!(connection.ask(head, &json).await.body, json);
        if n % 10 == 0 {
            let answer = connection.ask("GET /stream HTTP/1.1", b"").await;
            assert_eq!(answer.body.len(), STREAM_CHUNKS * STREAM_CHUNK_BYTES);
            for path in ["/children", "/asks"] {
                let head = format!("GET {path} HTTP/1.1");
                assert_eq!(connection.ask(&head, b"").await.status, 200);
            }
            assert_eq!(
                connection
                    .ask(&format!("GET /{n} HTTP/1.1"), b"")
                    .await
                    .status,
                404
            );
        }
    }
    (ROUNDS, json.len())
}

#[test]
fn server_client_scheduler_and_agent_add_up_to_the_process() {
    #[cfg(target_os = "linux")]
    let then = Now::read();
    let agent = support::builder("tested").window(Duration::from_millis(200));
    let (tell, told) = std::sync::mpsc::sync_channel(1);
    let ledger = support::weigh_server(
        agent,
        |_| app(),
        |served| async move {
            let client = background("client", load(served.address));
            tell.send(tokio::spawn(client).await.unwrap()).unwrap();
        },
    );
    let (rounds, json_bytes) = told.recv().unwrap();
    let rounds = i64::try_from(rounds).unwrap();
    let some = rounds / 10;

    // Every window added up, to the nanosecond; so do all of them.
    let deltas = ledger.deltas();
    assert!(deltas.len() > 1, "several windows");
    let last = deltas.last().unwrap();
    let in_progress: i64 = deltas
        .iter()
        .map(|delta| {
            figure(
                delta.rows.of_kind(RowKind::Process).next().unwrap().1,
                column::CPU_IN_PROGRESS_NS,
            )
        })
        .sum();
    assert_eq!(
        last.cumulative.process_cpu_ns,
        last.cumulative.accounts_cpu_ns + in_progress
    );

    // Every request began, ended, and was counted once, with its bytes.
    let hello = ledger.operation("GET /hello/{name}", "");
    let echo = ledger.operation("POST /echo", "");
    let children = ledger.operation("GET /children", "with children");
    for (row, n) in [
        (&hello, rounds),
        (&echo, rounds),
        (&ledger.operation("GET /stream", ""), some),
        (&children, some),
    ] {
        assert_eq!(
            (figure(row, column::STARTED), figure(row, column::ENDED)),
            (n, n)
        );
        assert_eq!(support::outcome(row), [0, 0]);
        // Both are integrals of the same intervals.
        assert_eq!(
            figure(row, column::IN_FLIGHT_NS),
            figure(row, column::WALL_NS)
        );
    }
    let undeclared = ledger.operation("GET /children", "");
    assert_eq!(
        figure(&undeclared, column::STARTED),
        0,
        "the class took the start along"
    );
    assert_eq!(undeclared.cpu_ns(), 0, "and the cost");
    let lost = ledger.operation("GET <unmatched>", "");
    assert_eq!(figure(&lost, column::CLIENT_ERRORS), some);
    let edge = |operation| ledger.select(RowKind::Edge, &[(0, "callee"), (4, operation)]);
    let echoed = edge("POST /echo");
    let bytes = rounds * i64::try_from(json_bytes).unwrap();
    assert_eq!(carried(&echoed), [rounds, bytes, rounds, bytes]);
    let streamed = i64::try_from(STREAM_CHUNKS * STREAM_CHUNK_BYTES).unwrap();
    assert_eq!(
        figure(&edge("GET /stream"), column::RESPONSE_BODY_BYTES),
        some * streamed
    );

    // Each kind of work lands in its class.
    for (row, class) in [
        (&hello, Class::Handler),
        (&hello, Class::Protocol),
        (&hello, Class::Io),
        (&echo, Class::Encode),
        (&echo, Class::Decode),
    ] {
        assert!(row.class_cpu_ns(class).unwrap() > 0, "{class:?}");
    }
    assert_eq!(
        hello.class_cpu_ns(Class::Encode),
        Some(0),
        "a text needs no encoding"
    );
    assert_eq!(
        echoed.get(column::CPU_ENCODE_NS),
        echo.class_cpu_ns(Class::Encode)
    );
    assert_eq!(echoed.get(column::CPU_IO_NS), echo.class_cpu_ns(Class::Io));
    // Two children of 2 ms each, on other threads.
    assert!(children.class_cpu_ns(Class::Handler).unwrap() >= some * 4_000_000);
    assert!(
        figure(&echo, column::ALLOC_COUNT) >= rounds * 50,
        "each item's name is an allocation"
    );
    assert!(figure(&echo, column::PEAK_LIVE_BYTES) >= i64::try_from(json_bytes).unwrap());

    // Messages stand once: what a call costs is on its edge, and not on that of the request that made it as well.
    for operation in [
        "GET /hello/{name}",
        "POST /echo",
        "GET /stream",
        "GET /children",
        "GET /asks",
    ] {
        assert_messages_stand_once(&ledger, operation);
    }
    let asked = |target| {
        let call = [(0, "caller"), (4, "GET /asks"), (10, target)];
        let row = ledger.select(RowKind::Edge, &call);
        row.class_cpu_ns(Class::Protocol).unwrap()
    };
    // Each side of a call within a call has its own part.
    let answering = edge("GET /asks").class_cpu_ns(Class::Protocol).unwrap();
    let parts = [asked("outer"), asked("inner"), answering].map(|ns| ns / some);
    assert!((1_000_000..2_000_000).contains(&parts[0]), "{parts:?}");
    assert!((1_000_000..2_000_000).contains(&parts[1]), "{parts:?}");
    assert!(parts[2] < 900_000, "{parts:?}");

    #[cfg(target_os = "linux")]
    assert_kernels_figures(&ledger, &then);

    // What nothing explains is small.
    support::assert_explained(&ledger, 50);
}
