//! Copies of an entity: worth it where it is read, not where it is written.

use weighbridge_reports::topology::Access;

use super::*;

fn copied(writes: i64, reads: i64) -> Document {
    build(&copy(writes, reads))
}

fn copy(writes: i64, reads: i64) -> System {
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
    s
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

fn remote(holders: &[&str]) -> Question {
    let changes = holders.iter().map(|holder| Change::PlaceEntity {
        entity: "price".to_owned(),
        service: (*holder).to_owned(),
        access: Access::Remote,
    });
    Question {
        changes: changes.collect(),
        load: 1.0,
    }
}

/// Two services that hold a copy each, and what they read of it.
fn two_holders(reads: [(&'static str, &'static str, i64); 2]) -> System {
    let mut s = chatty();
    s.http(
        ("front", "POST /a"),
        ("mail", "GET /m"),
        20,
        1,
        240_000,
        60_000,
    );
    let cpu = [50_000, 10_000, 10_000, 0, 0, 50_000];
    s.root("front", "PUT /p", 100, cpu);
    s.uses("front", "PUT /p", "price", "write", 100);
    for (service, operation, n) in reads {
        let to = (service, "CONSUME price");
        let call = s.message(("front", "PUT /p"), to, 100, "price", 80_000, 60_000);
        call.publishes = service == "back";
        s.uses(service, "CONSUME price", "price", "write", 100);
        s.uses(service, operation, "price", "read", n);
        s.size(service, "price", 100, 1 << 20);
    }
    s.size("front", "price", 100, 1 << 20);
    s
}

/// One copy is read often and one hardly ever: together they are cheaper than reads from the owner, and yet one of them
/// is not.
#[test]
fn of_two_copies_the_one_that_is_hardly_read_goes() {
    for (often, hardly) in [("back", "mail"), ("mail", "back")] {
        let reads = |service| if service == often { 900 } else { 4 };
        let s = two_holders([
            ("back", "POST /b", reads("back")),
            ("mail", "GET /m", reads("mail")),
        ]);
        let d = build(&s);
        let of = |id: &str| d.recommendations.iter().find(|r| r.id == id);
        assert!(of("rec:place_entity:price").is_none());
        let goes = of(&format!("rec:place_entity:price:{hardly}")).unwrap();
        assert_eq!(goes.verdict, Verdict::Try, "{}", goes.verdict_reason);
        let said = format!("those in {often} stay");
        assert!(
            goes.verdict_reason.contains(&said),
            "{}",
            goes.verdict_reason
        );
        assert!(goes.judgement.as_ref().unwrap().improves > 0.95);
        let stays = of(&format!("rec:place_entity:price:{often}")).unwrap();
        assert_eq!(stays.verdict, Verdict::Leave, "{}", stays.verdict_reason);
        assert!(stays.judgement.as_ref().unwrap().improves < 0.05);
        // Each by itself is what `simulate` says of it, and both together are what would have been left.
        let gain = |holders: &[&str]| {
            let document = answered(&s.range(), &Options::default(), &remote(holders));
            document.recommendations[0].gain.value.unwrap()
        };
        for (r, holder) in [(goes, hardly), (stays, often)] {
            let (mine, theirs) = (r.gain.value.unwrap(), gain(&[holder]));
            assert!((mine / theirs - 1.0).abs() < 1e-9, "{mine} and {theirs}");
        }
        assert!(gain(&[often, hardly]) < 0.0);
        let left = |figure: &str| {
            let p = goes.prediction.iter().find(|p| p.figure == figure).unwrap();
            p.after.unwrap() / p.before.unwrap()
        };
        assert!((left("bytes of copies") - 0.5).abs() < 1e-9);
        assert!((left("messages that keep copies in step") - 0.5).abs() < 0.01);
    }
}

/// What both hardly read goes from both, in one step.
#[test]
fn two_copies_that_are_hardly_read_go_together() {
    let s = two_holders([("back", "POST /b", 4), ("mail", "GET /m", 4)]);
    let d = build(&s);
    let place = get(&d, Kind::PlaceEntity, &["price", "back", "mail"]);
    assert_eq!(place.id, "rec:place_entity:price");
    assert!(acts(place), "{}", place.verdict_reason);
}

/// And what both often read stays in both.
#[test]
fn two_copies_that_are_often_read_stay_together() {
    let s = two_holders([("back", "POST /b", 900), ("mail", "GET /m", 900)]);
    let d = build(&s);
    let place = get(&d, Kind::PlaceEntity, &["price", "back", "mail"]);
    assert_eq!(place.id, "rec:place_entity:price");
    assert_eq!(place.verdict, Verdict::Leave, "{}", place.verdict_reason);
}
