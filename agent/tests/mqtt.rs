//! MQTT 5, against the real Mosquitto.

#![cfg(feature = "rumqttc-0_25")]
#![allow(clippy::unwrap_used)]

#[path = "../examples/mqtt.rs"]
#[allow(dead_code, unreachable_pub)]
mod example;
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rumqttc::v5::MqttOptions;
use rumqttc::v5::mqttbytes::QoS;
use rustix::process::Signal;
use support::brokers::{
    Heard, Tap, Weighed, assert_not_told, body_bytes, both_ends, both_sides, edge, edge_to,
    messages, weigh,
};
use support::servers;
use support::{PATIENCE, Worked, assert_shared_out, figure};
use tokio::time::timeout;
use weighbridge_agent::job;
use weighbridge_agent::messages::Topic;
use weighbridge_agent::mqtt::{self, Client, Consumer, Message, MqttError};
use weighbridge_agent::wire::{RowKind, column, side};

/// What a handler works.
const WORK: Duration = Duration::from_micros(200);
/// What a bill may hold besides, for each message.
const BESIDES: Duration = Duration::from_micros(100);

/// A client of this name, whose session outlives its connections.
fn connect(peer: &str, id: &str, port: u16) -> (Client, Consumer) {
    let mut options = MqttOptions::new(id, "127.0.0.1", port);
    options.set_clean_start(false);
    let mut properties = rumqttc::v5::mqttbytes::v5::ConnectProperties::new();
    properties.session_expiry_interval = Some(3_600);
    options.set_connect_properties(properties);
    mqtt::connect(peer, options, 100)
}

/// A client that only publishes.
async fn publisher(peer: &str, port: u16) -> Client {
    let (client, consumer) = connect(peer, &format!("{peer} publisher"), port);
    tokio::spawn(consumer.run(|_| async {}));
    client.ready(PATIENCE).await.unwrap();
    client
}

/// A client that consumes by this handler.
async fn consumer<F>(
    peer: &str,
    port: u16,
    filter: &str,
    handler: impl Fn(Message) -> F + Send + Sync + 'static,
) -> Client
where
    F: Future<Output = ()> + Send + 'static,
{
    let (client, consumer) = connect(peer, &format!("{peer} consumer"), port);
    client.subscribe(filter, QoS::AtLeastOnce).unwrap();
    tokio::spawn(consumer.run(handler));
    client.ready(PATIENCE).await.unwrap();
    client
}

#[test]
fn what_is_sent_is_received_to_the_message_and_byte() {
    let Some(server) = servers::mosquitto() else {
        return;
    };
    let n = messages();
    let worked = Worked::default();
    let works = worked.clone();
    let ledger = weigh("mqtt-both", move |weighed| async move {
        let _consumer = consumer("broker", server.port, "orders/+", move |_| {
            let works = works.clone();
            async move { works.burn(WORK) }
        })
        .await;
        let tap = Tap::on(server.address()).await;
        let client = publisher("broker", tap.address.port()).await;
        let before = tap.sent_bytes();
        job("publishes", async {
            for i in 0..n {
                let payload = Bytes::from(vec![b'x'; body_bytes(i)]);
                let topic = match i % 2 {
                    0 => Topic::from("orders/created"),
                    _ => Topic::of("orders/{customer}", format!("orders/{i}")),
                };
                let sent = client.publish(topic, QoS::AtLeastOnce, payload);
                sent.await.unwrap();
            }
        })
        .await;
        let consumed = weighed.ended("CONSUME orders/+", n).await;
        assert_eq!(figure(&consumed, column::ERRORS), 0);
        let sent = edge(&weighed.ledger, side::CALLER, "broker");
        let wire_bytes = u64::try_from(figure(&sent, column::REQUEST_WIRE_BYTES)).unwrap();
        // What is sent besides are pings of two bytes, once a minute.
        let besides = tap.sent_bytes() - before - wire_bytes;
        assert!(besides % 2 == 0 && besides <= 20, "{besides} bytes more");
    });
    let [published, consumed] = both_ends(&ledger, "broker");
    let bytes: usize = (0..n).map(body_bytes).sum();
    assert_eq!(published, [n, bytes].map(|n| i64::try_from(n).unwrap()));
    assert_eq!(published, consumed);
    let created = edge_to(&ledger, side::CALLER, "broker", "orders/created");
    assert_eq!(
        figure(&created, column::REQUEST_MESSAGES) as usize,
        n.div_ceil(2)
    );
    let received = edge(&ledger, side::CALLEE, "broker");
    assert_eq!(figure(&received, column::REDELIVERED), 0);
    assert!(figure(&received, column::WAIT_NS) > 0, "the lag is known");
    // The consumers' bills hold the work, and all of it was caused by the job.
    worked.assert_caused(&ledger, "CONSUME orders/+", "JOB publishes", BESIDES);
    let driver = ledger.select(RowKind::Owner, &[(0, "driver"), (1, "mqtt broker")]);
    let on_edges = assert_shared_out(&ledger, "mqtt broker", "broker");
    assert!(
        on_edges > 0,
        "the event loop has an owner, and it is on the edges"
    );
    assert!(driver.cpu_ns() >= on_edges);
}

#[test]
fn what_comes_again_after_a_cut_is_counted_apart() {
    let Some(server) = servers::mosquitto() else {
        return;
    };
    let n = messages();
    let worked = Worked::default();
    let works = worked.clone();
    let ledger = weigh("mqtt-cut", move |weighed| async move {
        let handled = Arc::new(AtomicUsize::new(0));
        let counted = handled.clone();
        let works = works.clone();
        let tap = Tap::on(server.address()).await;
        let consumer = consumer("cut", tap.address.port(), "sold", move |message| {
            let (counted, works) = (counted.clone(), works.clone());
            async move {
                works.burn(WORK);
                if !message.redelivered {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            }
        })
        .await;
        let client = publisher("cut", server.port).await;
        job("sells", async {
            for i in 0..n {
                let payload = Bytes::from(vec![b'x'; body_bytes(i)]);
                let sent = client.publish("sold", QoS::AtLeastOnce, payload);
                sent.await.unwrap();
                if i % (n / 8) == n / 16 {
                    tap.cut();
                }
                // No faster than it is consumed, but for what fits a connection.
                while i > handled.load(Ordering::Relaxed) + 50 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        })
        .await;
        let all = async {
            while handled.load(Ordering::Relaxed) < n {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, all).await.unwrap();
        consumer.ready(PATIENCE).await.unwrap();
        assert!(weighed.agent.flush(PATIENCE));
        assert_eq!(handled.load(Ordering::Relaxed), n, "each came first once");
    });
    let [published, consumed] = both_ends(&ledger, "cut");
    let bytes: usize = (0..n).map(body_bytes).sum();
    assert_eq!(published, [n, bytes].map(|n| i64::try_from(n).unwrap()));
    assert_eq!(published, consumed);
    let again = figure(&edge(&ledger, side::CALLEE, "cut"), column::REDELIVERED);
    assert!(again > 0, "something came again");
    // What came again was worked on again, and billed again.
    assert_eq!(worked.so_far()[0], published[0] + again);
    worked.assert_caused(&ledger, "CONSUME sold", "JOB sells", BESIDES);
}

#[test]
fn one_publish_is_consumed_by_each_subscriber() {
    let Some(server) = servers::mosquitto() else {
        return;
    };
    let ledger = weigh("mqtt-fan-out", move |weighed| async move {
        let mut clients = Vec::new();
        for n in 0..3 {
            let (client, consumer) = connect("fan", &format!("fan {n}"), server.port);
            client.subscribe("news", QoS::AtLeastOnce).unwrap();
            tokio::spawn(consumer.run(|_| async {}));
            client.ready(PATIENCE).await.unwrap();
            clients.push(client);
        }
        for _ in 0..10 {
            let news = Bytes::from_static(b"12345");
            let sent = clients[0].publish("news", QoS::AtLeastOnce, news);
            sent.await.unwrap();
        }
        weighed.ended("CONSUME news", 30).await;
    });
    let [published, consumed] = both_ends(&ledger, "fan");
    assert_eq!(published, [10, 50]);
    assert_eq!(consumed, [30, 150]);
}

#[test]
fn a_server_that_dies_or_is_silent_is_told_to_who_publishes_and_counted_once() {
    let Some(server) = servers::mosquitto() else {
        return;
    };
    let ledger = weigh("mqtt-mortal", move |weighed| async move {
        let consumer = consumer("mortal", server.port, "life", |_| async {}).await;
        let client = publisher("mortal", server.port).await;
        let publish = |payload: &'static [u8]| {
            client.publish("life", QoS::AtLeastOnce, Bytes::from_static(payload))
        };
        publish(b"1").await.unwrap();
        weighed.ended("CONSUME life", 1).await;
        // Half open: it takes what is sent and says nothing, until it is killed.
        server.signal(Signal::STOP);
        let silent = async { publish(b"22").await.unwrap_err() };
        let killed = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            server.kill();
        };
        let (error, ()) = tokio::join!(silent, killed);
        assert!(matches!(error, MqttError::Broken { .. }), "{error:?}");
        let error = publish(b"333").await.unwrap_err();
        assert!(matches!(error, MqttError::NotConnected { .. }), "{error:?}");
        let server = tokio::task::spawn_blocking(move || {
            server.restart();
            server
        });
        let _server = server.await.unwrap();
        // The clients come back by themselves, and subscribe again.
        client.ready(PATIENCE).await.unwrap();
        consumer.ready(PATIENCE).await.unwrap();
        publish(b"4444").await.unwrap();
        weighed.ended("CONSUME life", 2).await;
    });
    let sent = edge(&ledger, side::CALLER, "mortal");
    let counts = [
        column::REQUEST_MESSAGES,
        column::REQUEST_BODY_BYTES,
        column::ERRORS,
    ];
    assert_eq!(counts.map(|column| figure(&sent, column)), [2, 5, 2]);
    let [published, consumed] = both_ends(&ledger, "mortal");
    assert_eq!(published, consumed);
}

#[test]
fn a_message_that_fits_without_our_properties_goes_without_them() {
    const PACKET_BYTES_MAX: usize = 2_000;
    let Some(server) = servers::mosquitto_with("max_packet_size 2000") else {
        return;
    };
    let ledger = weigh("mqtt-narrow", move |weighed| async move {
        let _consumer = consumer("narrow", server.port, "sizes", |_| async {}).await;
        let client = publisher("narrow", server.port).await;
        let publish = |bytes: usize| {
            client.publish("sizes", QoS::AtLeastOnce, Bytes::from(vec![b'x'; bytes]))
        };
        // Fixed header, topic, packet id, length of the properties.
        let largest = PACKET_BYTES_MAX - 3 - 7 - 2 - 1;
        let (small, fits, too_large) =
            tokio::join!(publish(10), publish(largest), publish(largest + 1));
        small.unwrap();
        fits.unwrap();
        let error = too_large.unwrap_err();
        assert!(
            matches!(
                error,
                MqttError::TooLarge {
                    bytes: 2_001,
                    bytes_max: 2_000,
                    ..
                }
            ),
            "{error:?}"
        );
        weighed.ended("CONSUME sizes", 2).await;
    });
    let [published, consumed] = both_sides(&ledger, "narrow");
    assert_eq!(published, [2, 1_997]);
    assert_eq!(published, consumed);
    let sent = edge(&ledger, side::CALLER, "narrow");
    assert_eq!(figure(&sent, column::ERRORS), 1);
    let lost = ledger.select(RowKind::Loss, &[(0, "agent.mqtt.headers")]);
    assert_eq!(figure(&lost, column::LOST), 1);
}

#[test]
fn what_users_send_is_in_no_label_and_no_log() {
    let Some(server) = servers::mosquitto() else {
        return;
    };
    const SECRET: &str = "s3cr3t";
    let heard = Heard::everything_of_ours();
    let ledger = weigh("mqtt-secrets", move |weighed: Arc<Weighed>| async move {
        let _consumer = consumer("vault", server.port, "vault/#", |message| async move {
            assert!(message.topic.contains(SECRET));
            assert!(message.payload.is_empty(), "{SECRET}");
        })
        .await;
        let client = publisher("vault", server.port).await;
        for payload in ["", SECRET] {
            let topic = Topic::of("vault/{user}", format!("vault/{SECRET}"));
            let sent = client.publish(topic, QoS::AtLeastOnce, payload.into());
            sent.await.unwrap();
        }
        let bad = Topic::of("vault/{bad}", format!("vault/{SECRET}/#"));
        let error = client.publish(bad, QoS::AtLeastOnce, Bytes::new()).await;
        assert!(!error.unwrap_err().to_string().contains(SECRET));
        let row = weighed.ended("CONSUME vault/#", 2).await;
        assert_eq!(figure(&row, column::ERRORS), 1);
    });
    assert_not_told(&ledger.rows(), SECRET);
    heard.assert_not_told(SECRET);
}

#[test]
fn the_example_runs() {
    let Some(server) = servers::mosquitto() else {
        return;
    };
    let ledger = weigh("mqtt-example", move |weighed| async move {
        example::run("127.0.0.1", server.port).await.unwrap();
        weighed.ended("CONSUME orders/+", 100).await;
    });
    let row = ledger.operation("CONSUME orders/+", "");
    assert_eq!(figure(&row, column::ERRORS), 0);
}
