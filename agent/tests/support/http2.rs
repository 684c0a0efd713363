//! A client that speaks HTTP/2 from its first byte on.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used)] // each test binary uses its part

use std::net::SocketAddr;

use axum::body::{Body, Bytes};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use weighbridge_agent::background;

/// Spawns what hyper spawns, under the client's name.
#[derive(Clone, Copy, Debug)]
struct Client;

impl<F> hyper::rt::Executor<F> for Client
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        tokio::spawn(background("client", future));
    }
}

/// A connection, to be cloned for requests side by side.
#[derive(Clone)]
pub struct Http2 {
    sender: http2::SendRequest<Body>,
}

pub struct Answered {
    pub status: StatusCode,
    pub body: Bytes,
    pub trailers: bool,
}

impl Http2 {
    pub async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (sender, connection) = http2::Builder::new(Client)
            .timer(TokioTimer::new())
            .handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(background("client", async {
            let _ = connection.await;
        }));
        Self { sender }
    }

    /// Sends a request and waits for the head of its answer.
    pub async fn send(&mut self, request: Request<Body>) -> hyper::Result<Response<Incoming>> {
        self.sender.ready().await?;
        self.sender.send_request(request).await
    }

    pub async fn get(&mut self, path: &str) -> Answered {
        let request = Request::get(format!("http://test{path}")).body(Body::empty());
        self.ask(request.unwrap()).await
    }

    pub async fn post(&mut self, path: &str, body: impl Into<Body>) -> Answered {
        let request = Request::post(format!("http://test{path}")).body(body.into());
        self.ask(request.unwrap()).await
    }

    pub async fn ask(&mut self, request: Request<Body>) -> Answered {
        let (head, body) = self.send(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap();
        Answered {
            status: head.status,
            trailers: body.trailers().is_some(),
            body: body.to_bytes(),
        }
    }

    /// True when the server has said that it takes no more requests, or is gone.
    pub async fn is_refused(&mut self) -> bool {
        self.sender.ready().await.is_err()
    }
}
