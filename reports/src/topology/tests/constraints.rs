//! Constraints, given and implied.

use super::super::search::search_up_to;
use super::super::*;
use super::close;
use super::hand;
use super::search::{allowed, by_changes, load, made_up, partitions};
use crate::rng::SplitMix64;
use crate::{Constraints, Options};

/// Three services; the first has two components of an operation each.
fn system() -> Inputs {
    let mut inputs = Inputs::default();
    for name in ["shop", "mail", "books"] {
        hand::service(&mut inputs, name, 20.0, 1_000_000.0);
    }
    let second = hand::service(&mut inputs, "report", 2.0, 90_000_000.0);
    inputs.services.pop();
    inputs.operations[second].service = 0;
    inputs.components[second].service = 0;
    for (component, name) in [(0, "carts"), (second, "reports")] {
        inputs.components[component].name = name.to_owned();
    }
    inputs.services[0].cores += 0.18;
    for service in &mut inputs.services {
        service.base_bytes = Some(5e7);
        service.peak_bytes = Some(2e8);
    }
    inputs
}

fn writes(inputs: &mut Inputs, operations: &[usize]) {
    inputs.entities.push(Entity {
        name: "order".to_owned(),
        owner: None,
        places: vec![Place {
            service: 0,
            copy: false,
            bytes: None,
            reads: Vec::new(),
            writes: operations.iter().map(|at| (*at, 2.0)).collect(),
            write_ns: None,
        }],
        links: Vec::new(),
        multi_key_share: None,
        top_key_share: None,
    });
}

/// The component that reports are in is split off where that saves, unless it writes what the carts write.
#[test]
fn components_that_write_the_same_entity_stay_together() {
    let split = |shared: bool| {
        let mut inputs = system();
        writes(&mut inputs, if shared { &[0, 3] } else { &[3] });
        let rules = Rules::of(&inputs, &Constraints::default()).unwrap();
        let said = rules.implied.iter().any(|why| {
            why.contains("`carts` and `reports` of shop stay together: both write order")
        });
        assert_eq!(said, shared, "{:?}", rules.implied);
        let found = search_up_to(12, &inputs, &rules, &load(), Weights::of(None), 1);
        let apart = |p: &Proposal| p.topology.place[0] != p.topology.place[3];
        assert!(!shared || !found.pareto.iter().any(apart));
        found.examined
    };
    // Three atoms have five partitions, four fifteen.
    assert_eq!((split(true), split(false)), (5, 15));
}

#[test]
fn services_with_the_agent_and_without_it_stay_apart() {
    let mut inputs = system();
    inputs.services[2].has_agent = false;
    let rules = Rules::of(&inputs, &Constraints::default()).unwrap();
    assert!(rules.implied[0].contains("with the agent and services without it stay apart"));
    let found = search_up_to(12, &inputs, &rules, &load(), Weights::of(None), 1);
    assert!(!found.pareto.is_empty());
    for proposal in &found.pareto {
        let books = proposal.topology.home(2).unwrap();
        assert_eq!(proposal.topology.deployables[books].home_of, [2]);
    }
}

/// A broker and the collector are programs of their own: no cut puts a service into them, unless somebody links them.
#[test]
fn brokers_and_the_collector_are_not_cut() {
    let mut inputs = system();
    let collector = hand::service(&mut inputs, weighbridge_wire::COLLECTOR_SERVICE, 5.0, 1e6);
    let edge = hand::call(&mut inputs, 0, 1, 20.0, 80_000.0);
    inputs.edges[edge].sync = false;
    inputs.edges[edge].broker = Some(2);
    for service in &mut inputs.services {
        service.base_bytes = Some(5e7);
        service.peak_bytes = Some(2e8);
    }
    let rules = Rules::of(&inputs, &Constraints::default()).unwrap();
    for (a, b, may) in [(0, 1, true), (0, 2, false), (2, 3, false), (1, 3, false)] {
        assert_eq!(rules.may(a, b), may, "{a} and {b}");
    }
    for (name, does) in [
        ("books", "carries the messages of the others"),
        ("weighbridge-collector", "weighs the others"),
    ] {
        let said = format!("{name} stays as it is: it {does}");
        assert!(
            rules.implied.iter().any(|why| why.starts_with(&said)),
            "{said}"
        );
    }
    let found = search_up_to(12, &inputs, &rules, &load(), Weights::of(None), 1);
    for proposal in &found.pareto {
        for service in [2, collector] {
            let home = proposal.topology.home(service).unwrap();
            assert_eq!(proposal.topology.deployables[home].home_of, [service]);
        }
    }
    let linked = Constraints {
        must_link: vec![("shop".to_owned(), "books".to_owned())],
        ..Constraints::default()
    };
    let rules = Rules::of(&inputs, &linked).unwrap();
    assert!(rules.may(0, 2) && !rules.may(0, 3));
}

fn broken(constraints: &Constraints, change: &Change) -> Vec<String> {
    broken_at([1.0, 4.0], constraints, change)
}

/// With so many processes of the first two services, on average.
fn broken_at(runs: [f64; 2], constraints: &Constraints, change: &Change) -> Vec<String> {
    let mut inputs = system();
    for (service, runs) in inputs.services.iter_mut().zip(runs) {
        service.instances = runs;
    }
    let rules = Rules::of(&inputs, constraints).unwrap();
    let today = Topology::as_it_is(&inputs);
    let after = change.apply(&inputs, &today).unwrap();
    rules.broken(&inputs, constraints, &today, &after)
}

fn merge() -> Change {
    Change::Merge {
        services: vec!["shop".to_owned(), "mail".to_owned()],
        name: None,
    }
}

#[test]
fn boundaries_and_processes_are_looked_at() {
    let constraints = |most| Constraints {
        boundaries_max: Some(most),
        ..Constraints::default()
    };
    let why = broken(&constraints(0), &merge());
    assert_eq!(
        why,
        ["it moves 1 boundaries, at most 0 may be moved (boundaries_max)"]
    );
    assert_eq!(broken(&constraints(1), &merge()), [""; 0]);
    let mut constraints = Constraints::default();
    constraints.min_replicas_of.insert("mail".to_owned(), 3);
    let run = |replicas| Change::Replicate {
        service: "mail".to_owned(),
        operations: Vec::new(),
        replicas,
    };
    assert_eq!(broken(&constraints, &run(3)), [""; 0]);
    assert_eq!(broken(&constraints, &merge()), [""; 0], "four stay four");
    let why = broken(&constraints, &run(2));
    assert_eq!(
        why,
        ["mail runs 2 processes, 3 are the fewest (min_replicas)"]
    );
}

#[test]
fn a_process_that_began_a_little_late_is_one() {
    let merged = |runs| broken_at([runs; 2], &Constraints::default(), &merge());
    assert_eq!(merged(0.963), [""; 0]);
    let half = merged(0.5);
    assert_eq!(
        half,
        ["shop+mail runs 0.500 processes, 1 are the fewest (min_replicas)"]
    );
}

/// Sized, each service has as many processes as it must have, whatever it shares them with.
#[test]
fn a_service_that_must_run_three_times_does() {
    let mut inputs = system();
    inputs.services[1].min_replicas = 3.0;
    let today = Topology::as_it_is(&inputs);
    let merged = merge().apply(&inputs, &today).unwrap();
    for (topology, name) in [(&today, "mail"), (&merged, "shop+mail")] {
        let figures = evaluate(&inputs, topology, &load());
        let of = figures.deployables.iter().find(|d| d.name == name).unwrap();
        assert_eq!(of.replicas, 3.0, "{name}");
    }
}

/// Random must-links, owners, fewest processes and boundaries: the cheapest of every partition that keeps all of them.
#[test]
fn equals_brute_force_under_random_constraints() {
    let (mut none, mut bound) = (0, 0);
    for seed in 0..300u64 {
        let n = 3 + (seed % 4) as usize;
        let (mut inputs, mut constraints) = made_up(n, n * 2, seed + 9_000);
        constraints.cannot_link.clear();
        inputs.entities.clear();
        let mut rng = SplitMix64::new(seed);
        let wide = u32::try_from(n).unwrap();
        let name = |at: u32| format!("s{at}");
        for at in 0..wide {
            if rng.below(4) == 0 {
                let owner = format!("owner {}", rng.below(2));
                constraints.owners.insert(name(at), owner);
            }
            if rng.below(4) == 0 {
                let least = 1 + rng.below(4);
                constraints.min_replicas_of.insert(name(at), least);
                inputs.services[at as usize].min_replicas = f64::from(least);
            }
        }
        let (a, b) = (name(rng.below(wide)), name(rng.below(wide)));
        let owners = &constraints.owners;
        let agree = owners
            .get(&a)
            .zip(owners.get(&b))
            .is_none_or(|(x, y)| x == y);
        if a != b && agree && rng.below(2) == 0 {
            constraints.must_link.push((a, b));
        }
        if rng.below(2) == 0 {
            constraints.boundaries_max = Some(rng.below(wide));
        }
        let Ok(rules) = Rules::of(&inputs, &constraints) else {
            continue;
        };
        let at = |name: &str| name[1..].parse::<usize>().unwrap();
        let mut want = f64::INFINITY;
        partitions(n, &mut |of| {
            let groups = of.iter().max().unwrap() + 1;
            let few = constraints
                .boundaries_max
                .is_none_or(|most| n - groups <= most as usize);
            let linked = constraints
                .must_link
                .iter()
                .all(|(a, b)| of[at(a)] == of[at(b)]);
            let owned = (0..n).all(|a| {
                (0..a).all(|b| {
                    let owner = |s: usize| constraints.owners.get(&format!("s{s}"));
                    of[a] != of[b] || owner(a).zip(owner(b)).is_none_or(|(x, y)| x == y)
                })
            });
            if !(few && linked && owned && allowed(&inputs, of, &constraints)) {
                return;
            }
            let figures = evaluate(&inputs, &by_changes(&inputs, of), &load());
            let full = |d: &DeployableFigures| d.name.contains('+') && d.replicas_needed.is_none();
            if !figures.deployables.iter().any(full) {
                want = want.min(Weights::of(None).cost(&figures));
            }
        });
        let found = search_up_to(12, &inputs, &rules, &load(), Weights::of(None), seed);
        if want.is_infinite() {
            none += 1;
            assert!(found.best.is_none() && found.infeasible.is_some(), "{seed}");
            continue;
        }
        bound += 1;
        let best = found.best.unwrap();
        assert!(
            (best - want).abs() < 1e-9 * want,
            "{seed}, {n} services: {best} instead of {want}, {constraints:?}"
        );
        for proposal in &found.pareto {
            let most = constraints.boundaries_max.unwrap_or(u32::MAX) as usize;
            assert!(proposal.boundaries <= most, "{seed}");
        }
    }
    assert!(bound > 200 && none > 0, "{bound} had one, {none} none");
}

/// Under a limit of latency what is shown keeps it, in full, and nothing that keeps it is much cheaper.
#[test]
fn equals_brute_force_under_a_limit_of_latency() {
    let (mut cheapest, mut limited) = (0, 0);
    for seed in 0..200u64 {
        let n = 3 + (seed % 3) as usize;
        let (mut inputs, _) = made_up(n, n * 2, seed + 20_000);
        inputs.entities.clear();
        inputs.origins.clear();
        hand::one_origin(&mut inputs, 0);
        let wall = inputs.operations[0].wall_ns.unwrap();
        inputs.origins[0].wall_ns = Some([wall, 2.0 * wall, 3.0 * wall, wall]);
        let mut constraints = Constraints::default();
        let origin = ("s0".to_owned(), inputs.origins[0].operation.clone());
        constraints.slo_p95_ns.insert(origin, 1.9 * wall);
        let rules = Rules::of(&inputs, &constraints).unwrap();
        let mut want = f64::INFINITY;
        partitions(n, &mut |of| {
            let figures = evaluate(&inputs, &by_changes(&inputs, of), &load());
            let full = |d: &DeployableFigures| d.name.contains('+') && d.replicas_needed.is_none();
            if !figures.deployables.iter().any(full) && rules.kept(&figures).is_ok() {
                want = want.min(Weights::of(None).cost(&figures));
            }
        });
        let found = search_up_to(12, &inputs, &rules, &load(), Weights::of(None), seed);
        let shown = || found.pareto.iter().filter(|p| !p.beaten);
        for proposal in shown() {
            assert!(rules.kept(&proposal.figures).is_ok(), "{seed}");
            assert!(proposal.cost >= want * (1.0 - 1e-9), "{seed}");
        }
        if let Some(best) = shown().next() {
            limited += 1;
            cheapest += u32::from(best.cost <= want * (1.0 + 1e-9));
        }
    }
    assert!(
        limited >= 20 && cheapest * 100 >= limited * 90,
        "{cheapest} of {limited}"
    );
}

/// Bell numbers: what was looked at is every partition, and from thirteen on not.
#[test]
fn every_partition_of_up_to_twelve_is_looked_at() {
    let examined = |n: usize| {
        let mut inputs = Inputs::default();
        for at in 0..n {
            hand::service(&mut inputs, &format!("s{at}"), 1.0, 1_000_000.0);
        }
        let rules = Rules::of(&inputs, &Constraints::default()).unwrap();
        let found = search(&inputs, &rules, &load(), Weights::of(None), 1);
        (found.exact, found.examined)
    };
    assert_eq!(examined(8), (true, 4_140));
    assert_eq!(examined(10), (true, 115_975));
    let (exact, tried) = examined(13);
    assert!(!exact && tried > 0, "{tried}");
    assert_eq!(EXACT_MAX, 12);
}

#[test]
fn names_that_were_not_weighed_are_refused_wherever_they_stand() {
    let inputs = {
        let mut inputs = system();
        hand::one_origin(&mut inputs, 0);
        inputs
    };
    let refused = |set: fn(&mut Constraints)| {
        let mut constraints = Constraints::default();
        set(&mut constraints);
        Rules::of(&inputs, &constraints).unwrap_err().to_string()
    };
    for error in [
        refused(|c| c.must_link.push(("shop".to_owned(), "mial".to_owned()))),
        refused(|c| {
            c.owners.insert("mial".to_owned(), "x".to_owned());
        }),
        refused(|c| {
            c.runtimes.insert("mial".to_owned(), "x".to_owned());
        }),
        refused(|c| {
            c.min_replicas_of.insert("mial".to_owned(), 2);
        }),
        refused(|c| {
            let origin = ("mial".to_owned(), "GET /shop".to_owned());
            c.slo_p95_ns.insert(origin, 1e9);
        }),
    ] {
        assert!(
            error.contains("`mial` that was not weighed; did you mean `mail`?"),
            "{error}"
        );
    }
    let error = refused(|c| {
        let origin = ("shop".to_owned(), "GET /shup".to_owned());
        c.slo_p95_ns.insert(origin, 1e9);
    });
    assert!(
        error.contains("`GET /shup` of `shop`") && error.contains("did you mean `GET /shop`?"),
        "{error}"
    );
}

/// Two processes of one core that are used to 0.4 each.
#[test]
fn a_process_that_is_lost_leaves_its_work_to_the_others() {
    let mut inputs = Inputs::default();
    let at = hand::service(&mut inputs, "shop", 80.0, 10_000_000.0);
    inputs.services[at].instances = 2.0;
    let of = |inputs: &Inputs, load: &Load| {
        evaluate(inputs, &Topology::as_it_is(inputs), load)
            .deployables
            .remove(0)
    };
    let is = of(&inputs, &Load::seen(&Options::default()));
    close(is.utilisation.unwrap(), 0.4, 1e-9);
    close(is.utilisation_one_lost.unwrap(), 0.8, 1e-9);

    // 1.2 cores: two processes at 0.6, of which neither can do without the other.
    let planned = |survive_one_lost: bool| {
        let options = Options {
            target_utilisation: 0.6,
            constraints: Constraints {
                survive_one_lost,
                ..Constraints::default()
            },
            ..Options::default()
        };
        of(&inputs, &Load::planned(&options, 1.5))
    };
    let (plain, kept) = (planned(false), planned(true));
    assert_eq!(
        (plain.replicas_needed, kept.replicas_needed),
        (Some(2.0), Some(3.0))
    );
    close(plain.utilisation_one_lost.unwrap(), 1.2, 1e-9);
    close(kept.utilisation.unwrap(), 0.4, 1e-9);
    close(kept.utilisation_one_lost.unwrap(), 0.6, 1e-9);

    // One process has no other: with it gone nobody is there, and a second is needed for the smallest load.
    inputs.services[at].instances = 1.0;
    inputs.operations[at].cores = 0.1;
    inputs.services[at].cores = 0.1;
    let one = of(&inputs, &Load::seen(&Options::default()));
    assert_eq!(one.utilisation_one_lost, None);
    let load = Load {
        one_lost: true,
        ..Load::planned(&Options::default(), 1.0)
    };
    assert_eq!(of(&inputs, &load).replicas_needed, Some(2.0));
}
