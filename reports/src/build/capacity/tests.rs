use weighbridge_wire::{ProcessKey, RowKind, column};

use crate::document::Figure;
use crate::testing::System;
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
