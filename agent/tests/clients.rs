//! HTTP clients of three makes, one over HTTP/2 too, from one server under `serve` to another: both sides of each edge count the same,
//! the origin's bill holds both hops, and a client's own errors come back as they are.

#![allow(clippy::unwrap_used)]

mod support;

use std::error::Error as _;
use std::future::{Future, IntoFuture as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client as Pooled;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use reqwest_middleware::ClientWithMiddleware;
use support::brokers::{Tap, messages};
use support::{
    Connection, Served, Worked, apportioned, assert_billed, builder, caller_and_callee, failed,
    figure, passed, settled, weigh_server,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::Notify;
use tower::Layer as _;
use tower::Service as _;
use weighbridge_agent::http_client::Client as Own;
use weighbridge_agent::wire::{Class, RowKind, column};
use weighbridge_agent::{
    CallRequestBody, Calls, ReqwestCalls, Target, Trust, WeighedRequest as _, WeighedResponse as _,
    client_layer, driver_thread, job, reqwest, reqwest_redirects,
};

const HOP: &str = "weighbridge-hop";

type Tower = Calls<Pooled<HttpConnector, CallRequestBody<Full<Bytes>>>>;

/// A client of one make.
#[derive(Clone)]
enum Via {
    Own(Own),
    Tower(Box<Tower>),
    Reqwest(ClientWithMiddleware),
}

/// `http2` is the tower client again, over one connection with many streams.
const MAKES: [&str; 4] = ["own", "tower", "http2", "reqwest"];

impl Via {
    fn new(make: &str, peer: &str, base: &str) -> Self {
        match make {
            "own" => Self::Own(Own::new(peer, base).unwrap()),
            "tower" | "http2" => {
                // Head and body are two frames: without this the second waits for an acknowledgement.
                let mut connector = HttpConnector::new();
                connector.set_nodelay(true);
                let mut pooled = Pooled::builder(TokioExecutor::new());
                let pooled = pooled.http2_only(make == "http2").build(connector);
                Self::Tower(Box::new(client_layer(peer).layer(pooled)))
            }
            _ => Self::Reqwest(reqwest(peer, plain())),
        }
    }

    /// Posts to `/stock/{sku}` and reads the answer.
    async fn post(&self, base: &str, sku: &str, body: Vec<u8>) -> Result<(u16, Vec<u8>), String> {
        let uri = format!("{base}/stock/{sku}");
        match self {
            Self::Own(client) => {
                let request = client.post("/stock/{sku}").param("sku", sku).body(body);
                let answer = request.send().await.map_err(|error| error.to_string())?;
                let status = answer.status().as_u16();
                let body = answer.bytes().await.map_err(|error| error.to_string())?;
                Ok((status, body.to_vec()))
            }
            Self::Tower(client) => {
                let request = http::Request::post(uri).extension(Target("/stock/{sku}"));
                let request = request.body(Full::from(body)).unwrap();
                let answer = client.clone().call(request).await;
                let answer = answer.map_err(|error| chain(&error))?;
                let status = answer.status().as_u16();
                let body = answer.into_body().collect().await;
                let body = body.map_err(|error| chain(&error))?;
                Ok((status, body.to_bytes().to_vec()))
            }
            Self::Reqwest(client) => {
                let request = client.post(uri).with_extension(Target("/stock/{sku}"));
                let answer = request.body(body).send().await;
                let answer = answer.map_err(|error| chain(&error))?;
                let status = answer.status().as_u16();
                let body = answer.bytes().await.map_err(|error| chain(&error))?;
                Ok((status, body.to_vec()))
            }
        }
    }
}

fn plain() -> ::reqwest::Client {
    ::reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest_redirects())
        .build()
        .unwrap()
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// What it takes to answer for `7`.
const WORK: Duration = Duration::from_micros(300);
/// What a request's handler may cost besides.
const BESIDES: Duration = Duration::from_micros(250);

#[derive(Clone)]
struct Warehouse {
    entered: Arc<Notify>,
    far: String,
    worked: Worked,
}

async fn stock(
    State(warehouse): State<Warehouse>,
    Path(sku): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, [(&'static str, String); 1], Bytes) {
    let moved = |to: String| [("location", to)];
    match sku.as_str() {
        "broken" => (StatusCode::SERVICE_UNAVAILABLE, moved(String::new()), body),
        "missing" => (StatusCode::NOT_FOUND, moved(String::new()), Bytes::new()),
        "headers" => {
            let names: Vec<&str> = headers.keys().map(http::HeaderName::as_str).collect();
            (StatusCode::OK, moved(String::new()), names.join(",").into())
        }
        "near" => {
            let to = "/stock/headers".to_owned();
            (StatusCode::TEMPORARY_REDIRECT, moved(to), Bytes::new())
        }
        "away" => {
            let to = format!("{}/stock/headers", warehouse.far);
            (StatusCode::TEMPORARY_REDIRECT, moved(to), Bytes::new())
        }
        "hang" => {
            warehouse.entered.notify_one();
            std::future::pending().await
        }
        sku => {
            if sku == "7" {
                warehouse.worked.burn(WORK);
            }
            (StatusCode::OK, moved(String::new()), body)
        }
    }
}

fn warehouse(entered: Arc<Notify>, far: String, worked: Worked) -> Router {
    Router::new()
        .route("/stock/{sku}", post(stock))
        .layer(weighbridge_agent::layer())
        .with_state(Warehouse {
            entered,
            far,
            worked,
        })
}

/// A server under `serve`, for as long as the test runs.
async fn serve(at: [u8; 4], app: impl FnOnce(String) -> Router) -> String {
    let listener = TcpListener::bind((std::net::IpAddr::from(at), 0))
        .await
        .unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(weighbridge_agent::serve(listener, app(base.clone())).into_future());
    base
}

/// The store: each of its routes calls the warehouse by a client of another make.
#[derive(Clone)]
struct Store {
    base: Arc<std::sync::OnceLock<String>>,
    clients: Arc<std::sync::OnceLock<Vec<Via>>>,
}

impl Store {
    fn router(&self) -> Router {
        let mut router = Router::new();
        for (n, make) in MAKES.iter().enumerate() {
            let store = self.clone();
            let order = move |uri: http::Uri| {
                let store = store.clone();
                async move {
                    let (size, sku) = uri.query().unwrap().split_once('&').unwrap();
                    let size: usize = size.parse().unwrap();
                    let base = store.base.get().unwrap();
                    let client = &store.clients.get().unwrap()[n];
                    let (status, body) = client.post(base, sku, vec![7; size]).await.unwrap();
                    format!("{status} {}", body.len())
                }
            };
            router = router.route(&format!("/order/{make}"), get(order));
        }
        router.layer(weighbridge_agent::layer())
    }
}

/// The chain store → warehouse, by each client.
async fn chains(served: &Served, worked: &Worked) {
    let ledger = &served.ledger;
    let mut connection = Connection::open(served.address).await;
    for make in MAKES {
        let before = worked.so_far();
        for n in 0..messages() {
            let sku = match n % 100 {
                1 => "broken",
                2 => "missing",
                _ => "7",
            };
            let size = n % 700;
            let head = format!("GET /order/{make}?{size}&{sku} HTTP/1.1");
            let answer = connection.ask(&head, b"").await;
            let expected = match sku {
                "broken" => format!("503 {size}"),
                "missing" => "404 0".to_owned(),
                _ => format!("200 {size}"),
            };
            assert_eq!(String::from_utf8(answer.body).unwrap(), expected);
        }
        let calls = i64::try_from(messages()).unwrap();
        let [caller, callee] = settled(served, &format!("warehouse by {make}"), calls).await;
        assert_eq!(passed(&caller), passed(&callee), "{make}");
        assert_eq!(
            [passed(&caller)[0], passed(&caller)[2]],
            [calls; 2],
            "{make}"
        );
        for side in [&caller, &callee] {
            assert_eq!(figure(side, column::ERRORS), calls / 100, "{make}");
        }
        // Both hops are on the bill of the origin.
        let origin = format!("GET /order/{make}");
        if make == "http2" {
            // What a stream leaves behind is dropped in the connection's task, after the request perhaps.
            served.reached(&origin, column::ENDED, calls).await;
        } else {
            served.ended(&origin, calls).await;
        }
        for operation in [&*origin, "POST /stock/{sku}"] {
            let parts = [(1, operation), (6, origin.as_str())];
            let row = ledger.select(RowKind::Operation, &parts);
            assert_eq!(figure(&row, column::ENDED), calls, "{operation} by {make}");
        }
        // And the work is billed to it once.
        let [pieces, spent_ns] = worked.so_far();
        let here = [pieces - before[0], spent_ns - before[1]];
        assert_eq!(here[0], calls - calls / 50, "{make}");
        let parts = [(1, "POST /stock/{sku}"), (6, origin.as_str())];
        let hop = ledger.select(RowKind::Operation, &parts);
        assert_billed(here, &format!("stock by {make}"), &hop, BESIDES);
        let waited = ledger.operation(&origin, "");
        assert!(figure(&waited, column::WAIT_CALL_NS) > 0, "{make}");
    }
}

/// Calls over connections that break, made again until they are answered.
async fn cut(served: &Served, base: &str) {
    let n = messages() / 10;
    let address = base.trim_start_matches("http://").parse().unwrap();
    let tap = Tap::on(address).await;
    let base = format!("http://{}", tap.address);
    for make in MAKES {
        let peer = format!("cut by {make}");
        let client = Via::new(make, &peer, &base);
        let mut told = 0;
        for i in 0..n {
            if i % (n / 8) == n / 16 {
                tap.cut();
            }
            while client.post(&base, "7", vec![7; 100]).await.is_err() {
                told += 1;
            }
        }
        let n = i64::try_from(n).unwrap();
        let [caller, callee] = settled(served, &peer, n).await;
        let [sent, sent_bytes, answers, answered_bytes] = passed(&caller);
        assert_eq!([answers, answered_bytes], [n, 100 * n], "{make}");
        assert_eq!(figure(&caller, column::ERRORS), told, "{make}");
        // What was under way when it broke was handed over, or not; and came there, or not.
        assert!((n..=n + told).contains(&sent), "{make}: {sent} {told}");
        assert_eq!(sent_bytes, 100 * sent, "{make}");
        let [received, received_bytes, ..] = passed(&callee);
        assert!((n..=sent).contains(&received), "{make}: {received} {sent}");
        assert_eq!(received_bytes, 100 * received, "{make}");
    }
}

/// Calls that are given up while they wait.
async fn given_up(served: &Served, base: &str, entered: &Notify) {
    for make in MAKES {
        let peer = format!("given up by {make}");
        let client = Via::new(make, &peer, base);
        for size in [0, 10, 300] {
            tokio::select! {
                _ = client.post(base, "hang", vec![7; size]) => unreachable!("nobody answers"),
                () = entered.notified() => {}
            }
        }
        let [caller, callee] = settled(served, &peer, 3).await;
        assert_eq!(passed(&caller), passed(&callee), "{make}");
        assert_eq!(passed(&caller), [3, 310, 0, 0], "{make}");
        assert_eq!(figure(&caller, column::ERRORS), 0, "{make}");
    }
}

/// A listener that reads a little, answers with these bytes, and closes or holds on.
async fn odd(answer: Vec<u8>, holds: bool) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut read = [0; 4_096];
            let _ = stream.read(&mut read).await;
            let _ = stream.write_all(&answer).await;
            if holds {
                held.push(stream);
            }
        }
    });
    base
}

/// What a client says of a broken peer is what it says without us, and counts once.
async fn broken(served: &Served) {
    let free = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let refused = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(1 << 20));
    let short = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc".to_vec();
    for (what, base, sent, received) in [
        ("refused", refused, [0, 0], [0, 0]),
        ("reset", odd(Vec::new(), false).await, [1, 5], [0, 0]),
        ("half open", odd(Vec::new(), true).await, [1, 5], [0, 0]),
        (
            "long header",
            odd(long.into_bytes(), true).await,
            [1, 5],
            [0, 0],
        ),
        ("short body", odd(short, false).await, [1, 5], [1, 3]),
    ] {
        let expected = [sent[0], sent[1], received[0], received[1]];
        let uri = format!("{base}/stock/7");
        let timeout = Duration::from_millis(300);
        let peer = format!("reqwest {what}");
        let theirs = plain()
            .post(&uri)
            .timeout(timeout)
            .body("hello")
            .send()
            .await;
        let theirs = match theirs {
            Ok(answer) => answer.bytes().await.unwrap_err(),
            Err(error) => error,
        };
        let weighed = reqwest(&peer, plain());
        let ours = match weighed
            .post(&uri)
            .timeout(timeout)
            .body("hello")
            .send()
            .await
        {
            Ok(answer) => answer.bytes().await.unwrap_err(),
            Err(reqwest_middleware::Error::Reqwest(error)) => error,
            Err(other) => panic!("{other}"),
        };
        assert_eq!(ours.to_string(), theirs.to_string(), "{what}");
        let told = |error: &::reqwest::Error| {
            [
                error.is_connect(),
                error.is_timeout(),
                error.is_request(),
                error.is_body(),
                error.is_decode(),
                error.source().is_some(),
            ]
        };
        assert_eq!(told(&ours), told(&theirs), "{what}");
        let caller = failed(served, &peer, 1).await;
        assert_eq!(passed(&caller), expected, "{peer}");
        assert_eq!(figure(&caller, column::ERRORS), 1, "{peer}");
        if what == "half open" {
            // The pooled client has no timeout of its own; given up calls are above.
            continue;
        }
        let peer = format!("tower {what}");
        let request = || {
            http::Request::post(&*uri)
                .body(Full::from("hello"))
                .unwrap()
        };
        let bare: Pooled<_, Full<Bytes>> = Pooled::builder(TokioExecutor::new()).build_http();
        let theirs = match bare.request(request()).await {
            Ok(answer) => chain(&answer.into_body().collect().await.unwrap_err()),
            Err(error) => chain(&error),
        };
        let Via::Tower(mut weighed) = Via::new("tower", &peer, &base) else {
            unreachable!()
        };
        let ours = match weighed.call(request()).await {
            Ok(answer) => chain(&answer.into_body().collect().await.unwrap_err()),
            Err(error) => chain(&error),
        };
        assert_eq!(ours, theirs, "{what}");
        let caller = failed(served, &peer, 1).await;
        assert_eq!(passed(&caller), expected, "{peer}");
        assert_eq!(figure(&caller, column::ERRORS), 1, "{peer}");
    }
}

/// Nothing of ours goes to whom we do not trust, and what they send moves no cost.
async fn trust(served: &Served, near: &str, far: &str) {
    for make in MAKES {
        let client = Via::new(make, &format!("trusted by {make}"), near);
        let (_, names) = client.post(near, "headers", Vec::new()).await.unwrap();
        assert!(String::from_utf8(names).unwrap().contains(HOP), "{make}");
        let client = Via::new(make, &format!("far by {make}"), far);
        let (_, names) = client.post(far, "headers", Vec::new()).await.unwrap();
        let names = String::from_utf8(names).unwrap();
        assert!(
            !names.contains("weighbridge") && !names.contains("baggage"),
            "{names}"
        );
    }
    let client = Via::new("reqwest", "redirects", near);
    let (status, names) = client.post(near, "near", Vec::new()).await.unwrap();
    assert_eq!(status, 200, "within the host it is followed");
    assert!(String::from_utf8(names).unwrap().contains(HOP));
    let (status, _) = client.post(near, "away", Vec::new()).await.unwrap();
    assert_eq!(status, 307, "away from it, it is not");

    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 2], 0).into()).unwrap();
    let address: SocketAddr = near.strip_prefix("http://").unwrap().parse().unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    let forged = "POST /stock/7 HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\nconnection: close\r\n\
        baggage: weighbridge.origin=bank;steal\r\nweighbridge-hop: 1;bank;steal;0123456789abcdef;s;1\r\n\r\n";
    stream.write_all(forged.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(served.agent.flush(support::PATIENCE));
    let rows = served.ledger.rows();
    let steals = rows
        .iter()
        .any(|(key, _)| key.parts.iter().any(|part| part.contains("steal")));
    assert!(!steals);
}

/// reqwest's own ways: JSON, streams, retries, two middlewares.
async fn by_reqwest(served: &Served, base: &str) {
    let ledger = &served.ledger;
    let weighed = reqwest("json", plain());
    let value: Vec<u64> = (0..1_000).collect();
    let uri = format!("{base}/stock/secret-1?key=secret-2");
    job("speaks json", async {
        for _ in 0..50 {
            let request = weighed.post(&uri).header("x-secret", "secret-3");
            let answer = request.weighed_json(&value).send().await.unwrap();
            assert_eq!(answer.url().as_str(), uri, "as without us");
            assert_eq!(answer.content_length(), Some(3_891));
            assert!(answer.remote_addr().is_some());
            assert_eq!(answer.weighed_json::<Vec<u64>>().await.unwrap(), value);
        }
    })
    .await;
    let [caller, callee] = settled(served, "json", 50).await;
    assert_eq!(passed(&caller), passed(&callee));
    let speaks = ledger.operation("JOB speaks json", "");
    for (column, class) in [
        (column::CPU_ENCODE_NS, Class::Encode),
        (column::CPU_DECODE_NS, Class::Decode),
    ] {
        assert!(figure(&caller, column) > 0, "{class:?}");
        assert_eq!(caller.get(column), speaks.class_cpu_ns(class), "{class:?}");
    }
    let edge = [(0, "caller"), (9, "json"), (10, "POST *")];
    assert_eq!(passed(&ledger.select(RowKind::Edge, &edge))[0], 50);

    // What cannot be read is reqwest's own error, with the address.
    let weighed_as = |peer: &str| reqwest(peer, plain());
    let request = weighed_as("misread").post(&uri).body("no json");
    let error = request
        .send()
        .await
        .unwrap()
        .weighed_json::<u8>()
        .await
        .unwrap_err();
    assert!(error.is_decode() && error.url().is_some(), "{error:?}");
    let unspeakable = std::collections::HashMap::from([((1, 2), 3)]);
    let request = weighed_as("unspeakable")
        .post(&uri)
        .weighed_json(&unspeakable);
    let error = request.send().await.unwrap_err();
    assert!(error.is_builder(), "{error:?}");
    assert!(served.agent.flush(support::PATIENCE));
    assert_eq!(passed(&caller_and_callee(ledger, "unspeakable")[0]), [0; 4]);

    // A stream counts what passes.
    let frames = || {
        let frame =
            |_| Ok::<_, std::io::Error>(http_body::Frame::data(Bytes::from_static(b"0123456789")));
        let frames = futures_util::StreamExt::map(futures_util::stream::iter(0..30), frame);
        ::reqwest::Body::wrap(http_body_util::StreamBody::new(frames))
    };
    let request = weighed_as("stream").post(&uri).body(frames());
    let answer = request.send().await.unwrap().bytes().await;
    assert_eq!(answer.unwrap().len(), 300);
    let [caller, callee] = settled(served, "stream", 1).await;
    assert_eq!(passed(&caller), [1, 300, 1, 300]);
    assert_eq!(passed(&callee), [1, 300, 1, 300]);

    // Another attempt is another call, and is said to be one; of two middlewares the outer one counts.
    let stack = reqwest_middleware::ClientBuilder::new(plain())
        .with(Twice)
        .with(ReqwestCalls::new("twice"))
        .with(ReqwestCalls::new("inner"))
        .build();
    stack.post(&uri).body("abc").send().await.unwrap();
    let [caller, callee] = settled(served, "twice", 2).await;
    assert_eq!([passed(&caller)[0], passed(&callee)[0]], [2; 2]);
    assert_eq!(figure(&caller, column::RETRIES), 1);
    assert_eq!(passed(&caller_and_callee(ledger, "inner")[0]), [0; 4]);

    // On a thread of its own: what its connections cost is on the edge.
    let client = weighed_as("driven");
    let connect = move || async move { Ok::<_, std::io::Error>(client) };
    let driven = driver_thread("driven", connect);
    let driven = driven.await.unwrap();
    for _ in 0..100 {
        let answer = driven
            .within(driven.post(&uri).body(vec![7; 1_000]).send())
            .await;
        assert_eq!(answer.unwrap().bytes().await.unwrap().len(), 1_000);
    }
    driven.stop().await;
    let [caller, callee] = settled(served, "driven", 100).await;
    assert_eq!(passed(&caller), passed(&callee));
    if let Some([shares, spent]) = apportioned(ledger, "driven") {
        assert!(shares > spent / 2 && shares <= spent, "{shares} of {spent}");
    }
}

/// A middleware that sends each request twice.
struct Twice;

impl reqwest_middleware::Middleware for Twice {
    fn handle<'this, 'extensions, 'next, 'all>(
        &'this self,
        request: ::reqwest::Request,
        extensions: &'extensions mut http::Extensions,
        next: reqwest_middleware::Next<'next>,
    ) -> std::pin::Pin<
        Box<dyn Future<Output = reqwest_middleware::Result<::reqwest::Response>> + Send + 'all>,
    >
    where
        'this: 'all,
        'extensions: 'all,
        'next: 'all,
        Self: 'all,
    {
        Box::pin(async move {
            let copy = request.try_clone().unwrap();
            drop(next.clone().run(copy, extensions).await?);
            next.run(request, extensions).await
        })
    }
}

#[test]
fn both_sides_of_each_call_count_the_same() {
    let store = Store {
        base: Arc::default(),
        clients: Arc::default(),
    };
    let agent = builder("shop").trust(Trust::parse("127.0.0.1/32").unwrap());
    let router = store.router();
    let ledger = weigh_server(
        agent,
        |_| router,
        |served| async move {
            let entered = Arc::new(Notify::new());
            let worked = Worked::default();
            let app = |base| warehouse(Arc::default(), base, Worked::default());
            let far = serve([127, 0, 0, 2], app).await;
            let app = |_| warehouse(entered.clone(), far.clone(), worked.clone());
            let near = serve([127, 0, 0, 1], app).await;
            let client = |make: &&str| Via::new(make, &format!("warehouse by {make}"), &near);
            let clients: Vec<Via> = MAKES.iter().map(client).collect();
            assert!(store.clients.set(clients).is_ok());
            store.base.set(near.clone()).unwrap();
            chains(&served, &worked).await;
            cut(&served, &near).await;
            given_up(&served, &near, &entered).await;
            broken(&served).await;
            trust(&served, &near, &far).await;
            by_reqwest(&served, &near).await;
        },
    );
    let rows = format!("{:?}", ledger.rows());
    for secret in ["secret-1", "secret-2", "secret-3", "x-secret"] {
        assert!(!rows.contains(secret), "{secret} is in a row");
    }
}
