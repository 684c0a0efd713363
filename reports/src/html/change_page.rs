//! The page of a change between two documents.

use askama::Template;

use super::anchors::Anchors;
use super::figure::{self, Show};
use super::format::{self, instant};
use super::markup::Markup;
use super::page::{SCRIPT, STYLE, policy};
use super::section;
use super::text::name;
use crate::compare::Budget;
use crate::document::{ChangeReport, ChangeSide, CostChange, FigureUnit};

#[derive(Template)]
#[template(path = "change_page.html")]
struct Page {
    policy: String,
    style: Markup,
    script: Markup,
    headline: String,
    base: String,
    head: String,
    over: Vec<String>,
    change: Markup,
}

/// Renders a change as one HTML file with the same promises as the report. The same change gives the same bytes.
#[must_use]
pub fn render_change(change: &ChangeReport, budget: Option<Budget>) -> String {
    let style = STYLE.trim();
    let script = SCRIPT.trim();
    let over = budget.map(|budget| change.over(budget)).unwrap_or_default();
    let page = Page {
        policy: policy(style, script),
        style: Markup::composed(style.to_owned()),
        script: Markup::composed(script.to_owned()),
        headline: headline(change, budget, over.len()),
        base: side(&change.base),
        head: side(&change.head),
        over: over.iter().map(|row| line(row)).collect(),
        change: section::change::of(Some(change), "diff.json", &Anchors::none()),
    };
    page.render().unwrap_or_default()
}

fn side(side: &ChangeSide) -> String {
    format!(
        "{} to {}",
        name(&instant(&side.start)),
        name(&instant(&side.end))
    )
}

/// What the comparison comes to, in one sentence.
pub(crate) fn headline(change: &ChangeReport, budget: Option<Budget>, over: usize) -> String {
    if change.is_empty() {
        return "Nothing can be compared: no origin has a unit cost on both sides".to_owned();
    }
    match budget {
        Some(budget) if over > 0 => format!(
            "Over budget: {} by more than {}",
            section::header::plural(
                over as u64,
                "kind of request became dearer",
                "kinds of requests became dearer"
            ),
            format::percent(budget.percent / 100.0)
        ),
        Some(budget) => format!(
            "Within budget: no kind of request became dearer by more than {}",
            format::percent(budget.percent / 100.0)
        ),
        None => "What changed: more calls, or dearer calls".to_owned(),
    }
}

/// One change in a sentence.
pub(crate) fn line(row: &CostChange) -> String {
    let shown = |value: Option<f64>, unit| {
        value.map_or_else(
            || "not known".to_owned(),
            |value| figure::quantity(value, unit, Show::Plain).to_string(),
        )
    };
    let interval = match (row.unit_change.low, row.unit_change.high) {
        (Some(low), Some(high)) => format!(
            " ({})",
            figure::range(low, high, FigureUnit::Ratio, Show::Plain)
        ),
        _ => String::new(),
    };
    format!(
        "{} of {}: {} to {} for one request, {}{}{interval}",
        name(&row.operation),
        name(&row.service),
        shown(row.unit_before.value, FigureUnit::NsPerRequest),
        shown(row.unit_after.value, FigureUnit::NsPerRequest),
        if row.unit_change.value.is_some_and(|x| x > 0.0) {
            "+"
        } else {
            ""
        },
        shown(row.unit_change.value, FigureUnit::Ratio),
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
    fn the_page_says_first_whether_the_budget_holds() {
        let change = compare(&document("GET /a", 300_000), &document("GET /a", 600_000));
        let over = render_change(&change, Some(Budget { percent: 10.0 }));
        assert!(
            over.contains("<h1>Over budget: 1 kind of request"),
            "{over}"
        );
        assert!(over.contains("GET /a of store: "));
        let within = render_change(&change, Some(Budget { percent: 90.0 }));
        assert!(within.contains("<h1>Within budget"));
        assert_eq!(over, render_change(&change, Some(Budget { percent: 10.0 })));
    }

    #[test]
    fn hostile_names_are_text() {
        let name = "</script><img src=x onerror=alert(1)>\u{202e}";
        let page = render_change(
            &compare(&document(name, 300_000), &document(name, 600_000)),
            Some(Budget { percent: 1.0 }),
        );
        assert!(!page.contains("<img") && !page.contains('\u{202e}'));
        assert_eq!(page.matches("</script").count(), 1);
    }
}
