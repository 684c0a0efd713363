use std::collections::BTreeMap;

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
        row.name.operation.to_string()
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
