//! Entities, recommendations and quality of the ERP.

use weighbridge_reports::document::*;

use super::figures::*;

pub(crate) fn entities() -> Vec<EntityReport> {
    let place = |entity: &str,
                 service: &str,
                 copy: bool,
                 rows: f64,
                 reads: f64,
                 writes: f64,
                 uses: &[(&str, &str)]| EntityPlace {
        id: format!("place:{entity}/{service}"),
        service: service.to_owned(),
        database: format!("{service}.sqlite"),
        copy,
        rows: measured(rows, FigureUnit::Count),
        size: measured(rows * 214.0, FigureUnit::Bytes),
        reads: measured(reads, FigureUnit::PerSecond),
        writes: measured(writes, FigureUnit::PerSecond),
        uses: uses
            .iter()
            .map(|(operation, access)| EntityUse {
                row: format!("operation:{service}/{operation}"),
                operation: (*operation).to_owned(),
                access: (*access).to_owned(),
                statements: measured(1_320.0, FigureUnit::Count),
                statements_per_request: measured(1.0, FigureUnit::PerRequest),
                rows: measured(1_320.0, FigureUnit::Count),
                cpu_store: measured(52e6, UNIT),
                multi_key_share: unknown(
                    "the statement’s keys are not bound parameters",
                    FigureUnit::Ratio,
                ),
            })
            .collect(),
    };
    vec![
        EntityReport {
            id: "entity:order".to_owned(),
            entity: "order".to_owned(),
            places: vec![place("order", "store", false, 8_112.0, 40.0, 22.0, &[("POST /orders", "write"), ("GET /orders/{id}", "read")])],
            finding: CopyFinding::Single,
            owner: Some("store".to_owned()),
            evidence: Vec::new(),
            cost: None,
        },
        EntityReport {
            id: "entity:product".to_owned(),
            entity: "product".to_owned(),
            places: vec![
                place("product", "warehouse", false, 5_000.0, 132.0, 2.0, &[("PUT /products/{id}", "write"), ("POST /reservations", "read")]),
                place("product", "store", true, 5_000.0, 31.0, 2.0, &[("CONSUME product.changed", "write"), ("GET /search", "read")]),
                place("product", "accounting", true, 5_000.0, 22.0, 2.0, &[("CONSUME product.changed", "write")]),
            ],
            finding: CopyFinding::Copies,
            owner: Some("warehouse".to_owned()),
            evidence: vec![CopyEvidence {
                from_service: "warehouse".to_owned(),
                from_operation: "PUT /products/{id}".to_owned(),
                to_service: "store".to_owned(),
                to_operation: "CONSUME product.changed".to_owned(),
                edge: "edge:warehouse/PUT /products/{id}→store/CONSUME product.changed".to_owned(),
                sentence: "warehouse PUT /products/{id} writes product and publishes product.changed; store CONSUME product.changed writes product.".to_owned(),
            }],
            cost: Some(CopyCost {
                copies: 2,
                storage: measured(2.0 * 5_000.0 * 214.0, FigureUnit::Bytes),
                messages: measured(4.0, FigureUnit::PerSecond),
                message_bytes: measured(1_240.0, FigureUnit::BytesPerSecond),
                message_cpu: mixed(0.0006, 0.4, FigureUnit::Cores),
                apply_cpu: measured(0.00022, FigureUnit::Cores),
                total_cpu: Figure { interval_absent_reason: Some("one message size only".to_owned()), ..mixed(0.00082, 0.3, FigureUnit::Cores) },
                per_message: mixed(205e3, 0.3, FigureUnit::NsPerMessage),
                staleness: measured(3.4e6, UNIT),
            }),
        },
        EntityReport {
            id: "entity:account".to_owned(),
            entity: "account".to_owned(),
            places: vec![
                place("account", "accounting", false, 340.0, 20.0, 22.0, &[("GET /balance/{account}", "read")]),
                place("account", "store", false, 12.0, 0.2, 0.0, &[]),
            ],
            finding: CopyFinding::SameNameOnly,
            owner: None,
            evidence: Vec::new(),
            cost: None,
        },
    ]
}

pub(crate) fn evidence(sentence: &str, rows: &[&str]) -> Evidence {
    Evidence {
        sentence: sentence.to_owned(),
        rows: rows.iter().map(|r| (*r).to_owned()).collect(),
    }
}

pub(crate) fn subject(kind: SubjectKind, service: &str, name: &str) -> Subject {
    let row = if name.is_empty() {
        format!("service:{service}")
    } else {
        format!("operation:{service}/{name}")
    };
    Subject {
        kind,
        service: service.to_owned(),
        name: name.to_owned(),
        row,
    }
}

pub(crate) fn prediction(
    figure: &str,
    unit: FigureUnit,
    before: f64,
    after: f64,
    spread: Option<f64>,
) -> Prediction {
    Prediction {
        figure: figure.to_owned(),
        unit,
        before: Some(before),
        after: Some(after),
        low: spread.map(|s| after * (1.0 - s)),
        high: spread.map(|s| after * (1.0 + s)),
        interval_absent_reason: spread
            .is_none()
            .then(|| "the formula gives no interval for this figure".to_owned()),
        observe: None,
    }
}

pub(crate) fn recommendations() -> Vec<Recommendation> {
    vec![
        Recommendation {
            id: "rec:merge/store+warehouse".to_owned(),
            kind: RecommendationKind::Merge,
            verdict: Verdict::Do,
            verdict_reason: "Carrying 132 calls a second between store and warehouse costs more than the work that they cause, at the load seen.".to_owned(),
            title: "Merge store and warehouse: their messages cost 1.8 times the work".to_owned(),
            subjects: vec![subject(SubjectKind::Service, "store", ""), subject(SubjectKind::Service, "warehouse", "")],
            gain: between(0.0257, 0.06, FigureUnit::Cores),
            evidence: vec![
                evidence("POST /orders calls POST /reservations 6 times for each request; each call costs 195 µs of message overhead for 110 µs of work.", &["edge:store/POST /orders→warehouse/POST /reservations", "operation:store/POST /orders"]),
                evidence("64 % of what the calls cost is overhead, over 7,920 calls in 60 windows.", &["edge:store/POST /orders→warehouse/POST /reservations"]),
            ],
            prediction: vec![
                prediction("cores of store and warehouse together", FigureUnit::Cores, 0.1312, 0.1055, Some(0.03)),
                prediction("mean time of POST /orders", FigureUnit::Ns, 14.1e6, 9.2e6, None),
                prediction("resident set, one process instead of two", FigureUnit::Bytes, 63e6, 51e6, Some(0.08)),
            ],
            downsides: vec![
                "Both scale together: search traffic would grow warehouse’s replicas too.".to_owned(),
                "A crash of one takes the other with it.".to_owned(),
                "The copies of product stay; they go only by a change of their own.".to_owned(),
            ],
            falsify: vec![
                "Run the demo with placement merged.toml: the kernel’s CPU seconds of both processes together must fall by 0.024 to 0.027 cores at the same load.".to_owned(),
                "If the overhead for each call is below 110 µs in a week’s data, the rule no longer holds.".to_owned(),
            ],
            first_step: "Send all lines of an order in one call (see “batch”): it takes most of the gain and can be taken back.".to_owned(),
            rule: "Merge when message overhead ÷ (overhead + work) exceeds the limit with the whole interval, and the memory term is smaller than the gain.".to_owned(),
            thresholds: vec![
                Threshold { name: "overhead share of the edge".to_owned(), limit: 0.5, found: Some(0.64), unit: FigureUnit::Ratio },
                Threshold { name: "ended requests".to_owned(), limit: 400.0, found: Some(7_920.0), unit: FigureUnit::Count },
            ],
            judgement: Some(Judgement {
                objective: "cores saved".to_owned(),
                draws: 1_000,
                candidates: 12,
                gain_found: 0.0121,
                gain: between(0.0115, 0.1, FigureUnit::Cores),
                improves: 0.97,
                cost_falls: 0.96,
                slo_kept: None,
                slo_kept_absent_reason: Some("no service-level objective is given".to_owned()),
                regret: measured(0.0001, FigureUnit::Cores),
                turns: vec![Turn {
                    input: "calls over the edge".to_owned(),
                    unit: FigureUnit::PerSecond,
                    point: 132.0,
                    low: 120.0,
                    high: 140.0,
                    gain_at_low: 0.01,
                    gain_at_high: 0.013,
                    turns_at: Some(11.5),
                }],
                experiment: "Link the two and compare.".to_owned(),
            }),
        },
        Recommendation {
            id: "rec:batch/orders".to_owned(),
            kind: RecommendationKind::Batch,
            verdict: Verdict::Do,
            verdict_reason: "Six calls for each request can be one, and five of six message costs go.".to_owned(),
            title: "Batch POST /reservations: one call for each order instead of six".to_owned(),
            subjects: vec![subject(SubjectKind::Operation, "store", "POST /orders")],
            gain: between(0.0214, 0.06, FigureUnit::Cores),
            evidence: vec![evidence("6 calls for each request of POST /orders.", &["edge:store/POST /orders→warehouse/POST /reservations"])],
            prediction: vec![prediction("calls a second", FigureUnit::PerSecond, 132.0, 22.0, Some(0.01))],
            downsides: vec!["One slow line holds up the whole order.".to_owned()],
            falsify: vec!["Calls for each request must be 1 in the next report.".to_owned()],
            first_step: "Add a batch route beside the old one and move one caller.".to_owned(),
            rule: "Batch when calls for each request are above the limit.".to_owned(),
            thresholds: vec![Threshold { name: "calls for each request".to_owned(), limit: 2.0, found: Some(6.0), unit: FigureUnit::PerRequest }],
            judgement: None,
        },
        Recommendation {
            id: "rec:split/closing".to_owned(),
            kind: RecommendationKind::Split,
            verdict: Verdict::Try,
            verdict_reason: "Short requests wait behind the closing; the gain is one of time and not of CPU.".to_owned(),
            title: "Split POST /closing/{month} out of accounting: short requests wait 9 times shorter".to_owned(),
            subjects: vec![subject(SubjectKind::Operation, "accounting", "POST /closing/{month}")],
            gain: measured(-0.004, FigureUnit::Cores),
            evidence: vec![evidence("One closing takes 50 ms of CPU, a balance 202 µs.", &["operation:accounting/POST /closing/{month}", "operation:accounting/GET /balance/{account}"])],
            prediction: vec![
                prediction("mean wait of GET /balance/{account}", FigureUnit::Ns, 2.6e6, 0.29e6, Some(0.3)),
                prediction("processes", FigureUnit::Count, 1.0, 2.0, None),
            ],
            downsides: vec!["One more process: 12 MiB and 0.004 cores.".to_owned()],
            falsify: vec!["p95 of GET /balance/{account} during a closing must fall below 1 ms.".to_owned()],
            first_step: "Run the closing in a second process of the same binary.".to_owned(),
            rule: "Split when the mixture’s wait without the long requests is less than a third of the wait with them.".to_owned(),
            thresholds: Vec::new(),
            judgement: None,
        },
        Recommendation {
            id: "rec:keep/store+accounting".to_owned(),
            kind: RecommendationKind::Keep,
            verdict: Verdict::Leave,
            verdict_reason: "They talk 22 times a second and scale apart; a merge would carry the export’s 73 MiB peak into every replica of store.".to_owned(),
            title: "Keep store and accounting apart".to_owned(),
            subjects: vec![subject(SubjectKind::Service, "store", ""), subject(SubjectKind::Service, "accounting", "")],
            gain: measured(0.0031, FigureUnit::Cores),
            evidence: vec![evidence("GET /export/{year} holds 73.2 MiB at its peak.", &["operation:accounting/GET /export/{year}"])],
            prediction: vec![prediction("memory of four replicas", FigureUnit::Bytes, 126e6, 410e6, None)],
            downsides: vec!["The messages of order.placed stay.".to_owned()],
            falsify: vec!["If order.placed grows past 400 a second, ask again.".to_owned()],
            first_step: "None: leave it.".to_owned(),
            rule: "Keep when the overhead saved is smaller than the memory and coupling bought.".to_owned(),
            thresholds: Vec::new(),
            judgement: None,
        },
        Recommendation {
            id: "rec:replicate/export".to_owned(),
            kind: RecommendationKind::Replicate,
            verdict: Verdict::CannotSay,
            verdict_reason: "Only 6 exports ended; 400 are needed.".to_owned(),
            title: "Replicating GET /export/{year} cannot be judged".to_owned(),
            subjects: vec![subject(SubjectKind::Operation, "accounting", "GET /export/{year}")],
            gain: unknown("too few requests", FigureUnit::Cores),
            evidence: Vec::new(),
            prediction: vec![Prediction {
                figure: "cores".to_owned(),
                unit: FigureUnit::Cores,
                before: None,
                after: None,
                low: None,
                high: None,
                interval_absent_reason: Some("too few requests".to_owned()),
                observe: None,
            }],
            downsides: Vec::new(),
            falsify: Vec::new(),
            first_step: "Run the load for an hour.".to_owned(),
            rule: "At least 30 windows and 400 ended requests.".to_owned(),
            thresholds: vec![Threshold { name: "ended requests".to_owned(), limit: 400.0, found: Some(6.0), unit: FigureUnit::Count }],
            judgement: None,
        },
    ]
}

pub(crate) fn quality() -> QualityReport {
    QualityReport {
        cpu_shares: vec![
            QualityShare { quality: QualityWord::Measured, share: 0.93 },
            QualityShare { quality: QualityWord::Apportioned, share: 0.07 },
        ],
        unexplained_share: measured(0.094, FigureUnit::Ratio),
        agent_share: measured(0.0087, FigureUnit::Ratio),
        clocks: vec![ClockNote { service: "store".to_owned(), mode: "thread".to_owned(), readings: measured(1_204_311.0, FigureUnit::Count) }],
        lost: measured(0.0, FigureUnit::Count),
        unknown_kinds: Vec::new(),
        seed: "9f3a66c1d0e2b457".to_owned(),
        method: vec!["CPU is booked by double entry: each reading of the thread’s clock closes one account and opens the next.".to_owned()],
        limits: vec!["One minute of load holds no daily peak.".to_owned()],
        formulas: vec![Formula {
            name: "Wait for a core".to_owned(),
            formula: "W = C(m, a) / (m μ − λ) · (c_a² + c_s²) / 2".to_owned(),
            source: "Allen–Cunneen; Erlang C by the recursion of B".to_owned(),
            limits: "Weak for m = 1 and c_s² above 10: then withheld.".to_owned(),
        }],
    }
}
