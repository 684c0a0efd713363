//! Operations of a service without an agent whose loads rise and fall together.

use super::testing::without_operation_cpu;
use super::*;

fn wave(w: u64, of: u64) -> i64 {
    20 + i64::try_from((w * 7 + w * w * 3) % of).unwrap()
}

fn old(second: fn(u64) -> (i64, i64)) -> Document {
    let mut s = System::new(60);
    s.root("old", "GET /a", 0, [3_000_000, 0, 0, 0, 0, 0])
        .course = Some(|w| (wave(w, 31), 5_000_000));
    s.root("old", "GET /b", 0, [500_000, 0, 0, 0, 0, 0]).course = Some(second);
    build_range(
        &without_operation_cpu(s.range(), "old"),
        &Options::default(),
    )
}

#[test]
fn demand_that_cannot_be_separated_is_not_guessed() {
    let d = old(|w| (wave(w, 31), 1_000_000));
    no_merge(&d);
    let split = get(&d, Kind::Split, &["old"]);
    assert_eq!(split.verdict, Verdict::CannotSay);
    let reason = &split.verdict_reason;
    assert!(
        reason.contains("GET /a and GET /b rise and fall together"),
        "{reason}"
    );
    assert!(reason.contains("Missing: the agent"), "{reason}");
}

#[test]
fn loads_that_vary_apart_are_no_such_case() {
    let d = old(|w| (wave(w, 17), 1_000_000));
    assert!(d.recommendations.iter().all(|r| !acts(r)));
    assert!(find(&d, Kind::Split, &["old"]).is_none());
}
