//! What weighing adds to a call of an HTTP or gRPC client, beside what the client costs itself: the same calls by the
//! bare client and by the weighed one, in one process, in off-on-on-off blocks, against a plain server in another
//! process. What it adds is all there is: headers made and sent, the record, the bodies' wrappers, the extensions.
//!
//! Also: whether encoding and decoding are told as they cost; and what a thread of its own does to a client's latency.
//!
//! `--quick` runs a short form; `--codecs` runs only encoding and decoding, and then the document is `clients_codecs`.
//! `--count FIGURE on|off BLOCKS` runs nothing but so many blocks of one figure, for an instruction counter: see
//! [`weighbridge_benches::blocks::Extent`].

mod codecs;

use std::convert::Infallible;
use std::future::Future;
use std::hint::black_box;
use std::path::Path;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;

use axum::body::Bytes;
use futures_util::future::join_all;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client as Pooled;
use hyper_util::rt::TokioExecutor;
use tokio::runtime::Runtime;
use tower::{Layer as _, ServiceExt as _};
use weighbridge_agent::http_client;
use weighbridge_agent::{CallRequestBody, Target, client_layer, driver_thread, job};
use weighbridge_benches::blocks::{self, differences, in_turns};
use weighbridge_benches::child::Server;
use weighbridge_benches::clock::{monotonic_ns, process_cpu_ns};
use weighbridge_benches::interval::average;
use weighbridge_benches::{Figure, Interval, Report, grpc, say};

use codecs::{Kept, codecs};

#[global_allocator]
static ALLOC: weighbridge_agent::Alloc = weighbridge_agent::Alloc::system();

/// What weighing may add to a call.
const LIMIT_US: f64 = 1.0;
/// Calls at once.
const SIDE_BY_SIDE: usize = 16;

type Error = Box<dyn std::error::Error + Send + Sync>;
type Calling<'a> = Pin<Box<dyn Future<Output = Result<(), Error>> + 'a>>;
/// Makes one call.
type Call<'a> = Box<dyn Fn() -> Calling<'a> + 'a>;

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

/// What weighing adds to a call, in µs of this process's CPU.
fn added(
    runtime: &Runtime,
    name: &str,
    [bare, weighed]: [Call<'_>; 2],
    (extent, counting): &Scope,
    report: &mut Report,
) -> Result<(), Error> {
    let block = |on| calls(runtime, if on { &weighed } else { &bare }, extent.calls);
    if let Some(counting) = counting {
        counting.pairs_or_count(name, block)?;
        return Ok(());
    }
    block(false)?;
    block(true)?;
    let pairs = in_turns(extent.pairs, |on| {
        let begun = process_cpu_ns();
        block(on)?;
        Ok::<_, Error>((process_cpu_ns() - begun) as f64 / 1e3 / extent.calls as f64)
    })?;
    let off: Vec<f64> = pairs.iter().map(|pair| pair.off).collect();
    let figure = Figure::of(
        format!("added: {name}"),
        Interval::of_mean(&differences(&pairs)),
        "µs/call",
    );
    report.push(figure.at_most(LIMIT_US).note(format!(
        "over {:.1} µs of the bare client, from {} blocks of {} calls",
        average(&off),
        pairs.len() * 4,
        extent.calls,
    )));
    Ok(())
}

/// How much is run, and whether blocks are only counted.
type Scope = (Extent, Option<blocks::Extent>);

#[derive(Clone, Copy)]
struct Extent {
    pairs: usize,
    calls: usize,
    codec_calls: usize,
    latency_calls: usize,
}

const WHOLE: Extent = Extent {
    pairs: 40,
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

/// Calls by hyper-util's pooled client.
fn by_tower(
    runtime: &Runtime,
    base: &str,
    scope: &Scope,
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
    added(
        runtime,
        "hello by hyper-util's client",
        [off, on],
        scope,
        report,
    )
}

/// Calls by the agent's own client, beside the one that it is made of.
fn by_own(runtime: &Runtime, base: &str, scope: &Scope, report: &mut Report) -> Result<(), Error> {
    let uri: axum::http::Uri = format!("{base}/hello").parse()?;
    let bare: Pooled<_, Full<Bytes>> = Pooled::builder(TokioExecutor::new()).build_http();
    let weighed = http_client::Client::new("own", base)?;
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
        let request = weighed.get("/hello");
        Box::pin(async move {
            black_box(request.send().await?.bytes().await?);
            Ok(())
        })
    });
    added(
        runtime,
        "hello by the agent's client, connection and socket weighed",
        [off, on],
        scope,
        report,
    )
}

fn by_reqwest(
    runtime: &Runtime,
    base: &str,
    scope: &Scope,
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
    added(runtime, "hello by reqwest", [off, on], scope, report)
}

fn by_tonic(
    runtime: &Runtime,
    base: &str,
    scope: &Scope,
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
    added(
        runtime,
        "echo of 20 lines by tonic, codec weighed",
        [off, on],
        scope,
        report,
    )
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

fn measure(scope: &Scope, codecs_only: bool, report: &mut Report) -> Result<(), Error> {
    let kept = Arc::new(Kept::default());
    let agent = weighbridge_agent::builder()
        .service("bench")
        .sink(kept.clone())
        .try_init()?;
    let runtime = weighbridge_agent::runtime_current_thread().build()?;
    let (extent, counting) = scope;
    if codecs_only {
        return codecs(&runtime, &agent, &kept, extent, report);
    }
    let server = Server::start(Path::new(env!("CARGO_BIN_EXE_serve_plain")), &[])?;
    let base = format!("http://{}", server.address);
    by_tower(&runtime, &base, scope, report)?;
    by_own(&runtime, &base, scope, report)?;
    by_reqwest(&runtime, &base, scope, report)?;
    by_tonic(&runtime, &base, scope, report)?;
    if counting.is_none() {
        codecs(&runtime, &agent, &kept, extent, report)?;
        latency(&runtime, &base, extent, report)?;
    }
    drop(server);
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let said = |word: &str| arguments.iter().any(|argument| argument == word);
    let extent = if said("--quick") { QUICK } else { WHOLE };
    let scope = (extent, blocks::Extent::counting(&arguments));
    let codecs_only = said("--codecs");
    let mut report = if codecs_only {
        Report::of_part("clients", "codecs", &["--codecs"])
    } else {
        Report::new("clients")
    };
    match measure(&scope, codecs_only, &mut report) {
        Ok(()) if scope.1.is_some() => ExitCode::SUCCESS,
        Ok(()) => report.finish(),
        Err(error) => {
            say::note(&format!("the bench broke off: {error}"));
            ExitCode::FAILURE
        }
    }
}
