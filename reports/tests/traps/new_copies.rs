//! A copy that nobody has yet: worth it where it is read, not where it is written.

use weighbridge_reports::topology::Access;

use super::*;

/// Nobody has a copy: the front asks the stock for each price that it reads, which the stock itself changes.
fn asked_for(writes: i64, reads: i64) -> Recommendation {
    let mut s = System::new(60);
    let cpu = [400_000, 600_000, 600_000, 50_000, 50_000, 300_000];
    s.root("front", "POST /a", 20, cpu);
    let (from, to) = (("front", "POST /a"), ("stock", "GET /price"));
    s.http(from, to, 20, reads / 20, 240_000, 60_000);
    s.uses("stock", "GET /price", "price", "read", reads);
    let change = [50_000, 10_000, 10_000, 0, 0, 50_000];
    s.root("stock", "PUT /price", writes, change);
    s.uses("stock", "PUT /price", "price", "write", writes);
    s.size("stock", "price", 100, 1 << 20);
    // What an asynchronous message costs here is told by this one.
    let mail = ("mail", "CONSUME order");
    s.message(from, mail, 20, "order", 80_000, 60_000);
    let change = Change::PlaceEntity {
        entity: "price".to_owned(),
        service: "front".to_owned(),
        access: Access::Copy,
    };
    let question = Question {
        changes: vec![change],
        load: 1.0,
    };
    let answer = what_if(&s.range(), &Options::default(), &question).unwrap();
    answer.document.recommendations[0].clone()
}

#[test]
fn a_new_copy_that_changes_ten_times_more_often_than_it_is_read_loses() {
    let r = asked_for(200, 20);
    assert_eq!(r.verdict, Verdict::Leave, "{}", r.verdict_reason);
    // 20 calls of 239 µs in a second against 200 changes: 50 µs to carry, 20 µs to write.
    let gain = r.gain.value.unwrap();
    assert!(
        (gain / (20.0 * 239e-6 - 200.0 * 70e-6) - 1.0).abs() < 0.1,
        "{gain}"
    );
}

#[test]
fn a_new_copy_that_is_read_ten_times_more_often_than_it_changes_wins() {
    let r = asked_for(20, 200);
    assert!(acts(&r), "{}", r.verdict_reason);
    let gain = r.gain.value.unwrap();
    assert!(
        (gain / (200.0 * 239e-6 - 20.0 * 70e-6) - 1.0).abs() < 0.1,
        "{gain}"
    );
}
