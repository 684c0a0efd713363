//! Who pays under every shape of Tokio. Each test burns a known amount of CPU in some shape and looks at whose
//! row it stands in; [`weigh`] checks that all rows add up to the process.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use support::scenario::{BurnInDrop, assert_cpu, burn_ms, weigh};
use support::{Ledger, figure};
use tokio::runtime::Runtime;
use tokio::task::{LocalSet, yield_now};
use weighbridge_agent::wire::{RowKind, column};
use weighbridge_agent::{
    JoinSet, Scope, background, block_on, driver, hooks, job, pool, runtime,
    runtime_current_thread, spawn, spawn_blocking, spawn_blocking_on, spawn_local, spawn_on,
};

fn threads(n: usize) -> Runtime {
    runtime().worker_threads(n).build().unwrap()
}

fn this_thread() -> Runtime {
    runtime_current_thread().build().unwrap()
}

fn owner(ledger: &Ledger, kind: &str, name: &str) -> i64 {
    ledger
        .select(RowKind::Owner, &[(0, kind), (1, name)])
        .cpu_ns()
}

fn request(ledger: &Ledger, name: &str) -> i64 {
    ledger.operation(&format!("JOB {name}"), "").cpu_ns()
}

/// Burns in pieces with polls in between.
async fn work(ms: u64) {
    for _ in 0..ms {
        burn_ms(1);
        yield_now().await;
    }
}

/// Never ends; burns when dropped, whether it was polled or not.
fn hang(drop_ms: u64) -> impl Future<Output = ()> + Send {
    let burns = BurnInDrop(drop_ms);
    async move {
        let _burns = burns;
        std::future::pending::<()>().await;
    }
}

#[test]
fn on_one_thread_requests_background_and_scheduler_are_told_apart() {
    let ledger = weigh(|| {
        block_on(&this_thread(), async {
            burn_ms(3);
            let background = spawn(background("one thread", work(5)));
            tokio::join!(job("first", work(4)), job("second", work(8)));
            background.await.unwrap();
        });
    });
    assert_cpu(owner(&ledger, "background", "main"), 3);
    assert_cpu(owner(&ledger, "background", "one thread"), 5);
    assert_cpu(request(&ledger, "first"), 4);
    assert_cpu(request(&ledger, "second"), 8);
}

#[test]
fn waiting_for_sockets_and_timers_is_the_runtimes_on_one_thread_too() {
    let ledger = weigh(|| {
        // Tokio's own `block_on`: the thread is seen from its first sleep on.
        this_thread().block_on(async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            for _ in 0..50 {
                tokio::time::sleep(Duration::from_micros(100)).await;
            }
        });
    });
    let scheduler = ledger.select(RowKind::Owner, &[(0, "runtime")]).cpu_ns();
    assert!(scheduler > 0, "{scheduler}");
}

#[test]
fn tasks_that_migrate_take_their_account_along() {
    const REQUESTS: usize = 4;
    let moved = Arc::new(AtomicUsize::new(0));
    let ledger = {
        let moved = moved.clone();
        weigh(move || {
            block_on(&threads(2), async {
                let mut requests = JoinSet::new();
                for _ in 0..REQUESTS {
                    let moved = moved.clone();
                    requests.spawn(job("migrates", async move {
                        let mut seen = HashSet::new();
                        // Two workers and four tasks that give way: sooner or later each is stolen.
                        for _ in 0..20 {
                            burn_ms(1);
                            seen.insert(std::thread::current().id());
                            yield_now().await;
                        }
                        if seen.len() > 1 {
                            moved.fetch_add(1, Ordering::Relaxed);
                        }
                    }));
                }
                while requests.join_next().await.is_some() {}
            });
        })
    };
    assert_cpu(request(&ledger, "migrates"), 20 * REQUESTS as u64);
    assert!(moved.load(Ordering::Relaxed) > 0, "no task moved");
}

#[test]
fn a_local_set_polls_many_owners_on_one_thread() {
    let ledger = weigh(|| {
        let local = LocalSet::new();
        block_on(
            &this_thread(),
            local.run_until(async {
                let in_request = job("local", async {
                    burn_ms(2);
                    spawn_local(work(4)).await.unwrap();
                });
                let own = spawn_local(background("local owner", work(6)));
                in_request.await;
                own.await.unwrap();
                let mut set = JoinSet::new();
                set.spawn_local(job("local set", work(3)));
                set.join_next().await.unwrap().unwrap();
            }),
        );
    });
    assert_cpu(request(&ledger, "local"), 6);
    assert_cpu(owner(&ledger, "background", "local owner"), 6);
    assert_cpu(request(&ledger, "local set"), 3);
}

#[test]
fn branches_of_a_select_pay_for_themselves_and_losers_for_their_drop() {
    let ledger = weigh(|| {
        block_on(&threads(1), async {
            job("selects", async {
                burn_ms(1);
                tokio::select! {
                    () = background("winner", work(3)) => {}
                    () = background("loser", hang(5)) => {}
                }
                burn_ms(1);
            })
            .await;
        });
    });
    assert_cpu(request(&ledger, "selects"), 2);
    assert_cpu(owner(&ledger, "background", "winner"), 3);
    assert_cpu(owner(&ledger, "background", "loser"), 5);
}

#[test]
fn futures_unordered_polls_many_requests_inside_one_task() {
    let ledger = weigh(|| {
        block_on(&threads(1), async {
            let mut all: FuturesUnordered<_> =
                (0..3)
                    .map(|_| futures_util::future::Either::Left(job("unordered small", work(2))))
                    .chain((0..3).map(|_| {
                        futures_util::future::Either::Right(job("unordered large", work(4)))
                    }))
                    .collect();
            while all.next().await.is_some() {}
        });
    });
    assert_cpu(request(&ledger, "unordered small"), 6);
    assert_cpu(request(&ledger, "unordered large"), 12);
}

#[test]
fn a_join_set_belongs_to_the_request_that_fills_it() {
    let ledger = weigh(|| {
        let runtime = threads(2);
        block_on(&runtime, async {
            job("fans out", async {
                let mut set: JoinSet<()> = (0..3).map(|_| work(2)).collect();
                set.spawn_blocking(|| burn_ms(3));
                set.spawn_on(work(1), &tokio::runtime::Handle::current());
                while set.join_next().await.is_some() {}
                assert!(set.is_empty(), "Tokio's own methods are there");
                set.spawn(hang(4));
                yield_now().await;
                set.shutdown().await;
            })
            .await;
        });
    });
    // 3 × 2 polled, 3 blocking, 1 on the handle, 4 in the drop.
    assert_cpu(request(&ledger, "fans out"), 14);
}

#[test]
fn blocking_threads_work_for_the_request_that_asked() {
    let ledger = weigh(|| {
        let runtime = threads(1);
        let handle = runtime.handle().clone();
        let detached = Mutex::new(None);
        block_on(&runtime, async {
            job("blocks", async {
                spawn_blocking(|| burn_ms(4)).await.unwrap();
                let inside = Scope::current();
                // From a thread that is not the runtime's.
                std::thread::scope(|scope| {
                    scope.spawn(|| {
                        inside.install(|| {
                            burn_ms(2);
                            drop(spawn_blocking_on(|| burn_ms(3), &handle));
                            *detached.lock().unwrap() = Some(spawn_on(work(2), &handle));
                        });
                    });
                });
            })
            .await;
            // The bill closes when its last child has ended, and a runtime that is dropped ends tasks early.
            let detached = detached.lock().unwrap().take();
            detached.unwrap().await.unwrap();
        });
        drop(runtime);
    });
    assert_cpu(request(&ledger, "blocks"), 11);
    let row = ledger.operation("JOB blocks", "");
    assert_eq!(figure(&row, column::ENDED), 1);
    assert_eq!(figure(&row, column::LATE_CPU_NS), 0);
}

#[test]
fn block_in_place_keeps_the_account_while_the_worker_goes_on_elsewhere() {
    let ledger = weigh(|| {
        block_on(&threads(1), async {
            let (go, gone) = tokio::sync::oneshot::channel();
            let blocks = tokio::spawn(job("in place", async move {
                burn_ms(1);
                tokio::task::block_in_place(|| {
                    burn_ms(5);
                    // Only another thread can run the sender now.
                    tokio::runtime::Handle::current().block_on(async { gone.await.unwrap() });
                    burn_ms(2);
                });
                work(2).await;
            }));
            let beside = tokio::spawn(job("beside", async move {
                work(6).await;
                go.send(()).unwrap();
            }));
            blocks.await.unwrap();
            beside.await.unwrap();
        });
    });
    assert_cpu(request(&ledger, "in place"), 10);
    assert_cpu(request(&ledger, "beside"), 6);
}

#[test]
fn a_cancelled_child_is_dropped_at_its_requests_cost() {
    let ledger = weigh(|| {
        block_on(&threads(1), async {
            job("cancels", async {
                let (begun, begins) = tokio::sync::oneshot::channel();
                let child = spawn(async {
                    let hanging = hang(5);
                    begun.send(()).unwrap();
                    hanging.await;
                });
                begins.await.unwrap();
                child.abort();
                assert!(child.await.unwrap_err().is_cancelled());
                let perhaps_never_polled = spawn(hang(3));
                perhaps_never_polled.abort();
                assert!(perhaps_never_polled.await.unwrap_err().is_cancelled());
                drop(background("never polled", hang(4)));
            })
            .await;
        });
    });
    assert_cpu(request(&ledger, "cancels"), 8);
    assert_cpu(owner(&ledger, "background", "never polled"), 4);
}

#[test]
fn a_panic_costs_whom_it_hits_and_leaves_the_thread_in_order() {
    let ledger = weigh(|| {
        block_on(&threads(1), async {
            let panics = |held: BurnInDrop| async move {
                let _held = held;
                burn_ms(2);
                std::panic::resume_unwind(Box::new("on purpose"));
            };
            job("survives its child", async {
                let child = spawn(panics(BurnInDrop(3)));
                assert!(child.await.unwrap_err().is_panic());
            })
            .await;
            let hit = tokio::spawn(job("panics", panics(BurnInDrop(3))));
            assert!(hit.await.unwrap_err().is_panic());
            tokio::spawn(job("after", work(4))).await.unwrap();
        });
    });
    assert_cpu(request(&ledger, "survives its child"), 5);
    assert_cpu(request(&ledger, "panics"), 5);
    assert_cpu(request(&ledger, "after"), 4);
    let errors = |name: &str| figure(&ledger.operation(name, ""), column::ERRORS);
    assert_eq!(
        (errors("JOB panics"), errors("JOB survives its child")),
        (1, 0)
    );
}

#[test]
fn pools_and_drivers_opened_by_a_request_are_owners_of_their_own() {
    let ledger = weigh(|| {
        block_on(&threads(1), async {
            let (asks, mut asked) = tokio::sync::mpsc::channel::<()>(1);
            let mut opened = None;
            job("opens", async {
                burn_ms(1);
                opened = Some(tokio::spawn(driver("database", async move {
                    while asked.recv().await.is_some() {
                        burn_ms(3);
                    }
                })));
                asks.send(()).await.unwrap();
            })
            .await;
            job("uses", async {
                asks.send(()).await.unwrap();
                pool("connections", async { burn_ms(2) }).await;
            })
            .await;
            drop(asks);
            opened.unwrap().await.unwrap();
        });
    });
    assert_cpu(request(&ledger, "opens"), 1);
    assert_cpu(request(&ledger, "uses"), 0);
    assert_cpu(owner(&ledger, "driver", "database"), 6);
    assert_cpu(owner(&ledger, "pool", "connections"), 2);
}

#[test]
fn what_is_spawned_outside_requests_is_named_by_its_place() {
    let line = Arc::new(Mutex::new(0));
    let ledger = {
        let line = line.clone();
        weigh(move || {
            block_on(&threads(1), async move {
                let here = line!() + 1;
                let child = spawn(work(4));
                *line.lock().unwrap() = here;
                child.await.unwrap();
                // A declared owner's tasks are its own.
                background("declared", async { spawn(work(3)).await.unwrap() }).await;
            });
        })
    };
    let place = format!("{}:{}", file!(), line.lock().unwrap());
    assert_cpu(owner(&ledger, "background", &place), 4);
    assert_cpu(owner(&ledger, "background", "declared"), 3);
}

#[test]
fn a_scope_carries_an_account_into_foreign_spawners_and_holds_the_bill_open() {
    let ledger = weigh(|| {
        block_on(&threads(1), async {
            let mut foreign = tokio::task::JoinSet::new();
            job("scoped", async {
                burn_ms(1);
                foreign.spawn(Scope::current().wrap(work(4)));
            })
            .await;
            foreign.join_next().await.unwrap().unwrap();
        });
    });
    assert_cpu(request(&ledger, "scoped"), 5);
    let row = ledger.operation("JOB scoped", "");
    assert_eq!(figure(&row, column::LATE_CPU_NS), 0);
    assert_eq!(figure(&row, column::ENDED), 1);
}

#[test]
fn an_unwrapped_task_is_in_the_schedulers_row_on_stable_and_in_its_own_with_the_hooks() {
    let ledger = weigh(|| {
        block_on(&threads(1), async {
            tokio::spawn(work(6)).await.unwrap();
        });
    });
    let unwrapped = owner(&ledger, "runtime", "runtime or unwrapped");
    if cfg!(tokio_unstable) {
        assert!(unwrapped < 5_000_000, "{unwrapped}");
    } else {
        assert_cpu(unwrapped, 6);
    }
}

/// A closure of somebody else is the scheduler's wherever it runs: none of it is anybody's or a request's.
#[test]
fn what_hooks_of_somebody_else_cost_is_the_schedulers() {
    let times: Arc<[AtomicUsize; 4]> = Arc::default();
    let ledger = weigh(|| {
        let burns = |n: usize, ms| {
            let times = times.clone();
            move || {
                // Once each: threads park and wake as often as they like.
                if times[n].fetch_add(1, Ordering::Relaxed) == 0 {
                    burn_ms(ms);
                }
            }
        };
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        hooks::chain()
            .on_thread_start(burns(0, 3))
            .on_thread_park(burns(1, 4))
            .on_thread_unpark(burns(2, 5))
            .on_thread_stop(burns(3, 6))
            .install(&mut builder);
        let runtime = builder.worker_threads(1).enable_all().build().unwrap();
        block_on(&runtime, async {
            job("between", async {
                tokio::spawn(async { tokio::time::sleep(Duration::from_millis(1)).await })
                    .await
                    .unwrap();
                burn_ms(2);
            })
            .await;
        });
        drop(runtime);
    });
    assert!(times.iter().all(|n| n.load(Ordering::Relaxed) > 0));
    assert_cpu(ledger.operation("JOB between", "").cpu_ns(), 2);
    assert_cpu(
        ledger.select(RowKind::Owner, &[(0, "runtime")]).cpu_ns(),
        3 + 4 + 5 + 6,
    );
}

#[test]
fn hooks_of_somebody_else_run_beside_ours() {
    let parks = Arc::new(AtomicUsize::new(0));
    let (parked, by_hand) = (parks.clone(), parks.clone());
    let ledger = weigh(move || {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        hooks::chain()
            .on_thread_park(move || {
                parked.fetch_add(1, Ordering::Relaxed);
            })
            .install(&mut builder);
        let chained = builder.worker_threads(1).enable_all().build().unwrap();
        let own = tokio::runtime::Builder::new_multi_thread()
            .on_thread_start(hooks::on_thread_start)
            .on_thread_stop(hooks::on_thread_stop)
            .on_thread_unpark(hooks::on_thread_unpark)
            .on_thread_park(move || {
                by_hand.fetch_add(1_000_000, Ordering::Relaxed);
                hooks::on_thread_park();
            })
            .worker_threads(1)
            .build()
            .unwrap();
        for runtime in [chained, own] {
            // Unwrapped on purpose: both runtimes book it to the scheduler.
            runtime.block_on(async { tokio::spawn(async { burn_ms(4) }).await.unwrap() });
        }
        support::scenario::until(|| {
            let n = parks.load(Ordering::Relaxed);
            n >= 1_000_000 && !n.is_multiple_of(1_000_000)
        });
    });
    let seen = ledger.select(RowKind::Owner, &[(0, "runtime")]).cpu_ns()
        + ledger.select(RowKind::Owner, &[(0, "background")]).cpu_ns();
    assert_cpu(seen, 8);
}
