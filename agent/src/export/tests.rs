//! The exporter against scripted collectors on loopback and in memory.

use std::collections::VecDeque;
use std::io::Read as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use weighbridge_wire::{
    Class, Delta, Epoch, Identity, OperationKey, Quality, RowSet, Window, column,
};

use super::*;
use crate::config::{Endpoint, Token};
use crate::ledger::WindowEnd;
use crate::testing::WindowLedger;

const PATIENCE: Duration = Duration::from_secs(20);

fn window(n: u64) -> WindowLedger {
    let key = OperationKey {
        component: "".into(),
        operation: "GET /".into(),
        class: "".into(),
        caller_service: "".into(),
        caller_operation: "".into(),
        origin_service: "s".into(),
        origin_operation: "GET /".into(),
    };
    let mut rows = RowSet::new();
    let row = rows.row_mut(key.row_key(Quality::Measured));
    row.add(column::ENDED, 5);
    row.add(Class::Handler.column(), 1_000);
    let window = Window {
        start_unix_ns: n * 1_000,
        end_unix_ns: (n + 1) * 1_000,
    };
    WindowLedger {
        end: WindowEnd {
            window,
            started: 5,
            ended: 5,
            process_cpu_ns: 2_000,
        },
        rows,
    }
}

fn exporter(target: Target) -> Exporter {
    Exporter::new(ExportConfig {
        identity: Identity {
            service: "store".into(),
            ..Identity::default()
        },
        epoch: Epoch([1; 16]),
        target,
        spool_windows_max: 16,
        spool_bytes_max: 1 << 20,
    })
}

fn offer(exporter: &Exporter, ledger: &WindowLedger) {
    let mut encoder = exporter.encoder();
    encoder.add(&ledger.rows);
    exporter.offer(ledger.end, encoder);
}

fn http(address: std::net::SocketAddr) -> Target {
    let endpoint = Endpoint::parse(&format!("http://{address}")).unwrap();
    let token = Token::parse("open-sesame").unwrap();
    let target = HttpTarget::new(endpoint, Some(token), &crate::tls::TlsFiles::default()).unwrap();
    Target::Http(Box::new(
        target.with_request_timeout(Duration::from_millis(500)),
    ))
}

/// What the scripted collector does with the next request.
enum Act {
    /// Sends these bytes and closes.
    Say(&'static [u8]),
    /// Reads the request and closes without a word.
    HangUp,
    /// Reads the request and never answers.
    Silence,
    /// Answers 200 with a body without an end.
    Flood,
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// A collector that follows a script, then says 200. Keeps the bodies it got, acknowledged or not.
struct Scripted {
    address: std::net::SocketAddr,
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
    heads: Arc<Mutex<Vec<String>>>,
}

async fn scripted(script: Vec<Act>) -> Scripted {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (bodies, heads) = (
        Arc::new(Mutex::new(Vec::new())),
        Arc::new(Mutex::new(Vec::new())),
    );
    let (kept_bodies, kept_heads) = (bodies.clone(), heads.clone());
    tokio::spawn(async move {
        let mut script: VecDeque<Act> = script.into();
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let act = script.pop_front().unwrap_or(Act::Say(OK));
            let bodies = kept_bodies.clone();
            let heads = kept_heads.clone();
            tokio::spawn(async move {
                let Some((head, body)) = read_request(&mut socket).await else {
                    return;
                };
                heads.lock().unwrap().push(head);
                bodies.lock().unwrap().push(body);
                answer(&mut socket, act).await;
            });
        }
    });
    Scripted {
        address,
        bodies,
        heads,
    }
}

async fn answer(socket: &mut TcpStream, act: Act) {
    match act {
        Act::Say(bytes) => {
            let _ = socket.write_all(bytes).await;
            let _ = socket.shutdown().await;
        }
        Act::HangUp => {}
        Act::Silence => std::future::pending().await,
        Act::Flood => {
            let _ = socket
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\n")
                .await;
            let chunk = vec![b'x'; 65_536];
            while socket.write_all(&chunk).await.is_ok() {}
        }
    }
}

async fn read_request(socket: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 4_096];
        let n = socket.read(&mut chunk).await.ok().filter(|&n| n > 0)?;
        bytes.extend_from_slice(&chunk[..n]);
        let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))?;
        if bytes.len() >= end + 4 + length.parse::<usize>().ok()? {
            return Some((head, bytes.split_off(end + 4)));
        }
    }
}

fn decode(body: &[u8]) -> Delta {
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(body)
        .read_to_end(&mut plain)
        .unwrap();
    Delta::decode(&plain).unwrap()
}

#[tokio::test]
async fn a_lost_acknowledgement_brings_the_same_bytes_again() {
    let collector = scripted(vec![Act::HangUp, Act::HangUp]).await;
    let exporter = exporter(http(collector.address));
    offer(&exporter, &window(0));
    offer(&exporter, &window(1));
    assert!(exporter.flush(PATIENCE).await);
    let bodies = collector.bodies.lock().unwrap();
    assert_eq!(bodies.len(), 4, "one delta three times, the next one once");
    assert!(bodies[0] == bodies[1] && bodies[1] == bodies[2]);
    assert_eq!((decode(&bodies[2]).seq, decode(&bodies[3]).seq), (0, 1));
}

#[tokio::test]
async fn the_request_is_what_the_collector_expects() {
    let collector = scripted(vec![]).await;
    let exporter = exporter(http(collector.address));
    offer(&exporter, &window(0));
    assert!(exporter.flush(PATIENCE).await);
    let head = collector.heads.lock().unwrap()[0].clone();
    assert!(head.starts_with("post /v1/ledger http/1.1"), "{head}");
    for line in [
        "authorization: bearer open-sesame",
        "content-encoding: gzip",
        "content-type: application/x-protobuf",
    ] {
        assert!(head.contains(line), "{line} is missing in {head}");
    }
}

#[tokio::test]
async fn collector_down_then_up_and_totals_are_equal() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let exporter = exporter(http(address));
    for n in 0..100 {
        offer(&exporter, &window(n));
    }
    assert!(
        !exporter.flush(Duration::from_millis(300)).await,
        "nobody listens"
    );
    let listener = TcpListener::bind(address).await.unwrap();
    let deltas = Arc::new(Mutex::new(Vec::new()));
    let kept = deltas.clone();
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            if let Some((_, body)) = read_request(&mut socket).await {
                kept.lock().unwrap().push(decode(&body));
                answer(&mut socket, Act::Say(OK)).await;
            }
        }
    });
    assert!(exporter.flush(PATIENCE).await);
    assert!(exporter.is_drained());
    let deltas = deltas.lock().unwrap();
    let mut rows = RowSet::new();
    deltas.iter().for_each(|delta| rows.merge(&delta.rows));
    let last = deltas.last().unwrap();
    assert!(deltas.len() <= 17, "windows were merged: {}", deltas.len());
    assert_eq!(last.cumulative.ended, 500);
    assert_eq!(rows.accounts_cpu_ns(), 100_000);
    assert_eq!(last.cumulative.accounts_cpu_ns, 100_000);
}

#[tokio::test]
async fn refusals_are_given_up_and_leave_a_tombstone() {
    let refuse =
        b"HTTP/1.1 400 Bad Request\r\ncontent-length: 5\r\nconnection: close\r\n\r\nno\x1b[m";
    let too_large = b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let collector = scripted(vec![Act::Say(refuse), Act::Say(too_large)]).await;
    let exporter = exporter(http(collector.address));
    (0..3).for_each(|n| offer(&exporter, &window(n)));
    assert!(exporter.flush(PATIENCE).await);
    let bodies = collector.bodies.lock().unwrap();
    assert_eq!(bodies.len(), 3, "a refused delta is not sent again");
    let last = decode(&bodies[2]);
    assert_eq!(last.tombstones.len(), 1);
    assert_eq!(
        (last.tombstones[0].seq_first, last.tombstones[0].seq_last),
        (0, 1)
    );
    assert_eq!(last.tombstones[0].ended, 10);
}

#[tokio::test]
async fn s10_hostile_collectors_only_cost_time() {
    let garbage = b"\x00\xff\xfeSSH-2.0-OpenSSH\r\n\r\n";
    let redirect =
        b"HTTP/1.1 307 X\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let busy =
        b"HTTP/1.1 503 X\r\nretry-after: 0\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let error = b"HTTP/1.1 500 X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let unauthorized = b"HTTP/1.1 401 X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let script = vec![
        Act::Say(garbage),
        Act::Say(redirect),
        Act::Say(busy),
        Act::Say(error),
        Act::Say(unauthorized),
        Act::Silence,
    ];
    let attempts = script.len() + 1;
    let collector = scripted(script).await;
    let exporter = exporter(http(collector.address));
    offer(&exporter, &window(0));
    assert!(exporter.flush(PATIENCE).await);
    let bodies = collector.bodies.lock().unwrap();
    assert_eq!(bodies.len(), attempts, "the same delta until it is taken");
    assert!(bodies.iter().all(|body| body == &bodies[0]));
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let collector = scripted(vec![Act::Flood, Act::Flood]).await;
    let exporter = exporter(http(collector.address));
    offer(&exporter, &window(0));
    assert!(exporter.flush(PATIENCE).await);
    assert_eq!(
        collector.bodies.lock().unwrap().len(),
        1,
        "200 is an acknowledgement"
    );
}

#[tokio::test]
async fn an_endless_head_is_cut_off() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let written = Arc::new(AtomicUsize::new(0));
    let count = written.clone();
    tokio::spawn(async move {
        let mut first = true;
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            if read_request(&mut socket).await.is_none() {
                continue;
            }
            if !std::mem::take(&mut first) {
                answer(&mut socket, Act::Say(OK)).await;
                continue;
            }
            let _ = socket.write_all(b"HTTP/1.1 200 OK\r\n").await;
            while socket
                .write_all(b"x-a: bbbbbbbbbbbbbbbbbbbbbbbb\r\n")
                .await
                .is_ok()
            {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let exporter = exporter(http(address));
    offer(&exporter, &window(0));
    assert!(exporter.flush(PATIENCE).await);
}

struct Scripts(Mutex<VecDeque<Delivery>>, Mutex<Vec<Vec<u8>>>);

impl Sink for Scripts {
    fn deliver(&self, delta: &[u8]) -> Delivery {
        self.1.lock().unwrap().push(delta.to_vec());
        self.0
            .lock()
            .unwrap()
            .pop_front()
            .unwrap_or(Delivery::Accepted)
    }
}

fn busy(seconds: Option<u64>) -> Delivery {
    Delivery::Busy {
        retry_after: seconds.map(Duration::from_secs),
        reason: "not now".into(),
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_collector_asks_for_is_kept_even_in_a_hurry() {
    let sink = Arc::new(Scripts(
        Mutex::new([busy(Some(60))].into()),
        Mutex::default(),
    ));
    let exporter = exporter(Target::Sink(sink.clone()));
    offer(&exporter, &window(0));
    assert!(!exporter.flush(Duration::from_secs(50)).await);
    assert_eq!(sink.1.lock().unwrap().len(), 1);
    assert!(
        exporter.flush(Duration::from_secs(70)).await,
        "the delta is still there"
    );
    assert_eq!(sink.1.lock().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_running_pump_and_a_flush_take_turns() {
    let script = (0..6).map(|_| busy(None)).collect();
    let sink = Arc::new(Scripts(Mutex::new(script), Mutex::default()));
    let exporter = Arc::new(exporter(Target::Sink(sink.clone())));
    let pumping = exporter.clone();
    let pump = tokio::spawn(async move { pumping.pump().await });
    for n in 0..3 {
        offer(&exporter, &window(n));
        tokio::task::yield_now().await;
    }
    assert!(exporter.flush(Duration::from_secs(5)).await);
    pump.abort();
    let delivered = sink.1.lock().unwrap();
    let seqs: Vec<u64> = delivered
        .iter()
        .map(|bytes| Delta::decode(bytes).unwrap().seq)
        .collect();
    assert_eq!(seqs, [0, 0, 0, 0, 0, 0, 0, 1, 2]);
}

struct Panics(AtomicUsize);

impl Sink for Panics {
    fn deliver(&self, _delta: &[u8]) -> Delivery {
        assert!(
            self.0.fetch_add(1, Ordering::Relaxed) > 0,
            "the first delivery panics"
        );
        Delivery::Accepted
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_sink_is_a_failed_attempt() {
    let exporter = exporter(Target::Sink(Arc::new(Panics(AtomicUsize::new(0)))));
    offer(&exporter, &window(0));
    assert!(exporter.flush(Duration::from_secs(5)).await);
}
