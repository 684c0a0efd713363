//! Latency by call shapes, each case worked by hand. Nobody's cores are known, so no wait for a core changes.

use super::super::*;
use super::{hand, merge, seen};
use crate::simulate::{Activity, Arrivals, Effort, Network, RequestClass, Times, simulate};

const MS: f64 = 1e6;

/// A front of 10 ms that calls `a` (1 ms, waited for 1.5 ms) and `b` (1.8 ms, waited for 2 ms); a call costs each of
/// its ends 0.1 ms in messages, and inside a process 1 µs.
fn system(steps: Vec<Step>, calls_of_a: f64) -> Inputs {
    let mut inputs = Inputs {
        local_call_ns: 1_000.0,
        ..Inputs::default()
    };
    let front = hand::service(&mut inputs, "front", 10.0, 0.5 * MS);
    let a = hand::service(&mut inputs, "a", 10.0 * calls_of_a, 0.2 * MS);
    let b = hand::service(&mut inputs, "b", 10.0, 0.2 * MS);
    for (to, rate, wait, wall) in [(a, 10.0 * calls_of_a, 1.5, 1.0), (b, 10.0, 2.0, 1.8)] {
        let edge = hand::call(&mut inputs, front, to, rate, 0.2 * MS);
        inputs.edges[edge].wait_ns = Some(wait * MS);
        inputs.operations[to].wall_ns = Some(wall * MS);
    }
    inputs.operations[front].wall_ns = Some(10.0 * MS);
    inputs.operations[front].shapes = vec![Shape { share: 1.0, steps }];
    hand::one_origin(&mut inputs, front);
    inputs.origins[0].wall_ns = Some([9.0 * MS, 15.0 * MS, 20.0 * MS, 10.0 * MS]);
    inputs
        .services
        .iter_mut()
        .for_each(|s| s.cores_limit = None);
    inputs
}

fn branch(edge: usize, calls: f64, wait_ms: f64) -> Branch {
    Branch {
        edge: Some(edge),
        calls,
        wall_ns: wait_ms * MS,
        beside: false,
        detached: false,
    }
}

fn step(branches: Vec<Branch>) -> Step {
    Step { branches }
}

/// The mean latency after a change, ms.
fn after(inputs: &Inputs, change: &Change) -> f64 {
    let topology = change.apply(inputs, &Topology::as_it_is(inputs)).unwrap();
    let figures = evaluate(inputs, &topology, &seen());
    figures.origins[0].mean_ns.unwrap() / MS
}

fn close(got: f64, want: f64) {
    assert!((got - want).abs() < 1e-9, "{got} instead of {want}");
}

/// Two calls of `a`, then one of `b`: `10 − 2 · (1.5 − (1.0 − 0.1 + 0.001)) − 2 · (0.1 − 0.001)`.
#[test]
fn calls_one_after_the_other() {
    let inputs = system(
        vec![
            step(vec![branch(0, 2.0, 1.5)]),
            step(vec![branch(1, 1.0, 2.0)]),
        ],
        2.0,
    );
    close(
        after(&inputs, &merge(&["front", "a"])),
        10.0 - 1.198 - 0.198,
    );
    // b: 10 − (2 − (1.8 − 0.1 + 0.001)) − (0.1 − 0.001).
    close(
        after(&inputs, &merge(&["front", "b"])),
        10.0 - 0.299 - 0.099,
    );
    close(
        after(&inputs, &merge(&["front", "a", "b"])),
        10.0 - 1.198 - 0.198 - 0.299 - 0.099,
    );
}

/// Both side by side: the step lasts 2 ms as long as `b` does. Without its messages `b` takes 1.701 ms, and `a` inside
/// the process 0.901 ms, which nobody notices beside it.
#[test]
fn calls_side_by_side() {
    let inputs = system(
        vec![step(vec![branch(0, 1.0, 1.5), branch(1, 1.0, 2.0)])],
        1.0,
    );
    close(after(&inputs, &merge(&["front", "a"])), 10.0 - 0.099);
    close(
        after(&inputs, &merge(&["front", "b"])),
        10.0 - 0.299 - 0.099,
    );
    close(
        after(&inputs, &merge(&["front", "a", "b"])),
        10.0 - 0.299 - 0.198,
    );
}

fn in_one_process(inputs: &Inputs, ways: &[(&str, WayWord)]) -> f64 {
    let mut changes = vec![merge(&["front", "a", "b"])];
    changes.extend(ways.iter().map(|(to, way)| Change::Transport {
        from: "front".to_owned(),
        to: (*to).to_owned(),
        way: *way,
    }));
    let topology = apply_all(&changes, inputs, &Topology::as_it_is(inputs)).unwrap();
    let figures = evaluate(inputs, &topology, &seen());
    figures.origins[0].mean_ns.unwrap() / MS
}

/// Side by side only as long as somebody runs them so: on one core 0.901 ms and 1.701 ms follow each other.
#[test]
fn calls_that_no_longer_run_side_by_side() {
    use WayWord::{Local, Serial};
    let beside = vec![step(vec![branch(0, 1.0, 1.5), branch(1, 1.0, 2.0)])];
    let inputs = system(beside.clone(), 1.0);
    let parallel = 10.0 - 0.299 - 0.198;
    close(in_one_process(&inputs, &[]), parallel);
    // One after the other is a matter of two.
    close(in_one_process(&inputs, &[("a", Serial)]), parallel);
    let serial = 10.0 + 0.901 + 1.701 - 2.0 - 0.198;
    let both = [("a", Serial), ("b", Serial)];
    close(in_one_process(&inputs, &both), serial);
    let back = [("a", Serial), ("b", Serial), ("b", Local)];
    close(in_one_process(&inputs, &back), parallel);
    // Where no shape tells, by what of the calls is on the critical path: 0.5 ms of `a` and all of `b` in 2.5 ms.
    let mut inputs = system(Vec::new(), 1.0);
    inputs.operations[0].shapes.clear();
    inputs.edges[0].critical_share = Some(1.0 / 3.0);
    inputs.operations[0].wait_call_ns = Some(2.5 * MS);
    let parallel = 10.0 - 0.299 - (1.5 - 0.901) / 3.0 - 0.198;
    close(in_one_process(&inputs, &[]), parallel);
    let serial = 10.0 + 0.901 + 1.701 - 2.5 - 0.198;
    close(in_one_process(&inputs, &both), serial);
    // Two calls of one kind.
    let mut two = branch(0, 2.0, 1.5);
    two.beside = true;
    let inputs = system(vec![step(vec![two])], 2.0);
    let [a] = [("a", Serial)];
    close(
        in_one_process(&inputs, &[a]),
        10.0 + 2.0 * 0.901 - 1.5 - 2.0 * 0.099 - 0.099,
    );
}

/// Nobody waits for `a`: only encoding and decoding go.
#[test]
fn a_call_that_nobody_waits_for() {
    let mut of_a = branch(0, 1.0, 1.5);
    of_a.detached = true;
    let inputs = system(vec![step(vec![of_a]), step(vec![branch(1, 1.0, 2.0)])], 1.0);
    close(after(&inputs, &merge(&["front", "a"])), 10.0 - 0.099);
}

/// Two calls of `a` in one, one after the other before: twice 1.5 ms become 1.5 ms and the second one's 0.9 ms of work.
#[test]
fn calls_in_a_batch() {
    let inputs = system(vec![step(vec![branch(0, 2.0, 1.5)])], 2.0);
    let change = Change::Batch {
        edge: "edge:0>1".to_owned(),
        calls: Some(2.0),
    };
    close(after(&inputs, &change), 10.0 - 2.0 * 1.5 + 1.5 + 0.9);
}

/// Half of the requests make the call: half of its gain.
#[test]
fn shapes_count_by_their_share() {
    let mut inputs = system(vec![step(vec![branch(0, 1.0, 1.5)])], 0.5);
    let steps = inputs.operations[0].shapes[0].steps.clone();
    inputs.operations[0].shapes = vec![
        Shape { share: 0.5, steps },
        Shape {
            share: 0.5,
            steps: Vec::new(),
        },
    ];
    close(
        after(&inputs, &merge(&["front", "a"])),
        10.0 - 0.5 * (1.5 - 0.901) - 0.5 * 0.099,
    );
}

/// A call inside a service that is split becomes a message: its callee's time stays, and it travels as the calls here
/// do beyond their callees: 10 of 0.5 ms and 10 of 0.2 ms, 0.35 ms each.
#[test]
fn a_call_made_remote_travels_and_does_not_work_twice() {
    let mut inputs = system(
        vec![
            step(vec![branch(0, 1.0, 1.5)]),
            step(vec![branch(1, 1.0, 2.0)]),
        ],
        1.0,
    );
    let more = hand::service(&mut inputs, "inner", 10.0, 0.2 * MS);
    inputs.operations[more].wall_ns = Some(3.0 * MS);
    let edge = hand::call(&mut inputs, 0, more, 10.0, 0.0);
    inputs.edges[edge].local = true;
    inputs.edges[edge].wait_ns = Some(3.0 * MS);
    inputs.services[more].cores_limit = None;
    // It is an operation of the front.
    inputs.operations[more].service = 0;
    inputs.operations[0].shapes[0]
        .steps
        .push(step(vec![branch(edge, 1.0, 3.0)]));
    let split = Change::Split {
        service: "front".to_owned(),
        operations: vec!["GET /inner".to_owned()],
        name: None,
    };
    close(after(&inputs, &split), 10.0 + 0.35);
}

/// A short request beside a rare long one: each on a core of its own, then on one together. What was measured apart, and
/// what is measured together, is the simulator's.
#[test]
fn quantiles_of_a_merge_of_short_and_rare_long_are_those_that_are_simulated() {
    let class = |rate: f64, mean: f64, cs2: f64| RequestClass {
        arrivals: Arrivals { rate, cs2: 1.0 },
        activities: vec![Activity {
            station: 0,
            times: Times::Spread { mean, cs2 },
            after: Vec::new(),
            detached: false,
        }],
    };
    let run = |classes: Vec<RequestClass>| {
        let network = Network {
            servers: vec![1],
            classes,
        };
        let effort = Effort {
            requests: 150_000,
            seed: 3,
        };
        let found = simulate(&network, effort).unwrap();
        let of = |share| found.classes[0].responses.quantile(share).unwrap() as f64;
        let mean = found.classes[0].response * 1e9;
        [of(0.5), of(0.95), of(0.99), mean]
    };
    let mut off = Vec::new();
    for (long_ms, long_cs2, long_rate) in [(300.0, 0.0, 0.7), (200.0, 1.0, 1.5), (80.0, 0.5, 4.0)] {
        let short = || class(100.0, 0.002, 1.0);
        let apart = run(vec![short()]);
        let together = run(vec![short(), class(long_rate, long_ms / 1e3, long_cs2)]);
        let mut inputs = Inputs::default();
        hand::service(&mut inputs, "short", 100.0, 2.0 * MS);
        hand::service(&mut inputs, "long", long_rate, long_ms * MS);
        inputs.operations[1].service_cs2 = long_cs2;
        inputs.operations[0].wall_ns = Some(apart[3]);
        hand::one_origin(&mut inputs, 0);
        inputs.operations[1].parts.clear();
        inputs.origins[0].waits_for = vec![0];
        inputs.origins[0].wall_ns = Some(apart);
        let today = Topology::as_it_is(&inputs);
        let after = merge(&["short", "long"]).apply(&inputs, &today).unwrap();
        let mut figures = evaluate(&inputs, &after, &seen());
        let by_mean = figures.origins[0].p50_ns.unwrap();
        Tails::of(&inputs, &after, &seen(), &figures, [0]).apply(&mut figures);
        let of = &figures.origins[0];
        let got = [of.p95_ns.unwrap(), of.p99_ns.unwrap()];
        for (got, want) in got.into_iter().zip([together[1], together[2]]) {
            if (got / want - 1.0).abs() >= 0.15 {
                off.push(format!("long of {long_ms} ms: {got} instead of {want}"));
            }
        }
        // Most short requests meet no long one; by the mean each of them would take many times as long.
        let p50 = of.p50_ns.unwrap();
        let near = (p50 / together[0] - 1.0).abs() < 0.25;
        if !near || by_mean < 3.0 * together[0] {
            off.push(format!(
                "median beside long of {long_ms} ms: {p50}, by the mean {by_mean}, instead of {}",
                together[0]
            ));
        }
    }
    assert!(off.is_empty(), "{off:#?}");
}

/// A front that calls a stock twice, each on a core of its own, and the stock has other visitors; then one process with
/// one core, where a task that calls keeps it. What was measured apart, and what is measured together, is the
/// simulator's.
#[test]
fn a_merged_caller_waits_for_a_core_once_as_it_is_simulated() {
    let visit = |station: usize, mean: f64, cs2: f64, after: Vec<usize>| Activity {
        station,
        times: Times::Spread { mean, cs2 },
        after,
        detached: false,
    };
    let run = |servers: Vec<u32>, calls: Vec<Activity>, other: Activity, others: f64| {
        let class = |rate: f64, activities| RequestClass {
            arrivals: Arrivals { rate, cs2: 1.0 },
            activities,
        };
        let network = Network {
            servers,
            classes: vec![class(100.0, calls), class(others, vec![other])],
        };
        let effort = Effort {
            requests: 150_000,
            seed: 5,
        };
        let found = simulate(&network, effort).unwrap();
        [0, 1].map(|at| {
            let of = |share| found.classes[at].responses.quantile(share).unwrap() as f64;
            let mean = found.classes[at].response * 1e9;
            [of(0.5), of(0.95), of(0.99), mean]
        })
    };
    let mut off = Vec::new();
    for others in [100.0, 300.0] {
        let calls = vec![
            visit(0, 0.002, 1.0, vec![]),
            visit(1, 0.001, 1.0, vec![0]),
            visit(1, 0.001, 1.0, vec![1]),
        ];
        let [front, stock] = run(vec![1, 1], calls, visit(1, 0.001, 1.0, vec![]), others);
        // The means and the variances of the three pieces of work add up.
        let whole = visit(0, 0.004, 6.0 / 16.0, vec![]);
        let [together, _] = run(vec![1], vec![whole], visit(0, 0.001, 1.0, vec![]), others);

        let mut inputs = Inputs::default();
        hand::service(&mut inputs, "front", 100.0, 2.0 * MS);
        hand::service(&mut inputs, "stock", 200.0 + others, MS);
        let edge = hand::call(&mut inputs, 0, 1, 200.0, 0.0);
        inputs.operations[0].wall_ns = Some(front[3]);
        inputs.operations[1].wall_ns = Some(stock[3]);
        let called = branch(edge, 2.0, stock[3] / MS);
        inputs.operations[0].shapes = vec![Shape {
            share: 1.0,
            steps: vec![step(vec![called])],
        }];
        hand::one_origin(&mut inputs, 0);
        inputs.operations[1].parts[0].rate = 200.0;
        inputs.origins[0].wall_ns = Some(front);
        let today = Topology::as_it_is(&inputs);
        let after = merge(&["front", "stock"]).apply(&inputs, &today).unwrap();
        let mut figures = evaluate(&inputs, &after, &seen());
        Tails::of(&inputs, &after, &seen(), &figures, [0]).apply(&mut figures);
        let of = &figures.origins[0];
        let got = [of.p95_ns, of.p99_ns, of.mean_ns].map(Option::unwrap);
        for (at, (bound, name)) in [(0.15, "p95"), (0.15, "p99"), (0.05, "mean")]
            .iter()
            .enumerate()
        {
            let want = together[at + 1];
            if (got[at] / want - 1.0).abs() >= *bound {
                off.push(format!("{name} at {others}: {} instead of {want}", got[at]));
            }
        }
    }
    assert!(off.is_empty(), "{off:#?}");
}
