//! The whole page.

use std::io::Write;

use askama::Template;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use super::anchors::Anchors;
use super::format::instant;
use super::markup::Markup;
use super::section;
use super::text::{embed_json, name};
use crate::document::Document;

/// The page's style sheet. Nothing in it comes from a document.
pub(super) const STYLE: &str = include_str!("../../templates/report.css");

/// The page's script. Nothing in it comes from a document.
pub(super) const SCRIPT: &str = include_str!("../../templates/report.js");

#[derive(Template)]
#[template(path = "page.html")]
struct Page<'a> {
    title: String,
    /// Sections are laid out when they come into sight.
    long: bool,
    policy: String,
    style: Markup,
    script: Markup,
    header: Markup,
    findings: Markup,
    origins: Markup,
    map: Markup,
    edges: Markup,
    entities: Markup,
    memory: Markup,
    services: Markup,
    capacity: Markup,
    recommendations: Markup,
    what_if: Markup,
    change: Markup,
    predictions: Markup,
    conservation: Markup,
    method: Markup,
    data: Data,
    contents: &'a [(&'a str, &'a str)],
}

/// The document in the page.
struct Data {
    /// Empty when the document could not be written.
    text: Markup,
    /// `json`, or `base64 of gzip` of it.
    packed: bool,
}

/// A longer document is embedded compressed: that of a hundred services has 3 MB, and packed a twentieth of it.
const PLAIN_BYTES: usize = 256 * 1024;

/// Up to so many bytes of JSON are packed as small as they get. Beyond, that takes seconds for a few percent.
const BEST_BYTES: usize = 64 << 20;

fn embedded(document: &Document) -> Data {
    let json = serde_json::to_string(document).unwrap_or_default();
    if json.len() <= PLAIN_BYTES {
        return Data {
            text: Markup::composed(embed_json(&json)),
            packed: false,
        };
    }
    // Writing into memory has no way to fail; an empty text would say so in the page.
    let level = if json.len() <= BEST_BYTES {
        Compression::best()
    } else {
        Compression::fast()
    };
    let mut packer = GzEncoder::new(Vec::new(), level);
    let packed = packer
        .write_all(json.as_bytes())
        .and_then(|()| packer.finish());
    Data {
        text: Markup::composed(STANDARD.encode(packed.unwrap_or_default())),
        packed: true,
    }
}

/// The sections with a heading, for the list of contents.
const CONTENTS: &[(&str, &str)] = &[
    ("findings", "Findings"),
    ("origins", "Cost per origin"),
    ("map", "Service map"),
    ("edges", "Message overhead"),
    ("entities", "Data, obstacles"),
    ("memory", "Memory"),
    ("services", "Services, instances"),
    ("capacity", "Capacity"),
    ("recommendations", "Recommendations"),
    ("what-if", "What if"),
    ("change", "Change"),
    ("predictions", "Predictions"),
    ("conservation", "Conservation"),
    ("quality", "Quality"),
    ("method", "Method and limits"),
    ("glossary", "Glossary"),
    ("data", "Download"),
];

/// From so many services on, laying out all sections takes longer than a reader waits.
const LONG: usize = 100;

/// Renders a document as one HTML file. The same document gives the same bytes.
///
/// It cannot fail: the templates are checked when this crate is compiled, and what a document holds only ever
/// becomes text. A document that cannot be written as JSON (a figure that is not finite) gives a page without the
/// embedded data, which then says so.
#[must_use]
pub fn render(document: &Document) -> String {
    let anchors = Anchors::of(document);
    let style = STYLE.trim();
    let script = SCRIPT.trim();
    let page = Page {
        title: title(document),
        long: document.services.len() > LONG,
        policy: policy(style, script),
        style: Markup::composed(style.to_owned()),
        script: Markup::composed(script.to_owned()),
        header: section::header::section(document),
        findings: section::findings::section(document, &anchors),
        origins: section::origins::section(document, &anchors),
        map: section::map_figure::section(document, &anchors),
        edges: section::edges::section(document, &anchors),
        entities: section::entities::section(document, &anchors),
        memory: section::memory::section(document, &anchors),
        services: section::services::section(document, &anchors),
        capacity: section::capacity::section(document, &anchors),
        recommendations: section::recommendations::section(document, &anchors),
        what_if: section::what_if::section(document, &anchors),
        change: section::change::section(document, &anchors),
        predictions: section::predictions::section(document),
        conservation: section::conservation::section(document, &anchors),
        method: section::method::section(document),
        data: embedded(document),
        contents: CONTENTS,
    };
    page.render().unwrap_or_default()
}

fn title(document: &Document) -> String {
    match document.services.len() {
        0 => "Weighbridge report".to_owned(),
        _ => format!(
            "Weighbridge report, {}",
            name(&instant(&document.window.start))
        ),
    }
}

/// Forbids everything but this very style and script.
pub(super) fn policy(style: &str, script: &str) -> String {
    format!(
        "default-src 'none'; style-src '{}'; script-src '{}'; base-uri 'none'; form-action 'none'",
        hash(style),
        hash(script)
    )
}

fn hash(text: &str) -> String {
    format!(
        "sha256-{}",
        STANDARD.encode(Sha256::digest(text.as_bytes()))
    )
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::Options;
    use crate::testing::System;

    /// What the builder makes of a rollup, not what a test thinks that it makes.
    pub(in crate::html) fn built() -> Document {
        let mut system = System::new(60);
        let orders = ("store", "POST /orders");
        system.root(
            orders.0,
            orders.1,
            20,
            [300_000, 40_000, 40_000, 60_000, 60_000, 90_000],
        );
        system.http(
            orders,
            ("warehouse", "POST /reservations"),
            20,
            12,
            240_000,
            60_000,
        );
        let booked = ("accounting", "CONSUME order.placed");
        system.message(orders, booked, 20, "order.placed", 80_000, 60_000);
        system.uses("store", "POST /orders", "order", "write", 20);
        system.size("store", "order", 5_000, 2 << 20);
        Document::build(&system.range(), &Options::default())
    }

    /// The values of an attribute, in their order.
    pub(in crate::html) fn values<'a>(html: &'a str, start: &str) -> Vec<&'a str> {
        html.match_indices(start)
            .filter_map(|(at, _)| {
                html[at + start.len()..]
                    .trim_start_matches('"')
                    .split(['"', '>', ' '])
                    .next()
            })
            .collect()
    }

    #[test]
    fn every_link_in_the_page_of_a_built_document_has_its_row() {
        let document = built();
        let html = render(&document);
        let body = html.split_once("</style>").map_or("", |(_, body)| body);
        let body = body
            .split_once("id=\"report\"")
            .map_or("", |(body, _)| body);
        let ids: BTreeSet<&str> = values(body, " id=").into_iter().collect();
        let links: Vec<&str> = values(body, "href=").into_iter().collect();
        assert!(links.len() > 40, "{}", links.len());
        for link in links {
            assert!(ids.contains(link.trim_start_matches(['"', '#'])), "{link}");
        }
        let anchors = Anchors::of(&document);
        // From the origin down to the edges on its way.
        let inside = html
            .split_once("<p class=small>Edges on its way: ")
            .map_or("", |(_, rest)| rest);
        let inside = inside.split_once("</p>").map_or("", |(links, _)| links);
        for edge in &document.edges {
            let link = format!("href=#{}", anchors.slug(&edge.id));
            assert!(inside.contains(&link), "{link} in {inside}");
        }
        for edge in &document.edges {
            assert!(ids.contains(anchors.slug(&edge.id)), "{}", edge.id);
        }
        for recommendation in &document.recommendations {
            for row in recommendation
                .evidence
                .iter()
                .flat_map(|evidence| &evidence.rows)
            {
                assert!(
                    ids.contains(anchors.slug(row)),
                    "evidence {row} is on the page"
                );
            }
        }
    }

    #[test]
    fn built_documents_give_the_same_bytes() {
        assert_eq!(render(&built()), render(&built()));
    }
}
