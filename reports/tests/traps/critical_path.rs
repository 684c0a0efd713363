//! Three calls side by side: what each of them waits adds up to more than the whole request takes.

use super::*;

const WALL_NS: i64 = 12_000_000;
const WAIT_NS: i64 = 10_000_000;

fn fan_out() -> Document {
    let mut s = System::new(60);
    s.root("front", "GET /page", 40, [500_000; 6]).wall_ns = WALL_NS;
    for (to, call_id, critical) in [
        ("ads", "00000000000000a1", WAIT_NS),
        ("news", "00000000000000a2", 0),
        ("mail", "00000000000000a3", 0),
    ] {
        let call = s.http(
            ("front", "GET /page"),
            (to, "GET /part"),
            40,
            1,
            600_000,
            100_000,
        );
        call.wait_ns = WAIT_NS;
        call.critical_ns = Some(critical);
        call.target = to;
        call.call_id = call_id;
    }
    build(&s)
}

fn saved(d: &Document, with: &str) -> f64 {
    let merge = get(d, Kind::Merge, &["front", with]);
    let wall = merge
        .prediction
        .iter()
        .find(|p| p.figure.starts_with("mean wall"))
        .unwrap();
    assert!(wall.figure.contains("critical path"), "{}", wall.figure);
    assert!(wall.after.unwrap() > 0.0);
    wall.before.unwrap() - wall.after.unwrap()
}

#[test]
fn calls_off_the_critical_path_gain_no_time() {
    let d = fan_out();
    assert_eq!(saved(&d, "news"), 0.0);
    assert_eq!(saved(&d, "mail"), 0.0);
    let ads = saved(&d, "ads");
    assert!(ads > 0.0 && ads <= WAIT_NS as f64, "{ads}");
    let all: f64 = ["ads", "news", "mail"].iter().map(|to| saved(&d, to)).sum();
    assert!(all < WALL_NS as f64, "{all} of {WALL_NS}");
    // Their CPU is saved all the same.
    for to in ["ads", "news", "mail"] {
        let gain = get(&d, Kind::Merge, &["front", to]).gain.value.unwrap();
        assert!((gain / (40.0 * 599e-6) - 1.0).abs() < 0.05, "{to}: {gain}");
    }
}
