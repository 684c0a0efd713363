//! Two services that may not share a process, whatever it would save; and what makes no sense in a file or a load.

use weighbridge_reports::ConstraintFile;
use weighbridge_reports::topology::{Question, parse_changes, what_if};

use super::testing::without_agent;
use super::*;

#[test]
fn different_owners_stay_apart() {
    let mut options = Options::default();
    options.constraints.cannot_link = vec![("back".to_owned(), "front".to_owned())];
    let d = build_range(&chatty().range(), &options);
    no_merge(&d);
    kept_apart(&d, "front", "back");
    let said = asked_to_merge(&chatty().range(), &options, ["front", "back"]);
    assert_eq!(said.verdict, Verdict::Leave, "{}", said.verdict_reason);
    let merge = get(&d, Kind::Merge, &["front", "back"]);
    assert_eq!(merge.verdict, Verdict::Leave);
    assert!(
        merge.verdict_reason.contains("constraint"),
        "{}",
        merge.verdict_reason
    );
}

#[test]
fn owners_and_runtimes_of_the_file_stay_apart() {
    for what in ["owner", "runtime"] {
        let file = format!("[service.front]\n{what} = \"x\"\n[service.back]\n{what} = \"y\"");
        let options = Options {
            constraints: ConstraintFile::parse(&file).unwrap().constraints,
            ..Options::default()
        };
        let d = build_range(&chatty().range(), &options);
        no_merge(&d);
        let merge = get(&d, Kind::Merge, &["front", "back"]);
        let reason = &merge.verdict_reason;
        assert!(
            reason.contains(&format!("{what} `y` and {what} `x`")),
            "{reason}"
        );
        for proposal in &d.topologies.as_ref().unwrap().proposals {
            assert!(!proposal.steps.iter().any(|step| step.contains("merge")));
        }
        // What must be together and may not is refused, with both.
        let refused =
            ConstraintFile::parse(&format!("must_link = [[\"front\", \"back\"]]\n{file}"));
        let error = refused.unwrap_err().to_string();
        assert!(
            error.contains("must_link") && error.contains(&format!("{what} `y` and {what} `x`")),
            "{error}"
        );
    }
}

#[test]
fn numbers_that_are_none_are_refused_by_name() {
    for none in ["nan", "inf", "-inf", "1e300"] {
        for (name, text) in [
            ("node.cores", "[node]\ncores = X"),
            ("node.memory_gib", "[node]\nmemory_gib = X"),
            (
                "prices.core_hour",
                "[prices]\ncore_hour = X\ngib_hour = 1\ncurrency = \"EUR\"",
            ),
            (
                "prices.gib_hour",
                "[prices]\ncore_hour = 1\ngib_hour = X\ncurrency = \"EUR\"",
            ),
            (
                "origin.slo_p95_ms",
                "[[origin]]\nservice = \"a\"\noperation = \"b\"\nslo_p95_ms = X",
            ),
        ] {
            let error = ConstraintFile::parse(&text.replace('X', none)).unwrap_err();
            let error = error.to_string();
            assert!(error.contains(&format!("`{name}` is ")), "{none}: {error}");
        }
    }
    let range = chatty().range();
    for load in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 0.0] {
        let changes = Vec::new();
        let error = what_if(&range, &Options::default(), &Question { changes, load }).unwrap_err();
        let want = format!("the load is {load}; write a number above 0, like ×2");
        assert_eq!(error.to_string(), want);
    }
}

/// No cut of the system makes a request faster than its own work.
#[test]
fn an_objective_below_the_service_time_is_infeasible_and_says_so() {
    let mut options = Options::default();
    let origin = ("front".to_owned(), "POST /a".to_owned());
    options.constraints.slo_p95_ns.insert(origin, 1e5);
    let d = build_range(&chatty().range(), &options);
    let topologies = d.topologies.as_ref().unwrap();
    let why = topologies.infeasible.as_ref().unwrap();
    assert!(why.contains("POST /a"), "{why}");
    assert!(topologies.proposals.is_empty() && topologies.best.value.is_none());
}

/// A merge that saves cores and breaks a promise is no merge to make.
#[test]
fn an_objective_that_is_not_kept_is_worth_more_than_cores() {
    let with = |ns: f64| {
        let mut options = Options::default();
        let origin = ("front".to_owned(), "POST /a".to_owned());
        options.constraints.slo_p95_ns.insert(origin, ns);
        build_range(&chatty().range(), &options)
    };
    let d = with(1e9);
    let merge = get(&d, Kind::Merge, &["front", "back"]);
    assert_eq!(merge.verdict, Verdict::Do, "{}", merge.verdict_reason);
    assert_eq!(merge.judgement.as_ref().unwrap().slo_kept, Some(1.0));
    // Less than the request's own CPU.
    let d = with(1e5);
    let merge = get(&d, Kind::Merge, &["front", "back"]);
    assert_eq!(merge.verdict, Verdict::Leave, "{}", merge.verdict_reason);
    assert_eq!(merge.judgement.as_ref().unwrap().slo_kept, Some(0.0));
    assert!(
        merge.verdict_reason.contains("objectives are kept in 0"),
        "{}",
        merge.verdict_reason
    );
}

#[test]
fn an_objective_of_nobody_is_said() {
    let mut options = Options::default();
    let origin = ("nobody".to_owned(), "GET /x".to_owned());
    options.constraints.slo_p95_ns.insert(origin, 1e9);
    let d = build_range(&chatty().range(), &options);
    let judgement = get(&d, Kind::Merge, &["front", "back"])
        .judgement
        .as_ref()
        .unwrap();
    assert_eq!(judgement.slo_kept, None);
    let reason = judgement.slo_kept_absent_reason.as_ref().unwrap();
    assert!(reason.contains("GET /x of nobody"), "{reason}");
}

/// Two processes of a GiB each fit on a node of one and a half; one of both does not.
#[test]
fn what_fits_on_no_node_is_not_merged() {
    let mut s = chatty();
    for service in ["front", "back"] {
        s.process(service).rss_peak = 1 << 30;
    }
    let with = |node: &str| Options {
        constraints: ConstraintFile::parse(&format!("[node]\n{node}"))
            .unwrap()
            .constraints,
        ..Options::default()
    };
    let range = s.range();
    let question = Question {
        changes: parse_changes("[[change]]\nkind = \"merge\"\nservices = [\"front\", \"back\"]")
            .unwrap(),
        load: 1.0,
    };
    for (node, why) in [
        ("memory_gib = 1.5", "a node has 1.50 GiB"),
        ("cores = 0.5", "a node has 0.5"),
    ] {
        let options = with(node);
        let d = build_range(&range, &options);
        no_merge(&d);
        let merge = get(&d, Kind::Merge, &["front", "back"]);
        assert_eq!(merge.verdict, Verdict::Leave);
        assert!(
            merge.verdict_reason.contains(why),
            "{}",
            merge.verdict_reason
        );
        let found = d.topologies.as_ref().unwrap();
        for proposal in &found.proposals {
            assert!(proposal.steps.is_empty(), "{:?}", proposal.steps);
        }
        let answer = what_if(&range, &options, &question).unwrap();
        let said = &answer.document.recommendations[0];
        assert_eq!(said.verdict, Verdict::Leave, "{}", said.verdict_reason);
        assert!(
            answer
                .broken
                .iter()
                .any(|broken| broken.contains("a node has")),
            "{:?}",
            answer.broken
        );
    }
    let d = build_range(&range, &with("memory_gib = 3"));
    let merge = get(&d, Kind::Merge, &["front", "back"]);
    assert_eq!(merge.verdict, Verdict::Do, "{}", merge.verdict_reason);
}

/// No rule advises what moves more boundaries than may be moved, and each counts them as `simulate` does.
#[test]
fn no_rule_moves_more_boundaries_than_may_be_moved() {
    /// Kind of the change, what of, the recommendation's kind and subjects, and the boundaries that it moves.
    type Case<'a> = (&'a str, &'a str, System, Kind, &'a [&'a str], u32);
    let cases: [Case<'_>; 5] = [
        (
            "merge",
            "services = [\"front\", \"back\"]",
            chatty(),
            Kind::Merge,
            &["front", "back"],
            1,
        ),
        (
            "merge",
            "services = [\"day\", \"night\"]",
            peaks::two(peaks::high_last),
            Kind::Merge,
            &["day", "night"],
            1,
        ),
        (
            "split",
            "service = \"shop\"\noperations = [\"POST /long\"]",
            simulate::long_beside_short(),
            Kind::Split,
            &["POST /long"],
            1,
        ),
        (
            "move",
            "service = \"back\"\noperations = [\"POST /b\"]\nto = \"front\"",
            simulate::asked_by_one(),
            Kind::Move,
            &["POST /b"],
            2,
        ),
        (
            "replicate",
            "service = \"shop\"\noperations = [\"GET /search\"]\nreplicas = 1",
            simulate::hot_reader(),
            Kind::Replicate,
            &["GET /search"],
            1,
        ),
    ];
    for (rule, of, system, kind, subjects, moves) in cases {
        let range = system.range();
        let question = Question {
            changes: parse_changes(&format!("[[change]]\nkind = \"{rule}\"\n{of}")).unwrap(),
            load: 1.0,
        };
        let with = |most: u32| {
            let mut options = Options::default();
            options.constraints.boundaries_max = Some(most);
            let broken = what_if(&range, &options, &question).unwrap().broken;
            let said = broken.iter().any(|why| why.contains("boundaries_max"));
            assert_eq!(said, most < moves, "{rule}: {broken:?}");
            let d = build_range(&range, &options);
            get(&d, kind, subjects).clone()
        };
        let (refused, allowed) = (with(moves - 1), with(moves));
        assert_eq!(refused.verdict, Verdict::Leave, "{rule}");
        let reason = &refused.verdict_reason;
        let want = format!("(boundaries_max), and this moves {moves}.");
        assert!(reason.contains(&want), "{rule}: {reason}");
        assert!(acts(&allowed), "{rule}: {}", allowed.verdict_reason);
    }
}

/// Process metrics of somebody else make rows of processes too: no agent has a version there.
#[test]
fn a_service_that_only_sends_metrics_has_no_agent() {
    let system = simulate::asked_by_one();
    let all = |range: &FoldedRange| {
        let d = build_range(range, &Options::default());
        let verdict = |kind, subjects: &[&str]| {
            let r: &Recommendation = get(&d, kind, subjects);
            (r.verdict, r.verdict_reason.clone())
        };
        let both = [
            verdict(Kind::Merge, &["front", "back"]),
            verdict(Kind::Move, &["POST /b"]),
        ];
        (both, d)
    };
    let range = system.range();
    assert!(
        all(&range)
            .0
            .iter()
            .all(|(verdict, _)| *verdict != Verdict::Leave)
    );
    let range = without_agent(range, "back");
    let (both, d) = all(&range);
    for (verdict, reason) in both {
        assert_eq!(verdict, Verdict::Leave, "{reason}");
        assert!(
            reason.contains("one has the agent, the other has not"),
            "{reason}"
        );
    }
    kept_apart(&d, "front", "back");
    let said = asked_to_merge(&range, &Options::default(), ["front", "back"]);
    assert_eq!(said.verdict, Verdict::Leave, "{}", said.verdict_reason);
    // Who says that they belong together knows that they can.
    let mut options = Options::default();
    options.constraints.must_link = vec![("back".to_owned(), "front".to_owned())];
    let d = build_range(&range, &options);
    let merge = get(&d, Kind::Merge, &["front", "back"]);
    assert!(
        !merge.verdict_reason.contains("the agent"),
        "{}",
        merge.verdict_reason
    );
}
