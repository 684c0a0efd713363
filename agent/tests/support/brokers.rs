//! What the tests of brokers share.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;
use weighbridge_agent::wire::{RowKind, RowSet, RowValue, column, side};
use weighbridge_agent::{Agent, Builder, background};

use super::{Ledger, PATIENCE, assert_conserved, builder, caller_and_callee, figure};

/// There is one agent in a process at one time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// An agent, and what it has delivered.
pub struct Weighed {
    pub agent: Agent,
    pub ledger: Arc<Ledger>,
}

/// True in the long form, `cargo xtask evidence brokers`.
pub fn is_long() -> bool {
    std::env::var("WEIGHBRIDGE_EVIDENCE").is_ok()
}

/// How many messages are counted.
pub fn messages() -> usize {
    if is_long() { 100_000 } else { 2_000 }
}

/// Runs a test under an agent of this service. Afterwards each window adds up.
pub fn weigh<T>(service: &str, test: impl FnOnce(Arc<Weighed>) -> T + Send + 'static) -> Arc<Ledger>
where
    T: Future<Output = ()> + Send,
{
    weigh_by(builder(service), test)
}

/// Runs a test under this agent.
pub fn weigh_by<T>(
    agent: Builder,
    test: impl FnOnce(Arc<Weighed>) -> T + Send + 'static,
) -> Arc<Ledger>
where
    T: Future<Output = ()> + Send,
{
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let ledger = Ledger::new();
    let runtime = weighbridge_agent::runtime()
        .worker_threads(2)
        .build()
        .unwrap();
    let agent = agent.sink(ledger.clone()).try_init().unwrap();
    let weighed = Arc::new(Weighed {
        agent,
        ledger: ledger.clone(),
    });
    let shared = weighed.clone();
    let test = runtime.spawn(background("test", async move { test(shared).await }));
    let ended = runtime.block_on(test);
    // Tasks of clients end with their runtime.
    drop(runtime);
    ended.unwrap();
    assert!(weighed.agent.flush(PATIENCE));
    ledger.deltas().iter().for_each(assert_conserved);
    ledger
}

impl Weighed {
    /// Ends windows until it holds.
    pub async fn until(&self, what: &str, condition: impl Fn(&Ledger) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(self.agent.flush(PATIENCE));
            if condition(&self.ledger) {
                return;
            }
            assert!(Instant::now() < deadline, "{what} never came true");
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    }

    /// Ends windows until so many requests of an operation have ended.
    pub async fn ended(&self, operation: &str, n: usize) -> RowValue {
        let row = |ledger: &Ledger| ledger.operation(operation, "");
        let n = i64::try_from(n).unwrap();
        self.until(operation, |ledger| {
            row(ledger).get(column::ENDED).unwrap_or(0) >= n
        })
        .await;
        let row = row(&self.ledger);
        assert_eq!(figure(&row, column::ENDED), n, "{operation} ended");
        row
    }
}

/// This side of a peer's edges.
pub fn edge(ledger: &Ledger, side: &str, peer: &str) -> RowValue {
    ledger.select(RowKind::Edge, &[(0, side), (9, peer)])
}

/// This side of a peer's edges to one target.
pub fn edge_to(ledger: &Ledger, side: &str, peer: &str, target: &str) -> RowValue {
    ledger.select(RowKind::Edge, &[(0, side), (9, peer), (10, target)])
}

/// Messages and body bytes that were published, and those of the same calls that were consumed, without what came
/// again.
pub fn both_ends(ledger: &Ledger, peer: &str) -> [[i64; 2]; 2] {
    counted(caller_and_callee(ledger, peer))
}

/// The same of all that was published and consumed, also where nothing told which call it was.
pub fn both_sides(ledger: &Ledger, peer: &str) -> [[i64; 2]; 2] {
    counted([side::CALLER, side::CALLEE].map(|side| edge(ledger, side, peer)))
}

fn counted([published, consumed]: [RowValue; 2]) -> [[i64; 2]; 2] {
    [
        [
            figure(&published, column::REQUEST_MESSAGES),
            figure(&published, column::REQUEST_BODY_BYTES),
        ],
        [
            figure(&consumed, column::REQUEST_MESSAGES) - figure(&consumed, column::REDELIVERED),
            figure(&consumed, column::REQUEST_BODY_BYTES)
                - consumed.get(column::REDELIVERED_BYTES).unwrap_or(0),
        ],
    ]
}

/// Looks for a text in every name of every row.
pub fn assert_not_told(rows: &RowSet, secret: &str) {
    for (key, _) in rows.iter() {
        let told = key.parts.iter().any(|part| part.contains(secret));
        assert!(!told, "{secret} stands in {key:?}");
    }
}

/// Sizes that are spread over the size classes, and the same each time.
pub fn body_bytes(n: usize) -> usize {
    (n * 7_919) % 3_001
}

/// What the agent says through `tracing`, in this process and from now on.
#[derive(Clone, Default)]
pub struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    pub fn everything_of_ours() -> Self {
        let heard = Self::default();
        // Whoever comes first hears everything; there is one for the process.
        let _ = tracing::subscriber::set_global_default(heard.clone());
        heard
    }

    pub fn assert_not_told(&self, secret: &str) {
        let said = self.0.lock().unwrap();
        assert!(!said.is_empty(), "the agent says that a handler panicked");
        assert!(!said.iter().any(|line| line.contains(secret)), "{said:?}");
    }
}

impl tracing::Subscriber for Heard {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("weighbridge")
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        struct Line(String);
        impl tracing::field::Visit for Line {
            fn record_debug(&mut self, _: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                self.0.push_str(&format!("{value:?} "));
            }
        }
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

/// A way to a server on which bytes are counted, and that can be cut.
pub struct Tap {
    pub address: SocketAddr,
    sent: Arc<AtomicU64>,
    cuts: watch::Sender<u64>,
    silent: Arc<AtomicBool>,
}

impl Tap {
    /// Passes on connections to this server.
    pub async fn on(server: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let sent = Arc::new(AtomicU64::new(0));
        let counted = sent.clone();
        let (cuts, cut) = watch::channel(0);
        let silent = Arc::new(AtomicBool::new(false));
        let is_silent = silent.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                // A server that is not there hangs up.
                let Ok(far) = TcpStream::connect(server).await else {
                    continue;
                };
                let (mut answers, mut requests) = far.into_split();
                let (mut from, mut to) = near.into_split();
                let (counted, is_silent) = (counted.clone(), is_silent.clone());
                let there = async move {
                    let mut buffer = vec![0; 1 << 16];
                    while let Ok(n @ 1..) = from.read(&mut buffer).await {
                        counted.fetch_add(n as u64, Ordering::Relaxed);
                        if requests.write_all(&buffer[..n]).await.is_err() {
                            break;
                        }
                    }
                };
                let mut cut = cut.clone();
                cut.mark_unchanged();
                tokio::spawn(async move {
                    let back = async move {
                        let mut buffer = vec![0; 1 << 16];
                        while let Ok(n @ 1..) = answers.read(&mut buffer).await {
                            if is_silent.load(Ordering::Relaxed) {
                                std::future::pending::<()>().await;
                            }
                            if to.write_all(&buffer[..n]).await.is_err() {
                                break;
                            }
                        }
                    };
                    tokio::select! {
                        () = there => {}
                        () = back => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Self {
            address,
            sent,
            cuts,
            silent,
        }
    }

    /// From now on connections are half open: what is sent arrives, and nobody answers.
    pub fn silence(&self) {
        self.silent.store(true, Ordering::Relaxed);
    }

    /// Cuts every connection, with what is under way on it.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Bytes sent to the server so far.
    pub fn sent_bytes(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}
