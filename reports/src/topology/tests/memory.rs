//! Memory of a deployable by hand.

use super::hand;
use super::*;

const MIB: f64 = 1_048_576.0;

/// Two operations in two processes of 1 000 MiB, of which 100 are there at init and 4 · 50 ÷ 2 requests in flight: 800 are
/// kept. One request of the first held up to 300 MiB, of the second up to 100.
fn system(first: Option<f64>, second: Option<f64>) -> Inputs {
    let mut inputs = Inputs::default();
    let at = hand::service(&mut inputs, "shop", 10.0, 1e6);
    let mut other = inputs.operations[0].clone();
    other.name = "GET /state".to_owned();
    other.row = "operation:shop/GET /state".to_owned();
    inputs.components.push(Component {
        service: at,
        name: "state".to_owned(),
    });
    other.component = 1;
    inputs.operations.push(other);
    let service = &mut inputs.services[at];
    service.instances = 2.0;
    service.cores *= 2.0;
    (service.base_bytes, service.peak_bytes) = (Some(100.0 * MIB), Some(1_000.0 * MIB));
    let operations = &mut inputs.operations;
    (operations[0].in_flight, operations[0].held_bytes) = (4.0, 50.0 * MIB);
    (operations[0].held_max_bytes, operations[1].held_max_bytes) = (300.0 * MIB, 100.0 * MIB);
    operations[0].retained_bytes = first.map(|mib| mib * MIB);
    operations[1].retained_bytes = second.map(|mib| mib * MIB);
    inputs
}

/// MiB of a process as it is, of what stays and of the second operation by itself; and what is noted.
fn parted(inputs: &Inputs) -> ([f64; 3], Vec<String>) {
    let today = Topology::as_it_is(inputs);
    let split = Change::Split {
        service: "shop".to_owned(),
        operations: vec!["GET /state".to_owned()],
        name: Some("state".to_owned()),
    };
    let after = apply_all(&[split], inputs, &today).unwrap();
    let (was, is) = (
        evaluate(inputs, &today, &seen()),
        evaluate(inputs, &after, &seen()),
    );
    let of = |figures: &Figures, name: &str| {
        let found = figures.deployables.iter().find(|d| d.name == name);
        found.unwrap().process_bytes.unwrap() / MIB
    };
    // What is in flight lies in the processes that run what stays.
    let stays = is.deployables.iter().find(|d| d.name == "shop").unwrap();
    let flying = 4.0 * 50.0 / stays.replicas;
    (
        [of(&was, "shop"), of(&is, "shop") - flying, of(&is, "state")],
        is.notes,
    )
}

#[test]
fn what_was_sampled_moves_with_its_operation_and_the_rest_is_shared_out() {
    let said = |notes: &[String]| notes.iter().any(|note| note.contains("was not sampled"));
    let check = |first, second, want: [f64; 2], unsampled: bool| {
        let ([today, stays, goes], notes) = parted(&system(first, second));
        close(today, 1_000.0, 1e-9);
        close(stays, 100.0 + want[0], 1e-9);
        close(goes, 100.0 + want[1], 1e-9);
        assert_eq!(said(&notes), unsampled, "{notes:?}");
    };
    // 800 by 300 : 100.
    check(None, None, [600.0, 200.0], true);
    // 40 and 560 are known; of the 200 beside them 150 and 50.
    check(Some(40.0), Some(560.0), [190.0, 610.0], false);
    // Of the second nothing is known: it has its part of the 760.
    check(Some(40.0), None, [610.0, 190.0], true);
    // Nothing kept, by a sample, is known.
    check(Some(0.0), Some(0.0), [600.0, 200.0], false);
    // More than processes keep: all of the 800, as 3 : 1.
    check(Some(1_200.0), Some(400.0), [600.0, 200.0], false);
    check(Some(400.0), Some(1_200.0), [200.0, 600.0], false);
}

#[test]
fn the_interval_of_samples_reaches_the_memory_of_a_deployable() {
    let mut s = System::new(60);
    s.root("shop", "GET /a", 50, [1_000_000; 6]);
    s.root("shop", "GET /state", 50, [1_000_000; 6]);
    s.root("other", "GET /b", 50, [1_000_000; 6]);
    s.retains("shop", "GET /a", 0, 0);
    s.retains("shop", "GET /state", 8 << 20, 2 << 20);
    let weighed = Weighed::read(&s.range(), &Options::default());
    let inputs = weighed.inputs();
    let at = |name: &str| {
        inputs
            .operations
            .iter()
            .position(|o| o.name == name)
            .unwrap()
    };
    close(
        inputs.operations[at("GET /state")].retained_bytes.unwrap(),
        8.0 * MIB,
        1e-9,
    );
    assert_eq!(
        inputs.operations[at("GET /b")].retained_bytes,
        None,
        "not sampled is not zero"
    );
    let split = Change::Split {
        service: "shop".to_owned(),
        operations: vec!["GET /state".to_owned()],
        name: Some("state".to_owned()),
    };
    let after = apply_all(&[split], inputs, &weighed.as_it_is()).unwrap();
    let mut held: Vec<f64> = (0..weighed.draws())
        .map(|draw| {
            let figures = evaluate(&weighed.draw(draw), &after, &seen());
            let found = figures.deployables.iter().find(|d| d.name == "state");
            found.unwrap().process_bytes.unwrap() / MIB
        })
        .collect();
    held.sort_by(f64::total_cmp);
    let spread = held[held.len() * 19 / 20] - held[held.len() / 20];
    // Half of what differs in the sample is given back by what is shared out: ± 1.645 · 2 MiB and a sample more.
    assert!((2.0..6.0).contains(&spread), "{spread}");
}
