//! Many windows, few requests.

use super::*;

/// Forty times an hour is twice in three minutes.
fn rare(w: u64) -> (i64, i64) {
    (i64::from(w == 40 || w == 130), 5_000_000)
}

#[test]
fn two_requests_in_180_windows_say_nothing() {
    let mut s = chatty();
    s.windows = 180;
    s.root("back", "GET /status", 100, [100_000; 6]);
    s.root(
        "clock",
        "JOB hourly",
        0,
        [400_000, 600_000, 600_000, 50_000, 50_000, 300_000],
    )
    .course = Some(rare);
    let call = s.http(
        ("clock", "JOB hourly"),
        ("tower", "POST /chime"),
        1,
        1,
        240_000,
        60_000,
    );
    call.course = Some(|w| rare(w).0);
    s.operation("tower", "POST /chime").course = Some(rare);
    let d = build(&s);
    let merge = get(&d, Kind::Merge, &["clock", "tower"]);
    assert_eq!(merge.verdict, Verdict::CannotSay);
    let reason = &merge.verdict_reason;
    assert!(
        reason.contains("2 requests of JOB hourly of clock ended; 400 are needed"),
        "{reason}"
    );
    assert!(merge.judgement.is_none());
    no_cut_contradicts(&d);
    let said = not_simulated(&s, ["clock", "tower"]);
    assert!(said.contains("400 are needed"), "{said}");
    // What has data is judged as before.
    assert_eq!(
        get(&d, Kind::Merge, &["front", "back"]).verdict,
        Verdict::Do
    );
}

#[test]
fn twenty_windows_say_nothing() {
    let mut s = chatty();
    s.windows = 20;
    let d = build(&s);
    no_merge(&d);
    let said = not_simulated(&s, ["front", "back"]);
    assert!(said.contains("20 windows were seen"), "{said}");
    let merge = get(&d, Kind::Merge, &["front", "back"]);
    assert!(
        merge.verdict_reason.contains("20 windows were seen"),
        "{}",
        merge.verdict_reason
    );
}
