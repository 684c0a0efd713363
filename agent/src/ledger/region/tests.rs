use std::sync::Arc;

use weighbridge_wire::{RowValue, column};

use super::*;
use crate::ledger::Names;

struct Fixture {
    regions: Regions,
    operation: Arc<OperationName>,
    now_ns: u64,
    costs: RegionCosts,
    strayed: u64,
}

impl Fixture {
    fn new(max: usize) -> Self {
        let regions = Regions::default();
        regions.set_max(max);
        Self {
            regions,
            operation: Names::new().operation("", "GET /", "").0,
            now_ns: 1,
            costs: RegionCosts::default(),
            strayed: 0,
        }
    }

    fn region(&self, parent: Option<RegionId>, name: &'static str) -> RegionId {
        self.regions.region(&self.operation, parent, name).0
    }

    fn spend(&mut self, region: RegionId, cpu_ns: i64) {
        let cost = Totals {
            cpu_ns,
            ..Totals::NONE
        };
        self.costs.book(region, cost, 1, 1);
    }

    /// Ends a window and returns the row of each path.
    fn rotate(&mut self) -> HashMap<String, RowValue> {
        let mut rows = RowSet::new();
        let costs = std::mem::take(&mut self.costs);
        self.strayed += self.regions.write(&mut rows, &costs, self.now_ns);
        self.now_ns += 10_000_000_000;
        rows.iter()
            .map(|(key, row)| {
                (
                    RegionKey::read(key).unwrap().region.to_string(),
                    row.clone(),
                )
            })
            .collect()
    }
}

fn exclusive(row: &RowValue) -> i64 {
    row.get(column::CPU_EXCLUSIVE_NS).unwrap()
}

fn total(rows: &HashMap<String, RowValue>) -> i64 {
    rows.values().map(exclusive).sum()
}

#[test]
fn in_a_full_table_the_heaviest_stay_and_newcomers_get_their_chance() {
    let mut it = Fixture::new(4);
    let names = ["a", "b", "c", "heavy", "e", "f", "g"];
    for round in 0..50 {
        let mut spent = 0;
        for n in 0..names.len() {
            // Everybody is first at some time.
            let name = names[(n + round) % names.len()];
            let cpu_ns = if name == "heavy" { 1_000_000 } else { 10 };
            let region = it.region(None, name);
            it.spend(region, cpu_ns);
            spent += cpu_ns;
        }
        let rows = it.rotate();
        assert_eq!(total(&rows), spent, "totals stay whole");
        assert!(rows.len() <= 5, "{rows:?}");
        if round > 10 {
            assert_eq!(
                rows.get("heavy").map(exclusive),
                Some(1_000_000),
                "round {round}"
            );
        }
    }
}

#[test]
fn a_subtree_keeps_its_sum_where_a_name_found_no_room() {
    let mut it = Fixture::new(1);
    let outer = it.region(None, "outer");
    let inner = it.region(Some(outer), "inner");
    let below = it.region(Some(inner), "below");
    assert_eq!(inner, below, "inside `__other__` nothing is told apart");
    for region in [outer, inner, below] {
        it.spend(region, 100);
    }
    let rows = it.rotate();
    assert_eq!(exclusive(&rows["outer;__other__"]), 200);
    assert_eq!(rows["outer"].get(column::CPU_INCLUSIVE_NS), Some(300));
}

/// Windows end at times of the calendar, so the first one ends long after 0.
#[test]
fn a_region_that_is_entered_and_costs_nothing_yet_stays() {
    for windows_before in [0, 1] {
        let mut it = Fixture::new(8);
        it.now_ns = 1_800_000_000_000_000_000;
        for _ in 0..windows_before {
            it.rotate();
        }
        let outer = it.region(None, "outer");
        let inner = it.region(Some(outer), "inner");
        assert!(it.rotate().is_empty());
        it.spend(inner, 100);
        let rows = it.rotate();
        assert_eq!(exclusive(&rows["outer;inner"]), 100);
        assert_eq!(it.strayed, 0);
    }
}

#[test]
fn idle_regions_are_forgotten_and_free_their_operation() {
    let mut it = Fixture::new(8);
    let held = Arc::strong_count(&it.operation);
    let outer = it.region(None, "outer");
    let inner = it.region(Some(outer), "inner");
    it.spend(inner, 5);
    it.rotate();
    assert_eq!(Arc::strong_count(&it.operation), held + 2);
    let epoch = it.regions.epoch();
    it.now_ns += FORGET_AFTER_NS;
    // First those without children.
    for _ in 0..3 {
        it.rotate();
    }
    assert_eq!(Arc::strong_count(&it.operation), held);
    assert_ne!(
        it.regions.epoch(),
        epoch,
        "who remembers the number asks again"
    );

    // A number that outlived its region means no other one.
    let next = it.region(None, "next");
    it.spend(next, 7);
    it.spend(outer, 3);
    it.spend(inner, 4);
    let rows = it.rotate();
    assert_eq!(exclusive(&rows["next"]), 7);
    assert_eq!(exclusive(&rows["__other__"]), 7, "3 and 4");
    assert_eq!(it.strayed, 2);
}

#[test]
fn a_number_that_strays_into_a_shard_first_does_no_harm() {
    let mut it = Fixture::new(8);
    let old = it.region(None, "old");
    it.rotate();
    it.now_ns += FORGET_AFTER_NS;
    it.rotate();
    let new = it.region(None, "new");
    assert_eq!(old.index, new.index, "the number comes again");
    let mut other = RegionCosts::default();
    std::mem::swap(&mut it.costs, &mut other);
    it.spend(old, 3);
    it.spend(new, 5);
    other.book(
        new,
        Totals {
            cpu_ns: 6,
            ..Totals::NONE
        },
        1,
        1,
    );
    it.costs.merge(&other);
    let rows = it.rotate();
    assert_eq!(total(&rows), 14);
    assert!(
        rows.get("new").map_or(0, exclusive) <= 11,
        "nothing of the old one"
    );
}

#[test]
fn names_cannot_pretend_to_be_paths_and_are_cut() {
    let mut it = Fixture::new(8);
    let long: &'static str = Box::leak("n".repeat(5_000).into_boxed_str());
    let mut region = it.region(None, "a;b");
    it.spend(region, 1);
    for _ in 0..10 {
        region = it.region(Some(region), long);
        it.spend(region, 1);
    }
    let rows = it.rotate();
    assert_eq!(exclusive(&rows["a,b"]), 1);
    assert!(rows.keys().all(|path| path.len() <= REGION_PATH_BYTES_MAX));
    assert_eq!(
        total(&rows),
        11,
        "what is too long is part of what is outside"
    );
}

#[test]
fn samples_stand_for_as_many_requests() {
    let mut it = Fixture::new(8);
    let region = it.region(None, "sampled");
    let cost = Totals {
        cpu_ns: 10,
        alloc_bytes: 20,
        alloc_count: 2,
    };
    it.costs.book(region, cost, 1, 8);
    let row = &it.rotate()["sampled"];
    assert_eq!(exclusive(row), 80);
    assert_eq!(row.get(column::COUNT), Some(8));
}

#[test]
fn regions_are_told_apart_down_to_the_limit_and_no_deeper() {
    let it = Fixture::new(1_000);
    let (mut above, mut at) = (None, None);
    for depth in 1..=REGION_DEPTH_MAX {
        let (id, untold) = it.regions.region(&it.operation, at, "x");
        assert_eq!(untold, None, "depth {depth}");
        assert_ne!(Some(id), at);
        (above, at) = (at, Some(id));
    }
    let too_deep = it.regions.region(&it.operation, at, "x");
    assert_eq!(too_deep, (at.unwrap(), Some(TOO_DEEP)));
    let beside = it.regions.region(&it.operation, above, "y");
    assert_eq!(beside.1, None, "only what lies deeper is refused");
}

#[test]
fn a_path_is_as_long_as_it_may_be_and_no_longer() {
    let it = Fixture::new(1_000);
    let mut at = None;
    for _ in 0..5 {
        at = Some(it.region(at, Box::leak("n".repeat(200).into_boxed_str())));
    }
    // Five names of 200 bytes and four separators; the next one has another.
    let room = REGION_PATH_BYTES_MAX - 1_004 - 1;
    let name = |len: usize| -> &'static str { Box::leak("m".repeat(len).into_boxed_str()) };
    let fits = it.regions.region(&it.operation, at, name(room));
    assert_eq!(fits.1, None);
    let too_long = it.regions.region(&it.operation, at, name(room + 1));
    assert_eq!(too_long, (at.unwrap(), Some(TOO_DEEP)));
}

#[test]
fn what_strayed_in_a_shard_is_there_when_shards_are_merged() {
    let mut it = Fixture::new(8);
    let old = it.region(None, "old");
    it.rotate();
    it.now_ns += FORGET_AFTER_NS;
    it.rotate();
    let new = it.region(None, "new");
    assert_eq!(old.index, new.index, "the number comes again");
    // The second stands in the first one's place already: it strays in this shard, before any merging.
    it.spend(new, 5);
    it.spend(old, 3);
    let shard = std::mem::take(&mut it.costs);
    it.costs.merge(&shard);
    let rows = it.rotate();
    assert_eq!(total(&rows), 8);
    assert_eq!((exclusive(&rows["new"]), exclusive(&rows[OTHER])), (5, 3));
    assert_eq!(it.strayed, 1);
}
