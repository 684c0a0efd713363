use std::convert::Infallible;
use std::future::{pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Empty, Full};
use tower::{Layer as _, ServiceExt as _, service_fn};
use weighbridge_wire::{Class, RowKind, RowValue, column};

use super::{RequestBody, ResponseBody, RouteTemplate};
use crate::propagation::HOP;
use crate::testing::{Books, burn, figure};

/// A body of frames, with or without a declared length.
struct Scripted {
    frames: Vec<Result<Frame<Bytes>, &'static str>>,
    declared: bool,
    burn: DropBurns,
}

impl Scripted {
    fn data(chunks: &[&'static str]) -> Self {
        let frames = chunks
            .iter()
            .rev()
            .map(|chunk| Ok(Frame::data(Bytes::from_static(chunk.as_bytes()))));
        Self {
            frames: frames.collect(),
            declared: false,
            burn: DropBurns(0),
        }
    }

    fn rest(&self) -> u64 {
        self.frames
            .iter()
            .flatten()
            .filter_map(Frame::data_ref)
            .map(|data| data.len() as u64)
            .sum()
    }
}

impl Body for Scripted {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        burn(self.burn.0);
        Poll::Ready(self.frames.pop())
    }

    fn is_end_stream(&self) -> bool {
        self.declared && self.frames.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        if self.declared {
            SizeHint::with_exact(self.rest())
        } else {
            SizeHint::new()
        }
    }
}

/// Burns CPU when dropped.
struct DropBurns(i64);

impl Drop for DropBurns {
    fn drop(&mut self) {
        burn(self.0);
    }
}

fn request<B>(template: &str, body: B) -> Request<B> {
    let mut request = Request::new(body);
    request
        .extensions_mut()
        .insert(RouteTemplate(template.into()));
    request
}

/// The answer of a service that gives this response, without reading the request.
fn call<B: Body>(template: &str, response: Response<B>) -> Response<ResponseBody<B>> {
    let mut response = Some(response);
    let service = super::layer().layer(service_fn(move |_: Request<RequestBody<Empty<Bytes>>>| {
        ready(Ok::<_, Infallible>(response.take().unwrap()))
    }));
    service
        .oneshot(request(template, Empty::new()))
        .now_or_never()
        .unwrap()
        .unwrap()
}

/// Ended, errors, client errors.
fn ends(books: &mut Books, operation: &str) -> [i64; 3] {
    books.rotate();
    let row = books.operation(operation, "");
    [column::ENDED, column::ERRORS, column::CLIENT_ERRORS].map(|column| figure(&row, column))
}

fn callee(books: &Books, operation: &str) -> RowValue {
    let mut sum = RowValue::new();
    for (key, row) in books.rows.of_kind(RowKind::Edge) {
        if &*key.parts[4] == operation {
            sum.merge(row);
        }
    }
    sum
}

#[test]
fn a_streamed_body_ends_the_request_at_its_end() {
    let mut books = Books::open();
    let response = call(
        "/l/stream",
        Response::new(Scripted {
            burn: DropBurns(500_000),
            ..Scripted::data(&["abc", "de"])
        }),
    );
    assert_eq!(
        ends(&mut books, "GET /l/stream"),
        [0, 0, 0],
        "the head is not the end"
    );
    let collected = response
        .into_body()
        .collect()
        .now_or_never()
        .unwrap()
        .unwrap();
    assert_eq!(collected.to_bytes(), "abcde");
    assert_eq!(ends(&mut books, "GET /l/stream"), [1, 0, 0]);
    let edge = callee(&books, "GET /l/stream");
    assert_eq!(
        (
            figure(&edge, column::RESPONSE_MESSAGES),
            figure(&edge, column::RESPONSE_BODY_BYTES)
        ),
        (1, 5)
    );
    assert_eq!(
        edge.get(column::CPU_IO_NS),
        None,
        "without our socket io is unknown, not zero"
    );
    assert_eq!(edge.get(column::CPU_ENCODE_NS), None);
    // Three polls and the drop.
    let handler = books
        .operation("GET /l/stream", "")
        .class_cpu_ns(Class::Handler)
        .unwrap();
    assert!(handler >= 2_000_000, "{handler}");
}

#[test]
fn with_a_declared_length_nobody_polls_again_after_the_last_byte() {
    let mut books = Books::open();
    let mut body = call(
        "/l/exact",
        Response::new(Scripted {
            declared: true,
            ..Scripted::data(&["abc"])
        }),
    )
    .into_body();
    assert!(body.frame().now_or_never().unwrap().unwrap().is_ok());
    assert!(body.is_end_stream());
    drop(body);
    assert_eq!(ends(&mut books, "GET /l/exact"), [1, 0, 0]);
}

#[test]
fn a_body_dropped_early_is_the_clients_doing() {
    let mut books = Books::open();
    let mut body = call("/l/early", Response::new(Scripted::data(&["abc", "de"]))).into_body();
    assert!(body.frame().now_or_never().unwrap().unwrap().is_ok());
    drop(body);
    assert_eq!(ends(&mut books, "GET /l/early"), [1, 0, 1]);
    assert_eq!(
        figure(&callee(&books, "GET /l/early"), column::RESPONSE_BODY_BYTES),
        3,
        "what left, no more"
    );
}

#[test]
fn empty_and_unread_bodies_end_well() {
    let mut books = Books::open();
    drop(call("/l/empty", Response::new(Empty::<Bytes>::new())));
    assert_eq!(ends(&mut books, "GET /l/empty"), [1, 0, 0]);
    // As a server does with the body of an answer to HEAD.
    drop(call(
        "/l/head",
        Response::new(Full::new(Bytes::from_static(b"never sent"))),
    ));
    assert_eq!(ends(&mut books, "GET /l/head"), [1, 0, 0]);
    assert_eq!(
        figure(&callee(&books, "GET /l/head"), column::RESPONSE_BODY_BYTES),
        0
    );
}

#[test]
fn errors_are_told_apart() {
    let mut books = Books::open();
    let empty = |status: u16| {
        Response::builder()
            .status(status)
            .body(Empty::<Bytes>::new())
            .unwrap()
    };
    drop(call("/l/500", empty(500)));
    assert_eq!(ends(&mut books, "GET /l/500"), [1, 1, 0]);
    drop(call("/l/404", empty(404)));
    assert_eq!(ends(&mut books, "GET /l/404"), [1, 0, 1]);
    let broken = Scripted {
        frames: vec![Err("broken")],
        ..Scripted::data(&[])
    };
    let body = call("/l/broken", Response::new(broken)).into_body();
    assert!(body.collect().now_or_never().unwrap().is_err());
    assert_eq!(ends(&mut books, "GET /l/broken"), [1, 1, 0]);
    assert_eq!(figure(&callee(&books, "GET /l/broken"), column::ERRORS), 1);
    for (code, expected) in [("0", [1, 0, 0]), ("5", [1, 0, 1]), ("13", [1, 1, 0])] {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", code.parse().unwrap());
        let body = Scripted {
            frames: vec![Ok(Frame::trailers(trailers))],
            ..Scripted::data(&[])
        };
        let template = format!("/l/grpc{code}");
        drop(
            call(&template, Response::new(body))
                .into_body()
                .collect()
                .now_or_never(),
        );
        assert_eq!(
            ends(&mut books, &format!("GET {template}")),
            expected,
            "grpc-status {code}"
        );
    }
    let mut failing = super::layer().layer(service_fn(|_: Request<RequestBody<Empty<Bytes>>>| {
        ready(Err::<Response<Empty<Bytes>>, _>("no answer"))
    }));
    let future = tower::Service::call(&mut failing, request("/l/failing", Empty::new()));
    assert!(future.now_or_never().unwrap().is_err());
    assert_eq!(ends(&mut books, "GET /l/failing"), [1, 1, 0]);
}

#[test]
fn a_panic_is_an_error_and_a_cancelled_request_is_not() {
    let mut books = Books::open();
    let panicking =
        super::layer().layer(service_fn(|_: Request<RequestBody<Empty<Bytes>>>| async {
            burn(1_000_000);
            std::panic::resume_unwind(Box::new(()));
            #[allow(unreachable_code)]
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }));
    let future = panicking.oneshot(request("/l/panic", Empty::new()));
    assert!(catch_unwind(AssertUnwindSafe(|| future.now_or_never())).is_err());
    assert_eq!(ends(&mut books, "GET /l/panic"), [1, 1, 0]);
    assert!(
        books.operation("GET /l/panic", "").cpu_ns() >= 1_000_000,
        "its cost is booked"
    );

    let hanging = super::layer().layer(service_fn(|_: Request<RequestBody<Empty<Bytes>>>| async {
        let _held = DropBurns(1_000_000);
        pending::<()>().await;
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    }));
    let future = hanging.oneshot(request("/l/cancel", Empty::new()));
    assert!(future.now_or_never().is_none());
    assert_eq!(ends(&mut books, "GET /l/cancel"), [1, 0, 1]);
    assert!(
        books.operation("GET /l/cancel", "").cpu_ns() >= 1_000_000,
        "dropping is the request's work"
    );
}

/// Routers come and go, so that templates come to stand where others stood.
#[cfg(feature = "axum-0_8")]
#[test]
fn a_template_is_not_taken_for_another_that_stood_at_its_address() {
    use axum::Router;
    use axum::body::Body;
    use axum::routing::get;

    let mut books = Books::open();
    let paths: Vec<String> = (0..4).map(|n| format!("/lately/{n}")).collect();
    for path in &paths {
        let app = Router::new()
            .route(path, get(async || "lately").post(async || "lately"))
            .layer(super::layer());
        for method in ["GET", "POST", "GET", "GET"] {
            let request = Request::builder().method(method).uri(path);
            let request = request.body(Body::empty()).unwrap();
            let response = app.clone().oneshot(request).now_or_never().unwrap();
            drop(response.unwrap().into_body().collect().now_or_never());
        }
    }
    books.rotate();
    for path in &paths {
        let ended = |method: &str| {
            let row = books.operation(&format!("{method} {path}"), "");
            figure(&row, column::ENDED)
        };
        assert_eq!([ended("GET"), ended("POST")], [3, 1], "{path}");
    }
}

#[test]
fn of_two_layers_the_outer_one_counts() {
    let mut books = Books::open();
    let inner = service_fn(|request: Request<_>| {
        let _body: RequestBody<RequestBody<Empty<Bytes>>> = request.into_body();
        ready(Ok::<_, Infallible>(Response::new(Full::new(
            Bytes::from_static(b"once"),
        ))))
    });
    let nested = super::layer().layer(super::layer().layer(inner));
    let response = nested
        .oneshot(request("/l/nested", Empty::new()))
        .now_or_never()
        .unwrap()
        .unwrap();
    drop(response.into_body().collect().now_or_never());
    assert_eq!(ends(&mut books, "GET /l/nested"), [1, 0, 0]);
    assert_eq!(
        figure(
            &callee(&books, "GET /l/nested"),
            column::RESPONSE_BODY_BYTES
        ),
        4
    );
}

#[test]
fn request_bytes_are_those_that_the_caller_sent() {
    let mut books = Books::open();
    let read = super::layer().layer(service_fn(
        |request: Request<RequestBody<Scripted>>| async {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            Ok::<_, Infallible>(Response::new(Full::new(body)))
        },
    ));
    let response = read.oneshot(request("/l/read", Scripted::data(&["abc", "de"])));
    drop(
        response
            .now_or_never()
            .unwrap()
            .unwrap()
            .into_body()
            .collect()
            .now_or_never(),
    );
    // Left unread, but declared: the server discards what arrives.
    let unread = super::layer().layer(service_fn(|_: Request<RequestBody<Scripted>>| {
        ready(Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())))
    }));
    let declared = Scripted {
        declared: true,
        ..Scripted::data(&["abcd"])
    };
    drop(
        unread
            .oneshot(request("/l/unread", declared))
            .now_or_never(),
    );
    books.rotate();
    assert_eq!(
        figure(&callee(&books, "GET /l/read"), column::REQUEST_BODY_BYTES),
        5
    );
    assert_eq!(
        figure(&callee(&books, "GET /l/unread"), column::REQUEST_BODY_BYTES),
        4
    );
}

#[test]
fn caller_and_origin_come_from_trusted_peers_only() {
    let mut books = Books::open();
    let ask = |template: &str, peer: [u8; 4]| {
        let mut request = request(template, Empty::<Bytes>::new());
        request.headers_mut().insert(
            HOP,
            "1;store;GET%20%2Fx;0123456789abcdef;s;1".parse().unwrap(),
        );
        let origin = "weighbridge.origin=edge;POST%20%2Fy,other=kept";
        request
            .headers_mut()
            .insert("baggage", origin.parse().unwrap());
        request
            .extensions_mut()
            .insert(std::net::SocketAddr::from((peer, 1)));
        let seen = Arc::new(std::sync::Mutex::new(HeaderMap::new()));
        let headers = seen.clone();
        let service = super::layer().layer(service_fn(
            move |request: Request<RequestBody<Empty<Bytes>>>| {
                *headers.lock().unwrap() = request.headers().clone();
                ready(Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())))
            },
        ));
        drop(service.oneshot(request).now_or_never());
        seen.lock().unwrap().clone()
    };
    ask("/l/trusted", [127, 0, 0, 1]);
    let seen = ask("/l/stranger", [203, 0, 113, 9]);
    assert!(!seen.contains_key(HOP));
    assert_eq!(seen["baggage"], "other=kept");
    books.rotate();
    let parts = |operation: &str| -> Vec<String> {
        let (key, _) = books
            .rows
            .of_kind(RowKind::Operation)
            .find(|(key, _)| &*key.parts[1] == operation)
            .unwrap();
        key.parts[3..].iter().map(ToString::to_string).collect()
    };
    assert_eq!(
        parts("GET /l/trusted"),
        ["store", "GET /x", "edge", "POST /y"]
    );
    let own = crate::ledger::ledger().service().service.to_string();
    assert_eq!(parts("GET /l/stranger"), ["", "", &own, "GET /l/stranger"]);
    let (edge, _) = books
        .rows
        .of_kind(RowKind::Edge)
        .find(|(key, _)| &*key.parts[4] == "GET /l/trusted")
        .unwrap();
    assert_eq!(
        [6, 7, 8].map(|n| edge.parts[n].to_string()),
        ["store", "GET /x", "0123456789abcdef"]
    );
}
