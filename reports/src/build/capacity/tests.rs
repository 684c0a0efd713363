use weighbridge_wire::{OwnerKind, ProcessKey, RowKind, column};

use crate::document::Figure;
use crate::testing::System;
use crate::topology::{Question, what_if};
use crate::{Document, Options};

/// A service in two processes of one core. Each uses 0.4 of it: 40 requests a second of 9.78 ms, 1 ms of the agent, and
/// a fiftieth of both that nobody answers for. The second counts `times` of that as its own.
fn two(times: i64) -> Document {
    let mut s = System::new(40);
    s.root("one", "GET /", 40, [9_778_909, 0, 0, 0, 0, 0])
        .course = Some(|_| (40, 20_000_000));
    s.process("one").cores_milli = 1_000;
    let mut range = s.range();
    for folded in &mut range.windows {
        for (key, value) in folded.rows.clone().iter() {
            let mut value = value.clone();
            let mut key = key.clone();
            if RowKind::from_wire(key.kind) == Some(RowKind::Process) {
                let used = value.get(column::CPU_PROCESS_NS).unwrap();
                value.add(column::CPU_PROCESS_NS, used * (times - 1));
                let second = ProcessKey {
                    instance: "one-2".into(),
                    epoch: "00000000000000000000000000000002".into(),
                    ..ProcessKey::read(&key).unwrap()
                };
                key = second.row_key(key.quality);
            }
            folded.rows.add(key, &value);
        }
    }
    Document::build(&range, &Options::default())
}

fn close(figure: &Figure, want: f64) {
    let got = figure.value.unwrap();
    assert!((got - want).abs() < 1e-4, "{got} instead of {want}");
}

#[test]
fn one_process_less_does_the_work_of_both() {
    let document = two(1);
    let capacity = &document.capacity.services[0];
    close(&capacity.instances, 2.0);
    close(&capacity.points[0].utilisation, 0.4);
    close(&capacity.utilisation_one_less, 0.8);
    // What the agents take does not grow: of the one core left 0.998 is for 0.798 of work.
    close(&capacity.saturation_load, 1.998 / 0.798);
    close(&capacity.saturation_load_one_less, 0.998 / 0.798);
    close(&document.services[0].imbalance, 1.0);
}

#[test]
fn one_process_has_none_less() {
    let mut s = System::new(40);
    s.root("one", "GET /", 40, [1_000_000, 0, 0, 0, 0, 0]);
    let document = Document::build(&s.range(), &Options::default());
    let capacity = &document.capacity.services[0];
    for figure in [
        &capacity.utilisation_one_less,
        &capacity.saturation_load_one_less,
    ] {
        assert_eq!(figure.value, None);
        let why = figure.unknown_reason.as_deref().unwrap();
        assert!(why.contains("without it the service is gone"), "{why}");
    }
    assert_eq!(document.services[0].imbalance.value, None);
}

#[test]
fn the_busiest_of_two_unequal_processes_uses_half_as_much_again_as_their_mean() {
    close(&two(3).services[0].imbalance, 1.5);
}

#[test]
fn the_tables_and_simulate_need_the_same_at_every_load() {
    let mut s = System::new(60);
    s.root(
        "front",
        "POST /a",
        20,
        [4_000_000, 600_000, 600_000, 50_000, 50_000, 300_000],
    );
    s.http(
        ("front", "POST /a"),
        ("back", "POST /b"),
        20,
        3,
        240_000,
        60_000,
    );
    s.root(
        "back",
        "GET /other",
        100,
        [600_000, 10_000, 0, 10_000, 10_000, 0],
    );
    for service in ["front", "back"] {
        // A process repeats the first, and messages wake the second.
        s.owner(service, OwnerKind::Background, "table sizes", 150_000_000);
        s.owner(service, OwnerKind::Runtime, "scheduler", 30_000_000);
        s.process(service).cores_milli = 1_000;
    }
    let range = s.range();
    let mut most = 0.0_f64;
    for load in [0.5, 2.0, 5.0, 20.0] {
        let question = Question {
            changes: Vec::new(),
            load,
        };
        let answer = what_if(&range, &Options::default(), &question).unwrap();
        let simulated = |name: &str| {
            let all = &answer.document.recommendations[0].prediction;
            let found = all.iter().find(|p| p.figure == name).unwrap();
            found.before.unwrap()
        };
        let capacity = &answer.document.capacity;
        let at = capacity.load_factors.iter().position(|f| *f == load);
        let at = at.unwrap();
        let processes: f64 = capacity
            .services
            .iter()
            .map(|service| service.points[at].replicas.value.unwrap())
            .sum();
        assert_eq!(processes, simulated("processes"), "{load}");
        let cores: f64 = capacity
            .services
            .iter()
            .map(|service| service.points[at].cores.value.unwrap())
            .sum();
        let want = simulated("cores of all services");
        assert!((cores / want - 1.0).abs() < 1e-6, "{load}: {cores}, {want}");
        close(&capacity.total_cores[at], cores);
        most = most.max(processes);
    }
    assert!(most > 4.0, "processes were added");
}

#[test]
fn a_process_that_takes_all_of_its_core_by_itself_has_room_for_no_number() {
    let mut s = System::new(40);
    s.root("one", "GET /", 40, [1_000_000, 0, 0, 0, 0, 0]);
    s.owner("one", OwnerKind::Background, "polls", 800_000_000);
    s.process("one").cores_milli = 1_000;
    let document = Document::build(&s.range(), &Options::default());
    let capacity = &document.capacity.services[0];
    let (base, variable) = (&capacity.cores_base, &capacity.cores_variable);
    for point in &capacity.points {
        for figure in [&point.replicas, &point.memory] {
            assert_eq!(figure.value, None);
            let why = figure.unknown_reason.as_deref().unwrap();
            assert!(why.contains("leaves no room"), "{why}");
        }
        let load = point.load_factor;
        close(
            &point.cores,
            base.value.unwrap() + load * variable.value.unwrap(),
        );
    }
}
