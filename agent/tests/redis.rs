//! Commands of Redis against a real server.

#![allow(clippy::unwrap_used)]

#[path = "../examples/redis.rs"]
#[allow(dead_code, unreachable_pub)]
mod example;
mod support;

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use redis::{AsyncCommands as _, Client, pipe};
use rustix::process::Signal;
use support::brokers::{Tap, messages};
use support::logs;
use support::servers::{self, Server};
use support::stores::{self, entity};
use support::{Ledger, figure};
use weighbridge_agent::job;
use weighbridge_agent::wire::{RowKind, RowValue, column};

static SERVER: Mutex<Weak<Server>> = Mutex::new(Weak::new());

fn weighed<T: Future<Output = ()>>(test: impl FnOnce(Arc<Server>) -> T) -> Option<Arc<Ledger>> {
    stores::weighed(&SERVER, servers::redis, test)
}

fn client(port: u16) -> Client {
    Client::open(format!("redis://127.0.0.1:{port}/")).unwrap()
}

/// Commands and errors.
fn counts(row: &RowValue) -> (i64, i64) {
    assert_eq!(row.get(column::ROWS), None);
    (figure(row, column::STATEMENTS), figure(row, column::ERRORS))
}

#[test]
fn commands_are_weighed_with_declared_entities() {
    let Some(ledger) = weighed(|server| async move {
        let mut cache = weighbridge_agent::redis::connect("cache", &client(server.port))
            .await
            .unwrap()
            .entity("cart", "cart:");
        job("commands", async {
            for n in 0..10 {
                let _: () = cache
                    .set(format!("cart:S3CRET-{n}"), "0123456789")
                    .await
                    .unwrap();
            }
            let found: String = cache.get("cart:S3CRET-3").await.unwrap();
            assert_eq!(found, "0123456789");
            let all: Vec<String> = cache
                .mget(&["cart:S3CRET-1", "cart:S3CRET-2"])
                .await
                .unwrap();
            assert_eq!(all.len(), 2);
            let (a, b): (i64, i64) = pipe()
                .atomic()
                .incr("S3CRET-count", 1)
                .incr("S3CRET-count", 1)
                .query_async(&mut cache)
                .await
                .unwrap();
            assert_eq!((a, b), (1, 2));
            let error = cache
                .lpush::<_, _, i64>("cart:S3CRET-1", 1)
                .await
                .unwrap_err();
            assert_eq!(error.code(), Some("WRONGTYPE"), "unchanged");
            let keys: Vec<String> = {
                let mut keys = Vec::new();
                let mut scan = cache.scan_match::<_, String>("cart:*").await.unwrap();
                while let Some(key) = scan.next_item().await {
                    keys.push(key.unwrap());
                }
                keys
            };
            assert_eq!(keys.len(), 10);
        })
        .await;
    }) else {
        return;
    };
    let of = |name, access| entity(&ledger, "cache", name, access);
    assert_eq!(counts(&of("cart", "write")), (10, 1));
    // Key and value of each.
    assert_eq!(figure(&of("cart", "write"), column::BYTES), 10 * (13 + 10));
    assert_eq!(counts(&of("cart", "read")), (2, 0));
    assert_eq!(figure(&of("cart", "read"), column::BYTES), 30);
    assert_eq!(counts(&of("__other__", "write")), (2, 0));
    assert!(figure(&of("cart", "read"), column::CPU_STORE_NS) > 0);
    assert!(figure(&of("cart", "read"), column::WAIT_STORE_NS) > 0);
    let request = ledger.operation("JOB commands", "");
    assert!(figure(&request, column::CPU_STORE_NS) > 0);
    assert!(figure(&request, column::WAIT_STORE_NS) > 0);
    let driver = ledger.select(RowKind::Owner, &[(0, "driver"), (1, "redis cache")]);
    assert!(figure(&driver, column::CPU_IO_NS) > 0);
    assert!(!logs::text().contains("S3CRET"));
    let told = format!("{:?}", ledger.deltas());
    assert!(
        told.contains("cart") && !told.contains("S3CRET"),
        "keys are nobody's business"
    );
}

#[test]
fn a_silent_server_is_the_clients_own_error_and_counted_once() {
    let Some(ledger) = weighed(|_| async move {
        let own = servers::redis().unwrap();
        let mut cache = weighbridge_agent::redis::connect("silent", &client(own.port))
            .await
            .unwrap()
            .entity("cart", "cart:");
        job("silent", async {
            let _: () = cache.set("cart:1", 1).await.unwrap();
            own.signal(Signal::STOP);
            let error = cache.get::<_, Option<i64>>("cart:1").await.unwrap_err();
            assert!(error.is_timeout(), "{error:?}");
            own.signal(Signal::CONT);
            let found: Option<i64> = cache.get("cart:1").await.unwrap();
            assert_eq!(found, Some(1));
        })
        .await;
    }) else {
        return;
    };
    let read = entity(&ledger, "silent", "cart", "read");
    assert_eq!(counts(&read), (1, 1));
    assert!(
        figure(&read, column::WAIT_STORE_NS) > 100_000_000,
        "it was waited for"
    );
}

#[test]
fn what_many_requests_sent_at_once_is_what_the_server_counted() {
    const TASKS: i64 = 8;
    let commands = i64::try_from(messages()).unwrap() / TASKS / 2;
    let Some(ledger) = weighed(|server| async move {
        let cache = weighbridge_agent::redis::connect("many", &client(server.port))
            .await
            .unwrap()
            .entity("counter", "counter:");
        let mut tasks = weighbridge_agent::JoinSet::new();
        for task in 0..TASKS {
            let mut cache = cache.clone();
            tasks.spawn(job("count", async move {
                let key = format!("counter:{task}");
                for _ in 0..commands {
                    let _: i64 = cache.incr(&key, 1).await.unwrap();
                    let both = pipe().incr(&key, 1).get(&key).to_owned();
                    let _: (i64, i64) = both.query_async(&mut cache).await.unwrap();
                }
            }));
        }
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap();
        }
        let mut sum = 0;
        for task in 0..TASKS {
            sum += cache
                .clone()
                .get::<_, i64>(format!("counter:{task}"))
                .await
                .unwrap();
        }
        assert_eq!(sum, 2 * TASKS * commands);
    }) else {
        return;
    };
    let of = |access| counts(&entity(&ledger, "many", "counter", access));
    assert_eq!(of("write"), (2 * TASKS * commands, 0));
    // Those of the pipelines, and one for each counter at the end.
    assert_eq!(of("read"), (TASKS * commands + TASKS, 0));
}

#[test]
fn what_is_written_over_connections_that_break_is_counted_once() {
    static TOLD: AtomicI64 = AtomicI64::new(0);
    let n = i64::try_from(messages()).unwrap();
    let Some(ledger) = weighed(|server| async move {
        let tap = Tap::on(server.address()).await;
        let connect = async || {
            let there = client(tap.address.port());
            let cache = weighbridge_agent::redis::connect("cut", &there).await;
            cache.unwrap().entity("sold", "sold:")
        };
        let mut cache = connect().await;
        let told = job("sells", async {
            let mut told = 0;
            for i in 0..n {
                if i % (n / 8) == n / 16 {
                    tap.cut();
                }
                while cache.incr::<_, _, i64>("sold:all", 1).await.is_err() {
                    told += 1;
                    cache = connect().await;
                }
            }
            told
        })
        .await;
        // What was under way may have been counted although its writer was told otherwise.
        let mut direct = client(server.port)
            .get_multiplexed_async_connection()
            .await
            .unwrap();
        let held: i64 = direct.get("sold:all").await.unwrap();
        assert!((n..=n + told).contains(&held) && told >= 1, "{held} {told}");
        TOLD.store(told, Ordering::Relaxed);
    }) else {
        return;
    };
    let write = entity(&ledger, "cut", "sold", "write");
    assert_eq!(counts(&write), (n, TOLD.load(Ordering::Relaxed)));
}

#[test]
fn the_example_runs() {
    let Some(ledger) = weighed(|server| async move {
        let url = format!("redis://127.0.0.1:{}/", server.port);
        example::run(&url).await.unwrap();
    }) else {
        return;
    };
    let write = entity(&ledger, "cache", "cart", "write");
    assert_eq!(counts(&write), (3, 0));
    assert_eq!(figure(&write, column::KEYS_ONE), 1);
}

#[test]
fn a_server_that_is_gone_is_the_clients_own_error_and_counted_once() {
    let Some(ledger) = weighed(|_| async move {
        let own = servers::redis().unwrap();
        let gone = client(own.port);
        let mut cache = weighbridge_agent::redis::connect("gone", &gone)
            .await
            .unwrap()
            .entity("cart", "cart:");
        job("gone", async {
            let _: () = cache.set("cart:1", 1).await.unwrap();
            own.stop();
            let error = cache.get::<_, Option<i64>>("cart:1").await.unwrap_err();
            assert!(
                error.is_unrecoverable_error() || error.is_io_error(),
                "{error:?}"
            );
        })
        .await;
        let refused = weighbridge_agent::redis::connect("gone", &gone).await;
        assert!(refused.unwrap_err().is_io_error());
    }) else {
        return;
    };
    assert_eq!(counts(&entity(&ledger, "gone", "cart", "write")), (1, 0));
    assert_eq!(counts(&entity(&ledger, "gone", "cart", "read")), (0, 1));
}
