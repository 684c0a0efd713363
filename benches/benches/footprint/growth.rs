//! What names that clients make up leave behind: no two requests have a path, method, header, caller, origin or
//! tenant in common.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::{any, get};
use tokio::io::DuplexStream;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tower::ServiceExt as _;
use weighbridge_benches::pipes::{self, Pipes};
use weighbridge_benches::{Figure, Report};

use super::{KIB, LIVE_BYTES, request};

/// Requests until the tables are full.
const WARM: u64 = 50_000;
const SLICE: u64 = 2_000;
/// One request in so many comes over a connection of `serve`; the others go to the router.
const SERVED_ONE_IN: u64 = 8;
/// Connections that are open at a time, and requests until one is closed for another.
const CONNECTIONS: usize = 4;
const REQUESTS_PER_CONNECTION: u64 = 500;
const GROWTH_MAX_KIB: f64 = 256.0;

/// Requests whose tenant a handler read, and with it the agent.
static TENANTS: AtomicU64 = AtomicU64::new(0);

/// Pushes how live bytes grow from some thousands of made-up names to a million.
pub(crate) fn measure(quick: bool, report: &mut Report) -> io::Result<()> {
    let many = if quick { 300_000 } else { 1_000_000 };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut clients = Clients::new(&runtime);
    clients.most(&runtime, 0..WARM)?;
    let first = clients.most(&runtime, WARM..many / 2)?;
    let second = clients.most(&runtime, many / 2..many)?;
    let tenants = TENANTS.load(Ordering::Relaxed);
    if tenants == 0 || clients.served == 0 {
        return Err(io::Error::other(format!(
            "{tenants} tenants were read and {} requests served: what should grow did not run",
            clients.served
        )));
    }
    #[allow(clippy::cast_precision_loss)]
    report.push(
        Figure::new(
            "growth over made-up paths, methods, headers and tenants",
            (second - first) as f64 / KIB,
            "KiB",
        )
        .at_most(GROWTH_MAX_KIB)
        .note(format!(
            "most live bytes while the second half of {many} is asked for, less those of the first; the tables are \
             full after {WARM}. {} of them came over connections of `serve`; {tenants} told a tenant, as key of an \
             entity",
            clients.served
        )),
    );
    Ok(())
}

/// Half of the routes take any method; what no route takes is answered by 404 or 405.
fn app() -> Router {
    let mut app = Router::new();
    for n in 0..4 {
        app = app
            .route(&format!("/resource-{n}/{{id}}"), get(tenant))
            .route(&format!("/any-{n}/{{id}}"), any(tenant));
    }
    app.layer(weighbridge_agent::layer())
}

async fn tenant(headers: HeaderMap) -> &'static str {
    if let Some(tenant) = headers.get("x-tenant").and_then(|name| name.to_str().ok()) {
        weighbridge_agent::entity!("tenant", key = tenant);
        TENANTS.fetch_add(1, Ordering::Relaxed);
    }
    "hello"
}

/// The head of a request, all of it made up.
struct Head {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
}

impl Head {
    fn new(n: u64) -> Self {
        // Spread over all bits, so that no two share more than chance gives them.
        let mixed = n.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        // A few ask as everybody does, and reach the routes that take one method; of the served ones too.
        let method = match n / SERVED_ONE_IN % 4 {
            0 => "GET".to_owned(),
            // Methods of more than 15 bytes are kept elsewhere.
            1 => format!("M{mixed:016X}-{n}"),
            _ => format!("M{:X}", mixed >> 16),
        };
        let route = mixed >> 62;
        let path = match n % 3 {
            0 => format!("/resource-{route}/{n}"),
            1 => format!("/any-{route}/{mixed:x}"),
            _ => format!("/nothing-{mixed:x}/{n}"),
        };
        let span = mixed | 1;
        let headers = [
            ("host", "localhost".to_owned()),
            (
                "traceparent",
                format!("00-{mixed:016x}{span:016x}-{span:016x}-01"),
            ),
            (
                "weighbridge-hop",
                format!("1;tenant-{mixed:x};GET%20%2F{n};{n:016x};s;{n}"),
            ),
            (
                "baggage",
                format!("weighbridge.origin=tenant-{mixed:x};{n},key-{mixed:x}={n}"),
            ),
            ("x-tenant", format!("tenant-{mixed:x}")),
        ];
        let mut headers: Vec<(String, String)> = headers
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        headers.push((format!("x-{mixed:016x}"), format!("{n}")));
        Self {
            method,
            path,
            headers,
        }
    }

    fn text(&self) -> String {
        let headers: String = self
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        format!("{} {} HTTP/1.1\r\n{headers}\r\n", self.method, self.path)
    }
}

/// Asks the router, and the same router behind `serve`.
struct Clients {
    app: Router,
    pipes: mpsc::Sender<DuplexStream>,
    open: Vec<Option<DuplexStream>>,
    served: u64,
}

impl Clients {
    fn new(runtime: &Runtime) -> Self {
        let (pipes, accepted) = mpsc::channel(1);
        let server = weighbridge_agent::serve(Pipes(accepted), app()).into_future();
        runtime.spawn(async { drop(server.await) });
        Self {
            app: app(),
            pipes,
            open: (0..CONNECTIONS).map(|_| None).collect(),
            served: 0,
        }
    }

    /// How much lives depends on how far the window is: the most of many instants tells.
    fn most(&mut self, runtime: &Runtime, range: Range<u64>) -> io::Result<i64> {
        let mut most = 0;
        for begin in range.step_by(usize::try_from(SLICE).unwrap_or(usize::MAX)) {
            runtime.block_on(async {
                for n in begin..begin + SLICE {
                    self.ask(n).await?;
                }
                Ok::<_, io::Error>(())
            })?;
            most = most.max(LIVE_BYTES.load(Ordering::Relaxed));
        }
        Ok(most)
    }

    async fn ask(&mut self, n: u64) -> io::Result<()> {
        let head = Head::new(n);
        if !n.is_multiple_of(SERVED_ONE_IN) {
            let headers: Vec<(&str, String)> = head
                .headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.clone()))
                .collect();
            let request = request(&head.method, &head.path, &headers);
            let _ = self.app.clone().oneshot(request).await;
            return Ok(());
        }
        let turn = usize::try_from(self.served).unwrap_or(0) % CONNECTIONS;
        if (self.served / CONNECTIONS as u64).is_multiple_of(REQUESTS_PER_CONNECTION) {
            self.open[turn] = None;
        }
        self.served += 1;
        let pipe = match &mut self.open[turn] {
            Some(pipe) => pipe,
            closed => closed.insert(pipes::connect(&self.pipes, 4_096).await?),
        };
        pipes::ask(pipe, head.text().as_bytes()).await
    }
}
