//! tonic's client, weighed, over what breaks: what it says is what the bare channel says, and counts once.

#![allow(clippy::unwrap_used)]

#[path = "support/shop.rs"]
mod shop;
mod support;

use std::future::IntoFuture as _;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use shop::{HELD, Line, Lines, Shop, framed, lines, path};
use support::brokers::{Tap, messages};
use support::{Served, Worked, builder, failed, figure, passed, settled, weigh_server};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tonic::client::Grpc as Client;
use tonic::server::{Grpc, UnaryService};
use tonic::service::Routes;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};
use weighbridge_agent::Trust;
use weighbridge_agent::grpc::{self, ProstCodec};
use weighbridge_agent::wire::column;

/// How long a call waits for a peer that says nothing.
const DEADLINE: Duration = Duration::from_millis(200);

fn app(address: SocketAddr) -> axum::Router {
    let shop = Shop {
        address,
        go_on: Arc::new(Notify::new()),
        worked: Worked::default(),
    };
    let keys = |request: axum::extract::Request| async {
        let mut grpc = Grpc::new(ProstCodec::<Lines, Lines>::default());
        grpc.unary(Keys, request.map(tonic::body::Body::new)).await
    };
    Routes::new(shop)
        .into_axum_router()
        .route("/shop.Cart/Keys", axum::routing::post(keys))
        .layer(weighbridge_agent::layer())
}

/// Answers with the names of the metadata.
struct Keys;

impl UnaryService<Lines> for Keys {
    type Response = Lines;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Lines>, Status>> + Send>>;

    fn call(&mut self, request: Request<Lines>) -> Self::Future {
        let headers = request.metadata().clone().into_headers();
        let line = |name: &http::HeaderName| Line {
            id: 0,
            name: name.to_string(),
        };
        let lines = headers.keys().map(line).collect();
        Box::pin(async move { Ok(Response::new(Lines { lines })) })
    }
}

fn endpoint(address: SocketAddr) -> Endpoint {
    Endpoint::from_shared(format!("http://{address}")).unwrap()
}

type Weighed = Client<grpc::Client<Channel>>;

fn weighed(address: SocketAddr, peer: &str) -> Weighed {
    let endpoint = endpoint(address);
    Client::new(grpc::client(endpoint.connect_lazy(), peer, endpoint.uri()))
}

/// The same call by the bare channel and by the weighed one.
macro_rules! unary {
    ($client:expr, $method:expr, $request:expr) => {{
        match $client.ready().await {
            Err(error) => Err(Status::from_error(error.into())),
            Ok(()) => {
                let codec = ProstCodec::<Lines, Lines>::default();
                let answer = $client.unary($request, path($method), codec).await;
                answer.map(Response::into_inner)
            }
        }
    }};
}

fn said(status: &Status) -> (Code, &str) {
    (status.code(), status.message())
}

/// Calls over connections that break, made again until they are answered.
async fn cut(served: &Served) {
    let n = messages() / 10;
    let tap = Tap::on(served.address).await;
    let mut client = weighed(tap.address, "cut");
    let message = lines(3);
    let mut told = 0;
    for i in 0..n {
        if i % (n / 8) == n / 16 {
            tap.cut();
        }
        loop {
            let answer: Result<Lines, Status> =
                unary!(client, "Unary", Request::new(message.clone()));
            match answer {
                Ok(answer) => break assert_eq!(answer, message),
                Err(_) => told += 1,
            }
        }
    }
    let n = i64::try_from(n).unwrap();
    let [caller, callee] = settled(served, "cut", n).await;
    let [sent, sent_bytes, answers, answered_bytes] = passed(&caller);
    assert_eq!([answers, answered_bytes], [n, n * framed(&message)]);
    assert_eq!(figure(&caller, column::ERRORS), told);
    assert!((n..=n + told).contains(&sent), "{sent} {told}");
    assert_eq!(sent_bytes, sent * framed(&message));
    let [received, received_bytes, ..] = passed(&callee);
    assert!((n..=sent).contains(&received), "{received} {sent}");
    assert_eq!(received_bytes, received * framed(&message));
}

/// A peer that takes what it is sent and says nothing.
async fn half_open(served: &Served) {
    let request = || {
        let mut request = Request::new(lines(3));
        request.set_timeout(DEADLINE);
        request
    };
    let open = async || {
        let tap = Tap::on(served.address).await;
        tap.silence();
        tap
    };
    let tap = open().await;
    let mut bare = Client::new(endpoint(tap.address).connect_lazy());
    let theirs: Result<Lines, Status> = unary!(bare, "Unary", request());
    let tap = open().await;
    let mut client = weighed(tap.address, "half open");
    let ours: Result<Lines, Status> = unary!(client, "Unary", request());
    let (theirs, ours) = (theirs.unwrap_err(), ours.unwrap_err());
    assert_eq!(said(&ours), said(&theirs));
    // No status came: whatever tonic calls that, it is a failure of the transport.
    let caller = failed(served, "half open", 1).await;
    assert_eq!(figure(&caller, column::ERRORS), 1);
    let [sent, _, answers, _] = passed(&caller);
    assert!(sent <= 1, "{sent}");
    assert_eq!(answers, 0);
}

/// A stream whose connection breaks in its middle.
async fn cut_in_the_middle(served: &Served) {
    let held = || Lines {
        lines: [0, 0, HELD]
            .map(|id| Line {
                id,
                ..Line::default()
            })
            .into(),
    };
    macro_rules! broken {
        ($client:expr, $tap:expr) => {{
            $client.ready().await.unwrap();
            let codec = ProstCodec::<Lines, Lines>::default();
            let request = Request::new(held());
            let answer = $client.server_streaming(request, path("Download"), codec);
            let mut answers = answer.await.unwrap().into_inner();
            for _ in 0..2 {
                answers.message().await.unwrap().unwrap();
            }
            $tap.cut();
            answers.message().await.unwrap_err()
        }};
    }
    let tap = Tap::on(served.address).await;
    let mut bare = Client::new(endpoint(tap.address).connect_lazy());
    let theirs: Status = broken!(bare, tap);
    let mut client = weighed(tap.address, "in the middle");
    let ours: Status = broken!(client, tap);
    assert_eq!(said(&ours), said(&theirs));
    let caller = failed(served, "in the middle", 1).await;
    assert_eq!(figure(&caller, column::ERRORS), 1);
    assert_eq!(passed(&caller)[..3], [1, framed(&held()), 2]);
    let [_, callee] = settled(served, "in the middle", 1).await;
    assert_eq!(passed(&callee)[..2], [1, framed(&held())]);
}

/// Metadata that is more than the server takes.
async fn too_long(served: &Served) {
    let request = || {
        let mut request = Request::new(lines(3));
        let value = "x".repeat(1 << 15);
        request
            .metadata_mut()
            .insert("long", value.parse().unwrap());
        request
    };
    let mut bare = Client::new(endpoint(served.address).connect_lazy());
    let theirs: Result<Lines, Status> = unary!(bare, "Unary", request());
    let mut client = weighed(served.address, "too long");
    let ours: Result<Lines, Status> = unary!(client, "Unary", request());
    assert_eq!(said(&ours.unwrap_err()), said(&theirs.unwrap_err()));
    let caller = failed(served, "too long", 1).await;
    assert_eq!(figure(&caller, column::ERRORS), 1);
    // That it was refused is an answer too.
    let refused = passed(&caller)[2];
    // The channel lives on.
    let answer: Result<Lines, Status> = unary!(client, "Unary", Request::new(lines(3)));
    assert_eq!(answer.unwrap(), lines(3));
    let [caller, callee] = settled(served, "too long", 1).await;
    assert_eq!(figure(&caller, column::ERRORS), 1, "told once");
    assert_eq!(passed(&caller)[2], refused + 1);
    assert_eq!(passed(&callee)[2], 1);
}

/// Nothing of ours goes to whom we do not trust.
async fn trust(served: &Served) {
    let listener = TcpListener::bind(("127.0.0.2", 0)).await.unwrap();
    let far = listener.local_addr().unwrap();
    tokio::spawn(weighbridge_agent::serve(listener, app(far)).into_future());
    for (address, is_trusted) in [(served.address, true), (far, false)] {
        let mut client = weighed(address, "keys");
        let mut request = Request::new(lines(0));
        request.metadata_mut().insert("user", "7".parse().unwrap());
        let answer: Result<Lines, Status> = unary!(client, "Keys", request);
        let names: Vec<String> = answer.unwrap().lines.into_iter().map(|l| l.name).collect();
        let ours = names.iter().any(|name| name.starts_with("weighbridge"));
        assert_eq!(ours, is_trusted, "{address}: {names:?}");
        let chain = names.iter().any(|name| name == "baggage");
        assert_eq!(chain, is_trusted, "{address}: {names:?}");
        assert!(names.contains(&"user".to_owned()), "the user's stay");
    }
}

#[test]
fn what_breaks_is_told_as_without_us_and_counts_once() {
    let agent = builder("shop").trust(Trust::parse("127.0.0.1/32").unwrap());
    weigh_server(agent, app, |served| async move {
        cut(&served).await;
        half_open(&served).await;
        cut_in_the_middle(&served).await;
        too_long(&served).await;
        trust(&served).await;
    });
}
