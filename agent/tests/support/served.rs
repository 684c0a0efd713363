//! An app that is served and weighed while a test talks to it.

use std::future::IntoFuture as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, Notify};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use weighbridge_agent::wire::{RowValue, column};
use weighbridge_agent::{Agent, Builder, background};

use super::{Ledger, PATIENCE, assert_conserved, burn, figure};

/// What the test and the server share.
pub struct Served {
    pub agent: Agent,
    pub ledger: Arc<Ledger>,
    pub address: SocketAddr,
    stop: Arc<Notify>,
    server: Mutex<Option<JoinHandle<std::io::Result<()>>>>,
}

impl Served {
    /// Begins the graceful shutdown.
    pub fn stop(&self) {
        self.stop.notify_one();
    }

    /// Waits until the server has ended.
    pub async fn stopped(&self) {
        if let Some(server) = self.server.lock().await.take() {
            let ended = timeout(PATIENCE, server).await;
            ended.expect("the server ends").unwrap().unwrap();
        }
    }

    /// Ends windows until it holds.
    pub async fn until(&self, what: &str, condition: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(self.agent.flush(PATIENCE));
            if condition() {
                return;
            }
            assert!(Instant::now() < deadline, "{what} never came true");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// The row of an operation once this column of it has reached a figure.
    pub async fn reached(&self, operation: &str, column: u32, n: i64) -> RowValue {
        let row = || self.ledger.operation(operation, "");
        self.until(operation, || row().get(column).unwrap_or(0) >= n)
            .await;
        row()
    }

    /// The row of an operation once so many requests of it have ended.
    pub async fn ended(&self, operation: &str, n: i64) -> RowValue {
        let row = self.reached(operation, column::ENDED, n).await;
        assert_eq!(figure(&row, column::ENDED), n, "{operation} ended once");
        assert_eq!(
            figure(&row, column::LATE_CPU_NS),
            0,
            "{operation}: nothing comes after the end"
        );
        row
    }
}

/// An agent of this service, whose windows end when they are told to.
pub fn builder(service: &str) -> Builder {
    weighbridge_agent::builder()
        .service(service)
        .window(Duration::from_secs(3_600))
}

/// Serves an app on a port of its own until the runtime ends.
pub async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(weighbridge_agent::serve(listener, app).into_future());
    address
}

/// A handler that works for a while and panics.
pub async fn panics() -> &'static str {
    burn(Duration::from_millis(1));
    if std::hint::black_box(true) {
        std::panic::resume_unwind(Box::new("on purpose"));
    }
    "never"
}

/// Serves an app under this agent while `test` talks to it. Afterwards each window adds up.
pub fn weigh_server<T>(
    agent: Builder,
    app: impl FnOnce(SocketAddr) -> Router + Send + 'static,
    test: impl FnOnce(Arc<Served>) -> T + Send + 'static,
) -> Arc<Ledger>
where
    T: Future<Output = ()> + Send,
{
    let ledger = Ledger::new();
    let runtime = weighbridge_agent::runtime()
        .worker_threads(2)
        .build()
        .unwrap();
    let agent = agent.sink(ledger.clone()).try_init().unwrap();
    let sink = ledger.clone();
    // On a thread of the runtime: the one that waits in `block_on` is nobody's.
    let test = runtime.spawn(background("test", async move {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(Notify::new());
        let stopped = stop.clone();
        let server = tokio::spawn(
            weighbridge_agent::serve(listener, app(address))
                .with_graceful_shutdown(async move { stopped.notified().await })
                .into_future(),
        );
        let served = Arc::new(Served {
            agent,
            ledger: sink,
            address,
            stop,
            server: Mutex::new(Some(server)),
        });
        test(served.clone()).await;
        served.stop();
        served.stopped().await;
        served
    }));
    let served = runtime.block_on(test).unwrap();
    // A worker may have stopped between the end of a task and its booking: at the end of the thread nothing waits.
    runtime.shutdown_timeout(PATIENCE);
    assert!(served.agent.flush(PATIENCE));
    ledger.deltas().iter().for_each(assert_conserved);
    ledger
}
