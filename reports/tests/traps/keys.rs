//! A key by which requests stick to one shard, and one of them gets most.

use weighbridge_reports::document::ObstacleKind;

use super::*;

/// Of a hundred touches, `top` are of one key.
fn sharded(top: i64) -> Document {
    let mut s = System::new(60);
    s.root("shop", "PUT /cart", 200, [1_000_000; 6]);
    s.uses("shop", "PUT /cart", "cart", "write", 200).keys = Some([100, 0, 0, top]);
    build(&s)
}

#[test]
fn a_skewed_key_is_no_way_to_shard() {
    let d = sharded(70);
    no_merge(&d);
    let obstacle = d.services[0]
        .obstacles
        .iter()
        .find(|o| o.kind == ObstacleKind::Skew)
        .unwrap();
    assert_eq!(obstacle.name, "cart");
    assert!(
        (obstacle.figure.value.unwrap() - 0.7).abs() < 0.02,
        "{obstacle:?}"
    );
    // One shard takes 0.7 of the load: no number of them carries more than 1.43 times as much.
    assert!(obstacle.sentence.contains("1.4"), "{}", obstacle.sentence);
    let shard = get(&d, Kind::Shard, &["shop"]);
    assert_eq!(shard.verdict, Verdict::Leave, "{}", shard.verdict_reason);
    assert!(
        shard
            .verdict_reason
            .contains("busiest key of cart takes 69.8 %"),
        "{}",
        shard.verdict_reason
    );
}

#[test]
fn an_even_key_has_nothing_in_its_way() {
    let d = sharded(1);
    assert!(d.services[0].obstacles.is_empty());
    let shard = get(&d, Kind::Shard, &["shop"]);
    assert_eq!(shard.verdict, Verdict::Try, "{}", shard.verdict_reason);
}

/// Who divides a service by a key must have seen the requests that use it.
#[test]
fn a_key_of_few_requests_decides_nothing() {
    let mut s = System::new(60);
    s.root("shop", "GET /page", 200, [1_000_000; 6]);
    // 300 in sixty windows.
    s.root("shop", "PUT /cart", 5, [1_000_000; 6]);
    s.uses("shop", "PUT /cart", "cart", "write", 5).keys = Some([100, 0, 0, 1]);
    let d = build(&s);
    let shard = get(&d, Kind::Shard, &["shop"]);
    assert_eq!(
        shard.verdict,
        Verdict::CannotSay,
        "{}",
        shard.verdict_reason
    );
    assert!(
        shard
            .verdict_reason
            .contains("of PUT /cart of shop ended; 400 are needed"),
        "{}",
        shard.verdict_reason
    );
}
