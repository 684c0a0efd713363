//! AMQP, against the real RabbitMQ. One server for all of it: it takes seconds to start.

#![cfg(feature = "lapin-4")]
#![allow(clippy::unwrap_used)]

#[path = "../examples/amqp.rs"]
#[allow(dead_code, unreachable_pub)]
mod example;
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lapin::options::{
    BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, ConnectionProperties};
use rustix::process::Signal;
use support::brokers::{
    Heard, Weighed, assert_not_told, body_bytes, both_ends, both_sides, edge, edge_to, is_long,
    messages, weigh,
};
use support::servers::{self, RabbitMq};
use support::{Ledger, PATIENCE, Worked, assert_shared_out, burn, figure};
use tokio::time::timeout;
use weighbridge_agent::amqp::{self, Channel, Connection};
use weighbridge_agent::job;
use weighbridge_agent::messages::{Disposition, Topic};
use weighbridge_agent::wire::{OperationKey, Quality, RowKind, column, side};

type Shared = Arc<RabbitMq>;

/// What a handler works.
const WORK: Duration = Duration::from_micros(200);
/// What a bill may hold besides, for each message.
const BESIDES: Duration = Duration::from_micros(100);

async fn connect(server: &RabbitMq, peer: &str) -> Connection {
    let uri = format!("amqp://{}/%2f", server.server.address());
    amqp::connect(peer, &uri, ConnectionProperties::default())
        .await
        .unwrap()
}

/// A channel that confirms what is published.
async fn channel(connection: &Connection) -> Channel {
    let channel = connection.create_channel().await.unwrap();
    let confirm = channel
        .inner()
        .confirm_select(ConfirmSelectOptions::default());
    confirm.await.unwrap();
    channel
}

async fn declare(channel: &Channel, queue: &str, arguments: FieldTable) {
    let options = QueueDeclareOptions::default();
    let declared = channel
        .inner()
        .queue_declare(queue.into(), options, arguments);
    declared.await.unwrap();
}

async fn consumer(channel: &Channel, queue: &'static str) -> amqp::Consumer {
    let options = BasicConsumeOptions::default();
    channel
        .basic_consume(queue, "", options, FieldTable::default())
        .await
        .unwrap()
}

async fn publish(channel: &Channel, queue: &'static str, payload: &[u8]) {
    let options = BasicPublishOptions::default();
    let properties = BasicProperties::default();
    let confirm = channel
        .basic_publish("", queue, options, payload, properties)
        .await
        .unwrap();
    assert!(confirm.await.unwrap().is_ack());
}

#[test]
fn against_the_real_server() {
    let Some(server) = servers::rabbitmq() else {
        return;
    };
    let server = Arc::new(server);
    what_is_sent_is_received_to_the_message_and_byte(server.clone());
    what_fails_comes_again_or_becomes_a_dead_letter(server.clone());
    one_publish_is_consumed_from_each_queue(server.clone());
    one_message_is_got_and_a_batch_is_shared_out(server.clone());
    errors_are_the_clients_own_and_count_no_message(server.clone());
    a_message_that_fits_without_our_headers_goes_without_them(server.clone());
    what_users_send_is_in_no_label_and_no_log(server.clone());
    a_silent_server_costs_no_second_count(server.clone());
    the_example_runs(server.clone());
    if is_long() {
        what_was_confirmed_survives_its_broker(server.clone());
    }
    let server = Arc::into_inner(server).expect("everybody is done with it");
    a_server_that_is_killed_costs_no_second_count(server);
}

fn what_is_sent_is_received_to_the_message_and_byte(server: Shared) {
    let n = messages();
    let worked = Worked::default();
    let works = worked.clone();
    let ledger = weigh("amqp-both", move |weighed| async move {
        let connection = connect(&server, "rabbit").await;
        let channel = channel(&connection).await;
        declare(&channel, "orders", FieldTable::default()).await;
        let qos = channel.inner().basic_qos(100, BasicQosOptions::default());
        qos.await.unwrap();
        let consumer = consumer(&channel, "orders").await.at_once(4);
        tokio::spawn(consumer.consume(move |_| {
            let works = works.clone();
            async move { works.burn(WORK) }
        }));
        job("publishes", async {
            let mut confirms = Vec::new();
            for i in 0..n {
                let payload = vec![b'x'; body_bytes(i)];
                let options = BasicPublishOptions::default();
                let properties = BasicProperties::default().with_message_id(format!("{i}").into());
                let published = channel.basic_publish("", "orders", options, &payload, properties);
                confirms.push(published.await.unwrap());
                if confirms.len() == 100 {
                    for confirm in confirms.drain(..) {
                        assert!(confirm.await.unwrap().is_ack());
                    }
                }
            }
            for confirm in confirms {
                assert!(confirm.await.unwrap().is_ack());
            }
        })
        .await;
        let consumed = weighed.ended("CONSUME orders", n).await;
        assert_eq!(figure(&consumed, column::ERRORS), 0);
    });
    let [published, consumed] = both_ends(&ledger, "rabbit");
    let bytes: usize = (0..n).map(body_bytes).sum();
    assert_eq!(published, [n, bytes].map(|n| i64::try_from(n).unwrap()));
    assert_eq!(published, consumed);
    let received = edge(&ledger, side::CALLEE, "rabbit");
    assert!(figure(&received, column::WAIT_NS) > 0, "the lag is known");
    worked.assert_caused(&ledger, "CONSUME orders", "JOB publishes", BESIDES);
    let driver = ledger.select(RowKind::Owner, &[(0, "driver"), (1, "amqp rabbit")]);
    let on_edges = assert_shared_out(&ledger, "amqp rabbit", "rabbit");
    assert!(
        on_edges > 0,
        "the client's thread has an owner, and it is on the edges"
    );
    assert!(driver.cpu_ns() >= on_edges);
}

fn what_fails_comes_again_or_becomes_a_dead_letter(server: Shared) {
    let worked = Worked::default();
    let works = worked.clone();
    let ledger = weigh("amqp-dead", move |weighed| async move {
        let connection = connect(&server, "dead").await;
        let channel = channel(&connection).await;
        let mut arguments = FieldTable::default();
        let text = |text: &str| AMQPValue::LongString(text.into());
        arguments.insert("x-dead-letter-exchange".into(), text(""));
        arguments.insert("x-dead-letter-routing-key".into(), text("dead"));
        declare(&channel, "dead", FieldTable::default()).await;
        declare(&channel, "alive", arguments).await;
        let tries = Arc::new(AtomicUsize::new(0));
        let (tried, works) = (tries.clone(), works.clone());
        let alive = consumer(&channel, "alive").await;
        tokio::spawn(alive.consume(move |message| {
            let (tried, works) = (tried.clone(), works.clone());
            async move {
                works.burn(WORK);
                match &*message.data {
                    b"again" if !message.is_redelivered() => Disposition::Requeue,
                    b"reject" => Disposition::Reject,
                    b"panic" => {
                        tried.fetch_add(1, Ordering::Relaxed);
                        std::panic::resume_unwind(Box::new("on purpose"))
                    }
                    _ => Disposition::Accept,
                }
            }
        }));
        let dead = consumer(&channel, "dead").await;
        tokio::spawn(dead.consume(|message| async move {
            assert_eq!(message.deaths(), 1);
        }));
        for payload in ["again", "reject", "panic", "fine"] {
            publish(&channel, "alive", payload.as_bytes()).await;
        }
        // The one that fails comes twice, the one that breaks its handler too.
        weighed.ended("CONSUME alive", 6).await;
        weighed.ended("CONSUME dead", 2).await;
        assert_eq!(tries.load(Ordering::Relaxed), 2);
    });
    let [published, consumed] = both_ends(&ledger, "dead");
    assert_eq!(published[0], 4);
    assert_eq!(consumed[0], 4, "dead letters are no new messages");
    let row = edge(&ledger, side::CALLEE, "dead");
    assert_eq!(figure(&row, column::REDELIVERED), 4);
    let alive = ledger.operation("CONSUME alive", "");
    assert_eq!(figure(&alive, column::ERRORS), 4);
    // Each attempt, those that panicked too.
    assert_eq!(worked.so_far()[0], 6);
    worked.assert_billed("CONSUME alive", &alive, 10 * BESIDES);
    assert_eq!(
        figure(&ledger.operation("CONSUME dead", ""), column::ERRORS),
        0
    );
}

fn one_publish_is_consumed_from_each_queue(server: Shared) {
    let ledger = weigh("amqp-fan-out", move |weighed| async move {
        let connection = connect(&server, "fan").await;
        let channel = channel(&connection).await;
        for queue in ["fan one", "fan two"] {
            declare(&channel, queue, FieldTable::default()).await;
            let bound = channel.inner().queue_bind(
                queue.into(),
                "amq.topic".into(),
                "news.*".into(),
                lapin::options::QueueBindOptions::default(),
                FieldTable::default(),
            );
            bound.await.unwrap();
        }
        for queue in ["fan one", "fan two"] {
            let options = BasicConsumeOptions {
                no_ack: true,
                ..BasicConsumeOptions::default()
            };
            let consumer = channel.basic_consume(queue, "", options, FieldTable::default());
            tokio::spawn(consumer.await.unwrap().consume(|_| async {}));
        }
        for i in 0..10 {
            let topic = Topic::of("news.{country}", format!("news.{i}"));
            let options = BasicPublishOptions::default();
            let properties = BasicProperties::default();
            let sent = channel.basic_publish("amq.topic", topic, options, b"12345", properties);
            assert!(sent.await.unwrap().await.unwrap().is_ack());
        }
        weighed.ended("CONSUME fan one", 10).await;
        weighed.ended("CONSUME fan two", 10).await;
    });
    let [published, consumed] = both_ends(&ledger, "fan");
    assert_eq!(published, [10, 50]);
    assert_eq!(consumed, [20, 100]);
    let named = edge_to(&ledger, side::CALLER, "fan", "amq.topic/news.{country}");
    assert_eq!(figure(&named, column::REQUEST_MESSAGES), 10);
}

fn one_message_is_got_and_a_batch_is_shared_out(server: Shared) {
    const WORK: Duration = Duration::from_millis(40);
    let ledger = weigh("amqp-batch", move |weighed| async move {
        let connection = connect(&server, "batches").await;
        let channel = channel(&connection).await;
        declare(&channel, "one", FieldTable::default()).await;
        let get = || channel.basic_get("one", BasicGetOptions::default());
        assert!(get().await.unwrap().is_none());
        publish(&channel, "one", b"1").await;
        let delivery = get().await.unwrap().unwrap();
        delivery
            .handle(|message| async move { assert_eq!(&*message.data, b"1") })
            .await
            .unwrap();
        assert!(get().await.unwrap().is_none(), "it is acknowledged");
        weighed.ended("CONSUME one", 1).await;

        declare(&channel, "lines", FieldTable::default()).await;
        job("short", publish(&channel, "lines", &[0; 1_000])).await;
        job("long", publish(&channel, "lines", &[0; 3_000])).await;
        let lines = consumer(&channel, "lines").await;
        // Both have come before the answer to a later call.
        publish(&channel, "one", b"2").await;
        tokio::spawn(lines.consume_batches(2, |messages| async move {
            assert_eq!(messages.len(), 2);
            burn(WORK);
        }));
        weighed.ended("CONSUME lines", 2).await;
    });
    let of = |origin: &str| -> i64 {
        let rows = ledger.rows();
        rows.of_kind(RowKind::Operation)
            .filter(|(key, _)| key.quality == Quality::Apportioned)
            .filter(|(key, _)| {
                let key = OperationKey::read(key).unwrap();
                &*key.operation == "CONSUME lines" && &*key.origin_operation == origin
            })
            .map(|(_, row)| row.cpu_ns())
            .sum()
    };
    let (short, long) = (of("JOB short"), of("JOB long"));
    assert!(
        short + long >= i64::try_from(WORK.as_nanos()).unwrap(),
        "{short} {long}"
    );
    assert!((long - 3 * short).abs() < 100, "{short} {long}");
}

fn errors_are_the_clients_own_and_count_no_message(server: Shared) {
    let ledger = weigh("amqp-errors", move |weighed| async move {
        let connection = connect(&server, "errors").await;
        let channel = channel(&connection).await;
        let properties = BasicProperties::default;
        // Nobody has such a queue: the broker gives it back.
        let mandatory = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let confirm = channel
            .basic_publish("", "nobody's", mandatory, b"x", properties())
            .await;
        let confirmation = confirm.unwrap().await.unwrap();
        assert!(confirmation.take_message().is_some(), "it was returned");
        let options = BasicPublishOptions::default;
        let long = Topic::of("{long}", "k".repeat(256));
        let error = channel
            .basic_publish("", long, options(), b"x", properties())
            .await;
        assert!(error.unwrap_err().is_io_error());
        let error = channel
            .basic_get("no such queue", BasicGetOptions::default())
            .await;
        assert!(error.unwrap_err().is_amqp_soft_error());
        // The channel is closed by that.
        let bare = channel.inner().basic_publish(
            "".into(),
            "closed".into(),
            options(),
            b"x",
            properties(),
        );
        let expected = bare.await.unwrap_err();
        let found = channel
            .basic_publish("", "closed", options(), b"x", properties())
            .await;
        assert_eq!(found.unwrap_err().to_string(), expected.to_string());
        assert!(weighed.agent.flush(PATIENCE));
    });
    for target in ["nobody's", "{long}", "closed"] {
        let row = edge_to(&ledger, side::CALLER, "errors", target);
        let counts = [column::REQUEST_MESSAGES, column::ERRORS].map(|column| figure(&row, column));
        assert_eq!(counts, [0, 1], "{target}");
    }
}

fn a_message_that_fits_without_our_headers_goes_without_them(server: Shared) {
    let ledger = weigh("amqp-narrow", move |weighed| async move {
        let connection = connect(&server, "narrow").await;
        let channel = channel(&connection).await;
        declare(&channel, "sizes", FieldTable::default()).await;
        let consumer = consumer(&channel, "sizes").await;
        tokio::spawn(consumer.consume(|message| async move {
            assert!(message.properties.headers().is_some());
        }));
        let frame_max = connection.inner().configuration().frame_max() as usize;
        let properties = |bytes: usize| {
            let mut headers = FieldTable::default();
            let text = AMQPValue::LongString("x".repeat(bytes).into());
            headers.insert("long".into(), text);
            BasicProperties::default().with_headers(headers)
        };
        let options = BasicPublishOptions::default;
        for bytes in [10, frame_max - 200] {
            let confirm = channel
                .basic_publish("", "sizes", options(), b"12", properties(bytes))
                .await
                .unwrap();
            assert!(confirm.await.unwrap().is_ack());
        }
        publish(&channel, "sizes", b"1").await;
        weighed.ended("CONSUME sizes", 3).await;
        // Too large anyway: the broker gives up the connection.
        let bare = connect(&server, "narrow").await;
        let bare = self::channel(&bare).await;
        let too_large = properties(frame_max + 100);
        let sent = bare.inner().basic_publish(
            "".into(),
            "sizes".into(),
            options(),
            b"12",
            too_large.clone(),
        );
        let expected = timeout(PATIENCE, async { sent.await?.await })
            .await
            .unwrap();
        let sent = channel.basic_publish("", "sizes", options(), b"12", too_large);
        let found = timeout(PATIENCE, async { sent.await?.await })
            .await
            .unwrap();
        assert_eq!(
            found.unwrap_err().to_string(),
            expected.unwrap_err().to_string()
        );
        assert!(weighed.agent.flush(PATIENCE));
    });
    let [published, consumed] = both_sides(&ledger, "narrow");
    assert_eq!(published, [3, 5]);
    assert_eq!(published, consumed);
    let sent = edge(&ledger, side::CALLER, "narrow");
    assert_eq!(figure(&sent, column::ERRORS), 1);
    let lost = ledger.select(RowKind::Loss, &[(0, "agent.amqp.headers")]);
    assert_eq!(figure(&lost, column::LOST), 1);
}

fn what_users_send_is_in_no_label_and_no_log(server: Shared) {
    const SECRET: &str = "s3cr3t";
    let heard = Heard::everything_of_ours();
    let ledger = weigh("amqp-secrets", move |weighed: Arc<Weighed>| async move {
        let connection = connect(&server, "vault").await;
        let channel = channel(&connection).await;
        declare(&channel, SECRET, FieldTable::default()).await;
        let mut headers = FieldTable::default();
        let text = |text: String| AMQPValue::LongString(text.into());
        headers.insert(SECRET.into(), text(SECRET.into()));
        headers.insert("baggage".into(), text(format!("{SECRET}={SECRET}")));
        let hop = format!("1;{SECRET};{SECRET};0123456789abcdef;a;1");
        headers.insert("weighbridge-hop".into(), text(hop));
        let properties = BasicProperties::default().with_headers(headers);
        let options = BasicPublishOptions::default();
        let topic = Topic::of("{user}", SECRET);
        let sent = channel.basic_publish("", topic, options, SECRET.as_bytes(), properties);
        sent.await.unwrap().await.unwrap();
        let queue = Topic::of("{user}", SECRET);
        let options = BasicConsumeOptions::default();
        let consumer = channel.basic_consume(queue, SECRET, options, FieldTable::default());
        tokio::spawn(consumer.await.unwrap().consume(|message| async move {
            let kept = message.properties.headers().as_ref().unwrap();
            assert!(kept.contains_key(SECRET), "headers of the user stay");
            assert!(message.data.is_empty(), "{SECRET}");
        }));
        weighed.ended("CONSUME {user}", 2).await;
    });
    assert_not_told(&ledger.rows(), SECRET);
    heard.assert_not_told(SECRET);
}

fn a_silent_server_costs_no_second_count(server: Shared) {
    let ledger = weigh("amqp-silent", move |weighed| async move {
        let connection = connect(&server, "silent").await;
        let channel = channel(&connection).await;
        declare(&channel, "slow", FieldTable::default()).await;
        let consumer = consumer(&channel, "slow").await;
        tokio::spawn(consumer.consume(|_| async {}));
        server.server.signal(Signal::STOP);
        let publishing = publish(&channel, "slow", b"1");
        let silence = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            server.server.signal(Signal::CONT);
        };
        tokio::join!(publishing, silence);
        weighed.ended("CONSUME slow", 1).await;
    });
    let [published, consumed] = both_ends(&ledger, "silent");
    assert_eq!(published, [1, 1]);
    assert_eq!(published, consumed);
    let row = edge(&ledger, side::CALLER, "silent");
    assert_eq!(figure(&row, column::ERRORS), 0);
    let wait_ns = figure(&row, column::WAIT_NS);
    assert!(wait_ns >= 250_000_000, "{wait_ns}");
}

fn a_server_that_is_killed_costs_no_second_count(server: RabbitMq) {
    let ledger = weigh("amqp-killed", move |weighed| async move {
        let connection = connect(&server, "mortal").await;
        let channel = channel(&connection).await;
        declare(&channel, "life", FieldTable::default()).await;
        let consumer = consumer(&channel, "life").await;
        let consuming = tokio::spawn(consumer.consume(|_| async {}));
        publish(&channel, "life", b"1").await;
        weighed.ended("CONSUME life", 1).await;
        server.server.kill();
        let publishing = async {
            let options = BasicPublishOptions::default();
            let properties = BasicProperties::default();
            channel
                .basic_publish("", "life", options, b"22", properties)
                .await?
                .await
        };
        let error = timeout(PATIENCE, publishing).await.unwrap();
        assert!(error.is_err(), "the publisher is told");
        let ended = timeout(PATIENCE, consuming).await.unwrap().unwrap();
        assert!(ended.is_err(), "and so is the consumer");
        assert!(weighed.agent.flush(PATIENCE));
    });
    let sent = edge(&ledger, side::CALLER, "mortal");
    let counts = [
        column::REQUEST_MESSAGES,
        column::REQUEST_BODY_BYTES,
        column::ERRORS,
    ];
    assert_eq!(counts.map(|column| figure(&sent, column)), [1, 1, 1]);
    let consumed = ledger.operation("CONSUME life", "");
    assert_eq!(figure(&consumed, column::STARTED), 1);
}

fn the_example_runs(server: Shared) {
    let ledger = weigh("amqp-example", move |weighed| async move {
        let broker = format!("amqp://{}/%2f", server.server.address());
        example::run(&broker).await.unwrap();
        weighed.ended("CONSUME example orders", 100).await;
    });
    let row = ledger.operation("CONSUME example orders", "");
    assert_eq!(figure(&row, column::ERRORS), 0);
}

/// Part of the long form: RabbitMQ takes seconds to come back.
fn what_was_confirmed_survives_its_broker(server: Shared) {
    const MESSAGES: usize = 3_000;
    let ledger = weigh("amqp-survives", move |weighed| async move {
        let mut connection = connect(&server, "phoenix").await;
        let mut durable = channel(&connection).await;
        let options = QueueDeclareOptions {
            durable: true,
            ..QueueDeclareOptions::default()
        };
        let declared = durable
            .inner()
            .queue_declare("kept".into(), options, FieldTable::default());
        declared.await.unwrap();
        for i in 0..MESSAGES {
            if i % 1_000 == 500 {
                server.server.kill();
            }
            loop {
                let options = BasicPublishOptions::default();
                let properties = BasicProperties::default().with_delivery_mode(2);
                let publishing = durable.basic_publish("", "kept", options, b"4444", properties);
                let confirmed = async { publishing.await?.await };
                if confirmed.await.is_ok() {
                    break;
                }
                let again = server.clone();
                tokio::task::spawn_blocking(move || again.server.restart())
                    .await
                    .unwrap();
                connection = connect(&server, "phoenix").await;
                durable = channel(&connection).await;
            }
        }
        let consumer = consumer(&durable, "kept").await;
        tokio::spawn(consumer.consume(|_| async {}));
        let consumed = |ledger: &Ledger| edge(ledger, side::CALLEE, "phoenix");
        weighed
            .until("all are consumed", |ledger| {
                let messages = consumed(ledger).get(column::REQUEST_MESSAGES);
                messages.unwrap_or(0) >= i64::try_from(MESSAGES).unwrap()
            })
            .await;
    });
    let published = figure(
        &edge(&ledger, side::CALLER, "phoenix"),
        column::REQUEST_MESSAGES,
    );
    // After a crash RabbitMQ says of all that it kept that it was delivered before.
    let consumed = figure(
        &edge(&ledger, side::CALLEE, "phoenix"),
        column::REQUEST_MESSAGES,
    );
    assert_eq!(published, i64::try_from(MESSAGES).unwrap());
    // What was under way when the broker died may be there although its publisher was told otherwise.
    let errors = figure(&edge(&ledger, side::CALLER, "phoenix"), column::ERRORS);
    assert!(errors >= 3);
    assert!((published..=published + errors).contains(&consumed));
}
