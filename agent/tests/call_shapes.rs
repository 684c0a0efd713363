//! The shape of a request's calls by real clients, with a server that holds its answers: two side by side, one after
//! them, and one that nobody waits for.

#![allow(clippy::unwrap_used)]

mod support;

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::routing::post;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client as Pooled;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use support::{Served, builder, burn, figure, servers, weigh_server};
use tokio::sync::{Barrier, Notify};
use tonic::server::{Grpc, UnaryService};
use tonic::transport::Endpoint;
use tonic::{Request, Response, Status};
use tower::{Layer as _, Service as _};
use weighbridge_agent::wire::{RowKind, RowValue, column};
use weighbridge_agent::{Target, client_layer, grpc, http_client, job, nats, reqwest, spawn};

const REQUESTS: i64 = 10;
/// What the server works for each call that is waited for.
const WORK: Duration = Duration::from_millis(2);

type Call = Arc<dyn Fn(&'static str) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// When answers are given: `a` and `b` once both have been asked for, `d` when the test says so.
struct Hold {
    both: Barrier,
    d_came: Notify,
    d_may_go: Notify,
}

impl Hold {
    async fn answer(&self, name: &str) {
        match name {
            "a" | "b" => {
                self.both.wait().await;
                burn(WORK);
            }
            "c" => burn(WORK),
            _ => {
                self.d_came.notify_one();
                self.d_may_go.notified().await;
            }
        }
    }
}

struct Unary(Arc<Hold>, String);

impl UnaryService<()> for Unary {
    type Response = ();
    type Future = Pin<Box<dyn Future<Output = Result<Response<()>, Status>> + Send>>;

    fn call(&mut self, _: Request<()>) -> Self::Future {
        let (hold, name) = (self.0.clone(), self.1.clone());
        Box::pin(async move {
            hold.answer(&name).await;
            Ok(Response::new(()))
        })
    }
}

fn app(hold: Arc<Hold>) -> Router {
    let plain = |State(hold): State<Arc<Hold>>, Path(name): Path<String>| async move {
        hold.answer(&name).await;
    };
    let unary = |State(hold): State<Arc<Hold>>,
                 Path(name): Path<String>,
                 request: axum::extract::Request| async move {
        let mut grpc = Grpc::new(grpc::ProstCodec::<(), ()>::default());
        let request = request.map(tonic::body::Body::new);
        grpc.unary(Unary(hold, name), request).await
    };
    Router::new()
        .route("/hold/{name}", post(plain))
        .route("/shop.Hold/{name}", post(unary))
        .layer(weighbridge_agent::layer())
        .with_state(hold)
}

/// The template of a call, which is a name of its own for each.
fn template(name: &str) -> &'static str {
    match name {
        "a" => "/hold/a",
        "b" => "/hold/b",
        "c" => "/hold/c",
        _ => "/hold/d",
    }
}

fn own(base: &str) -> Call {
    let client = http_client::Client::new("own", base).unwrap();
    Arc::new(move |name| {
        let client = client.clone();
        Box::pin(async move {
            let answer = client.post(template(name)).send().await.unwrap();
            answer.bytes().await.unwrap();
        })
    })
}

fn tower(peer: &str, base: &str) -> Call {
    // Head and body are two frames: without this the second waits for an acknowledgement.
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let mut pooled = Pooled::builder(TokioExecutor::new());
    let pooled = pooled.http2_only(peer == "http2").build(connector);
    let client = client_layer(peer).layer(pooled);
    let base = base.to_owned();
    Arc::new(move |name| {
        let mut client = client.clone();
        let uri = format!("{base}{}", template(name));
        Box::pin(async move {
            let request = http::Request::post(uri).extension(Target(template(name)));
            let request = request.body(Full::<Bytes>::default()).unwrap();
            let answer = client.call(request).await.unwrap();
            answer.into_body().collect().await.unwrap();
        })
    })
}

fn by_reqwest(base: &str) -> Call {
    let plain = ::reqwest::Client::builder().no_proxy().build().unwrap();
    let client = reqwest("by reqwest", plain);
    let base = base.to_owned();
    Arc::new(move |name| {
        let request = client.post(format!("{base}{}", template(name)));
        let request = request.with_extension(Target(template(name)));
        Box::pin(async move {
            request.send().await.unwrap().bytes().await.unwrap();
        })
    })
}

async fn by_tonic(address: SocketAddr) -> Call {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let channel = endpoint.connect().await.unwrap();
    let channel = grpc::client(channel, "by tonic", endpoint.uri());
    let client = tonic::client::Grpc::new(channel);
    Arc::new(move |name| {
        let mut client = client.clone();
        Box::pin(async move {
            client.ready().await.unwrap();
            let path = format!("/shop.Hold/{name}").parse().unwrap();
            let codec = grpc::ProstCodec::<(), ()>::default();
            client.unary(Request::new(()), path, codec).await.unwrap();
        })
    })
}

async fn by_nats(server: &servers::Server, hold: &Arc<Hold>) -> Call {
    let address = server.address().to_string();
    let answering = nats::connect("by nats", address.clone()).await.unwrap();
    let asked = answering.subscribe("hold.*").await.unwrap().at_once(4);
    answering.inner().flush().await.unwrap();
    let hold = hold.clone();
    tokio::spawn(asked.consume(move |message| {
        let hold = hold.clone();
        async move {
            let subject = message.subject.to_string();
            hold.answer(subject.trim_start_matches("hold.")).await;
            message.respond(Bytes::new()).await.unwrap();
        }
    }));
    let client = nats::connect("by nats", address).await.unwrap();
    Arc::new(move |name| {
        let client = client.clone();
        let subject = match name {
            "a" => "hold.a",
            "b" => "hold.b",
            "c" => "hold.c",
            _ => "hold.d",
        };
        Box::pin(async move {
            client.request(subject, Bytes::new()).await.unwrap();
        })
    })
}

/// A column of a row's, in ns.
fn ns(row: &RowValue, column: u32) -> i64 {
    row.get(column).unwrap_or(0)
}

async fn shape(served: &Served, hold: &Hold, peer: &'static str, call: Call) {
    for _ in 0..REQUESTS {
        let mut left = None;
        let calls = async {
            tokio::join!(call("a"), call("b"));
            call("c").await;
            left = Some(spawn(call("d")));
            hold.d_came.notified().await;
        };
        job(peer, calls).await;
        // It is not waited for: the request has ended.
        hold.d_may_go.notify_one();
        left.unwrap().await.unwrap();
    }
    let operation = format!("JOB {peer}");
    let request = served.ended(&operation, REQUESTS).await;
    let rows = served.ledger.rows();

    let mut critical_ns = 0;
    let mut ids = ["a", "b", "c", "d"].map(|name| {
        let mut ids = std::collections::BTreeSet::new();
        for (key, row) in rows.of_kind(RowKind::Edge) {
            let of = |n: usize| &*key.parts[n];
            let named = of(10).strip_suffix(name);
            if of(0) == "caller"
                && of(9) == peer
                && named.is_some_and(|of| of.ends_with(['/', '.']))
            {
                ids.insert(of(8).to_owned());
                critical_ns += ns(row, column::CRITICAL_NS);
            }
        }
        assert_eq!(ids.len(), 1, "{peer}: one call {name}: {ids:?}");
        ids.pop_first().unwrap()
    });
    // Side by side they stand by name.
    ids[..2].sort();
    let [a, b, c, d] = ids;
    let expected = format!("{a}|{b};{c};{d}&");
    let shapes: Vec<_> = rows
        .of_kind(RowKind::CallShape)
        .filter(|(key, _)| *key.parts[0] == *operation)
        .collect();
    let signatures: Vec<&str> = shapes.iter().map(|(key, _)| &*key.parts[2]).collect();
    assert_eq!(signatures, [&*expected], "{peer}");
    let shape = shapes[0].1;
    assert_eq!(figure(shape, column::COUNT), REQUESTS);

    // What calls cover is the wall time without the request's own, and holds the two that ran side by side once.
    let covered_ns = figure(shape, column::WALL_NS) - figure(shape, column::OWN_NS);
    let steps = |column: u32, is_d: bool| -> i64 {
        rows.of_kind(RowKind::CallStep)
            .filter(|(key, _)| *key.parts[0] == *operation && (*key.parts[4] == d) == is_d)
            .map(|(_, row)| figure(row, column))
            .sum()
    };
    let walls_ns = steps(column::WALL_NS, false);
    let work_ns = REQUESTS * i64::try_from(WORK.as_nanos()).unwrap();
    assert!(
        covered_ns >= 2 * work_ns,
        "{peer}: {covered_ns} of {work_ns}"
    );
    assert!(
        walls_ns - covered_ns >= work_ns,
        "{peer}: {walls_ns} in calls cover {covered_ns}"
    );
    // The child that asked for `d` waits too, while the request goes on.
    let waited_ns = figure(&request, column::WAIT_CALL_NS);
    let beside_ns = figure(shape, column::WALL_NS) - steps(column::OFFSET_NS, true);
    assert!(
        waited_ns <= covered_ns + beside_ns,
        "{peer}: {waited_ns} of {covered_ns} and {beside_ns}"
    );
    assert!(waited_ns >= work_ns, "{peer}: {waited_ns}");
    // The path goes through what is waited for, and edges say which of them.
    assert_eq!(figure(shape, column::CRITICAL_NS), critical_ns, "{peer}");
    assert!((2 * work_ns..=covered_ns).contains(&critical_ns), "{peer}");
}

#[test]
fn real_clients_have_the_shapes_of_their_calls() {
    let hold = Arc::new(Hold {
        both: Barrier::new(2),
        d_came: Notify::new(),
        d_may_go: Notify::new(),
    });
    let router = app(hold.clone());
    weigh_server(
        builder("shapes"),
        |_| router,
        |served| async move {
            let base = format!("http://{}", served.address);
            shape(&served, &hold, "own", own(&base)).await;
            shape(&served, &hold, "tower", tower("tower", &base)).await;
            shape(&served, &hold, "http2", tower("http2", &base)).await;
            shape(&served, &hold, "by reqwest", by_reqwest(&base)).await;
            let call = by_tonic(served.address).await;
            shape(&served, &hold, "by tonic", call).await;
            if let Some(server) = servers::nats() {
                let call = by_nats(&server, &hold).await;
                shape(&served, &hold, "by nats", call).await;
            }
        },
    );
}
