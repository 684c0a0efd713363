use proptest::prelude::*;

use super::*;
use crate::ledger::limits::SHAPE_STEPS_MAX;

fn call(name: &str, start_ns: u64, end_ns: u64) -> CallTime {
    CallTime {
        name: name.into(),
        start_ns,
        end_ns: Some(end_ns),
        detached: false,
        edge: None,
    }
}

fn detached(name: &str, start_ns: u64, end_ns: Option<u64>) -> CallTime {
    CallTime {
        end_ns,
        detached: true,
        ..call(name, start_ns, start_ns)
    }
}

fn signature(calls: &[CallTime]) -> String {
    of(calls, 0, 100_000, 100_000).signature
}

/// Calls one after the other, as a text names them.
fn serial(names: &str) -> Vec<CallTime> {
    names
        .chars()
        .zip(0..)
        .map(|(name, n)| call(&name.to_string(), 10 * n, 10 * n + 9))
        .collect()
}

#[test]
fn a_signature_tells_serial_parallel_and_detached_apart() {
    assert_eq!(signature(&[]), "");
    assert_eq!(signature(&serial("ab")), "a;b");
    let two = [call("b", 0, 10), call("a", 1, 5)];
    assert_eq!(signature(&two), "a|b");
    let mixed = [
        call("a", 0, 10),
        call("b", 10, 20),
        call("b", 11, 30),
        call("b", 12, 15),
        detached("c", 3, None),
        detached("c", 4, Some(7)),
    ];
    assert_eq!(signature(&mixed), "a;b+;c&");
    // They hang together by the middle one.
    let chain = [call("a", 0, 4), call("b", 3, 8), call("c", 7, 9)];
    assert_eq!(signature(&chain), "a|b|c");
}

#[test]
fn loops_of_any_length_have_one_signature() {
    for n in [2, 3, 30] {
        assert_eq!(signature(&serial(&"b".repeat(n))), "b*");
        assert_eq!(
            signature(&serial(&format!("a{}c", "b".repeat(n)))),
            "a;b*;c"
        );
        assert_eq!(signature(&serial(&"bc".repeat(n))), "(b;c)*");
        assert_eq!(signature(&serial(&"abbc".repeat(n))), "(a;b*;c)*");
    }
    let pairs = [
        call("a", 0, 5),
        call("b", 0, 6),
        call("a", 10, 15),
        call("b", 10, 16),
    ];
    assert_eq!(signature(&pairs), "(a|b)*");
    let calls = serial("abbcabbbc");
    let shape = of(&calls, 0, 1_000, 1_000);
    assert_eq!(shape.signature, "(a;b*;c)*");
    let counted: Vec<(u32, &str, u64)> = shape
        .steps
        .iter()
        .map(|step| (step.step, &*step.name, step.count))
        .collect();
    assert_eq!(counted, [(0, "a", 2), (1, "b", 5), (2, "c", 2)]);
}

#[test]
fn a_long_shape_ends_in_one_step_for_the_rest() {
    let names = "abcdefghijklmnopqrstuvwxyz";
    let mut calls = serial(names);
    calls.push(detached("late", 0, None));
    let shape = of(&calls, 0, 1_000, 1_000);
    assert!(shape.signature.ends_with(";x;…"), "{}", shape.signature);
    assert_eq!(shape.steps.len(), SHAPE_STEPS_MAX + 1);
    assert_eq!(
        shape.steps.last().unwrap().count,
        3,
        "y, z and the detached one"
    );
    let mut fits = serial(&names[..SHAPE_STEPS_MAX - 1]);
    fits.push(detached("late", 0, None));
    fits.push(detached("later", 0, None));
    let shape = of(&fits, 0, 1_000, 1_000);
    assert!(
        shape.signature.ends_with(";w;late&;…"),
        "{}",
        shape.signature
    );
    assert_eq!(&*shape.steps.last().unwrap().name, MORE);
}

#[test]
fn a_call_that_outlives_the_request_counts_up_to_its_end() {
    let calls = [call("a", 2, 50), detached("b", 5, None)];
    let shape = of(&calls, 0, 20, 20);
    assert_eq!(shape.covered_ns, 18);
    assert_eq!(shape.critical_ns, [18, 0]);
    assert_eq!(shape.signature, "a;b&");
    assert_eq!((shape.steps[0].wall_ns, shape.steps[1].wall_ns), (48, 15));
    assert_eq!(shape.steps[1].offset_ns, 5);
}

#[test]
fn the_path_follows_what_could_have_been_waited_for() {
    let critical = |calls: &[CallTime], end| of(calls, 0, end, end).critical_ns;
    // Side by side: the one that ended last.
    assert_eq!(critical(&[call("a", 0, 5), call("b", 0, 9)], 10), [0, 9]);
    // A chain beside a call: the chain, since its second link ended last.
    let chain = [call("a", 0, 8), call("b", 9, 20), call("c", 0, 15)];
    assert_eq!(critical(&chain, 20), [8, 11, 0]);
    // Begun while another was under way, and nothing had ended by then.
    assert_eq!(critical(&[call("a", 0, 10), call("b", 8, 20)], 20), [8, 12]);
}

/// What [`critical::path`] says, instant by instant and without looking ahead.
fn oracle(calls: &[CallTime], end: u64) -> Vec<u64> {
    let mut critical = vec![0; calls.len()];
    let spans: Vec<(u64, u64, usize)> = calls
        .iter()
        .enumerate()
        .map(|(n, call)| (call.start_ns, call.end_ns.unwrap().min(end), n))
        .filter(|(start, end, _)| start < end)
        .collect();
    let mut on: Option<(u64, u64, usize)> = None;
    for now in (1..=end).rev() {
        if on.is_none_or(|(start, _, _)| start >= now) {
            let ended = spans.iter().map(|s| s.1).filter(|e| *e <= now).max();
            let first = |wanted: &dyn Fn(&(u64, u64, usize)) -> bool| {
                let mut found: Vec<_> = spans.iter().filter(|s| wanted(s)).collect();
                found.sort_by_key(|s| (s.0, s.1, calls[s.2].name.clone()));
                found.first().map(|s| **s)
            };
            on = first(&|s| s.0 < now && s.1 > now && s.0 >= ended.unwrap_or(0))
                .or_else(|| first(&|s| s.1 == now));
        }
        if let Some((_, _, n)) = on {
            critical[n] += 1;
        }
    }
    critical
}

prop_compose! {
    fn calls()(times in prop::collection::vec((0u64..40, 0u64..20, 0usize..4), 0..9)) -> Vec<CallTime> {
        times
            .into_iter()
            .enumerate()
            // Names of their own, so that the oracle and we settle ties alike.
            .map(|(n, (start, length, name))| call(&format!("{name}{n}"), start, start + length))
            .collect()
    }
}

proptest! {
    #[test]
    fn the_union_is_what_any_call_covers(calls in calls(), end in 1u64..60) {
        let inside: Vec<CallTime> = calls.into_iter().filter(|call| call.start_ns <= end).collect();
        let shape = of(&inside, 0, end, end);
        let covers = |at: &u64| inside.iter().any(|c| c.start_ns < *at && *at <= c.end_ns.unwrap());
        prop_assert_eq!(shape.covered_ns, (1..=end).filter(covers).count() as u64);
        let critical: u64 = shape.critical_ns.iter().sum();
        prop_assert!(critical <= shape.covered_ns);
    }

    #[test]
    fn the_path_is_that_of_the_oracle(calls in calls(), end in 1u64..60) {
        let inside: Vec<CallTime> = calls.into_iter().filter(|call| call.start_ns <= end).collect();
        prop_assert_eq!(of(&inside, 0, end, end).critical_ns, oracle(&inside, end));
    }

    #[test]
    fn the_order_of_polling_does_not_matter(
        times in prop::collection::vec((0u64..6, 0u64..4, 0usize..3), 0..9),
        by in any::<prop::sample::Index>(),
    ) {
        let calls: Vec<CallTime> = times
            .into_iter()
            .map(|(start, length, name)| call(["a", "b", "c"][name], start, start + length))
            .collect();
        let mut turned = calls.clone();
        if !turned.is_empty() {
            let by = by.index(turned.len());
            turned.rotate_left(by);
        }
        let (one, other) = (of(&calls, 0, 20, 20), of(&turned, 0, 20, 20));
        prop_assert_eq!(one.signature, other.signature);
        prop_assert_eq!(one.covered_ns, other.covered_ns);
        let counts = |shape: &[Step]| -> Vec<(u32, Arc<str>, u64, u64)> {
            shape.iter().map(|s| (s.step, s.name.clone(), s.count, s.wall_ns)).collect()
        };
        prop_assert_eq!(counts(&one.steps), counts(&other.steps));
    }

    #[test]
    fn nothing_is_lost_between_calls_and_steps(calls in calls(), loose in prop::collection::vec(any::<bool>(), 9)) {
        let mut calls = calls;
        for (call, loose) in calls.iter_mut().zip(loose) {
            call.detached = loose;
        }
        let shape = of(&calls, 0, 100, 100);
        let sum = |f: fn(&Step) -> u64| shape.steps.iter().map(f).sum::<u64>();
        prop_assert_eq!(sum(|s| s.count), calls.len() as u64);
        prop_assert_eq!(sum(|s| s.wall_ns), calls.iter().map(|c| c.wall_ns(100)).sum::<u64>());
        prop_assert_eq!(sum(|s| s.critical_ns), shape.critical_ns.iter().sum::<u64>());
        prop_assert!(shape.steps.is_sorted_by_key(|s| (s.step, s.name.clone())));
        for (call, place) in calls.iter().zip(&shape.places) {
            prop_assert_eq!(&call.name, &shape.steps[*place].name);
        }
    }
}
