//! tonic's routes through `serve`: all four shapes of calls, with messages, bytes, statuses and the CPU of codecs,
//! and everything adds up to the process.

#![allow(clippy::unwrap_used)]

#[path = "support/shop.rs"]
mod shop;
mod support;

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use shop::{HELD, Line, Lines, Shop, client, framed, lines, path};
use support::{Ledger, PATIENCE, Served, carried, figure, outcome};
use tokio::sync::Notify;
use tonic::client::Grpc as Client;
use tonic::service::Routes;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};
use weighbridge_agent::wire::{Class, RowKind, RowValue, column};

#[global_allocator]
static ALLOC: weighbridge_agent::Alloc = weighbridge_agent::Alloc::system();

async fn unary(client: &mut Client<Channel>, message: Lines) -> Result<Lines, Status> {
    client.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<Lines, Lines>::default();
    let answer = client.unary(Request::new(message), path("Unary"), codec);
    answer.await.map(Response::into_inner)
}

/// The rows of a method and of its edge once so many calls have ended.
async fn ended(served: &Served, method: &str, n: i64) -> (RowValue, RowValue) {
    let operation = format!("shop.Cart/{method}");
    let row = served.ended(&operation, n).await;
    let edge = [(0, "callee"), (2, "grpc"), (4, operation.as_str())];
    (row, served.ledger.select(RowKind::Edge, &edge))
}

/// Messages and bytes by size, of one direction.
fn sized(ledger: &Ledger, method: &str, direction: &str) -> [i64; 2] {
    let operation = format!("shop.Cart/{method}");
    let parts = [(0, "callee"), (2, operation.as_str()), (6, direction)];
    let row = ledger.select(RowKind::EdgeSize, &parts);
    [column::MESSAGES, column::BODY_BYTES].map(|column| figure(&row, column))
}

async fn shapes(served: &Served, go_on: &Notify) {
    let (agent, ledger) = (&served.agent, &served.ledger);
    let mut client = client(served.address).await;
    let codec = tonic_prost::ProstCodec::<Lines, Lines>::default;
    let message = lines(50);

    // Unary: one out, one in.
    const CALLS: i64 = 300;
    for _ in 0..CALLS {
        assert_eq!(unary(&mut client, message.clone()).await.unwrap(), message);
    }
    let (row, edge) = ended(served, "Unary", CALLS).await;
    assert_eq!(outcome(&row), [0, 0]);
    let bytes = CALLS * framed(&message);
    assert_eq!(carried(&edge), [CALLS, bytes, CALLS, bytes]);
    assert_eq!(sized(ledger, "Unary", "request"), [CALLS, bytes]);
    assert_eq!(sized(ledger, "Unary", "response"), [CALLS, bytes]);
    for class in [
        Class::Handler,
        Class::Encode,
        Class::Decode,
        Class::Protocol,
        Class::Io,
    ] {
        assert!(row.class_cpu_ns(class).unwrap() > 0, "{class:?}");
    }
    for (column, class) in [
        (column::CPU_ENCODE_NS, Class::Encode),
        (column::CPU_DECODE_NS, Class::Decode),
    ] {
        assert_eq!(edge.get(column), row.class_cpu_ns(class), "{class:?}");
    }

    // What a handler decodes to call others is its operation's, but not the callee's; what it sends is encoded in
    // the tasks of tonic's channel.
    client.ready().await.unwrap();
    let request = Request::new(message.clone());
    let forwarded = client.unary(request, path("Forward"), codec()).await;
    assert_eq!(forwarded.unwrap().into_inner(), message);
    let (row, edge) = ended(served, "Forward", 1).await;
    let decoded = row.class_cpu_ns(Class::Decode).unwrap();
    let own = figure(&edge, column::CPU_DECODE_NS);
    assert!(own > 0 && own < decoded, "{own} of {decoded}");
    assert_eq!(
        edge.get(column::CPU_ENCODE_NS),
        row.class_cpu_ns(Class::Encode)
    );
    ended(served, "Unary", CALLS + 1).await;
    const CALLED: i64 = CALLS + 1;

    // Streams: each message counts, also those beyond what a bill holds.
    const MESSAGES: u64 = 200;
    let many = i64::try_from(MESSAGES).unwrap();
    let message = lines(3);
    let bytes = many * framed(&message);
    let all = stream::iter((0..MESSAGES).map(|_| lines(3)));
    client.ready().await.unwrap();
    let sum = client
        .client_streaming(Request::new(all.clone()), path("Upload"), codec())
        .await
        .unwrap()
        .into_inner();
    let (row, edge) = ended(served, "Upload", 1).await;
    assert_eq!(outcome(&row), [0, 0]);
    assert_eq!(carried(&edge), [many, bytes, 1, framed(&sum)]);
    assert_eq!(sized(ledger, "Upload", "request"), [many, bytes]);
    assert_eq!(sized(ledger, "Upload", "response"), [1, framed(&sum)]);

    client.ready().await.unwrap();
    let request = Request::new(lines(MESSAGES));
    let mut answers = client
        .server_streaming(request, path("Download"), codec())
        .await
        .unwrap()
        .into_inner();
    let mut answered = [0, 0];
    while let Some(answer) = answers.message().await.unwrap() {
        answered = [answered[0] + 1, answered[1] + framed(&answer)];
    }
    assert_eq!(answered[0], many);
    let (row, edge) = ended(served, "Download", 1).await;
    assert_eq!(outcome(&row), [0, 0]);
    let asked = framed(&lines(MESSAGES));
    assert_eq!(carried(&edge), [1, asked, answered[0], answered[1]]);
    assert_eq!(sized(ledger, "Download", "response"), answered);
    assert_eq!(
        edge.get(column::CPU_ENCODE_NS),
        row.class_cpu_ns(Class::Encode),
        "also over what was recorded in between"
    );

    client.ready().await.unwrap();
    let both = client
        .streaming(Request::new(all), path("Both"), codec())
        .await;
    let answers = both.unwrap().into_inner();
    assert_eq!(answers.count().await, MESSAGES as usize);
    let (row, edge) = ended(served, "Both", 1).await;
    assert_eq!(outcome(&row), [0, 0]);
    assert_eq!(carried(&edge), [many, bytes, many, bytes]);

    // The bill ends with the stream: at its end, or when the client has enough.
    let held = Lines {
        lines: vec![
            Line::default(),
            Line {
                id: HELD,
                ..Line::default()
            },
        ],
    };
    for (n, answers_read) in [(2, 2), (3, 1)] {
        client.ready().await.unwrap();
        let request = Request::new(held.clone());
        let mut answers = client
            .server_streaming(request, path("Download"), codec())
            .await
            .unwrap()
            .into_inner();
        answers.message().await.unwrap().unwrap();
        assert!(agent.flush(PATIENCE));
        let row = ledger.operation("shop.Cart/Download", "");
        let figures = [column::STARTED, column::ENDED].map(|column| figure(&row, column));
        assert_eq!(figures, [n, n - 1], "open while the stream is");
        if answers_read == 2 {
            go_on.notify_one();
            answers.message().await.unwrap().unwrap();
            assert!(answers.message().await.unwrap().is_none());
        }
        drop(answers);
        let (row, _) = ended(served, "Download", n).await;
        assert_eq!(outcome(&row), [0, i64::from(answers_read == 1)]);
    }

    // Statuses: some are the caller's fault, some are errors, and a method that does not exist is one.
    let before = ended(served, "Unary", CALLED).await.0;
    let codes = [
        (Code::NotFound, false),
        (Code::AlreadyExists, false),
        (Code::InvalidArgument, false),
        (Code::Cancelled, false),
        (Code::Internal, true),
        (Code::Unavailable, true),
        (Code::PermissionDenied, true),
    ];
    for (code, _) in codes {
        let mut message = lines(1);
        message.lines[0].id = 1_000 + code as u64;
        assert_eq!(unary(&mut client, message).await.unwrap_err().code(), code);
    }
    let asked = i64::try_from(codes.len()).unwrap();
    let (row, edge) = ended(served, "Unary", CALLED + asked).await;
    let errors = i64::try_from(codes.iter().filter(|(_, error)| *error).count()).unwrap();
    assert_eq!(outcome(&before), [0, 0]);
    assert_eq!(outcome(&row), [errors, asked - errors]);
    assert_eq!(figure(&edge, column::RESPONSE_MESSAGES), CALLED + asked);
    assert_eq!(figure(&edge, column::ERRORS), errors);
    client.ready().await.unwrap();
    let none = client
        .unary(Request::new(lines(1)), path("None"), codec())
        .await;
    assert_eq!(
        none.map(|_: Response<Lines>| ()).unwrap_err().code(),
        Code::Unimplemented
    );
    assert_eq!(outcome(&ended(served, "None", 1).await.0), [1, 0]);
}

#[test]
fn grpc_is_weighed_message_by_message() {
    let go_on = Arc::new(Notify::new());
    let wait = go_on.clone();
    let ledger = support::weigh_server(
        support::builder("shop"),
        |address| {
            let shop = Shop {
                address,
                go_on: wait,
                worked: support::Worked::default(),
            };
            let routes = Routes::new(shop).into_axum_router();
            routes.layer(weighbridge_agent::layer())
        },
        |served| async move { shapes(&served, &go_on).await },
    );
    support::assert_explained(&ledger, 100);
}
