use super::*;
use crate::testing::{SECOND_NS, START_UNIX_NS};

const LEN_NS: u64 = 10 * SECOND_NS;

fn window(n: u64) -> Window {
    Window {
        start_unix_ns: START_UNIX_NS + n * LEN_NS,
        end_unix_ns: START_UNIX_NS + (n + 1) * LEN_NS,
    }
}

fn process(mode: &str) -> RowKey {
    instance("one", mode)
}

fn instance(instance: &str, mode: &str) -> RowKey {
    ProcessKey {
        instance: instance.into(),
        host: "".into(),
        epoch: "otlp 1".into(),
        clock_mode: mode.into(),
        agent_version: "".into(),
    }
    .row_key(Quality::Measured)
}

/// One window of a service: its CPU counter, and its operations with how many ended and their walls.
fn folded(n: u64, counter_ns: Option<i64>, demand: &[(&str, i64, i64)]) -> FoldedWindow {
    let mut rows = RowSet::new();
    if let Some(ns) = counter_ns {
        rows.add(
            process("otlp process"),
            &RowValue::new().with(column::CPU_CUMULATIVE_NS, ns),
        );
    }
    for (name, ended, wall_ns) in demand {
        rows.add(
            crate::testing::operation(name),
            &RowValue::new()
                .with(column::ENDED, *ended)
                .with(column::WALL_NS, *wall_ns),
        );
    }
    FoldedWindow {
        service: ServiceId {
            service: "shop".into(),
            ..ServiceId::default()
        },
        window: window(n),
        rows,
    }
}

fn estimated(windows: &[FoldedWindow]) -> Added {
    estimate(|| Ok(windows.iter().cloned().map(Ok))).unwrap()
}

/// CPU of an operation over all windows, with its bounds.
fn cpu(added: &Added, name: &str) -> (i64, i64, i64) {
    let mut sum = (0, 0, 0);
    for rows in added.values() {
        for (key, value) in rows.of_kind(RowKind::Operation) {
            assert_eq!(key.quality, Quality::Estimated);
            if &*key.parts[1] == name {
                sum.0 += value.get(column::CPU_HANDLER_NS).unwrap();
                sum.1 += value.get(column::CPU_LOW_NS).unwrap();
                sum.2 += value.get(column::CPU_HIGH_NS).unwrap();
            }
        }
    }
    sum
}

fn reasons(added: &Added) -> Vec<String> {
    added
        .values()
        .flat_map(|rows| rows.of_kind(RowKind::Loss))
        .map(|(key, _)| LossKey::read(key).unwrap().reason.to_string())
        .collect()
}

#[test]
fn the_law_shares_out_by_time_and_conserves() {
    let added = estimated(&[
        folded(0, Some(1_000), &[]),
        folded(1, None, &[("a", 1, 100), ("b", 1, 300)]),
        folded(2, Some(2_000), &[("a", 1, 400)]),
    ]);
    // 1000 ns between the readings; 400 of the walls lie in each of the two windows.
    assert_eq!(cpu(&added, "a"), (125 + 500, 0, 1_000));
    assert_eq!(cpu(&added, "b"), (375, 0, 500));
    let sum: i64 = added.values().map(RowSet::accounts_cpu_ns).sum();
    assert_eq!(sum, 1_000);
    let of_process: i64 = added
        .values()
        .flat_map(|rows| rows.of_kind(RowKind::Process))
        .filter_map(|(_, value)| value.get(column::CPU_PROCESS_NS))
        .sum();
    assert_eq!(of_process, 1_000);
    assert!(
        reasons(&added)[0].contains("too few windows"),
        "{:?}",
        reasons(&added)
    );
}

#[test]
fn cpu_without_requests_is_unattributed() {
    let added = estimated(&[folded(0, Some(0), &[]), folded(1, Some(700), &[])]);
    let owners: Vec<_> = added
        .values()
        .flat_map(|rows| rows.of_kind(RowKind::Owner))
        .map(|(key, value)| (key.parts[0].to_string(), value.cpu_ns()))
        .collect();
    assert_eq!(owners, [("unattributed".to_owned(), 700)]);
}

#[test]
fn what_an_agent_measures_is_not_estimated() {
    let mut with_agent = folded(1, Some(5), &[("a", 1, 1)]);
    with_agent.rows.add(
        process("rseq"),
        &RowValue::new().with(column::CPU_PROCESS_NS, 3),
    );
    assert!(estimated(&[folded(0, Some(0), &[]), with_agent]).is_empty());
}

#[test]
fn a_counter_that_goes_back_or_says_one_thing_only_is_refused() {
    let back = estimated(&[folded(0, Some(9), &[]), folded(1, Some(3), &[("a", 1, 1)])]);
    assert!(reasons(&back).iter().any(|why| why.contains("went back")));
    assert_eq!(cpu(&back, "a"), (0, 0, 0));
    let once = estimated(&[folded(0, Some(9), &[("a", 1, 1)])]);
    assert!(reasons(&once).iter().any(|why| why.contains("needs two")));
    let gap = estimated(&[folded(0, Some(0), &[]), folded(40, Some(9), &[])]);
    assert!(reasons(&gap).iter().any(|why| why.contains("five minutes")));
}

/// Sixty windows in which `a` takes 3 ms, `b` 1 ms and the background 50 ms, with walls that say nothing of it.
fn telling(together: bool) -> Vec<FoldedWindow> {
    let mut counter = 0;
    (0..61)
        .map(|n| {
            let a = 100 + 37 * (n as i64 * 7 % 11);
            let b = if together {
                2 * a
            } else {
                150 + 41 * (n as i64 * 5 % 13)
            };
            counter += 50_000_000 + 3_000_000 * a + 1_000_000 * b + (n as i64 * 31 % 17) * 100_000;
            folded(n, Some(counter), &[("a", a, 1_000), ("b", b, 1_000)])
        })
        .collect()
}

#[test]
fn a_regression_finds_what_times_cannot_tell() {
    let added = estimated(&telling(false));
    assert_eq!(reasons(&added), [""; 0]);
    let ended: i64 = (1..61).map(|n: i64| 100 + 37 * (n * 7 % 11)).sum();
    let (ns, low, high) = cpu(&added, "a");
    let each = ns as f64 / ended as f64;
    assert!((2.9e6..3.1e6).contains(&each), "{each}");
    assert!(
        low <= ns && ns <= high && (high as f64) < 1.1 * ns as f64,
        "{low} {ns} {high}"
    );
    let sum: i64 = added.values().map(RowSet::accounts_cpu_ns).sum();
    let of_process: i64 = added
        .values()
        .flat_map(|rows| rows.of_kind(RowKind::Process))
        .filter_map(|(_, value)| value.get(column::CPU_PROCESS_NS))
        .sum();
    assert_eq!(
        sum, of_process,
        "what a fit does not explain is unattributed"
    );
}

#[test]
fn operations_that_vary_together_are_not_told_apart() {
    let added = estimated(&telling(true));
    assert!(
        reasons(&added)
            .iter()
            .any(|why| why.contains("vary together")),
        "{:?}",
        reasons(&added)
    );
    let (ns, low, _) = cpu(&added, "a");
    assert!(ns > 0 && low == 0);
}

#[test]
fn a_process_that_tells_its_cpu_each_minute_is_no_evidence_for_ten_seconds() {
    // Whichever of the two comes first in the order of keys.
    for other in ["two", "a second"] {
        for column in [column::CPU_CUMULATIVE_NS, column::CPU_TOLD_NS] {
            let mut windows = telling(false);
            for (n, folded) in windows.iter_mut().enumerate().step_by(6) {
                let ns = match column {
                    column::CPU_CUMULATIVE_NS => 6_000_000_000 * (n as i64 + 1),
                    _ => 36_000_000_000,
                };
                let row = RowValue::new().with(column, ns);
                let key = instance(other, "otlp process");
                folded.rows.add(key, &row);
            }
            let added = estimated(&windows);
            assert!(
                reasons(&added).iter().any(|why| why.contains("too few")),
                "{other}: {:?}",
                reasons(&added)
            );
            let (_, low, _) = cpu(&added, "a");
            assert_eq!(low, 0, "{other}: only the sum is certain");
        }
    }
}

#[test]
fn a_process_that_ended_before_or_began_after_takes_nothing_from_the_evidence() {
    let mut windows = telling(false);
    for (n, folded) in windows.iter_mut().enumerate().take(5) {
        let row = RowValue::new().with(column::CPU_CUMULATIVE_NS, n as i64 * 1_000_000);
        folded.rows.add(instance("before", "otlp process"), &row);
    }
    assert_eq!(reasons(&estimated(&windows)), [""; 0]);
}

#[test]
fn a_service_without_metrics_costs_one_reading_and_more_than_fits_is_refused_with_a_reason() {
    let reads = std::cell::Cell::new(0);
    let spans_only = (0..50).map(|n| folded(n, None, &[("a", 1, 100)]));
    let added = estimate(|| {
        reads.set(reads.get() + 1);
        Ok(spans_only.clone().map(Ok))
    });
    assert!(added.unwrap().is_empty());
    assert_eq!(reads.get(), 1, "no operation was gathered");
    let names: Vec<String> = (0..GATHERED_MAX / 40)
        .map(|n| format!("GET /{n}"))
        .collect();
    let demand: Vec<_> = names.iter().map(|name| (&**name, 1, 100)).collect();
    let mut windows: Vec<_> = (0..50)
        .map(|n| folded(n, Some(n as i64 * 1_000), &demand))
        .collect();
    // A small one beside it is estimated as before.
    for n in 0..50 {
        let mut small = folded(n, Some(n as i64 * 1_000), &[("a", 1, 100)]);
        small.service.service = "small".into();
        windows.push(small);
    }
    let added = estimated(&windows);
    let large: Vec<_> = added
        .iter()
        .filter(|((_, id), _)| id.service == "shop")
        .collect();
    assert_eq!(large.len(), 1, "nothing but the reason");
    assert!(reasons(&added)[0].contains("shorter range"));
    assert_eq!(cpu(&added, "a").0, 49_000);
}
