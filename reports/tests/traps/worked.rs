//! The recommendation that docs/decisions.md works by hand, figure by figure.

use weighbridge_wire::OwnerKind;

use super::*;

const MS: f64 = 1e6;
const US: f64 = 1e3;

fn system() -> System {
    let mut s = System::new(40);
    let cpu = [400_000, 600_000, 600_000, 50_000, 50_000, 300_000];
    s.root("front", "POST /a", 0, cpu).course = Some(|_| (20, 10_000_000));
    s.owner("front", OwnerKind::Runtime, "scheduler", 2_600_000);
    s.owner("back", OwnerKind::Runtime, "scheduler", 2_400_000);
    let call = s.http(
        ("front", "POST /a"),
        ("back", "POST /b"),
        20,
        12,
        240_000,
        60_000,
    );
    call.course = Some(|_| 240);
    call.wait_ns = 600_000;
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
    close(cores("front"), 59.1605 * MS * 1e-9, "front");
    close(cores("back"), 47.5325 * MS * 1e-9, "back");
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
    // Term by term, in ms of CPU a second.
    let messages = 240.0 * 0.240;
    let wake = 240.0 * 2.0 * (2.6 / 520.0 + 2.4 / 480.0);
    let crossing = 240.0 * 0.0;
    let local = 240.0 * 0.001;
    let base = 1.0 + 1.0 - 1.0;
    let by_calls = (messages + wake + crossing - local) * 1e-3;
    let saved = by_calls + base * 1e-3;
    close(by_calls, 0.062_16, "by calls, as printed");
    close(saved, 0.063_16, "as printed");
    close(merge.gain.value.unwrap(), saved, "saved");
    let both = 0.059_160_5 + 0.047_532_5;
    close(both, 0.106_693, "both, as printed");
    close(merge.prediction[0].before.unwrap(), both, "both");
    close(merge.prediction[0].after.unwrap(), both - saved, "after");
    close(
        merge.thresholds[1].found.unwrap(),
        by_calls / both,
        "saved by calls ÷ both",
    );
    assert!((by_calls / both - 0.5826).abs() < 5e-5);
    let figure = |name: &str| {
        let found = merge.prediction.iter().find(|p| p.figure.starts_with(name));
        let found = found.unwrap_or_else(|| panic!("no {name}"));
        (found.before.unwrap(), found.after.unwrap())
    };
    // A MiB in twenty for each base, and what requests in flight hold at five times the load.
    let mib = f64::from(1 << 20);
    let flying = 4.0 * (20.0 * 0.010 + 240.0 * 0.000_36) * 10_000.0;
    close(flying, 11_456.0, "in flight, as printed");
    let memory = figure("memory of both");
    close(memory.0, 80.0 * mib + flying, "memory before");
    close(
        memory.1,
        (40.0 + 40.0 - 20.0) * mib + flying,
        "memory after",
    );
    assert_eq!(figure("processes of both"), (2.0, 1.0));
    assert_eq!(figure("messages between services"), (480.0, 0.0));
    // A call waits for its callee's own time, and the caller neither encodes nor decodes: 60 µs of the 120 stand in its
    // rows, the others in the pool's.
    let latency = figure("mean latency of POST /a of front");
    let call = 0.360 - 0.120 + 0.001;
    let after = 10.0 - 12.0 * (0.600 - call) - 12.0 * (0.060 - 0.001);
    close(after, 4.984, "latency, as printed");
    assert!((latency.0 / (10.0 * MS) - 1.0).abs() < 0.005, "{latency:?}");
    // The wait for a core changes by less than a thousandth of it.
    let ratio = latency.1 / latency.0;
    assert!((ratio / (after / 10.0) - 1.0).abs() < 1e-3, "{latency:?}");

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
    assert!((want - 0.062_95).abs() < 1e-5, "as printed: {want}");
    assert!((judgement.improves - 1.0).abs() < 1e-12);
    let turns = |input: &str| {
        let turn = judgement.turns.iter().find(|t| t.input == input);
        turn.unwrap().turns_at
    };
    let call = (240.0 + 20.0 + 1_000.0 / 240.0) * US;
    close(turns("a call inside the process").unwrap(), call, "a call");
    for input in ["messages of a call", "calls between them"] {
        assert_eq!(turns(input), None, "{input}: the rest is a gain too");
    }

    let batch = get(&d, Kind::Batch, &["front", "back"]);
    assert_eq!(batch.verdict, Verdict::Do);
    close(
        batch.gain.value.unwrap(),
        240.0 * (1.0 - 1.0 / 12.0) * (240e-6 + 2.0 * 10e-6),
        "batch",
    );
    let text = include_str!("../../../docs/decisions.md");
    for printed in [
        "59.1605 ms",
        "47.5325 ms",
        "0.06216 cores",
        "0.06316 cores",
        "0.106693 cores",
        "0.5826",
        "11 456 bytes",
        "4.984 ms",
        "264.2 µs",
        "0.06295",
        "0.0572",
    ] {
        assert!(
            text.contains(printed),
            "the documentation does not say {printed}"
        );
    }
}

/// What the ledger does not show of a call, when somebody measured it, is saved with it.
#[test]
fn a_crossing_that_was_measured_is_saved_with_each_call() {
    let gain = |crossing_ns: f64| {
        let options = Options {
            crossing_ns,
            ..Options::default()
        };
        let d = Document::build(&system().range(), &options);
        get(&d, Kind::Merge, &["front", "back"]).gain.value.unwrap()
    };
    close(gain(20.0 * US) - gain(0.0), 240.0 * 20e-6, "240 crossings");
}
