//! NATS, against the real server.

#![cfg(feature = "async-nats-0_51")]
#![allow(clippy::unwrap_used)]

#[path = "../examples/nats.rs"]
#[allow(dead_code, unreachable_pub)]
mod example;
#[path = "nats/stream.rs"]
mod streams;
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_nats::client::PublishErrorKind;
use async_nats::{HeaderMap, Request, RequestErrorKind};
use bytes::Bytes;
use futures_util::StreamExt as _;
use support::brokers::{
    Heard, Tap, Weighed, assert_not_told, body_bytes, both_ends, edge, edge_to, messages, weigh,
    weigh_by,
};
use support::servers::{self, Server};
use support::{PATIENCE, Worked, assert_shared_out, builder, figure};
use tokio::time::timeout;
use weighbridge_agent::messages::Topic;
use weighbridge_agent::nats::{self, Client};
use weighbridge_agent::wire::{Class, OperationKey, RowKind, column, side};
use weighbridge_agent::{Encoded, Trust, driver_thread, job};

/// What a handler works.
const WORK: Duration = Duration::from_micros(200);
/// What a bill may hold besides, for each message.
const BESIDES: Duration = Duration::from_micros(100);

async fn connect(server: &Server, peer: &str) -> Client {
    nats::connect(peer, server.address().to_string())
        .await
        .unwrap()
}

/// Makes sure that the server knows all subscriptions so far.
async fn flushed(client: &Client) {
    client.inner().flush().await.unwrap();
}

#[test]
fn what_is_sent_is_received_to_the_message_and_byte() {
    let Some(server) = servers::nats() else {
        return;
    };
    let n = messages();
    let worked = Worked::default();
    let works = worked.clone();
    let ledger = weigh("nats-both", move |weighed| async move {
        let consumer = connect(&server, "broker").await;
        let subscriber = consumer.subscribe("orders.*").await.unwrap().at_once(4);
        flushed(&consumer).await;
        let handled = Arc::new(AtomicUsize::new(0));
        let counted = handled.clone();
        tokio::spawn(subscriber.consume(move |_| {
            let (counted, works) = (counted.clone(), works.clone());
            async move {
                works.burn(WORK);
                counted.fetch_add(1, Ordering::Relaxed);
            }
        }));
        let tap = Tap::on(server.address()).await;
        let client = nats::connect("broker", tap.address.to_string()).await;
        let client = client.unwrap();
        flushed(&client).await;
        let before = tap.sent_bytes();
        job("publishes", async {
            for i in 0..n {
                // NATS drops what a subscriber has no room for.
                while i > handled.load(Ordering::Relaxed) + 10_000 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                let encode = || Bytes::from(vec![b'x'; body_bytes(i)]);
                let (payload, encoded) = Encoded::run(encode);
                if i % 2 == 0 {
                    let topic = Topic::from("orders.created").encoded(encoded);
                    client.publish(topic, payload).await.unwrap();
                } else {
                    let topic = Topic::of("orders.{customer}", format!("orders.{i}"));
                    client.publish(topic, payload).await.unwrap();
                }
            }
        })
        .await;
        flushed(&client).await;
        let consumed = weighed.ended("CONSUME orders.*", n).await;
        assert_eq!(figure(&consumed, column::ERRORS), 0);
        let sent = edge(&weighed.ledger, side::CALLER, "broker");
        let wire_bytes = u64::try_from(figure(&sent, column::REQUEST_WIRE_BYTES)).unwrap();
        // What is sent besides are PINGs and PONGs of six bytes; two are the flushes'.
        let besides = tap.sent_bytes() - before - wire_bytes;
        assert!(besides % 6 == 0 && besides <= 60, "{besides} bytes more");
    });
    let [published, consumed] = both_ends(&ledger, "broker");
    let bytes: usize = (0..n).map(body_bytes).sum();
    assert_eq!(published, [n, bytes].map(|n| i64::try_from(n).unwrap()));
    assert_eq!(published, consumed);
    let created = edge_to(&ledger, side::CALLER, "broker", "orders.created");
    assert_eq!(
        figure(&created, column::REQUEST_MESSAGES) as usize,
        n.div_ceil(2)
    );
    // All of the job's encoding was of those whose topic tells it, and half of it: the others' is the job's alone.
    let encode_ns = ledger
        .operation("JOB publishes", "")
        .class_cpu_ns(Class::Encode);
    let on_edge = figure(&created, column::CPU_ENCODE_NS);
    assert!(
        0 < on_edge && Some(on_edge) < encode_ns,
        "{on_edge} of {encode_ns:?}"
    );
    let other = edge_to(&ledger, side::CALLER, "broker", "orders.{customer}");
    assert!(
        other.get(column::CPU_ENCODE_NS).is_none(),
        "not told, so absent"
    );
    let received = edge(&ledger, side::CALLEE, "broker");
    assert!(received.get(column::REQUEST_WIRE_BYTES).is_none());
    assert!(figure(&received, column::WAIT_NS) > 0, "the lag is known");
    // The consumers' bills hold the work, and hardly anything else, and all of it was caused by the job.
    worked.assert_caused(&ledger, "CONSUME orders.*", "JOB publishes", BESIDES);
    for (key, _) in ledger.rows().of_kind(RowKind::Operation) {
        let key = OperationKey::read(key).unwrap();
        if &*key.operation == "CONSUME orders.*" {
            assert_eq!(&*key.origin_operation, "JOB publishes");
            assert_eq!(&*key.caller_operation, "JOB publishes");
        }
    }
}

#[test]
fn what_the_client_does_on_a_thread_of_its_own_is_on_the_edges() {
    let Some(server) = servers::nats() else {
        return;
    };
    let ledger = weigh("nats-driven", move |weighed| async move {
        let address = server.address().to_string();
        let driven = driver_thread("driven", move || async_nats::connect(address));
        let driven = driven.await.unwrap();
        let client = Client::of("driven", async_nats::Client::clone(&driven)).await;
        let subscriber = client.subscribe("driven.made").await.unwrap();
        tokio::spawn(subscriber.consume(|_| async {}));
        flushed(&client).await;
        for i in 0..200 {
            let payload = Bytes::from(vec![b'x'; body_bytes(i)]);
            client.publish("driven.made", payload).await.unwrap();
        }
        weighed.ended("CONSUME driven.made", 200).await;
        drop(client);
        driven.stop().await;
    });
    let [published, consumed] = both_ends(&ledger, "driven");
    assert_eq!(published, consumed);
    assert!(assert_shared_out(&ledger, "driven", "driven") > 0);
}

#[test]
fn a_request_and_its_answer_meet() {
    let Some(server) = servers::nats() else {
        return;
    };
    let ledger = weigh("nats-request", move |weighed| async move {
        let answering = connect(&server, "prices").await;
        let subscriber = answering
            .queue_subscribe("prices.quote", "group")
            .await
            .unwrap();
        flushed(&answering).await;
        tokio::spawn(subscriber.consume(|message| async move {
            let answer = Bytes::from(vec![b'a'; message.payload.len() * 2]);
            message.respond(answer).await.unwrap();
        }));
        let tap = Tap::on(server.address()).await;
        let client = nats::connect("prices", tap.address.to_string()).await;
        let client = client.unwrap();
        let ask = async |n: usize| {
            let answer = client
                .request("prices.quote", vec![b'q'; n].into())
                .await
                .unwrap();
            assert_eq!(answer.payload.len(), 2 * n);
        };
        // The first one also subscribes to the answers.
        ask(1).await;
        flushed(&client).await;
        let wire = || {
            let row = edge(&weighed.ledger, side::CALLER, "prices");
            u64::try_from(figure(&row, column::REQUEST_WIRE_BYTES)).unwrap()
        };
        assert!(weighed.agent.flush(PATIENCE));
        let before = (tap.sent_bytes(), wire());
        job("asks", async {
            for n in 0..100 {
                ask(n).await;
            }
        })
        .await;
        weighed.ended("CONSUME prices.quote", 101).await;
        let (out, wire) = (tap.sent_bytes() - before.0, wire() - before.1);
        assert!(
            out >= wire && (out - wire).is_multiple_of(6) && out - wire <= 60,
            "{out} {wire}"
        );
    });
    let [asked, answered] = [side::CALLER, side::CALLEE].map(|side| {
        let row = ledger.select(RowKind::Edge, &[(0, side), (1, "sync"), (9, "prices")]);
        support::carried(&row)
    });
    assert_eq!(asked, [101, 1 + 4_950, 101, 2 + 9_900]);
    assert_eq!(asked, answered);
    let waited = ledger.operation("JOB asks", "");
    assert!(figure(&waited, column::WAIT_CALL_NS) > 0);
}

#[test]
fn one_publish_is_consumed_by_each_subscriber() {
    let Some(server) = servers::nats() else {
        return;
    };
    let ledger = weigh("nats-fan-out", move |weighed| async move {
        let client = connect(&server, "fan").await;
        for _ in 0..3 {
            let subscriber = client.subscribe("news").await.unwrap();
            tokio::spawn(subscriber.consume(|_| async {}));
        }
        flushed(&client).await;
        for _ in 0..10 {
            client
                .publish("news", Bytes::from_static(b"12345"))
                .await
                .unwrap();
        }
        weighed.ended("CONSUME news", 30).await;
    });
    let [published, consumed] = both_ends(&ledger, "fan");
    assert_eq!(published, [10, 50]);
    assert_eq!(consumed, [30, 150]);
}

#[test]
fn errors_are_the_clients_own_and_count_no_message() {
    let Some(server) = servers::nats() else {
        return;
    };
    let ledger = weigh("nats-errors", move |weighed| async move {
        let client = connect(&server, "errors").await;
        let max = client.inner().max_payload();
        let too_large = Bytes::from(vec![0; max + 1]);
        let spaced = Topic::of("a {name}", "a b");
        let bare = client.inner().clone();
        let expected = [
            bare.publish("a b", Bytes::new()).await.unwrap_err(),
            bare.publish("large", too_large.clone()).await.unwrap_err(),
        ];
        let found = [
            client.publish(spaced, Bytes::new()).await.unwrap_err(),
            client
                .publish("large", too_large.clone())
                .await
                .unwrap_err(),
        ];
        for (expected, found) in expected.iter().zip(&found) {
            assert_eq!(
                (expected.kind(), expected.to_string()),
                (found.kind(), found.to_string())
            );
        }
        assert_eq!(found[1].kind(), PublishErrorKind::MaxPayloadExceeded);
        // The largest that fits goes, though there is no room for our headers.
        client
            .publish("largest", vec![0; max].into())
            .await
            .unwrap();
        let nobody = client.request("nobody", Bytes::new()).await.unwrap_err();
        assert_eq!(nobody.kind(), RequestErrorKind::NoResponders);
        let _silent = client.subscribe("silent").await.unwrap();
        let request = Request::new().timeout(Some(Duration::from_millis(50)));
        let late = client
            .send_request("silent", request.payload("12".into()))
            .await;
        assert_eq!(late.unwrap_err().kind(), RequestErrorKind::TimedOut);
        assert!(weighed.agent.flush(PATIENCE));
    });
    let count = |target: &str| {
        let row = edge_to(&ledger, side::CALLER, "errors", target);
        [
            column::REQUEST_MESSAGES,
            column::REQUEST_BODY_BYTES,
            column::ERRORS,
        ]
        .map(|column| figure(&row, column))
    };
    assert_eq!(count("a {name}"), [0, 0, 1]);
    assert_eq!(count("large"), [0, 0, 1]);
    assert_eq!(count("nobody"), [0, 0, 1]);
    assert_eq!(count("silent"), [1, 2, 1], "it was sent");
    let largest = edge_to(&ledger, side::CALLER, "errors", "largest");
    assert_eq!(figure(&largest, column::ERRORS), 0);
    let lost = ledger.select(RowKind::Loss, &[(0, "agent.nats.headers")]);
    assert_eq!(figure(&lost, column::LOST), 1);
}

#[test]
fn a_server_that_is_killed_costs_no_second_count() {
    let Some(server) = servers::nats() else {
        return;
    };
    let ledger = weigh("nats-killed", move |weighed| async move {
        let client = connect(&server, "mortal").await;
        let received = Arc::new(AtomicUsize::new(0));
        let subscriber = client.subscribe("life").await.unwrap();
        let counted = received.clone();
        tokio::spawn(subscriber.consume(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            async {}
        }));
        flushed(&client).await;
        client
            .publish("life", Bytes::from_static(b"1"))
            .await
            .unwrap();
        weighed.ended("CONSUME life", 1).await;
        server.kill();
        let request = Request::new().timeout(Some(Duration::from_millis(200)));
        let error = client.send_request("life", request).await.unwrap_err();
        assert_eq!(error.kind(), RequestErrorKind::TimedOut);
        let server = tokio::task::spawn_blocking(move || {
            server.restart();
            server
        })
        .await
        .unwrap();
        // The client comes back by itself, and subscribes again.
        let again = async {
            let mut n = 0;
            while received.load(Ordering::Relaxed) < 2 {
                client
                    .publish("life", Bytes::from_static(b"2"))
                    .await
                    .unwrap();
                n += 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            n
        };
        let sent = timeout(PATIENCE, again).await.unwrap();
        assert!(sent >= 1);
        assert!(weighed.agent.flush(PATIENCE));
        drop(server);
    });
    let sent = edge_to(&ledger, side::CALLER, "mortal", "life");
    assert_eq!(figure(&sent, column::ERRORS), 1, "the request");
    let consumed = ledger.operation("CONSUME life", "");
    assert_eq!(
        figure(&consumed, column::STARTED),
        figure(&consumed, column::ENDED)
    );
    assert!(figure(&consumed, column::ENDED) <= figure(&sent, column::REQUEST_MESSAGES));
}

#[test]
fn a_silent_server_costs_no_second_count() {
    let Some(server) = servers::nats() else {
        return;
    };
    let ledger = weigh("nats-silent", move |weighed| async move {
        let client = connect(&server, "silent").await;
        let subscriber = client.subscribe("life").await.unwrap();
        flushed(&client).await;
        tokio::spawn(subscriber.consume(|_| async {}));
        server.signal(rustix::process::Signal::STOP);
        // The client takes it, and keeps it.
        client.publish("life", "1".into()).await.unwrap();
        let request = Request::new().timeout(Some(Duration::from_millis(200)));
        let request = request.payload("22".into());
        let error = client.send_request("life", request).await.unwrap_err();
        assert_eq!(error.kind(), RequestErrorKind::TimedOut);
        server.signal(rustix::process::Signal::CONT);
        weighed.ended("CONSUME life", 2).await;
    });
    let sent = edge_to(&ledger, side::CALLER, "silent", "life");
    assert_eq!(figure(&sent, column::ERRORS), 1, "the request");
    let [published, consumed] = both_ends(&ledger, "silent");
    assert_eq!(published, [2, 3]);
    assert_eq!(published, consumed);
}

#[test]
fn a_subject_that_is_no_text_is_nobodys_message() {
    let Some(server) = servers::nats() else {
        return;
    };
    let ledger = weigh("nats-no-text", move |weighed| async move {
        let client = connect(&server, "no text").await;
        let received = Arc::new(AtomicUsize::new(0));
        let counted = received.clone();
        let subscriber = client.subscribe("fine.>").await.unwrap();
        // Who hears everything gets the one that is no text.
        let _everything = client.inner().subscribe(">").await.unwrap();
        flushed(&client).await;
        tokio::spawn(subscriber.consume(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            async {}
        }));
        let address = server.address();
        let bare = tokio::task::spawn_blocking(move || {
            use std::io::{BufRead as _, BufReader, Write as _};
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            assert!(lines.next().unwrap().unwrap().starts_with("INFO"));
            let text = b"CONNECT {\"verbose\":false}\r\nPUB fine.\xff\xfe 1\r\nx\r\nPING\r\n";
            stream.write_all(text).unwrap();
            assert_eq!(lines.next().unwrap().unwrap(), "PONG");
        });
        bare.await.unwrap();
        // The client ends the connection on which that came, and makes a new one.
        let again = async {
            while received.load(Ordering::Relaxed) == 0 {
                client.publish("fine.one", "1".into()).await.unwrap();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, again).await.unwrap();
        assert!(weighed.agent.flush(PATIENCE));
    });
    let [published, consumed] = both_ends(&ledger, "no text");
    assert!(
        (1..=published[0]).contains(&consumed[0]),
        "{published:?} {consumed:?}"
    );
    let operation = ledger.operation("CONSUME fine.>", "");
    assert_eq!(figure(&operation, column::ERRORS), 0);
    assert_eq!(
        figure(&operation, column::STARTED),
        figure(&operation, column::ENDED)
    );
}

#[test]
fn a_message_that_breaks_its_handler_is_an_error_of_its_own() {
    let Some(server) = servers::nats() else {
        return;
    };
    let ledger = weigh("nats-poison", move |weighed| async move {
        let client = connect(&server, "poison").await;
        let subscriber = client.subscribe("food").await.unwrap();
        flushed(&client).await;
        tokio::spawn(subscriber.consume(|message| async move {
            assert!(&*message.payload != b"poison");
        }));
        for food in ["bread", "poison", "butter"] {
            client.publish("food", food.into()).await.unwrap();
        }
        weighed.ended("CONSUME food", 3).await;
    });
    assert_eq!(
        figure(&ledger.operation("CONSUME food", ""), column::ERRORS),
        1
    );
}

#[test]
fn what_users_send_is_in_no_label_and_no_log() {
    let Some(server) = servers::nats() else {
        return;
    };
    const SECRET: &str = "s3cr3t";
    let heard = Heard::everything_of_ours();
    let ledger = weigh("nats-secrets", move |weighed: Arc<Weighed>| async move {
        let client = connect(&server, "vault").await;
        let subscriber = client.subscribe("vault.>").await.unwrap();
        flushed(&client).await;
        tokio::spawn(subscriber.consume(|message| async move {
            assert!(message.subject.contains(SECRET), "{SECRET}");
            if message.payload.is_empty() {
                panic!("{SECRET}");
            }
            message.respond(Bytes::from_static(b"")).await.ok();
        }));
        let mut headers = HeaderMap::new();
        headers.insert(SECRET, SECRET);
        headers.insert("baggage", format!("{SECRET}={SECRET}"));
        headers.insert(
            "weighbridge-hop",
            format!("1;{SECRET};{SECRET};0123456789abcdef;a;1"),
        );
        let topic = || Topic::of("vault.{user}", format!("vault.{SECRET}"));
        for payload in ["", SECRET] {
            client
                .publish_with_headers(topic(), headers.clone(), payload.into())
                .await
                .unwrap();
        }
        let request = Request::new().headers(headers).payload(SECRET.into());
        client.send_request(topic(), request).await.unwrap();
        weighed.ended("CONSUME vault.>", 3).await;
    });
    assert_not_told(&ledger.rows(), SECRET);
    assert_not_told(&ledger.rows(), "_INBOX");
    heard.assert_not_told(SECRET);
}

#[test]
fn the_example_runs() {
    let Some(server) = servers::nats() else {
        return;
    };
    let ledger = weigh("nats-example", move |weighed| async move {
        example::run(&server.address().to_string()).await.unwrap();
        weighed.ended("CONSUME orders.>", 100).await;
        weighed.ended("CONSUME prices.quote", 100).await;
    });
    for operation in ["CONSUME orders.>", "CONSUME prices.quote"] {
        let row = ledger.operation(operation, "");
        assert_eq!(figure(&row, column::ERRORS), 0, "{operation}");
    }
    // The origin's bill holds every hop.
    for (key, _) in ledger.rows().of_kind(RowKind::Operation) {
        let key = OperationKey::read(key).unwrap();
        if key.operation.starts_with("CONSUME") {
            assert_eq!(&*key.origin_operation, "JOB evening orders", "{key:?}");
        }
    }
}

#[test]
fn nothing_goes_along_to_whom_nobody_trusts() {
    let Some(server) = servers::nats() else {
        return;
    };
    let agent = builder("nats-untrusted").trust(Trust::None);
    let ledger = weigh_by(agent, move |weighed| async move {
        let client = connect(&server, "stranger").await;
        let mut bare = client.inner().subscribe("plain").await.unwrap();
        let subscriber = client.subscribe("plain").await.unwrap();
        flushed(&client).await;
        tokio::spawn(subscriber.consume(|_| async {}));
        client.publish("plain", "1".into()).await.unwrap();
        assert!(bare.next().await.unwrap().headers.is_none());
        // What was copied from a message that came in is taken off; the rest stays.
        let mut headers = HeaderMap::new();
        headers.insert("kept", "1");
        headers.insert("baggage", "mine=1,weighbridge.origin=bank;steal");
        headers.insert("weighbridge-hop", "1;bank;steal;0123456789abcdef;a;1");
        let publishing = client.publish_with_headers("plain", headers.clone(), "2".into());
        publishing.await.unwrap();
        let received = bare.next().await.unwrap().headers.unwrap();
        assert_eq!(received.get("kept").unwrap().as_str(), "1");
        assert_eq!(received.get("baggage").unwrap().as_str(), "mine=1");
        assert!(received.get("weighbridge-hop").is_none());
        // Forged by somebody without an agent.
        let forged = client
            .inner()
            .publish_with_headers("plain", headers, "3".into());
        forged.await.unwrap();
        weighed.ended("CONSUME plain", 3).await;
    });
    assert_not_told(&ledger.rows(), "bank");
}
