//! Statements by `tokio-postgres` against a real server.

#![allow(clippy::unwrap_used)]

#[path = "../examples/postgres.rs"]
#[allow(dead_code, unreachable_pub)]
mod example;
mod support;

use std::pin::pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use support::brokers::{Tap, messages};
use support::logs;
use support::servers::{self, Server};
use support::stores::{self, entity};
use support::{Ledger, PATIENCE, figure};
use tokio_postgres::error::SqlState;
use weighbridge_agent::job;
use weighbridge_agent::postgres::{self, Client, Config, ConnectError};
use weighbridge_agent::wire::{RowKind, RowValue, column};

static SERVER: Mutex<Weak<Server>> = Mutex::new(Weak::new());

fn weighed<T: Future<Output = ()>>(test: impl FnOnce(Arc<Server>) -> T) -> Option<Arc<Ledger>> {
    stores::weighed(&SERVER, servers::postgres, test)
}

fn config(port: u16) -> Config {
    let mut config = Config::new();
    config
        .host("127.0.0.1")
        .port(port)
        .user("postgres")
        .dbname("postgres");
    config
}

async fn connect(name: &str, port: u16) -> Client {
    let attempt = async || loop {
        match postgres::connect(name, &config(port)).await {
            Ok(client) => return client,
            // It starts up.
            Err(ConnectError::Postgres(error))
                if error.code() == Some(&SqlState::CANNOT_CONNECT_NOW) => {}
            Err(error) => panic!("{error:?}"),
        }
    };
    tokio::time::timeout(PATIENCE, attempt()).await.unwrap()
}

/// Statements, errors and rows.
fn counts(row: &RowValue) -> (i64, i64, Option<i64>) {
    let [statements, errors] = [column::STATEMENTS, column::ERRORS].map(|c| figure(row, c));
    (statements, errors, row.get(column::ROWS))
}

#[test]
fn statements_are_weighed_with_entities_and_rows() {
    let Some(ledger) = weighed(|server| async move {
        let mut db = connect("orders", server.port).await;
        job("whole", async {
            let ddl = "CREATE TABLE product (sku text PRIMARY KEY, price bigint); CREATE TABLE stock (sku text, n int)";
            db.batch_execute(ddl).await.unwrap();
            let insert = db.prepare("INSERT INTO product VALUES ($1, $2)").await.unwrap();
            for n in 0..10i64 {
                let rows = db.execute(&insert, &[&format!("S3CRET-{n}"), &n]).await.unwrap();
                assert_eq!(rows, 1);
            }
            let all = db.query("SELECT sku, price FROM product", &[]).await.unwrap();
            assert_eq!(all.len(), 10);
            let one = db
                .query_one("SELECT price FROM public.product WHERE sku = 'S3CRET-7'", &[])
                .await
                .unwrap();
            assert_eq!(one.get::<_, i64>(0), 7);
            let none = db.query_opt("SELECT 1 FROM product WHERE sku = $1", &[&"x"]).await;
            assert!(none.unwrap().is_none());
            let mut rows = pin!(
                db.query_raw("SELECT * FROM product WHERE price < $1", [5i64]).await.unwrap()
            );
            let mut read = 0;
            while let Some(row) = rows.next().await {
                row.unwrap();
                read += 1;
            }
            assert_eq!(read, 5);
            // RETURNING: rows that were written.
            let text = "UPDATE product SET price = price + 1 WHERE price >= $1 RETURNING sku";
            assert_eq!(db.query(text, &[&8i64]).await.unwrap().len(), 2);
            // Several tables: nobody can say whose the rows are.
            let text = "SELECT * FROM product JOIN stock USING (sku)";
            assert!(db.query(text, &[]).await.unwrap().is_empty());
        })
        .await;
        job("copies", async {
            let sink = db.copy_in("COPY stock FROM STDIN").await.unwrap();
            let mut sink = pin!(sink);
            sink.send(&b"S3CRET-1\t5\n"[..]).await.unwrap();
            sink.send(&b"S3CRET-2\t6\n"[..]).await.unwrap();
            assert_eq!(sink.finish().await.unwrap(), 2);
            let mut out = pin!(db.copy_out("COPY stock TO STDOUT").await.unwrap());
            let mut bytes = 0;
            while let Some(piece) = out.next().await {
                bytes += piece.unwrap().len();
            }
            assert_eq!(bytes, 22);
        })
        .await;
        job("transactions", async {
            let mut tx = db.transaction().await.unwrap();
            tx.execute("DELETE FROM stock", &[]).await.unwrap();
            let inner = tx.transaction().await.unwrap();
            inner
                .execute("INSERT INTO stock VALUES ('b', 1)", &[])
                .await
                .unwrap();
            inner.rollback().await.unwrap();
            tx.commit().await.unwrap();
            let tx = db.transaction().await.unwrap();
            tx.execute("INSERT INTO stock VALUES ('c', 1)", &[])
                .await
                .unwrap();
            drop(tx);
            let left = db
                .query_one("SELECT count(*) FROM stock", &[])
                .await
                .unwrap();
            assert_eq!(left.get::<_, i64>(0), 0);
        })
        .await;
        job("failures", async {
            let text = "INSERT INTO product VALUES ('S3CRET-1', 1)";
            let twice = db.execute(text, &[]).await.unwrap_err();
            assert_eq!(twice.code(), Some(&SqlState::UNIQUE_VIOLATION), "unchanged");
            let gone = db.query("SELECT * FROM nowhere", &[]).await.unwrap_err();
            assert_eq!(gone.code(), Some(&SqlState::UNDEFINED_TABLE));
            // Given up by the caller: one error.
            let slow = db.query("SELECT pg_sleep(60), sku FROM product LIMIT 1", &[]);
            assert!(
                tokio::time::timeout(Duration::from_millis(50), slow)
                    .await
                    .is_err()
            );
            db.cancel_token()
                .unwrap()
                .cancel_query(tokio_postgres::NoTls)
                .await
                .unwrap();
            db.query("SELECT 1", &[]).await.unwrap();
        })
        .await;
    }) else {
        return;
    };

    let of = |name, access| entity(&ledger, "orders", name, access);
    let inserted = 10 + 2;
    assert_eq!(counts(&of("product", "write")), (11, 1, Some(inserted)));
    // All, one, none, raw, joined; the one that was given up is an error.
    assert_eq!(counts(&of("product", "read")), (5, 1, Some(10 + 1 + 5)));
    // COPY in, DELETE, both inserts.
    assert_eq!(counts(&of("stock", "write")), (4, 0, Some(2 + 2 + 1 + 1)));
    assert_eq!(figure(&of("stock", "write"), column::BYTES), 22);
    // Joined, COPY out, count.
    assert_eq!(counts(&of("stock", "read")), (3, 0, Some(1)));
    assert_eq!(figure(&of("stock", "read"), column::BYTES), 22);
    assert_eq!(counts(&of("nowhere", "read")), (0, 1, None));

    let product = of("product", "read");
    assert!(
        figure(&product, column::WAIT_STORE_NS) >= 50_000_000,
        "the slow one"
    );
    let request = ledger.operation("JOB failures", "");
    assert!(figure(&request, column::WAIT_STORE_NS) >= figure(&product, column::WAIT_STORE_NS) / 2);
    assert!(figure(&request, column::CPU_STORE_NS) > 0);
    let driver = ledger.select(RowKind::Owner, &[(0, "driver"), (1, "postgres orders")]);
    assert!(figure(&driver, column::CPU_IO_NS) > 0);
    assert!(figure(&driver, column::CPU_PROTOCOL_NS) > 0);
    assert!(!logs::text().contains("S3CRET"));
    let told = format!("{:?}", ledger.deltas());
    assert!(
        told.contains("product") && !told.contains("S3CRET"),
        "values are nobody's business"
    );
}

#[test]
fn what_many_requests_ran_at_once_is_what_the_database_holds() {
    const TASKS: i64 = 8;
    let statements = i64::try_from(messages()).unwrap() / TASKS;
    let Some(ledger) = weighed(|server| async move {
        // One connection for all: statements overlap on it.
        let db = Arc::new(connect("many", server.port).await);
        let ddl = "CREATE TABLE line (task bigint, n bigint)";
        db.batch_execute(ddl).await.unwrap();
        let mut tasks = weighbridge_agent::JoinSet::new();
        for task in 0..TASKS {
            let db = db.clone();
            tasks.spawn(job("write lines", async move {
                let insert = db
                    .prepare("INSERT INTO line VALUES ($1, $2)")
                    .await
                    .unwrap();
                for n in 0..statements {
                    db.execute(&insert, &[&task, &n]).await.unwrap();
                }
            }));
        }
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap();
        }
        let held = db
            .query_one("SELECT count(*) FROM line", &[])
            .await
            .unwrap();
        assert_eq!(held.get::<_, i64>(0), TASKS * statements);
    }) else {
        return;
    };
    let write = entity(&ledger, "many", "line", "write");
    let all = TASKS * statements;
    assert_eq!(counts(&write), (all, 0, Some(all)));
    let requests = ledger.operation("JOB write lines", "");
    assert_eq!(figure(&requests, column::ENDED), TASKS);
    // What stands on the entity is of the requests; they prepared besides. A statement waits from its poll on, a
    // request from the end of its own work on: that is a little less each time.
    let of = |column| (figure(&write, column), figure(&requests, column));
    let (cpu, all_cpu) = of(column::CPU_STORE_NS);
    assert!(0 < cpu && cpu <= all_cpu, "{cpu} of {all_cpu}");
    let (wait, all_wait) = of(column::WAIT_STORE_NS);
    assert!(
        0 < wait && wait <= all_wait / 10 * 11,
        "{wait} of {all_wait}"
    );
}

#[test]
fn what_is_written_over_connections_that_break_is_counted_once() {
    let n = i64::try_from(messages()).unwrap();
    let Some(ledger) = weighed(|server| async move {
        let tap = Tap::on(server.address()).await;
        let held = connect("held", server.port).await;
        let ddl = "CREATE TABLE sold (n bigint)";
        held.batch_execute(ddl).await.unwrap();
        let mut db = connect("cut", tap.address.port()).await;
        let mut told = 0;
        job("sells", async {
            for i in 0..n {
                if i % (n / 8) == n / 16 {
                    tap.cut();
                }
                let insert = "INSERT INTO sold VALUES ($1)";
                while db.execute(insert, &[&i]).await.is_err() {
                    told += 1;
                    db = connect("cut", tap.address.port()).await;
                }
            }
        })
        .await;
        let count = "SELECT count(*), count(DISTINCT n) FROM sold";
        let row = held.query_one(count, &[]).await.unwrap();
        let (rows, different): (i64, i64) = (row.get(0), row.get(1));
        assert_eq!(different, n);
        // What was under way may be there although its writer was told otherwise.
        assert!((n..=n + told).contains(&rows) && told >= 1, "{rows} {told}");
        ERRORS.store(told, Ordering::Relaxed);
    }) else {
        return;
    };
    static ERRORS: AtomicI64 = AtomicI64::new(0);
    let write = entity(&ledger, "cut", "sold", "write");
    assert_eq!(counts(&write), (n, ERRORS.load(Ordering::Relaxed), Some(n)));
    let requests = ledger.operation("JOB sells", "");
    assert_eq!(figure(&requests, column::ENDED), 1);
    assert!(figure(&write, column::CPU_STORE_NS) <= figure(&requests, column::CPU_STORE_NS));
}

#[test]
fn a_half_open_connection_is_an_error_once() {
    let Some(ledger) = weighed(|server| async move {
        let tap = Tap::on(server.address()).await;
        let db = connect("half open", tap.address.port()).await;
        db.batch_execute("CREATE TABLE half (n int)").await.unwrap();
        job("asks", async {
            tap.silence();
            let asked = db.query("SELECT n FROM half", &[]);
            let given_up = tokio::time::timeout(Duration::from_millis(200), asked).await;
            assert!(given_up.is_err(), "nobody answers");
            // The client's own error, when the connection is known to be gone.
            tap.cut();
            let error = db.query("SELECT n FROM half", &[]).await.unwrap_err();
            assert!(error.is_closed(), "{error:?}");
        })
        .await;
    }) else {
        return;
    };
    let read = entity(&ledger, "half open", "half", "read");
    assert_eq!(counts(&read), (0, 2, None));
    assert!(figure(&read, column::WAIT_STORE_NS) >= 150_000_000);
}

#[test]
fn the_example_runs() {
    let Some(ledger) = weighed(|server| async move {
        drop(connect("starting", server.port).await);
        let settings = format!("host=127.0.0.1 port={} user=postgres", server.port);
        example::run(&settings).await.unwrap();
    }) else {
        return;
    };
    let write = counts(&entity(&ledger, "store", "price", "write"));
    assert_eq!(write, (11, 0, Some(20)));
}

#[test]
fn a_server_that_is_gone_is_the_clients_own_error_and_counted_once() {
    let Some(ledger) = weighed(|_| async move {
        let own = servers::postgres().unwrap();
        let db = connect("gone", own.port).await;
        job("gone", async {
            db.batch_execute("CREATE TABLE t (x int)").await.unwrap();
            db.execute("INSERT INTO t VALUES (1)", &[]).await.unwrap();
            own.stop();
            let error = db.query("SELECT * FROM t", &[]).await.unwrap_err();
            assert!(error.is_closed() || error.code().is_some(), "{error:?}");
            let error = db
                .execute("INSERT INTO t VALUES (2)", &[])
                .await
                .unwrap_err();
            assert!(error.is_closed(), "{error:?}");
            assert!(db.is_closed());
            // The connection's own task tells that it ended, and not what the server said.
            assert!(logs::text().contains("the connection ended"));
        })
        .await;
        let refused = postgres::connect("gone", &config(own.port))
            .await
            .unwrap_err();
        assert!(
            matches!(refused, ConnectError::Unreachable(_)),
            "{refused:?}"
        );
    }) else {
        return;
    };
    assert_eq!(
        counts(&entity(&ledger, "gone", "t", "write")),
        (1, 1, Some(1))
    );
    assert_eq!(counts(&entity(&ledger, "gone", "t", "read")), (0, 1, None));
}
