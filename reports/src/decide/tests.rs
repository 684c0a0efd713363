//! Made-up systems with a known right answer.

use weighbridge_wire::{FoldedRange, OwnerKind};

use crate::document::{CopyFinding, Recommendation, RecommendationKind as Kind, Verdict};
use crate::testing::System;
use crate::{Document, Options};

fn build(system: &System) -> Document {
    build_range(&system.range())
}

fn build_range(range: &FoldedRange) -> Document {
    Document::build(range, &Options::default())
}

fn find<'a>(document: &'a Document, kind: Kind, subjects: &[&str]) -> Option<&'a Recommendation> {
    document.recommendations.iter().find(|r| {
        r.kind == kind
            && subjects.iter().all(|name| {
                r.subjects
                    .iter()
                    .any(|s| s.service == *name || s.name == *name)
            })
    })
}

fn verdict(document: &Document, kind: Kind, subjects: &[&str]) -> Option<Verdict> {
    find(document, kind, subjects).map(|r| r.verdict)
}

/// No merge is advised.
fn no_merge(document: &Document) {
    for r in &document.recommendations {
        assert!(
            r.kind != Kind::Merge || !matches!(r.verdict, Verdict::Do | Verdict::Try),
            "{}: {}",
            r.title,
            r.verdict_reason
        );
    }
}

/// Twelve calls for each request, messages dearer than the work.
fn n_plus_one() -> System {
    let mut s = System::new(60);
    s.root(
        "front",
        "POST /a",
        20,
        [400_000, 600_000, 600_000, 50_000, 50_000, 300_000],
    );
    s.http(
        ("front", "POST /a"),
        ("back", "POST /b"),
        20,
        12,
        240_000,
        60_000,
    );
    s
}

/// The same number of calls, but each asks for much more work than its messages cost.
fn chatty_with_heavy_work() -> System {
    let mut s = System::new(60);
    s.root(
        "front",
        "POST /a",
        10,
        [400_000, 600_000, 600_000, 50_000, 50_000, 300_000],
    );
    s.http(
        ("front", "POST /a"),
        ("back", "POST /b"),
        10,
        12,
        160_000,
        6_000_000,
    );
    s
}

/// The whole of what the demo plants.
fn erp() -> System {
    let mut s = n_plus_one_named("store", "POST /orders", "warehouse", "POST /reservations");
    s.root(
        "store",
        "GET /search",
        100,
        [2_500_000, 100_000, 10_000, 20_000, 20_000, 1_500_000],
    );
    s.uses("store", "GET /search", "product", "read", 100);
    s.size("store", "product", 5_000, 2 << 20);
    s.root(
        "store",
        "PUT /products/{id}",
        15,
        [100_000, 20_000, 20_000, 20_000, 20_000, 100_000],
    );
    s.uses("store", "PUT /products/{id}", "product", "write", 15);
    s.uses("store", "POST /orders", "product", "read", 40);
    s.uses("store", "POST /orders", "orders", "write", 20);
    for service in ["warehouse", "accounting"] {
        let from = ("store", "PUT /products/{id}");
        let to = (service, "CONSUME product.changed");
        let call = s.message(from, to, 15, "product.changed", 80_000, 60_000);
        call.call_id = "00000000000000b2";
        call.publishes = service == "warehouse";
        s.uses(service, "CONSUME product.changed", "product", "write", 15);
        s.size(service, "product", 5_000, 2 << 20);
    }
    s.uses("warehouse", "POST /reservations", "product", "read", 240);
    s.message(
        ("store", "POST /orders"),
        ("accounting", "CONSUME orders.created"),
        20,
        "orders.created",
        80_000,
        120_000,
    );
    s.uses(
        "accounting",
        "CONSUME orders.created",
        "ledger",
        "write",
        40,
    );
    let closing = s.root(
        "accounting",
        "POST /closing/{month}",
        10,
        [18_000_000, 0, 0, 0, 0, 6_000_000],
    );
    closing.bursty = true;
    s.uses("accounting", "POST /closing/{month}", "ledger", "read", 10);
    s.uses(
        "accounting",
        "POST /closing/{month}",
        "closing",
        "write",
        10,
    );
    s.root(
        "accounting",
        "GET /balance",
        60,
        [150_000, 20_000, 20_000, 20_000, 20_000, 100_000],
    );
    s.uses("accounting", "GET /balance", "ledger", "read", 60);
    let export = s.root(
        "accounting",
        "GET /export/{month}",
        10,
        [900_000, 300_000, 0, 20_000, 20_000, 400_000],
    );
    export.peak_bytes = 60 << 20;
    s.uses("accounting", "GET /export/{month}", "ledger", "read", 10);
    s.owner("broker", OwnerKind::Driver, "mqtt broker", 4_000_000);
    s.owner("store", OwnerKind::Background, "price index", 8_000_000);
    s.process("accounting").rss_peak = 120 << 20;
    s
}

fn n_plus_one_named(
    front: &'static str,
    a: &'static str,
    back: &'static str,
    b: &'static str,
) -> System {
    let mut s = System::new(60);
    s.root(
        front,
        a,
        20,
        [400_000, 600_000, 600_000, 50_000, 50_000, 300_000],
    );
    s.http((front, a), (back, b), 20, 12, 240_000, 60_000);
    s.uses(back, b, "stock", "write", 240);
    s
}

#[test]
fn messages_dearer_than_work_are_merged_or_batched() {
    let d = build(&n_plus_one());
    assert_eq!(
        verdict(&d, Kind::Merge, &["front", "back"]),
        Some(Verdict::Do)
    );
    assert_eq!(
        verdict(&d, Kind::Batch, &["front", "back"]),
        Some(Verdict::Do)
    );
    let merge = find(&d, Kind::Merge, &["front", "back"]).unwrap();
    // 20 requests · 12 calls · (240 − 1) µs in each second.
    let gain = merge.gain.value.unwrap();
    assert!((gain / (20.0 * 12.0 * 239e-6) - 1.0).abs() < 0.05, "{gain}");
    let cores = &merge.prediction[0];
    assert!((cores.before.unwrap() - cores.after.unwrap() - gain).abs() < 1e-9);
    assert!(cores.low.unwrap() <= cores.after.unwrap());
    assert!(cores.high.unwrap() >= cores.after.unwrap());
    assert!(merge.verdict_reason.contains("at the load seen"));
    let batch = find(&d, Kind::Batch, &["front", "back"]).unwrap();
    let want = 20.0 * 12.0 * 240e-6 * (11.0 / 12.0);
    assert!((batch.gain.value.unwrap() / want - 1.0).abs() < 0.05);
}

#[test]
fn a_chatty_pair_with_heavy_work_is_left_alone() {
    let d = build(&chatty_with_heavy_work());
    no_merge(&d);
    assert_eq!(
        verdict(&d, Kind::Batch, &["front", "back"]),
        Some(Verdict::Leave)
    );
    assert_eq!(
        verdict(&d, Kind::Keep, &["front", "back"]),
        Some(Verdict::Leave)
    );
}

#[test]
fn a_constraint_forbids_a_merge() {
    let mut options = Options::default();
    options.constraints.cannot_link = vec![("back".to_owned(), "front".to_owned())];
    let d = Document::build(&n_plus_one().range(), &options);
    let merge = find(&d, Kind::Merge, &["front", "back"]).unwrap();
    assert_eq!(merge.verdict, Verdict::Leave);
    assert!(merge.verdict_reason.contains("constraint"));
}

#[test]
fn memory_is_not_copied_into_the_replicas_of_a_hot_service() {
    let mut s = n_plus_one();
    // Hot: at five times the load it needs several processes.
    s.root("front", "GET /hot", 500, [2_000_000, 0, 0, 0, 0, 0]);
    let rare = s.root("back", "GET /rare", 10, [500_000, 0, 0, 0, 0, 0]);
    rare.peak_bytes = 900 << 20;
    s.process("back").rss_peak = 1_000 << 20;
    let d = build(&s);
    no_merge(&d);
    let keep = find(&d, Kind::Keep, &["front", "back"]).unwrap();
    assert_eq!(keep.verdict, Verdict::Leave);
    assert!(
        keep.verdict_reason.contains("memory of both"),
        "{}",
        keep.verdict_reason
    );
    let memory = keep
        .prediction
        .iter()
        .find(|p| p.figure.contains("memory"))
        .unwrap();
    assert!(memory.after.unwrap() > 2.0 * memory.before.unwrap());
}

#[test]
fn a_bursty_heavy_operation_is_split_from_short_ones() {
    let mut s = System::new(60);
    let heavy = s.root("ledger", "POST /close", 12, [30_000_000, 0, 0, 0, 0, 0]);
    heavy.bursty = true;
    s.root(
        "ledger",
        "GET /balance",
        200,
        [300_000, 20_000, 0, 20_000, 20_000, 100_000],
    );
    let d = build(&s);
    let split = find(&d, Kind::Split, &["POST /close"]).unwrap();
    assert!(
        matches!(split.verdict, Verdict::Do | Verdict::Try),
        "{}",
        split.verdict_reason
    );
    let wait = &split.prediction[0];
    assert!(
        wait.before.unwrap() > 10.0 * wait.after.unwrap(),
        "{wait:?}"
    );
    assert_eq!(verdict(&d, Kind::Split, &["GET /balance"]), None);
}

/// An operation that is asked for in two windows of 38 is in no window of many resampled ranges. Its calls have no price
/// there, which says nothing of how long others wait.
#[test]
fn what_is_rare_beside_it_does_not_make_the_wait_unknown() {
    let mut s = System::new(38);
    let heavy = s.root("ledger", "POST /close", 12, [30_000_000, 0, 0, 0, 0, 0]);
    heavy.bursty = true;
    s.root("ledger", "GET /balance", 200, [300_000, 0, 0, 0, 0, 0]);
    let export = ("ledger", "GET /export");
    s.root("ledger", "GET /export", 1, [9_000_000, 0, 0, 0, 0, 0]);
    let call = s.http(export, ("store", "GET /all"), 1, 1, 100_000, 1_000_000);
    call.course = Some(|window| i64::from(window == 9 || window == 21));
    let course = |window| (i64::from(window == 9 || window == 21), 9_000_000);
    for (service, operation) in [export, ("store", "GET /all")] {
        s.operation(service, operation).course = Some(course);
    }
    let range = s.range();
    let weighed = crate::topology::Weighed::read(&range, &Options::default());
    for draw in 0..weighed.draws() {
        let inputs = format!("{:?}", weighed.draw(draw));
        assert!(!inputs.contains("NaN"), "draw {draw}: {inputs}");
    }
    let d = build_range(&range);
    let split = find(&d, Kind::Split, &["POST /close"]).unwrap();
    let wait = &split.prediction[0];
    let (Some(after), Some(low)) = (wait.after, wait.low) else {
        panic!("{wait:?}");
    };
    assert!(low > 0.1 * after, "{wait:?}");
}

#[test]
fn equal_operations_are_not_split() {
    let mut s = System::new(60);
    s.root("one", "GET /a", 100, [1_000_000; 6]);
    s.root("one", "GET /b", 80, [1_200_000; 6]);
    let d = build(&s);
    assert!(d.recommendations.iter().all(|r| r.kind != Kind::Split));
}

/// The harm is seen when short requests really wait longer in windows with heavy work.
#[test]
fn the_windows_confirm_the_queue_model() {
    let mut s = System::new(60);
    let heavy = s.root("ledger", "POST /close", 12, [30_000_000, 0, 0, 0, 0, 0]);
    heavy.bursty = true;
    s.root("ledger", "GET /balance", 200, [300_000, 0, 0, 0, 0, 0]);
    let mut range = s.range();
    // Short requests take five times as long in the windows with closings: every third.
    for (w, folded) in range.windows.iter_mut().enumerate() {
        if w % 3 == 0 {
            let keys: Vec<_> = folded
                .rows
                .of_kind(weighbridge_wire::RowKind::Operation)
                .filter(|(key, _)| key.parts.iter().any(|part| &**part == "GET /balance"))
                .map(|(key, value)| {
                    (
                        key.clone(),
                        value.get(weighbridge_wire::column::WALL_NS).unwrap(),
                    )
                })
                .collect();
            for (key, wall) in keys {
                folded
                    .rows
                    .row_mut(key)
                    .add(weighbridge_wire::column::WALL_NS, wall * 4);
            }
        }
    }
    let d = build_range(&range);
    let split = find(&d, Kind::Split, &["POST /close"]).unwrap();
    assert_eq!(split.verdict, Verdict::Do, "{}", split.verdict_reason);
    assert!(split.verdict_reason.contains("windows show it"));
}

#[test]
fn a_hot_reader_is_replicated_and_its_copy_priced() {
    let d = build(&erp());
    let r = find(&d, Kind::Replicate, &["GET /search", "product"]).unwrap();
    assert!(
        matches!(r.verdict, Verdict::Do | Verdict::Try),
        "{}",
        r.verdict_reason
    );
    // 15 changes a second, each carried (80 µs, driver and broker) and applied (60 µs).
    let price = -r.gain.value.unwrap();
    assert!(price > 15.0 * 140e-6 && price < 15.0 * 400e-6, "{price}");
    let stored = r
        .prediction
        .iter()
        .find(|p| p.figure.contains("stored"))
        .unwrap();
    assert_eq!(stored.after, Some(f64::from(2 << 20)));
}

#[test]
fn a_reader_of_what_changes_all_the_time_is_not_replicated() {
    let mut s = erp();
    s.root("store", "POST /tick", 2_000, [10_000, 0, 0, 0, 0, 30_000]);
    s.uses("store", "POST /tick", "product", "write", 2_000);
    let d = build(&s);
    let r = find(&d, Kind::Replicate, &["GET /search"]).unwrap();
    assert_eq!(r.verdict, Verdict::Leave, "{}", r.verdict_reason);
}

#[test]
fn a_writer_is_no_candidate_for_replication() {
    let mut s = System::new(60);
    s.root("one", "GET /a", 100, [1_000_000; 6]);
    s.uses("one", "GET /a", "thing", "read", 100);
    s.uses("one", "GET /a", "visits", "write", 100);
    assert!(
        build(&s)
            .recommendations
            .iter()
            .all(|r| r.kind != Kind::Replicate)
    );
}

#[test]
fn the_planted_truths_are_found() {
    let d = build(&erp());
    let is = |kind, subjects: &[&str]| verdict(&d, kind, subjects);
    assert_eq!(is(Kind::Merge, &["store", "warehouse"]), Some(Verdict::Do));
    assert_eq!(is(Kind::Batch, &["store", "warehouse"]), Some(Verdict::Do));
    assert!(matches!(
        is(Kind::Split, &["POST /closing/{month}"]),
        Some(Verdict::Do | Verdict::Try)
    ));
    assert_eq!(
        is(Kind::Keep, &["store", "accounting"]),
        Some(Verdict::Leave)
    );
    for r in d.recommendations.iter().filter(|r| r.kind == Kind::Merge) {
        assert!(
            r.subjects.iter().all(|s| s.service != "accounting"),
            "{}",
            r.title
        );
    }
    let product = d.entities.iter().find(|e| e.entity == "product").unwrap();
    assert_eq!(product.finding, CopyFinding::Copies);
    assert_eq!(product.owner.as_deref(), Some("store"));
    assert_eq!(product.places.len(), 3);
    let cost = product.cost.as_ref().unwrap();
    assert_eq!(cost.copies, 2);
    assert_eq!(cost.storage.value, Some(f64::from(2 * (2 << 20))));
    assert!((cost.messages.value.unwrap() - 30.0).abs() < 2.0);
    assert!((cost.apply_cpu.value.unwrap() / (30.0 * 60e-6) - 1.0).abs() < 0.1);
    assert!(find(&d, Kind::PlaceEntity, &["product"]).is_some());
    assert!(d.conservation.cpu_exact && d.conservation.edges_exact);
    let store = d.services.iter().find(|s| s.service == "store").unwrap();
    assert!(store.owners.iter().any(|o| o.owner_kind == "background"));
    assert!(
        d.edges.iter().any(|e| e.broker.as_deref() == Some("broker")
            && e.broker_cpu.as_ref().unwrap().value.is_some())
    );
}

/// Verdicts come from figures: other names, same verdicts.
#[test]
fn names_decide_nothing() {
    let named = build(&n_plus_one_named(
        "store",
        "POST /orders",
        "warehouse",
        "POST /r",
    ));
    let other = build(&n_plus_one_named("zz", "X", "aa", "Y"));
    let verdicts = |d: &Document| {
        let mut all: Vec<_> = d
            .recommendations
            .iter()
            .map(|r| (r.kind, r.verdict, r.gain.value))
            .collect();
        all.sort_by_key(|r| (r.0, r.1));
        all.into_iter()
            .map(|(kind, verdict, _)| (kind, verdict))
            .collect::<Vec<_>>()
    };
    assert_eq!(verdicts(&named), verdicts(&other));
}

#[test]
fn same_name_without_messages_is_not_called_a_copy() {
    let mut s = System::new(60);
    s.root("one", "PUT /a", 30, [100_000; 6]);
    s.uses("one", "PUT /a", "product", "write", 30);
    s.root("two", "PUT /b", 30, [100_000; 6]);
    s.uses("two", "PUT /b", "product", "write", 30);
    let d = build(&s);
    assert_eq!(d.entities[0].finding, CopyFinding::SameNameOnly);
    assert!(d.entities[0].cost.is_none());
    assert!(
        d.recommendations
            .iter()
            .all(|r| r.kind != Kind::PlaceEntity)
    );
}

#[test]
fn rarely_read_copies_that_change_often_are_doubted() {
    let mut s = n_plus_one();
    s.root(
        "front",
        "PUT /p",
        300,
        [50_000, 10_000, 10_000, 0, 0, 50_000],
    );
    s.uses("front", "PUT /p", "price", "write", 300);
    s.message(
        ("front", "PUT /p"),
        ("back", "CONSUME price"),
        300,
        "price",
        80_000,
        60_000,
    );
    s.uses("back", "CONSUME price", "price", "write", 300);
    s.uses("back", "POST /b", "price", "read", 2);
    s.size("back", "price", 100, 1 << 20);
    s.size("front", "price", 100, 1 << 20);
    let d = build(&s);
    let r = find(&d, Kind::PlaceEntity, &["price"]).unwrap();
    assert_eq!(r.verdict, Verdict::Try, "{}", r.verdict_reason);
    // And the reverse: read all the time, changed now and then.
    let mut s = n_plus_one();
    s.root(
        "front",
        "PUT /p",
        15,
        [50_000, 10_000, 10_000, 0, 0, 50_000],
    );
    s.uses("front", "PUT /p", "price", "write", 15);
    s.message(
        ("front", "PUT /p"),
        ("back", "CONSUME price"),
        15,
        "price",
        80_000,
        60_000,
    );
    s.uses("back", "CONSUME price", "price", "write", 15);
    s.uses("back", "POST /b", "price", "read", 240);
    let d = build(&s);
    let r = find(&d, Kind::PlaceEntity, &["price"]).unwrap();
    assert_eq!(r.verdict, Verdict::Leave, "{}", r.verdict_reason);
}

#[test]
fn thin_data_cannot_say() {
    let mut s = erp();
    s.windows = 12;
    let d = build(&s);
    assert!(!d.recommendations.is_empty());
    for r in &d.recommendations {
        assert_eq!(r.verdict, Verdict::CannotSay, "{}", r.title);
        assert!(
            r.verdict_reason.contains("12 windows"),
            "{}",
            r.verdict_reason
        );
    }
    // Windows enough, requests too few: 5 in each of 60.
    let mut s = System::new(60);
    s.root(
        "front",
        "POST /a",
        5,
        [400_000, 600_000, 600_000, 50_000, 50_000, 300_000],
    );
    s.http(
        ("front", "POST /a"),
        ("back", "POST /b"),
        5,
        12,
        240_000,
        60_000,
    );
    let d = build(&s);
    let merge = find(&d, Kind::Merge, &["front", "back"]).unwrap();
    assert_eq!(merge.verdict, Verdict::CannotSay);
    assert!(
        merge.verdict_reason.contains("400 are needed"),
        "{}",
        merge.verdict_reason
    );
}

#[test]
fn a_caller_without_an_answering_agent_is_not_judged() {
    let mut s = System::new(60);
    s.root(
        "front",
        "POST /a",
        20,
        [400_000, 600_000, 600_000, 50_000, 50_000, 300_000],
    );
    let call = s.http(
        ("front", "POST /a"),
        ("back", "POST /b"),
        20,
        12,
        240_000,
        60_000,
    );
    call.callee_has_agent = false;
    call.peer = "payments.example";
    let d = build(&s);
    no_merge(&d);
    let edge = d
        .edges
        .iter()
        .find(|e| e.to.service == "payments.example")
        .unwrap();
    assert!(!edge.to.instrumented && edge.from.instrumented);
    assert_eq!(edge.work.value, None, "unknown is not zero");
    assert!(!edge.notes.is_empty());
}

#[test]
fn prices_put_money_beside_cores() {
    let options = Options {
        prices: Some(crate::Prices {
            core_hour: 0.04,
            gib_hour: 0.005,
            currency: "EUR".to_owned(),
        }),
        ..Options::default()
    };
    let d = Document::build(&n_plus_one().range(), &options);
    let merge = find(&d, Kind::Merge, &["front", "back"]).unwrap();
    let money = merge
        .prediction
        .iter()
        .find(|p| p.figure.contains("EUR"))
        .unwrap();
    assert!(money.before.unwrap() > 0.0 && money.after.unwrap() > 0.0);
}

#[test]
fn every_recommendation_is_a_whole_prediction() {
    let d = build(&erp());
    assert!(d.recommendations.len() >= 6);
    for r in &d.recommendations {
        assert!(!r.title.is_empty() && !r.verdict_reason.is_empty() && !r.first_step.is_empty());
        assert!(!r.evidence.is_empty(), "{}", r.id);
        assert!(!r.downsides.is_empty() && !r.falsify.is_empty() && !r.thresholds.is_empty());
        assert!(!r.prediction.is_empty(), "{}", r.id);
        for p in &r.prediction {
            assert_eq!(
                p.low.is_none(),
                p.interval_absent_reason.is_some(),
                "{}: {}",
                r.id,
                p.figure
            );
        }
    }
    // Evidence points at rows that are there.
    let ids = crate::build::tests::row_ids(&d);
    for r in &d.recommendations {
        for row in r
            .evidence
            .iter()
            .flat_map(|e| &e.rows)
            .chain(r.subjects.iter().map(|s| &s.row))
        {
            assert!(ids.contains(row), "{}: no row {row}", r.id);
        }
    }
}
