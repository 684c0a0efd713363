//! Two axum services, weighed, and the agent's own client between them.
//! `cargo run -p weighbridge-agent --example axum --features axum-0_8,hyper-util-0_1`

use std::future::IntoFuture as _;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use weighbridge_agent::Json;
use weighbridge_agent::http_client::Client;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[global_allocator]
static ALLOC: weighbridge_agent::Alloc = weighbridge_agent::Alloc::system();

async fn serve(app: Router) -> Result<String> {
    let app = app.layer(weighbridge_agent::layer());
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    let base = format!("http://{}", listener.local_addr()?);
    tokio::spawn(weighbridge_agent::serve(listener, app).into_future());
    Ok(base)
}

/// The store asks the warehouse for each piece; encoding and decoding are told apart from the handler.
async fn order(
    State(warehouse): State<Client>,
    Json(skus): Json<Vec<String>>,
) -> std::result::Result<Json<u64>, StatusCode> {
    let mut pieces = 0;
    for sku in skus {
        let asked = warehouse.get("/stock/{sku}").param("sku", &sku).send();
        let answer = asked.await.map_err(|_| StatusCode::BAD_GATEWAY)?;
        let found: u64 = answer.json().await.map_err(|_| StatusCode::BAD_GATEWAY)?;
        pieces += found;
    }
    Ok(Json(pieces))
}

#[weighbridge_agent::main]
async fn main() -> Result<()> {
    let _agent = weighbridge_agent::init(); // without a collector it prints the table at the end
    let stock = |Path(sku): Path<String>| async move { Json(sku.len() as u64) };
    let warehouse = serve(Router::new().route("/stock/{sku}", get(stock))).await?;
    let client = Client::new("warehouse", &warehouse)?;
    let store = Router::new()
        .route("/orders", post(order))
        .with_state(client);
    let store = Client::new("store", &serve(store).await?)?;
    weighbridge_agent::job("evening orders", async {
        let request = store.post("/orders").json(&["A-1", "B-22"]);
        let pieces: u64 = request.send().await?.error_for_status()?.json().await?;
        match pieces {
            7 => Ok(()),
            _ => Err(format!("{pieces} pieces instead of 7").into()),
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_runs() {
        super::main().unwrap();
    }
}
