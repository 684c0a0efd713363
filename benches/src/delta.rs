//! A delta to encode and decode.

use weighbridge_wire::{
    Delta, EdgeKey, Epoch, Identity, OperationKey, Quality, RowSet, RowValue, Totals, Window,
    column, mode, side,
};

/// A delta of `rows` rows in the proportions of a busy service: a quarter operations with a histogram each,
/// the rest edges. `seed` varies the figures, not the keys.
#[must_use]
pub fn delta(rows: usize, seed: u64) -> Delta {
    delta_of(rows, seed, 100)
}

/// [`delta`] with so many requests a row.
#[must_use]
pub fn delta_of(rows: usize, seed: u64, requests: u64) -> Delta {
    let count = i64::try_from(requests).unwrap_or(i64::MAX);
    let mut set = RowSet::default();
    for n in 0..rows {
        let figure = i64::try_from((n as u64 + 1) * (seed + 3) * 7_919 % 1_000_003).unwrap_or(1);
        if n % 4 == 0 {
            let key = OperationKey {
                component: "".into(),
                operation: format!("GET /resource-{n}/{{id}}").into(),
                class: "".into(),
                caller_service: "store".into(),
                caller_operation: "POST /orders".into(),
                origin_service: "store".into(),
                origin_operation: "POST /orders".into(),
            };
            let mut value = RowValue::new()
                .with(column::STARTED, count)
                .with(column::ENDED, count)
                .with(column::CPU_HANDLER_NS, figure)
                .with(column::CPU_ENCODE_NS, figure / 3)
                .with(column::CPU_PROTOCOL_NS, figure / 5)
                .with(column::ALLOC_BYTES, figure * 4);
            for request in 0..requests {
                value
                    .histogram_mut(column::HIST_REQUEST_CPU_NS)
                    .record(u64::try_from(figure).unwrap_or(1) + request * request * 37);
            }
            set.add(key.row_key(Quality::Measured), &value);
        } else {
            let key = EdgeKey {
                side: side::CALLER.into(),
                mode: mode::SYNC.into(),
                transport: "http".into(),
                component: "".into(),
                operation: format!("GET /resource-{}/{{id}}", n / 4 * 4).into(),
                class: "".into(),
                peer_service: "".into(),
                peer_operation: "".into(),
                call_id: format!("{n:016x}").into(),
                peer: "warehouse".into(),
                target: format!("GET /part-{n}").into(),
                origin_service: "store".into(),
                origin_operation: "POST /orders".into(),
            };
            let value = RowValue::new()
                .with(column::REQUEST_MESSAGES, count)
                .with(column::REQUEST_BODY_BYTES, figure)
                .with(column::RESPONSE_MESSAGES, count)
                .with(column::RESPONSE_BODY_BYTES, figure * 2)
                .with(column::CPU_ENCODE_NS, figure / 7)
                .with(column::WAIT_NS, figure * 9);
            set.add(key.row_key(Quality::Measured), &value);
        }
    }
    Delta {
        identity: Identity {
            service: "store".into(),
            instance: "store-1".into(),
            ..Identity::default()
        },
        epoch: Epoch([7; 16]),
        seq: seed,
        window: Window {
            start_unix_ns: 1_700_000_000_000_000_000,
            end_unix_ns: 1_700_000_010_000_000_000,
        },
        rows: set,
        cumulative: Totals::default(),
        tombstones: Vec::new(),
    }
}
