//! What the servers under measurement have in common: they listen on a free loopback port, say where, serve,
//! and obey words on their standard input until it ends.
//!
//! | word | answer |
//! |---|---|
//! | `cpu` | CPU time of the process in nanoseconds |
//!
//! A server may know further words, such as `pause` and `resume`, which the agent's obeys.

use std::io::{BufRead as _, Write as _};
use std::process::ExitCode;

use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tonic_prost::ProstCodec;

use crate::{clock, grpc, say};

/// One of the items that `/echo` reads and writes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Item {
    /// Number of the item.
    pub id: u64,
    /// What it is called.
    pub name: String,
    /// What one costs.
    pub price_cents: i64,
    /// In which shelves it lies.
    pub shelves: Vec<u32>,
}

/// The items that are sent to `/echo`.
#[must_use]
pub fn items(count: u64) -> Vec<Item> {
    (0..count)
        .map(|id| Item {
            id,
            name: format!("item number {id}"),
            price_cents: (id * 7_919 % 10_007).cast_signed(),
            shelves: vec![1, 2, 3],
        })
        .collect()
}

/// The service that all serve alike.
pub fn app() -> Router {
    Router::new()
        .route("/hello", get(async || "hello"))
        .route(
            "/echo",
            post(async |Json(items): Json<Vec<Item>>| Json(items)),
        )
        .route(grpc::PATH, grpc::echo::<ProstCodec<_, _>>())
}

/// The runtime that a service would take, without hooks.
#[must_use]
pub fn runtime() -> tokio::runtime::Builder {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all();
    builder
}

/// Serves until the standard input ends.
pub fn run<F>(
    runtime: &mut tokio::runtime::Builder,
    serve: impl FnOnce(TcpListener) -> F,
) -> ExitCode
where
    F: IntoFuture<Output = std::io::Result<()>>,
{
    run_with_words(runtime, |_| None, serve)
}

/// The same for a server that knows further words; `None` is the answer to what it does not know.
pub fn run_with_words<F>(
    runtime: &mut tokio::runtime::Builder,
    words: impl FnMut(&str) -> Option<String> + Send + 'static,
    serve: impl FnOnce(TcpListener) -> F,
) -> ExitCode
where
    F: IntoFuture<Output = std::io::Result<()>>,
{
    let served = runtime.build().and_then(|runtime| {
        runtime.block_on(async {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
            say::line(&listener.local_addr()?.to_string());
            let (end, ended) = tokio::sync::oneshot::channel();
            // A thread of its own: the words must not wait for a busy runtime.
            std::thread::spawn(move || {
                obey(words);
                let _ = end.send(());
            });
            tokio::select! {
                served = serve(listener).into_future() => served,
                _ = ended => Ok(()),
            }
        })
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say::note(&format!("the server failed: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn obey(mut words: impl FnMut(&str) -> Option<String>) {
    let mut answers = std::io::stdout().lock();
    for word in std::io::stdin().lock().lines().map_while(Result::ok) {
        let answer = match word.as_str() {
            "cpu" => clock::process_cpu_ns().to_string(),
            word => words(word).unwrap_or_else(|| format!("`{word}` means nothing to this server")),
        };
        if writeln!(answers, "{answer}")
            .and_then(|()| answers.flush())
            .is_err()
        {
            return;
        }
    }
}
