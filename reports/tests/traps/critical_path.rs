//! Three calls side by side: what each of them waits adds up to more than the whole request takes.

use std::sync::Arc;

use weighbridge_wire::{CallShapeKey, CallStepKey, FoldedWindow, Quality, RowValue, column};

use super::*;

const WALL_NS: i64 = 12_000_000;
const WAIT_NS: i64 = 10_000_000;

fn fan_out() -> System {
    let mut s = System::new(60);
    s.root("front", "GET /page", 40, [500_000; 6]).wall_ns = WALL_NS;
    for (to, call_id, critical) in [
        ("ads", "00000000000000a1", WAIT_NS),
        ("news", "00000000000000a2", 0),
        ("mail", "00000000000000a3", 0),
    ] {
        let call = s.http(
            ("front", "GET /page"),
            (to, "GET /part"),
            40,
            1,
            600_000,
            100_000,
        );
        call.wait_ns = WAIT_NS;
        call.critical_ns = Some(critical);
        call.target = to;
        call.call_id = call_id;
    }
    s
}

/// The same, where the rows tell that the three ran side by side.
fn with_shapes() -> FoldedRange {
    let mut range = fan_out().range();
    let signature: Arc<str> = "00000000000000a1|00000000000000a2|00000000000000a3".into();
    let shape = CallShapeKey {
        operation: "GET /page".into(),
        class: "".into(),
        signature: signature.clone(),
    };
    let steps =
        ["00000000000000a1", "00000000000000a2", "00000000000000a3"].map(|call_id| CallStepKey {
            operation: "GET /page".into(),
            class: "".into(),
            signature: signature.clone(),
            step: "0".into(),
            call_id: call_id.into(),
        });
    let front = |w: &&mut FoldedWindow| w.service.service == "front";
    for window in range.windows.iter_mut().filter(front) {
        let counted = RowValue::new().with(column::COUNT, 40);
        let all = counted.clone().with(column::WALL_NS, 40 * WALL_NS);
        window
            .rows
            .add(shape.clone().row_key(Quality::Measured), &all);
        let call = counted.with(column::WALL_NS, 40 * WAIT_NS);
        for step in &steps {
            window
                .rows
                .add(step.clone().row_key(Quality::Measured), &call);
        }
    }
    range
}

/// No single one of three that take as long as each other makes the page faster; all of them together do.
#[test]
fn calls_side_by_side_gain_time_only_together() {
    let range = with_shapes();
    let d = build_range(&range, &Options::default());
    let own = 2.0 * 75_000.0 - 1_000.0;
    for to in ["ads", "news", "mail"] {
        let gain = saved(&d, to);
        assert!((0.5 * own..=1.05 * own).contains(&gain), "{to}: {gain}");
    }
    let services = ["front", "ads", "news", "mail"];
    let question = Question {
        changes: vec![Change::Merge {
            services: services.map(str::to_owned).into(),
            name: None,
        }],
        load: 1.0,
    };
    let answer = what_if(&range, &Options::default(), &question).unwrap();
    let said = &answer.document.recommendations[0];
    let mean = said
        .prediction
        .iter()
        .find(|p| p.figure == "mean latency of GET /page of front")
        .unwrap();
    let gain = mean.before.unwrap() - mean.after.unwrap();
    assert!(gain > 0.5 * WAIT_NS as f64, "{gain}");
}

/// What of the mean latency of the page a merge takes away.
fn saved(d: &Document, with: &str) -> f64 {
    let merge = get(d, Kind::Merge, &["front", with]);
    let latency = merge
        .prediction
        .iter()
        .find(|p| p.figure == "mean latency of GET /page of front")
        .unwrap();
    assert!(latency.after.unwrap() > 0.0);
    latency.before.unwrap() - latency.after.unwrap()
}

#[test]
fn calls_off_the_critical_path_gain_no_time() {
    let d = build(&fan_out());
    // Off the path only the caller's own encoding and decoding goes, 75 µs each, and a hair of its wait for a core; the
    // time that the call took stays.
    let own = 2.0 * 75_000.0 - 1_000.0;
    for to in ["news", "mail"] {
        let gain = saved(&d, to);
        assert!(gain <= 1.05 * own, "{to}: {gain}");
    }
    let ads = saved(&d, "ads");
    assert!(ads > 0.5 * WAIT_NS as f64, "{ads}");
    let all: f64 = ["ads", "news", "mail"].iter().map(|to| saved(&d, to)).sum();
    assert!(all < WALL_NS as f64, "{all} of {WALL_NS}");
    // Their CPU is saved all the same, and an agent with each.
    for to in ["ads", "news", "mail"] {
        let gain = get(&d, Kind::Merge, &["front", to]).gain.value.unwrap();
        let want = 40.0 * 599e-6 + 0.001;
        assert!((gain / want - 1.0).abs() < 0.05, "{to}: {gain}");
    }
}
