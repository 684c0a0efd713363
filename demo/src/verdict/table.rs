//! The tables on standard output.

use std::fmt::Write as _;
use std::path::Path;

use comfy_table::{ContentArrangement, Table, presets};

use super::Line;

/// Width that fits a terminal of the usual size and a page.
const WIDTH: u16 = 118;

/// Renders planted truths and checks.
pub(super) fn render(truths: &[Line], checks: &[Line]) -> String {
    let mut text = String::from("Planted truths\n");
    text.push_str(&lines(
        ["truth", "expected", "found", "evidence", "verdict"],
        truths,
        ["✓ found", "✗ missed"],
    ));
    text.push_str("\nDoes it add up?\n");
    text.push_str(&lines(
        ["check", "expected", "found", "evidence", "verdict"],
        checks,
        ["✓ holds", "✗ fails"],
    ));
    let missed: Vec<&str> = truths
        .iter()
        .chain(checks)
        .filter(|line| line.holds == Some(false))
        .map(|line| line.name.as_str())
        .collect();
    let found = truths
        .iter()
        .filter(|line| line.holds == Some(true))
        .count();
    let planted = truths.iter().filter(|line| line.holds.is_some()).count();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "\n{found} of {planted} planted truths found.");
    if !missed.is_empty() {
        let _ = writeln!(text, "Not as expected: {}.", missed.join("; "));
    }
    text
}

fn lines(header: [&str; 5], lines: &[Line], [yes, no]: [&str; 2]) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::ASCII_FULL)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(WIDTH)
        .set_header(header);
    for line in lines {
        let verdict = match line.holds {
            Some(true) => yes,
            Some(false) => no,
            None => "– not here",
        };
        table.add_row([
            line.name.as_str(),
            &line.expected,
            &line.found,
            &line.evidence,
            verdict,
        ]);
    }
    format!("{table}\n")
}

/// Where the report is and what to do with it.
pub(crate) fn next_step(report: &Path) -> String {
    format!(
        "\nReport: {}\n\nWeigh your own service: add `weighbridge-agent`, then\n\
         \x20   let _agent = weighbridge_agent::init();\n\
         \x20   let app = router.layer(weighbridge_agent::layer());\n\
         \x20   weighbridge_agent::serve(listener, app).await\n\
         Start `weighbridge collect`, set WEIGHBRIDGE_ENDPOINT=http://127.0.0.1:4318 for the service, send it \
         requests,\nthen `weighbridge report --from http://127.0.0.1:4318`.\n",
        report.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, holds: Option<bool>) -> Line {
        Line {
            name: name.to_owned(),
            expected: "merge".to_owned(),
            found: "nothing".to_owned(),
            evidence: "none".to_owned(),
            holds,
        }
    }

    #[test]
    fn what_was_missed_is_said_in_words_and_what_is_not_there_does_not_count() {
        let truths = [
            line("one", Some(true)),
            line("two", Some(false)),
            line("three", None),
        ];
        let text = render(&truths, &[line("sum", Some(true))]);
        assert!(text.contains("1 of 2 planted truths found."), "{text}");
        assert!(text.contains("Not as expected: two."), "{text}");
        assert!(
            text.contains("✗ missed") && text.contains("– not here"),
            "{text}"
        );
        assert!(
            text.lines()
                .all(|line| line.chars().count() <= WIDTH as usize),
            "{text}"
        );
    }
}
