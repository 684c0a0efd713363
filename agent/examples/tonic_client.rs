//! Calls of gRPC by tonic, weighed. `cargo run -p weighbridge-agent --example tonic_client --features tonic-0_14`
//!
//! Client and service are written by hand what tonic's generator makes of a `.proto` with
//! `codec_path("weighbridge_agent::grpc::ProstCodec")`.

use std::convert::Infallible;
use std::future::{Future, IntoFuture as _};
use std::pin::Pin;
use std::task::{Context, Poll};

use tonic::body::Body;
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::Endpoint;
use tonic::{Request, Response, Status};
use tower::Service;
use weighbridge_agent::grpc::{self, ProstCodec};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;
type Answer<T, E> = Pin<Box<dyn Future<Output = std::result::Result<T, E>> + Send>>;

#[derive(Clone, PartialEq, prost::Message)]
struct Stock {
    #[prost(uint64, tag = "1")]
    pieces: u64,
}

#[derive(Clone)]
struct Warehouse;

impl UnaryService<Stock> for Warehouse {
    type Response = Stock;
    type Future = Answer<Response<Stock>, Status>;

    fn call(&mut self, request: Request<Stock>) -> Self::Future {
        Box::pin(async move { Ok(Response::new(request.into_inner())) })
    }
}

impl NamedService for Warehouse {
    const NAME: &'static str = "shop.Warehouse";
}

impl Service<http::Request<Body>> for Warehouse {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answer<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::result::Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            let mut grpc = Grpc::new(ProstCodec::<Stock, Stock>::default());
            Ok(grpc.unary(Warehouse, request).await)
        })
    }
}

/// A warehouse in this process, so that there is somebody to call.
async fn warehouse() -> Result<Endpoint> {
    let routes = tonic::service::Routes::new(Warehouse).into_axum_router();
    let app = routes.layer(weighbridge_agent::layer());
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    let base = format!("http://{}", listener.local_addr()?);
    tokio::spawn(weighbridge_agent::serve(listener, app).into_future());
    Ok(Endpoint::from_shared(base)?)
}

#[weighbridge_agent::main]
async fn main() -> Result<()> {
    let _agent = weighbridge_agent::init(); // without a collector it prints the table at the end
    let endpoint = warehouse().await?;
    let channel = grpc::client(endpoint.connect_lazy(), "warehouse", endpoint.uri());
    let mut warehouse = tonic::client::Grpc::new(channel);
    weighbridge_agent::job("reserve", async {
        warehouse.ready().await?;
        let path = "/shop.Warehouse/Reserve".parse()?;
        let codec = ProstCodec::<Stock, Stock>::default();
        let request = Request::new(Stock { pieces: 3 });
        let stock: Response<Stock> = warehouse.unary(request, path, codec).await?;
        if stock.get_ref().pieces == 3 {
            Ok(())
        } else {
            Err(format!("{} pieces instead of 3", stock.get_ref().pieces).into())
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
