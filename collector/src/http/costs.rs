//! Unit costs for whoever scrapes `/metrics`.

use std::fmt::Write as _;

use weighbridge_reports::Document;
use weighbridge_reports::document::Figure;
use weighbridge_reports::html::text::sanitize;

/// Origins with series of their own: the dearest. The others are counted.
pub(super) const ORIGINS_MAX: usize = 200;
/// Longest label, characters.
const LABEL_CHARACTERS: usize = 200;

/// What the families are called, what they say, and where they come from.
type Family = (
    &'static str,
    &'static str,
    fn(&weighbridge_reports::document::OriginReport) -> (&Figure, f64),
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
    for (name, help, pick) in FAMILIES {
        // Writing into a string does not fail.
        let _ = writeln!(text, "# HELP {name} {help}, over the last 5 minutes.");
        let _ = writeln!(text, "# TYPE {name} gauge");
        for origin in document.origins.iter().take(ORIGINS_MAX) {
            let (figure, scale) = pick(origin);
            if let Some(value) = figure.value {
                let _ = writeln!(
                    text,
                    "{name}{{service=\"{}\",operation=\"{}\"}} {}",
                    label(&origin.service),
                    label(&origin.operation),
                    value * scale
                );
            }
        }
    }
    let left = document.origins.len().saturating_sub(ORIGINS_MAX);
    let _ = writeln!(
        text,
        "# HELP weighbridge_origins_left_out Origins without series of their own: the cheapest.\n\
         # TYPE weighbridge_origins_left_out gauge\nweighbridge_origins_left_out {left}"
    );
    text
}

/// A name as the value of a label: no quote, line or control character ends it.
fn label(name: &str) -> String {
    let mut out = String::new();
    for c in sanitize(name).chars().take(LABEL_CHARACTERS) {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::label;

    #[test]
    fn a_name_stays_within_its_label() {
        assert_eq!(
            label("GET /a\"} 1\nforged 7\\"),
            "GET /a\\\"} 1 forged 7\\\\"
        );
        assert!(label(&"x".repeat(5_000)).len() == 200);
        assert!(!label("\u{202e}\u{1b}[31m").contains(['\u{202e}', '\u{1b}']));
    }
}
