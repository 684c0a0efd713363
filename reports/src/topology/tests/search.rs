//! The search against brute force.

use super::super::groups::Groups;
use super::super::place::by_rule;
use super::super::search::search_up_to;
use super::super::*;
use super::hand;
use crate::rng::SplitMix64;
use crate::{Constraints, Options};

/// A made-up system: `n` services, calls in both directions, memory, agents, background work, copies of an entity, and
/// links that may not be.
pub(crate) fn made_up(n: usize, edges: usize, seed: u64) -> (Inputs, Constraints) {
    let mut rng = SplitMix64::new(seed);
    let mut inputs = Inputs::default();
    let below = |rng: &mut SplitMix64, n: u32| f64::from(rng.below(n));
    for at in 0..n {
        let cpu = 100_000.0 + below(&mut rng, 3_000_000);
        let service = hand::service(
            &mut inputs,
            &format!("s{at}"),
            1.0 + below(&mut rng, 400),
            cpu,
        );
        let facts = &mut inputs.services[service];
        facts.agent = below(&mut rng, 20) * 1e-3;
        facts.background = below(&mut rng, 5) * 1e-2;
        facts.rest = below(&mut rng, 10) * 1e-3 - 3e-3;
        facts.cores += facts.agent + facts.background + facts.rest;
        facts.wake_ns = below(&mut rng, 5_000);
        facts.instances = 1.0 + below(&mut rng, 3);
        facts.cores_limit = Some(0.5 + below(&mut rng, 4) * 0.5);
        facts.base_bytes = Some(2e7 + below(&mut rng, 20_000_000));
        facts.peak_bytes = Some(6e7 + below(&mut rng, 900_000_000));
        let operation = &mut inputs.operations[service];
        operation.in_flight = below(&mut rng, 10);
        operation.held_bytes = below(&mut rng, 100_000);
        operation.held_max_bytes = below(&mut rng, 100_000);
        operation.wall_ns = Some(cpu * 3.0);
    }
    let wide = u32::try_from(n).unwrap();
    for _ in 0..edges {
        let (a, b) = (rng.below(wide) as usize, rng.below(wide) as usize);
        if a != b {
            let rate = below(&mut rng, 300);
            let edge = hand::call(&mut inputs, a, b, rate, 20_000.0 + below(&mut rng, 600_000));
            inputs.edges[edge].sync = rng.below(4) > 0;
            inputs.edges[edge].wait_ns = Some(1e6 + below(&mut rng, 10_000_000));
        }
    }
    inputs.remote_call_ns = Some(250_000.0);
    inputs.local_call_ns = 1_000.0;
    let mut constraints = Constraints::default();
    for _ in 0..n / 3 {
        let (a, b) = (rng.below(wide), rng.below(wide));
        if a != b {
            constraints
                .cannot_link
                .push((format!("s{a}"), format!("s{b}")));
        }
    }
    if n > 3 && rng.below(3) == 0 {
        let (owner, copy) = (0, 1);
        let links = inputs
            .edges
            .iter()
            .enumerate()
            .filter(|(_, e)| !e.sync && e.to == End::Operation(copy))
            .map(|(at, _)| at)
            .take(1)
            .collect();
        inputs.entities.push(Entity {
            name: "product".to_owned(),
            owner: Some(owner),
            places: vec![
                Place {
                    service: owner,
                    copy: false,
                    bytes: Some(1e6),
                    reads: Vec::new(),
                    writes: vec![(owner, below(&mut rng, 50))],
                    write_ns: Some(50_000.0),
                },
                Place {
                    service: copy,
                    copy: true,
                    bytes: Some(1e6),
                    reads: vec![(copy, below(&mut rng, 50))],
                    writes: Vec::new(),
                    write_ns: None,
                },
            ],
            links,
            multi_key_share: None,
            top_key_share: None,
        });
    }
    if rng.below(2) == 0 {
        hand::one_origin(&mut inputs, 0);
        inputs.origins[0].wall_ns = Some([1e7, 3e7, 5e7, 1.2e7]);
    }
    (inputs, constraints)
}

/// As [`made_up`], of so many components: one or two in each service, which can be cut between them.
fn made_up_of_parts(parts: usize, seed: u64) -> (Inputs, Constraints) {
    let services = parts - parts / 3;
    let (mut inputs, constraints) = made_up(services, parts, seed);
    let mut rng = SplitMix64::new(seed + 1);
    let below = |rng: &mut SplitMix64, n: u32| f64::from(rng.below(n));
    for at in services..parts {
        let cpu = 100_000.0 + below(&mut rng, 3_000_000);
        let rate = 1.0 + below(&mut rng, 400);
        // Its service is that of another operation; what it makes of a service of its own goes.
        hand::service(&mut inputs, "", rate, cpu);
        let (facts, of) = (inputs.services.pop().unwrap(), at - services);
        inputs.services[of].cores += facts.cores;
        inputs.components[at] = Component {
            service: of,
            name: "part".to_owned(),
        };
        let operation = &mut inputs.operations[at];
        (operation.service, operation.component) = (of, at);
        operation.name = "GET /part".to_owned();
        operation.in_flight = below(&mut rng, 10);
        operation.held_bytes = below(&mut rng, 100_000);
        operation.held_max_bytes = below(&mut rng, 1_000_000);
        operation.wall_ns = Some(cpu * 3.0);
    }
    for _ in 0..parts {
        let wide = u32::try_from(parts).unwrap();
        let (a, b) = (rng.below(wide) as usize, rng.below(wide) as usize);
        if a == b {
            continue;
        }
        let rate = below(&mut rng, 300);
        let inside = inputs.operations[a].service == inputs.operations[b].service;
        let each = if inside {
            0.0
        } else {
            20_000.0 + below(&mut rng, 600_000)
        };
        let edge = hand::call(&mut inputs, a, b, rate, each);
        inputs.edges[edge].local = inside;
        inputs.edges[edge].wait_ns = Some(1e6 + below(&mut rng, 10_000_000));
    }
    // Rows that grew by messages are those of services too.
    for (at, service) in inputs.services.iter_mut().enumerate() {
        let own = inputs.operations.iter().filter(|o| o.service == at);
        let own: f64 = own.map(|o| o.cores).sum();
        service.cores = own + service.agent + service.background + service.rest;
    }
    if !inputs.origins.is_empty() {
        inputs.origins.clear();
        hand::one_origin(&mut inputs, 0);
        inputs.origins[0].wall_ns = Some([1e7, 3e7, 5e7, 1.2e7]);
    }
    (inputs, constraints)
}

pub(super) fn load() -> Load {
    Load::planned(&Options::default(), 2.0)
}

/// All partitions, as restricted growth strings.
pub(super) fn partitions(n: usize, visit: &mut impl FnMut(&[usize])) {
    fn go(at: usize, top: usize, of: &mut Vec<usize>, visit: &mut impl FnMut(&[usize])) {
        if at == of.len() {
            visit(of);
            return;
        }
        for group in 0..=top {
            of[at] = group;
            go(at + 1, top.max(group + 1), of, visit);
        }
    }
    go(0, 0, &mut vec![0; n], visit);
}

/// The topology of a partition of the components by changes alone.
pub(super) fn by_changes(inputs: &Inputs, of: &[usize]) -> Topology {
    let mut topology = Topology::as_it_is(inputs);
    let mut names: Vec<String> = Vec::new();
    for (at, component) in inputs.components.iter().enumerate() {
        let service = inputs.services[component.service].label.clone();
        // The process stays with the component that takes most, by rule. Each has one operation.
        let cores = |at: &usize| inputs.operations[*at].cores;
        let of_service = |at: &usize| inputs.components[*at].service == component.service;
        let largest = (0..of.len())
            .rev()
            .filter(of_service)
            .max_by(|a, b| cores(a).total_cmp(&cores(b)));
        if largest.is_some_and(|largest| of[largest] == of[at]) {
            names.push(service);
            continue;
        }
        let name = format!("{service}'");
        topology = Change::Split {
            service,
            operations: vec![inputs.operations[at].name.clone()],
            name: Some(name.clone()),
        }
        .apply(inputs, &topology)
        .unwrap();
        names.push(name);
    }
    for group in 0..of.len() {
        let mut services: Vec<String> = (0..of.len())
            .filter(|at| of[*at] == group)
            .map(|at| names[at].clone())
            .collect();
        services.sort();
        services.dedup();
        if services.len() > 1 {
            topology = Change::Merge {
                services,
                name: None,
            }
            .apply(inputs, &topology)
            .unwrap();
        }
    }
    topology
}

pub(super) fn allowed(inputs: &Inputs, of: &[usize], constraints: &Constraints) -> bool {
    let groups = |name: &str| -> Vec<usize> {
        let service = name[1..].parse::<usize>().unwrap();
        let parts = inputs.components.iter().zip(of);
        let parts = parts.filter(|(component, _)| component.service == service);
        parts.map(|(_, group)| *group).collect()
    };
    let mut links = constraints.cannot_link.iter();
    links.all(|(a, b)| groups(a).iter().all(|group| !groups(b).contains(group)))
}

/// The cheapest partition by evaluating every one that is allowed: with all copies, and with those that the rule takes
/// away gone where that is cheaper.
fn brute_force(inputs: &Inputs, constraints: &Constraints, weights: Weights) -> (f64, f64) {
    let gone = by_rule(inputs);
    let (mut best, mut placed) = (f64::INFINITY, f64::INFINITY);
    partitions(inputs.components.len(), &mut |of| {
        if allowed(inputs, of, constraints) {
            let mut topology = by_changes(inputs, of);
            // A process of several services that has no room for work is none.
            let full = |d: &DeployableFigures| d.name.contains('+') && d.replicas_needed.is_none();
            let cost = |topology: &Topology| {
                let figures = evaluate(inputs, topology, &load());
                if figures.deployables.iter().any(full) {
                    f64::INFINITY
                } else {
                    weights.cost(&figures)
                }
            };
            best = best.min(cost(&topology));
            topology.read_remotely.clone_from(&gone);
            placed = placed.min(cost(&topology));
        }
    });
    (best, best.min(placed))
}

#[test]
fn equals_brute_force_on_a_thousand_random_systems() {
    let (mut climbed_as_well, mut placing, mut exactly, mut cut) = (0, 0, 0, 0);
    let prices = crate::Prices {
        core_hour: 0.03,
        gib_hour: 0.02,
        currency: "EUR".to_owned(),
    };
    for seed in 0..1_000u64 {
        // Few large ones, since Bell numbers grow. Every second one has services of two components, every third one
        // prices.
        let n = match seed % 100 {
            0 => 8,
            1..=4 => 7,
            5..=14 => 6,
            other => 2 + (other % 4) as usize,
        };
        let (inputs, constraints) = if seed % 2 == 1 && n > 2 {
            made_up_of_parts(n, seed)
        } else {
            made_up(n, n * 2, seed)
        };
        let weights = Weights::of((seed % 3 == 0).then_some(&prices));
        let rules = Rules::of(&inputs, &constraints).unwrap();
        let found = search(&inputs, &rules, &load(), weights, seed);
        let (want, placed) = brute_force(&inputs, &constraints, weights);
        let best = found.best.unwrap();
        let place = &found.pareto[0].topology.place;
        cut += u32::from((0..n).any(|a| {
            let service = |at: usize| inputs.operations[at].service;
            (0..a).any(|b| service(a) == service(b) && place[a] != place[b])
        }));
        if by_rule(&inputs).is_empty() {
            assert!(
                (best - want).abs() < 1e-9 * want,
                "{seed}: {best} instead of {want}"
            );
            assert_eq!((found.exact, found.gap()), (true, Some(0.0)));
        } else {
            placing += 1;
            exactly += u32::from(best <= placed * (1.0 + 1e-9));
            let eps = 1e-9 * want;
            assert!(
                found.bound <= placed + eps && placed <= best + eps && best <= want + eps,
                "{seed}: {} {placed} {best} {want}",
                found.bound
            );
            assert!(found.gap().unwrap() < 0.2, "{seed}: {:?}", found.gap());
        }
        let shown = found.pareto.iter().map(|p| p.cost);
        let shown = shown.reduce(f64::min).unwrap();
        assert!(
            (shown - best).abs() < 1e-9 * want,
            "{seed}: {shown} is shown, and {best} said to be the best"
        );
        let today = found.pareto.iter().filter(|p| p.steps.is_empty());
        assert!(today.count() >= 1, "{seed}: today's is shown");
        let climbed = search_up_to(0, &inputs, &rules, &load(), weights, seed);
        let cost = climbed.best.unwrap();
        assert!(
            cost >= placed - 1e-9 * want && climbed.bound <= placed + 1e-9 * want,
            "{seed}"
        );
        climbed_as_well += u32::from(cost < want * (1.0 + 1e-9));
    }
    // What reading from an owner costs may change how many processes there must be, and so the best cut.
    assert!(
        placing >= 10 && exactly * 100 >= placing * 95,
        "{exactly} of {placing} systems with a copy that goes"
    );
    assert!(cut >= 20, "a service is cut in the best of {cut}");
    assert!(
        climbed_as_well >= 950,
        "climbing found the best in {climbed_as_well} of 1000"
    );
}

/// The least sum over all partitions, walked as restricted growth strings; a group is a set of bits.
fn least(n: usize, sets: &[f64]) -> f64 {
    fn go(at: usize, n: usize, groups: &mut Vec<usize>, sets: &[f64], best: &mut f64) {
        if at == n {
            *best = best.min(groups.iter().map(|set| sets[*set]).sum());
            return;
        }
        for group in 0..groups.len() {
            groups[group] |= 1 << at;
            go(at + 1, n, groups, sets, best);
            groups[group] &= !(1 << at);
        }
        groups.push(1 << at);
        go(at + 1, n, groups, sets, best);
        groups.pop();
    }
    let mut best = f64::INFINITY;
    go(0, n, &mut Vec::with_capacity(n), sets, &mut best);
    best
}

/// Two to ten services, as many systems of each: every one of up to 115 975 partitions, each the sum of its groups, which
/// are priced once (the test below holds those to `evaluate`).
#[test]
fn equals_brute_force_on_a_thousand_random_systems_of_up_to_ten() {
    let mut of_ten = 0;
    for seed in 0..1_000u64 {
        let n = 2 + (seed % 9) as usize;
        of_ten += u32::from(n == 10);
        let (inputs, constraints) = made_up(n, n * 2, seed + 5_000);
        let rules = Rules::of(&inputs, &constraints).unwrap();
        let groups = Groups::new(&inputs, &rules, load(), Weights::of(None));
        let sets: Vec<f64> = (0..1usize << n)
            .map(|set| {
                let of: Vec<usize> = (0..n).map(|at| set >> at & 1).collect();
                let members: Vec<usize> = (0..n).filter(|at| of[*at] == 1).collect();
                let apart = constraints.cannot_link.iter().any(|(a, b)| {
                    let held = |name: &str| of[name[1..].parse::<usize>().unwrap()] == 1;
                    held(a) && held(b)
                });
                let cost = groups.cost(&groups.sum(&members)).filter(|_| !apart);
                cost.unwrap_or(f64::INFINITY)
            })
            .collect();
        let want = least(n, &sets);
        let found = search(&inputs, &rules, &load(), Weights::of(None), seed);
        let best = found.best.unwrap();
        if !by_rule(&inputs).is_empty() {
            let eps = 1e-9 * want;
            assert!(
                found.bound <= best + eps && best <= want + eps,
                "{seed}: {} {best} {want}",
                found.bound
            );
            continue;
        }
        assert!(
            (best - want).abs() < 1e-9 * want,
            "{seed}, {n} services: {best} instead of {want}"
        );
        assert_eq!((found.exact, found.gap()), (true, Some(0.0)), "{seed}");
    }
    assert_eq!(of_ten, 111);
}

/// What the search adds up is what `evaluate` says.
#[test]
fn groups_cost_what_evaluation_says() {
    let mut full_ones = 0;
    for seed in 0..200 {
        let n = 3 + (seed % 8) as usize;
        let (inputs, constraints) = made_up(n, n * 3, seed);
        let rules = Rules::of(&inputs, &constraints).unwrap();
        let groups = Groups::new(&inputs, &rules, load(), Weights::of(None));
        let mut rng = SplitMix64::new(seed);
        let of: Vec<usize> = (0..n).map(|_| rng.below(3) as usize).collect();
        let topology = groups.topology(&of);
        let figures = evaluate(&inputs, &topology, &load());
        let want = Weights::of(None).cost(&figures);
        let got: Option<f64> = (0..3)
            .map(|group| {
                let members: Vec<usize> = (0..n).filter(|at| of[*at] == group).collect();
                groups.cost(&groups.sum(&members))
            })
            .sum();
        let Some(got) = got else {
            let full = |d: &DeployableFigures| d.name.contains('+') && d.replicas_needed.is_none();
            assert!(figures.deployables.iter().any(full), "{seed}");
            full_ones += 1;
            continue;
        };
        assert!(
            (got - want).abs() < 1e-9 * want,
            "{seed}: {got} instead of {want}"
        );
    }
    assert!(full_ones < 100, "{full_ones}");
}

#[test]
fn a_hundred_services_are_searched_alike_each_time_and_within_the_gap_that_is_said() {
    let (inputs, constraints) = made_up(100, 400, 5);
    let rules = Rules::of(&inputs, &constraints).unwrap();
    let found = search(&inputs, &rules, &load(), Weights::of(None), 1);
    assert_eq!(
        found,
        search(&inputs, &rules, &load(), Weights::of(None), 1)
    );
    let best = found.best.unwrap();
    assert!(!found.exact && found.bound <= best && best <= found.today);
    assert!(found.gap().unwrap() < 0.5, "{:?}", found.gap());
    assert!(!found.pareto.is_empty() && found.pareto.len() <= PARETO_MAX + 1);
    let front: Vec<_> = found.pareto.iter().filter(|p| !p.beaten).collect();
    assert!(front.len() + 1 >= found.pareto.len(), "only today's");
    for pair in front.windows(2) {
        assert!(pair[0].cost <= pair[1].cost);
        assert!(
            pair[1].latency < pair[0].latency || pair[1].blast < pair[0].blast,
            "nothing in it is beaten"
        );
    }
    let today = evaluate(&inputs, &Topology::as_it_is(&inputs), &load());
    for proposal in &found.pareto {
        let ratios = proposal.figures.origins.iter().zip(&today.origins);
        let ratios: Vec<f64> = ratios
            .map(|(after, before)| after.p95_ns.unwrap() / before.p95_ns.unwrap())
            .collect();
        let slowest = ratios[proposal.slowest.unwrap()];
        assert!((slowest - proposal.latency).abs() < 1e-9);
        assert!(ratios.iter().all(|ratio| *ratio <= slowest));
    }
    for proposal in &found.pareto {
        for deployable in proposal.topology.alive() {
            let here = &proposal.topology.deployables[deployable].home_of;
            for (a, b) in &constraints.cannot_link {
                let at = |name: &str| {
                    inputs
                        .services
                        .iter()
                        .position(|s| s.label == name)
                        .unwrap()
                };
                assert!(
                    !(here.contains(&at(a)) && here.contains(&at(b))),
                    "{a} beside {b}"
                );
            }
        }
    }
}

#[test]
fn the_way_leads_there_and_begins_with_one_step_that_saves() {
    let (inputs, constraints) = made_up(6, 18, 11);
    let rules = Rules::of(&inputs, &constraints).unwrap();
    let found = search(&inputs, &rules, &load(), Weights::of(None), 1);
    let best = &found.pareto[0];
    assert!(best.cost < found.today && !best.steps.is_empty());
    let there = apply_all(&best.steps, &inputs, &Topology::as_it_is(&inputs)).unwrap();
    let cost = Weights::of(None).cost(&evaluate(&inputs, &there, &load()));
    assert!(
        (cost - best.cost).abs() < 1e-9 * cost,
        "{cost} instead of {}",
        best.cost
    );
    let (step, after) = best.first_step.clone().unwrap();
    assert!(best.steps.contains(&step) && after < found.today);
}

#[test]
fn no_more_boundaries_are_moved_than_may_be() {
    let (inputs, constraints) = made_up(8, 24, 3);
    for most in [0, 1, 2] {
        let constraints = Constraints {
            boundaries_max: Some(most),
            ..constraints.clone()
        };
        let rules = Rules::of(&inputs, &constraints).unwrap();
        for exact_max in [12, 0] {
            let found = search_up_to(exact_max, &inputs, &rules, &load(), Weights::of(None), 1);
            assert!(!found.pareto.is_empty());
            assert!(
                found.pareto.iter().all(|p| p.boundaries <= most as usize),
                "{most}"
            );
        }
    }
}

#[test]
fn a_limit_below_the_service_time_is_infeasible_and_says_why() {
    let (mut inputs, _) = made_up(4, 8, 2);
    for service in &mut inputs.services {
        // Room enough: nothing is saturated.
        (service.background, service.agent) = (0.0, 0.0);
        service.cores_limit = Some(8.0);
    }
    inputs.origins.clear();
    hand::one_origin(&mut inputs, 0);
    inputs.origins[0].wall_ns = Some([1e9, 3e9, 5e9, 1.2e9]);
    let own = inputs.operations[0].cores * 1e9 / inputs.operations[0].rate;
    let with = |slo: f64| {
        let mut constraints = Constraints::default();
        constraints
            .slo_p95_ns
            .insert(("s0".to_owned(), "GET /s0".to_owned()), slo);
        let rules = Rules::of(&inputs, &constraints).unwrap();
        search(&inputs, &rules, &load(), Weights::of(None), 1)
    };
    let found = with(own * 0.5);
    assert!(found.pareto.is_empty());
    assert!(
        found
            .infeasible
            .unwrap()
            .contains("no cut of the system keeps that")
    );
    let found = with(own * 1.01);
    assert!(found.pareto.is_empty(), "calls take longer than that");
    assert!(
        found
            .infeasible
            .unwrap()
            .contains("No topology keeps all limits")
    );
    assert_eq!(with(1e12).infeasible, None);
}

#[test]
fn names_that_were_not_weighed_are_refused_with_the_nearest() {
    let (inputs, _) = made_up(4, 8, 2);
    let constraints = Constraints {
        cannot_link: vec![("s1".to_owned(), "s_2".to_owned())],
        ..Constraints::default()
    };
    let error = Rules::of(&inputs, &constraints).unwrap_err().to_string();
    assert!(
        error.contains("`s_2`") && error.contains("did you mean `s2`?"),
        "{error}"
    );
}

#[test]
fn systems_of_none_and_one() {
    for n in [0, 1] {
        let (inputs, constraints) = if n == 0 {
            (Inputs::default(), Constraints::default())
        } else {
            made_up(1, 0, 1)
        };
        let rules = Rules::of(&inputs, &constraints).unwrap();
        let found = search(&inputs, &rules, &load(), Weights::of(None), 1);
        assert_eq!(found.pareto.len(), n);
        assert!(found.gap().is_none_or(f64::is_finite));
    }
}

/// Ten services of one core with 0.15 core of background work each: four of them leave a process some room, five none.
#[test]
fn a_group_that_has_no_room_for_work_is_not_cheap() {
    let mut inputs = Inputs::default();
    for at in 0..10 {
        let service = hand::service(&mut inputs, &format!("s{at}"), 10.0, 1_000_000.0);
        let facts = &mut inputs.services[service];
        facts.background = 0.15;
        facts.cores += 0.15;
        facts.base_bytes = Some(1e9);
        facts.peak_bytes = Some(1e9);
    }
    let rules = Rules::of(&inputs, &Constraints::default()).unwrap();
    for exact_max in [12, 0] {
        let found = search_up_to(exact_max, &inputs, &rules, &load(), Weights::of(None), 1);
        let best = found.pareto.first().unwrap();
        assert!(best.cost < found.today, "cold services share processes");
        for proposal in &found.pareto {
            for deployable in &proposal.figures.deployables {
                let held = deployable.name.split('+').count();
                assert!(held <= 4, "{}: {deployable:?}", deployable.name);
                assert!(deployable.replicas_needed.is_some() && !deployable.saturated);
            }
        }
    }
}
