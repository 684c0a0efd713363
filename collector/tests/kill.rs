//! A collector process killed with SIGKILL again and again, while a sender resends what was not acknowledged:
//! totals end equal to the last integer.
//!
//! The child is this same binary, started again with a variable set.
#![cfg(unix)]
#![allow(clippy::unwrap_used)] // the helpers of a test

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use weighbridge_collector::{Collector, Config, Span, read_range};
use weighbridge_wire::{
    Delta, Epoch, Identity, OperationKey, OwnerKey, OwnerKind, Quality, RowKind, RowSet, RowValue,
    Totals, Window, column,
};

const CHILD: &str = "WEIGHBRIDGE_TEST_COLLECTOR_CHILD";
/// Kills unless `WEIGHBRIDGE_TEST_KILLS` says more.
const KILLS: u64 = 20;
/// Deltas between one kill and the next.
const DELTAS_PER_KILL: u64 = 20;
/// Latest instant of a kill after its delta was sent, µs: a commit with its sync takes about so long.
const PAUSE_US_MAX: u64 = 12_000;
const SECOND_NS: u64 = 1_000_000_000;

/// Not a test of its own: the collector that is killed.
#[test]
fn child() {
    let Ok(directory) = std::env::var(CHILD) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut config = Config {
            data_dir: Path::new(&directory).join("data"),
            listen_http: "127.0.0.1:0".parse().unwrap(),
            weigh_self: false,
            ..Config::default()
        };
        config.limits.fold_every = Duration::from_millis(3);
        let running = Collector::start(config).await.unwrap();
        // Renamed, so that the parent never reads half an address.
        let file = Path::new(&directory).join("address");
        std::fs::write(file.with_extension("new"), running.http_addr.to_string()).unwrap();
        std::fs::rename(file.with_extension("new"), file).unwrap();
        std::future::pending::<()>().await;
    });
}

/// Kills its process when it goes, so that a failing test leaves nothing behind.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(directory: &Path) -> (Killed, SocketAddr) {
    let file = directory.join("address");
    let _ = std::fs::remove_file(&file);
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(CHILD, directory)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let child = Killed(child);
    for _ in 0..3_000 {
        if let Ok(address) = std::fs::read_to_string(&file) {
            return (child, address.parse().unwrap());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the child did not start within 30 s");
}

fn delta(now_unix_ns: u64, seq: u64) -> Delta {
    let cpu = |seq: u64| i64::try_from(seq * seq + 1).unwrap();
    let mut rows = RowSet::new();
    let owner = OwnerKey {
        owner_kind: OwnerKind::Agent.as_str().into(),
        name: "agent".into(),
    };
    rows.add(
        owner.row_key(Quality::Measured),
        &RowValue::new().with(column::CPU_HANDLER_NS, cpu(seq)),
    );
    // Several deltas share a window, so that folding twice would show.
    let start_unix_ns = now_unix_ns + seq / 10 * SECOND_NS;
    Delta {
        identity: Identity {
            service: "store".into(),
            ..Identity::default()
        },
        epoch: Epoch([7; 16]),
        seq,
        window: Window {
            start_unix_ns,
            end_unix_ns: start_unix_ns + SECOND_NS,
        },
        rows,
        cumulative: Totals {
            accounts_cpu_ns: (0..=seq).map(cpu).sum(),
            ..Totals::default()
        },
        tombstones: Vec::new(),
    }
}

/// True when it was acknowledged.
fn send(addr: SocketAddr, delta: &Delta) -> bool {
    post(
        addr,
        "/v1/ledger",
        "application/x-protobuf",
        &delta.encode(),
    )
}

fn post(addr: SocketAddr, path: &str, content_type: &str, body: &[u8]) -> bool {
    let exchange = || -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(addr)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n\
             content-type: {content_type}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    };
    exchange().is_ok_and(|answer| answer.starts_with(b"HTTP/1.1 200"))
}

/// Numbers from a seed (SplitMix64).
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Now, as the collector's own clock has it; cut to whole seconds.
fn now_unix_ns(directory: &Path) -> u64 {
    let modified = std::fs::metadata(directory).unwrap().modified().unwrap();
    let since = modified.duration_since(std::time::UNIX_EPOCH).unwrap();
    since.as_secs() * SECOND_NS
}

/// Sends number after number to a collector that is killed again and again, and each until it is acknowledged. Returns
/// how many it sent.
#[allow(clippy::print_stdout)] // the seed and what came of it
fn storm(directory: &Path, send: impl Fn(SocketAddr, u64) -> bool + Copy + Send + 'static) -> u64 {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let kills = number("WEIGHBRIDGE_TEST_KILLS").unwrap_or(KILLS);
    let mut seed = number("WEIGHBRIDGE_TEST_SEED").unwrap_or_else(|| {
        use std::hash::{BuildHasher as _, Hasher as _, RandomState};
        RandomState::new().build_hasher().finish()
    });
    println!("{kills} kills, WEIGHBRIDGE_TEST_SEED={seed}");
    let count = kills * DELTAS_PER_KILL;
    let (mut child, mut addr) = start(directory);
    let (mut killed, mut unanswered) = (0, 0);
    for seq in 0..count {
        let kill = seq % DELTAS_PER_KILL == DELTAS_PER_KILL / 2;
        if kill {
            killed += 1;
            // Killed while this one is on its way: before it came, before its commit, or before its
            // acknowledgement.
            let pause = Duration::from_micros(random(&mut seed) % PAUSE_US_MAX);
            let sender = std::thread::spawn(move || send(addr, seq));
            std::thread::sleep(pause);
            drop(child);
            unanswered += u64::from(!sender.join().unwrap());
            (child, addr) = start(directory);
        }
        while !send(addr, seq) {}
        // Its acknowledgement is lost, after every kill and now and then: everything comes twice.
        if kill || seq % 7 == 0 {
            assert!(send(addr, seq));
        }
    }
    assert_eq!(killed, kills);
    println!("{unanswered} of those on their way at a kill were not answered");
    drop(child);
    count
}

#[test]
fn killed_again_and_again_totals_end_equal() {
    let directory = tempfile::tempdir().unwrap();
    let now = now_unix_ns(directory.path());
    let deltas = storm(directory.path(), move |addr, seq| {
        send(addr, &delta(now, seq))
    });
    let range = read_range(&directory.path().join("data"), Span::default()).unwrap();
    let expected: i64 = (0..deltas)
        .map(|seq| delta(now, seq).rows.accounts_cpu_ns())
        .sum();
    let found: i64 = range
        .windows
        .iter()
        .map(|folded| folded.rows.accounts_cpu_ns())
        .sum();
    assert_eq!(found, expected);
    let losses = range
        .windows
        .iter()
        .flat_map(|folded| folded.rows.of_kind(RowKind::Loss));
    assert_eq!(losses.count(), 0);
    assert_eq!(range.windows.len() as u64, deltas / 10);
}

/// Half of a trace: shop's request and its call of stock, or stock's answer to it.
fn spans(now_unix_ns: u64, half: u64) -> String {
    let (trace, is_answer) = (half / 2 + 1, half % 2 == 1);
    let end_unix_ns = now_unix_ns + half * 1_000_000;
    let span = |id: u64, parent: u64, kind: u8, attributes: &str| {
        let parent = match parent {
            0 => String::new(),
            id => format!(r#""parentSpanId":"{:016x}","#, trace << 3 | id),
        };
        format!(
            r#"{{"traceId":"{trace:032x}","spanId":"{:016x}",{parent}"kind":{kind},"name":"GET","startTimeUnixNano":"{}",
            "endTimeUnixNano":"{end_unix_ns}","attributes":[{attributes}]}}"#,
            trace << 3 | id,
            end_unix_ns - 1_000_000
        )
    };
    let text = |key: &str, value: &str| {
        format!(r#"{{"key":"{key}","value":{{"stringValue":"{value}"}}}}"#)
    };
    let get = text("http.request.method", "GET");
    let (service, spans) = if is_answer {
        let route = text("http.route", "/stock");
        ("stock", span(3, 2, 2, &format!("{get},{route}")))
    } else {
        let (route, peer) = (
            text("http.route", "/orders"),
            text("server.address", "stock"),
        );
        let request = span(1, 0, 2, &format!("{get},{route}"));
        let call = span(2, 1, 3, &format!("{get},{peer}"));
        ("shop", format!("{request},{call}"))
    };
    format!(
        r#"{{"resourceSpans":[{{"resource":{{"attributes":[{}]}},"scopeSpans":[{{"spans":[{spans}]}}]}}]}}"#,
        text("service.name", service)
    )
}

#[test]
fn killed_again_and_again_every_span_counts_once_and_every_call_is_joined() {
    let directory = tempfile::tempdir().unwrap();
    let now = now_unix_ns(directory.path());
    let halves = storm(directory.path(), move |addr, half| {
        let body = spans(now, half);
        post(addr, "/v1/traces", "application/json", body.as_bytes())
    });
    let range = read_range(&directory.path().join("data"), Span::default()).unwrap();
    // Requests by (service, caller's service).
    let mut ended = std::collections::BTreeMap::new();
    for folded in &range.windows {
        for (key, value) in folded.rows.of_kind(RowKind::Operation) {
            let key = OperationKey::read(key).unwrap();
            *ended
                .entry((
                    folded.service.service.clone(),
                    key.caller_service.to_string(),
                ))
                .or_insert(0) += value.get(column::ENDED).unwrap();
        }
    }
    let traces = i64::try_from(halves / 2).unwrap();
    let expected = [("shop", "", traces), ("stock", "shop", traces)]
        .map(|(service, caller, count)| ((service.to_owned(), caller.to_owned()), count));
    assert_eq!(ended.into_iter().collect::<Vec<_>>(), expected);
}
