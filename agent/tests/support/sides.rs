//! Both sides of an edge.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;
use weighbridge_agent::wire::{Delta, Quality, RowKey, RowKind, RowValue, column};

use super::{Ledger, PATIENCE, Served};

/// Both sides of the edges to a peer: the caller's rows, and the callee's with the same call ids.
pub fn caller_and_callee(ledger: &Ledger, peer: &str) -> [RowValue; 2] {
    let rows = ledger.rows();
    let (mut caller, mut callee) = (RowValue::new(), RowValue::new());
    let mut ids = BTreeSet::new();
    for (key, row) in rows.of_kind(RowKind::Edge) {
        if &*key.parts[0] == "caller" && &*key.parts[9] == peer {
            caller.merge(row);
            ids.insert(key.parts[8].clone());
        }
    }
    for (key, row) in rows.of_kind(RowKind::Edge) {
        if &*key.parts[0] == "callee" && ids.contains(&key.parts[8]) {
            callee.merge(row);
        }
    }
    [caller, callee]
}

/// Messages and bytes of both directions; none where nothing was recorded.
pub fn passed(edge: &RowValue) -> [i64; 4] {
    [
        column::REQUEST_MESSAGES,
        column::REQUEST_BODY_BYTES,
        column::RESPONSE_MESSAGES,
        column::RESPONSE_BODY_BYTES,
    ]
    .map(|column| edge.get(column).unwrap_or(0))
}

/// Ends windows until so many requests to a peer were sent, and as many received.
pub async fn settled(served: &Served, peer: &str, sent: i64) -> [RowValue; 2] {
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(served.agent.flush(PATIENCE));
        let both = caller_and_callee(&served.ledger, peer);
        let counted = both.each_ref().map(passed);
        if counted.iter().all(|side| side[0] >= sent) {
            return both;
        }
        assert!(Instant::now() < deadline, "{peer}: {counted:?} of {sent}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// The caller's side, once so many errors were counted on it.
pub async fn failed(served: &Served, peer: &str, errors: i64) -> RowValue {
    let caller = || caller_and_callee(&served.ledger, peer)[0].clone();
    let is_counted = || caller().get(column::ERRORS).unwrap_or(0) >= errors;
    served.until(peer, is_counted).await;
    caller()
}

/// What was apportioned to the edges of a peer as protocol, and what the driver of that name spent so, in ns; in windows
/// whose clock did not scale. In others all CPU is apportioned, and what a call's own connection cost is among it.
pub fn apportioned(ledger: &Ledger, peer: &str) -> Option<[i64; 2]> {
    let deltas = ledger.deltas();
    let told: Vec<&Delta> = deltas.iter().filter(|delta| !is_scaled(delta)).collect();
    let protocol = |kind, is: &dyn Fn(&RowKey) -> bool| -> i64 {
        told.iter()
            .flat_map(|delta| delta.rows.of_kind(kind))
            .filter(|(key, _)| is(key))
            .filter_map(|(_, row)| row.get(column::CPU_PROTOCOL_NS))
            .sum()
    };
    let shares = protocol(RowKind::Edge, &|key| {
        key.quality == Quality::Apportioned && &*key.parts[9] == peer
    });
    let spent = protocol(RowKind::Owner, &|key| {
        &*key.parts[0] == "driver" && &*key.parts[1] == peer
    });
    (!told.is_empty()).then_some([shares, spent])
}

/// Did the clock scale pieces of this window? Nobody shares what the agent spends, which is in each window.
fn is_scaled(delta: &Delta) -> bool {
    delta
        .rows
        .of_kind(RowKind::Owner)
        .any(|(key, _)| &*key.parts[0] == "agent" && key.quality == Quality::Apportioned)
}

/// What this driver spent is on the edges of the peer, to the nanosecond, in each window with messages, and stays its
/// own in others. Returns how much is on edges, in ns.
pub fn assert_shared_out(ledger: &Ledger, owner: &str, peer: &str) -> i64 {
    const CARRIED: [u32; 2] = [column::CPU_PROTOCOL_NS, column::CPU_IO_NS];
    let sum = |row: &RowValue| -> i64 { CARRIED.iter().filter_map(|c| row.get(*c)).sum() };
    let mut shown = 0;
    for delta in ledger.deltas() {
        let mut spent = 0;
        for (key, row) in delta.rows.of_kind(RowKind::Owner) {
            if &*key.parts[0] == "driver" && &*key.parts[1] == owner {
                spent += sum(row);
            }
        }
        let (mut messages, mut shared) = (0, None);
        for (key, row) in delta.rows.of_kind(RowKind::Edge) {
            if &*key.parts[9] != peer {
                continue;
            }
            let passed = passed(row);
            messages += passed[0] + passed[2];
            if key.quality == Quality::Apportioned {
                *shared.get_or_insert(0) += sum(row);
            }
        }
        match shared {
            Some(shared) => assert_eq!(shared, spent, "{owner} on edges to {peer}"),
            None => assert!(spent == 0 || messages == 0, "{spent} of {owner} on no edge"),
        }
        shown += shared.unwrap_or(0);
    }
    shown
}
