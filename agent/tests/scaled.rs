//! A clock that scales its pieces: the sums are the kernel's to the nanosecond, and every row that it touched says
//! that its figures are apportioned.

#![cfg(all(target_arch = "x86_64", target_os = "linux"))]
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use support::{Connection, Ledger, burn, clock_mode, figure};
use weighbridge_agent::wire::{
    ALL_CLASSES, Delta, OwnerKey, Quality, RowKind, RowSet, RowValue, column,
};
use weighbridge_agent::{background, spawn};

const ROLE: &str = "WEIGHBRIDGE_TEST_ROLE";
const WORK: Duration = Duration::from_micros(300);
const REQUESTS: i64 = 200;

fn app() -> Router {
    let work = || async {
        burn(WORK);
        // A child on another thread, and a reading on the way.
        spawn(async { burn(WORK) }).await.unwrap();
        "worked"
    };
    Router::new()
        .route("/work", get(work))
        .layer(weighbridge_agent::layer())
}

/// Weighs some requests in windows of 50 ms.
fn weigh() -> std::sync::Arc<Ledger> {
    let agent = support::builder("scaled").window(Duration::from_millis(50));
    support::weigh_server(
        agent,
        |_| app(),
        |served| async move {
            let address = served.address;
            let load = background("client", async move {
                let mut connection = Connection::open(address).await;
                for _ in 0..REQUESTS {
                    let answer = connection.ask("GET /work HTTP/1.1", b"").await;
                    assert_eq!(answer.status, 200);
                }
            });
            tokio::spawn(load).await.unwrap();
        },
    )
}

fn has_cpu(row: &RowValue) -> bool {
    row.cpu_ns() != 0
        || row.get(column::CPU_EXCLUSIVE_NS).is_some()
        || row.histogram(column::HIST_REQUEST_CPU_NS).is_some()
        || ALL_CLASSES
            .iter()
            .any(|class| row.get(class.column()).is_some())
}

/// Qualities of all rows with CPU time but one: what is nobody's is a difference of the kernel's clocks.
fn qualities(rows: &RowSet) -> BTreeSet<&'static str> {
    rows.iter()
        .filter(|(_, row)| has_cpu(row))
        .filter(|(key, _)| OwnerKey::read(key).is_none_or(|key| *key.owner_kind != *"unattributed"))
        .map(|(key, _)| key.quality.as_str())
        .collect()
}

fn subject() {
    let ledger = weigh();
    let deltas = ledger.deltas();
    assert!(deltas.len() > 1, "several windows");
    for delta in &deltas {
        // A machine whose counter does not keep its rate has the thread's clock alone.
        let quality = match &*clock_mode(delta) {
            "scaled" => Quality::Apportioned,
            _ => Quality::Measured,
        };
        assert_eq!(qualities(&delta.rows), BTreeSet::from([quality.as_str()]));
        assert!(counts_are_measured(delta));
    }
    // The ticks are scaled to what the kernel says the threads spent, so nothing of it is lost.
    let row = ledger.operation("GET /work", "");
    assert_eq!(figure(&row, column::ENDED), REQUESTS);
    let burnt = 2 * REQUESTS * i64::try_from(WORK.as_nanos()).unwrap();
    let handled = figure(&row, column::CPU_HANDLER_NS);
    assert!(
        (burnt..burnt * 2).contains(&handled),
        "{handled} of {burnt}"
    );
    support::assert_nothing_in_flight(&ledger);
    support::assert_explained(&ledger, 50);
}

/// What no clock of ours touched keeps its quality.
fn counts_are_measured(delta: &Delta) -> bool {
    delta
        .rows
        .of_kind(RowKind::Process)
        .chain(delta.rows.of_kind(RowKind::Series))
        .all(|(key, _)| key.quality == Quality::Measured)
}

#[test]
fn scaled_windows_are_conserved_and_say_that_they_are_apportioned() {
    if std::env::var_os(ROLE).is_some() {
        subject();
        return;
    }
    for (name, value) in [
        ("WEIGHBRIDGE_CLOCK", "scaled"),
        // A kernel or libc without the flag.
        ("GLIBC_TUNABLES", "glibc.pthread.rseq=0"),
    ] {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["scaled_windows", "--nocapture"])
            .env_remove("WEIGHBRIDGE_CLOCK")
            .env(ROLE, "scaled")
            .env(name, value)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{name}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
