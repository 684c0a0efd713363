//! Copies of an entity: worth it where it is read, not where it is written.

use super::*;

fn copied(writes: i64, reads: i64) -> Document {
    let mut s = chatty();
    s.root(
        "front",
        "PUT /p",
        writes,
        [50_000, 10_000, 10_000, 0, 0, 50_000],
    );
    s.uses("front", "PUT /p", "price", "write", writes);
    s.message(
        ("front", "PUT /p"),
        ("back", "CONSUME price"),
        writes,
        "price",
        80_000,
        60_000,
    );
    s.uses("back", "CONSUME price", "price", "write", writes);
    s.uses("back", "POST /b", "price", "read", reads);
    for service in ["front", "back"] {
        s.size(service, "price", 100, 1 << 20);
    }
    build(&s)
}

#[test]
fn ten_times_more_writes_than_remote_reads_and_the_copies_lose() {
    let d = copied(200, 20);
    let place = get(&d, Kind::PlaceEntity, &["price"]);
    assert!(acts(place), "{}", place.verdict_reason);
    assert!(
        place.verdict_reason.contains("dearer"),
        "{}",
        place.verdict_reason
    );
    let judgement = place.judgement.as_ref().unwrap();
    assert!(judgement.improves > 0.95, "{judgement:?}");
    let reads = judgement
        .turns
        .iter()
        .find(|t| t.input == "reads of the copies")
        .unwrap();
    // Reads as dear as all changes: the break-even, some ten times what is read.
    assert!(reads.turns_at.unwrap() > 2.0 * reads.point, "{reads:?}");
}

#[test]
fn ten_times_more_remote_reads_than_writes_and_the_copies_win() {
    let d = copied(20, 200);
    let place = get(&d, Kind::PlaceEntity, &["price"]);
    assert_eq!(place.verdict, Verdict::Leave, "{}", place.verdict_reason);
    assert!(
        place.verdict_reason.contains("cheaper"),
        "{}",
        place.verdict_reason
    );
    let judgement = place.judgement.as_ref().unwrap();
    assert!(judgement.improves < 0.05, "{judgement:?}");
    assert!(
        judgement.regret.value.unwrap() < 1e-6,
        "leaving costs nothing: {judgement:?}"
    );
}
