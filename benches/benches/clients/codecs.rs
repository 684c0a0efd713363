//! Whether encoding and decoding are told as they cost.

use std::convert::Infallible;
use std::hint::black_box;
use std::pin::Pin;
use std::sync::Mutex;

use axum::body::Bytes;
use http_body_util::{BodyExt as _, Full};
use serde_json::Value;
use tokio::runtime::Runtime;
use tower::{Layer as _, Service, ServiceExt as _};
use weighbridge_agent::wire::{Delta, RowKind, column};
use weighbridge_agent::{CallHandle, CallRequestBody, Delivery, Encoded, Sink, client_layer, job};
use weighbridge_benches::clock::thread_cpu_ns;
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
    /// A column of the edges to this peer, over all windows.
    fn figure(&self, peer: &str, column: u32) -> i64 {
        let Ok(kept) = self.0.lock() else { return 0 };
        let rows = kept
            .iter()
            .flat_map(|delta| delta.rows.of_kind(RowKind::Edge));
        rows.filter(|(key, _)| key.parts.get(9).is_some_and(|part| **part == *peer))
            .filter_map(|(_, row)| row.get(column))
            .sum()
    }
}

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

/// JSON of about so many bytes.
fn document(bytes: usize) -> Value {
    let item = |n: usize| serde_json::json!({ "id": n, "name": "a thing in stock" });
    Value::Array((0..bytes.div_ceil(38)).map(item).collect())
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

/// What is told of encoding and decoding, against the same code timed alone, in turns.
pub(super) fn codecs(
    runtime: &Runtime,
    agent: &weighbridge_agent::Agent,
    kept: &Kept,
    extent: &Extent,
    report: &mut Report,
) -> Result<(), Error> {
    for (name, bytes) in [("100 B", 100), ("10 KB", 10_000), ("1 MB", 1_000_000)] {
        let value = document(bytes);
        let text = serde_json::to_vec(&value)?;
        let rounds = 40;
        // Small ones are timed several at a time: a reading of the kernel's clock costs more than they do.
        let batch = (100_000 / bytes).clamp(1, 100);
        let count = (extent.codec_calls * 100 / (bytes + 100) / rounds)
            .div_ceil(batch)
            .max(1)
            * batch;
        let peer = format!("codec {name}");
        let client = client_layer(&peer).layer(Echo);
        let (mut encoding, mut decoding) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let mut alone = [0; 2];
            for _ in 0..count / batch {
                alone[0] += timed(batch, || serde_json::to_vec(black_box(&value)))?;
                alone[1] += timed(batch, || serde_json::from_slice::<Value>(black_box(&text)))?;
            }
            // What the readings cost themselves.
            let readings: i64 = (0..count / batch)
                .map(|_| timed(0, || Ok::<_, Infallible>(())))
                .sum::<Result<_, _>>()?;
            let before = [column::CPU_ENCODE_NS, column::CPU_DECODE_NS]
                .map(|column| kept.figure(&peer, column));
            let told = weighbridge_agent::block_on(
                runtime,
                job("codecs", async {
                    for _ in 0..count {
                        let (body, encoded) =
                            Encoded::run(|| serde_json::to_vec(black_box(&value)));
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
                }),
            );
            told?;
            agent.flush(std::time::Duration::from_secs(10));
            let after = [column::CPU_ENCODE_NS, column::CPU_DECODE_NS]
                .map(|column| kept.figure(&peer, column));
            let each = |ns: i64| ns as f64 / count as f64;
            encoding.push((each(after[0] - before[0]), each(alone[0] - readings)));
            decoding.push((each(after[1] - before[1]), each(alone[1] - readings)));
        }
        for (what, pairs) in [("encoding", encoding), ("decoding", decoding)] {
            let alone: Vec<f64> = pairs.iter().map(|(_, alone)| *alone).collect();
            let note = format!(
                "{:.0} ns alone, {} times {count}",
                average(&alone),
                pairs.len()
            );
            let off: Vec<f64> = pairs.iter().map(|(told, alone)| told - alone).collect();
            let name = format!("{what} {name} of JSON, told less alone");
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
    }
    Ok(())
}
