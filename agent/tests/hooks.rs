//! The poll hooks: tasks that nothing wrapped. Compiled with `--cfg tokio_unstable` only:
//! `cargo xtask evidence hooks`.

#![cfg(tokio_unstable)]
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::Router;
use axum::routing::get;
use support::scenario::{BurnInDrop, assert_cpu, burn_ms, until, weigh};
use support::{Connection, Ledger, figure, foreign};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::yield_now;
use weighbridge_agent::wire::{OwnerKind, RowKind, column};
use weighbridge_agent::{
    background, block_on, driver, hooks, job, runtime, runtime_current_thread,
};

fn threads(n: usize) -> Runtime {
    runtime().worker_threads(n).build().unwrap()
}

fn owner(ledger: &Ledger, kind: &str, name: &str) -> i64 {
    ledger
        .select(RowKind::Owner, &[(0, kind), (1, name)])
        .cpu_ns()
}

fn request(ledger: &Ledger, name: &str) -> i64 {
    ledger.operation(&format!("JOB {name}"), "").cpu_ns()
}

async fn work(ms: u64) {
    for _ in 0..ms {
        burn_ms(1);
        yield_now().await;
    }
}

#[test]
fn a_task_spawned_inside_a_request_is_its_child_without_any_wrapper() {
    for runtime in [threads(2), runtime_current_thread().build().unwrap()] {
        let ledger = weigh(|| {
            block_on(&runtime, async {
                let mut left = None;
                job("parent", async {
                    burn_ms(1);
                    let child = tokio::spawn(async {
                        work(3).await;
                        tokio::spawn(work(4)).await.unwrap();
                    });
                    child.await.unwrap();
                    left = Some(tokio::spawn(work(5)));
                })
                .await;
                left.unwrap().await.unwrap();
            });
            drop(runtime);
        });
        assert_cpu(request(&ledger, "parent"), 13);
        let row = ledger.operation("JOB parent", "");
        assert_eq!(figure(&row, column::ENDED), 1);
        assert_eq!(
            figure(&row, column::LATE_CPU_NS),
            0,
            "the bill closes with its last child"
        );
    }
}

#[test]
fn tasks_outside_requests_are_named_by_their_place_and_the_scheduler_is_alone() {
    let line = AtomicI64::new(0);
    let ledger = weigh(|| {
        block_on(&threads(2), async {
            line.store(i64::from(line!()) + 1, Ordering::Relaxed);
            tokio::spawn(work(6)).await.unwrap();
            background("declared", async { tokio::spawn(work(3)).await.unwrap() }).await;
        });
    });
    let place = format!("{}:{}", file!(), line.load(Ordering::Relaxed));
    assert_cpu(owner(&ledger, "background", &place), 6);
    assert_cpu(owner(&ledger, "background", "declared"), 3);
    let scheduler = owner(&ledger, "runtime", "runtime");
    assert!((1..3_000_000).contains(&scheduler), "{scheduler}");
    let unwrapped = owner(&ledger, "runtime", "runtime or unwrapped");
    assert!(unwrapped < 1_000_000, "{unwrapped}");
}

#[test]
fn a_driver_spawned_by_a_request_is_its_own_and_holds_no_bill_open() {
    let ledger = weigh(|| {
        block_on(&threads(1), async {
            let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
            let mut opened = None;
            job("opens a driver", async {
                opened = Some(tokio::spawn(driver("hooked", async {
                    burn_ms(4);
                    drop(stopped.await);
                    burn_ms(2);
                })));
                work(1).await;
            })
            .await;
            // The driver lives on; the request is closed all the same.
            tokio::spawn(job("later", work(1))).await.unwrap();
            drop(stop);
            opened.unwrap().await.unwrap();
        });
    });
    assert_cpu(request(&ledger, "opens a driver"), 1);
    assert_cpu(owner(&ledger, "driver", "hooked"), 6);
    let row = ledger.operation("JOB opens a driver", "");
    assert!(figure(&row, column::LATE_CPU_NS) < 100_000);
}

#[test]
fn tasks_spawned_by_a_known_file_are_that_owners_never_the_requests() {
    hooks::task_owner("support/foreign.rs", OwnerKind::Pool, "ruled");
    let ledger = weigh(|| {
        block_on(&threads(1), async {
            let mut opened = None;
            job("uses a pool", async {
                burn_ms(2);
                opened = Some(foreign::spawn(work(5)));
            })
            .await;
            opened.unwrap().await.unwrap();
        });
    });
    assert_cpu(request(&ledger, "uses a pool"), 2);
    assert_cpu(owner(&ledger, "pool", "ruled"), 5);
}

#[test]
fn connections_of_servers_and_clients_are_told_by_their_library() {
    let ledger = weigh(|| {
        block_on(&threads(2), async {
            let app = Router::new()
                .route("/", get(|| async { burn_ms(2) }))
                .layer(weighbridge_agent::layer());
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            let address = listener.local_addr().unwrap();
            let server = tokio::spawn(async { axum::serve(listener, app).await });
            let client =
                hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
                    .build_http::<axum::body::Body>();
            for _ in 0..20 {
                let client = client.clone();
                let uri = format!("http://{address}/").parse().unwrap();
                job("calls", async move {
                    client.get(uri).await.unwrap();
                })
                .await;
            }
            let mut bare = Connection::open(address).await;
            assert_eq!(bare.ask("GET / HTTP/1.1", b"").await.status, 200);
            server.abort();
            drop(server.await);
        });
    });
    let served = ledger.operation("GET /", "");
    assert_eq!(figure(&served, column::ENDED), 21);
    assert_cpu(served.cpu_ns(), 42);
    assert!(owner(&ledger, "connection", "axum") > 0);
    assert!(owner(&ledger, "pool", "hyper-util") > 0);
    let calls = ledger.operation("JOB calls", "");
    assert_eq!(figure(&calls, column::ENDED), 20);
    assert_eq!(figure(&calls, column::LATE_CPU_NS), 0);
}

/// reqwest and tonic spawn with hyper-util's executor, and are told by it.
#[cfg(all(feature = "reqwest-0_13", feature = "tonic-0_14"))]
#[test]
fn tasks_of_clients_are_told_by_the_library_that_spawns_them() {
    async fn by_reqwest(address: std::net::SocketAddr) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client.get(format!("http://{address}/")).send().await;
        assert_eq!(answer.unwrap().bytes().await.unwrap().len(), 0);
    }
    async fn by_tonic(address: std::net::SocketAddr) {
        let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}"));
        let channel = endpoint.unwrap().connect().await.unwrap();
        let mut client = tonic::client::Grpc::new(channel);
        client.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<(), ()>::default();
        let path = http::uri::PathAndQuery::from_static("/no/such");
        let answer: Result<tonic::Response<()>, _> =
            client.unary(tonic::Request::new(()), path, codec).await;
        assert_eq!(answer.unwrap_err().code(), tonic::Code::Unimplemented);
    }
    for name in ["reqwest", "tonic"] {
        let ledger = weigh(|| {
            block_on(&threads(2), async {
                let app = Router::new().route("/", get(|| async {}));
                let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
                let address = listener.local_addr().unwrap();
                let server = tokio::spawn(async { axum::serve(listener, app).await });
                for _ in 0..20 {
                    match name {
                        "reqwest" => job("calls", by_reqwest(address)).await,
                        _ => job("calls", by_tonic(address)).await,
                    }
                }
                server.abort();
                drop(server.await);
            });
        });
        assert!(owner(&ledger, "pool", "hyper-util") > 0, "{name}");
        assert_eq!(owner(&ledger, "pool", name), 0, "no pool of this name");
    }
}

/// What async-nats' own task costs is on the edges of the peer.
#[cfg(feature = "async-nats-0_51")]
#[test]
fn the_task_of_a_brokers_client_is_shared_out_over_its_edges() {
    let Some(server) = support::servers::nats() else {
        return;
    };
    let ledger = weigh(|| {
        block_on(&threads(2), async {
            let address = server.address().to_string();
            let client = weighbridge_agent::nats::connect("broker", address).await;
            let client = client.unwrap();
            for _ in 0..500 {
                let payload = bytes::Bytes::from_static(&[7; 1_000]);
                client.publish("made", payload).await.unwrap();
            }
            client.inner().flush().await.unwrap();
        });
    });
    assert!(support::assert_shared_out(&ledger, "nats broker", "broker") > 0);
}

#[test]
fn cancelled_and_panicking_tasks_are_dropped_at_their_requests_cost() {
    let ledger = weigh(|| {
        block_on(&threads(1), async {
            job("breaks", async {
                let held = BurnInDrop(4);
                let cancelled = tokio::spawn(async move {
                    let _held = held;
                    std::future::pending::<()>().await;
                });
                yield_now().await;
                cancelled.abort();
                assert!(cancelled.await.unwrap_err().is_cancelled());
                let held = BurnInDrop(3);
                let panicked = tokio::spawn(async move {
                    let _held = held;
                    burn_ms(2);
                    std::panic::resume_unwind(Box::new("on purpose"));
                });
                assert!(panicked.await.unwrap_err().is_panic());
            })
            .await;
            tokio::spawn(job("in order", work(3))).await.unwrap();
        });
    });
    assert_cpu(request(&ledger, "breaks"), 9);
    assert_cpu(request(&ledger, "in order"), 3);
}

#[test]
fn a_runtime_inside_a_task_comes_back_to_the_tasks_account() {
    let ledger = weigh(|| {
        block_on(&threads(1), async {
            let nested = job("outer", async {
                burn_ms(1);
                tokio::task::block_in_place(|| {
                    let inner = runtime_current_thread().build().unwrap();
                    inner.block_on(async {
                        tokio::spawn(job("inner", work(5))).await.unwrap();
                    });
                });
                burn_ms(3);
            });
            tokio::spawn(nested).await.unwrap();
        });
    });
    assert_cpu(request(&ledger, "outer"), 4);
    assert_cpu(request(&ledger, "inner"), 5);
}

#[test]
fn wrapped_tasks_are_booked_once() {
    let ledger = weigh(|| {
        block_on(&threads(2), async {
            job("wrapped", async {
                weighbridge_agent::spawn(work(5)).await.unwrap();
                let mut set = weighbridge_agent::JoinSet::new();
                set.spawn(work(3));
                while set.join_next().await.is_some() {}
                tokio::spawn(background("within", work(4))).await.unwrap();
            })
            .await;
        });
    });
    assert_cpu(request(&ledger, "wrapped"), 8);
    assert_cpu(owner(&ledger, "background", "within"), 4);
}

#[test]
fn hooks_of_another_tool_run_beside_ours() {
    let counts: Arc<[AtomicI64; 4]> = Arc::default();
    let ledger = {
        let counts = counts.clone();
        weigh(move || {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            let count = |n: usize| {
                let counts = counts.clone();
                move |_: &tokio::runtime::TaskMeta<'_>| {
                    counts[n].fetch_add(1, Ordering::Relaxed);
                }
            };
            hooks::chain()
                .on_task_spawn(count(0))
                .on_task_terminate(count(1))
                .on_before_task_poll(count(2))
                .on_after_task_poll(count(3))
                .install(&mut builder);
            let runtime = builder.worker_threads(1).enable_all().build().unwrap();
            block_on(&runtime, async {
                job("chained", async { tokio::spawn(work(4)).await.unwrap() }).await;
            });
            drop(runtime);
            let [spawned, ended, before, after] = &*counts;
            until(|| after.load(Ordering::Relaxed) == before.load(Ordering::Relaxed));
            assert_eq!(spawned.load(Ordering::Relaxed), 1);
            // Tokio tells the end of its own worker too.
            assert!(ended.load(Ordering::Relaxed) >= 1);
            assert!(before.load(Ordering::Relaxed) >= 5);
        })
    };
    assert_cpu(request(&ledger, "chained"), 4);
}
