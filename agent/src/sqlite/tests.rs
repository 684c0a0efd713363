use std::sync::Mutex;

use super::*;
use crate::store::seen::of as seen;

/// Database, entity, rows, bytes.
type Size = (String, String, i64, Option<u64>);

static SIZES: Mutex<Vec<Size>> = Mutex::new(Vec::new());

/// Notes what goes to the ledger, which all tests of the process share. Each test has a database name of its
/// own.
pub(super) fn observe_size(database: &str, entity: &str, rows: i64, bytes: Option<u64>) {
    SIZES
        .lock()
        .unwrap()
        .push((database.into(), entity.into(), rows, bytes));
}

fn open(database: &str) -> Connection {
    let db = Connection::open_in_memory(database).unwrap();
    db.execute_batch(
        "CREATE TABLE Product (sku TEXT PRIMARY KEY, price INTEGER); \
         CREATE INDEX by_price ON Product (price); \
         CREATE TABLE stock (sku TEXT, amount INTEGER)",
    )
    .unwrap();
    db
}

#[test]
fn statements_record_entities_and_rows() {
    let db = open("rows");
    for n in 0..3 {
        db.execute("INSERT INTO product VALUES (?1, ?2)", (n.to_string(), n))
            .unwrap();
    }
    db.execute("UPDATE product SET price = price + 1", [])
        .unwrap();
    let all: Vec<i64> = db
        .query_map("SELECT price FROM product", [], |row| row.get(0))
        .unwrap();
    assert_eq!(all, [1, 2, 3]);
    let one: i64 = db
        .query_row("SELECT price FROM product WHERE sku = ?1", ["1"], |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(one, 2);
    let none: Option<i64> = db
        .query_optional("SELECT price FROM product WHERE sku = ?1", ["9"], |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(none, None);
    let joined: Vec<i64> = db
        .query_map(
            "SELECT price FROM product JOIN stock USING (sku)",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert!(joined.is_empty());
    db.execute("INSERT INTO stock SELECT sku, 5 FROM product", [])
        .unwrap();
    assert_eq!(
        seen("rows"),
        [
            "+product 1",
            "+product 1",
            "+product 1",
            "+product 3",
            "-product 3",
            "-product 1",
            "-product 0",
            "-product ?",
            "-stock ?",
            "-product ?",
            "+stock 3",
        ]
    );
}

#[test]
fn a_transaction_commits_or_leaves_nothing() {
    let mut db = open("tx");
    let insert = "INSERT INTO product VALUES (?1, 1)";
    db.transaction(|tx| tx.execute(insert, ["a"])).unwrap();
    let failed: rusqlite::Result<()> = db.transaction(|tx| {
        tx.execute(insert, ["b"])?;
        tx.execute(insert, ["a"])?;
        Ok(())
    });
    assert!(failed.is_err());
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = db.transaction(|tx| -> rusqlite::Result<()> {
            tx.execute(insert, ["c"])?;
            panic!("in the middle")
        });
    }));
    assert!(panicked.is_err());
    let names: Vec<String> = db
        .query_map("SELECT sku FROM product", [], |row| row.get(0))
        .unwrap();
    assert_eq!(names, ["a"]);
}

#[test]
fn what_failed_touched_nothing() {
    let db = open("failed");
    assert!(db.execute("INSERT INTO nowhere VALUES (1)", []).is_err());
    assert!(
        db.query_row("SELECT 1 FROM product", [], |row| row.get::<_, i64>(0))
            .is_err()
    );
    assert!(db.execute_batch("SELEC").is_err());
    // The texts were understood before the database refused them.
    assert_eq!(seen("failed"), ["+nowhere !", "-product !"]);
}

#[test]
fn sizes_include_indexes_under_their_table() {
    let dir = tempfile::tempdir().unwrap();
    let mut db = Connection::open("sizes", dir.path().join("db.sqlite")).unwrap();
    db.execute_batch(
        "CREATE TABLE \"Odd \"\"name\" (x TEXT); CREATE TABLE Product (sku TEXT PRIMARY KEY, v TEXT)",
    )
    .unwrap();
    let fill = |db: &mut Connection, from: i64| {
        db.transaction(|tx| {
            for n in from..from + 500 {
                tx.execute(
                    "INSERT INTO Product VALUES (?1, ?2)",
                    (n.to_string(), "v".repeat(100)),
                )?;
            }
            Ok::<_, rusqlite::Error>(())
        })
        .unwrap();
    };
    let size = |db: &Connection| {
        SIZES.lock().unwrap().retain(|size| size.0 != "sizes");
        db.report_sizes().unwrap();
        let sizes = SIZES.lock().unwrap();
        assert!(
            sizes
                .iter()
                .any(|size| size.0 == "sizes" && size.1 == "odd \"name")
        );
        let product = sizes
            .iter()
            .find(|size| size.0 == "sizes" && size.1 == "product")
            .unwrap();
        (product.2, product.3.expect("the bundled SQLite has dbstat"))
    };
    fill(&mut db, 0);
    let (rows, bytes) = size(&db);
    assert_eq!(rows, 500);
    assert!(bytes > 50_000, "{bytes} bytes for 50 kB of values");
    db.execute_batch("CREATE INDEX wide ON Product (v, sku)")
        .unwrap();
    let (rows, with_index) = size(&db);
    assert_eq!(rows, 500);
    assert!(
        with_index > bytes + 50_000,
        "{with_index} with the index, {bytes} without"
    );
}

#[test]
fn a_connection_can_move_to_a_blocking_thread() {
    fn is_send<T: Send>(_: &T) {}
    is_send(&open("send"));
}
