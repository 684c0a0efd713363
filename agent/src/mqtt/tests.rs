//! Both halves against a small broker made of rumqttc's own packets, which can be told to misbehave.

mod broker;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rumqttc::v5::MqttOptions;
use rumqttc::v5::mqttbytes::QoS;
use tokio::sync::mpsc;

use super::*;
use crate::ledger::{EdgeFigures, EdgeId};
use crate::messages::observed::seen;
use broker::{Broker, Mood};

const PATIENCE: Duration = Duration::from_secs(10);

/// A client, and the messages that its handler got.
fn start(peer: &str, broker: &Broker) -> (Client, mpsc::Receiver<Message>) {
    let mut options = MqttOptions::new(peer, "127.0.0.1", broker.port());
    options.set_clean_start(false);
    let (client, consumer) = connect(peer, options, 8);
    let (sender, messages) = mpsc::channel(1_000);
    tokio::spawn(consumer.run(move |message| {
        let sender = sender.clone();
        async move {
            assert!(message.payload != "panic", "as the test wants");
            sender.send(message).await.unwrap();
        }
    }));
    (client, messages)
}

async fn next(messages: &mut mpsc::Receiver<Message>) -> Message {
    tokio::time::timeout(PATIENCE, messages.recv())
        .await
        .expect("a message")
        .expect("a consumer")
}

#[tokio::test]
async fn what_is_published_is_consumed_and_both_ends_count_the_same() {
    let broker = Broker::start().await;
    let (client, mut messages) = start("m-both", &broker);
    client
        .subscribe("product.changed", QoS::AtLeastOnce)
        .unwrap();
    client.ready(PATIENCE).await.unwrap();
    client
        .publish_json("product.changed", "anvil")
        .await
        .unwrap();
    client
        .publish(
            "product.changed",
            QoS::AtMostOnce,
            Bytes::from_static(b"\"x\""),
        )
        .await
        .unwrap();
    assert_eq!(next(&mut messages).await.json::<String>().unwrap(), "anvil");
    assert_eq!(next(&mut messages).await.payload, "\"x\"");
    let (sent, received) = (seen("m-both", "caller"), seen("m-both", "callee"));
    let sizes = |calls: &[(EdgeId, EdgeFigures)]| -> Vec<_> {
        calls
            .iter()
            .map(|(_, f)| {
                (
                    f.request_messages,
                    f.request_body_bytes,
                    f.request_wire_bytes,
                )
            })
            .collect()
    };
    let (expected, found) = (sizes(&sent), sizes(&received));
    assert_eq!(
        expected.iter().map(|s| (s.0, s.1)).collect::<Vec<_>>(),
        [(1, 7), (1, 3)]
    );
    assert_eq!(expected, found, "properties are wire bytes at both ends");
    assert!(
        expected[0].2.unwrap() > 100,
        "the chain went along: {expected:?}"
    );
    for ((caller, figures), (callee, consumed)) in sent.iter().zip(&received) {
        assert_eq!(caller.call_id, callee.call_id);
        assert_eq!((caller.mode, callee.mode), ("async", "async"));
        assert_eq!(
            (&*caller.target, &*callee.target),
            ("product.changed", "product.changed")
        );
        assert_eq!((figures.errors, consumed.redelivered), (0, 0));
        assert!(consumed.wait_ns.is_some(), "the lag is known");
        assert_eq!(figures.protocol_ns, None, "unknown is never zero");
    }
    assert!(sent[0].1.encode_ns.is_some() && sent[1].1.encode_ns.is_none());
}

#[tokio::test]
async fn messages_are_booked_under_their_filter() {
    let broker = Broker::start().await;
    let (client, mut messages) = start("m-filter", &broker);
    client
        .subscribe("orders/+/created", QoS::AtLeastOnce)
        .unwrap();
    client.ready(PATIENCE).await.unwrap();
    client
        .publish("orders/4711/created", QoS::AtLeastOnce, Bytes::new())
        .await
        .unwrap();
    assert_eq!(next(&mut messages).await.topic, "orders/4711/created");
    assert_eq!(&*seen("m-filter", "callee")[0].0.target, "orders/+/created");
}

#[tokio::test]
async fn messages_come_in_order_one_after_the_other() {
    let broker = Broker::start().await;
    let (client, mut messages) = start("m-order", &broker);
    client.subscribe("t", QoS::AtLeastOnce).unwrap();
    client.ready(PATIENCE).await.unwrap();
    let publish = |n: u8| client.publish("t", QoS::AtLeastOnce, Bytes::from(vec![n]));
    for n in 0..100 {
        publish(n).await.unwrap();
    }
    for n in 0..100 {
        assert_eq!(next(&mut messages).await.payload, [n][..]);
    }
    assert_eq!(seen("m-order", "caller").len(), 100);
    broker.until_all_acknowledged(PATIENCE).await;
}

#[tokio::test]
async fn many_publishers_are_each_told_their_own_outcome() {
    let broker = Broker::start().await;
    let (client, mut messages) = start("m-many", &broker);
    client.subscribe("t", QoS::AtLeastOnce).unwrap();
    client.ready(PATIENCE).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..200_u8 {
        let client = client.clone();
        let qos = if n % 3 == 0 {
            QoS::AtMostOnce
        } else {
            QoS::AtLeastOnce
        };
        tasks.spawn(async move { client.publish("t", qos, Bytes::from(vec![n])).await });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap().unwrap();
    }
    let mut got = Vec::new();
    for _ in 0..200 {
        got.push(next(&mut messages).await.payload[0]);
    }
    got.sort_unstable();
    assert_eq!(got, (0..200).collect::<Vec<u8>>());
    let published: u64 = seen("m-many", "caller")
        .iter()
        .map(|(_, f)| f.request_messages)
        .sum();
    assert_eq!(published, 200);
}

#[tokio::test(start_paused = true)]
async fn without_a_broker_the_publisher_is_told() {
    let options = MqttOptions::new("m-gone", "127.0.0.1", 1);
    let (client, consumer) = connect("m-gone", options, 8);
    let consumer = tokio::spawn(consumer.run(|_| async {}));
    let error = client
        .publish("t", QoS::AtLeastOnce, Bytes::new())
        .await
        .unwrap_err();
    assert!(matches!(error, MqttError::NotConnected { .. }), "{error:?}");
    let (_, figures) = seen("m-gone", "caller").remove(0);
    assert_eq!((figures.request_messages, figures.errors), (0, 1));
    consumer.abort();
}

#[tokio::test]
async fn what_was_under_way_when_the_connection_broke_is_told_and_not_sent_again() {
    let broker = Broker::start().await;
    let (client, mut messages) = start("m-cut", &broker);
    client.subscribe("t", QoS::AtLeastOnce).unwrap();
    client.ready(PATIENCE).await.unwrap();
    broker.set(Mood::HangUpOnPublish);
    let error = client
        .publish("t", QoS::AtLeastOnce, Bytes::from_static(b"lost"))
        .await
        .unwrap_err();
    assert!(matches!(error, MqttError::Broken { .. }), "{error:?}");
    broker.set(Mood::Well);
    client.ready(PATIENCE).await.unwrap();
    client
        .publish("t", QoS::AtLeastOnce, Bytes::from_static(b"kept"))
        .await
        .unwrap();
    assert_eq!(
        next(&mut messages).await.payload,
        "kept",
        "subscribed again after the reconnect"
    );
    let calls = seen("m-cut", "caller");
    let counts: Vec<_> = calls
        .iter()
        .map(|(_, f)| (f.request_messages, f.errors))
        .collect();
    assert_eq!(counts, [(0, 1), (1, 0)]);
}

#[tokio::test]
async fn an_unacknowledged_message_comes_again_and_is_marked() {
    let broker = Broker::start().await;
    let (client, mut messages) = start("m-again", &broker);
    client.subscribe("t", QoS::AtLeastOnce).unwrap();
    client.ready(PATIENCE).await.unwrap();
    broker.set(Mood::HangUpAfterDelivery);
    let _ = client
        .publish("t", QoS::AtLeastOnce, Bytes::from_static(b"twice"))
        .await;
    assert!(!next(&mut messages).await.redelivered);
    broker.set(Mood::Well);
    let again = next(&mut messages).await;
    assert!(again.redelivered && again.payload == "twice");
    let received = seen("m-again", "callee");
    let consumed: u64 = received.iter().map(|(_, f)| f.request_messages).sum();
    let redelivered: u64 = received.iter().map(|(_, f)| f.redelivered).sum();
    assert_eq!(consumed - redelivered, 1);
    broker.until_all_acknowledged(PATIENCE).await;
}

#[tokio::test]
async fn a_handler_that_panics_stops_nobody() {
    let broker = Broker::start().await;
    let (client, mut messages) = start("m-panic", &broker);
    client.subscribe("t", QoS::AtLeastOnce).unwrap();
    client.ready(PATIENCE).await.unwrap();
    client
        .publish("t", QoS::AtLeastOnce, Bytes::from_static(b"panic"))
        .await
        .unwrap();
    client
        .publish("t", QoS::AtLeastOnce, Bytes::from_static(b"fine"))
        .await
        .unwrap();
    assert_eq!(next(&mut messages).await.payload, "fine");
    broker.until_all_acknowledged(PATIENCE).await;
}

#[tokio::test]
async fn refusals_reach_the_publisher() {
    let broker = Broker::start().await;
    let (client, _messages) = start("m-refuse", &broker);
    client.ready(PATIENCE).await.unwrap();
    broker.set(Mood::Refuse);
    let error = client
        .publish("t", QoS::AtLeastOnce, Bytes::new())
        .await
        .unwrap_err();
    assert!(matches!(error, MqttError::Refused { .. }), "{error:?}");
    let bad = client.publish("a/#", QoS::AtLeastOnce, Bytes::new()).await;
    assert!(matches!(bad, Err(MqttError::Topic { .. })));
    assert!(matches!(
        client.subscribe("a/#/b", QoS::AtLeastOnce),
        Err(MqttError::Topic { .. })
    ));
}

#[tokio::test]
async fn a_hostile_broker_only_costs_time() {
    let broker = Broker::start().await;
    let (client, mut messages) = start("m-hostile", &broker);
    client.subscribe("t", QoS::AtLeastOnce).unwrap();
    client.ready(PATIENCE).await.unwrap();
    for mood in [Mood::Garbage, Mood::UnknownAck, Mood::HugePacket] {
        broker.set(mood);
        assert!(
            client
                .publish("t", QoS::AtLeastOnce, Bytes::new())
                .await
                .is_err(),
            "{mood:?}"
        );
        broker.set(Mood::Well);
        client.ready(PATIENCE).await.unwrap();
    }
    client
        .publish("t", QoS::AtLeastOnce, Bytes::from_static(b"on"))
        .await
        .unwrap();
    assert_eq!(next(&mut messages).await.payload, "on");
}

#[tokio::test]
async fn disconnecting_ends_the_consumer() {
    let broker = Broker::start().await;
    let options = MqttOptions::new("m-end", "127.0.0.1", broker.port());
    let (client, consumer) = connect("m-end", options, 8);
    let running = tokio::spawn(consumer.run(|_| async {}));
    client.ready(PATIENCE).await.unwrap();
    client.disconnect().await.unwrap();
    tokio::time::timeout(PATIENCE, running)
        .await
        .expect("the consumer ends")
        .unwrap();
}

#[tokio::test]
async fn publishers_are_told_when_the_consumer_is_dropped() {
    let broker = Broker::start().await;
    let options = MqttOptions::new("m-dropped", "127.0.0.1", broker.port());
    let (client, consumer) = connect("m-dropped", options, 8);
    let running = tokio::spawn(consumer.run(|_| async {}));
    client.ready(PATIENCE).await.unwrap();
    running.abort();
    let mut status = client.link_for_tests().status();
    let gone = status.wait_for(|status| !status.connected);
    tokio::time::timeout(PATIENCE, gone)
        .await
        .expect("the link knows that nobody drives it")
        .unwrap();
    let payload = Bytes::from_static(b"x");
    let error = client.publish("t", QoS::AtLeastOnce, payload).await;
    assert!(
        matches!(error, Err(MqttError::NotConnected { .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn the_chain_is_only_told_to_a_broker_that_is_trusted() {
    let broker = Broker::start().await;
    let (client, _messages) = start("m-trust", &broker);
    client.ready(PATIENCE).await.unwrap();
    let link = client.link_for_tests();
    assert!(link.peer.is_trusted(), "loopback");
    let addresses = ["127.0.0.1", "203.0.113.9"].map(|address| address.parse().unwrap());
    link.connected(addresses.to_vec(), None);
    assert!(
        !link.peer.is_trusted(),
        "one address that is not trusted is enough"
    );
    assert_eq!(link.peer.address(), "203.0.113.9".parse().ok());
    let arc: Arc<_> = link;
    arc.connected(Vec::new(), None);
    assert!(!arc.peer.is_trusted(), "unknown is not trusted");
}
