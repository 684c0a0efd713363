//! How long a delta of 200 rows takes to write and to read, beside what the generated decoder alone takes
//! for the same bytes: `cargo run --release -p weighbridge-wire --example decode_speed`.
//!
//! Each figure is the fastest of 50 blocks, since whatever else runs only makes a block slower.
#![allow(clippy::print_stdout, clippy::disallowed_methods)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use prost::Message as _;
use weighbridge_wire::{
    Delta, EdgeKey, Epoch, Identity, OperationKey, Quality, RowSet, Totals, Window, column, pb,
};

const BLOCKS: u32 = 50;
const RUNS: u32 = 40;

fn fastest<T>(mut run: impl FnMut() -> T) -> Duration {
    let mut best = Duration::MAX;
    for _ in 0..BLOCKS {
        let start = Instant::now();
        for _ in 0..RUNS {
            black_box(run());
        }
        best = best.min(start.elapsed() / RUNS);
    }
    best
}

/// 100 operation rows with 16 columns, 100 edge rows with 8; every tenth row has a histogram of 20 buckets.
fn delta() -> Delta {
    let mut rows = RowSet::new();
    for n in 0..100i64 {
        let operation = format!("GET /resource-{}/{{id}}", n / 4);
        let caller = format!("caller-{}", n % 4);
        let key = OperationKey {
            component: "".into(),
            operation: operation.as_str().into(),
            class: "".into(),
            caller_service: caller.as_str().into(),
            caller_operation: "GET /".into(),
            origin_service: "edge".into(),
            origin_operation: "GET /".into(),
        };
        let row = rows.row_mut(key.row_key(Quality::Measured));
        for (column, at) in (column::STARTED..).step_by(4).zip(1..=16) {
            row.add(column, 1_000_003 * (n + 1) * at);
        }
        if n % 10 == 0 {
            let wall = row.histogram_mut(column::HIST_WALL_NS);
            (1..=20).for_each(|v| wall.record(v * v * 10_000));
        }
        let key = EdgeKey {
            side: "caller".into(),
            mode: "sync".into(),
            transport: "http".into(),
            component: "".into(),
            operation: operation.as_str().into(),
            class: "".into(),
            peer_service: "".into(),
            peer_operation: "".into(),
            call_id: format!("{n:016x}").into(),
            peer: "warehouse".into(),
            target: format!("GET /stock-{n}/{{sku}}").into(),
            origin_service: "edge".into(),
            origin_operation: "GET /".into(),
        };
        let row = rows.row_mut(key.row_key(Quality::Measured));
        for (column, at) in (column::REQUEST_MESSAGES..).step_by(4).zip(1..=8) {
            row.add(column, 1_003 * (n + 1) * at);
        }
    }
    Delta {
        identity: Identity {
            service: "store".into(),
            ..Identity::default()
        },
        epoch: Epoch([7; 16]),
        seq: 1,
        window: Window {
            start_unix_ns: 1,
            end_unix_ns: 2,
        },
        rows,
        cumulative: Totals::default(),
        tombstones: Vec::new(),
    }
}

fn main() -> Result<(), weighbridge_wire::DecodeError> {
    let delta = delta();
    let bytes = delta.encode();
    let read = Delta::decode(&bytes)?;
    println!("rows        {}", read.rows.len());
    println!("bytes       {}", bytes.len());
    println!("encode      {:?}", fastest(|| delta.encode()));
    println!("decode      {:?}", fastest(|| Delta::decode(&bytes)));
    println!(
        "prost alone {:?}",
        fastest(|| pb::Delta::decode(bytes.as_slice()))
    );
    let mut folded = read.rows.clone();
    println!("merge       {:?}", fastest(|| folded.merge(&read.rows)));
    Ok(())
}
