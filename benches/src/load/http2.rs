//! HTTP/2 without TLS, many requests under way on each connection; gRPC calls are such requests.

use std::cell::Cell;
use std::io::{self, Error, ErrorKind};
use std::net::SocketAddr;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::Load;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Call {
    path: &'static str,
    content_type: &'static str,
    body: Bytes,
}

impl Call {
    /// A `GET`.
    #[must_use]
    pub fn get(path: &'static str) -> Self {
        Self {
            path,
            content_type: "",
            body: Bytes::new(),
        }
    }

    /// A gRPC call with one message, which is encoded already.
    #[must_use]
    pub fn grpc(path: &'static str, message: &[u8]) -> Self {
        let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
        let mut body = vec![0];
        body.extend_from_slice(&length.to_be_bytes());
        body.extend_from_slice(message);
        Self {
            path,
            content_type: GRPC,
            body: body.into(),
        }
    }

    fn request(&self, authority: SocketAddr) -> Result<Request<Body>, axum::http::Error> {
        let uri = format!("http://{authority}{}", self.path);
        if self.content_type.is_empty() {
            return Request::get(uri).body(Body::empty());
        }
        Request::post(uri)
            .header("content-type", self.content_type)
            .header("te", "trailers")
            .body(Body::from(self.body.clone()))
    }

    fn is_grpc(&self) -> bool {
        self.content_type == GRPC
    }
}

const GRPC: &str = "application/grpc";

/// Open connections with their streams, served by the calling thread alone.
#[derive(Debug)]
pub struct Http2 {
    runtime: tokio::runtime::Runtime,
    connections: Vec<SendRequest<Body>>,
    streams: usize,
    address: SocketAddr,
    call: Call,
}

impl Http2 {
    /// Opens the connections; each will have `streams` requests under way.
    ///
    /// # Errors
    /// When the server cannot be reached or does not speak HTTP/2.
    pub fn connect(
        address: SocketAddr,
        connections: usize,
        streams: usize,
        call: Call,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?;
        let connections = runtime.block_on(async {
            let mut open = Vec::with_capacity(connections);
            for _ in 0..connections {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                let (sender, connection) =
                    http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                        .await
                        .map_err(Error::other)?;
                // It ends with the runtime; what breaks is told by the requests.
                tokio::spawn(async move { drop(connection.await) });
                open.push(sender);
            }
            Ok::<_, Error>(open)
        })?;
        Ok(Self {
            runtime,
            connections,
            streams,
            address,
            call,
        })
    }
}

impl Load for Http2 {
    fn run(&mut self, requests: u64) -> io::Result<()> {
        let left = Cell::new(requests);
        let (address, call) = (self.address, &self.call);
        let asking = self.connections.iter().flat_map(|sender| {
            let left = &left;
            (0..self.streams).map(move |_| {
                let mut sender = sender.clone();
                async move {
                    while let Some(rest) = left.get().checked_sub(1) {
                        left.set(rest);
                        ask(&mut sender, address, call).await?;
                    }
                    Ok::<_, Error>(())
                }
            })
        });
        self.runtime
            .block_on(futures_util::future::try_join_all(asking))?;
        Ok(())
    }
}

async fn ask(sender: &mut SendRequest<Body>, address: SocketAddr, call: &Call) -> io::Result<()> {
    let request = call.request(address).map_err(Error::other)?;
    sender.ready().await.map_err(Error::other)?;
    let answer = sender.send_request(request).await.map_err(Error::other)?;
    let (head, body) = answer.into_parts();
    let body = body.collect().await.map_err(Error::other)?;
    let trailers = body.trailers().cloned().unwrap_or_default();
    if head.status == StatusCode::OK && (!call.is_grpc() || is_ok(&trailers)) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::InvalidData,
        format!("an answer is not OK: {head:?}, {trailers:?}"),
    ))
}

fn is_ok(trailers: &HeaderMap) -> bool {
    trailers
        .get("grpc-status")
        .is_some_and(|status| status == "0")
}
