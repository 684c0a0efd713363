//! Statements by `sqlx` on SQLite.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::sqlite::{SqlitePoolOptions, SqliteQueryResult};
use weighbridge_agent::sqlx::Pool;
use weighbridge_agent::wire::{Delta, RowKind, RowValue, column};
use weighbridge_agent::{Delivery, Sink, job};

#[derive(Default)]
struct Ledger(Mutex<Vec<Delta>>);

impl Sink for Ledger {
    fn deliver(&self, delta: &[u8]) -> Delivery {
        self.0.lock().unwrap().push(Delta::decode(delta).unwrap());
        Delivery::Accepted
    }
}

impl Ledger {
    fn entity(&self, entity: &str, access: &str) -> RowValue {
        let mut sum = RowValue::new();
        for delta in &*self.0.lock().unwrap() {
            for (key, row) in delta.rows.of_kind(RowKind::Entity) {
                if [&*key.parts[3], &*key.parts[4], &*key.parts[5]] == ["files", entity, access] {
                    sum.merge(row);
                }
            }
        }
        sum
    }
}

/// Statements, errors and rows.
fn counts(row: &RowValue) -> [Option<i64>; 3] {
    [column::STATEMENTS, column::ERRORS, column::ROWS].map(|column| row.get(column))
}

/// How many statements are counted; more in the long form.
fn messages() -> i64 {
    match std::env::var("WEIGHBRIDGE_EVIDENCE") {
        Ok(_) => 100_000,
        Err(_) => 2_000,
    }
}

#[test]
fn statements_are_weighed_with_entities_and_rows() {
    let ledger = Arc::new(Ledger::default());
    let runtime = weighbridge_agent::runtime()
        .worker_threads(2)
        .build()
        .unwrap();
    let agent = weighbridge_agent::builder()
        .service("sqlite test")
        .sink(ledger.clone())
        .try_init()
        .unwrap();
    runtime.block_on(async {
        let options = SqlitePoolOptions::new().max_connections(1);
        let pool = options.connect("sqlite::memory:").await.unwrap();
        let db = Pool::new("files", pool).with_rows_affected(SqliteQueryResult::rows_affected);
        job("whole", async {
            let ddl = "CREATE TABLE product (sku TEXT PRIMARY KEY, price INTEGER)";
            sqlx::query(ddl).execute(&db).await.unwrap();
            let mut tx = db.begin().await.unwrap();
            for n in 0..5i64 {
                let insert = sqlx::query("INSERT OR IGNORE INTO product VALUES (?1, ?2)");
                let insert = insert.bind(format!("S3CRET-{n}")).bind(n);
                insert.execute(&mut tx).await.unwrap();
            }
            tx.commit().await.unwrap();
            let raise = sqlx::query("UPDATE product SET price = price + 1 WHERE price > 2");
            raise.execute(&db).await.unwrap();
            let all: Vec<(String, i64)> = sqlx::query_as("SELECT sku, price FROM product")
                .fetch_all(&db)
                .await
                .unwrap();
            assert_eq!(all.len(), 5);
            // At length, each once.
            let ddl = "CREATE TABLE sold (n INTEGER PRIMARY KEY)";
            sqlx::query(ddl).execute(&db).await.unwrap();
            for n in 0..messages() {
                let insert = sqlx::query("INSERT INTO sold VALUES (?1)").bind(n);
                insert.execute(&db).await.unwrap();
                if n % 10 == 0 {
                    let again = sqlx::query("INSERT INTO sold VALUES (?1)").bind(n);
                    again.execute(&db).await.unwrap_err();
                }
            }
            let sold: Vec<(i64,)> = sqlx::query_as("SELECT n FROM sold")
                .fetch_all(&db)
                .await
                .unwrap();
            assert_eq!(sold.len() as i64, messages());
            let twice = sqlx::query("INSERT INTO product VALUES ('S3CRET-1', 1)");
            let error = twice.execute(&db).await.unwrap_err();
            assert!(error.into_database_error().unwrap().is_unique_violation());
        })
        .await;
    });
    drop(runtime);
    assert!(agent.flush(Duration::from_secs(20)));
    assert_eq!(
        counts(&ledger.entity("product", "write")),
        [Some(6), Some(1), Some(5 + 2)]
    );
    assert_eq!(
        counts(&ledger.entity("product", "read")),
        [Some(1), Some(0), Some(5)]
    );
    let n = messages();
    assert_eq!(
        counts(&ledger.entity("sold", "write")),
        [Some(n), Some(n / 10), Some(n)]
    );
    assert_eq!(
        counts(&ledger.entity("sold", "read")),
        [Some(1), Some(0), Some(n)]
    );
    let told = format!("{:?}", ledger.0.lock().unwrap());
    assert!(told.contains("product") && !told.contains("S3CRET"));
}
