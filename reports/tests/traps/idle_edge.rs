//! An edge that exists and carries nothing.

use super::*;

#[test]
fn an_edge_without_traffic_decides_nothing() {
    let mut s = System::new(60);
    s.root("front", "POST /a", 100, [1_000_000; 6]);
    s.http(
        ("front", "POST /a"),
        ("back", "POST /b"),
        0,
        12,
        240_000,
        60_000,
    );
    s.root("back", "GET /c", 100, [1_000_000; 6]);
    let d = build(&s);
    no_merge(&d);
    not_simulated(&s, ["front", "back"]);
    for r in &d.recommendations {
        assert!(!acts(r), "{}", r.title);
    }
    let merge = get(&d, Kind::Merge, &["front", "back"]);
    assert_eq!(
        merge.verdict,
        Verdict::CannotSay,
        "{}",
        merge.verdict_reason
    );
    assert!(merge.judgement.is_none(), "nothing is known of its gain");
    let edge = d.edges.iter().find(|e| e.to.service == "back").unwrap();
    assert_eq!(edge.overhead.value, None, "unknown is not zero");
}
