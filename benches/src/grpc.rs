//! A gRPC method as tonic serves it: it answers with what it is asked.

use std::future::{Ready, ready};

use axum::extract::Request;
use axum::routing::{MethodRouter, post};
use prost::Message;
use tonic::codec::Codec;
use tonic::server::{Grpc, UnaryService};
use tonic::{Response, Status};

/// Where the method is.
pub const PATH: &str = "/bench.Lines/Echo";

/// A line of an order.
#[derive(Clone, PartialEq, Message)]
pub struct Line {
    /// Number of the line.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// What is ordered.
    #[prost(string, tag = "2")]
    pub name: String,
}

/// The message in both directions.
#[derive(Clone, PartialEq, Message)]
pub struct Lines {
    /// The lines.
    #[prost(message, repeated, tag = "1")]
    pub lines: Vec<Line>,
}

/// A message of so many lines, encoded.
#[must_use]
pub fn lines(count: u64) -> Vec<u8> {
    let lines = (0..count)
        .map(|id| Line {
            id,
            name: format!("item number {id}"),
        })
        .collect();
    Lines { lines }.encode_to_vec()
}

struct Echo;

impl UnaryService<Lines> for Echo {
    type Response = Lines;
    type Future = Ready<Result<Response<Lines>, Status>>;

    fn call(&mut self, request: tonic::Request<Lines>) -> Self::Future {
        ready(Ok(Response::new(request.into_inner())))
    }
}

/// The method as a route, with a codec: what tonic's code generator would write.
#[must_use = "a route serves when a router has it"]
pub fn echo<C>() -> MethodRouter
where
    C: Codec<Encode = Lines, Decode = Lines> + Default + Send + 'static,
{
    post(async |request: Request| Grpc::new(C::default()).unary(Echo, request).await)
}
