//! Statements by `sqlx` against a real server of PostgreSQL.

#![allow(clippy::unwrap_used)]

#[path = "../examples/sqlx.rs"]
#[allow(dead_code, unreachable_pub)]
mod example;
mod support;

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use futures_util::StreamExt as _;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgQueryResult};
use sqlx::{Executor as _, Postgres, Row as _};
use support::brokers::{Tap, messages};
use support::servers::{self, Server};
use support::stores::{self, entity};
use support::{Ledger, PATIENCE, figure};
use weighbridge_agent::job;
use weighbridge_agent::sqlx::Pool;
use weighbridge_agent::wire::{RowValue, column};

static SERVER: Mutex<Weak<Server>> = Mutex::new(Weak::new());

fn weighed<T: Future<Output = ()>>(test: impl FnOnce(Arc<Server>) -> T) -> Option<Arc<Ledger>> {
    stores::weighed(&SERVER, servers::postgres, test)
}

fn pool(name: &str, port: u16) -> Pool<Postgres> {
    let options = PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(port)
        .username("postgres")
        .database("postgres");
    // It waits while the server starts up.
    let pool = PgPoolOptions::new()
        .acquire_timeout(PATIENCE)
        .max_connections(2)
        .connect_lazy_with(options);
    Pool::new(name, pool)
}

/// Statements, errors and rows.
fn counts(row: &RowValue) -> (i64, i64, Option<i64>) {
    let [statements, errors] = [column::STATEMENTS, column::ERRORS].map(|c| figure(row, c));
    (statements, errors, row.get(column::ROWS))
}

#[test]
fn statements_are_weighed_on_pools_connections_and_transactions() {
    let Some(ledger) = weighed(|server| async move {
        let db = pool("sqlx", server.port).with_rows_affected(PgQueryResult::rows_affected);
        job("whole", async {
            let ddl = "CREATE TABLE product (sku text PRIMARY KEY, price bigint)";
            db.execute(ddl).await.unwrap();
            for n in 0..5i64 {
                let insert = sqlx::query("INSERT INTO product VALUES ($1, $2)");
                let sku = format!("S3CRET-{n}");
                insert.bind(sku).bind(n).execute(&db).await.unwrap();
            }
            let all = sqlx::query("SELECT * FROM product").fetch_all(&db).await;
            assert_eq!(all.unwrap().len(), 5);
            let text = "SELECT price FROM product WHERE sku = 'S3CRET-3'";
            let one: (i64,) = sqlx::query_as(text).fetch_one(&db).await.unwrap();
            assert_eq!(one.0, 3);
            let none = sqlx::query("SELECT 1 FROM product WHERE price = 99");
            assert!(none.fetch_optional(&db).await.unwrap().is_none());
            // Whoever takes one row has one row.
            let mut rows = sqlx::query("SELECT price FROM product ORDER BY price").fetch(&db);
            let first = rows.next().await.unwrap().unwrap();
            assert_eq!(first.get::<i64, _>(0), 0);
            drop(rows);
            // Never polled: nothing ran.
            drop(sqlx::query("SELECT price FROM product").fetch(&db));
            let text = "UPDATE product SET price = price + 1 WHERE price > 2 RETURNING sku";
            assert_eq!(sqlx::query(text).fetch_all(&db).await.unwrap().len(), 2);
        })
        .await;
        job("transactions", async {
            let mut tx = db.begin().await.unwrap();
            sqlx::query("DELETE FROM product WHERE price > 0")
                .execute(&mut tx)
                .await
                .unwrap();
            tx.rollback().await.unwrap();
            let mut one = db.acquire().await.unwrap();
            let mut tx = one.begin().await.unwrap();
            let mut inner = tx.begin().await.unwrap();
            sqlx::query("DELETE FROM product WHERE price = 0")
                .execute(&mut inner)
                .await
                .unwrap();
            inner.commit().await.unwrap();
            tx.commit().await.unwrap();
            let left: i64 = sqlx::query_scalar("SELECT count(*) FROM product")
                .fetch_one(&mut one)
                .await
                .unwrap();
            assert_eq!(left, 4);
        })
        .await;
        job("failures", async {
            let twice = sqlx::query("INSERT INTO product VALUES ('S3CRET-1', 1)");
            let error = twice.execute(&db).await.unwrap_err();
            let error = error.into_database_error().unwrap();
            assert!(error.is_unique_violation(), "unchanged");
            let slow = sqlx::query("SELECT pg_sleep(60), sku FROM product");
            let slow = tokio::time::timeout(Duration::from_millis(50), slow.fetch_all(&db));
            assert!(slow.await.is_err());
        })
        .await;
    }) else {
        return;
    };
    let of = |access| entity(&ledger, "sqlx", "product", access);
    // Inserts, the update that returns, both deletes; rows that were rolled back were deleted all the same.
    assert_eq!(counts(&of("write")), (5 + 1 + 2, 1, Some(5 + 2 + 4 + 1)));
    // All, one, none, the first of many, the count.
    assert_eq!(counts(&of("read")), (5, 1, Some(5 + 1 + 1 + 1)));
    assert!(
        figure(&of("read"), column::WAIT_STORE_NS) >= 50_000_000,
        "the slow one"
    );
    assert!(figure(&of("read"), column::CPU_STORE_NS) > 0);
    let request = ledger.operation("JOB failures", "");
    assert!(figure(&request, column::WAIT_STORE_NS) >= 50_000_000);
    let told = format!("{:?}", ledger.deltas());
    assert!(
        told.contains("product") && !told.contains("S3CRET"),
        "values are nobody's business"
    );
}

#[test]
fn what_is_written_over_connections_that_break_is_counted_once() {
    static TOLD: AtomicI64 = AtomicI64::new(0);
    let n = i64::try_from(messages()).unwrap();
    let Some(ledger) = weighed(|server| async move {
        let tap = Tap::on(server.address()).await;
        let held = pool("held", server.port);
        held.execute("CREATE TABLE sold (n bigint)").await.unwrap();
        let db = pool("cut", tap.address.port()).with_rows_affected(PgQueryResult::rows_affected);
        let told = job("sells", async {
            let mut told = 0;
            for i in 0..n {
                if i % (n / 8) == n / 16 {
                    tap.cut();
                }
                let insert = || sqlx::query("INSERT INTO sold VALUES ($1)").bind(i);
                // The pool sees to new connections.
                while insert().execute(&db).await.is_err() {
                    told += 1;
                }
            }
            told
        })
        .await;
        let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM sold")
            .fetch_one(&held)
            .await
            .unwrap();
        // What was under way may be there although its writer was told otherwise. The pool looks at a connection
        // before it lends it, so most cuts are nobody's errors.
        assert!((n..=n + told).contains(&rows), "{rows} {told}");
        TOLD.store(told, Ordering::Relaxed);
    }) else {
        return;
    };
    let write = entity(&ledger, "cut", "sold", "write");
    assert_eq!(counts(&write), (n, TOLD.load(Ordering::Relaxed), Some(n)));
}

#[test]
fn a_half_open_connection_is_an_error_once() {
    let Some(ledger) = weighed(|server| async move {
        let tap = Tap::on(server.address()).await;
        let db = pool("half open", tap.address.port());
        db.execute("CREATE TABLE half (n int)").await.unwrap();
        let mut one = db.acquire().await.unwrap();
        job("asks", async {
            tap.silence();
            let asked = sqlx::query("SELECT n FROM half").fetch_all(&mut one);
            let given_up = tokio::time::timeout(Duration::from_millis(200), asked).await;
            assert!(given_up.is_err(), "nobody answers");
            tap.cut();
            let asked = sqlx::query("SELECT n FROM half").fetch_all(&mut one);
            assert!(matches!(asked.await.unwrap_err(), sqlx::Error::Io(_)));
        })
        .await;
    }) else {
        return;
    };
    let read = entity(&ledger, "half open", "half", "read");
    assert_eq!(counts(&read), (0, 2, None));
}

#[test]
fn the_example_runs() {
    let Some(ledger) = weighed(|server| async move {
        drop(pool("starting", server.port).acquire().await.unwrap());
        let url = format!("postgres://postgres@127.0.0.1:{}/postgres", server.port);
        example::run(&url).await.unwrap();
    }) else {
        return;
    };
    let write = counts(&entity(&ledger, "store", "price", "write"));
    assert_eq!(write, (10, 0, Some(10)));
}

#[test]
fn a_server_that_is_gone_is_the_clients_own_error_and_counted_once() {
    let Some(ledger) = weighed(|_| async move {
        let own = servers::postgres().unwrap();
        let db = pool("gone", own.port);
        job("gone", async {
            db.execute("CREATE TABLE t (x int)").await.unwrap();
            let mut one = db.acquire().await.unwrap();
            one.execute("INSERT INTO t VALUES (1)").await.unwrap();
            own.stop();
            let error = one.fetch_all("SELECT * FROM t").await.unwrap_err();
            assert!(
                matches!(error, sqlx::Error::Io(_) | sqlx::Error::Database(_)),
                "{error:?}"
            );
        })
        .await;
    }) else {
        return;
    };
    // Without a way to ask the database nobody knows how many rows it changed.
    assert_eq!(counts(&entity(&ledger, "gone", "t", "write")), (1, 0, None));
    assert_eq!(counts(&entity(&ledger, "gone", "t", "read")), (0, 1, None));
}
