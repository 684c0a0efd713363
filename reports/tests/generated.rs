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

use weighbridge_reports::document::QualityWord;
use weighbridge_reports::{Document, Options, html};
use weighbridge_wire::FoldedRange;

/// What the browser is told of a page.
#[derive(serde::Serialize)]
struct Page {
    /// The file's name.
    file: String,
    /// How many services it is about.
    services: usize,
    /// Largest size, bytes; absent where none is promised.
    bytes_max: Option<usize>,
    /// Longest time from the navigation to the first sorted table, ms; absent where none is promised.
    usable_within_ms: Option<u32>,
}

/// Largest page up to a hundred services, bytes.
const BYTES_MAX: usize = 1_500_000;

fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("WEIGHBRIDGE_TEST_REPORT_DIR").filter(|dir| !dir.is_empty())?;
    let folder = PathBuf::from(folder).join("generated");
    std::fs::create_dir_all(&folder).expect("the folder can be made");
    Some(folder)
}

/// Makes the page, holds it to its size, and leaves it for the browser, with what the browser is told of it.
fn page(name: &str, range: &FoldedRange, usable_within_ms: Option<u32>) -> (Document, String) {
    let document = Document::build(range, &Options::default());
    let html = html::render(&document);
    assert!(
        html.len() > 10_000,
        "{name} is a page: {} bytes",
        html.len()
    );
    let bytes_max = (document.services.len() <= 100).then_some(BYTES_MAX);
    if let Some(folder) = folder() {
        let page = Page {
            file: format!("{name}.html"),
            services: document.services.len(),
            bytes_max,
            usable_within_ms,
        };
        std::fs::write(folder.join(&page.file), &html).expect("the page can be written");
        let told = serde_json::to_string_pretty(&page).expect("it is JSON");
        std::fs::write(folder.join(format!("{name}.json")), told).expect("it can be written");
    }
    if let Some(most) = bytes_max {
        assert!(html.len() <= most, "{name}: {} bytes", html.len());
    }
    (document, html)
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
    assert!(html.contains("<section id=\"conservation\""));
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
