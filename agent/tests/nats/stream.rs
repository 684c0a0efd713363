//! Streams: what was acknowledged, what comes again, batches, and a server that dies.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_nats::jetstream::consumer::{PullConsumer, pull};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, stream};
use bytes::Bytes;
use tokio::time::timeout;
use weighbridge_agent::job;
use weighbridge_agent::messages::Disposition;
use weighbridge_agent::nats::JetStream;
use weighbridge_agent::wire::{OperationKey, Quality, RowKind, column, side};

use super::support::brokers::{body_bytes, both_ends, edge, messages, weigh};
use super::support::{PATIENCE, Worked, burn, figure, servers};
use super::{BESIDES, WORK, connect};

/// A stream of its own, and a consumer of it.
async fn stream(jetstream: &JetStream, name: &str, config: pull::Config) -> PullConsumer {
    let stream = jetstream
        .context()
        .create_stream(stream::Config {
            name: name.into(),
            subjects: vec![format!("{name}.>")],
            ..stream::Config::default()
        })
        .await
        .unwrap();
    let config = pull::Config {
        durable_name: Some(name.into()),
        ..config
    };
    stream.create_consumer(config).await.unwrap()
}

#[test]
fn a_stream_has_what_was_acknowledged_and_comes_again_what_was_not() {
    let Some(server) = servers::nats() else {
        return;
    };
    let n = messages();
    let worked = Worked::default();
    let works = worked.clone();
    let ledger = weigh("nats-stream", move |weighed| async move {
        let client = connect(&server, "stream").await;
        let jetstream = client.jetstream();
        let inner = stream(&jetstream, "sold", pull::Config::default()).await;
        let consumer = jetstream.consumer("sold.>", inner).at_once(8);
        let (failed, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (failing, doing) = (failed.clone(), done.clone());
        tokio::spawn(async move {
            consumer
                .consume(|message| {
                    let (failing, doing) = (failing.clone(), doing.clone());
                    let works = works.clone();
                    async move {
                        works.burn(WORK);
                        // Each tenth fails at first.
                        if message.sequence() % 10 == 0 && !message.is_redelivered() {
                            failing.fetch_add(1, Ordering::Relaxed);
                            return Err("on purpose");
                        }
                        doing.fetch_add(1, Ordering::Relaxed);
                        Ok(())
                    }
                })
                .await
        });
        job("sells", async {
            for i in 0..n {
                let payload = Bytes::from(vec![b'x'; body_bytes(i)]);
                let message = PublishMessage::build()
                    .payload(payload)
                    .message_id(format!("id-{i}"));
                let ack = jetstream
                    .send_publish("sold.today", message.clone())
                    .await
                    .unwrap();
                assert!(!ack.duplicate);
                if i % 100 == 0 {
                    let again = jetstream.send_publish("sold.today", message).await.unwrap();
                    assert!(again.duplicate);
                }
            }
        })
        .await;
        let all = n + n / 10;
        weighed.ended("CONSUME sold.>", all).await;
        assert_eq!(failed.load(Ordering::Relaxed), n / 10);
        assert_eq!(done.load(Ordering::Relaxed), n);
    });
    let n = i64::try_from(n).unwrap();
    let published = edge(&ledger, side::CALLER, "stream");
    let consumed = edge(&ledger, side::CALLEE, "stream");
    assert_eq!(figure(&published, column::REQUEST_MESSAGES), n);
    assert_eq!(
        figure(&published, column::RETRIES),
        n / 100,
        "those that it had already"
    );
    assert_eq!(figure(&consumed, column::REQUEST_MESSAGES), n + n / 10);
    assert_eq!(figure(&consumed, column::REDELIVERED), n / 10);
    assert_eq!(figure(&consumed, column::ERRORS), n / 10);
    assert!(figure(&published, column::WAIT_NS) > 0);
    let operation = ledger.operation("CONSUME sold.>", "");
    assert_eq!(figure(&operation, column::ERRORS), n / 10);
    // What came again was worked on again.
    assert_eq!(worked.so_far()[0], n + n / 10);
    worked.assert_caused(&ledger, "CONSUME sold.>", "JOB sells", BESIDES);
}

#[test]
fn a_message_that_cannot_be_handled_is_tried_twice() {
    let Some(server) = servers::nats() else {
        return;
    };
    let ledger = weigh("nats-terminated", move |weighed| async move {
        let client = connect(&server, "ill").await;
        let jetstream = client.jetstream();
        let inner = stream(&jetstream, "ill", pull::Config::default()).await;
        let consumer = jetstream.consumer("ill.>", inner.clone());
        tokio::spawn(async move {
            consumer
                .consume(|message| async move {
                    match &*message.payload {
                        b"panic" => panic!("on purpose"),
                        b"reject" => Disposition::Reject,
                        _ => Disposition::Accept,
                    }
                })
                .await
        });
        for payload in ["panic", "reject", "fine"] {
            jetstream.publish("ill.a", payload.into()).await.unwrap();
        }
        weighed.ended("CONSUME ill.>", 4).await;
        // The last word to the server is on its way.
        let nothing_comes_again = async {
            loop {
                let info = inner.get_info().await.unwrap();
                if (info.num_ack_pending, info.num_pending) == (0, 0) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(PATIENCE, nothing_comes_again).await.unwrap();
    });
    assert_eq!(
        figure(&ledger.operation("CONSUME ill.>", ""), column::ERRORS),
        3
    );
    let [published, consumed] = both_ends(&ledger, "ill");
    assert_eq!(published[0], consumed[0]);
}

#[test]
fn a_batch_is_charged_to_its_messages_by_their_lengths() {
    let Some(server) = servers::nats() else {
        return;
    };
    const WORK: Duration = Duration::from_millis(40);
    let ledger = weigh("nats-batch", move |weighed| async move {
        let client = connect(&server, "batches").await;
        let jetstream = client.jetstream();
        let inner = stream(&jetstream, "lines", pull::Config::default()).await;
        let consumer = jetstream.consumer("lines.>", inner);
        job("short", async {
            jetstream
                .publish("lines.a", vec![0; 1_000].into())
                .await
                .unwrap();
        })
        .await;
        job("long", async {
            jetstream
                .publish("lines.a", vec![0; 3_000].into())
                .await
                .unwrap();
        })
        .await;
        tokio::spawn(async move {
            consumer
                .consume_batches(2, Duration::from_secs(10), |messages| async move {
                    assert_eq!(messages.len(), 2);
                    burn(WORK);
                })
                .await
        });
        weighed.ended("CONSUME lines.>", 2).await;
    });
    let of = |origin: &str| -> [i64; 2] {
        [Quality::Measured, Quality::Apportioned].map(|quality| {
            let rows = ledger.rows();
            rows.of_kind(RowKind::Operation)
                .filter(|(key, _)| key.quality == quality)
                .filter(|(key, _)| {
                    let key = OperationKey::read(key).unwrap();
                    &*key.operation == "CONSUME lines.>" && &*key.origin_operation == origin
                })
                .map(|(_, row)| row.cpu_ns())
                .sum()
        })
    };
    let ([_, short], [_, long]) = (of("JOB short"), of("JOB long"));
    let work = i64::try_from(WORK.as_nanos()).unwrap();
    assert!(short + long >= work, "{short} {long}");
    assert!((long - 3 * short).abs() < 100, "{short} {long}");
}

#[test]
fn what_was_published_to_a_stream_survives_its_server() {
    let Some(mut server) = servers::nats() else {
        return;
    };
    let n = messages() / 10;
    // Once, or every so often in the long form.
    let life = n.min(1_000) / 2;
    let ledger = weigh("nats-survives", move |weighed| async move {
        let client = connect(&server, "phoenix").await;
        let context = jetstream::context::ContextBuilder::new()
            .timeout(Duration::from_millis(500))
            .build(client.inner().clone());
        let jetstream = JetStream::of(&client, context);
        let inner = stream(&jetstream, "kept", pull::Config::default()).await;
        let consumer = jetstream.consumer("kept.>", inner);
        let mut deaths = 0;
        for i in 0..n {
            let message = PublishMessage::build()
                .payload("1234567".into())
                .message_id(format!("{i}"));
            if i % life == life - 1 {
                server.kill();
                deaths += 1;
                // Whoever publishes now is told.
                assert!(
                    jetstream
                        .send_publish("kept.a", message.clone())
                        .await
                        .is_err()
                );
                server = tokio::task::spawn_blocking(move || {
                    server.restart();
                    server
                })
                .await
                .unwrap();
            }
            // The same id each time: the stream keeps one of them.
            while jetstream
                .send_publish("kept.a", message.clone())
                .await
                .is_err()
            {}
        }
        assert!(deaths > 0);
        tokio::spawn(async move {
            loop {
                // Over at once when the server has gone: whoever asks again without a pause never ends.
                let _ = consumer.consume(|_| async {}).await;
                tokio::task::yield_now().await;
            }
        });
        weighed.ended("CONSUME kept.>", n).await;
        drop(server);
    });
    let [published, consumed] = both_ends(&ledger, "phoenix");
    let n = i64::try_from(n).unwrap();
    assert_eq!(published, [n, 7 * n]);
    assert_eq!(published, consumed);
    let row = edge(&ledger, side::CALLER, "phoenix");
    assert!(figure(&row, column::ERRORS) >= 1);
}
