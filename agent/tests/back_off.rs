//! An agent that costs its process too much measures less, step by step and counted, and comes back: regions go,
//! totals stay. The collector sees each step.

#![allow(clippy::unwrap_used)]

mod support;

use std::process::Command;
use std::time::Duration;

use support::collector::{Collector, Mood};
use support::{PATIENCE, assert_conserved, burn, clock_mode, figure, thread_cpu};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use weighbridge_agent::wire::{
    Delta, LossKey, OperationKey, Quality, RegionKey, RowKind, RowValue, column,
};
use weighbridge_agent::{Agent, encode, job};

const ROLE: &str = "WEIGHBRIDGE_TEST_ROLE";
/// Requests in each window: a multiple of the one in 16 whose regions are left.
const REQUESTS: i64 = 64;
/// CPU time of each window, in which ending it is not much, also where a host makes each new page dear.
const WINDOW: Duration = Duration::from_millis(150);
/// It waits for a few calm windows before each step forward, and for more where it had to step back.
const CALM_WINDOWS_MAX: usize = 100;
const THINNED: &str = "thinned by back-off";
const OFF: &str = "off by back-off";

/// The requests of a window: each burns its part, crossing boundaries all the time or not at all.
fn work(busy: bool) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let each = WINDOW / u32::try_from(REQUESTS).unwrap();
    for _ in 0..REQUESTS {
        runtime.block_on(job("weighed", async {
            let _region = tracing::info_span!("region").entered();
            if busy {
                let begun = thread_cpu();
                while thread_cpu() - begun < each {
                    (0..1_000).for_each(|_| encode(|| ()));
                }
            } else {
                burn(each);
            }
        }));
    }
}

fn operation(delta: &Delta) -> RowValue {
    let mut sum = RowValue::new();
    delta
        .rows
        .of_kind(RowKind::Operation)
        .filter(|(key, _)| {
            OperationKey::read(key).is_some_and(|key| *key.operation == *"JOB weighed")
        })
        .for_each(|(_, row)| sum.merge(row));
    sum
}

/// How much was measured of regions, in the words of the loss row.
fn step(delta: &Delta) -> Option<String> {
    let mut steps = delta.rows.of_kind(RowKind::Loss).filter_map(|(key, row)| {
        let key = LossKey::read(key)?;
        let told = key.reason.ends_with(" by back-off");
        (told && figure(row, column::LOST) == 1).then(|| key.reason.to_string())
    });
    let step = steps.next();
    assert_eq!(steps.next(), None, "one step at a time");
    step
}

/// Quality of the spans of a window, and how many they stand for.
fn regions(delta: &Delta) -> Vec<(Quality, i64)> {
    delta
        .rows
        .of_kind(RowKind::Region)
        .filter(|(key, _)| RegionKey::read(key).is_some_and(|key| *key.region == *"region"))
        .map(|(key, row)| (key.quality, figure(row, column::COUNT)))
        .collect()
}

/// Ends a window and looks at what the collector got of it.
fn end_window(agent: &Agent, collector: &Collector, busy: bool) -> Option<String> {
    work(busy);
    assert!(agent.flush(PATIENCE));
    let delta = collector.received().pop().unwrap().delta;
    // Whatever is measured of regions, totals are all there.
    assert_conserved(&delta);
    let row = operation(&delta);
    for column in [column::STARTED, column::ENDED] {
        assert_eq!(figure(&row, column), REQUESTS);
    }
    assert!(row.cpu_ns() >= i64::try_from(WINDOW.as_nanos()).unwrap());
    assert_eq!(
        row.get(column::CPU_ENCODE_NS).is_some_and(|ns| ns > 0),
        busy,
        "classes are told apart as ever"
    );
    let (_, process) = delta.rows.of_kind(RowKind::Process).next().unwrap();
    assert!(figure(process, column::CPU_HOOKS_NS) > 0);
    let measured = if clock_mode(&delta) == "scaled" {
        Quality::Apportioned
    } else {
        Quality::Measured
    };
    let step = step(&delta);
    match (step.as_deref(), regions(&delta).as_slice()) {
        (None, [(quality, count)]) => assert_eq!((*quality, *count), (measured, REQUESTS)),
        // One request in 16 stands for all, unless chance took none.
        (Some(THINNED), []) => {}
        (Some(THINNED), [(quality, count)]) => {
            assert_eq!((*quality, count % 16), (Quality::Sampled, 0));
        }
        (Some(OFF), regions) => assert_eq!(regions, []),
        other => panic!("{other:?}"),
    }
    step
}

fn subject() {
    tracing_subscriber::registry()
        .with(weighbridge_agent::regions())
        .init();
    let collector = Collector::start(Mood::Honest);
    let agent = support::builder("strained")
        .endpoint(&collector.url())
        .try_init()
        .unwrap();
    let mut steps: Vec<_> = (0..4)
        .map(|_| end_window(&agent, &collector, true))
        .collect();
    let strained = [None, Some(THINNED), Some(OFF), Some(OFF)];
    assert_eq!(
        steps.iter().map(Option::as_deref).collect::<Vec<_>>(),
        strained
    );
    while steps.last() != Some(&None) {
        assert!(steps.len() < CALM_WINDOWS_MAX, "it never recovers");
        steps.push(end_window(&agent, &collector, false));
    }
    let calm = |step: &str| {
        let windows = steps[strained.len()..].iter();
        windows.filter(|s| s.as_deref() == Some(step)).count()
    };
    assert!(
        calm(OFF) >= 3 && calm(THINNED) >= 3,
        "not at the first calm window: {steps:?}"
    );
    steps.dedup();
    assert_eq!(
        steps.iter().map(Option::as_deref).collect::<Vec<_>>(),
        [None, Some(THINNED), Some(OFF), Some(THINNED), None]
    );
}

#[test]
fn too_dear_an_agent_gives_up_regions_first_and_totals_never() {
    if std::env::var_os(ROLE).is_some() {
        subject();
        return;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .arg("--nocapture")
        .env(ROLE, "strained")
        .env("WEIGHBRIDGE_OVERHEAD_MAX", "20%")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
