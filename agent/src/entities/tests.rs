use weighbridge_wire::{EntityKey, Quality, RowValue, column};

use super::*;
use crate::account::{Account, OwnerRef, enter};
use crate::bill::{Outcome, Start};
use crate::testing::{Books, figure};
use weighbridge_wire::Class;

/// Runs a request that touches keys.
fn request(operation: &str, touch: impl FnOnce()) {
    let bill = Bill::start(Start {
        operation,
        ..Start::default()
    });
    {
        let _entered = enter(Account::new(OwnerRef::Bill(bill.clone()), Class::Handler));
        touch();
    }
    bill.end(Outcome::Ok);
}

fn row(books: &Books, operation: &str, database: &str, entity: &str, access: &str) -> RowValue {
    let key = EntityKey {
        component: "".into(),
        operation: operation.into(),
        class: "".into(),
        database: database.into(),
        entity: entity.into(),
        access: access.into(),
    };
    let found = books.rows.get(&key.row_key(Quality::Measured));
    found.cloned().unwrap_or_default()
}

fn keys(row: &RowValue) -> [i64; 3] {
    [column::KEYS_ONE, column::KEYS_TWO, column::KEYS_MORE].map(|c| figure(row, c))
}

#[test]
fn requests_are_told_apart_by_how_many_keys_they_touch() {
    let mut books = Books::open();
    set_secret(Some(KeySecret::parse("a secret of the tests").unwrap()));
    for n in 0..30 {
        request("keys", || entity!("key product", key = n % 10));
    }
    request("keys", || {
        entity!("key product", key = "S3CRET-a");
        entity!("key product", key = "S3CRET-b", write = true);
        entity!("key product", key = "S3CRET-a", write = true);
    });
    request("keys", || {
        for n in 0..100 {
            entity!("key product", key = n);
        }
    });
    request("keys", || {
        entity!("key stock", key = 1, database = "key store");
    });
    books.rotate();
    set_secret(None);

    let product = row(&books, "keys", "", "key product", access::READ);
    assert_eq!(keys(&product), [31, 0, 1]);
    assert_eq!(figure(&product, column::STATEMENTS), 131);
    let sketch = product.sketch(column::SKETCH_KEYS).unwrap();
    assert!(
        (sketch.distinct() - 101.0).abs() < f64::EPSILON,
        "{sketch:?}"
    );
    assert_eq!(figure(&product, column::KEY_TOUCHES), 131);
    // Each of ten keys was touched four times; there were more keys than counters.
    assert!(figure(&product, column::KEY_TOP_TOUCHES) <= 4);
    let written = row(&books, "keys", "", "key product", access::WRITE);
    assert_eq!(keys(&written), [0, 1, 0]);
    // Its statements count themselves.
    let stock = row(&books, "keys", "key store", "key stock", access::READ);
    assert_eq!(
        (keys(&stock), figure(&stock, column::STATEMENTS)),
        ([1, 0, 0], 0)
    );
    let told = format!("{:?}", books.rows);
    assert!(told.contains("key product") && !told.contains("S3CRET"));
}

#[test]
fn without_a_shared_secret_there_is_no_sketch() {
    let mut books = Books::open();
    set_secret(None);
    for n in 0..20 {
        request("keys alone", || {
            entity!("key alone", key = if n < 15 { 0 } else { n });
        });
    }
    books.rotate();
    let alone = row(&books, "keys alone", "", "key alone", access::READ);
    assert_eq!(keys(&alone), [20, 0, 0]);
    assert!(alone.sketch(column::SKETCH_KEYS).is_none());
    assert_eq!(figure(&alone, column::KEY_TOP_TOUCHES), 15, "skewed");
}

#[test]
fn a_request_with_many_entities_is_bounded_and_counted() {
    let mut books = Books::open();
    let lost = books.lost("agent.keys");
    request("keys many", || {
        for (n, name) in NAMES.iter().enumerate() {
            touch_entity(None, name, false, &n);
        }
    });
    books.rotate();
    assert_eq!(books.lost("agent.keys") - lost, 4);
    let first = row(&books, "keys many", "", NAMES[0], access::READ);
    assert_eq!(keys(&first), [1, 0, 0]);
    let last = row(&books, "keys many", "", NAMES[19], access::READ);
    assert_eq!(
        figure(&last, column::STATEMENTS),
        1,
        "only its keys are lost"
    );
    assert_eq!(last.get(column::KEYS_ONE), Some(0));
}

const NAMES: [&str; KEY_ENTITIES_MAX + 4] = [
    "e0", "e1", "e2", "e3", "e4", "e5", "e6", "e7", "e8", "e9", "e10", "e11", "e12", "e13", "e14",
    "e15", "e16", "e17", "e18", "e19",
];
