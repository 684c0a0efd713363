//! A chain of calls inside one process: both sides of each edge, the pool's owner, entities, and the sums.

#![cfg(all(
    feature = "axum-0_8",
    feature = "hyper-util-0_1",
    feature = "rusqlite-0_42"
))]
#![allow(clippy::unwrap_used)]

mod support;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Path;
use axum::routing::{get, post};
use support::figure;
use weighbridge_agent::Json;
use weighbridge_agent::http_client::Client;
use weighbridge_agent::sqlite;
use weighbridge_agent::wire::{Class, RowKind, column};

const ORDERS: usize = 40;
const LINES: usize = 5;

type Db = Arc<Mutex<sqlite::Connection>>;

/// Answers what is in stock; reads and writes tables.
fn warehouse(db: Db) -> Router {
    Router::new().route(
        "/stock/{sku}",
        post(move |Path(sku): Path<String>, Json(amount): Json<i64>| {
            let db = db.clone();
            async move {
                let left = weighbridge_agent::spawn_blocking(move || {
                    db.lock().unwrap().transaction(|tx| {
                        let sql = "UPDATE stock SET amount = amount - ?1 WHERE sku = ?2";
                        tx.execute(sql, (amount, &sku))?;
                        let sql = "SELECT amount FROM stock JOIN product USING (sku) WHERE sku = 's3cret'";
                        tx.query_map(sql, [], |row| row.get::<_, i64>(0))
                    })
                });
                Json(left.await.unwrap().unwrap())
            }
        }),
    )
}

/// Calls the warehouse once for each line.
fn store(warehouse: Client) -> Router {
    Router::new().route(
        "/orders",
        get(move || {
            let warehouse = warehouse.clone();
            async move {
                for line in 0..LINES {
                    let call = warehouse
                        .post("/stock/{sku}")
                        .param("sku", line)
                        .json(&1_i64);
                    let _left: Vec<i64> = call.send().await.unwrap().json().await.unwrap();
                }
                "ordered"
            }
        }),
    )
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}

#[test]
fn both_sides_of_an_edge_count_the_same_and_everything_adds_up() {
    let ledger = support::weigh_server(
        support::builder("shop"),
        |_| {
            let db = sqlite::Connection::open_in_memory("warehouse").unwrap();
            db.execute_batch("CREATE TABLE stock (sku, amount); CREATE TABLE product (sku)")
                .unwrap();
            warehouse(Arc::new(Mutex::new(db))).layer(weighbridge_agent::layer())
        },
        |served| async move {
            let warehouse = Client::new("warehouse", &url(served.address)).unwrap();
            let store = store(warehouse).layer(weighbridge_agent::layer());
            let store = url(support::serve(store).await);
            let customer = Client::new("store", &store).unwrap();
            for _ in 0..ORDERS {
                let response = customer.get("/orders").send().await.unwrap();
                assert_eq!(
                    response.error_for_status().unwrap().bytes().await.unwrap(),
                    "ordered"
                );
            }
        },
    );

    let calls = (ORDERS * LINES) as i64;
    let edge = |side: &str, operation: &str| {
        ledger.select(RowKind::Edge, &[(0, side), (2, "http"), (4, operation)])
    };
    for (caller, callee, count) in [
        ("GET /orders", "POST /stock/{sku}", calls),
        ("", "GET /orders", ORDERS as i64),
    ] {
        let (sent, received) = (edge("caller", caller), edge("callee", callee));
        for column in [
            column::REQUEST_MESSAGES,
            column::REQUEST_BODY_BYTES,
            column::RESPONSE_MESSAGES,
            column::RESPONSE_BODY_BYTES,
        ] {
            assert_eq!(
                figure(&sent, column),
                figure(&received, column),
                "{callee}, column {column}"
            );
        }
        assert_eq!(figure(&sent, column::REQUEST_MESSAGES), count);
        for column in [column::REQUEST_WIRE_BYTES, column::RESPONSE_WIRE_BYTES] {
            assert!(figure(&sent, column) > 50 * count, "{column}");
        }
        for class in [Class::Protocol, Class::Io] {
            let cpu_ns = sent.class_cpu_ns(class).unwrap();
            assert!(
                cpu_ns > 1_000 * count,
                "{class:?} of {count} calls took {cpu_ns} ns"
            );
        }
    }
    let sent = edge("caller", "GET /orders");
    assert!(sent.class_cpu_ns(Class::Encode).unwrap() > 0);
    assert!(sent.class_cpu_ns(Class::Decode).unwrap() > 0);

    // The callee knows who called, by the id that the caller made, and where the chain began.
    let keys: Vec<_> = ledger
        .rows()
        .of_kind(RowKind::Edge)
        .map(|(key, _)| {
            key.parts
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        })
        .filter(|parts| parts[4] == "POST /stock/{sku}" || parts[10] == "POST /stock/{sku}")
        .collect();
    assert_eq!(keys.len(), 2, "{keys:#?}");
    assert_eq!(keys[0][8], keys[1][8], "one call id");
    let callee = keys.iter().find(|parts| parts[0] == "callee").unwrap();
    assert_eq!(
        (callee[6].as_str(), callee[7].as_str()),
        ("shop", "GET /orders")
    );
    let origins: Vec<_> = keys
        .iter()
        .map(|parts| (parts[11].as_str(), parts[12].as_str()))
        .collect();
    assert_eq!(origins[0], origins[1]);

    // The connections belong to the pool, and what the edge shows of them is a part of that.
    let pool = ledger.select(RowKind::Owner, &[(0, "pool"), (1, "http warehouse")]);
    for class in [Class::Protocol, Class::Io] {
        assert!(
            pool.class_cpu_ns(class).unwrap() > 1_000 * calls,
            "{class:?}"
        );
    }
    let io_ns = sent.class_cpu_ns(Class::Io).unwrap();
    let pool_io_ns = pool.class_cpu_ns(Class::Io).unwrap();
    assert!(
        io_ns > pool_io_ns / 2 && io_ns <= pool_io_ns,
        "{io_ns} of {pool_io_ns}"
    );

    // Waiting for the call is no CPU, and is not more than the wall time.
    let orders = ledger.operation("GET /orders", "");
    let (wait, wall) = (
        figure(&orders, column::WAIT_CALL_NS),
        figure(&orders, column::WALL_NS),
    );
    assert!(wait > 0 && wait < wall, "{wait} of {wall}");

    // Statements and their tables, without any literal.
    let entity = |name: &str, access: &str| {
        ledger.select(
            RowKind::Entity,
            &[
                (1, "POST /stock/{sku}"),
                (3, "warehouse"),
                (4, name),
                (5, access),
            ],
        )
    };
    assert_eq!(figure(&entity("stock", "write"), column::STATEMENTS), calls);
    assert_eq!(figure(&entity("stock", "read"), column::STATEMENTS), calls);
    assert_eq!(
        figure(&entity("product", "read"), column::STATEMENTS),
        calls
    );
    assert_eq!(
        entity("product", "read").get(column::ROWS),
        None,
        "which table, nobody knows"
    );
    let stock = ledger.operation("POST /stock/{sku}", "");
    assert!(stock.class_cpu_ns(Class::Store).unwrap() > 5_000 * calls);
    assert!(stock.class_cpu_ns(Class::Decode).unwrap() > 0);
    for delta in ledger.deltas() {
        assert!(!String::from_utf8_lossy(&delta.encode()).contains("s3cret"));
    }
}
