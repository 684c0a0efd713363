//! What the integration tests share: a sink that folds deltas, and a client that speaks bare HTTP/1.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used)] // each test binary uses its part

pub mod collector;
pub mod foreign;
pub mod scenario;

use std::future::{Future, IntoFuture as _};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use weighbridge_agent::wire::{Delta, OperationKey, RowKind, RowSet, RowValue, column};
use weighbridge_agent::{Agent, Delivery, Sink, background};

/// How long a condition may take to come true.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Keeps every delta.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<Vec<Delta>>);

impl Sink for Ledger {
    fn deliver(&self, delta: &[u8]) -> Delivery {
        match Delta::decode(delta) {
            Ok(delta) => {
                self.0.lock().unwrap().push(delta);
                Delivery::Accepted
            }
            Err(error) => Delivery::Refused {
                reason: error.to_string(),
            },
        }
    }
}

impl Ledger {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    pub fn deltas(&self) -> Vec<Delta> {
        self.0.lock().unwrap().clone()
    }

    /// All rows of all deltas.
    pub fn rows(&self) -> RowSet {
        let mut sum = RowSet::new();
        self.deltas()
            .iter()
            .for_each(|delta| sum.merge(&delta.rows));
        sum
    }

    /// The rows of an operation over all callers and origins.
    pub fn operation(&self, name: &str, class: &str) -> RowValue {
        let mut sum = RowValue::new();
        for (key, row) in self.rows().of_kind(RowKind::Operation) {
            let key = OperationKey::read(key).unwrap();
            if *key.operation == *name && *key.class == *class {
                sum.merge(row);
            }
        }
        sum
    }

    /// Rows of a kind of which the given parts have these values.
    pub fn select(&self, kind: RowKind, parts: &[(usize, &str)]) -> RowValue {
        let mut sum = RowValue::new();
        for (key, row) in self.rows().of_kind(kind) {
            if parts.iter().all(|(n, value)| &*key.parts[*n] == *value) {
                sum.merge(row);
            }
        }
        sum
    }
}

/// A column that must be there.
pub fn figure(row: &RowValue, column: u32) -> i64 {
    row.get(column)
        .unwrap_or_else(|| panic!("column {column} is absent"))
}

/// The identity that every window keeps exactly.
pub fn assert_conserved(delta: &Delta) {
    let (_, process) = delta
        .rows
        .of_kind(RowKind::Process)
        .next()
        .expect("a process row");
    let unattributed = figure(process, column::CPU_UNATTRIBUTED_NS);
    let accounts = figure(process, column::CPU_ACCOUNTS_NS);
    assert_eq!(
        delta.rows.accounts_cpu_ns(),
        accounts + unattributed,
        "rows sum to what the process row says"
    );
    assert_eq!(
        figure(process, column::CPU_PROCESS_NS),
        accounts + figure(process, column::CPU_IN_PROGRESS_NS) + unattributed,
    );
}

/// Serves an app, weighed as this service, while `test` talks to it. Afterwards each window adds up.
pub fn weigh_server<T>(
    service: &str,
    app: axum::Router,
    test: impl FnOnce(Arc<Agent>, Arc<Ledger>, SocketAddr) -> T + Send + 'static,
) -> Arc<Ledger>
where
    T: Future<Output = ()> + Send,
{
    let ledger = Ledger::new();
    let runtime = weighbridge_agent::runtime()
        .worker_threads(2)
        .build()
        .unwrap();
    let agent = weighbridge_agent::builder()
        .service(service)
        .sink(ledger.clone())
        .try_init()
        .unwrap();
    let (sink, agent) = (ledger.clone(), Arc::new(agent));
    let weighed = agent.clone();
    let test = runtime.spawn(background("test", async move {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(
            weighbridge_agent::serve(listener, app)
                .with_graceful_shutdown(async { drop(stopped.await) })
                .into_future(),
        );
        test(weighed, sink, address).await;
        stop.send(()).unwrap();
        tokio::time::timeout(PATIENCE, server)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
    }));
    runtime.block_on(test).unwrap();
    assert!(agent.flush(PATIENCE));
    ledger.deltas().iter().for_each(assert_conserved);
    ledger
}

/// A connection that sends requests and reads answers.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Connection {
    pub async fn open(address: SocketAddr) -> Self {
        Self {
            stream: TcpStream::connect(address).await.unwrap(),
            buffer: Vec::new(),
        }
    }

    pub async fn send(&mut self, head: &str, body: &[u8]) {
        let mut request = format!(
            "{head}\r\nhost: test\r\ncontent-length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        self.stream.write_all(&request).await.unwrap();
    }

    pub async fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Reads one answer with a declared length or chunks.
    pub async fn answer(&mut self) -> Answer {
        let head_end = loop {
            if let Some(n) = find(&self.buffer, b"\r\n\r\n") {
                break n + 4;
            }
            self.more().await;
        };
        let head = String::from_utf8(self.buffer.drain(..head_end).collect())
            .unwrap()
            .to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"))
            .map(|length| length.trim().parse::<usize>().unwrap());
        let mut body = Vec::new();
        if let Some(length) = length {
            while self.buffer.len() < length {
                self.more().await;
            }
            body = self.buffer.drain(..length).collect();
        } else if head.contains("transfer-encoding: chunked") {
            loop {
                let line = loop {
                    if let Some(n) = find(&self.buffer, b"\r\n") {
                        break n;
                    }
                    self.more().await;
                };
                let size = std::str::from_utf8(&self.buffer[..line]).unwrap();
                let size = usize::from_str_radix(size.trim(), 16).unwrap();
                while self.buffer.len() < line + 2 + size + 2 {
                    self.more().await;
                }
                let chunk: Vec<u8> = self.buffer.drain(..line + 2 + size + 2).collect();
                body.extend_from_slice(&chunk[line + 2..line + 2 + size]);
                if size == 0 {
                    break;
                }
            }
        }
        Answer { status, body }
    }

    pub async fn ask(&mut self, head: &str, body: &[u8]) -> Answer {
        self.send(head, body).await;
        self.answer().await
    }

    /// Waits until the server closes the connection; false when it sends something instead.
    pub async fn ended(&mut self) -> bool {
        self.stream.read_buf(&mut self.buffer).await.unwrap_or(0) == 0
    }

    async fn more(&mut self) {
        let n = self.stream.read_buf(&mut self.buffer).await.unwrap();
        assert!(n > 0, "the server closed the connection");
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

/// Burns CPU on this thread.
pub fn burn(cpu: Duration) {
    let mut sum = 0u64;
    let begun = thread_cpu();
    while thread_cpu() - begun < cpu {
        for n in 0..1_000u64 {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(n));
        }
    }
}

/// CPU time of this thread, from the kernel.
pub fn thread_cpu() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(now.tv_sec).unwrap(),
        u32::try_from(now.tv_nsec).unwrap(),
    )
}

/// Asks again until it holds.
pub fn eventually(condition: impl Fn() -> bool) {
    let mut patience = PATIENCE.as_millis() / 2;
    while !condition() {
        patience = patience.checked_sub(1).expect("it never comes true");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}
