//! More halves wait than memory may hold: those beyond wait on disk, and none is lost, late and over a restart.

use std::time::Duration;

use super::disk::{RULES_WINDOW_NS, derive, derive_of, fold, search};
use super::*;
use crate::join::parked::WAITING_MAX;
use crate::join::{Failed, Joiner, NAMES_MAX};
use crate::otlp::derived::{Derived, Target};
use crate::store::FoldBatch;

/// A joiner with its store and a clock; counts what became of every half that came.
struct Bench {
    store: MemoryStore,
    joiner: Joiner,
    pending: FoldBatch,
    seconds: u64,
    came: u64,
    joined: u64,
    sums: Failed,
    unjoined_of: BTreeMap<String, u64>,
}

impl Bench {
    fn new() -> Self {
        Self {
            store: MemoryStore::new(1_000),
            joiner: Joiner::new(RULES_WINDOW_NS, WITHIN),
            pending: FoldBatch::default(),
            seconds: 1,
            came: 0,
            joined: 0,
            sums: Failed::default(),
            unjoined_of: BTreeMap::new(),
        }
    }

    fn now(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    fn take(&mut self, service: &str, spans: Vec<SpanSpec>) {
        self.take_of("", service, spans);
    }

    fn take_of(&mut self, tenant: &str, service: &str, spans: Vec<SpanSpec>) {
        let derived = derive_of(tenant, service, spans);
        self.came += derived.wants.len() as u64;
        let now = self.now();
        self.joiner.take(&derived, now, &mut self.pending, 1_000);
    }

    /// As the writer does it: a fold, and the search until it ends.
    fn fold(&mut self) {
        let now_unix_ns = START_UNIX_NS + self.seconds * SECOND_NS;
        let now = self.now();
        let (joiner, pending) = (&mut self.joiner, &mut self.pending);
        fold(joiner, &self.store, pending, now, now_unix_ns);
        search(joiner, &self.store, pending, now);
        self.is_conserved();
    }

    fn write(&mut self) {
        self.store.fold(&self.pending).unwrap();
        self.pending = FoldBatch::default();
    }

    fn is_conserved(&mut self) {
        let counts = self.joiner.take_counts();
        self.joined += counts.joined;
        for (tenant, failed) in &counts.failed {
            *self.unjoined_of.entry(tenant.to_string()).or_default() += failed.unjoined;
            self.sums.unjoined += failed.unjoined;
            self.sums.given_up += failed.given_up;
            self.sums.unnamed += failed.unnamed;
        }
        let Failed {
            unjoined,
            given_up,
            unnamed,
            ..
        } = self.sums;
        assert_eq!(
            self.joined + unjoined + given_up + unnamed + self.joiner.waiting(),
            self.came,
            "{:?}",
            self.sums
        );
    }

    /// As after a stop: what waits is what the store holds.
    fn restart(&mut self) {
        self.fold();
        self.fold();
        self.joiner = Joiner::new(RULES_WINDOW_NS, WITHIN);
        self.joiner.restore(&self.store, self.now()).unwrap();
        self.is_conserved();
    }
}

fn in_trace(n: u64, mut span: SpanSpec) -> SpanSpec {
    span.trace = u128::from(n) + 1;
    span
}

/// Requests at stock, whose callers have not come.
fn callees(traces: std::ops::Range<u64>) -> Vec<SpanSpec> {
    traces
        .map(|n| {
            let span = SpanSpec::server(3)
                .child_of(2)
                .with("http.request.method", "GET")
                .with("http.route", "/stock/:sku");
            in_trace(n, span)
        })
        .collect()
}

/// The request at shop that called it, and the call.
fn callers(traces: impl Iterator<Item = u64>) -> Vec<SpanSpec> {
    traces
        .flat_map(|n| {
            let request = SpanSpec::server(1)
                .with("http.request.method", "POST")
                .with("http.route", "/orders");
            let call = SpanSpec::client(2)
                .child_of(1)
                .with("http.request.method", "GET")
                .with("server.address", "stock.local")
                .with("url.template", "/stock/{sku}");
            [in_trace(n, request), in_trace(n, call)]
        })
        .collect()
}

/// Requests at stock by their caller's service.
fn by_caller(store: &MemoryStore) -> BTreeMap<String, i64> {
    let mut by_caller = BTreeMap::new();
    for (key, value) in stored(store)["stock"].of_kind(RowKind::Operation) {
        let key = OperationKey::read(key).unwrap();
        *by_caller.entry(key.caller_service.to_string()).or_default() +=
            value.get(column::ENDED).unwrap_or_default();
    }
    by_caller.retain(|_, ended| *ended != 0);
    by_caller
}

#[test]
fn halves_beyond_what_memory_holds_are_joined_late_and_over_a_restart() {
    const TRACES: u64 = 12_000;
    const AT_ONCE: u64 = 500;
    let mut bench = Bench::new();
    for first in (0..TRACES).step_by(500) {
        bench.take("stock", callees(first..first + AT_ONCE));
        if bench.joiner.is_over() {
            bench.fold();
        }
        assert!(
            bench.joiner.parked.len() <= WAITING_MAX + AT_ONCE as usize,
            "memory is not bounded"
        );
    }
    assert_eq!(bench.joiner.waiting(), TRACES);
    assert!(
        bench.store.spilled_runs().unwrap().len() > 5,
        "nothing went to disk"
    );
    bench.restart();
    assert_eq!(bench.joiner.waiting(), TRACES);
    // Of every second one the caller comes, in another order.
    bench.seconds = 20;
    let order: Vec<u64> = (0..TRACES / 2)
        .map(|n| n * 7_919 % (TRACES / 2) * 2)
        .collect();
    for some in order.chunks(AT_ONCE as usize) {
        bench.take("shop", callers(some.iter().copied()));
    }
    bench.fold();
    // So much time passes that memory knows none of them.
    for n in 0..4 {
        bench.seconds += 12;
        let other = in_trace(TRACES + n, SpanSpec::server(9));
        bench.take("other", vec![other]);
        bench.fold();
    }
    assert!(!bench.joiner.has_any(&derive("shop", callers(0..1))));
    for _ in 0..60 {
        bench.seconds += 5;
        bench.fold();
    }
    bench.write();
    let half = i64::try_from(TRACES / 2).unwrap();
    let expected = [(String::new(), half), ("shop".to_owned(), half)];
    assert_eq!(by_caller(&bench.store), BTreeMap::from(expected));
    assert_eq!(bench.joiner.waiting(), TRACES / 2);
    assert_eq!((bench.sums.unjoined, bench.sums.given_up), (0, 0));
    // The others wait as long as they may, on disk too.
    bench.seconds += 700;
    bench.fold();
    assert_eq!(bench.joiner.waiting(), 0);
    assert_eq!(bench.sums.unjoined, TRACES / 2);
    assert_eq!(bench.store.spilled_runs().unwrap(), Vec::<u64>::new());
}

#[test]
fn beyond_what_the_disk_holds_the_oldest_are_given_up_and_counted() {
    let mut bench = Bench::new();
    for first in (0..40_000).step_by(1_000) {
        bench.take("stock", callees(first..first + 1_000));
        bench.fold();
    }
    let runs = bench.store.spilled_runs().unwrap().len();
    assert_eq!(runs, crate::join::spilled::RUNS_MAX);
    assert!(bench.sums.given_up > 1_000, "{:?}", bench.sums);
    assert_eq!(by_caller(&bench.store)[""], 40_000);
    bench.restart();
}

#[test]
fn halves_that_wait_in_vain_are_counted_for_whose_they_are_in_memory_and_on_disk() {
    let mut bench = Bench::new();
    let many = WAITING_MAX as u64;
    for (tenant, from, to) in [("a", 0, many), ("b", 0, 700), ("a", many, many + 500)] {
        for first in (from..to).step_by(100) {
            bench.take_of(tenant, "stock", callees(first..first + 100));
        }
        bench.fold();
    }
    bench.restart();
    assert!(
        !bench.store.spilled_runs().unwrap().is_empty(),
        "nothing is on disk"
    );
    assert!(bench.joiner.parked.len() > 0, "nothing is in memory");
    assert_eq!(bench.unjoined_of, BTreeMap::new());
    bench.seconds += 700;
    bench.fold();
    assert_eq!(bench.joiner.waiting(), 0);
    let in_vain = [("a", many.next_multiple_of(100) + 500), ("b", 700)];
    let in_vain = in_vain.map(|(tenant, halves)| (tenant.to_owned(), halves));
    assert_eq!(bench.unjoined_of, BTreeMap::from(in_vain));
}

#[test]
fn halves_whose_names_find_no_place_are_counted() {
    let mut bench = Bench::new();
    let call = |path: &str| {
        let call = SpanSpec::client(2)
            .child_of(1)
            .with("http.request.method", "GET")
            .with("server.address", "stock.local");
        vec![call.with("url.template", path)]
    };
    let one = derive_of("a", "shop", call("/stock"));
    let Some(Target::Call {
        service,
        transport,
        is_async,
        peer,
        target,
        ..
    }) = one.targets.first()
    else {
        panic!("{:?}", one.targets)
    };
    let others = Derived {
        targets: (1..NAMES_MAX)
            .map(|n| Target::Call {
                service: service.clone(),
                transport: transport.clone(),
                is_async: *is_async,
                peer: peer.clone(),
                target: target.clone(),
                call_id: n.to_string().into(),
            })
            .collect(),
        ..Derived::default()
    };
    let (joiner, pending) = (&mut bench.joiner, &mut bench.pending);
    joiner.take(&others, Duration::from_secs(1), pending, 1_000);
    bench.take_of("a", "shop", call("/stock"));
    bench.fold();
    assert_eq!((bench.joiner.waiting(), bench.sums.unnamed), (1, 0));
    bench.take_of("a", "shop", call("/price"));
    bench.fold();
    assert_eq!((bench.joiner.waiting(), bench.sums.unnamed), (1, 1));
    // Its row is there all the same.
    bench.write();
    let calls = stored(&bench.store)["shop"].of_kind(RowKind::Edge).count();
    assert_eq!(calls, 2);
}
