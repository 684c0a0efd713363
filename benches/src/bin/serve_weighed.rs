//! The server with everything on: allocator, layer, `serve`, the runtime's hooks.
//! `WEIGHBRIDGE_ENABLED=false` switches it off as it would a service. It delivers to itself, or over HTTP where
//! `WEIGHBRIDGE_ENDPOINT` names a collector; then it keeps no ledger.
//!
//! | word | answer |
//! |---|---|
//! | `pause`, `resume` | `ok`, after measuring was switched |
//! | `ledger` | where its CPU went since the last time it was asked, as [`Shares`] in JSON; the first answer makes it keep its deltas |

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use weighbridge_agent::Agent;
use weighbridge_benches::grpc;
use weighbridge_benches::server::{self, Item};
use weighbridge_benches::sink::{Keep, Shares};

#[global_allocator]
static ALLOC: weighbridge_agent::Alloc = weighbridge_agent::Alloc::system();

const PATIENCE: Duration = Duration::from_secs(10);

fn app() -> Router {
    use weighbridge_agent::Json;
    use weighbridge_agent::grpc::ProstCodec;
    Router::new()
        .route("/hello", get(async || "hello"))
        .route(
            "/echo",
            post(async |Json(items): Json<Vec<Item>>| Json(items)),
        )
        .route(grpc::PATH, grpc::echo::<ProstCodec<_, _>>())
        .layer(weighbridge_agent::layer())
}

fn obey(word: &str, agent: &Agent, deltas: Option<&Keep>) -> Option<String> {
    match word {
        "pause" => weighbridge_agent::bench::pause(),
        "resume" => weighbridge_agent::bench::resume(),
        "ledger" => {
            let Some(deltas) = deltas else {
                return Some("its deltas go to the collector of WEIGHBRIDGE_ENDPOINT".into());
            };
            if !agent.flush(PATIENCE) {
                return Some("the agent did not flush in time".into());
            }
            let shares = Shares::of(&deltas.take());
            return serde_json::to_string(&shares).ok();
        }
        _ => return None,
    }
    Some("ok".into())
}

fn main() -> ExitCode {
    let builder = weighbridge_agent::builder().service("bench");
    let deltas = std::env::var_os("WEIGHBRIDGE_ENDPOINT")
        .is_none()
        .then(|| Arc::new(Keep::default()));
    let agent = match &deltas {
        Some(deltas) => builder.sink(deltas.clone()),
        None => builder,
    }
    .init();
    server::run_with_words(
        &mut weighbridge_agent::runtime(),
        move |word| obey(word, &agent, deltas.as_deref()),
        |listener| {
            weighbridge_agent::background(
                "main",
                weighbridge_agent::serve(listener, app()).into_future(),
            )
        },
    )
}
