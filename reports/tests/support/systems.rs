//! Rollups of systems that a report can meet: none, one and a thousand services, holes, estimates, extremes, and
//! names that were given to break reports.

use std::collections::BTreeMap;
use std::sync::Arc;

use weighbridge_wire::{
    ALL_CLASSES, CallShapeKey, CallStepKey, EdgeSizeKey, FoldedRange, FoldedWindow, LossKey, OTHER,
    OwnerKind, ProcessKey, Quality, RegionKey, RowKey, RowKind, RowSet, RowValue, column, mode,
};

use super::testing::{System, without_operation_cpu};

/// Windows of a system: enough for verdicts.
const WINDOWS: u64 = 40;

/// A name that lives as long as the test: the systems take names that last.
fn kept(name: String) -> &'static str {
    Box::leak(name.into_boxed_str())
}

/// A shop: calls, messages through a broker, data with copies, owners, regions, call shapes and losses, so that every
/// place of the page where a name can stand has one.
pub(crate) fn shop() -> FoldedRange {
    shop_that_asks(6, 880_000)
}

/// The shop after advice: it asks for all reservations of an order at once, and its search became dearer.
pub(crate) fn shop_after_advice() -> FoldedRange {
    shop_that_asks(1, 1_700_000)
}

/// The shop, with so many calls to the warehouse for each order, and so much handler CPU for each search, ns.
fn shop_that_asks(reservations: i64, search_ns: i64) -> FoldedRange {
    let mut system = System::new(WINDOWS);
    let orders = ("store", "POST /orders");
    let cpu = [310_000, 96_000, 88_000, 210_000, 170_000, 190_000];
    system.root(orders.0, orders.1, 22, cpu);
    let reserve = ("warehouse", "POST /reservations");
    system.http(orders, reserve, 22, reservations, 184_000, 110_000);
    let booked = ("accounting", "CONSUME order.placed");
    system.message(orders, booked, 22, "order.placed", 96_000, 163_000);
    let search = [search_ns, 120_000, 4_000, 41_000, 30_000, 310_000];
    system.root("store", "GET /search", 31, search);
    let closing = [41_000_000, 30_000, 4_000, 40_000, 31_000, 9_400_000];
    let bursts = system.root("accounting", "POST /closing/{month}", 1, closing);
    bursts.bursty = true;
    bursts.peak_bytes = 48 << 20;
    let change = ("warehouse", "PUT /products/{id}");
    system.root(
        change.0,
        change.1,
        12,
        [48_000, 16_000, 15_000, 30_000, 25_000, 62_000],
    );
    let copied = ("store", "CONSUME product.changed");
    system.message(change, copied, 12, "product.changed", 70_000, 55_000);
    for (service, operation, entity, how, each) in [
        ("store", orders.1, "order", "write", 22),
        ("store", orders.1, "product", "read", 66),
        ("store", "GET /search", "product", "read", 310),
        ("store", copied.1, "product", "write", 12),
        ("warehouse", reserve.1, "stock", "write", 132),
        ("warehouse", change.1, "product", "write", 12),
        ("accounting", booked.1, "ledger", "write", 44),
        (
            "accounting",
            "POST /closing/{month}",
            "ledger",
            "read",
            9_000,
        ),
    ] {
        system.uses(service, operation, entity, how, each).keys =
            (entity != "ledger").then_some([96, 3, 1, 4]);
    }
    system.size("store", "product", 9_000, 3 << 20);
    system.size("warehouse", "product", 9_000, 4 << 20);
    system.size("accounting", "ledger", 120_000, 30 << 20);
    for service in ["store", "warehouse", "accounting"] {
        system.owner(service, OwnerKind::Connection, "http server", 900_000);
        system.owner(service, OwnerKind::Background, "stock check", 700_000);
        system.owner(service, OwnerKind::Runtime, "runtime or unwrapped", 800_000);
    }
    let mut range = system.range();
    for folded in &mut range.windows {
        if folded.service.service == "store" {
            folded.service.namespace = "shop".into();
            folded.service.environment = "production".into();
            folded.service.version = "1.4.2".into();
            details(&mut folded.rows);
        }
    }
    range
}

/// Rows of kinds that [`System`] does not make.
fn details(rows: &mut RowSet) {
    let q = Quality::Measured;
    let operation: Arc<str> = "POST /orders".into();
    let region = |path: &str| RegionKey {
        operation: operation.clone(),
        class: "".into(),
        region: path.into(),
    };
    for (path, ns) in [
        ("check", 120_000),
        ("check;prices", 60_000),
        ("save", 90_000),
    ] {
        let value = RowValue::new()
            .with(column::CPU_INCLUSIVE_NS, ns * 22)
            .with(column::CPU_EXCLUSIVE_NS, ns * 20)
            .with(column::ALLOC_BYTES, 22 * 900)
            .with(column::ALLOC_INCLUSIVE_BYTES, 22 * 1_100)
            .with(column::COUNT, 22);
        rows.add(region(path).row_key(q), &value);
    }
    let signature: Arc<str> = "00000000000000c1*".into();
    let shape = CallShapeKey {
        operation: operation.clone(),
        class: "".into(),
        signature: signature.clone(),
    };
    let value = RowValue::new()
        .with(column::WALL_NS, 22 * 4_000_000)
        .with(column::OWN_NS, 22 * 1_500_000)
        .with(column::CRITICAL_NS, 22 * 2_500_000)
        .with(column::COUNT, 22);
    rows.add(shape.row_key(q), &value);
    let step = CallStepKey {
        operation: operation.clone(),
        class: "".into(),
        signature,
        step: "0".into(),
        call_id: "00000000000000c1".into(),
    };
    let value = RowValue::new()
        .with(column::WALL_NS, 132 * 400_000)
        .with(column::CRITICAL_NS, 132 * 400_000)
        .with(column::OFFSET_NS, 132 * 1_000_000)
        .with(column::COUNT, 132);
    rows.add(step.row_key(q), &value);
    let size = EdgeSizeKey {
        side: "caller".into(),
        transport: "http".into(),
        operation,
        peer_service: "".into(),
        peer_operation: "".into(),
        call_id: "00000000000000c1".into(),
        direction: "request".into(),
        size_class: "3".into(),
    };
    let value = RowValue::new()
        .with(column::CPU_ENCODE_NS, 132 * 9_000)
        .with(column::MESSAGES, 132)
        .with(column::BODY_BYTES, 132 * 120);
    rows.add(size.row_key(q), &value);
    let loss = LossKey {
        place: "agent.operations".into(),
        reason: "the table is full".into(),
    };
    rows.add(
        loss.row_key(q),
        &RowValue::new()
            .with(column::LOST, 3)
            .with(column::LOST_CPU_NS, 40_000),
    );
}

/// No service at all.
pub(crate) fn none() -> FoldedRange {
    System::new(0).range()
}

/// One service with one operation.
pub(crate) fn one() -> FoldedRange {
    let mut system = System::new(WINDOWS);
    let cpu = [310_000, 96_000, 88_000, 210_000, 170_000, 190_000];
    system.root("store", "GET /orders/{id}", 22, cpu);
    system.range()
}

/// Services in groups of three, by calls and messages, each group calling an earlier one.
pub(crate) fn many(count: usize, windows: u64) -> FoldedRange {
    let mut system = System::new(windows);
    let name = |n: usize| kept(format!("service-{n:03}"));
    for n in (0..count).step_by(3) {
        let (front, back, books) = (name(n), name(n + 1), name(n + 2));
        let rate = 5 + i64::try_from(n % 17).expect("small");
        let items = (front, "POST /items");
        system.root(
            front,
            items.1,
            rate,
            [62_000, 21_000, 18_000, 33_000, 29_000, 48_000],
        );
        if n + 1 < count {
            let stock = (back, "GET /stock/{id}");
            system.http(items, stock, rate, 3, 80_000, 60_000);
            system.root(
                back,
                "GET /items/{id}",
                2 * rate,
                [40_000, 9_000, 2_000, 20_000, 18_000, 30_000],
            );
            system.uses(back, stock.1, "stock", "read", 3 * rate);
        }
        if n + 2 < count {
            let changed = (books, "CONSUME item.changed");
            system.message(items, changed, rate, "item.changed", 60_000, 30_000);
            system.uses(books, changed.1, "item", "write", rate);
        }
        if n >= 3 {
            let earlier = (name(n / 6 * 3), "GET /prices");
            let call = system.http(items, earlier, rate, 1, 70_000, 20_000);
            call.call_id = "00000000000000c2";
        }
        system.uses(front, items.1, "item", "write", rate);
    }
    system.range()
}

/// Services as large ones are: ten operations each, of which four are asked by other services and four have regions,
/// a database, and three processes.
pub(crate) fn rich(count: usize, windows: u64) -> FoldedRange {
    const CPU: [i64; 6] = [62_000, 21_000, 18_000, 33_000, 29_000, 48_000];
    let mut system = System::new(windows);
    let names: Vec<&'static str> = (0..count)
        .map(|n| kept(format!("service-{n:03}")))
        .collect();
    let paths: Vec<&'static str> = (0..10)
        .map(|n| kept(format!("GET /resource-{n}/{{id}}")))
        .collect();
    for (n, name) in names.iter().enumerate() {
        let rate = 5 + i64::try_from(n % 17).expect("small");
        for path in &paths {
            system.root(name, path, rate, CPU);
        }
        for (at, path) in paths[6..].iter().enumerate() {
            // Only backwards: no request comes round to where it began.
            let callee = names[n * (at + 1) / 5];
            if callee == *name {
                continue;
            }
            let from = (*name, paths[at]);
            let call = system.http(
                from,
                (callee, *path),
                rate,
                1 + i64::try_from(at).expect("small"),
                70_000,
                20_000,
            );
            call.call_id = kept(format!("{at:015x}{}", n % 10));
        }
        system.uses(name, paths[0], "item", "write", rate);
        system.uses(name, paths[1], "stock", "read", 3 * rate);
        system.size(name, "item", 9_000, 3 << 20);
    }
    let mut range = system.range();
    for folded in &mut range.windows {
        for path in &paths[..4] {
            for (region, ns) in [("check", 9_000), ("check;prices", 4_000), ("save", 7_000)] {
                let key = RegionKey {
                    operation: (*path).into(),
                    class: "".into(),
                    region: region.into(),
                };
                let value = RowValue::new()
                    .with(column::CPU_INCLUSIVE_NS, ns * 5)
                    .with(column::CPU_EXCLUSIVE_NS, ns * 4)
                    .with(column::ALLOC_BYTES, 4_500)
                    .with(column::COUNT, 5);
                folded.rows.add(key.row_key(Quality::Measured), &value);
            }
        }
        let processes: Vec<(ProcessKey, RowValue)> = folded
            .rows
            .of_kind(RowKind::Process)
            .filter_map(|(key, value)| Some((ProcessKey::read(key)?, value.clone())))
            .collect();
        for (key, value) in processes {
            for replica in [2, 3] {
                let key = ProcessKey {
                    instance: kept(format!("{}{replica}", key.instance.trim_end_matches('1')))
                        .into(),
                    epoch: format!("{replica:032x}").into(),
                    ..key.clone()
                };
                folded.rows.add(key.row_key(Quality::Measured), &value);
            }
        }
    }
    range
}

/// Several services, all work of which begins at one operation.
pub(crate) fn one_origin() -> FoldedRange {
    let mut system = System::new(WINDOWS);
    let origin = ("front", "POST /orders");
    let cpu = [310_000, 96_000, 88_000, 210_000, 170_000, 190_000];
    system.root(origin.0, origin.1, 22, cpu);
    for (n, peer) in ["prices", "stock", "mail"].into_iter().enumerate() {
        let call = system.http(origin, (peer, "POST /do"), 22, 1, 90_000, 70_000);
        call.call_id = kept(format!("00000000000000d{n}"));
    }
    system.range()
}

/// Services that do not talk to each other.
pub(crate) fn no_edges() -> FoldedRange {
    let mut system = System::new(WINDOWS);
    for (n, service) in ["store", "warehouse", "accounting"].into_iter().enumerate() {
        let more = i64::try_from(n).expect("small") * 90_000;
        let cpu = [310_000 + more, 96_000, 88_000, 21_000, 17_000, 190_000];
        system.root(service, "GET /items/{id}", 22, cpu);
        system.root(service, "PUT /items/{id}", 7, cpu);
    }
    system.range()
}

/// A third of the range in which nothing arrived, and another service that came late.
pub(crate) fn with_a_hole() -> FoldedRange {
    let mut range = shop();
    let starts: Vec<u64> = range
        .windows
        .iter()
        .map(|folded| folded.window.start_unix_ns)
        .collect();
    let first = starts.iter().copied().min().unwrap_or(0);
    range.windows.retain(|folded| {
        let at = (folded.window.start_unix_ns - first) / super::testing::SECOND;
        let is_late = folded.service.service == "accounting" && at < 30;
        !(12..26).contains(&at) && !is_late
    });
    range
}

/// The shop with one service of which nothing but its requests is known: spans without a process's metrics.
pub(crate) fn one_unknown() -> FoldedRange {
    let mut range = shop();
    for folded in &mut range.windows {
        if folded.service.service != "accounting" {
            continue;
        }
        let mut rows = RowSet::new();
        for (key, value) in folded.rows.iter() {
            if let Some(RowKind::Operation | RowKind::Edge) = RowKind::from_wire(key.kind) {
                rows.add(key.clone(), &without_cpu(value));
            }
        }
        folded.rows = rows;
    }
    range
}

/// Services without the agent: requests are known from spans, CPU is shared out from what their processes say.
pub(crate) fn only_estimated() -> FoldedRange {
    let mut range = shop();
    let measured = range.clone();
    for service in ["store", "warehouse", "accounting"] {
        range = without_operation_cpu(range, service);
    }
    for (folded, source) in range.windows.iter_mut().zip(&measured.windows) {
        let mut rows = RowSet::new();
        for (key, value) in folded.rows.iter() {
            match RowKind::from_wire(key.kind) {
                Some(RowKind::Operation | RowKind::Distribution | RowKind::Series) => {
                    rows.add(key.clone(), value);
                }
                Some(RowKind::Edge) => rows.add(key.clone(), &without_cpu(value)),
                Some(RowKind::Process) => {
                    let mut key = ProcessKey::read(key).expect("a process");
                    key.clock_mode = "otlp process".into();
                    key.agent_version = "".into();
                    rows.add(key.row_key(Quality::Estimated), value);
                }
                _ => {}
            }
        }
        // What the collector adds: the shares, and the interval within which the truth lies.
        for (key, value) in source.rows.of_kind(RowKind::Operation) {
            let mut share = RowValue::new();
            let mut sum = 0;
            for class in ALL_CLASSES {
                sum += value.class_cpu_ns(class).unwrap_or(0);
            }
            share.add(column::CPU_HANDLER_NS, sum);
            share.add(column::CPU_LOW_NS, sum / 2);
            share.add(column::CPU_HIGH_NS, sum * 2);
            let key = RowKey {
                quality: Quality::Estimated,
                ..key.clone()
            };
            rows.add(key, &share);
        }
        folded.rows = rows;
    }
    range
}

fn without_cpu(value: &RowValue) -> RowValue {
    let mut kept = RowValue::new();
    for (column, figure) in value.columns() {
        if ALL_CLASSES.iter().all(|class| class.column() != column) {
            kept.add(column, figure);
        }
    }
    kept
}

/// Requests that cost a nanosecond and requests that cost years, in one system.
pub(crate) fn extremes() -> FoldedRange {
    let mut system = System::new(WINDOWS);
    let short = ("quick", "GET /tick");
    let op = system.root(short.0, short.1, 3_000, [1, 0, 0, 0, 0, 0]);
    (op.wall_ns, op.peak_bytes) = (1, 1);
    let call = system.http(short, ("quicker", "GET /tock"), 30, 1, 8, 1);
    (call.wait_ns, call.request_bytes, call.response_bytes) = (1, 0, 1);
    let year = 31_557_600 * 1_000_000_000;
    let long = ("slow", "JOB eternity");
    let op = system.root(long.0, long.1, 1, [year, year / 9, 0, 0, 0, year / 3]);
    (op.wall_ns, op.peak_bytes) = (2 * year, 1 << 52);
    let call = system.http(long, ("slower", "POST /wait"), 1, 1, 8_000, year / 2);
    (call.wait_ns, call.request_bytes) = (year, 1 << 50);
    for second in [1_000, 1_000_000, 1_000_000_000, 60_000_000_000] {
        let name = kept(format!("GET /{second}"));
        system.root("between", name, 3, [second, second / 7, 0, 0, 0, 0]);
    }
    system.range()
}

/// Words with a fixed meaning, and identifiers that keys are joined by.
const FIXED: [&str; 15] = [
    "owner_kind",
    "side",
    "mode",
    "transport",
    "direction",
    "size_class",
    "access",
    "scope",
    "clock_mode",
    "agent_version",
    "place",
    "epoch",
    "call_id",
    "signature",
    "step",
];

/// The same figures with every name replaced: that of a service, component, operation, class, peer, target, database,
/// entity, region, owner, instance, host and the rest. The same name becomes the same everywhere.
pub(crate) fn renamed(range: &FoldedRange, mut give: impl FnMut(usize) -> String) -> FoldedRange {
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    let mut name = |old: &str| -> String {
        if old.is_empty() || old == OTHER {
            return old.to_owned();
        }
        let n = known.len();
        known
            .entry(old.to_owned())
            .or_insert_with(|| give(n))
            .clone()
    };
    let windows = range
        .windows
        .iter()
        .map(|folded| {
            let mut service = folded.service.clone();
            for part in [
                &mut service.tenant,
                &mut service.namespace,
                &mut service.environment,
                &mut service.service,
                &mut service.version,
            ] {
                *part = name(part);
            }
            let mut rows = RowSet::new();
            for (key, value) in folded.rows.iter() {
                let names = RowKind::from_wire(key.kind).map_or(&[][..], RowKind::part_names);
                let parts = names.iter().zip(&key.parts).map(|(what, part)| {
                    if FIXED.contains(what) {
                        part.clone()
                    } else {
                        Arc::from(name(part))
                    }
                });
                let key = RowKey {
                    parts: parts.collect(),
                    ..key.clone()
                };
                rows.add(key, value);
            }
            FoldedWindow {
                service,
                window: folded.window,
                rows,
            }
        })
        .collect();
    FoldedRange {
        window: range.window,
        windows,
    }
}

/// The shop under names of one byte.
pub(crate) fn short_names() -> FoldedRange {
    renamed(&shop(), |n| {
        char::from(b'!' + u8::try_from(n).expect("few names")).to_string()
    })
}

/// The shop under names of 4 KB.
pub(crate) fn long_names() -> FoldedRange {
    renamed(&shop(), |n| {
        format!("{n}{}", "name".repeat(1_100))[..4_096].to_owned()
    })
}

/// Names that have broken reports. What runs of them in a browser sets a variable that the browser test looks for.
pub(crate) const HOSTILE: [&str; 16] = [
    "<script>globalThis.ran=1</script>",
    "</script><script>globalThis.ran=1</script>",
    "\"><img src=x onerror=globalThis.ran=1>",
    "'><svg onload='globalThis.ran=1'>",
    "]]><script>globalThis.ran=1</script><![CDATA[",
    "\u{202e}\u{2066}drowssap",
    "a\u{0}b\u{7}\u{1b}[31m\u{9f}",
    "`${globalThis.ran=1}`",
    "javascript:globalThis.ran=1",
    "</style><style>*{display:none}</style>",
    "<!--",
    "&lt;script&gt;&#60;img&#62;",
    "{{globalThis.ran=1}}{%if%}",
    " onmouseover=globalThis.ran=1 x=",
    "</title></svg></table></details></section>",
    "__proto__",
];

/// The shop under hostile names; `turn` says which name comes first, so that over all turns each stands in each place.
pub(crate) fn hostile(turn: usize) -> FoldedRange {
    renamed(&shop(), |n| {
        let name = HOSTILE[(n + turn) % HOSTILE.len()];
        match n / HOSTILE.len() {
            0 => name.to_owned(),
            again => format!("{name}{again}"),
        }
    })
}

/// An edge of each mode, so that nothing of [`shop`] was lost.
pub(crate) fn has_both_modes(range: &FoldedRange) -> bool {
    [mode::SYNC, mode::ASYNC].iter().all(|wanted| {
        range.windows.iter().any(|folded| {
            folded
                .rows
                .of_kind(RowKind::Edge)
                .any(|(key, _)| key.parts.iter().any(|part| &**part == *wanted))
        })
    })
}
