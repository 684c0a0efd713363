//! The recommendation that docs/decisions.md works by hand, figure by figure.

use super::*;

const MS: f64 = 1e6;
const US: f64 = 1e3;

fn system() -> System {
    let mut s = System::new(40);
    let cpu = [400_000, 600_000, 600_000, 50_000, 50_000, 300_000];
    s.root("front", "POST /a", 0, cpu).course = Some(|_| (20, 4_000_000));
    let call = s.http(
        ("front", "POST /a"),
        ("back", "POST /b"),
        20,
        12,
        240_000,
        60_000,
    );
    call.course = Some(|_| 240);
    let answer = s.operation("back", "POST /b");
    answer.course = Some(|_| (240, 360_000));
    answer.times = 1;
    s
}

fn close(got: f64, want: f64, what: &str) {
    assert!(
        (got / want - 1.0).abs() < 1e-9,
        "{what}: {got} instead of {want}"
    );
}

#[test]
fn the_recommendation_worked_in_the_documentation() {
    let d = build(&system());
    let cores = |name: &str| {
        let service = d.services.iter().find(|s| s.service == name).unwrap();
        service.cpu_cores.value.unwrap()
    };
    close(cores("front"), 56.5085 * MS * 1e-9, "front");
    close(cores("back"), 45.0845 * MS * 1e-9, "back");
    let edge = &d.edges[0];
    let value = |figure: &weighbridge_reports::document::Figure| figure.value.unwrap();
    close(
        value(&edge.caller_cpu.total),
        4.0 * 7.2 * MS / 240.0,
        "caller",
    );
    close(
        value(&edge.callee_cpu.total),
        4.0 * 7.2 * MS / 240.0,
        "callee",
    );
    close(value(&edge.overhead), 240.0 * US, "overhead");
    close(value(&edge.work), (43.2 - 28.8) * MS / 240.0, "work");
    close(value(&edge.overhead_share), 0.8, "share");

    let merge = get(&d, Kind::Merge, &["front", "back"]);
    assert_eq!(merge.verdict, Verdict::Do, "{}", merge.verdict_reason);
    let saved = 240.0 * (240.0 - 1.0) * 1e-6;
    close(merge.gain.value.unwrap(), saved, "saved");
    close(saved, 0.057_36, "as printed");
    let both = 0.056_508_5 + 0.045_084_5;
    close(merge.prediction[0].before.unwrap(), both, "both");
    close(merge.prediction[0].after.unwrap(), both - saved, "after");
    close(
        merge.thresholds[1].found.unwrap(),
        saved / both,
        "saved ÷ both",
    );
    assert!((saved / both - 0.5646).abs() < 5e-5);
    let memory = merge
        .prediction
        .iter()
        .find(|p| p.figure.starts_with("memory"))
        .unwrap();
    assert_eq!(memory.before, Some(f64::from(80 << 20)));
    assert_eq!(memory.after, Some(f64::from(60 << 20)));

    let judgement = merge.judgement.as_ref().unwrap();
    assert_eq!(judgement.candidates, 2);
    close(judgement.gain_found, saved, "found");
    let s: f64 = 4f64.ln() / 1.644_853_6;
    let deviation = (s * s / 2.0).exp() * ((s * s).exp() - 1.0).sqrt();
    assert!((deviation - 1.45).abs() < 0.005, "{deviation}");
    let want = saved - 0.59 * 240.0 * deviation * 1e-6;
    let got = judgement.gain.value.unwrap();
    // A thousand draws tell the deviation of so skewed a figure to a quarter.
    assert!(
        (got - want).abs() < 0.25 * (saved - want),
        "{got} instead of {want}"
    );
    assert!((want - 0.057_15).abs() < 1e-5, "as printed: {want}");
    assert!((judgement.improves - 1.0).abs() < 1e-12);
    let turns = |input: &str| {
        let turn = judgement.turns.iter().find(|t| t.input == input);
        turn.unwrap().turns_at.unwrap()
    };
    close(turns("a call inside the process"), 240.0 * US, "local call");
    close(turns("messages of a call"), US, "messages");

    let batch = get(&d, Kind::Batch, &["front", "back"]);
    assert_eq!(batch.verdict, Verdict::Do);
    close(
        batch.gain.value.unwrap(),
        240.0 * (1.0 - 1.0 / 12.0) * 240e-6,
        "batch",
    );
    let text = include_str!("../../../docs/decisions.md");
    for printed in [
        "56.5085 ms",
        "45.0845 ms",
        "0.05736 cores",
        "0.101593 cores",
        "0.5646",
        "0.05715",
        "0.0528",
    ] {
        assert!(
            text.contains(printed),
            "the documentation does not say {printed}"
        );
    }
}
