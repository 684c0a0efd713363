//! Copies of data, each case worked by hand: who fails with the owner, how many and how old they are, and what a new one
//! takes the place of.

use super::*;

/// An entity of this owner, with a place for each of these services.
fn entity(owner: usize, places: Vec<Place>) -> Entity {
    Entity {
        name: "product".to_owned(),
        owner: Some(owner),
        places,
        links: Vec::new(),
        multi_key_share: None,
        top_key_share: None,
    }
}

fn place(service: usize, copy: bool, bytes: Option<f64>) -> Place {
    Place {
        service,
        copy,
        bytes,
        reads: Vec::new(),
        writes: Vec::new(),
        write_ns: None,
    }
}

fn let_read(service: &str, access: Access) -> Change {
    Change::PlaceEntity {
        entity: "product".to_owned(),
        service: service.to_owned(),
        access,
    }
}

/// Of 40 requests 30 begin at the front, which waits for the desk, and 10 at the stock, which waits for nobody.
fn two_origins() -> Inputs {
    let mut inputs = Inputs::default();
    let front = hand::service(&mut inputs, "front", 30.0, 1e6);
    let stock = hand::service(&mut inputs, "stock", 10.0, 1e6);
    let desk = hand::service(&mut inputs, "desk", 30.0, 1e6);
    hand::call(&mut inputs, front, desk, 30.0, 200_000.0);
    for (root, waits_for) in [(front, vec![front, desk]), (stock, vec![stock])] {
        hand::one_origin(&mut inputs, root);
        inputs.origins.last_mut().unwrap().waits_for = waits_for;
    }
    let mut copy = place(desk, true, Some(1e6));
    copy.reads = vec![(desk, 30.0)];
    inputs
        .entities
        .push(entity(stock, vec![place(stock, false, Some(1e6)), copy]));
    inputs
}

#[test]
fn who_reads_from_an_owner_fails_with_it() {
    let inputs = two_origins();
    let blast = |changes: &[Change]| {
        let topology = apply_all(changes, &inputs, &Topology::as_it_is(&inputs)).unwrap();
        let figures = evaluate(&inputs, &topology, &seen());
        let of = |d: &DeployableFigures| (d.name.clone(), d.blast.unwrap());
        let all: Vec<(String, f64)> = figures.deployables.iter().map(of).collect();
        (all, figures.blast_radius.unwrap())
    };
    let named = |all: &[(&str, f64)]| -> Vec<(String, f64)> {
        all.iter()
            .map(|(name, x)| ((*name).to_owned(), *x))
            .collect()
    };
    let today = named(&[("front", 0.75), ("stock", 0.25), ("desk", 0.75)]);
    assert_eq!(blast(&[]), (today, 0.75));
    let merged = named(&[("front+stock", 1.0), ("desk", 0.75)]);
    assert_eq!(blast(&[merge(&["front", "stock"])]), (merged, 1.0));
    // The desk asks the stock now, and the front waits for the desk.
    let asking = named(&[("front", 0.75), ("stock", 1.0), ("desk", 0.75)]);
    let remote = let_read("desk", Access::Remote);
    assert_eq!(blast(std::slice::from_ref(&remote)), (asking, 1.0));
    // In one process with it they are one; the front still fails alone.
    let both = named(&[("front", 0.75), ("stock+desk", 1.0)]);
    assert_eq!(blast(&[remote, merge(&["stock", "desk"])]), (both, 1.0));
}

/// Copies of 1 and 2 MB, whose changes are 5 and 8 ms old when they are applied, of an owner's 4 MB.
#[test]
fn copies_are_counted_and_as_old_as_the_slowest_of_them() {
    let mut inputs = Inputs::default();
    for name in ["owner", "near", "far", "other"] {
        hand::service(&mut inputs, name, 10.0, 1e6);
    }
    let mut product = entity(
        0,
        vec![
            place(0, false, Some(4e6)),
            place(1, true, Some(1e6)),
            place(2, true, Some(2e6)),
        ],
    );
    for (to, age) in [(1, 5e6), (2, 8e6)] {
        let edge = hand::call(&mut inputs, 0, to, 10.0, 80_000.0);
        inputs.edges[edge].sync = false;
        inputs.edges[edge].wait_ns = Some(age);
        product.links.push(edge);
    }
    inputs.entities.push(product);
    let kept = |inputs: &Inputs, changes: &[Change]| {
        let topology = apply_all(changes, inputs, &Topology::as_it_is(inputs)).unwrap();
        let figures = evaluate(inputs, &topology, &seen());
        (figures.copies, figures.copy_bytes, figures.staleness_ns)
    };
    assert_eq!(kept(&inputs, &[]), (2.0, Some(3e6), Some(8e6)));
    let remote = let_read("far", Access::Remote);
    assert_eq!(
        kept(&inputs, std::slice::from_ref(&remote)),
        (1.0, Some(1e6), Some(5e6))
    );
    // Three processes keep one each, as large as the owner's.
    let more = [
        let_read("other", Access::Copy),
        Change::Replicate {
            service: "other".to_owned(),
            operations: Vec::new(),
            replicas: 3,
        },
    ];
    assert_eq!(kept(&inputs, &more), (5.0, Some(15e6), Some(8e6)));
    // A size that nobody reports is not nothing.
    inputs.entities[0].places[1].bytes = None;
    assert_eq!(kept(&inputs, &[]), (2.0, None, Some(8e6)));
    // Nobody copies yet: how old a change would be is not known.
    inputs.entities[0].links.clear();
    inputs.entities[0].places.truncate(1);
    assert_eq!(kept(&inputs, &[]), (0.0, Some(0.0), Some(0.0)));
    assert_eq!(kept(&inputs, &more), (3.0, Some(12e6), None));
}

/// A front that asks the stock ten times in a request for what the stock only reads (1 ms there, waited for 1.5 ms, 0.1 ms
/// of messages at each end), and ten changes in a second, each 80 µs to carry and 20 µs to apply.
fn asks() -> Inputs {
    let mut inputs = Inputs {
        local_call_ns: 1_000.0,
        message_ns: Some(80_000.0),
        ..Inputs::default()
    };
    let front = hand::service(&mut inputs, "front", 10.0, 1e6);
    let stock = hand::service(&mut inputs, "stock", 100.0, 200_000.0);
    let put = hand::service(&mut inputs, "put", 10.0, 100_000.0);
    let edge = hand::call(&mut inputs, front, stock, 100.0, 200_000.0);
    inputs.edges[edge].wait_ns = Some(1.5e6);
    inputs.operations[front].wall_ns = Some(20e6);
    inputs.operations[stock].wall_ns = Some(1e6);
    // Changes are an operation of the stock.
    inputs.operations[put].service = stock;
    inputs
        .services
        .iter_mut()
        .for_each(|service| service.cores_limit = None);
    let mut owned = place(stock, false, Some(4e6));
    owned.reads = vec![(stock, 100.0)];
    owned.writes = vec![(put, 10.0)];
    owned.write_ns = Some(20_000.0);
    inputs.entities.push(entity(stock, vec![owned]));
    hand::one_origin(&mut inputs, front);
    inputs.origins[0].waits_for = vec![front, stock];
    inputs.origins[0].wall_ns = Some([19e6, 25e6, 30e6, 20e6]);
    inputs
}

#[test]
fn a_copy_takes_the_place_of_the_calls_that_only_read() {
    let inputs = asks();
    let today = Topology::as_it_is(&inputs);
    let copy = let_read("front", Access::Copy);
    let copied = copy.apply(&inputs, &today).unwrap();
    let of = |topology: &Topology| evaluate(&inputs, topology, &seen());
    let (was, is) = (of(&today), of(&copied));
    let cores = |figures: &Figures, at: usize| figures.deployables[at].cores;
    // 99 µs less in messages; the reads' own work, 200 µs, comes along; and what keeps the copy in step.
    let front = 100.0 * (200_000.0 - 99_000.0) * 1e-9 + 10.0 * 100_000.0 * 1e-9;
    close(cores(&is, 0) - cores(&was, 0), front, 1e-9);
    close(
        cores(&is, 1) - cores(&was, 1),
        -100.0 * 300_000.0 * 1e-9,
        1e-9,
    );
    close(is.cores - was.cores, -0.0189, 1e-9);
    assert_eq!((was.messages, is.messages), (200.0, 0.0));
    assert_eq!((is.copies, is.copy_bytes), (1.0, Some(4e6)));
    assert_eq!(is.staleness_ns, None);
    let mean = |figures: &Figures| figures.origins[0].mean_ns.unwrap();
    close(
        mean(&is),
        20e6 - 10.0 * (1.5e6 - 0.901e6) - 10.0 * 99_000.0,
        1e-9,
    );
    let blast = |figures: &Figures| [0, 1].map(|at| figures.deployables[at].blast.unwrap());
    assert_eq!((blast(&was), blast(&is)), ([1.0, 1.0], [1.0, 0.0]));
    assert!(
        is.notes
            .iter()
            .all(|note| !note.contains("takes the place"))
    );
    // Another change leaves that as it is, unless it takes the caller away from its copy.
    let merged = merge(&["front", "put"]).apply(&inputs, &copied).unwrap();
    close(of(&merged).cores, is.cores, 1e-9);
    let asking = Change::Transport {
        from: "front".to_owned(),
        to: "stock".to_owned(),
        way: WayWord::Remote,
    };
    let asking = asking.apply(&inputs, &copied).unwrap();
    close(of(&asking).cores, was.cores + 0.001, 1e-9);
}

#[test]
fn a_copy_takes_the_place_of_no_call_that_does_more_than_read() {
    let price_alone = |inputs: &Inputs| {
        let today = Topology::as_it_is(inputs);
        let copied = let_read("front", Access::Copy)
            .apply(inputs, &today)
            .unwrap();
        let (was, is) = (
            evaluate(inputs, &today, &seen()),
            evaluate(inputs, &copied, &seen()),
        );
        close(is.cores - was.cores, 0.001, 1e-9);
        let said = is
            .notes
            .iter()
            .any(|n| n.contains("takes the place of no call"));
        assert!(said, "{:?}", is.notes);
    };
    // It writes too.
    let mut inputs = asks();
    inputs.entities[0].places[0].writes.push((1, 0.0));
    price_alone(&inputs);
    // It reads something else.
    let mut inputs = asks();
    let mut other = inputs.entities[0].clone();
    other.name = "price".to_owned();
    inputs.entities.push(other);
    price_alone(&inputs);
    // It asks somebody.
    let mut inputs = asks();
    hand::call(&mut inputs, 1, 2, 0.0, 0.0);
    price_alone(&inputs);
    // Nobody waits for it.
    let mut inputs = asks();
    inputs.edges[0].sync = false;
    price_alone(&inputs);
}
