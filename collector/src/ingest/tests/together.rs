//! Spans that come in several requests at the same time.

use std::sync::PoisonError;

use prost::Message as _;

use super::*;
use crate::otlp::{Format, Signal};
use crate::testing::otlp::{self, SpanSpec, traces};

async fn send_spans(engine: &Engine, ids: [u64; 2]) {
    let spans = ids.map(|id| SpanSpec::server(id).named("GET /"));
    let body = traces("shop", spans.to_vec()).encode_to_vec();
    let outcome = otlp::send(engine, Signal::Traces, Format::Protobuf, body).await;
    assert_eq!(outcome.tally.rejected(), 0, "{outcome:?}");
}

/// Requests ended, of all windows.
fn ended(engine: &Engine) -> i64 {
    let view = engine.view("", 0, u64::MAX).unwrap();
    view.map(|folded| {
        let rows = folded.unwrap().rows;
        let ended = rows.of_kind(RowKind::Operation);
        ended
            .filter_map(|(_, row)| row.get(column::ENDED))
            .sum::<i64>()
    })
    .sum()
}

#[test]
fn a_span_in_two_requests_that_are_committed_together_counts_once() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let engine = Arc::new(start(Arc::new(MemoryStore::new(1_000))));
    let send = |ids| {
        let engine = engine.clone();
        runtime.spawn(async move { send_spans(&engine, ids).await })
    };
    let sent = {
        // While somebody reads, the writer waits after its commit, and what comes meanwhile is committed together.
        let _reader = engine
            .shared
            .pending
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let first = send([1, 2]);
        // Who waits to write lets nobody read any more.
        let waits = || engine.shared.pending.try_read().is_err();
        runtime.block_on(eventually("the writer waits after its commit", waits));
        let others = [[3, 4], [4, 5], [5, 1]].map(send);
        let queued = || {
            let metrics = engine.shared.metrics.encode();
            metrics.lines().any(|line| line.ends_with("queue_deltas 3"))
        };
        runtime.block_on(eventually("the others stand in the queue", queued));
        assert!(others.iter().all(|other| !other.is_finished()));
        [first].into_iter().chain(others).collect::<Vec<_>>()
    };
    for sent in sent {
        runtime.block_on(sent).unwrap();
    }
    assert_eq!(ended(&engine), 5);
    engine.stop();
}
