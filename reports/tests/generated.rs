//! Reports of generated rollups, from the ledger to the page: none, one and a thousand services, holes, estimates,
//! extremes, hostile names.
//!
//! With `WEIGHBRIDGE_TEST_REPORT_DIR` the pages are left in its folder `generated`, beside a list of them, for
//! whoever looks at them in a browser.

#[cfg(test)]
#[path = "support/systems.rs"]
mod systems;
#[cfg(test)]
#[allow(
    dead_code,
    reason = "shared with the crate's own tests, which use all of it"
)]
#[path = "../src/testing.rs"]
mod testing;

use std::path::PathBuf;

use weighbridge_reports::compare::{Budget, compare};
use weighbridge_reports::document::QualityWord;
use weighbridge_reports::{Document, Ignore, Options, Prices, formats, html, redact};
use weighbridge_wire::FoldedRange;

/// What the browser is told of a page.
#[derive(Default, serde::Serialize)]
struct Page {
    /// The file's name.
    file: String,
    /// True for the page of `diff`, which has one section and no document.
    change: bool,
    /// Tables that hold rows, by their ids; beside those that every page of its kind has.
    tables: Vec<&'static str>,
    /// Whether axe-core looks at it too: not all, each takes seconds.
    accessible: bool,
    /// How many services it is about.
    services: usize,
    /// Largest size, bytes; absent where none is promised.
    bytes_max: Option<usize>,
    /// Longest time from the navigation to the first sorted table, ms; absent where none is promised.
    usable_within_ms: Option<u32>,
}

/// Largest page up to a hundred services, bytes.
const BYTES_MAX: usize = 1_500_000;

/// The same where each service has ten operations, regions and three processes.
const RICH_BYTES_MAX: usize = 3_200_000;

fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("WEIGHBRIDGE_TEST_REPORT_DIR").filter(|dir| !dir.is_empty())?;
    let folder = PathBuf::from(folder).join("generated");
    std::fs::create_dir_all(&folder).expect("the folder can be made");
    Some(folder)
}

/// Makes the page, holds it to its size, and leaves it for the browser, with what the browser is told of it.
fn page(name: &str, range: &FoldedRange, usable_within_ms: Option<u32>) -> (Document, String) {
    let document = Document::build(range, &Options::default());
    let told = Page {
        usable_within_ms,
        accessible: ["services-3", "estimated", "hostile-00"].contains(&name),
        ..Page::default()
    };
    let html = leave(name, &document, told);
    (document, html)
}

/// Holds the page of a document to its size and leaves it, and the document, for the browser.
fn leave(name: &str, document: &Document, told: Page) -> String {
    let html = html::render(document);
    let told = Page {
        services: document.services.len(),
        bytes_max: (document.services.len() <= 100).then_some(BYTES_MAX),
        ..told
    };
    let bytes_max = told.bytes_max;
    write(name, &html, told);
    if let Some(folder) = folder() {
        let folder = folder.join("documents");
        std::fs::create_dir_all(&folder).expect("the folder can be made");
        let text = formats::json(document).expect("it is JSON");
        std::fs::write(folder.join(format!("{name}.json")), text).expect("it can be written");
    }
    if let Some(most) = bytes_max {
        assert!(html.len() <= most, "{name}: {} bytes", html.len());
    }
    html
}

/// Leaves a page for the browser, with what the browser is told of it.
fn write(name: &str, html: &str, told: Page) {
    assert!(
        html.len() > 10_000,
        "{name} is a page: {} bytes",
        html.len()
    );
    let Some(folder) = folder() else {
        return;
    };
    let told = Page {
        file: format!("{name}.html"),
        ..told
    };
    std::fs::write(folder.join(&told.file), html).expect("the page can be written");
    let told = serde_json::to_string_pretty(&told).expect("it is JSON");
    std::fs::write(folder.join(format!("{name}.json")), told).expect("it can be written");
}

/// What only some reports have: prices, a baseline, an earlier report whose advice was followed, and advice that
/// somebody left.
#[test]
fn a_report_with_prices_a_baseline_an_earlier_report_and_an_ignore_file() {
    let mut options = Options {
        prices: Some(Prices {
            core_hour: 0.031,
            gib_hour: 0.0042,
            currency: "EUR".to_owned(),
        }),
        ..Options::default()
    };
    let before = Document::build(&systems::shop(), &options);
    let after = systems::shop_after_advice();
    let left = Document::build(&after, &options).recommendations[0]
        .id
        .clone();
    options.ignore = vec![Ignore {
        id: left,
        reason: "two teams, <b>one</b> deadline".to_owned(),
        until: "2099-01-31".to_owned(),
    }];
    let mut document = Document::build(&after, &options);
    let change = compare(&before, &document);
    document.change = Some(change.clone());
    document.compare_with_earlier(&before);

    assert_eq!(document.suppressed.len(), 1);
    let scored = document.after.as_ref().expect("scored");
    assert!(
        scored.outcomes.iter().any(|outcome| outcome.applied),
        "advice was followed: {:?}",
        scored.outcomes
    );
    assert!(scored.score.figures > 0, "{:?}", scored.score);
    assert!(change.origins.len() > 2, "{change:?}");
    let told = Page {
        tables: vec![
            "t-change-origins",
            "t-change-operations",
            "t-predictions",
            "t-score",
        ],
        accessible: true,
        ..Page::default()
    };
    let html = leave("filled", &document, told);
    assert!(html.contains("<h3>Left on purpose: <data value=1 data-as=count>1</data></h3>"));
    let body = html.split("id=\"report\"").next().expect("a body");
    assert!(body.contains("two teams, ") && !body.contains("<b>one</b>"));
    let money = document.origins[0].money.as_ref().and_then(|m| m.value);
    assert!(money.is_some_and(|money| money > 0.0), "{money:?}");

    let budget = Some(Budget { percent: 10.0 });
    let html = html::render_change(&change, budget);
    assert!(
        html.contains("<h1>Over budget: 1 kind of request"),
        "{html}"
    );
    let told = Page {
        change: true,
        tables: vec!["t-change-origins", "t-change-operations"],
        accessible: true,
        ..Page::default()
    };
    write("diff", &html, told);
}

#[test]
fn a_redacted_report_is_a_whole_page_without_a_name() {
    let told = Page {
        accessible: true,
        ..Page::default()
    };
    let document = Document::build(&redact(&systems::shop()), &Options::default());
    let html = leave("redacted", &document, told);
    let body = html.split_once("<body>").expect("a body").1;
    for name in ["warehouse", "POST /orders", "order.placed", "closing"] {
        assert!(!body.contains(name), "{name}");
    }
    assert_eq!(document.services.len(), 3);
}

#[test]
fn none_one_and_three_services() {
    let (none, _) = page("services-0", &systems::none(), None);
    assert!(none.services.is_empty() && none.origins.is_empty());
    let (one, _) = page("services-1", &systems::one(), None);
    assert_eq!((one.services.len(), one.edges.len()), (1, 0));
    let shop = systems::shop();
    assert!(systems::has_both_modes(&shop));
    let (three, _) = page("services-3", &shop, None);
    assert_eq!(three.services.len(), 3);
    assert!(three.edges.len() >= 3 && three.entities.len() >= 4);
    assert!(!three.recommendations.is_empty());
}

#[test]
fn a_hundred_services_fit_into_one_and_a_half_megabytes() {
    let (document, html) = page("services-100", &systems::many(100, 30), None);
    assert_eq!(document.services.len(), 100);
    println!("100 services: {} bytes", html.len());
}

/// A thousand operations, regions and three hundred processes: what the page is when services are as large as real ones.
#[test]
fn a_hundred_large_services_have_a_page() {
    let document = Document::build(&systems::rich(100, 30), &Options::default());
    let instances = document
        .services
        .iter()
        .map(|s| s.instances.len())
        .sum::<usize>();
    let operations = document.services.iter().flat_map(|s| &s.operations);
    let regions = operations.clone().map(|o| o.regions.len()).sum::<usize>();
    assert_eq!((document.services.len(), instances), (100, 300));
    assert!(
        operations.count() > 900 && regions > 1_000,
        "{regions} regions"
    );
    assert!(document.edges.len() > 300, "{} edges", document.edges.len());
    let html = html::render(&document);
    println!(
        "100 services with {instances} processes, {regions} regions and {} edges: {} bytes",
        document.edges.len(),
        html.len()
    );
    assert!(html.len() <= RICH_BYTES_MAX, "{} bytes", html.len());
}

#[test]
fn a_thousand_services_have_a_page() {
    let (document, html) = page("services-1000", &systems::many(1_000, 4), Some(1_000));
    assert_eq!(document.services.len(), 1_000);
    assert!(document.edges.len() > 900);
    println!("1000 services: {} bytes", html.len());
}

#[test]
fn one_origin_and_no_edges() {
    let (document, _) = page("one-origin", &systems::one_origin(), None);
    assert_eq!((document.origins.len(), document.services.len()), (1, 4));
    let (document, _) = page("no-edges", &systems::no_edges(), None);
    assert_eq!((document.edges.len(), document.services.len()), (0, 3));
}

#[test]
fn a_hole_is_said() {
    let (document, html) = page("hole", &systems::with_a_hole(), None);
    assert!(document.window.windows < 40);
    let notes = document.window.notes.join(" ");
    assert!(notes.contains("accounting"), "{notes}");
    // 14 of 40 windows are missing of two services, and the third came late: what is covered of 40.
    let percent = document.window.windows * 100 / 40;
    let said = format!("Windows cover {percent} % of the range");
    assert_eq!(percent, 65);
    assert!(notes.contains(&said), "{said}: {notes}");
    assert!(html.contains(&said), "{said} is on the page");
}

#[test]
fn estimates_alone_are_said_to_be_estimates() {
    let (document, _) = page("estimated", &systems::only_estimated(), None);
    let operations = document.services.iter().flat_map(|s| &s.operations);
    let costs: Vec<_> = operations.map(|o| &o.cpu_per_request.total).collect();
    assert!(costs.iter().any(|cost| cost.value.is_some()));
    for share in costs.iter().flat_map(|cost| &cost.quality) {
        assert_eq!(share.quality, QualityWord::Estimated);
    }
}

#[test]
fn a_service_whose_cpu_is_not_known_is_left_out_of_the_sums_and_that_is_said() {
    let (document, html) = page("unknown", &systems::one_unknown(), None);
    let of = |name: &str| {
        let capacity = document.capacity.services.iter();
        capacity
            .clone()
            .find(|s| s.service == name)
            .expect("a service")
    };
    assert_eq!(of("accounting").points[0].cores.value, None);
    let known = ["store", "warehouse"].map(|name| of(name).points[0].cores.value);
    let sum: f64 = known.iter().map(|cores| cores.expect("known")).sum();
    let total = document.capacity.total_cores[0].value.expect("known");
    assert!((total - sum).abs() < 1e-9, "{total} is not {sum}");
    let notes = document.capacity.notes.join(" ");
    assert!(
        notes.contains("are without accounting, whose CPU"),
        "{notes}"
    );
    assert!(html.contains(
        "All services<small>without <data value=1 data-as=count>1</data> service</small>"
    ));
}

#[test]
fn figures_from_a_nanosecond_to_years() {
    let (document, html) = page("extremes", &systems::extremes(), None);
    let cost = |service: &str| {
        let origin = document.origins.iter().find(|o| o.service == service);
        origin.and_then(|o| o.unit_cost.total.value).unwrap_or(0.0)
    };
    assert!((1.0..100.0).contains(&cost("quick")), "{}", cost("quick"));
    assert!(cost("slow") > 3.15e16, "{}", cost("slow"));
    assert!(html.contains("<i>years</i>"));
}

#[test]
fn names_of_one_byte_and_of_four_kilobytes() {
    let (document, _) = page("names-short", &systems::short_names(), None);
    assert!(document.services.iter().all(|s| s.service.len() == 1));
    let (document, _) = page("names-long", &systems::long_names(), None);
    assert!(document.services.iter().all(|s| s.service.len() == 4_096));
}

#[test]
fn hostile_names_in_every_place() {
    for turn in 0..systems::HOSTILE.len() {
        let (document, html) = page(&format!("hostile-{turn:02}"), &systems::hostile(turn), None);
        assert_eq!(document.services.len(), 3);
        assert!(!html.contains("<img") && !html.contains("onload='"));
    }
}
