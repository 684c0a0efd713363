use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::pin::pin;
use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use http::{HeaderMap, Request, Response, StatusCode, Uri};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use tower_layer::Layer as _;
use tower_service::Service;
use weighbridge_wire::{Class, RowKind, RowValue, column, side};

use super::*;
use crate::propagation::{BAGGAGE, HOP, TRACEPARENT};
use crate::tasks::job;
use crate::testing::{Books, burn, figure};

type Bytes = bytes::Bytes;
type Sent = Request<CallRequestBody<Full<Bytes>>>;

/// A client that hands each request to a function.
#[derive(Clone)]
struct Client<F>(F);

impl<F, B, E, A> Service<Request<B>> for Client<F>
where
    F: FnMut(Request<B>) -> A,
    A: Future<Output = Result<Response<Full<Bytes>>, E>>,
{
    type Response = Response<Full<Bytes>>;
    type Error = E;
    type Future = A;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), E>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> A {
        (self.0)(request)
    }
}

/// Reads the request's body to its end and answers with its length.
fn counts(request: Sent) -> Ready<Result<Response<Full<Bytes>>, Infallible>> {
    let body = request.into_body().collect().now_or_never().unwrap();
    let length = body.unwrap().to_bytes().len();
    ready(Ok(Response::new(length.to_string().into())))
}

fn get(uri: &str) -> http::request::Builder {
    Request::get(uri)
}

fn body(text: &'static str) -> Full<Bytes> {
    Full::new(Bytes::from_static(text.as_bytes()))
}

/// The caller's rows of a peer's edges, by transport and target.
fn edges(books: &Books, peer: &str) -> Vec<(String, String, RowValue)> {
    let mut found: Vec<(String, String, RowValue)> = Vec::new();
    for (key, row) in books.rows.of_kind(RowKind::Edge) {
        if &*key.parts[0] != side::CALLER || &*key.parts[9] != peer {
            continue;
        }
        let (transport, target) = (key.parts[2].to_string(), key.parts[10].to_string());
        match found
            .iter_mut()
            .find(|(a, b, _)| *a == transport && *b == target)
        {
            Some((.., sum)) => sum.merge(row),
            None => found.push((transport, target, row.clone())),
        }
    }
    found.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
    found
}

fn carried(row: &RowValue) -> [i64; 5] {
    [
        column::REQUEST_MESSAGES,
        column::REQUEST_BODY_BYTES,
        column::RESPONSE_MESSAGES,
        column::RESPONSE_BODY_BYTES,
        column::ERRORS,
    ]
    .map(|column| figure(row, column))
}

/// Calls, and reads the answer to its end.
fn ask<S>(client: &mut S, request: Request<Full<Bytes>>) -> String
where
    S: Service<Request<Full<Bytes>>, Response = Response<CallResponseBody<Full<Bytes>>>>,
    S::Error: std::fmt::Debug,
{
    let response = client.call(request).now_or_never().unwrap().unwrap();
    let answer = response.into_body().collect().now_or_never().unwrap();
    String::from_utf8(answer.unwrap().to_bytes().to_vec()).unwrap()
}

#[test]
fn calls_are_booked_under_templates_and_never_under_paths() {
    let mut books = Books::open();
    let mut client = client_layer("c-names").layer(Client(counts));
    job("calls by layer", async {
        let uri = "http://127.0.0.1/stock/secret-1?key=secret-2";
        let plain = get(uri).header("x-secret", "secret-3").body(body("abc"));
        assert_eq!(ask(&mut client, plain.unwrap()), "3");
        let named = get(uri)
            .extension(Target("/stock/{sku}"))
            .body(body("abcd"));
        assert_eq!(ask(&mut client, named.unwrap()), "4");
        let odd = get(uri).method("SECRET4").body(body(""));
        assert_eq!(ask(&mut client, odd.unwrap()), "0");
        let grpc = get("http://127.0.0.1/shop.Cart/Add").header("content-type", "application/grpc");
        assert_eq!(
            ask(&mut client, grpc.body(body("\0\0\0\0\x01a")).unwrap()),
            "6"
        );
    })
    .now_or_never()
    .unwrap();
    books.rotate();
    let found = edges(&books, "c-names");
    let names: Vec<(&str, &str)> = found.iter().map(|(a, b, _)| (&**a, &**b)).collect();
    assert_eq!(
        names,
        [
            ("grpc", "shop.Cart/Add"),
            ("http", "GET *"),
            ("http", "GET /stock/{sku}"),
            ("http", "_OTHER *"),
        ]
    );
    assert_eq!(carried(&found[0].2), [1, 6, 1, 1, 0]);
    assert_eq!(carried(&found[1].2), [1, 3, 1, 1, 0]);
    assert_eq!(carried(&found[2].2), [1, 4, 1, 1, 0]);
    assert_eq!(
        carried(&found[3].2),
        [1, 0, 1, 1, 0],
        "empty bodies are messages"
    );
    let rows = format!("{:?}", books.rows).to_lowercase();
    assert!(!rows.contains("secret"));
}

#[test]
fn headers_go_to_whom_we_trust_only() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kept = seen.clone();
    let takes = move |request: Sent| {
        kept.lock().unwrap().push(request.headers().clone());
        counts(request)
    };
    let told = client_layer("c-trust").at(&Uri::from_static("http://127.0.0.1:1"));
    let [mut plain, mut near, mut both] = [
        client_layer("c-trust"),
        told.clone(),
        told.at(&Uri::from_static("http://192.0.2.1:1")),
    ]
    .map(|layer| layer.layer(Client(takes.clone())));
    let to = |uri: &str| {
        get(uri)
            .header(
                TRACEPARENT,
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            )
            .header(HOP, "1;copied;by a proxy;0123456789abcdef;s;1")
            .header(BAGGAGE, "tenant=7,weighbridge.origin=copied;by a proxy")
            .body(body(""))
            .unwrap()
    };
    ask(&mut plain, to("http://[::1]:80/x"));
    ask(&mut near, to("/x"));
    for client in [&mut plain, &mut near] {
        ask(client, to("http://192.0.2.1/x"));
    }
    ask(&mut plain, to("/x"));
    ask(&mut both, to("/x"));
    let seen = seen.lock().unwrap();
    let text = |headers: &HeaderMap| format!("{headers:?}");
    for headers in &seen[..2] {
        assert!(headers.contains_key(HOP) && text(headers).contains("weighbridge.origin"));
        assert!(!text(headers).contains("copied"), "{headers:?}");
    }
    for headers in &seen[2..] {
        assert!(!headers.contains_key(HOP), "{headers:?}");
        assert!(!text(headers).contains("weighbridge.origin"), "{headers:?}");
    }
    for headers in &*seen {
        assert!(text(headers).contains("tenant=7"), "{headers:?}");
        assert!(
            text(headers).contains("b7ad6b7169203331"),
            "a tracer's span stays"
        );
    }
}

#[tokio::test]
async fn a_name_is_looked_up_before_the_first_call() {
    let seen = Arc::new(Mutex::new(HeaderMap::new()));
    let kept = seen.clone();
    let takes = move |request: Sent| {
        *kept.lock().unwrap() = request.headers().clone();
        counts(request)
    };
    let mut client = client_layer("c-lookup").layer(Client(takes));
    for call in ["looked up", "known"] {
        let request = get("http://localhost:80/x").body(body("abc")).unwrap();
        let response = client.call(request).await.unwrap();
        let answer = response.into_body().collect().await.unwrap();
        assert_eq!(answer.to_bytes(), "3", "{call}");
        assert!(seen.lock().unwrap().contains_key(HOP), "{call}");
    }
}

#[test]
fn what_the_transport_never_took_is_no_message() {
    let mut books = Books::open();
    let refused = |request: Sent| {
        drop(request);
        ready(Err::<Response<Full<Bytes>>, _>("refused"))
    };
    let reset = |request: Sent| {
        let _half = request.into_body().frame().now_or_never();
        ready(Err::<Response<Full<Bytes>>, _>("reset"))
    };
    let asks_end = |request: Sent| {
        assert!(http_body::Body::is_end_stream(request.body()));
        ready(Err::<Response<Full<Bytes>>, _>("reset"))
    };
    let request = |text| get("http://127.0.0.1/x").body(body(text)).unwrap();
    let mut refuses = client_layer("c-refused").layer(Client(refused));
    let mut resets = client_layer("c-reset").layer(Client(reset));
    let mut asks = client_layer("c-asks").layer(Client(asks_end));
    let failed = |error: Option<Result<_, &'static str>>| error.unwrap().err();
    assert_eq!(
        failed(refuses.call(request("abc")).now_or_never()),
        Some("refused")
    );
    assert_eq!(
        failed(resets.call(request("abc")).now_or_never()),
        Some("reset")
    );
    assert_eq!(failed(asks.call(request("")).now_or_never()), Some("reset"));
    books.rotate();
    let row = |peer| carried(&edges(&books, peer)[0].2);
    assert_eq!(row("c-refused"), [0, 0, 0, 0, 1]);
    assert_eq!(row("c-reset"), [1, 3, 0, 0, 1]);
    assert_eq!(row("c-asks"), [1, 0, 0, 0, 1]);
}

#[test]
fn of_two_layers_the_outer_one_counts() {
    let mut books = Books::open();
    let inner = client_layer("c-inner").layer(Client(
        |request: Request<CallRequestBody<CallRequestBody<Full<Bytes>>>>| {
            let body = request.into_body().collect().now_or_never().unwrap();
            let length = body.unwrap().to_bytes().len();
            ready(Ok::<_, Infallible>(Response::new(Full::from(
                length.to_string(),
            ))))
        },
    ));
    let mut client = client_layer("c-outer").layer(inner);
    let request = get("http://127.0.0.1/x").body(body("abc")).unwrap();
    let response = client.call(request).now_or_never().unwrap().unwrap();
    drop(
        response
            .into_body()
            .collect()
            .now_or_never()
            .unwrap()
            .unwrap(),
    );
    books.rotate();
    assert_eq!(carried(&edges(&books, "c-outer")[0].2), [1, 3, 1, 1, 0]);
    assert!(edges(&books, "c-inner").is_empty());
}

#[test]
fn errors_retries_and_answers_that_nobody_reads() {
    let mut books = Books::open();
    let answers = |request: Sent| {
        drop(request.into_body().collect().now_or_never());
        let mut response = Response::new(Full::from("twelve bytes"));
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        ready(Ok::<_, Infallible>(response))
    };
    let mut client = client_layer("c-errors").layer(Client(answers));
    let uri = "http://127.0.0.1/x";
    let requests = [
        get(uri).extension(Attempt(0)),
        get(uri).extension(Attempt(2)),
        get(uri).header("grpc-previous-rpc-attempts", "1"),
    ];
    // A runtime, as the body of a client may want one.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let _runtime = runtime.enter();
    for request in requests {
        let request = request.body(body("")).unwrap();
        drop(client.call(request).now_or_never().unwrap().unwrap());
    }
    books.rotate();
    let row = &edges(&books, "c-errors")[0].2;
    assert_eq!(carried(row), [3, 0, 3, 36, 3]);
    assert_eq!(figure(row, column::RETRIES), 2);
}

#[test]
fn who_drops_a_call_does_not_make_it_an_error() {
    let mut books = Books::open();
    let hangs = |request: Sent| {
        drop(request.into_body().collect().now_or_never());
        std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>()
    };
    let mut client = client_layer("c-dropped").layer(Client(hangs));
    job("drops a call", async {
        let request = get("http://127.0.0.1/x").body(body("abc")).unwrap();
        let mut call = Box::pin(client.call(request));
        assert!((&mut call).now_or_never().is_none());
        burn(2_000_000);
        drop(call);
    })
    .now_or_never()
    .unwrap();
    books.rotate();
    let row = &edges(&books, "c-dropped")[0].2;
    assert_eq!(carried(row), [1, 3, 0, 0, 0]);
    let drops = books.operation("JOB drops a call", "");
    let waited_ns = figure(&drops, column::WAIT_CALL_NS);
    assert!(figure(row, column::WAIT_NS) >= 2_000_000);
    assert!(waited_ns < 2_000_000, "it worked meanwhile: {waited_ns}");
}

#[test]
fn a_body_is_the_callers_work_wherever_it_is_polled() {
    let mut books = Books::open();
    let (hands_over, taken) = std::sync::mpsc::sync_channel(1);
    let takes = move |request| {
        hands_over.send(request).unwrap();
        ready(Ok::<_, Infallible>(Response::new(Full::from("ok"))))
    };
    let mut client = client_layer("c-body").layer(Client(takes));
    let frames = futures_util::stream::iter(0..3).map_frames();
    job("streams by layer", async {
        let request = get("http://127.0.0.1/x")
            .body(StreamBody::new(frames))
            .unwrap();
        drop(
            client
                .call(request)
                .await
                .unwrap()
                .into_body()
                .collect()
                .await
                .unwrap(),
        );
    })
    .now_or_never()
    .unwrap();
    let request: Request<CallRequestBody<_>> = taken.recv().unwrap();
    crate::testing::on_thread(move || {
        crate::account::start_here();
        let mut body = pin!(request.into_body());
        while let Some(Some(frame)) = body.frame().now_or_never() {
            drop(frame);
        }
    });
    books.rotate();
    let row = &edges(&books, "c-body")[0].2;
    assert_eq!(
        carried(row),
        [1, 30, 1, 2, 0],
        "counted until both halves are done"
    );
    let streams = books.operation("JOB streams by layer", "");
    assert!(streams.class_cpu_ns(Class::Handler).unwrap() >= 3_000_000);
}

/// Frames whose making costs CPU.
trait Frames {
    fn map_frames(self) -> impl futures_util::Stream<Item = Result<Frame<Bytes>, Infallible>>;
}

impl<S: futures_util::Stream<Item = i32>> Frames for S {
    fn map_frames(self) -> impl futures_util::Stream<Item = Result<Frame<Bytes>, Infallible>> {
        futures_util::StreamExt::map(self, |_| {
            burn(1_000_000);
            Ok(Frame::data(Bytes::from_static(b"ten bytes!")))
        })
    }
}

#[test]
fn what_is_encoded_and_decoded_stands_on_the_edge() {
    let mut books = Books::open();
    let mut client = client_layer("c-codec").layer(Client(counts));
    job("encodes by layer", async {
        let (text, encoded) = Encoded::run(|| {
            burn(1_000_000);
            body("abc")
        });
        let request = get("http://127.0.0.1/x").extension(encoded).body(text);
        let response = client.call(request.unwrap()).await.unwrap();
        let call = response.extensions().get::<CallHandle>().cloned().unwrap();
        drop(response.into_body().collect().await.unwrap());
        call.decode(|| burn(2_000_000));
    })
    .now_or_never()
    .unwrap();
    books.rotate();
    let row = &edges(&books, "c-codec")[0].2;
    let encodes = books.operation("JOB encodes by layer", "");
    for (column, class, least_ns) in [
        (column::CPU_ENCODE_NS, Class::Encode, 1_000_000),
        (column::CPU_DECODE_NS, Class::Decode, 2_000_000),
    ] {
        assert!(figure(row, column) >= least_ns);
        assert_eq!(row.get(column), encodes.class_cpu_ns(class));
    }
}
