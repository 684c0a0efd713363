//! Our CPU time of a busy task against the wall time of its polls as `tokio-metrics` takes it: two clocks that
//! know nothing of each other, read at the same boundaries. For how much of a poll the thread did not run (others
//! did, interrupts, the machine below), the kernel tells.

#![allow(clippy::unwrap_used, clippy::cast_precision_loss)] // milliseconds, in ns

mod support;

use std::time::Instant;

use support::scenario::{burn_ms, weigh};
use support::thread_cpu;
use tokio::task::yield_now;
use tokio_metrics::TaskMonitor;
use weighbridge_agent::{block_on, job, runtime};

const ROUNDS: usize = 20;
const POLLS: u64 = 5;
const POLL_MS: u64 = 5;
/// What the readings of both may add to a poll, and opening the bill to the first one: 50 µs each when caches are
/// cold, and a reading that was interrupted.
const TOLERANCE: f64 = 0.03;

/// Wall time less CPU time of this thread: grows while it does not run.
#[allow(clippy::disallowed_methods)] // what is compared
fn not_running_ns(since: Instant) -> i128 {
    let wall = i128::try_from(since.elapsed().as_nanos()).unwrap();
    wall - i128::try_from(thread_cpu().as_nanos()).unwrap()
}

#[test]
#[allow(clippy::disallowed_methods)] // what is compared
fn a_busy_tasks_cpu_is_the_duration_of_its_polls_as_tokio_metrics_sees_it() {
    let (mut polled, mut lost) = (Vec::new(), Vec::new());
    let names: Vec<&'static str> = (0..ROUNDS)
        .map(|n| &*Box::leak(format!("round {n}").into_boxed_str()))
        .collect();
    let ledger = weigh(|| {
        let runtime = runtime().worker_threads(1).build().unwrap();
        let begun = Instant::now();
        for &name in &names {
            let monitor = TaskMonitor::new();
            let task = monitor.instrument(job(name, async move {
                let mut sum = 0;
                for _ in 0..POLLS {
                    let before = not_running_ns(begun);
                    burn_ms(POLL_MS);
                    sum += not_running_ns(begun) - before;
                    yield_now().await;
                }
                sum
            }));
            let round = async { tokio::spawn(task).await.unwrap() };
            lost.push(block_on(&runtime, round) as f64);
            let seen = monitor.cumulative();
            assert_eq!(seen.total_poll_count, POLLS + 1);
            polled.push(seen.total_poll_duration.as_secs_f64() * 1e9);
        }
    });
    let cpu: Vec<f64> = names
        .iter()
        .map(|name| ledger.operation(&format!("JOB {name}"), "").cpu_ns() as f64)
        .collect();
    // Wall time contains what others did while the task was preempted, never less than its CPU time.
    let whole = polled.iter().zip(&cpu).map(|(wall, cpu)| wall / cpu);
    assert!(
        whole.clone().all(|ratio| ratio > 1.0 - TOLERANCE),
        "{:?}",
        whole.collect::<Vec<_>>()
    );
    // Without that it is the CPU time; but for rounds that were interrupted where nobody looked.
    let mut ratios: Vec<f64> = polled
        .iter()
        .zip(&lost)
        .zip(&cpu)
        .map(|((wall, lost), cpu)| (wall - lost) / cpu)
        .collect();
    ratios.sort_by(f64::total_cmp);
    let median = ratios[ROUNDS / 2];
    println!("wall time of polls while running ÷ CPU time booked, median: {median:.4}");
    assert!((median - 1.0).abs() < TOLERANCE, "{ratios:?}");
}
