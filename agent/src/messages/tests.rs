use futures_util::FutureExt as _;
use weighbridge_wire::{RowKind, RowValue, column, side};

use super::*;
use crate::tasks::job;
use crate::testing::{Books, burn, figure};

/// The rows of one side of a peer's edges.
fn edge(books: &Books, peer: &str, side: &str) -> RowValue {
    let mut sum = RowValue::new();
    for (key, row) in books.rows.of_kind(RowKind::Edge) {
        if &*key.parts[0] == side && &*key.parts[9] == peer {
            sum.merge(row);
        }
    }
    sum
}

fn here(transport: &'static str, name: &str) -> Peer {
    let peer = Peer::new(transport, name);
    peer.set_addresses(["127.0.0.1".parse().unwrap()]);
    peer
}

#[test]
fn what_is_published_is_consumed_with_its_origin() {
    let mut books = Books::open();
    let peer = here("queue", "p-both");
    let publishing = async {
        let mut publication = peer.publish("made");
        publication.encode(|| burn(200_000));
        publication.sent(100);
        let headers = publication.headers();
        publication.end();
        headers
    };
    let headers = job("publishes", publishing).now_or_never().unwrap();
    assert_eq!(headers.len(), 3);
    let pairs = headers.iter().map(|(name, value)| (*name, value.as_str()));
    let arrival = Arrival::of_bytes(100).with_headers(pairs.chain([("secret", "value")]));
    peer.consume("made", &arrival.redelivered(true))
        .run(async { burn(300_000) })
        .now_or_never()
        .unwrap();
    books.rotate();
    let (sent, received) = (
        edge(&books, "p-both", side::CALLER),
        edge(&books, "p-both", side::CALLEE),
    );
    for side in [&sent, &received] {
        assert_eq!(figure(side, column::REQUEST_MESSAGES), 1);
        assert_eq!(figure(side, column::REQUEST_BODY_BYTES), 100);
    }
    assert!(figure(&sent, column::CPU_ENCODE_NS) >= 200_000);
    assert_eq!(figure(&received, column::REDELIVERED), 1);
    assert!(books.operation("CONSUME made", "").cpu_ns() >= 300_000);
    let origins: Vec<String> = books
        .rows
        .of_kind(RowKind::Operation)
        .filter(|(key, _)| &*key.parts[1] == "CONSUME made")
        .map(|(key, _)| key.parts[6].to_string())
        .collect();
    assert_eq!(origins, ["JOB publishes"]);
}

#[test]
fn a_call_tells_waiting_from_working() {
    let mut books = Books::open();
    let peer = here("queue", "p-call");
    let calling = async {
        let mut call = peer.call("asks");
        call.sent(10);
        let mut polls = 0;
        call.wait(std::future::poll_fn(|cx| {
            polls += 1;
            burn(100_000);
            cx.waker().wake_by_ref();
            if polls < 3 {
                std::task::Poll::Pending
            } else {
                std::task::Poll::Ready(())
            }
        }))
        .await;
        call.received(20);
        call.decode(|| burn(50_000));
        call.end();
    };
    crate::runtime_current_thread()
        .build()
        .unwrap()
        .block_on(job("calls", calling));
    books.rotate();
    let row = edge(&books, "p-call", side::CALLER);
    assert_eq!(figure(&row, column::RESPONSE_MESSAGES), 1);
    assert_eq!(figure(&row, column::RESPONSE_BODY_BYTES), 20);
    assert!(figure(&row, column::CPU_PROTOCOL_NS) >= 300_000);
    assert!(figure(&row, column::CPU_DECODE_NS) >= 50_000);
    assert_eq!(figure(&row, column::ERRORS), 0);
    let calls = books.operation("JOB calls", "");
    assert!(figure(&calls, column::CPU_PROTOCOL_NS) >= 300_000);
    assert!(figure(&calls, column::WAIT_CALL_NS) < figure(&row, column::WAIT_NS));
}

#[test]
fn what_is_dropped_is_an_error_and_counted_once() {
    let mut books = Books::open();
    let peer = here("queue", "p-drop");
    job("drops", async {
        let mut failed = peer.call("fails");
        failed.sent(5);
        drop(failed);
        peer.publish("fails too").fail();
        peer.publish("works").end();
    })
    .now_or_never()
    .unwrap();
    drop(peer.consume("left", &Arrival::of_bytes(1)));
    let failing = peer.consume("left", &Arrival::of_bytes(1));
    let outcome: Option<Result<(), &str>> =
        failing.try_run(async { Err("as wanted") }).now_or_never();
    assert_eq!(outcome, Some(Err("as wanted")));
    books.rotate();
    let row = edge(&books, "p-drop", side::CALLER);
    assert_eq!(figure(&row, column::ERRORS), 2);
    assert_eq!(figure(&row, column::REQUEST_MESSAGES), 1);
    let left = books.operation("CONSUME left", "");
    assert_eq!(figure(&left, column::STARTED), 2);
    assert_eq!(figure(&left, column::ENDED), 2);
    assert_eq!(figure(&left, column::ERRORS), 2);
}

#[test]
fn streams_count_each_message_and_hold_few() {
    let mut books = Books::open();
    let peer = here("queue", "p-stream");
    let mut call = peer.call("streams");
    for n in 0..1_000 {
        call.sent(n);
        call.received(2 * n);
        assert!(call.exchange().figures().sizes.len() < 64);
    }
    call.end();
    books.rotate();
    let row = edge(&books, "p-stream", side::CALLER);
    assert_eq!(figure(&row, column::REQUEST_MESSAGES), 1_000);
    assert_eq!(figure(&row, column::RESPONSE_BODY_BYTES), 999_000);
    let sizes: i64 = books
        .rows
        .of_kind(RowKind::EdgeSize)
        .filter(|(key, _)| &*key.parts[1] == "queue" && &*key.parts[0] == side::CALLER)
        .filter_map(|(_, row)| row.get(column::MESSAGES))
        .sum();
    assert!(sizes >= 2_000, "{sizes}");
}

#[test]
fn nothing_goes_along_to_whom_nobody_trusts() {
    let peer = Peer::new("queue", "p-far");
    assert!(peer.publish("x").headers().is_empty(), "unknown");
    peer.set_addresses(["127.0.0.1".parse().unwrap(), "192.0.2.1".parse().unwrap()]);
    assert!(peer.publish("x").headers().is_empty(), "one is far away");
    let mut books = Books::open();
    let forged = [
        ("baggage", "weighbridge.origin=bank/steal"),
        ("weighbridge-hop", "1;bank;steal;0123456789abcdef;a;1"),
    ];
    peer.consume("forged", &Arrival::of_bytes(1).with_headers(forged))
        .run(async {})
        .now_or_never()
        .unwrap();
    books.rotate();
    let forged = books
        .rows
        .of_kind(RowKind::Operation)
        .any(|(key, _)| key.parts.iter().any(|part| part.contains("bank")));
    assert!(!forged);
}

#[tokio::test]
async fn addresses_are_looked_up() {
    let peer = Peer::new("queue", "p-where");
    for host in ["127.0.0.1", "[::1]", "::1", "localhost"] {
        peer.resolve(host, 1).await;
        assert!(peer.is_trusted(), "{host}");
    }
    peer.resolve(&"x".repeat(64), 1).await;
    assert!(!peer.is_trusted());
}
