//! One global lock in one of two services: cores are idle, and requests queue all the same.

use weighbridge_reports::document::ObstacleKind;

use super::*;

/// One to twelve requests at a time, 10 ms each inside the lock and 2 ms outside: at most 100 in a second.
fn locked(w: u64) -> (i64, i64) {
    let n = i64::try_from(w % 12).unwrap() + 1;
    let ended = n * 1_000 / (12 + 10 * (n - 1));
    (ended, n * 1_000_000_000 / ended.max(1))
}

/// Requests of 1 ms that wait behind a rare one of 400 ms: long, but no lock.
#[test]
fn waiting_behind_long_requests_is_no_lock() {
    let mut s = System::new(60);
    s.process("one").cores_milli = 1_000;
    s.root("one", "GET /short", 0, [1_000_000, 0, 0, 0, 0, 0])
        .course = Some(|w| {
        let n = i64::try_from(w % 12).unwrap();
        (20 + n, 1_000_000 + n * n * 2_000_000)
    });
    s.root("one", "POST /long", 1, [400_000_000, 0, 0, 0, 0, 0]);
    let d = build(&s);
    let serial = d.services[0].serial.as_ref().unwrap();
    assert_eq!(serial.serial_share.value, None, "{}", serial.note);
    assert!(serial.note.contains("behind others"), "{}", serial.note);
}

/// The same load on something that many can have at a time.
fn free(w: u64) -> (i64, i64) {
    ((i64::try_from(w % 12).unwrap() + 1) * 80, 12_000_000)
}

fn with(course: fn(u64) -> (i64, i64)) -> Document {
    let mut s = chatty();
    s.root("back", "PUT /locked", 0, [500_000, 0, 0, 0, 0, 0])
        .course = Some(course);
    build(&s)
}

#[test]
fn what_queues_for_a_lock_is_not_merged() {
    let d = with(locked);
    no_merge(&d);
    let merge = get(&d, Kind::Merge, &["front", "back"]);
    assert_eq!(merge.verdict, Verdict::Leave);
    let reason = &merge.verdict_reason;
    assert!(reason.contains("PUT /locked of back queue"), "{reason}");
    assert!(reason.contains("at most"), "{reason}");
    let back = d.services.iter().find(|s| s.service == "back").unwrap();
    let lock = back
        .obstacles
        .iter()
        .find(|o| o.kind == ObstacleKind::SerialSection)
        .unwrap();
    assert_eq!(lock.name, "PUT /locked");
    let serial = back.serial.as_ref().unwrap();
    let most = serial.throughput_max.value.unwrap();
    assert!((most / 100.0 - 1.0).abs() < 0.05, "{most}");
}

#[test]
fn without_the_lock_the_merge_is_right() {
    let d = with(free);
    let merge = get(&d, Kind::Merge, &["front", "back"]);
    assert_eq!(merge.verdict, Verdict::Do, "{}", merge.verdict_reason);
}
