//! The server with everything on: allocator, layer, `serve`, the runtime's hooks, a sink that forgets.
//! `WEIGHBRIDGE_ENABLED=false` switches it off as it would a service.

use std::process::ExitCode;
use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use weighbridge_benches::server::{self, Item};
use weighbridge_benches::sink::Forget;

#[global_allocator]
static ALLOC: weighbridge_agent::Alloc = weighbridge_agent::Alloc::system();

fn app() -> Router {
    use weighbridge_agent::Json;
    Router::new()
        .route("/hello", get(async || "hello"))
        .route(
            "/echo",
            post(async |Json(items): Json<Vec<Item>>| Json(items)),
        )
        .layer(weighbridge_agent::layer())
}

fn switch(on: bool) {
    if on {
        weighbridge_agent::bench::resume();
    } else {
        weighbridge_agent::bench::pause();
    }
}

fn main() -> ExitCode {
    let _agent = weighbridge_agent::builder()
        .service("bench")
        .sink(Arc::new(Forget))
        .init();
    server::run(
        &mut weighbridge_agent::runtime(),
        Some(switch),
        |listener| weighbridge_agent::serve(listener, app()),
    )
}
