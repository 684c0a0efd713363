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
    Delta, Epoch, Identity, OwnerKey, OwnerKind, Quality, RowKind, RowSet, RowValue, Totals,
    Window, column,
};

const CHILD: &str = "WEIGHBRIDGE_TEST_COLLECTOR_CHILD";
const KILLS: u64 = 12;
const DELTAS: u64 = 400;
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
    let exchange = || -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(addr)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let body = delta.encode();
        let head = format!(
            "POST /v1/ledger HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n\
             content-type: application/x-protobuf\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), &body].concat())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    };
    exchange().is_ok_and(|answer| answer.starts_with(b"HTTP/1.1 200"))
}

#[test]
fn killed_again_and_again_totals_end_equal() {
    let directory = tempfile::tempdir().unwrap();
    // Now, as the collector's own clock has it; cut to whole seconds.
    let modified = std::fs::metadata(directory.path())
        .unwrap()
        .modified()
        .unwrap();
    let now = modified
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs()
        * SECOND_NS;
    let (mut child, mut addr) = start(directory.path());
    let mut kills = 0;
    for seq in 0..DELTAS {
        let delta = delta(now, seq);
        if seq % (DELTAS / KILLS) == 20 && kills < KILLS {
            kills += 1;
            // Killed while this delta is on its way: before it came, before its commit, or before its
            // acknowledgement.
            let (for_sender, pause) = (delta.clone(), Duration::from_micros(kills * 400));
            let sender = std::thread::spawn(move || send(addr, &for_sender));
            std::thread::sleep(pause);
            drop(child);
            let _ = sender.join();
            (child, addr) = start(directory.path());
        }
        while !send(addr, &delta) {}
        // A lost acknowledgement now and then: everything comes twice.
        if seq % 7 == 0 {
            assert!(send(addr, &delta));
        }
    }
    assert_eq!(kills, KILLS);
    drop(child);
    let range = read_range(&directory.path().join("data"), Span::default()).unwrap();
    let expected: i64 = (0..DELTAS)
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
    assert_eq!(range.windows.len() as u64, DELTAS / 10);
}
