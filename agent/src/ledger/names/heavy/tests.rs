use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::ledger::limits::Limits;

fn limits(max: usize) -> Limits {
    Limits {
        operations_max: max,
        callers_max: max,
        origins_max: max,
        operation_rows_max: 4 * max,
        ..Limits::default()
    }
}

/// A ledger without threads: rows of a window with what they cost.
struct Books {
    names: Names,
    window: u64,
    costs: BTreeMap<u32, (i64, i64)>,
    /// Of all windows, by operation.
    totals: BTreeMap<String, i64>,
}

impl Books {
    fn open(limits: Limits) -> Self {
        let names = Names::new();
        names.set_limits(limits);
        Self {
            names,
            window: 1,
            costs: BTreeMap::new(),
            totals: BTreeMap::new(),
        }
    }

    /// A request from its begin to its end; returns the operation that it is shown under.
    fn request(&mut self, operation: &str, caller: &str, cpu_ns: i64) -> String {
        let row = self.row(operation, caller, cpu_ns);
        row.name.operation.to_string()
    }

    /// The row of such a request, whose caller is its origin too.
    fn row(&mut self, operation: &str, caller: &str, cpu_ns: i64) -> Arc<OperationRow> {
        let name = self.names.operation("", operation, "").0;
        let place = self.names.caller("peer", caller).0;
        let origin = self.names.origin("peer", caller).0;
        let row = self.names.row(&name, &place, &origin).0;
        let asked = Asked {
            component: "",
            operation,
            caller: Some(("peer", caller)),
            origin: Some(("peer", caller)),
        };
        if let Some(wanted) = self.names.wanted(asked, &row) {
            self.names.weigh(&wanted, Weight { cpu_ns, times: 1 });
        }
        let cost = self.costs.entry(row.id).or_default();
        *cost = (cost.0 + cpu_ns, cost.1 + 1);
        row
    }

    fn rotate(&mut self) -> usize {
        self.window += 1;
        let resolved = self.names.resolve_and_forget(self.window * 1_000_000_000);
        let costs = std::mem::take(&mut self.costs);
        for (id, (cpu_ns, _)) in &costs {
            let name = &resolved.row(*id).expect("every id has a meaning").name;
            *self.totals.entry(name.operation.to_string()).or_default() += cpu_ns;
        }
        let costs = costs
            .into_iter()
            .map(|(id, (cpu_ns, times))| (id, Weight { cpu_ns, times }));
        self.names
            .renew(&resolved, costs, std::iter::empty(), std::iter::empty())
            .iter()
            .map(|(_, n)| n)
            .sum()
    }

    fn size(&self) -> [usize; 8] {
        let tables = read(&self.names.tables);
        let heavy = lock(&self.names.heavy);
        [
            tables.operations.len(),
            tables.callers.len(),
            tables.origins.len(),
            tables.rows.len(),
            heavy.operations.sketch.candidates.len(),
            heavy.callers.sketch.candidates.len(),
            heavy.rows.sketch.candidates.len(),
            tables.operations.retired_ids().len() + tables.rows.retired_ids().len(),
        ]
    }
}

#[test]
fn a_newcomer_that_becomes_heavy_takes_the_place_of_the_lightest() {
    let mut books = Books::open(limits(8));
    for n in 0..8 {
        books.request(&format!("early {n}"), "c", 1_000 * (n + 1));
    }
    books.rotate();
    let mut windows = 0;
    while books.request("heavy", "c", 1_000_000) == OTHER {
        for n in 0..8 {
            books.request(&format!("early {n}"), "c", 1_000 * (n + 1));
        }
        books.rotate();
        windows += 1;
        assert!(windows <= 2, "within two windows");
    }
    for n in 1..8 {
        let name = format!("early {n}");
        assert_eq!(books.request(&name, "c", 1), name, "heavier ones stay");
    }
    assert_eq!(books.request("early 0", "c", 1), OTHER, "the lightest went");
}

#[test]
fn a_flood_of_names_that_come_once_moves_nobody() {
    let mut books = Books::open(limits(8));
    let mut replaced = 0;
    for window in 0..20 {
        for n in 0..7 {
            // Also one that rests most of the time.
            if n > 0 || window % 8 == 0 {
                let name = format!("in use {n}");
                assert_eq!(books.request(&name, "c", 5_000), name, "window {window}");
            }
        }
        for n in 0..500 {
            books.request(
                &format!("once {window} {n}"),
                &format!("{window} {n}"),
                2_000,
            );
        }
        replaced += books.rotate();
    }
    assert_eq!(replaced, 0);
}

#[test]
fn a_heavy_origin_keeps_its_name_under_a_flood_of_forged_ones() {
    let mut books = Books::open(limits(8));
    let mut forged_ns = 0;
    for window in 0..20 {
        for n in 0..500 {
            let forged = format!("forged {window} {n}");
            books.row("GET /stock", &forged, 2_000);
            forged_ns += 2_000;
            if n % 50 == 25 {
                let row = books.row("GET /stock", "checkout", 50_000);
                // The table was full of forged ones when it came first.
                let shown = &*row.origin.operation;
                assert!(window <= 2 || shown == "checkout", "{shown} in {window}");
            }
        }
        books.rotate();
    }
    // Nothing of what the flood cost is lost.
    assert_eq!(books.totals["GET /stock"], forged_ns + 20 * 10 * 50_000);
}

#[test]
fn an_operation_that_is_retired_while_requests_hold_it_keeps_its_id() {
    let mut books = Books::open(limits(2));
    books.request("a", "c", 1);
    books.request("b", "c", 1_000);
    let held = {
        let name = books.names.operation("", "a", "").0;
        let place = books.names.caller("peer", "c").0;
        let origin = books.names.origin("peer", "c").0;
        books.names.row(&name, &place, &origin).0
    };
    books.rotate();
    for _ in 0..3 {
        books.request("heavy", "c", 1_000_000);
        books.rotate();
    }
    assert_eq!(books.request("heavy", "c", 1), "heavy");
    assert_eq!(books.request("a", "c", 1), OTHER);
    books.rotate();
    let resolved = books.names.resolve_and_forget(books.window * 1_000_000_000);
    assert!(Arc::ptr_eq(resolved.row(held.id).unwrap(), &held));
    drop(resolved);
    let id = held.id;
    drop(held);
    // First the row goes, then its names.
    books.rotate();
    books.rotate();
    let resolved = books.names.resolve_and_forget(books.window * 1_000_000_000);
    let again = resolved.row(id);
    assert!(again.is_none_or(|row| &*row.name.operation != "a"));
    drop(resolved);
    assert_eq!(books.size()[7], 0, "nothing is left of it");
}

#[test]
fn a_million_names_take_no_more_memory_than_a_thousand() {
    let mut books = Books::open(limits(64));
    let mut sizes = Vec::new();
    for n in 0..1_000_000u32 {
        books.request(&format!("name {n}"), &format!("caller {n}"), 1_000);
        if n % 50_000 == 49_999 {
            books.rotate();
            sizes.push(books.size());
        }
    }
    let bound = [
        65,
        65,
        65,
        4 * 64 + 1,
        CANDIDATES_MAX,
        CANDIDATES_MAX,
        CANDIDATES_MAX,
        4 * 64,
    ];
    for size in sizes {
        assert!(
            size.iter().zip(bound).all(|(n, max)| *n <= max + 1),
            "{size:?}"
        );
    }
    let sum: i64 = books.totals.values().sum();
    assert_eq!(sum, 1_000_000 * 1_000);
}

#[test]
fn a_newcomer_takes_over_the_weight_of_the_lightest_and_is_certain_only_of_its_own() {
    let mut sketch = Sketch::default();
    for hash in 0..CANDIDATES_MAX {
        sketch.add(hash as u64, 10);
    }
    sketch.add(1_000, 3);
    assert_eq!(sketch.candidates.len(), CANDIDATES_MAX);
    let newcomer = sketch
        .candidates
        .iter()
        .find(|it| it.hash == 1_000)
        .unwrap();
    assert_eq!((newcomer.weight, newcomer.certain()), (13, 3));
    sketch.fade();
    let newcomer = sketch
        .candidates
        .iter()
        .find(|it| it.hash == 1_000)
        .unwrap();
    assert_eq!((newcomer.weight, newcomer.doubt), (6, 5));
}

/// A table of so many places, with the ids from 0 on.
fn places(n: u64) -> Table<Place> {
    let mut table = Table::default();
    for hash in 0..n {
        table.insert(hash, |id| Place {
            id,
            service: "peer".into(),
            operation: "GET /".into(),
            used_ns: 0.into(),
        });
    }
    table
}

/// Scales on which entries weigh this before a window, and newcomers that.
fn scales(weights: &[u64], newcomers: &[u64]) -> Scales {
    let mut scales = Scales {
        weights: (0..).zip(weights.iter().copied()).collect(),
        ..Scales::default()
    };
    for (hash, weight) in (1_000..).zip(newcomers) {
        scales.sketch.add(hash, *weight);
    }
    scales
}

fn retired(table: &Table<Place>) -> Vec<u32> {
    let mut ids: Vec<_> = table.retired_ids().into_iter().collect();
    ids.sort_unstable();
    ids
}

#[test]
fn weights_fade_and_costs_are_added() {
    let mut table = places(2);
    let mut scales = scales(&[100, 60], &[40]);
    scales.renew(&mut table, 16, &HashMap::from([(1, 7)]), |_| true);
    assert_eq!(scales.weights, HashMap::from([(0, 50), (1, 37)]));
    scales.sketch.add(2_000, 40);
    scales.renew(&mut table, 2, &HashMap::from([(0, 900), (1, 900)]), |_| {
        true
    });
    assert_eq!(scales.sketch.candidates.len(), 1, "one got a place");
    assert_eq!(scales.sketch.candidates[0].weight, 20, "and one waits");
}

#[test]
fn the_lightest_goes_and_only_for_one_that_weighs_twice_as_much() {
    let weights: Vec<u64> = (0..16).map(|n| 20_000 - 1_000 * n).collect();
    // The lightest has 2 500 left after the window.
    for (newcomer, expected) in [(5_000, vec![]), (5_001, vec![15])] {
        let mut table = places(16);
        let mut scales = scales(&weights, &[newcomer]);
        scales.renew(&mut table, 16, &HashMap::new(), |_| true);
        assert_eq!(retired(&table), expected, "{newcomer}");
        assert_eq!(scales.reserved.len(), expected.len());
    }
}

#[test]
fn at_most_one_place_in_eight_changes_in_a_window() {
    let mut table = places(16);
    let mut scales = scales(&[2; 16], &[1_000_000; 6]);
    assert_eq!(scales.renew(&mut table, 16, &HashMap::new(), |_| true), 2);
    assert_eq!((table.len(), scales.reserved.len()), (14, 2));
}

#[test]
fn who_came_in_this_window_may_stay_however_light() {
    let mut table = places(8);
    // The last one was not there before.
    let mut scales = scales(&[1_000; 7], &[1_000_000]);
    scales.renew(&mut table, 8, &HashMap::from([(7, 1)]), |_| true);
    let gone = retired(&table);
    assert_eq!(gone.len(), 1);
    assert_ne!(gone, [7]);
}

#[test]
fn a_free_place_is_kept_for_one_newcomer_and_not_for_two() {
    let mut table = places(15);
    let mut scales = scales(&[100_000_000; 15], &[90_000_000, 80_000_000]);
    assert_eq!(scales.renew(&mut table, 16, &HashMap::new(), |_| true), 0);
    assert_eq!(scales.reserved, HashSet::from([1_000]), "the heavier one's");
    // It does not come, and the place is open again.
    scales.sketch = Sketch::default();
    scales.renew(&mut table, 16, &HashMap::new(), |_| true);
    assert!(scales.reserved.is_empty());
}

#[test]
fn a_place_that_is_kept_is_not_given_to_others() {
    let names = Names::new();
    lock(&names.heavy).callers.reserved.insert(7);
    let is_full = |hash, len| names.is_full(Which::Callers, hash, len, 8);
    assert!(is_full(9, 7), "one is left, and it is another's");
    assert!(!is_full(9, 6));
    assert!(!is_full(7, 7), "this one's");
    assert!(!is_full(9, 7), "it is taken, so nothing is kept any more");
}

#[test]
fn what_is_remembered_is_void_when_somebody_lost_a_place() {
    let mut books = Books::open(limits(8));
    for _ in 0..5 {
        for n in 0..8 {
            books.request(&format!("early {n}"), "c", 1_000 * (n + 1));
        }
        books.request("heavy", "c", 1_000_000);
        let before = books.names.generation();
        if books.rotate() > 0 {
            assert_ne!(books.names.generation(), before);
            return;
        }
        assert_eq!(books.names.generation(), before, "all is as it was");
    }
    panic!("nobody lost a place");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever comes, totals are whole and tables bounded; who takes a fifth of all cost beyond the limit is
    /// found.
    #[test]
    fn totals_stay_and_heavy_hitters_are_found(
        early in prop::collection::vec(1i64..2_000, 8),
        noise in prop::collection::vec((0u32..5_000, 1i64..3_000), 50..300),
        heavy in 1usize..4,
    ) {
        let mut books = Books::open(limits(8));
        let mut spent = 0;
        for (n, cpu_ns) in early.iter().enumerate() {
            books.request(&format!("early {n}"), "c", *cpu_ns);
            spent += cpu_ns;
        }
        books.rotate();
        for _ in 0..6 {
            for (n, cpu_ns) in &noise {
                books.request(&format!("noise {n}"), &format!("noise {n}"), *cpu_ns);
                spent += cpu_ns;
            }
            for n in 0..heavy {
                books.request(&format!("heavy {n}"), "c", 1_000_000);
                spent += 1_000_000;
            }
            books.rotate();
        }
        prop_assert_eq!(books.totals.values().sum::<i64>(), spent);
        for n in 0..heavy {
            let name = format!("heavy {n}");
            prop_assert_eq!(books.request(&name, "c", 1), name);
        }
        prop_assert!(books.size()[0] <= 9, "{:?}", books.size());
    }
}
