//! Our CPU time of a busy task against the wall time of its polls as `tokio-metrics` takes it: two clocks that
//! know nothing of each other, read at the same boundaries.

#![allow(clippy::unwrap_used)]

mod support;

use support::scenario::{burn_ms, weigh};
use tokio::task::yield_now;
use tokio_metrics::TaskMonitor;
use weighbridge_agent::{block_on, job, runtime};

/// Short rounds, so that some go by without the task being preempted.
const ROUNDS: usize = 60;
const POLLS: u64 = 5;
/// What the readings of both may add to a poll of 1 ms, and opening the bill to the first one.
const TOLERANCE: f64 = 0.03;

#[test]
fn a_busy_tasks_cpu_is_the_duration_of_its_polls_as_tokio_metrics_sees_it() {
    let mut polled = Vec::new();
    let names: Vec<&'static str> = (0..ROUNDS)
        .map(|n| &*Box::leak(format!("round {n}").into_boxed_str()))
        .collect();
    let ledger = weigh(|| {
        let runtime = runtime().worker_threads(1).build().unwrap();
        for &name in &names {
            let monitor = TaskMonitor::new();
            let task = monitor.instrument(job(name, async {
                for _ in 0..POLLS {
                    burn_ms(1);
                    yield_now().await;
                }
            }));
            block_on(&runtime, async { tokio::spawn(task).await.unwrap() });
            let seen = monitor.cumulative();
            assert_eq!(seen.total_poll_count, POLLS + 1);
            polled.push(seen.total_poll_duration.as_secs_f64() * 1e9);
        }
    });
    let ratios: Vec<f64> = names
        .iter()
        .zip(&polled)
        .map(|(name, wall_ns)| {
            let cpu_ns = ledger.operation(&format!("JOB {name}"), "").cpu_ns();
            #[allow(clippy::cast_precision_loss)] // milliseconds
            let ratio = wall_ns / cpu_ns as f64;
            ratio
        })
        .collect();
    // Wall time contains what others did while the task was preempted, never less than its CPU time.
    assert!(
        ratios.iter().all(|ratio| *ratio > 1.0 - TOLERANCE),
        "{ratios:?}"
    );
    let closest = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    println!("wall time of polls ÷ CPU time booked, at the least: {closest:.4}");
    assert!(closest < 1.0 + TOLERANCE, "{ratios:?}");
}
