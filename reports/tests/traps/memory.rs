//! A rare operation that needs much memory, beside a hot one that needs many processes.

use super::*;

#[test]
fn memory_is_not_copied_into_the_processes_of_a_hot_service() {
    let mut s = chatty();
    s.root("front", "GET /hot", 300, [2_000_000, 0, 0, 0, 0, 0]);
    s.root("back", "GET /rare", 10, [500_000, 0, 0, 0, 0, 0])
        .peak_bytes = 900 << 20;
    s.process("back").rss_peak = 1_000 << 20;
    let d = build(&s);
    no_merge(&d);
    let keep = get(&d, Kind::Keep, &["front", "back"]);
    assert_eq!(keep.verdict, Verdict::Leave);
    assert!(
        keep.verdict_reason.contains("memory of both"),
        "{}",
        keep.verdict_reason
    );
}
