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

/// Numbers from a seed (SplitMix64).
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[test]
fn killed_again_and_again_totals_end_equal() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let kills = number("WEIGHBRIDGE_TEST_KILLS").unwrap_or(KILLS);
    let mut seed = number("WEIGHBRIDGE_TEST_SEED").unwrap_or_else(|| {
        use std::hash::{BuildHasher as _, Hasher as _, RandomState};
        RandomState::new().build_hasher().finish()
    });
    println!("{kills} kills, WEIGHBRIDGE_TEST_SEED={seed}");
    let deltas = kills * DELTAS_PER_KILL;
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
    let (mut killed, mut unanswered) = (0, 0);
    for seq in 0..deltas {
        let delta = delta(now, seq);
        let kill = seq % DELTAS_PER_KILL == DELTAS_PER_KILL / 2;
        if kill {
            killed += 1;
            // Killed while this delta is on its way: before it came, before its commit, or before its
            // acknowledgement.
            let for_sender = delta.clone();
            let pause = Duration::from_micros(random(&mut seed) % PAUSE_US_MAX);
            let sender = std::thread::spawn(move || send(addr, &for_sender));
            std::thread::sleep(pause);
            drop(child);
            unanswered += u64::from(!sender.join().unwrap());
            (child, addr) = start(directory.path());
        }
        while !send(addr, &delta) {}
        // Its acknowledgement is lost, after every kill and now and then: everything comes twice.
        if kill || seq % 7 == 0 {
            assert!(send(addr, &delta));
        }
    }
    assert_eq!(killed, kills);
    println!("{unanswered} of the deltas on their way at a kill were not answered");
    drop(child);
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
