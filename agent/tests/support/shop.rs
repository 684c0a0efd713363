//! A service of gRPC with all four shapes of calls, written as tonic's code generator would.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used)] // each test binary uses its part

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{Stream, StreamExt as _, stream};
use http::uri::PathAndQuery;
use tokio::sync::Notify;
use tonic::body::Body;
use tonic::client::Grpc as Client;
use tonic::codec::Streaming;
use tonic::server::{
    ClientStreamingService, Grpc, NamedService, ServerStreamingService, StreamingService,
    UnaryService,
};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};
use tower::Service;
use weighbridge_agent::background;
use weighbridge_agent::grpc::ProstCodec;

use crate::support::Worked;

#[derive(Clone, PartialEq, prost::Message)]
pub struct Line {
    #[prost(uint64, tag = "1")]
    pub id: u64,
    #[prost(string, tag = "2")]
    pub name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Lines {
    #[prost(message, repeated, tag = "1")]
    pub lines: Vec<Line>,
}

pub fn lines(n: u64) -> Lines {
    Lines {
        lines: (0..n)
            .map(|id| Line {
                id,
                name: format!("line {id}"),
            })
            .collect(),
    }
}

/// Bytes of a message within a body.
pub fn framed(message: &Lines) -> i64 {
    i64::try_from(5 + prost::Message::encoded_len(message)).unwrap()
}

type Reply<T> = Pin<Box<dyn Future<Output = Result<Response<T>, Status>> + Send>>;
type Replies = Pin<Box<dyn Stream<Item = Result<Lines, Status>> + Send>>;

/// One of the service's methods.
#[derive(Clone)]
struct Method(Arc<Notify>, Worked);

/// What a unary call works.
pub const WORK: Duration = Duration::from_micros(400);

impl UnaryService<Lines> for Method {
    type Response = Lines;
    type Future = Reply<Lines>;

    fn call(&mut self, request: Request<Lines>) -> Reply<Lines> {
        let worked = self.1.clone();
        Box::pin(async move {
            worked.burn(WORK);
            let message = request.into_inner();
            match message.lines.first().map(|line| line.id) {
                Some(id @ 1_000..) => Err(Status::new(Code::from(id as i32 - 1_000), "as asked")),
                _ => Ok(Response::new(message)),
            }
        })
    }
}

impl ClientStreamingService<Lines> for Method {
    type Response = Lines;
    type Future = Reply<Lines>;

    fn call(&mut self, request: Request<Streaming<Lines>>) -> Reply<Lines> {
        Box::pin(async move {
            let mut sum = Lines::default();
            let mut messages = request.into_inner();
            while let Some(message) = messages.next().await {
                sum.lines.extend(message?.lines);
            }
            Ok(Response::new(sum))
        })
    }
}

impl ServerStreamingService<Lines> for Method {
    type Response = Lines;
    type ResponseStream = Replies;
    type Future = Reply<Replies>;

    fn call(&mut self, request: Request<Lines>) -> Reply<Replies> {
        let go_on = self.0.clone();
        Box::pin(async move {
            let replies = stream::iter(request.into_inner().lines).then(move |line| {
                let go_on = go_on.clone();
                async move {
                    if line.id == HELD {
                        go_on.notified().await;
                    }
                    Ok(Lines { lines: vec![line] })
                }
            });
            Ok(Response::new(Box::pin(replies) as Replies))
        })
    }
}

impl StreamingService<Lines> for Method {
    type Response = Lines;
    type ResponseStream = Replies;
    type Future = Reply<Replies>;

    fn call(&mut self, request: Request<Streaming<Lines>>) -> Reply<Replies> {
        Box::pin(async move { Ok(Response::new(Box::pin(request.into_inner()) as Replies)) })
    }
}

/// Passes what it is asked on to `Unary`, with the same codec on both sides.
struct Forward(SocketAddr);

impl UnaryService<Lines> for Forward {
    type Response = Lines;
    type Future = Reply<Lines>;

    fn call(&mut self, request: Request<Lines>) -> Reply<Lines> {
        let address = self.0;
        Box::pin(async move {
            let mut client = client(address).await;
            client.ready().await.unwrap();
            let codec = ProstCodec::<Lines, Lines>::default();
            let request = Request::new(request.into_inner());
            client.unary(request, path("Unary"), codec).await
        })
    }
}

/// The id of a line that waits until it is told to go on.
pub const HELD: u64 = 77_777;

/// What tonic's code generator would write.
#[derive(Clone)]
pub struct Shop {
    pub address: SocketAddr,
    pub go_on: Arc<Notify>,
    /// Of unary calls.
    pub worked: Worked,
}

impl NamedService for Shop {
    const NAME: &'static str = "shop.Cart";
}

impl Service<http::Request<Body>> for Shop {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let method = Method(self.go_on.clone(), self.worked.clone());
        let forward = Forward(self.address);
        Box::pin(async move {
            let mut grpc = Grpc::new(ProstCodec::<Lines, Lines>::default());
            Ok(match request.uri().path() {
                "/shop.Cart/Unary" => grpc.unary(method, request).await,
                "/shop.Cart/Forward" => grpc.unary(forward, request).await,
                "/shop.Cart/Upload" => grpc.client_streaming(method, request).await,
                "/shop.Cart/Download" => grpc.server_streaming(method, request).await,
                "/shop.Cart/Both" => grpc.streaming(method, request).await,
                _ => Status::unimplemented("no such method").into_http(),
            })
        })
    }
}

/// Spawns what tonic's client spawns, under the client's name.
struct Wrapped;

impl<F> hyper::rt::Executor<F> for Wrapped
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        tokio::spawn(background("client", future));
    }
}

pub async fn client(address: SocketAddr) -> Client<Channel> {
    let channel = Endpoint::from_shared(format!("http://{address}"))
        .unwrap()
        .executor(Wrapped)
        .connect()
        .await
        .unwrap();
    Client::new(channel)
}

pub fn path(method: &str) -> PathAndQuery {
    format!("/shop.Cart/{method}").parse().unwrap()
}
