//! tonic's client, weighed: both sides of each edge count the same in all four shapes, and encoding, which happens in
//! the channel's own tasks, is on the bill of whoever calls.

#![allow(clippy::unwrap_used)]

#[path = "support/shop.rs"]
mod shop;
mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use shop::{Lines, Shop, framed, lines, path};
use support::brokers::messages;
use support::{
    Served, Worked, apportioned, builder, failed, figure, passed, settled, weigh_server,
};
use tokio::sync::Notify;
use tonic::client::Grpc as Client;
use tonic::service::Routes;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};
use weighbridge_agent::grpc::{self, ProstCodec};
use weighbridge_agent::wire::{Class, RowKind, column};
use weighbridge_agent::{driver_thread, job};

type Weighed = Client<grpc::Client<Channel>>;

async fn weighed(address: SocketAddr, peer: &str) -> Weighed {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let channel = endpoint.connect().await.unwrap();
    Client::new(grpc::client(channel, peer, endpoint.uri()))
}

async fn unary(client: &mut Weighed, message: Lines, method: &str) -> Result<Lines, Status> {
    client.ready().await.unwrap();
    let codec = ProstCodec::<Lines, Lines>::default();
    let answer = client.unary(Request::new(message), path(method), codec);
    answer.await.map(Response::into_inner)
}

/// What a call's handler may cost besides its work.
const BESIDES: Duration = Duration::from_micros(300);

fn app(address: SocketAddr, worked: Worked) -> axum::Router {
    let shop = Shop {
        address,
        go_on: Arc::new(Notify::new()),
        worked,
    };
    Routes::new(shop)
        .into_axum_router()
        .layer(weighbridge_agent::layer())
}

async fn calls(served: &Served, worked: &Worked) {
    let calls = i64::try_from(messages()).unwrap();
    let mut client = weighed(served.address, "shop calls").await;
    let message = lines(20);
    job("asks shop", async {
        for _ in 0..calls {
            let answer = unary(&mut client, message.clone(), "Unary").await;
            assert_eq!(answer.unwrap(), message);
        }
    })
    .await;
    let [caller, callee] = settled(served, "shop calls", calls).await;
    let bytes = calls * framed(&message);
    assert_eq!(passed(&caller), [calls, bytes, calls, bytes]);
    assert_eq!(passed(&callee), [calls, bytes, calls, bytes]);
    assert_eq!(figure(&caller, column::ERRORS), 0);
    // What the channel's tasks encode is the caller's all the same.
    let asks = served.ledger.operation("JOB asks shop", "");
    for (column, class) in [
        (column::CPU_ENCODE_NS, Class::Encode),
        (column::CPU_DECODE_NS, Class::Decode),
    ] {
        assert!(figure(&caller, column) > 0, "{class:?}");
        assert_eq!(caller.get(column), asks.class_cpu_ns(class), "{class:?}");
    }
    // The chain's origin holds what was done for it.
    let edge = [(1, "shop.Cart/Unary"), (6, "JOB asks shop")];
    let hop = served.ledger.select(RowKind::Operation, &edge);
    assert_eq!(figure(&hop, column::ENDED), calls);
    // What it worked is billed to it, and once.
    assert_eq!(worked.so_far()[0], calls);
    worked.assert_caused(&served.ledger, "shop.Cart/Unary", "JOB asks shop", BESIDES);
}

async fn shapes(served: &Served) {
    let mut client = weighed(served.address, "shop shapes").await;
    let codec = ProstCodec::<Lines, Lines>::default;
    let count = messages() as u64;
    let many = i64::try_from(count).unwrap();
    let all = stream::iter((0..count).map(|_| lines(1)));
    client.ready().await.unwrap();
    let sum = client
        .client_streaming(Request::new(all.clone()), path("Upload"), codec())
        .await
        .unwrap()
        .into_inner();
    client.ready().await.unwrap();
    let mut answers = client
        .server_streaming(Request::new(lines(count)), path("Download"), codec())
        .await
        .unwrap()
        .into_inner();
    let mut downloaded = 0;
    while let Some(answer) = answers.message().await.unwrap() {
        downloaded += framed(&answer);
    }
    drop(answers);
    client.ready().await.unwrap();
    let both = client
        .streaming(Request::new(all), path("Both"), codec())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(both.count().await, messages());
    let [caller, callee] = settled(served, "shop shapes", many + 1 + many).await;
    let streamed = many * framed(&lines(1));
    let asked = framed(&lines(count));
    let expected = [
        many + 1 + many,
        streamed + asked + streamed,
        1 + many + many,
        framed(&sum) + downloaded + streamed,
    ];
    assert_eq!(passed(&caller), expected);
    assert_eq!(passed(&callee), expected);
    let sized = served
        .ledger
        .select(RowKind::EdgeSize, &[(0, "caller"), (1, "grpc")]);
    assert_eq!(
        figure(&sized, column::MESSAGES),
        2 * i64::try_from(messages()).unwrap() + expected[0] + expected[2],
        "message by message"
    );
}

async fn statuses(served: &Served) {
    let mut client = weighed(served.address, "shop statuses").await;
    let codes = [
        (Code::NotFound, 0),
        (Code::AlreadyExists, 0),
        (Code::InvalidArgument, 0),
        (Code::Cancelled, 0),
        (Code::Internal, 1),
        (Code::Unavailable, 1),
        (Code::PermissionDenied, 1),
    ];
    for (code, _) in codes {
        let mut message = lines(1);
        message.lines[0].id = 1_000 + code as u64;
        let error = unary(&mut client, message, "Unary").await.unwrap_err();
        assert_eq!((error.code(), error.message()), (code, "as asked"));
    }
    let [caller, callee] = settled(served, "shop statuses", 7).await;
    let errors = codes.iter().map(|(_, error)| error).sum::<i64>();
    for side in [&caller, &callee] {
        assert_eq!(figure(side, column::ERRORS), errors);
    }
    assert_eq!(passed(&caller), passed(&callee));
    // Nobody is there.
    let free = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .unwrap();
    let nowhere = free.local_addr().unwrap();
    drop(free);
    let endpoint = Endpoint::from_shared(format!("http://{nowhere}")).unwrap();
    let plain = Client::new(endpoint.connect_lazy());
    let channel = grpc::client(endpoint.connect_lazy(), "shop nowhere", endpoint.uri());
    let mut weighed = Client::new(channel);
    let codec = ProstCodec::<Lines, Lines>::default;
    let mut plain: Client<Channel> = plain;
    plain.ready().await.unwrap();
    let theirs = plain
        .unary(Request::new(lines(1)), path("Unary"), codec())
        .await
        .map(|_: Response<Lines>| ())
        .unwrap_err();
    let ours = unary(&mut weighed, lines(1), "Unary").await.unwrap_err();
    assert_eq!(ours.code(), theirs.code());
    assert_eq!(ours.message(), theirs.message());
    let caller = failed(served, "shop nowhere", 1).await;
    assert_eq!(passed(&caller), [0, 0, 0, 0]);
    assert_eq!(figure(&caller, column::ERRORS), 1);
}

/// A stream that is dropped in the middle, and a call that is dropped before its answer.
async fn given_up(served: &Served) {
    let mut client = weighed(served.address, "shop given up").await;
    let held = Lines {
        lines: [0, 0, shop::HELD]
            .map(|id| shop::Line {
                id,
                ..shop::Line::default()
            })
            .into(),
    };
    client.ready().await.unwrap();
    let codec = ProstCodec::<Lines, Lines>::default();
    let mut answers = client
        .server_streaming(Request::new(held), path("Download"), codec)
        .await
        .unwrap()
        .into_inner();
    for _ in 0..2 {
        answers.message().await.unwrap().unwrap();
    }
    drop(answers);
    let [caller, callee] = settled(served, "shop given up", 1).await;
    assert_eq!(passed(&caller), passed(&callee));
    assert_eq!(passed(&caller)[2], 2);
    assert_eq!(figure(&caller, column::ERRORS), 0);
}

/// The channel on a thread of its own: its cost is on the edge.
async fn driven(served: &Served) {
    let endpoint = Endpoint::from_shared(format!("http://{}", served.address)).unwrap();
    let at = endpoint.uri().clone();
    let channel = driver_thread(
        "shop driven",
        move || async move { endpoint.connect().await },
    )
    .await
    .unwrap();
    let mut client = Client::new(grpc::client(Channel::clone(&channel), "shop driven", &at));
    for _ in 0..100 {
        unary(&mut client, lines(20), "Unary").await.unwrap();
    }
    drop(client);
    channel.stop().await;
    let [caller, callee] = settled(served, "shop driven", 100).await;
    assert_eq!(passed(&caller), passed(&callee));
    if let Some([shares, spent]) = apportioned(&served.ledger, "shop driven") {
        assert!(shares > 0 && shares <= spent, "{shares} of {spent}");
    }
}

#[test]
fn both_sides_of_each_call_count_the_same() {
    let worked = Worked::default();
    let works = worked.clone();
    let app = |address| app(address, works);
    weigh_server(builder("shop"), app, |served| async move {
        calls(&served, &worked).await;
        shapes(&served).await;
        statuses(&served).await;
        given_up(&served).await;
        driven(&served).await;
    });
}
