//! Measuring that is switched off and on again in the middle of connections and requests: what is weighed is whole,
//! the rest is nobody's, and each window adds up.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use support::{Connection, Ledger, PATIENCE, builder, burn, figure, weigh_server};
use tokio::sync::Notify;
use weighbridge_agent::bench::{pause, resume};
use weighbridge_agent::wire::{RowKind, column};

const WORK: Duration = Duration::from_millis(10);
const WORK_NS: i64 = 10_000_000;

/// Two gates for the handler `/wait`: it has come so far, and it may go on.
#[derive(Clone, Default)]
struct Gates(Arc<[Notify; 2]>);

fn app(gates: Gates) -> Router {
    let wait = move |Path(_): Path<String>| async move {
        gates.0[0].notify_one();
        gates.0[1].notified().await;
        burn(WORK);
        "waited"
    };
    // What a request that begins sees switched on or off by its own hand, in the middle of a poll.
    let switch = |Path(on): Path<bool>| async move {
        if on {
            resume();
        } else {
            pause();
        }
        burn(WORK);
        "switched"
    };
    Router::new()
        .route("/work", get(async || burn(WORK)))
        .route("/wait/{when}", get(wait))
        .route("/switch/{on}", get(switch))
        .layer(weighbridge_agent::layer())
}

fn counts(ledger: &Ledger, operation: &str) -> [i64; 2] {
    let row = ledger.operation(operation, "");
    [column::STARTED, column::ENDED].map(|column| row.get(column).unwrap_or(0))
}

#[test]
fn switching_in_the_middle_keeps_what_is_weighed_whole() {
    let gates = Gates::default();
    let open = gates.clone();
    let ledger = weigh_server(
        builder("toggle"),
        |_| app(gates),
        |served| async move {
            let mut connection = Connection::open(served.address).await;
            let mut other = Connection::open(served.address).await;
            connection.ask("GET /work HTTP/1.1", b"").await;

            // A request that begins and ends while nothing is measured.
            served.ended("GET /work", 1).await;
            pause();
            connection.ask("GET /work HTTP/1.1", b"").await;
            // One that begins so, and goes on when something is.
            connection.send("GET /wait/off HTTP/1.1", b"").await;
            open.0[0].notified().await;
            resume();
            open.0[1].notify_one();
            connection.answer().await;
            connection.ask("GET /work HTTP/1.1", b"").await;

            // One that begins weighed, and outlives the stretch in which it began.
            other.send("GET /wait/on HTTP/1.1", b"").await;
            open.0[0].notified().await;
            served.ended("GET /work", 2).await;
            pause();
            open.0[1].notify_one();
            other.answer().await;
            resume();
            other.ask("GET /work HTTP/1.1", b"").await;

            served.ended("GET /work", 3).await;
            // Switched within the poll, the connection's account being entered or not.
            connection.ask("GET /switch/false HTTP/1.1", b"").await;
            connection.ask("GET /switch/true HTTP/1.1", b"").await;
            // Whatever these polls left behind, this is nobody's request.
            for _ in 0..4 {
                tokio::spawn(async { burn(WORK) }).await.unwrap();
            }
            connection.ask("GET /work HTTP/1.1", b"").await;
            other.ask("GET /work HTTP/1.1", b"").await;
            assert!(served.agent.flush(PATIENCE));
        },
    );
    let work = ledger.operation("GET /work", "");
    assert_eq!(counts(&ledger, "GET /work"), [5, 5]);
    let handler = figure(&work, column::CPU_HANDLER_NS);
    assert!(
        (5 * WORK_NS..6 * WORK_NS).contains(&handler),
        "five were weighed, and nothing else is theirs: {handler}"
    );
    assert_eq!(
        counts(&ledger, "GET /wait/{when}"),
        [1, 0],
        "one was seen to begin, and none to end in the stretch in which it began"
    );
    let row = ledger.operation("GET /wait/{when}", "");
    let waited = figure(&row, column::CPU_HANDLER_NS);
    assert!(
        waited < WORK_NS,
        "the work came in another stretch: {waited}"
    );
    let connection = ledger.select(RowKind::Owner, &[(0, "connection"), (1, "http1")]);
    let connection =
        figure(&connection, column::CPU_HANDLER_NS) + figure(&connection, column::CPU_PROTOCOL_NS);
    assert!(
        connection < WORK_NS,
        "no handler is a connection's: {connection}"
    );
    let runtime = ledger.select(
        RowKind::Owner,
        &[(0, "runtime"), (1, "runtime or unwrapped")],
    );
    let runtime = figure(&runtime, column::CPU_HANDLER_NS);
    assert!(runtime >= 4 * WORK_NS, "the bare tasks: {runtime}");
}
