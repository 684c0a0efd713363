//! Calls by a tower client (here hyper-util's), weighed.
//! `cargo run -p weighbridge-agent --example tower_client --features axum-0_8`

use std::future::IntoFuture as _;

use axum::body::Bytes;
use axum::{Router, routing::get};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tower::{Layer as _, Service as _};
use weighbridge_agent::{CallHandle, Target, client_layer};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A warehouse in this process, so that there is somebody to call.
async fn warehouse() -> Result<String> {
    let app = Router::new()
        .route("/stock/{sku}", get(|| async { "7" }))
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
    let pooled = Client::builder(TokioExecutor::new()).build_http();
    let mut warehouse = client_layer("warehouse").layer(pooled);
    weighbridge_agent::job("look up", async {
        let request = http::Request::get(format!("{base}/stock/A-1"))
            .extension(Target("/stock/{sku}"))
            .body(Empty::<Bytes>::new())?;
        let response = warehouse.call(request).await?;
        let call = response.extensions().get::<CallHandle>().cloned();
        let body = response.into_body().collect().await?.to_bytes();
        let read = || serde_json::from_slice::<u64>(&body);
        let pieces = match call {
            Some(call) => call.decode(read)?,
            None => read()?,
        };
        if pieces == 7 {
            Ok(())
        } else {
            Err(format!("{pieces} pieces instead of 7").into())
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
