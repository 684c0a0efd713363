//! SQLite by rusqlite, at length: each statement and row is counted once, and what statements cost is in class `store`.

#![allow(clippy::unwrap_used)]

mod support;

use support::brokers::{messages, weigh};
use support::{Ledger, figure};
use weighbridge_agent::wire::{Class, RowKind, RowValue, column};
use weighbridge_agent::{job, spawn_blocking, sqlite};

/// How this database's entity was read or written.
fn entity(ledger: &Ledger, name: &str, access: &str) -> RowValue {
    let parts = [(3, "files"), (4, name), (5, access)];
    ledger.select(RowKind::Entity, &parts)
}

/// Statements, errors and rows.
fn counts(row: &RowValue) -> [i64; 3] {
    [column::STATEMENTS, column::ERRORS, column::ROWS].map(|column| figure(row, column))
}

fn sells(n: i64) {
    let db = sqlite::Connection::open_in_memory("files").unwrap();
    db.execute_batch("CREATE TABLE sold (n INTEGER PRIMARY KEY, price INTEGER)")
        .unwrap();
    for i in 0..n {
        let insert = "INSERT INTO sold VALUES (?1, ?2)";
        assert_eq!(db.execute(insert, (i, i % 7)).unwrap(), 1);
        if i % 10 == 3 {
            let text = "SELECT price FROM sold WHERE n = ?1";
            let price: i64 = db.query_row(text, [i], |row| row.get(0)).unwrap();
            assert_eq!(price, i % 7);
        }
        if i % 100 == 5 {
            // There is one already.
            db.execute(insert, (i, 0)).unwrap_err();
        }
    }
    let text = "SELECT price FROM sold";
    let all: Vec<i64> = db.query_map(text, [], |row| row.get(0)).unwrap();
    assert_eq!(i64::try_from(all.len()).unwrap(), n);
}

#[test]
fn each_statement_and_row_is_counted_once() {
    let n = i64::try_from(messages()).unwrap();
    let ledger = weigh("sqlite", move |weighed| async move {
        job("sells", async move {
            spawn_blocking(move || sells(n)).await.unwrap();
        })
        .await;
        weighed.ended("JOB sells", 1).await;
    });
    let write = entity(&ledger, "sold", "write");
    assert_eq!(counts(&write), [n, n / 100, n]);
    let read = entity(&ledger, "sold", "read");
    assert_eq!(counts(&read), [n / 10 + 1, 0, n / 10 + n]);
    let bill = ledger.operation("JOB sells", "");
    let store_ns = bill.class_cpu_ns(Class::Store).unwrap();
    let on_entities: i64 = [&write, &read]
        .map(|row| figure(row, column::CPU_STORE_NS))
        .iter()
        .sum();
    assert!(
        0 < on_entities && on_entities <= store_ns,
        "{on_entities} of {store_ns}"
    );
}
