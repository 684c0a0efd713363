//! Each kind of figure that a later report is looked up for.

use super::*;
use crate::topology::{Load, Question, Weighed, evaluate, what_if};

/// A shop that calls a stock, tells a mail, and calls itself inside the process; the mail keeps a copy.
fn shop() -> System {
    let mut s = apart(1);
    let inside = s.http(
        ("front", "POST /a"),
        ("front", "GET /c"),
        20,
        2,
        8_000,
        9_000,
    );
    // A call site of its own.
    (inside.transport, inside.call_id) = ("local", "00000000000000c9");
    s.message(
        ("front", "POST /a"),
        ("mail", "CONSUME a"),
        20,
        "a",
        80_000,
        60_000,
    );
    s.uses("front", "POST /a", "order", "write", 20);
    s.uses("mail", "CONSUME a", "order", "write", 20);
    s.size("mail", "order", 100, 1 << 20);
    s
}

fn seen_in(document: &Document, what: ObserveWhat) -> f64 {
    let observe = Observe {
        what,
        services: vec!["front".to_owned()],
        operation: "POST /a".to_owned(),
        entity: String::new(),
    };
    View::new(document, document).observed(&observe).unwrap()
}

/// What is looked up in a later report is what the engine predicts with: of a system that stays as it is they are equal.
#[test]
fn a_report_shows_what_the_engine_says_of_the_system_as_it_is() {
    let options = Options::default();
    let range = shop().range();
    let document = Document::build(&range, &options);
    let weighed = Weighed::read(&range, &options);
    let figures = evaluate(weighed.inputs(), &weighed.as_it_is(), &Load::seen(&options));
    let observed = |what| seen_in(&document, what);
    let root = figures.origins.iter().find(|o| o.operation == "POST /a");
    let root = root.unwrap();
    let mut off = Vec::new();
    for (what, want) in [
        (ObserveWhat::Messages, figures.messages),
        (ObserveWhat::MessageBytes, figures.message_bytes),
        (ObserveWhat::Copies, figures.copies),
        (ObserveWhat::Memory, figures.memory_bytes.unwrap()),
        (ObserveWhat::Processes, figures.replicas),
        (ObserveWhat::OriginCpu, root.cpu_ns.unwrap()),
        (ObserveWhat::WallP50, root.p50_ns.unwrap()),
        (ObserveWhat::WallP95, root.p95_ns.unwrap()),
        (ObserveWhat::WallP99, root.p99_ns.unwrap()),
    ] {
        let got = observed(what);
        if (got / want - 1.0).abs() >= 1e-9 {
            off.push(format!("{what:?}: {got} and not {want}"));
        }
    }
    assert!(off.is_empty(), "{off:#?}");
    // Twelve calls and a message for each of 20 requests in a second, calls inside the process left out; windows vary.
    let (messages, bytes) = (20.0 * (12.0 * 2.0 + 1.0), 20.0 * (12.0 * 420.0 + 200.0));
    for (what, want) in [
        (ObserveWhat::Messages, messages),
        (ObserveWhat::MessageBytes, bytes),
    ] {
        let got = observed(what);
        assert!(
            (got / want - 1.0).abs() < 0.04,
            "{what:?}: {got} and not {want}"
        );
    }
    assert_eq!(observed(ObserveWhat::Copies), 1.0);
    // The front, the back, the mail: 40 MiB each. The broker has no row.
    assert_eq!(observed(ObserveWhat::Processes), 3.0);
    assert_eq!(observed(ObserveWhat::Memory), 3.0 * f64::from(40 << 20));
    let (p50, p99) = (ObserveWhat::WallP50, ObserveWhat::WallP99);
    assert!(observed(p50) < observed(p99));
}

/// Figures that lie beside each other in a document, each with a value of its own.
#[test]
fn each_kind_is_looked_up_where_it_stands() {
    let mut document = build(&shop());
    for service in &mut document.services {
        service.rss.value = Some(1.0);
        service.rss_init.value = Some(2.0);
        service.rss_peak.value = Some(10.0);
        service.instance_count.value = Some(2.0);
    }
    let origin = document
        .origins
        .iter_mut()
        .find(|o| o.operation == "POST /a");
    let origin = origin.unwrap();
    origin.unit_cost.total.value = Some(4.0);
    for (figure, value) in [
        (&mut origin.wall.mean, 5.0),
        (&mut origin.wall.p50, 6.0),
        (&mut origin.wall.p95, 7.0),
        (&mut origin.wall.p99, 8.0),
        (&mut origin.wall.max, 9.0),
    ] {
        figure.value = Some(value);
    }
    let seen = [
        ObserveWhat::Memory,
        ObserveWhat::Processes,
        ObserveWhat::OriginCpu,
        ObserveWhat::WallP50,
        ObserveWhat::WallP95,
        ObserveWhat::WallP99,
    ]
    .map(|what| seen_in(&document, what));
    assert_eq!(seen, [60.0, 6.0, 4.0, 6.0, 7.0, 8.0]);
    // One that does not tell it: the sum is not known, and not smaller.
    document.services[0].rss_peak.value = None;
    let observe = Observe {
        what: ObserveWhat::Memory,
        services: Vec::new(),
        operation: String::new(),
        entity: String::new(),
    };
    assert_eq!(View::new(&document, &document).observed(&observe), None);
}

/// The origin of a merged service has another service's name; its requests and messages are found all the same.
#[test]
fn origins_and_messages_of_a_merge_are_observed() {
    let earlier = build(&apart(1));
    let mut later = build(&together(2, 0));
    later.compare_with_earlier(&earlier);
    let origin = &later.origins[0];
    assert_eq!(origin.service, "shop");
    for (name, shown) in [
        ("CPU of a request of", &origin.unit_cost.total),
        ("median latency", &origin.wall.p50),
        ("95th percentile", &origin.wall.p95),
        ("99th percentile", &origin.wall.p99),
    ] {
        let found = figure(&later, "rec:merge", name);
        assert_eq!(found.observed, shown.value, "{name}");
        assert!(
            found.observed.is_some() && found.error.is_some(),
            "{found:?}"
        );
    }
    // Of a request, not of a second: twice the load changes nothing.
    let cpu = figure(&later, "rec:merge", "CPU of a request of");
    assert!(cpu.error.unwrap().abs() < 0.05, "{cpu:?}");
    for name in ["messages between services", "their bytes"] {
        let found = figure(&later, "rec:merge", name);
        assert_eq!(
            (found.predicted, found.observed, found.error),
            (Some(0.0), Some(0.0), Some(0.0)),
            "{name}"
        );
    }
}

/// A question at another load is about that load.
#[test]
fn figures_at_another_load_are_not_looked_up() {
    let ask = |load| {
        let question = Question {
            changes: Vec::new(),
            load,
        };
        let answer = what_if(&apart(1).range(), &Options::default(), &question).unwrap();
        let said = answer.document.recommendations[0].prediction.clone();
        said.iter().filter(|p| p.observe.is_some()).count()
    };
    assert!(ask(1.0) >= 8);
    assert_eq!(ask(2.0), 0);
}
