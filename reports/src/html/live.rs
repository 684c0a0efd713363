//! The parts of the page that are shown live.

use super::anchors::Anchors;
use super::page::{SCRIPT, STYLE};
use super::section;
use crate::document::Document;

/// The page's style sheet, for who serves it as a file of its own.
#[must_use]
pub fn style() -> &'static str {
    STYLE
}

/// The page's script, for who serves it as a file of its own. It gives `weighbridge.enhance(root)`, which makes
/// tables sortable that came after the page.
#[must_use]
pub fn script() -> &'static str {
    SCRIPT
}

/// What a document says of now: the same tiles, charts and tables as the report, without what needs a longer range
/// (findings, recommendations, growth, comparisons) and without what is made for one look at it (flame graphs, sliders).
/// No script, style or reference to anything outside is in it; the same document gives the same bytes.
#[must_use]
pub fn render_live(document: &Document) -> String {
    let anchors = Anchors::live(document);
    let parts = [
        section::header::tiles_alone(document),
        section::origins::live(document, &anchors),
        section::map_figure::section(document, &anchors),
        section::edges::section(document, &anchors),
        section::entities::section(document, &anchors),
        section::memory::section(document, &anchors),
        section::services::section(document, &anchors),
        section::capacity::live(document, &anchors),
        section::conservation::section(document, &anchors),
    ];
    parts.map(|part| part.to_string()).concat()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::page::tests::{built, values};
    use super::*;
    use crate::testing::System;
    use crate::{Document, Options};

    #[test]
    fn it_holds_the_tables_of_the_report_and_nothing_that_runs() {
        let mut system = System::new(60);
        let us = [300_000, 40_000, 40_000, 60_000, 60_000, 90_000];
        system.root("store", "GET /<img src=x onerror=alert(1)>", 20, us);
        let html = render_live(&Document::build(&system.range(), &Options::default()));
        for id in [
            "t-origins",
            "t-services",
            "t-memory",
            "t-capacity",
            "id=\"edges\"",
            "class=\"tiles\"",
        ] {
            assert!(html.contains(id), "{id}");
        }
        for word in ["<script", "<style", "<img", "style=", "http:"] {
            assert!(!html.contains(word), "{word}");
        }
    }

    #[test]
    fn every_link_leads_to_a_row_that_is_shown_and_an_origin_leads_to_the_edges_on_its_way() {
        let document = built();
        let html = render_live(&document);
        let ids: BTreeSet<&str> = values(&html, " id=").into_iter().collect();
        let links = values(&html, "href=");
        assert!(links.len() > 40, "{}", links.len());
        for link in links {
            assert!(ids.contains(link.trim_start_matches(['"', '#'])), "{link}");
        }
        let anchors = Anchors::of(&document);
        let (_, inside) = html
            .split_once("<p class=small>Edges on its way: ")
            .expect("links of an origin");
        let (inside, _) = inside.split_once("</p>").expect("their end");
        for edge in &document.edges {
            let link = format!("href=#{}", anchors.slug(&edge.id));
            assert!(inside.contains(&link), "{link} in {inside}");
        }
    }
}
