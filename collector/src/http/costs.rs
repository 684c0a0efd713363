//! Unit costs for whoever scrapes `/metrics`.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use weighbridge_reports::Document;
use weighbridge_reports::document::{Figure, OriginReport};
use weighbridge_reports::html::text::sanitize;

use crate::hash::hash64_hex;

/// Origins with series of their own: the dearest. The others are counted.
pub(super) const ORIGINS_MAX: usize = 200;
/// Longest label, characters.
const LABEL_CHARACTERS: usize = 200;
/// Stands before the hash of a name that is not shown as it is.
const MARK: char = '~';
/// Hexadecimal digits of such a hash.
const HASH_CHARACTERS: usize = 16;

/// What the families are called, what they say, and where they come from.
type Family = (
    &'static str,
    &'static str,
    fn(&OriginReport) -> (&Figure, f64),
);

const FAMILIES: [Family; 4] = [
    (
        "weighbridge_origin_cpu_seconds_per_request",
        "CPU over all services for one request that began here",
        |origin| (&origin.unit_cost.total, 1e-9),
    ),
    (
        "weighbridge_origin_requests_per_second",
        "Requests that began here and ended",
        |origin| (&origin.rate, 1.0),
    ),
    (
        "weighbridge_origin_cores",
        "Rate times unit cost",
        |origin| (&origin.cores, 1.0),
    ),
    (
        "weighbridge_origin_message_ratio",
        "Share of the unit cost that carries messages",
        |origin| (&origin.message_overhead.share, 1.0),
    ),
];

/// The families in the OpenMetrics text format, without the end mark. What is not known has no sample.
pub(super) fn unit_costs(document: &Document) -> String {
    let mut text = String::new();
    // Two samples of one family with the same labels would make the whole scrape invalid.
    let mut used = BTreeSet::new();
    let shown: Vec<(&OriginReport, String)> = document
        .origins
        .iter()
        .take(ORIGINS_MAX)
        .map(|origin| (origin, labels(origin)))
        .filter(|(_, labels)| used.insert(labels.clone()))
        .collect();
    for (name, help, pick) in FAMILIES {
        // Writing into a string does not fail.
        let _ = writeln!(text, "# HELP {name} {help}, over the last 5 minutes.");
        let _ = writeln!(text, "# TYPE {name} gauge");
        for (origin, labels) in &shown {
            let (figure, scale) = pick(origin);
            if let Some(value) = figure.value {
                let _ = writeln!(text, "{name}{{{labels}}} {}", value * scale);
            }
        }
    }
    let left = document.origins.len() - shown.len();
    let _ = writeln!(
        text,
        "# HELP weighbridge_origins_left_out Origins without series of their own: the cheapest.\n\
         # TYPE weighbridge_origins_left_out gauge\nweighbridge_origins_left_out {left}"
    );
    text
}

fn labels(origin: &OriginReport) -> String {
    format!(
        "service=\"{}\",operation=\"{}\"",
        label(&origin.service),
        label(&origin.operation)
    )
}

/// A name as the value of a label: no quote, line or control character ends it. A name that cannot be shown as it is
/// gets a hash of the whole, since several may look the same; so does one that looks as if it had such a hash.
fn label(name: &str) -> String {
    let mut clean = sanitize(name);
    if clean != name || clean.chars().count() > LABEL_CHARACTERS || ends_like_a_hash(name) {
        let head = LABEL_CHARACTERS - HASH_CHARACTERS - MARK.len_utf8();
        clean = clean.chars().take(head).collect();
        clean.push(MARK);
        clean.push_str(&hash64_hex(name));
    }
    clean.replace('\\', "\\\\").replace('"', "\\\"")
}

fn ends_like_a_hash(name: &str) -> bool {
    name.rsplit_once(MARK).is_some_and(|(_, end)| {
        end.len() == HASH_CHARACTERS && end.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use weighbridge_reports::Options;
    use weighbridge_wire::{
        FoldedRange, FoldedWindow, RowSet, RowValue, ServiceId, Window, column,
    };

    use super::*;
    use crate::testing::operation;

    #[test]
    fn a_name_stays_within_its_label() {
        let forged = label("GET /a\"} 1\nforged 7\\");
        assert!(
            forged.starts_with("GET /a\\\"} 1 forged 7\\\\~"),
            "{forged}"
        );
        assert!(label(&"x".repeat(5_000)).len() == 200);
        assert!(!label("\u{202e}\u{1b}[31m").contains(['\u{202e}', '\u{1b}']));
        // What can be shown as it is stays as it is.
        for name in ["POST /größe/{id}", "~", "", &"x".repeat(200)] {
            assert_eq!(label(name), name);
        }
    }

    /// A report on one service, at which requests of these names began.
    fn document(names: &[String]) -> Document {
        let mut rows = RowSet::new();
        for (name, ended) in names.iter().zip(1..) {
            let cost = RowValue::new()
                .with(column::ENDED, ended)
                .with(column::CPU_HANDLER_NS, 1_000_000);
            rows.add(operation(name), &cost);
        }
        let window = Window {
            start_unix_ns: 0,
            end_unix_ns: 1_000_000_000,
        };
        let service = ServiceId {
            service: "store".into(),
            ..ServiceId::default()
        };
        let range = FoldedRange {
            window,
            windows: vec![FoldedWindow {
                window,
                service,
                rows,
            }],
        };
        Document::build(&range, &Options::default())
    }

    /// The samples of a family: what stands between the braces, and the value.
    fn samples<'a>(text: &'a str, family: &str) -> Vec<(&'a str, f64)> {
        text.lines()
            .filter_map(|line| line.strip_prefix(family)?.strip_prefix('{'))
            .map(|rest| {
                let (labels, value) = rest.rsplit_once("} ").expect("labels and a value");
                (labels, value.parse().expect("a number"))
            })
            .collect()
    }

    #[test]
    fn names_that_look_the_same_have_series_of_their_own() {
        let hash = hash64_hex("GET /a\u{200b}");
        let names = [
            // Long, and different where a label ends.
            format!("GET /{}/a", "x".repeat(4_000)),
            format!("GET /{}/b", "x".repeat(4_000)),
            // Different in what nobody sees.
            "GET /a\u{200b}".into(),
            "GET /a\u{200c}".into(),
            "GET /a".into(),
            // Made to look like another's.
            format!("GET /a\u{fffd}~{hash}"),
            // Where only a line end differs.
            "GET /b\n".into(),
            "GET /b ".into(),
        ];
        let document = document(&names);
        assert_eq!(document.origins.len(), names.len());
        let text = unit_costs(&document);
        for (family, ..) in FAMILIES {
            let found = samples(&text, family);
            let labels: BTreeSet<&str> = found.iter().map(|(labels, _)| *labels).collect();
            assert_eq!(labels.len(), found.len(), "{family} in {text}");
        }
        // The rate tells the names apart: each has its own.
        let mut rates: Vec<f64> = samples(&text, "weighbridge_origin_requests_per_second")
            .into_iter()
            .map(|(_, rate)| rate)
            .collect();
        rates.sort_by(f64::total_cmp);
        assert_eq!(rates, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
        assert!(text.ends_with("weighbridge_origins_left_out 0\n"), "{text}");
        // The next scrape continues the series.
        assert_eq!(unit_costs(&document), text);
    }

    #[test]
    fn of_more_origins_than_may_have_series_the_cheapest_are_counted() {
        let names: Vec<String> = (0..=ORIGINS_MAX).map(|n| format!("GET /{n}")).collect();
        let mut document = document(&names);
        assert_eq!(document.origins.len(), 201);
        let last = document.origins[ORIGINS_MAX].operation.clone();
        let text = unit_costs(&document);
        let found = samples(&text, "weighbridge_origin_requests_per_second");
        assert_eq!(found.len(), 200);
        let cheapest = format!("operation=\"{last}\"");
        assert!(!text.contains(&cheapest), "{cheapest} in {text}");
        assert!(text.ends_with("weighbridge_origins_left_out 1\n"), "{text}");
        document.origins.truncate(ORIGINS_MAX);
        let text = unit_costs(&document);
        assert!(text.ends_with("weighbridge_origins_left_out 0\n"), "{text}");
    }
}
