//! A change between two documents, as Markdown for a pull request.

use std::fmt::Write as _;

use super::markdown::{escape, figure};
use crate::compare::Budget;
use crate::document::{ChangeReport, CostChange};

/// Rows in the table; the page has all.
const ROWS: usize = 20;

/// The change in Markdown: whether the budget holds, the origins that changed most. Names are
/// escaped, so that none of them becomes markup.
#[must_use]
pub fn change_markdown(change: &ChangeReport, budget: Option<Budget>) -> String {
    let mut text = String::new();
    // Writing into a string cannot fail.
    let _ = write(&mut text, change, budget);
    text
}

fn write(out: &mut String, change: &ChangeReport, budget: Option<Budget>) -> std::fmt::Result {
    let over = budget.map(|budget| change.over(budget)).unwrap_or_default();
    writeln!(out, "## Weighbridge: cost of requests\n")?;
    let headline = crate::html::change_headline(change, budget, over.len());
    writeln!(out, "**{}**\n", escape(&headline))?;
    writeln!(
        out,
        "| request | unit cost before | after | change | more calls | dearer calls | verdict |"
    )?;
    writeln!(out, "|---|--:|--:|--:|--:|--:|---|")?;
    for row in change.origins.iter().take(ROWS) {
        line(out, row)?;
    }
    if change.origins.len() > ROWS {
        writeln!(
            out,
            "\n{} more stand in the page.",
            change.origins.len() - ROWS
        )?;
    }
    writeln!(out)?;
    for note in &change.notes {
        writeln!(out, "- {}", escape(note))?;
    }
    Ok(())
}

fn line(out: &mut String, row: &CostChange) -> std::fmt::Result {
    let change = match (row.unit_change.low, row.unit_change.high) {
        (Some(low), Some(high)) => format!(
            "{} ({:+.1} to {:+.1} %)",
            figure(&row.unit_change),
            low * 100.0,
            high * 100.0
        ),
        _ => figure(&row.unit_change),
    };
    writeln!(
        out,
        "| {} {} | {} | {} | {} | {} | {} | {} |",
        escape(&row.service),
        escape(&row.operation),
        figure(&row.unit_before),
        figure(&row.unit_after),
        change,
        figure(&row.more_calls),
        figure(&row.dearer_calls),
        row.verdict.as_str().replace('_', " ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::compare;
    use crate::testing::System;
    use crate::{Document, Options};

    fn document(name: &'static str, handler: i64) -> Document {
        let mut system = System::new(60);
        let us = [handler, 40_000, 40_000, 60_000, 60_000, 90_000];
        system.root("store", name, 20, us);
        Document::build(&system.range(), &Options::default())
    }

    #[test]
    fn a_name_can_neither_end_its_cell_nor_be_markup() {
        let name = "GET /a|b<img src=x>\n# head [x](javascript:1) @team";
        let change = compare(&document(name, 300_000), &document(name, 600_000));
        let text = change_markdown(&change, Some(Budget { percent: 10.0 }));
        let row = text
            .lines()
            .find(|line| line.contains("GET /a"))
            .expect("its row");
        let bare = row.replace("\\|", "");
        assert_eq!(bare.matches('|').count(), 8, "{row}");
        assert!(
            !text.contains("<img") && !text.contains("\n# head"),
            "{text}"
        );
        assert!(!text.replace("\\]", "").contains("](javascript"), "{text}");
    }
}
