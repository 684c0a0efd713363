//! Two machines whose clocks contradict each other: clamped, and counted once for each call.

use std::time::Duration;

use super::disk::{RULES_WINDOW_NS, derive};
use super::*;
use crate::join::Joiner;
use crate::store::FoldBatch;

/// Joins a call and its answer, in both orders. Returns how many calls contradict each other's clocks, and the lags that
/// stand in the rows.
fn joined(call: &SpanSpec, answer: &SpanSpec) -> (u64, i64) {
    let mut outcomes = Vec::new();
    for call_first in [true, false] {
        let mut joiner = Joiner::new(RULES_WINDOW_NS, WITHIN);
        let mut pending = FoldBatch::default();
        let mut parts = vec![("shop", call), ("mail", answer)];
        if !call_first {
            parts.reverse();
        }
        for (service, span) in parts {
            let derived = derive(service, vec![span.clone()]);
            joiner.take(&derived, Duration::from_secs(1), &mut pending, 1_000);
        }
        let lags: i64 = pending
            .windows
            .values()
            .flat_map(|rows| rows.of_kind(RowKind::Edge))
            .filter_map(|(_, value)| value.get(column::WAIT_NS))
            .sum();
        let failed = joiner.take_counts().failed;
        outcomes.push((failed.values().map(|of| of.skewed).sum(), lags));
    }
    assert_eq!(outcomes[0], outcomes[1], "the order matters");
    outcomes[0]
}

fn published() -> SpanSpec {
    SpanSpec::producer(1)
        .with("messaging.system", "nats")
        .with("messaging.destination.name", "t")
}

fn consumed(start_after_ns: i64) -> SpanSpec {
    let mut consumer = SpanSpec::consumer(2)
        .linked_to(1)
        .with("messaging.system", "nats")
        .with("messaging.destination.name", "t");
    consumer.start_unix_ns = published()
        .end_unix_ns
        .checked_add_signed(start_after_ns)
        .unwrap();
    consumer.end_unix_ns = consumer.start_unix_ns + 1_000;
    consumer
}

#[test]
fn a_message_consumed_before_it_was_sent_lags_by_nothing_and_is_counted() {
    assert_eq!(joined(&published(), &consumed(250)), (0, 250));
    assert_eq!(joined(&published(), &consumed(-250)), (1, 0));
}

#[test]
fn an_answer_that_was_there_before_it_was_given_is_counted() {
    let http = |span: SpanSpec| {
        span.with("http.request.method", "GET")
            .with("http.route", "/")
    };
    let call = http(SpanSpec::client(1));
    let mut answer = http(SpanSpec::server(2).child_of(1));
    answer.start_unix_ns += 10;
    answer.end_unix_ns = call.end_unix_ns - 10;
    assert_eq!(joined(&call, &answer).0, 0);
    answer.end_unix_ns = call.end_unix_ns + 10;
    assert_eq!(joined(&call, &answer).0, 1);
}
