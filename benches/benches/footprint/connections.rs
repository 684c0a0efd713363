//! What an idle connection holds, in our server and in others.

use std::io;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use weighbridge_benches::pipes::{self, Pipes};
use weighbridge_benches::{Figure, Report};

use super::LIVE_BYTES;

const CONNECTIONS: i64 = 1_000;
const PIPE_BYTES: usize = 4_096;
/// The limit.
const ADDED_MAX_BYTES: f64 = 256.0;

/// Who serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Server {
    /// `serve` and the layer, with everything on.
    Ours,
    /// What ours is built on, with nothing of the agent's: hyper's connection of HTTP/1.
    Hyper,
    /// `axum::serve`, whose connections have room for both protocols.
    Axum,
}

/// Pushes what a connection of ours adds to hyper's, and the connections of others.
pub(crate) fn measure(report: &mut Report) -> io::Result<()> {
    let [ours, hyper, axum] = [
        bytes_per_connection(Server::Ours)?,
        bytes_per_connection(Server::Hyper)?,
        bytes_per_connection(Server::Axum)?,
    ];
    report.push(
        Figure::new(
            "an idle connection, over hyper's own of HTTP/1",
            ours - hyper,
            "bytes",
        )
        .at_most(ADDED_MAX_BYTES)
        .note(format!(
            "{hyper:.0} bytes with `hyper::server::conn::http1`, upgrades and the same router, which is what our server drives"
        )),
    );
    report.push(Figure::new(
        "an idle connection, beside axum::serve",
        ours - axum,
        "bytes",
    ));
    report.push(Figure::new(
        "an idle connection of axum::serve",
        axum,
        "bytes",
    ));
    Ok(())
}

/// Live bytes of each of many connections that have asked once and stay, both ends of the pipe included.
fn bytes_per_connection(server: Server) -> io::Result<f64> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (pipes, accepted) = mpsc::channel(1);
        let hello = Router::new().route("/hello", get(async || "hello"));
        let accepted = Pipes(accepted);
        let server = match server {
            Server::Ours => {
                let app = hello.layer(weighbridge_agent::layer());
                let server = weighbridge_agent::serve(accepted, app).into_future();
                tokio::spawn(async { drop(server.await) })
            }
            Server::Hyper => tokio::spawn(hyper_alone(accepted, hello)),
            Server::Axum => {
                let server = axum::serve(accepted, hello).into_future();
                tokio::spawn(async { drop(server.await) })
            }
        };
        let mut idle = Vec::new();
        ask_once(&pipes, &mut idle).await?;
        idle.reserve(usize::try_from(CONNECTIONS).unwrap_or(0));
        let before = LIVE_BYTES.load(Ordering::Relaxed);
        for _ in 0..CONNECTIONS {
            ask_once(&pipes, &mut idle).await?;
        }
        let held = LIVE_BYTES.load(Ordering::Relaxed) - before;
        server.abort();
        #[allow(clippy::cast_precision_loss)]
        Ok(held as f64 / CONNECTIONS as f64)
    })
}

/// A server of nothing but hyper's connections.
async fn hyper_alone(mut pipes: Pipes, app: Router) {
    loop {
        let io = TokioIo::new(pipes.next().await);
        let app = TowerToHyperService::new(app.clone());
        let connection = http1::Builder::new()
            .serve_connection(io, app)
            .with_upgrades();
        // As it is: a block that awaits it would have room for it twice.
        drop(tokio::spawn(connection));
    }
}

async fn ask_once(
    pipes: &mpsc::Sender<DuplexStream>,
    idle: &mut Vec<DuplexStream>,
) -> io::Result<()> {
    let mut pipe = pipes::connect(pipes, PIPE_BYTES).await?;
    pipes::ask(&mut pipe, b"GET /hello HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
    tokio::task::yield_now().await;
    idle.push(pipe);
    Ok(())
}
