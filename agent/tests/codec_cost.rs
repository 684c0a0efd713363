//! What edges say of encoding and decoding is what they cost: values that work for a known time while they are written
//! and read, by every way there is.

// Figures are shown with `--nocapture`.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

mod support;

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::LazyLock;
use std::time::Duration;

use axum::Router;
use axum::routing::post;
use bytes::Bytes;
use rumqttc::v5::MqttOptions;
use rumqttc::v5::mqttbytes::QoS;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use support::{PATIENCE, Served, Worked, builder, servers, settled, weigh_server};
use tonic::codec::{DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc, UnaryService};
use tonic::transport::Endpoint;
use tonic::{Request, Response, Status};
use weighbridge_agent::messages::Topic;
use weighbridge_agent::wire::{RowValue, column};
use weighbridge_agent::{
    Encoded, Json, Target, WeighedRequest as _, WeighedResponse as _, decode, encode, grpc,
    http_client, mqtt, nats, reqwest,
};

/// How long it takes to write or to read a value.
const WORK: Duration = Duration::from_millis(1);
const CALLS: i64 = 40;
/// Told beyond what was spent, in parts of it.
const BEYOND: i64 = 20;

/// What was spent writing, and reading.
static SPENT: LazyLock<[Worked; 2]> = LazyLock::new(Default::default);

#[derive(Clone, Default)]
struct Slow;

impl Serialize for Slow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        SPENT[0].burn(WORK);
        serializer.serialize_unit()
    }
}

impl<'de> Deserialize<'de> for Slow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        SPENT[1].burn(WORK);
        <()>::deserialize(deserializer).map(|()| Self)
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct Line {
    #[prost(uint64, tag = "1")]
    id: u64,
}

/// prost, but slow.
#[derive(Clone, Copy, Debug, Default)]
struct Around<C>(C);

type SlowProst = Around<tonic_prost::ProstCodec<Line, Line>>;

impl<C: tonic::codec::Codec> tonic::codec::Codec for Around<C> {
    type Encode = C::Encode;
    type Decode = C::Decode;
    type Encoder = Around<C::Encoder>;
    type Decoder = Around<C::Decoder>;

    fn encoder(&mut self) -> Self::Encoder {
        Around(self.0.encoder())
    }

    fn decoder(&mut self) -> Self::Decoder {
        Around(self.0.decoder())
    }
}

impl<E: Encoder<Error = Status>> Encoder for Around<E> {
    type Item = E::Item;
    type Error = Status;

    fn encode(&mut self, item: E::Item, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        SPENT[0].burn(WORK);
        self.0.encode(item, buf)
    }
}

impl<D: Decoder<Error = Status>> Decoder for Around<D> {
    type Item = D::Item;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<D::Item>, Status> {
        SPENT[1].burn(WORK);
        self.0.decode(buf)
    }
}

struct Echo;

impl UnaryService<Line> for Echo {
    type Response = Line;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Line>, Status>> + Send>>;

    fn call(&mut self, request: Request<Line>) -> Self::Future {
        Box::pin(async move { Ok(Response::new(request.into_inner())) })
    }
}

fn app() -> Router {
    let by_hand = |body: Bytes| async move {
        let _: Slow = decode(|| serde_json::from_slice(&body)).unwrap();
        encode(|| serde_json::to_vec(&Slow)).unwrap()
    };
    let unary = |request: axum::extract::Request| async {
        let mut grpc = Grpc::new(grpc::Codec::new(SlowProst::default()));
        grpc.unary(Echo, request.map(tonic::body::Body::new)).await
    };
    Router::new()
        .route("/json", post(|Json(slow): Json<Slow>| async { Json(slow) }))
        .route("/by-hand", post(by_hand))
        .route("/shop.Cart/Unary", post(unary))
        .layer(weighbridge_agent::layer())
}

/// Runs calls to a peer, each with so many messages written and read on both sides together, and compares.
async fn told(served: &Served, peer: &str, written: [i64; 2], calls: impl Future<Output = ()>) {
    let so_far = || [0, 1].map(|n| SPENT[n].so_far());
    let before = so_far();
    calls.await;
    let sides = settled(served, peer, CALLS).await;
    let after = so_far();
    for (n, column) in [column::CPU_ENCODE_NS, column::CPU_DECODE_NS]
        .into_iter()
        .enumerate()
    {
        let [pieces, spent] = [0, 1].map(|of| after[n][of] - before[n][of]);
        assert_eq!(pieces, CALLS * written[n], "{peer}: pieces of {n}");
        let of = |side: &RowValue| side.get(column).unwrap_or(0);
        let told: i64 = sides.iter().map(of).sum();
        println!("{peer} {n}: {told} ns told of {spent}");
        // The two clocks are not read at one instant.
        assert!(
            told >= spent - spent / 1_000,
            "{peer} {n}: {told} of {spent}"
        );
        assert!(
            told <= spent + spent / BEYOND,
            "{peer} {n}: {told} of {spent}"
        );
    }
}

async fn http(served: &Served) {
    let base = format!("http://{}", served.address);
    let own = http_client::Client::new("own", &base).unwrap();
    told(served, "own", [2, 2], async {
        for _ in 0..CALLS {
            let answer = own.post("/json").json(&Slow).send().await.unwrap();
            let _: Slow = answer.json().await.unwrap();
        }
    })
    .await;
    let plain = ::reqwest::Client::builder().no_proxy().build().unwrap();
    let by_reqwest = reqwest("by reqwest", plain.clone());
    told(served, "by reqwest", [2, 2], async {
        for _ in 0..CALLS {
            let request = by_reqwest.post(format!("{base}/json"));
            let request = request.with_extension(Target("/json")).weighed_json(&Slow);
            let answer = request.send().await.unwrap();
            let _: Slow = answer.weighed_json().await.unwrap();
        }
    })
    .await;
    // Nothing is written or read but by the handler.
    let bare = reqwest("by hand", plain);
    told(served, "by hand", [1, 1], async {
        for _ in 0..CALLS {
            let request = bare.post(format!("{base}/by-hand")).body("null");
            let request = request.with_extension(Target("/by-hand"));
            request.send().await.unwrap().bytes().await.unwrap();
        }
    })
    .await;
}

async fn grpc(served: &Served) {
    let endpoint = Endpoint::from_shared(format!("http://{}", served.address)).unwrap();
    let channel = endpoint.connect().await.unwrap();
    let channel = grpc::client(channel, "grpc", endpoint.uri());
    let mut client = tonic::client::Grpc::new(channel);
    told(served, "grpc", [2, 2], async {
        for id in 0..CALLS.unsigned_abs() {
            client.ready().await.unwrap();
            let codec = grpc::Codec::new(SlowProst::default());
            let path = "/shop.Cart/Unary".parse().unwrap();
            let answer = client.unary(Request::new(Line { id }), path, codec).await;
            assert_eq!(answer.unwrap().into_inner().id, id);
        }
    })
    .await;
}

async fn by_nats(served: &Served) {
    let Some(server) = servers::nats() else {
        return;
    };
    let address = server.address().to_string();
    let client = nats::connect("by nats", address).await.unwrap();
    let slow = client.subscribe("slow").await.unwrap();
    client.inner().flush().await.unwrap();
    tokio::spawn(slow.consume(|message| async move {
        let _: Slow = decode(|| serde_json::from_slice(&message.payload)).unwrap();
    }));
    told(served, "by nats", [1, 1], async {
        for _ in 0..CALLS {
            let (payload, encoded) = Encoded::run(|| serde_json::to_vec(&Slow));
            let topic = Topic::from("slow").encoded(encoded);
            client
                .publish(topic, payload.unwrap().into())
                .await
                .unwrap();
        }
        served.ended("CONSUME slow", CALLS).await;
    })
    .await;
}

async fn by_mqtt(served: &Served) {
    let Some(server) = servers::mosquitto() else {
        return;
    };
    let options = MqttOptions::new("slow", "127.0.0.1", server.port);
    let (client, consumer) = mqtt::connect("by mqtt", options, 8);
    client.subscribe("slower", QoS::AtLeastOnce).unwrap();
    tokio::spawn(consumer.run(|message| async move {
        let _: Slow = message.json().unwrap();
    }));
    client.ready(PATIENCE).await.unwrap();
    told(served, "by mqtt", [1, 1], async {
        for _ in 0..CALLS {
            client.publish_json("slower", &Slow).await.unwrap();
        }
        served.ended("CONSUME slower", CALLS).await;
    })
    .await;
}

#[test]
fn encoding_and_decoding_are_told_as_they_cost() {
    let app = |_: SocketAddr| app();
    weigh_server(builder("codecs"), app, |served| async move {
        http(&served).await;
        grpc(&served).await;
        by_nats(&served).await;
        by_mqtt(&served).await;
    });
}
