//! Reading and making rows.

use weighbridge_wire::{
    Delta, EdgeKey, Epoch, FoldedRange, Identity, OperationKey, OwnerKey, ProcessKey, Quality,
    RowKind, RowSet, RowValue, Totals, Window, column, side,
};

use crate::clock;

/// All rows of one service in a range, merged.
#[must_use]
pub fn of_service(range: &FoldedRange, service: &str) -> RowSet {
    let mut rows = RowSet::default();
    for window in range
        .windows
        .iter()
        .filter(|window| window.service.service == service)
    {
        rows.merge(&window.rows);
    }
    rows
}

/// Sum of a column over the rows of a kind; absent columns are left out.
#[must_use]
pub fn sum(rows: &RowSet, kind: RowKind, column: u32) -> i64 {
    rows.of_kind(kind)
        .filter_map(|(_, value)| value.get(column))
        .sum()
}

/// What conservation sums: all operation and owner rows. Written again here on purpose: what the
/// product computes is what these tests check.
#[must_use]
pub fn accounts_cpu_ns(rows: &RowSet) -> i64 {
    rows.iter()
        .filter(|(key, _)| OperationKey::read(key).is_some() || OwnerKey::read(key).is_some())
        .map(|(_, value)| value.cpu_ns())
        .sum()
}

/// CPU of one owner kind.
#[must_use]
pub fn owner_cpu_ns(rows: &RowSet, owner_kind: &str) -> i64 {
    rows.iter()
        .filter(|(key, _)| OwnerKey::read(key).is_some_and(|key| &*key.owner_kind == owner_kind))
        .map(|(_, value)| value.cpu_ns())
        .sum()
}

/// One side of an edge, summed: request messages, request body bytes, response messages, response body bytes.
#[must_use]
pub fn edge_messages(rows: &RowSet, side: &str, call_id: &str) -> [i64; 4] {
    let mut sums = [0; 4];
    for (key, value) in rows.iter() {
        let Some(edge) = EdgeKey::read(key) else {
            continue;
        };
        if &*edge.side == side && &*edge.call_id == call_id {
            for (sum, column) in sums.iter_mut().zip([
                column::REQUEST_MESSAGES,
                column::REQUEST_BODY_BYTES,
                column::RESPONSE_MESSAGES,
                column::RESPONSE_BODY_BYTES,
            ]) {
                *sum += value.get(column).unwrap_or(0);
            }
        }
    }
    sums
}

/// The ids of the calls that a service makes, with their targets.
#[must_use]
pub fn calls_made(rows: &RowSet) -> Vec<(String, String)> {
    let mut calls: Vec<(String, String)> = rows
        .iter()
        .filter_map(|(key, _)| EdgeKey::read(key))
        .filter(|edge| &*edge.side == side::CALLER)
        .map(|edge| (edge.target.to_string(), edge.call_id.to_string()))
        .collect();
    calls.sort();
    calls.dedup();
    calls
}

/// The process rows of a service, merged.
#[must_use]
pub fn process(rows: &RowSet) -> RowValue {
    let mut all = RowValue::new();
    for (key, value) in rows.iter() {
        if ProcessKey::read(key).is_some() {
            all.merge(value);
        }
    }
    all
}

/// A small valid delta of `service`, `seq` of the process `epoch`, in the window of a second that ended
/// `age_s` seconds ago. It holds one operation with `ended` requests of 1000 ns each.
#[must_use]
pub fn delta(service: &str, epoch: u8, seq: u64, age_s: u64, ended: u64) -> Delta {
    let second = 1_000_000_000;
    let end_unix_ns = (clock::unix_ns() / second).saturating_sub(age_s) * second;
    let ended_i64 = i64::try_from(ended).unwrap_or(i64::MAX);
    let mut rows = RowSet::default();
    let key = OperationKey {
        component: "".into(),
        operation: "GET /thing".into(),
        class: "".into(),
        caller_service: "".into(),
        caller_operation: "".into(),
        origin_service: service.into(),
        origin_operation: "GET /thing".into(),
    };
    rows.add(
        key.row_key(Quality::Measured),
        &RowValue::new()
            .with(column::STARTED, ended_i64)
            .with(column::ENDED, ended_i64)
            .with(column::CPU_HANDLER_NS, 1_000 * ended_i64),
    );
    let ended_before = ended * seq;
    Delta {
        identity: Identity {
            service: service.into(),
            instance: format!("{service}-{epoch}"),
            ..Identity::default()
        },
        epoch: Epoch([epoch; 16]),
        seq,
        window: Window {
            start_unix_ns: end_unix_ns - second,
            end_unix_ns,
        },
        rows,
        cumulative: Totals {
            started: ended_before + ended,
            ended: ended_before + ended,
            process_cpu_ns: 1_000 * i64::try_from(ended_before + ended).unwrap_or(i64::MAX),
            accounts_cpu_ns: 1_000 * i64::try_from(ended_before + ended).unwrap_or(i64::MAX),
        },
        tombstones: Vec::new(),
    }
}
