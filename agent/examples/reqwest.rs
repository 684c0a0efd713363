//! Calls by reqwest, weighed. `cargo run -p weighbridge-agent --example reqwest --features axum-0_8,reqwest-0_13`

use std::future::IntoFuture as _;

use axum::extract::Path;
use axum::{Json, Router, routing::post};
use weighbridge_agent::{Target, WeighedRequest as _, WeighedResponse as _};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A warehouse in this process, so that there is somebody to call.
async fn warehouse() -> Result<String> {
    let reserve = |Path(_sku): Path<String>, Json(pieces): Json<u64>| async move { Json(pieces) };
    let app = Router::new()
        .route("/stock/{sku}", post(reserve))
        .layer(weighbridge_agent::layer());
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    let base = format!("http://{}", listener.local_addr()?);
    tokio::spawn(weighbridge_agent::serve(listener, app).into_future());
    Ok(base)
}

#[weighbridge_agent::main]
async fn main() -> Result<()> {
    let _agent = weighbridge_agent::init(); // without a collector it prints the table at the end
    let base = warehouse().await?;
    let warehouse = weighbridge_agent::reqwest("warehouse", reqwest::Client::new());
    weighbridge_agent::job("reserve", async {
        let response = warehouse
            .post(format!("{base}/stock/A-1"))
            .with_extension(Target("/stock/{sku}"))
            .weighed_json(&3)
            .send()
            .await?;
        let reserved: u64 = response.error_for_status()?.weighed_json().await?;
        if reserved == 3 {
            Ok(())
        } else {
            Err(format!("{reserved} pieces instead of 3").into())
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
