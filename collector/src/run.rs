//! Starting and stopping.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use weighbridge_agent::Agent;

use crate::clock::Clock;
use crate::config::{Config, ConfigError};
use crate::http::{App, Bounded, Secured};
use crate::ingest::Engine;
use crate::metrics::Metrics;
use crate::store::{RedbStore, StoreError};
use crate::weigh_self;

/// Why a collector could not be started, or did not end well.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The configuration makes no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The port cannot be used.
    #[error(
        "cannot listen on {listen}: {source}; {hint}",
        hint = if source.kind() == std::io::ErrorKind::AddrInUse {
            "stop the process that holds the port, or choose another with --listen-http"
        } else {
            "choose an address of this machine and a port from 1024 upwards with --listen-http"
        }
    )]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// A task of the collector ended by a defect.
    #[error("the collector's server ended unexpectedly: {0}; its log says more")]
    Server(String),
}

/// A collector.
#[derive(Debug)]
pub struct Collector;

impl Collector {
    /// Opens the store, folds what an earlier process had committed, and serves.
    ///
    /// # Errors
    /// [`RunError`], before anything is served.
    pub async fn start(config: Config) -> Result<Running, RunError> {
        Self::start_with_clock(config, Clock::system()).await
    }

    /// [`start`](Self::start) with a clock of one's own.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub async fn start_with_clock(config: Config, clock: Clock) -> Result<Running, RunError> {
        config.check()?;
        // The ports first: a second collector then says so before it touches the directory.
        let (http, http_addr) = bind(config.listen_http).await?;
        let https = match (config.listen_https, &config.tls) {
            (Some(listen), Some(files)) => {
                Some((bind(listen).await?, crate::http::tls_server(files)?))
            }
            _ => None,
        };
        let https_addr = https.as_ref().map(|((_, addr), _)| *addr);
        let grpc = second_port(config.listen_grpc, http_addr).await?;
        let grpc_addr = grpc.as_ref().and_then(|port| port.local_addr().ok());
        let metrics = Metrics::new();
        let engine = {
            let (config, metrics, clock) = (config.clone(), metrics.clone(), clock.clone());
            blocking(move || {
                let store = RedbStore::open(&config.data_dir, config.limits.rows_per_window)?;
                Ok(Engine::start(
                    Arc::new(store),
                    config.limits,
                    clock,
                    metrics,
                )?)
            })
            .await?
        };
        let engine = Arc::new(engine);
        let agent = if config.weigh_self {
            weigh_self::start(&engine)
        } else {
            None
        };
        let listen: Vec<SocketAddr> = [Some(http_addr), https_addr, grpc_addr]
            .into_iter()
            .flatten()
            .collect();
        let app = App::new(&config, &listen, engine.clone(), metrics.clone(), clock);
        // Longer than any request may take without a byte on the way.
        let silence = config.request_timeout * 2 + Duration::from_secs(15);
        let http = Bounded::new(http, config.limits.connections, silence);
        let stop = CancellationToken::new();
        let mut servers = vec![tokio::spawn(serve(http, app.clone(), stop.clone()))];
        if let Some(grpc) = grpc {
            let grpc = Bounded::new(grpc, config.limits.connections, silence);
            servers.push(tokio::spawn(serve(grpc, app.clone(), stop.clone())));
        }
        if let Some(((https, _), acceptor)) = https {
            let https = Bounded::new(https, config.limits.connections, silence);
            let https = Secured::new(https, acceptor);
            servers.push(tokio::spawn(serve(https, app.clone(), stop.clone())));
        }
        tracing::info!(%http_addr, ?grpc_addr, data_dir = %config.data_dir.display(), "collecting");
        Ok(Running {
            http_addr,
            https_addr,
            grpc_addr,
            agent,
            engine,
            metrics,
            app,
            stop,
            servers,
            drain_timeout: config.drain_timeout,
        })
    }
}

/// The port on which gRPC's clients look by default. That one is a convenience: calls are served on the other port too.
async fn second_port(
    listen: Option<SocketAddr>,
    http_addr: SocketAddr,
) -> Result<Option<TcpListener>, RunError> {
    if let Some(listen) = listen {
        let bound = TcpListener::bind(listen).await;
        return bound
            .map(Some)
            .map_err(|source| RunError::Listen { listen, source });
    }
    if http_addr.port() != OTLP_HTTP_PORT {
        return Ok(None);
    }
    let listen = SocketAddr::new(http_addr.ip(), OTLP_GRPC_PORT);
    match TcpListener::bind(listen).await {
        Ok(port) => Ok(Some(port)),
        Err(error) => {
            tracing::warn!(%listen, %error, "no port for gRPC beside the one for HTTP, which serves gRPC too; set `listen_grpc`");
            Ok(None)
        }
    }
}

/// The ports that OTLP's clients expect.
const OTLP_HTTP_PORT: u16 = 4318;
const OTLP_GRPC_PORT: u16 = 4317;

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RunError> + Send + 'static,
) -> Result<T, RunError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| RunError::Server(error.to_string()))?
}

async fn bind(listen: SocketAddr) -> Result<(TcpListener, SocketAddr), RunError> {
    let failed = |source| RunError::Listen { listen, source };
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let addr = listener.local_addr().map_err(failed)?;
    Ok((listener, addr))
}

async fn serve<L: weighbridge_agent::Listener>(
    listener: L,
    app: App,
    stop: CancellationToken,
) -> std::io::Result<()> {
    weighbridge_agent::serve(listener, app.router())
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

/// A collector that runs. Dropped without [`shutdown`](Running::shutdown) it ends once its connections have
/// ended; as with a killed one nothing acknowledged is lost, and the next start folds it.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub http_addr: SocketAddr,
    /// Where it listens under TLS, if it does.
    pub https_addr: Option<SocketAddr>,
    /// Where it listens for gRPC, when it has a port of its own for that.
    pub grpc_addr: Option<SocketAddr>,
    agent: Option<Agent>,
    engine: Arc<Engine>,
    metrics: Metrics,
    app: App,
    stop: CancellationToken,
    servers: Vec<JoinHandle<std::io::Result<()>>>,
    drain_timeout: Duration,
}

impl Running {
    /// What its handlers share.
    #[cfg(test)]
    pub(crate) fn app(&self) -> &App {
        &self.app
    }

    /// Its metrics.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Its engine, for reading in the same process.
    #[must_use]
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Stops: unready, open requests up to `drain_timeout`, then everything folded and on disk.
    ///
    /// # Errors
    /// [`RunError::Server`] when the server had ended by itself. The ledger is folded all the same.
    pub async fn shutdown(mut self) -> Result<(), RunError> {
        self.app.set_unready();
        self.stop.cancel();
        let servers = &mut self.servers;
        let ends = async {
            let mut ends = Vec::new();
            // All of them end by the same token.
            for server in servers {
                ends.push(server.await);
            }
            ends
        };
        let ended = tokio::time::timeout(self.drain_timeout, ends).await;
        let (agent, engine) = (self.agent.take(), self.engine.clone());
        let outcome = match ended {
            Ok(ends) => ends.into_iter().try_for_each(|end| match end {
                Ok(served) => served.map_err(|error| RunError::Server(error.to_string())),
                Err(error) => Err(RunError::Server(error.to_string())),
            }),
            Err(_) => {
                tracing::warn!("some requests did not end within `drain_timeout`; leaving them");
                Ok(())
            }
        };
        blocking(move || {
            // The agent first: its last delta goes into the engine.
            drop(agent);
            engine.stop();
            Ok(())
        })
        .await?;
        outcome
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
        self.servers.iter().for_each(JoinHandle::abort);
    }
}

/// Runs a collector until `until` completes.
///
/// # Errors
/// As for [`Collector::start`] and [`Running::shutdown`].
pub async fn run(config: Config, until: impl Future<Output = ()>) -> Result<(), RunError> {
    let running = Collector::start(config).await?;
    until.await;
    tracing::info!("stopping");
    running.shutdown().await
}

#[cfg(test)]
mod tests;
