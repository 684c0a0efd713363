//! What weighing adds to a call of an HTTP or gRPC client, beside what the client costs itself: the same calls by the
//! bare client and by the weighed one, in one process, in off-on-on-off blocks, against a plain server in another
//! process. What it adds is all there is: headers made and sent, the record, the bodies' wrappers, the extensions.
//!
//! Also: whether encoding and decoding are told as they cost; and what a thread of its own does to a client's latency.
//!
//! `--quick` runs a short form.

use std::convert::Infallible;
use std::future::Future;
use std::hint::black_box;
use std::path::Path;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use futures_util::future::join_all;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client as Pooled;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::runtime::Runtime;
use tower::{Layer as _, Service, ServiceExt as _};
use weighbridge_agent::wire::{Delta, RowKind, column};
use weighbridge_agent::{
    CallHandle, CallRequestBody, Delivery, Encoded, Sink, Target, client_layer, driver_thread, job,
};
use weighbridge_benches::blocks::{Pair, differences, in_turns};
use weighbridge_benches::child::Server;
use weighbridge_benches::clock::{monotonic_ns, process_cpu_ns, thread_cpu_ns};
use weighbridge_benches::interval::average;
use weighbridge_benches::{Figure, Interval, Report, grpc, say};

#[global_allocator]
static ALLOC: weighbridge_agent::Alloc = weighbridge_agent::Alloc::system();

/// What weighing may add to a call.
const LIMIT_US: f64 = 1.0;
/// How far the figures of codecs may be off, in percent; and for small messages in ns.
const CODEC_LIMIT_PERCENT: f64 = 5.0;
const CODEC_LIMIT_NS: f64 = 30.0;
/// Calls at once.
const SIDE_BY_SIDE: usize = 16;

type Error = Box<dyn std::error::Error + Send + Sync>;
type Calling<'a> = Pin<Box<dyn Future<Output = Result<(), Error>> + 'a>>;
/// Makes one call.
type Call<'a> = Box<dyn Fn() -> Calling<'a> + 'a>;

/// Keeps what encoding and decoding cost on the edges of the codecs' bench.
#[derive(Default)]
struct Kept(Mutex<Vec<Delta>>);

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

/// Makes so many calls, some at once, as one request.
fn calls(runtime: &Runtime, call: &Call<'_>, count: usize) -> Result<(), Error> {
    let lane = || async {
        for _ in 0..count / SIDE_BY_SIDE {
            call().await?;
        }
        Ok::<_, Error>(())
    };
    let lanes = job("bench", join_all((0..SIDE_BY_SIDE).map(|_| lane())));
    let done = weighbridge_agent::block_on(runtime, lanes);
    done.into_iter().collect()
}

/// Pairs of µs of this process's CPU per call, bare and weighed.
fn pairs(
    runtime: &Runtime,
    [bare, weighed]: [Call<'_>; 2],
    extent: &Extent,
) -> Result<Vec<Pair>, Error> {
    for call in [&bare, &weighed] {
        calls(runtime, call, extent.calls)?;
    }
    in_turns(extent.pairs, |on| {
        let call = if on { &weighed } else { &bare };
        let begun = process_cpu_ns();
        calls(runtime, call, extent.calls)?;
        Ok((process_cpu_ns() - begun) as f64 / 1e3 / extent.calls as f64)
    })
}

struct Extent {
    pairs: usize,
    calls: usize,
    codec_calls: usize,
    latency_calls: usize,
}

const WHOLE: Extent = Extent {
    pairs: 60,
    calls: 1_600,
    codec_calls: 20_000,
    latency_calls: 500,
};

const QUICK: Extent = Extent {
    pairs: 8,
    calls: 800,
    codec_calls: 4_000,
    latency_calls: 200,
};

fn push(report: &mut Report, name: &str, pairs: &[Pair], calls: usize) {
    let off: Vec<f64> = pairs.iter().map(|pair| pair.off).collect();
    report.push(
        Figure::of(
            format!("added: {name}"),
            Interval::of_mean(&differences(pairs)),
            "µs/call",
        )
        .at_most(LIMIT_US)
        .note(format!(
            "over {:.1} µs of the bare client, from {} blocks of {calls} calls",
            average(&off),
            pairs.len() * 4,
        )),
    );
}

/// Calls by hyper-util's pooled client.
fn by_tower(
    runtime: &Runtime,
    base: &str,
    extent: &Extent,
    report: &mut Report,
) -> Result<(), Error> {
    let uri: axum::http::Uri = format!("{base}/hello").parse()?;
    let bare: Pooled<_, Full<Bytes>> = Pooled::builder(TokioExecutor::new()).build_http();
    let pooled: Pooled<_, CallRequestBody<Full<Bytes>>> =
        Pooled::builder(TokioExecutor::new()).build_http();
    let weighed = client_layer("tower").layer(pooled);
    let off: Call<'_> = Box::new(|| {
        let (client, uri) = (bare.clone(), uri.clone());
        Box::pin(async move {
            let request = axum::http::Request::get(uri).body(Full::default())?;
            let answer = client.oneshot(request).await?;
            black_box(answer.into_body().collect().await?.to_bytes());
            Ok(())
        })
    });
    let on: Call<'_> = Box::new(|| {
        let (client, uri) = (weighed.clone(), uri.clone());
        Box::pin(async move {
            let request = axum::http::Request::get(uri).extension(Target("/hello"));
            let answer = client.oneshot(request.body(Full::default())?).await?;
            black_box(answer.into_body().collect().await?.to_bytes());
            Ok(())
        })
    });
    let pairs = pairs(runtime, [off, on], extent)?;
    push(report, "hello by hyper-util's client", &pairs, extent.calls);
    Ok(())
}

fn by_reqwest(
    runtime: &Runtime,
    base: &str,
    extent: &Extent,
    report: &mut Report,
) -> Result<(), Error> {
    let uri = format!("{base}/hello");
    let client = || reqwest::Client::builder().no_proxy().build();
    let bare = reqwest_middleware::ClientBuilder::new(client()?).build();
    let weighed = weighbridge_agent::reqwest("reqwest", client()?);
    let off: Call<'_> = Box::new(|| {
        let request = bare.get(&uri);
        Box::pin(async move {
            black_box(request.send().await?.bytes().await?);
            Ok(())
        })
    });
    let on: Call<'_> = Box::new(|| {
        let request = weighed.get(&uri).with_extension(Target("/hello"));
        Box::pin(async move {
            black_box(request.send().await?.bytes().await?);
            Ok(())
        })
    });
    let pairs = pairs(runtime, [off, on], extent)?;
    push(report, "hello by reqwest", &pairs, extent.calls);
    Ok(())
}

fn by_tonic(
    runtime: &Runtime,
    base: &str,
    extent: &Extent,
    report: &mut Report,
) -> Result<(), Error> {
    type Lines = grpc::Lines;
    let endpoint = tonic::transport::Endpoint::from_shared(base.to_owned())?;
    let connect = || runtime.block_on(endpoint.connect());
    let bare = tonic::client::Grpc::new(connect()?);
    let channel = weighbridge_agent::grpc::client(connect()?, "tonic", endpoint.uri());
    let weighed = tonic::client::Grpc::new(channel);
    let path = axum::http::uri::PathAndQuery::from_static(grpc::PATH);
    let lines: Lines = prost::Message::decode(&grpc::lines(20)[..])?;
    let off: Call<'_> = Box::new(|| {
        let (mut client, path, lines) = (bare.clone(), path.clone(), lines.clone());
        Box::pin(async move {
            client.ready().await?;
            let codec = tonic_prost::ProstCodec::<Lines, Lines>::default();
            black_box(
                client
                    .unary(tonic::Request::new(lines), path, codec)
                    .await?,
            );
            Ok(())
        })
    });
    let on: Call<'_> = Box::new(|| {
        let (mut client, path, lines) = (weighed.clone(), path.clone(), lines.clone());
        Box::pin(async move {
            client.ready().await?;
            let codec = weighbridge_agent::grpc::ProstCodec::<Lines, Lines>::default();
            black_box(
                client
                    .unary(tonic::Request::new(lines), path, codec)
                    .await?,
            );
            Ok(())
        })
    });
    let pairs = pairs(runtime, [off, on], extent)?;
    push(
        report,
        "echo of 20 lines by tonic, codec weighed",
        &pairs,
        extent.calls,
    );
    Ok(())
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

/// What is told of encoding and decoding, against the same code timed alone, in turns.
fn codecs(
    runtime: &Runtime,
    agent: &weighbridge_agent::Agent,
    kept: &Kept,
    extent: &Extent,
    report: &mut Report,
) -> Result<(), Error> {
    for (name, bytes) in [("100 B", 100), ("10 KB", 10_000), ("1 MB", 1_000_000)] {
        let value = document(bytes);
        let text = serde_json::to_vec(&value)?;
        let rounds = 10;
        let count = (extent.codec_calls * 100 / (bytes + 100)).max(40) / rounds + 1;
        let peer = format!("codec {name}");
        let client = client_layer(&peer).layer(Echo);
        let (mut encoding, mut decoding) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let mut alone = [0; 2];
            for _ in 0..count {
                let begun = thread_cpu_ns();
                black_box(serde_json::to_vec(black_box(&value))?);
                let between = thread_cpu_ns();
                black_box(serde_json::from_slice::<Value>(black_box(&text))?);
                alone[0] += between - begun;
                alone[1] += thread_cpu_ns() - between;
            }
            // What the readings cost themselves.
            let begun = thread_cpu_ns();
            for _ in 0..count {
                black_box(thread_cpu_ns());
            }
            let readings = thread_cpu_ns() - begun;
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
                    .at_most(CODEC_LIMIT_NS)
                    .note(note)
            } else {
                let off: Vec<f64> = off.iter().map(|ns| ns * 100.0 / average(&alone)).collect();
                Figure::of(name, Interval::of_mean(&off), "%")
                    .at_most(CODEC_LIMIT_PERCENT)
                    .note(note)
            });
        }
    }
    Ok(())
}

/// What a thread of its own adds to the time of a call, one after the other.
fn latency(
    runtime: &Runtime,
    base: &str,
    extent: &Extent,
    report: &mut Report,
) -> Result<(), Error> {
    let uri: axum::http::Uri = format!("{base}/hello").parse()?;
    let near: Pooled<_, Full<Bytes>> = Pooled::builder(TokioExecutor::new()).build_http();
    let far: Pooled<_, Full<Bytes>> = Pooled::builder(TokioExecutor::new()).build_http();
    let driven = runtime.block_on(driver_thread("hello", || async { Ok::<_, Infallible>(()) }))?;
    let once = |client: &Pooled<_, Full<Bytes>>| {
        let (client, uri) = (client.clone(), uri.clone());
        async move {
            let request = axum::http::Request::get(uri).body(Full::default())?;
            let answer = client.oneshot(request).await?;
            black_box(answer.into_body().collect().await?.to_bytes());
            Ok::<_, Error>(())
        }
    };
    let mut cpu = [0.0; 2];
    let pairs = in_turns(extent.pairs, |on| {
        runtime.block_on(async {
            let (begun, cpu_begun) = (monotonic_ns(), process_cpu_ns());
            for _ in 0..extent.latency_calls {
                if on {
                    driven.within(once(&far)).await?;
                } else {
                    once(&near).await?;
                }
            }
            cpu[usize::from(on)] += (process_cpu_ns() - cpu_begun) as f64;
            Ok::<_, Error>((monotonic_ns() - begun) as f64 / 1e3 / extent.latency_calls as f64)
        })
    })?;
    let off: Vec<f64> = pairs.iter().map(|pair| pair.off).collect();
    let blocks = (extent.pairs * 2 * extent.latency_calls) as f64;
    let [near_us, far_us] = cpu.map(|ns| ns / 1e3 / blocks);
    report.push(
        Figure::of(
            "a call by a client on a thread of its own takes longer by".to_owned(),
            Interval::of_mean(&differences(&pairs)),
            "µs",
        )
        .note(format!(
            "over {:.1} µs on the caller's runtime, one after the other; CPU {near_us:.1} and {far_us:.1} µs a call",
            average(&off)
        )),
    );
    Ok(())
}

fn measure(extent: &Extent, report: &mut Report) -> Result<(), Error> {
    let kept = Arc::new(Kept::default());
    let agent = weighbridge_agent::builder()
        .service("bench")
        .sink(kept.clone())
        .try_init()?;
    let server = Server::start(Path::new(env!("CARGO_BIN_EXE_serve_plain")), &[])?;
    let base = format!("http://{}", server.address);
    let runtime = weighbridge_agent::runtime_current_thread().build()?;
    by_tower(&runtime, &base, extent, report)?;
    by_reqwest(&runtime, &base, extent, report)?;
    by_tonic(&runtime, &base, extent, report)?;
    codecs(&runtime, &agent, &kept, extent, report)?;
    latency(&runtime, &base, extent, report)?;
    drop(server);
    Ok(())
}

fn main() -> ExitCode {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let mut report = Report::new("clients");
    match measure(if quick { &QUICK } else { &WHOLE }, &mut report) {
        Ok(()) => report.finish(),
        Err(error) => {
            say::note(&format!("the bench broke off: {error}"));
            ExitCode::FAILURE
        }
    }
}
