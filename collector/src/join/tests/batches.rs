//! A consumer that takes many messages at once: one request, and an edge for each message.

use super::*;

fn over_nats(span: SpanSpec) -> SpanSpec {
    span.with("messaging.system", "nats")
        .with("messaging.destination.name", "t")
}

/// A request that publishes one message, in a trace of its own. The message is span 2 of it.
fn publisher(trace: u128, route: &str) -> Vec<SpanSpec> {
    let mut request = SpanSpec::server(1)
        .with("http.request.method", "GET")
        .with("http.route", route);
    let mut message = over_nats(SpanSpec::producer(2).child_of(1));
    request.trace = trace;
    message.trace = trace;
    vec![request, message]
}

/// A consumer of these messages.
fn consumer(of: &[u128]) -> SpanSpec {
    let mut consumer = over_nats(SpanSpec::consumer(3)).failed();
    consumer.trace = 9;
    consumer.link_trace = of[0];
    consumer.link = 2;
    consumer.further_links = of[1..].iter().map(|trace| (*trace, 2)).collect();
    consumer.start_unix_ns += SECOND_NS;
    consumer.end_unix_ns += SECOND_NS;
    consumer
}

#[tokio::test]
async fn every_message_of_a_batch_is_received_over_its_edge_and_the_batch_is_one_request() {
    let mut parts = vec![
        ("shop", publisher(1, "/a")),
        ("web", publisher(2, "/b")),
        ("web", publisher(3, "/b")),
        ("mail", vec![consumer(&[1, 2, 3])]),
    ];
    for _ in 0..parts.len() {
        parts.rotate_right(1);
        for with_restarts in [false, true] {
            let store = Arc::new(MemoryStore::new(1_000));
            let mut engine = start(store.clone());
            for (service, spans) in &parts {
                send(&engine, service, spans.clone()).await;
                if with_restarts {
                    engine.stop();
                    engine = start(store.clone());
                }
            }
            let rows = rows(&engine);
            assert_eq!(
                requests(&rows),
                [
                    "mail CONSUME t <- shop GET /a of shop GET /a: 1",
                    "shop GET /a <-   of shop GET /a: 1",
                    "web GET /b <-   of web GET /b: 2",
                ]
            );
            let mut edges = edges(&rows);
            edges.sort();
            assert_eq!(
                edges,
                [
                    "mail CONSUME t <- nats shopGET /a t GET /a: 1",
                    "mail CONSUME t <- nats webGET /b t GET /b: 2",
                    "shop GET /a -> nats  t GET /a: 1",
                    "web GET /b -> nats  t GET /b: 2",
                ]
            );
            let sum = |column| -> i64 {
                let edges = rows["mail"].of_kind(RowKind::Edge);
                edges.filter_map(|(_, value)| value.get(column)).sum()
            };
            assert_eq!(sum(column::ERRORS), 3, "none of them went well");
            assert_eq!(sum(column::WALL_NS), 1_000_000, "the time passed once");
            assert_eq!(sum(column::WAIT_NS), 3 * 999_000_000, "each waited");
            engine.stop();
        }
    }
}
