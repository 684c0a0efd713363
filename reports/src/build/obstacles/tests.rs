use weighbridge_wire::OwnerKind;

use crate::document::{Obstacle, ObstacleKind};
use crate::testing::System;
use crate::{Document, Options};

fn of(system: &System, service: &str) -> Vec<Obstacle> {
    let d = Document::build(&system.range(), &Options::default());
    let found = d.services.into_iter().find(|s| s.service == service);
    found.unwrap().obstacles
}

fn one(obstacles: &[Obstacle], kind: ObstacleKind, name: &str) -> f64 {
    let found: Vec<&Obstacle> = obstacles
        .iter()
        .filter(|o| o.kind == kind && o.name == name)
        .collect();
    assert_eq!(found.len(), 1, "{kind:?} {name} in {obstacles:#?}");
    assert!(!found[0].rows.is_empty() && found[0].sentence.ends_with('.'));
    found[0].figure.value.unwrap()
}

#[test]
fn a_table_that_two_services_write_is_named_with_the_others_share() {
    let mut s = System::new(60);
    for (service, writes, rows) in [("a", 30, 100), ("b", 90, 100), ("c", 50, 7)] {
        s.root(service, "PUT /x", writes, [100_000; 6]);
        s.uses(service, "PUT /x", "stock", "write", writes);
        s.size(service, "stock", rows, rows * 64);
    }
    let share = one(&of(&s, "a"), ObstacleKind::WrittenByOthers, "stock");
    assert!((share - 0.75).abs() < 0.01, "{share}");
    assert!(of(&s, "c").is_empty(), "the same name in another database");
}

#[test]
fn what_a_process_keeps_alive_is_state() {
    use weighbridge_wire::{DistributionKey, Quality, RowValue, column, scope};
    let mut s = System::new(60);
    s.root("one", "POST /session", 20, [100_000; 6]);
    let mut range = s.range();
    for folded in &mut range.windows {
        let key = DistributionKey {
            component: "".into(),
            operation: "POST /session".into(),
            class: "".into(),
            scope: scope::ALL.into(),
        };
        let value = RowValue::new()
            .with(column::RETAINED_SUM_BYTES, 8 << 20)
            .with(column::SAMPLES, 1);
        folded.rows.add(key.row_key(Quality::Sampled), &value);
    }
    let d = Document::build(&range, &Options::default());
    let bytes = one(
        &d.services[0].obstacles,
        ObstacleKind::StateInMemory,
        "POST /session",
    );
    assert!((bytes - f64::from(8 << 20)).abs() < 1.0, "{bytes}");
    let memory = d.services[0].memory.as_ref().unwrap();
    assert_eq!(memory.retained.value, Some(bytes));
}

#[test]
fn copies_jobs_reads_elsewhere_keys_and_state_are_named() {
    let mut s = System::new(60);
    s.root("front", "POST /a", 20, [100_000; 6]);
    s.http(
        ("front", "POST /a"),
        ("back", "GET /b"),
        20,
        3,
        80_000,
        60_000,
    );
    s.uses("back", "GET /b", "stock", "read", 60);
    s.root("back", "PUT /b", 15, [100_000; 6]);
    s.uses("back", "PUT /b", "price", "write", 15);
    s.message(
        ("back", "PUT /b"),
        ("front", "CONSUME price"),
        15,
        "price",
        80_000,
        60_000,
    );
    s.uses("front", "CONSUME price", "price", "write", 15).keys = Some([60, 30, 10, 40]);
    s.root("front", "JOB nightly", 2, [100_000; 6]);
    s.owner("front", OwnerKind::Background, "price index", 8_000_000);
    s.owner("back", OwnerKind::Background, "main", 8_000_000);
    let front = of(&s, "front");
    let calls = one(&front, ObstacleKind::ForeignReads, "back");
    assert!((calls / 60.0 - 1.0).abs() < 0.05, "{calls}");
    let changes = one(&front, ObstacleKind::WrittenByOthers, "price");
    assert!((changes / 15.0 - 1.0).abs() < 0.05, "{changes}");
    assert!((one(&front, ObstacleKind::MultiKey, "price") - 0.4).abs() < 0.05);
    assert!((one(&front, ObstacleKind::Skew, "price") - 0.4).abs() < 0.05);
    assert!((one(&front, ObstacleKind::CronSingleton, "JOB nightly") - 2.0).abs() < 0.1);
    let index = one(&front, ObstacleKind::CronSingleton, "price index");
    assert!((index - 0.008).abs() < 1e-6, "{index}");
    // The owner is asked, and has nothing in its way.
    assert!(of(&s, "back").is_empty());
}
