use std::collections::BTreeMap;

use proptest::prelude::*;
use weighbridge_wire::{access, mode};

use super::*;
use crate::ledger::limits::Limits;
use crate::ledger::names::Weight;

const MAX: usize = 8;

/// What is recorded.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Edge,
    Entity,
}

const KINDS: [Kind; 2] = [Kind::Edge, Kind::Entity];

/// A ledger of edges or entities without threads.
struct Books {
    kind: Kind,
    names: Names,
    window: u64,
    costs: BTreeMap<u32, Weight>,
    /// Of all windows, by what they were shown under.
    totals: BTreeMap<String, i64>,
}

impl Books {
    fn open(kind: Kind) -> Self {
        let names = Names::new();
        names.set_limits(Limits {
            edges_max: MAX,
            entities_max: MAX,
            ..Limits::default()
        });
        Self {
            kind,
            names,
            window: 1,
            costs: BTreeMap::new(),
            totals: BTreeMap::new(),
        }
    }

    fn edge(&self, target: &str) -> (Arc<EdgeName>, Folded, Wanted) {
        let id = EdgeId {
            side: side::CALLER,
            mode: mode::SYNC,
            transport: "http",
            peer_service: "".into(),
            peer_operation: "".into(),
            call_id: target.into(),
            peer: "peer".into(),
            target: target.into(),
        };
        let name = self.names.operation("", "GET /", "").0;
        let origin = self.names.origin("shop", "GET /").0;
        let (found, folded) = self.names.edge(&id, &name, &origin);
        (found, folded, self.names.wanted_edge(&id, &name, &origin))
    }

    /// Records a cost; returns under which name it is shown.
    fn record(&mut self, what: &str, cpu_ns: i64) -> String {
        let weight = Weight { cpu_ns, times: 1 };
        let (id, shown, folded, wanted) = match self.kind {
            Kind::Edge => {
                let (found, folded, wanted) = self.edge(what);
                (found.id, found.edge.target.to_string(), folded, wanted)
            }
            Kind::Entity => {
                let name = self.names.operation("", "GET /", "").0;
                let (database, entity) = ("db".into(), Arc::from(what));
                let access = access::READ;
                let (found, folded) = self.names.entity(&name, &database, &entity, access);
                let wanted = self.names.wanted_entity(&name, &database, &entity, access);
                (found.id, found.entity.to_string(), folded, wanted)
            }
        };
        assert_eq!(folded.is_some(), shown == OTHER && what != OTHER);
        if folded.is_some() {
            self.names.weigh(&wanted, weight);
        }
        let cost = self.costs.entry(id).or_insert(Weight {
            cpu_ns: 0,
            times: 0,
        });
        cost.cpu_ns += cpu_ns;
        cost.times += 1;
        shown
    }

    /// Ends the window; returns how many lost their place.
    fn rotate(&mut self) -> usize {
        self.window += 1;
        let resolved = self.names.resolve_and_forget(self.window * 1_000_000_000);
        let costs = std::mem::take(&mut self.costs);
        for (id, cost) in &costs {
            let shown = match self.kind {
                Kind::Edge => resolved.edge(*id).map(|edge| &edge.edge.target),
                Kind::Entity => resolved.entity(*id).map(|entity| &entity.entity),
            };
            let shown = shown.expect("every id has a meaning").to_string();
            *self.totals.entry(shown).or_default() += cost.cpu_ns;
        }
        let (edges, entities) = match self.kind {
            Kind::Edge => (costs, BTreeMap::new()),
            Kind::Entity => (BTreeMap::new(), costs),
        };
        let replaced = self.names.renew(
            &resolved,
            std::iter::empty(),
            edges.into_iter(),
            entities.into_iter(),
        );
        let place = match self.kind {
            Kind::Edge => EDGES,
            Kind::Entity => ENTITIES,
        };
        let of_kind = |(at, n): &(&str, usize)| (*at == place).then_some(*n);
        replaced.iter().filter_map(of_kind).sum()
    }

    /// Entries that are found, and those that are kept for who holds them.
    fn size(&self) -> (usize, usize) {
        let tables = read(&self.names.tables);
        match self.kind {
            Kind::Edge => (tables.edges.len(), tables.edges.retired_ids().len()),
            Kind::Entity => (tables.entities.len(), tables.entities.retired_ids().len()),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever comes, totals are whole and tables bounded; who takes much of all cost beyond the limit is found.
    #[test]
    fn totals_stay_and_heavy_hitters_are_found(
        edges in any::<bool>(),
        early in prop::collection::vec(1i64..2_000, MAX),
        noise in prop::collection::vec((0u32..5_000, 1i64..3_000), 50..300),
        heavy in 1usize..4,
    ) {
        let mut books = Books::open(KINDS[usize::from(edges)]);
        let mut spent = 0;
        for window in 0..7 {
            for (n, cpu_ns) in early.iter().enumerate() {
                books.record(&format!("early {n}"), *cpu_ns);
                spent += cpu_ns;
            }
            for (n, cpu_ns) in noise.iter().filter(|_| window > 0) {
                books.record(&format!("noise {n}"), *cpu_ns);
                spent += cpu_ns;
            }
            for n in (0..heavy).filter(|_| window > 0) {
                books.record(&format!("heavy {n}"), 1_000_000);
                spent += 1_000_000;
            }
            books.rotate();
            // The row that many share stands beside the limit.
            prop_assert!(books.size().0 <= MAX + 1, "{:?}", books.size());
        }
        prop_assert_eq!(books.totals.values().sum::<i64>(), spent);
        for n in 0..heavy {
            let name = format!("heavy {n}");
            prop_assert_eq!(books.record(&name, 1), name);
        }
    }
}

#[test]
fn a_flood_that_takes_every_free_place_first_does_not_keep_a_heavy_one_out() {
    for kind in KINDS {
        let mut books = Books::open(kind);
        let mut shown = Vec::new();
        for window in 0..6 {
            // All of these are forgotten at the end of the next window, and others are quicker.
            for n in 0..200 {
                books.record(&format!("once {window} {n}"), 1_000);
            }
            shown.push(books.record("heavy", 1_000_000));
            books.rotate();
        }
        assert_eq!(shown[0], OTHER, "{kind:?}");
        assert_eq!(shown[3..], ["heavy"; 3], "{kind:?}: {shown:?}");
    }
}

#[test]
fn a_flood_of_names_that_come_once_moves_nobody_in_use() {
    for kind in KINDS {
        let mut books = Books::open(kind);
        let mut replaced = 0;
        for window in 0..20 {
            for n in 0..MAX {
                let name = format!("in use {n}");
                assert_eq!(books.record(&name, 5_000), name, "{kind:?} {window}");
            }
            for n in 0..500 {
                assert_eq!(books.record(&format!("once {window} {n}"), 2_000), OTHER);
            }
            replaced += books.rotate();
        }
        assert_eq!(replaced, 0, "{kind:?}");
    }
}

#[test]
fn the_lightest_makes_place_and_never_the_row_that_many_share() {
    for kind in KINDS {
        let mut books = Books::open(kind);
        let mut replaced = 0;
        for _ in 0..6 {
            for n in 1..=MAX {
                books.record(&format!("in use {n}"), 10_000 * i64::try_from(n).unwrap());
            }
            books.record("heavy", 1_000_000);
            // Light, and folded in each window.
            books.record("light", 1);
            replaced += books.rotate();
        }
        assert_eq!(replaced, 1, "{kind:?}");
        assert_eq!(books.record("in use 1", 1), OTHER, "{kind:?}");
        for n in 2..=MAX {
            let name = format!("in use {n}");
            assert_eq!(books.record(&name, 1), name, "{kind:?}");
        }
        assert_eq!(books.record("heavy", 1), "heavy", "{kind:?}");
    }
}

#[test]
fn an_edge_that_is_retired_while_somebody_holds_it_keeps_its_id() {
    let mut books = Books::open(Kind::Edge);
    for n in 0..MAX {
        books.record(&format!("in use {n}"), 10_000);
    }
    let held = books.edge("in use 0").0;
    books.rotate();
    for _ in 0..4 {
        for n in 1..MAX {
            books.record(&format!("in use {n}"), 10_000);
        }
        books.costs.entry(held.id).or_insert(Weight {
            cpu_ns: 1,
            times: 1,
        });
        books.names.touch_edge(&held);
        books.record("heavy", 1_000_000);
        books.rotate();
    }
    assert_eq!(books.record("heavy", 1), "heavy");
    assert_eq!(
        books.edge("in use 0").1,
        Some(EDGES),
        "its name is given up"
    );
    let resolved = books.names.resolve_and_forget(100_000_000_000);
    assert!(Arc::ptr_eq(resolved.edge(held.id).unwrap(), &held));
    drop(resolved);
    let generation = books.names.generation();
    drop(held);
    books.costs.clear();
    books.rotate();
    assert_eq!(books.size().1, 0, "nothing is left of it");
    assert_ne!(books.names.generation(), generation);
}

#[test]
fn edges_share_their_texts_as_long_as_one_is_there() {
    let mut books = Books::open(Kind::Edge);
    let (a, b) = (books.edge("a").0, books.edge("b").0);
    assert!(Arc::ptr_eq(&a.edge.peer, &b.edge.peer));
    assert!(Arc::ptr_eq(&a.edge.target, &a.edge.call_id));
    for n in 0..MAX {
        books.record(&format!("more {n}"), 1);
    }
    drop((a, b));
    // First the edges go, then their texts.
    for _ in 0..3 {
        books.rotate();
    }
    assert_eq!(books.size().0, 0);
    assert!(lock(&books.names.texts).is_empty());
}
