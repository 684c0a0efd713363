//! Whether encoding and decoding are told as they cost.

use std::convert::Infallible;
use std::hint::black_box;
use std::pin::Pin;
use std::sync::Mutex;

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use http_body_util::{BodyExt as _, Full};
use prost::Message as _;
use serde_json::Value;
use tokio::runtime::Runtime;
use tonic::body::Body;
use tower::{Layer as _, Service, ServiceExt as _};
use weighbridge_agent::wire::{Delta, RowKind, column};
use weighbridge_agent::{
    CallHandle, CallRequestBody, Delivery, Encoded, Json, Sink, client_layer, job,
};
use weighbridge_benches::clock::thread_cpu_ns;
use weighbridge_benches::grpc::{Line, Lines, PATH};
use weighbridge_benches::interval::average;
use weighbridge_benches::{Figure, Interval, Report};

use super::{Error, Extent};

/// How far the figures of codecs may be off, in percent; and for small messages in ns.
const CODEC_LIMIT_PERCENT: f64 = 5.0;
const CODEC_LIMIT_NS: f64 = 30.0;
/// Keeps what encoding and decoding cost on the edges of the codecs' bench.
#[derive(Default)]
pub(super) struct Kept(Mutex<Vec<Delta>>);

impl Sink for Kept {
    fn deliver(&self, delta: &[u8]) -> Delivery {
        if let (Ok(delta), Ok(mut kept)) = (Delta::decode(delta), self.0.lock()) {
            kept.push(delta);
        }
        Delivery::Accepted
    }
}

impl Kept {
    /// A column of the rows of a kind of which one part of the key has this value, over all windows.
    fn figure(&self, (kind, part, value): &Rows, column: u32) -> i64 {
        let Ok(kept) = self.0.lock() else { return 0 };
        let rows = kept.iter().flat_map(|delta| delta.rows.of_kind(*kind));
        rows.filter(|(key, _)| key.parts.get(*part).is_some_and(|part| **part == **value))
            .filter_map(|(_, row)| row.get(column))
            .sum()
    }
}

/// Kind of row, and which part of its key has which value.
type Rows = (RowKind, usize, String);

/// A client that answers with what it is asked.
#[derive(Clone)]
struct Echo;

impl Service<axum::http::Request<CallRequestBody<Full<Bytes>>>> for Echo {
    type Response = axum::http::Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: axum::http::Request<CallRequestBody<Full<Bytes>>>) -> Self::Future {
        Box::pin(async move {
            let Ok(body) = request.into_body().collect().await;
            Ok(axum::http::Response::new(Full::new(body.to_bytes())))
        })
    }
}

/// The same by gRPC.
#[derive(Clone)]
struct EchoGrpc;

impl Service<axum::http::Request<Body>> for EchoGrpc {
    type Response = axum::http::Response<Body>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: axum::http::Request<Body>) -> Self::Future {
        let mut response = axum::http::Response::new(request.into_body());
        let headers = response.headers_mut();
        let value = axum::http::HeaderValue::from_static;
        headers.insert("content-type", value("application/grpc"));
        headers.insert("grpc-status", value("0"));
        std::future::ready(Ok(response))
    }
}

/// JSON of about so many bytes.
fn document(bytes: usize) -> Value {
    let item = |n: usize| serde_json::json!({ "id": n, "name": "a thing in stock" });
    Value::Array((0..bytes.div_ceil(38)).map(item).collect())
}

/// A message of about so many bytes.
fn message(bytes: usize) -> Lines {
    let line = |id| Line {
        id,
        name: "a thing in stock".to_owned(),
    };
    Lines {
        lines: (0..bytes.div_ceil(23) as u64).map(line).collect(),
    }
}

/// CPU of so many runs, in ns. What they made is dropped afterwards, as it is where they are weighed.
fn timed<T, E>(runs: usize, run: impl Fn() -> Result<T, E>) -> Result<i64, E> {
    let mut made = Vec::with_capacity(runs);
    let begun = thread_cpu_ns();
    for _ in 0..runs {
        made.push(black_box(run()?));
    }
    let cpu_ns = thread_cpu_ns() - begun;
    drop(made);
    Ok(cpu_ns)
}

type Timed<'a> = Box<dyn Fn(usize) -> Result<i64, Error> + 'a>;

/// A way to write and read messages.
struct Way<'a> {
    name: &'static str,
    /// Where its cost is told.
    rows: Rows,
    /// CPU of so many runs of the same code alone: writing, and reading.
    alone: [Timed<'a>; 2],
    /// Writes and reads so many messages, weighed.
    weighed: Box<dyn Fn(usize) -> Result<(), Error> + 'a>,
}

/// JSON written and read alone: what both sides are compared with.
fn json_alone<'a>(value: &'a Value, text: &'a [u8]) -> [Timed<'a>; 2] {
    [
        Box::new(move |runs| Ok(timed(runs, || serde_json::to_vec(black_box(value)))?)),
        Box::new(move |runs| {
            let read = || serde_json::from_slice::<Value>(black_box(text));
            Ok(timed(runs, read)?)
        }),
    ]
}

/// JSON by a tower client.
fn by_client<'a>(runtime: &'a Runtime, size: &str, value: &'a Value, text: &'a [u8]) -> Way<'a> {
    let peer = format!("codec {size}");
    let client = client_layer(&peer).layer(Echo);
    Way {
        name: "JSON",
        rows: (RowKind::Edge, 9, peer),
        alone: json_alone(value, text),
        weighed: Box::new(move |runs| {
            let calls = async {
                for _ in 0..runs {
                    let (body, encoded) = Encoded::run(|| serde_json::to_vec(black_box(value)));
                    let request =
                        axum::http::Request::post("http://127.0.0.1/x").extension(encoded);
                    let request = request.body(Full::from(body?))?;
                    let answer = client.clone().oneshot(request).await?;
                    let call = answer.extensions().get::<CallHandle>().cloned();
                    let body = answer.into_body().collect().await?.to_bytes();
                    let read = || serde_json::from_slice::<Value>(&body);
                    black_box(call.map_or_else(read, |call| call.decode(read))?);
                }
                Ok::<_, Error>(())
            };
            weighbridge_agent::block_on(runtime, job("codecs", calls))
        }),
    }
}

/// JSON by the server's `Json`.
fn by_server<'a>(runtime: &'a Runtime, size: &str, value: &'a Value, text: &'a [u8]) -> Way<'a> {
    let path = format!("/codec/{}", size.replace(' ', "-"));
    let server = Router::new()
        .route(
            &path,
            post(|Json(value): Json<Value>| async { Json(value) }),
        )
        .layer(weighbridge_agent::layer());
    let body = Bytes::copy_from_slice(text);
    Way {
        name: "JSON by the server",
        rows: (RowKind::Operation, 1, format!("POST {path}")),
        alone: json_alone(value, text),
        weighed: Box::new(move |runs| {
            let calls = async {
                for _ in 0..runs {
                    let request = axum::http::Request::post(&path)
                        .header("content-type", "application/json")
                        .body(axum::body::Body::from(body.clone()))?;
                    let answer = server.clone().oneshot(request).await?;
                    black_box(answer.into_body().collect().await?);
                }
                Ok::<_, Error>(())
            };
            weighbridge_agent::block_on(runtime, calls)
        }),
    }
}

/// prost by tonic's client, with the weighed codec.
fn by_tonic<'a>(runtime: &'a Runtime, size: &str, message: &'a Lines) -> Way<'a> {
    let peer = format!("codec {size} of prost");
    let at = axum::http::Uri::from_static("http://127.0.0.1/");
    let client = weighbridge_agent::grpc::client(EchoGrpc, &peer, &at);
    let text = Bytes::from(message.encode_to_vec());
    Way {
        name: "prost",
        rows: (RowKind::Edge, 9, peer),
        alone: [
            Box::new(move |runs| {
                // tonic's buffer begins with so much.
                let write = || {
                    let mut buffer = bytes::BytesMut::with_capacity(8 * 1024);
                    black_box(message).encode(&mut buffer).map(|()| buffer)
                };
                Ok(timed(runs, write)?)
            }),
            Box::new(move |runs| Ok(timed(runs, || Lines::decode(black_box(text.clone())))?)),
        ],
        weighed: Box::new(move |runs| {
            let calls = async {
                // Copies are made outside of what is timed alone too.
                for _ in 0..runs {
                    let mut client = tonic::client::Grpc::new(client.clone())
                        .max_decoding_message_size(usize::MAX);
                    let codec = weighbridge_agent::grpc::ProstCodec::<Lines, Lines>::default();
                    let request = tonic::Request::new(message.clone());
                    let path = axum::http::uri::PathAndQuery::from_static(PATH);
                    black_box(client.unary(request, path, codec).await?);
                }
                Ok::<_, Error>(())
            };
            weighbridge_agent::block_on(runtime, job("codecs", calls))
        }),
    }
}

/// What is told of encoding and decoding, against the same code timed alone, in turns.
pub(super) fn codecs(
    runtime: &Runtime,
    agent: &weighbridge_agent::Agent,
    kept: &Kept,
    extent: &Extent,
    report: &mut Report,
) -> Result<(), Error> {
    for (size, bytes) in [("100 B", 100), ("10 KB", 10_000), ("1 MB", 1_000_000)] {
        let value = document(bytes);
        let text = serde_json::to_vec(&value)?;
        let message = message(bytes);
        for way in [
            by_client(runtime, size, &value, &text),
            by_server(runtime, size, &value, &text),
            by_tonic(runtime, size, &message),
        ] {
            compare(&way, size, bytes, agent, kept, extent, report)?;
        }
    }
    Ok(())
}

fn compare(
    way: &Way<'_>,
    size: &str,
    bytes: usize,
    agent: &weighbridge_agent::Agent,
    kept: &Kept,
    extent: &Extent,
    report: &mut Report,
) -> Result<(), Error> {
    let rounds = 40;
    // Small ones are timed several at a time: a reading of the kernel's clock costs more than they do.
    let batch = (100_000 / bytes).clamp(1, 100);
    let count = (extent.codec_calls * 100 / (bytes + 100) / rounds)
        .div_ceil(batch)
        .max(1)
        * batch;
    let told = || {
        [column::CPU_ENCODE_NS, column::CPU_DECODE_NS].map(|column| kept.figure(&way.rows, column))
    };
    let mut pairs = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        let mut alone = [0; 2];
        for _ in 0..count / batch {
            for (sum, run) in alone.iter_mut().zip(&way.alone) {
                *sum += run(batch)?;
            }
        }
        // What the readings cost themselves.
        let readings: i64 = (0..count / batch)
            .map(|_| timed(0, || Ok::<_, Infallible>(())))
            .sum::<Result<_, _>>()?;
        let before = told();
        (way.weighed)(count)?;
        agent.flush(std::time::Duration::from_secs(10));
        let after = told();
        let each = |ns: i64| ns as f64 / count as f64;
        for (n, pairs) in pairs.iter_mut().enumerate() {
            pairs.push((each(after[n] - before[n]), each(alone[n] - readings)));
        }
    }
    for (what, pairs) in ["encoding", "decoding"].into_iter().zip(pairs) {
        let alone: Vec<f64> = pairs.iter().map(|(_, alone)| *alone).collect();
        let note = format!(
            "{:.0} ns alone, {} times {count}",
            average(&alone),
            pairs.len()
        );
        let off: Vec<f64> = pairs.iter().map(|(told, alone)| told - alone).collect();
        let name = format!("{what} {size} of {}, told less alone", way.name);
        report.push(if bytes <= 100 {
            Figure::of(name, Interval::of_mean(&off), "ns")
                .within(CODEC_LIMIT_NS)
                .note(note)
        } else {
            let off: Vec<f64> = off.iter().map(|ns| ns * 100.0 / average(&alone)).collect();
            Figure::of(name, Interval::of_mean(&off), "%")
                .within(CODEC_LIMIT_PERCENT)
                .note(note)
        });
    }
    Ok(())
}
