//! The page as a whole: nothing gets out of it, nothing gets into it, nothing is left out.

#[path = "support/sample.rs"]
mod sample;

#[path = "support/hostile.rs"]
mod hostile;

#[path = "page/lists.rs"]
mod lists;

#[path = "page/shown.rs"]
mod shown;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use weighbridge_reports::Document;
use weighbridge_reports::html::render;

use hostile::{hostile, is_deceptive, with_every_text};

/// The page without what is in its data element.
fn without_data(html: &str) -> String {
    let start = html.find("id=\"report\">").expect("the data element");
    let end = start + html[start..].find("</script>").expect("its end");
    format!("{}{}", &html[..start], &html[end..])
}

/// The markup without the marks around figures in sentences, so that these read as people see them.
fn unmarked(html: &str) -> String {
    let mut parts = html.split("<data ");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (_, words) = part.split_once('>').expect("the end of the tag");
        out += &words.replacen("</data>", "", 1);
    }
    out
}

/// One section of a page, every space in it a plain one.
fn section(html: &str, id: &str) -> String {
    let start = html.find(&format!("<section id=\"{id}\"")).expect(id);
    let end = start + html[start..].find("</section>").expect("its end");
    html[start..end].replace(['\u{a0}', '\u{2009}'], " ")
}

/// Start tags with their attributes, read as a browser does: quotes shield `>`.
fn tags(html: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut found = Vec::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        if !rest.starts_with(|c: char| char::is_ascii_alphabetic(&c)) {
            continue;
        }
        let name: String = rest
            .chars()
            .take_while(char::is_ascii_alphanumeric)
            .collect();
        rest = &rest[name.len()..];
        let mut attributes = Vec::new();
        loop {
            rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
            let Some(first) = rest.chars().next() else {
                break;
            };
            if first == '>' {
                break;
            }
            let key_end =
                rest.find(|c: char| c == '=' || c == '>' || c == '/' || c.is_ascii_whitespace());
            let key = rest[..key_end.unwrap_or(rest.len())].to_owned();
            rest = &rest[key.len()..];
            let mut value = String::new();
            if let Some(after) = rest.strip_prefix('=') {
                let (text, left) = match after.chars().next() {
                    Some(quote @ ('"' | '\'')) => {
                        let end = after[1..].find(quote).map_or(after.len(), |end| end + 1);
                        (&after[1..end], after.get(end + 1..).unwrap_or_default())
                    }
                    _ => after.split_at(
                        after
                            .find(|c: char| c == '>' || c.is_ascii_whitespace())
                            .unwrap_or(after.len()),
                    ),
                };
                value = text.to_owned();
                rest = left;
            }
            attributes.push((key, value));
        }
        let raw_end = match name.as_str() {
            "script" => rest.find("</script"),
            "style" => rest.find("</style"),
            _ => None,
        };
        rest = &rest[raw_end.unwrap_or(0)..];
        found.push((name, attributes));
    }
    found
}

/// What holds for each page, whatever the document.
fn assert_safe(html: &str, what: &str) {
    const ELEMENTS: &[&str] = &[
        "a",
        "abbr",
        "article",
        "b",
        "body",
        "br",
        "button",
        "caption",
        "circle",
        "code",
        "data",
        "dd",
        "defs",
        "desc",
        "details",
        "div",
        "dl",
        "dt",
        "em",
        "figcaption",
        "figure",
        "footer",
        "form",
        "g",
        "h1",
        "h2",
        "h3",
        "h4",
        "head",
        "header",
        "html",
        "i",
        "input",
        "label",
        "li",
        "line",
        "main",
        "mark",
        "marker",
        "meta",
        "nav",
        "ol",
        "output",
        "p",
        "path",
        "polygon",
        "polyline",
        "rect",
        "script",
        "section",
        "small",
        "span",
        "style",
        "summary",
        "sup",
        "svg",
        "table",
        "tbody",
        "td",
        "text",
        "th",
        "thead",
        "time",
        "title",
        "tr",
        "ul",
    ];
    // Attributes that are only ever read as text.
    const WORDS: &[&str] = &[
        "aria-label",
        "title",
        "datetime",
        "content",
        "data-currency",
    ];
    if let Some(c) = html.chars().find(|c| is_deceptive(*c)) {
        panic!("{what}: {c:?} is on the page");
    }
    for (name, attributes) in tags(html) {
        assert!(
            ELEMENTS.contains(&name.as_str()),
            "{what}: <{name}> is none of ours"
        );
        for (key, value) in attributes {
            assert!(!key.starts_with("on"), "{what}: {name} has {key}={value}");
            assert!(
                key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'),
                "{what}: attribute {key:?} in {name}"
            );
            // Drawings refer to their own arrow heads and to nothing else.
            for (at, _) in value
                .match_indices("url(")
                .filter(|_| !WORDS.contains(&key.as_str()))
            {
                assert!(
                    value[at..].starts_with("url(#"),
                    "{what}: {name} has {key}={value}"
                );
            }
            match key.as_str() {
                "href" => assert!(value.starts_with('#'), "{what}: link to {value}"),
                "src" | "srcset" | "style" | "data" | "action" | "background" => {
                    panic!("{what}: {name} has {key}")
                }
                "id" => assert!(
                    value.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'),
                    "{what}: id {value}"
                ),
                _ => {}
            }
        }
    }
    let outside = without_data(html);
    let style = html
        .split_once("<style>")
        .and_then(|(_, rest)| rest.split_once("</style>"))
        .expect("the style")
        .0;
    assert!(
        !style.contains("@import") && !style.contains("url("),
        "{what}"
    );
    assert_eq!(
        html.matches("<script").count(),
        2,
        "{what}: the data and the script"
    );
    assert_eq!(html.matches("</script").count(), 2, "{what}");
    assert_eq!(html.matches("<style").count(), 1, "{what}");
    let body = &outside[..outside.rfind("<script>").expect("the script")];
    assert!(
        !body.contains("NaN") && !body.contains("not a number"),
        "{what}"
    );
}

#[test]
fn s5_hostile_text_in_every_field_stays_text() {
    let document = sample::whole();
    for name in hostile() {
        let html = render(&with_every_text(&document, &name));
        let shown: String = name.chars().take(40).collect();
        assert_safe(&html, &shown);
        // Words that would only stand on the page if something was not escaped.
        assert!(
            !html.contains("<img") && !html.contains("<svg/onload"),
            "{shown}"
        );
        assert!(html.len() < 1_500_000, "{shown}: {} bytes", html.len());
    }
}

#[test]
fn hostile_names_in_one_place_leave_the_others_readable() {
    for name in hostile() {
        let mut document = sample::erp();
        document.services[0].operations[0]
            .operation
            .clone_from(&name);
        document.origins[0].operation.clone_from(&name);
        let html = render(&document);
        assert_safe(&html, "one name");
        assert!(html.contains("GET /balance/{account}"));
        assert!(html.contains("id=\"glossary\""));
    }
}

#[test]
fn policy_names_the_very_style_and_script() {
    let html = render(&sample::erp());
    let policy = html
        .split_once("Content-Security-Policy\" content=\"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .map(|(policy, _)| policy)
        .expect("a policy");
    let inner = |open: &str, close: &str| {
        let start = html.rfind(open).expect(open) + open.len();
        let end = start + html[start..].find(close).expect(close);
        format!(
            "'sha256-{}'",
            STANDARD.encode(Sha256::digest(&html.as_bytes()[start..end]))
        )
    };
    let style = inner("<style>", "</style>");
    let script = inner("<script>", "</script>");
    assert_eq!(
        policy,
        format!(
            "default-src 'none'; style-src {style}; script-src {script}; base-uri 'none'; form-action 'none'"
        )
    );
}

#[test]
fn nothing_on_the_page_leads_out_of_it() {
    let html = without_data(&render(&sample::erp()));
    for word in ["http://", "https://", "//cdn", "file:", "ws://"] {
        assert!(!html.contains(word), "{word}");
    }
}

#[test]
fn embedded_document_is_the_document() {
    let mut document = sample::erp();
    document.services[0].service = "</script><!-- \u{202e}'&".to_owned();
    let html = render(&document);
    assert!(html.contains("type=\"application/json\" id=\"report\""));
    let data = html
        .split_once("id=\"report\">")
        .and_then(|(_, rest)| rest.split_once("</script>"))
        .expect("data")
        .0;
    let back: Document = serde_json::from_str(data).expect("the document");
    assert_eq!(back, document);
}

#[test]
fn long_documents_are_embedded_packed_and_come_back() {
    let document = sample::many(30);
    let html = render(&document);
    assert!(html.contains("type=\"text/plain\" id=\"report\""));
    let data = html
        .split_once("id=\"report\">")
        .and_then(|(_, rest)| rest.split_once("</script>"))
        .expect("data")
        .0;
    let packed = STANDARD.decode(data).expect("base64");
    let back: Document = serde_json::from_reader(flate2::read::GzDecoder::new(packed.as_slice()))
        .expect("gzip of JSON");
    assert_eq!(back, document);
}

#[test]
fn same_document_same_bytes() {
    assert_eq!(render(&sample::erp()), render(&sample::erp()));
    assert_eq!(render(&sample::many(20)), render(&sample::many(20)));
}

#[test]
fn a_hundred_services_fit_into_one_and_a_half_megabytes() {
    let html = render(&sample::many(100));
    assert_safe(&html, "100 services");
    assert!(html.len() <= 1_500_000, "{} bytes", html.len());
    assert!(html.contains("service-099"));
}

#[test]
fn cuts_of_the_system_stand_with_the_recommendations() {
    let mut document = sample::erp();
    let part = |html: &str| section(html, "recommendations");
    let found = document.topologies.as_mut().expect("cuts");
    let cut = found.proposals.iter_mut().find(|p| !p.steps.is_empty());
    cut.expect("a cut").latency_of = Some("GET /stock of <warehouse>".to_owned());
    let shown = part(&render(&document));
    for text in [
        "<h3 id=\"topologies\">",
        "merge store and warehouse",
        "as it is",
        "t-search",
        "t-topologies",
        "t-deployables",
        "store+warehouse",
        "<small class=w>GET /stock of &lt;warehouse&gt;</small>",
        "In every cut: store and warehouse share no lock",
    ] {
        assert!(shown.contains(text), "{text}");
    }
    let found = document.topologies.as_mut().expect("cuts");
    found.infeasible = Some("no cut keeps both limits".to_owned());
    found.proposals.clear();
    let shown = part(&render(&document));
    assert!(shown.contains("no cut keeps both limits") && !shown.contains("t-topologies"));
    document.topologies = None;
    assert!(!part(&render(&document)).contains("id=\"topologies\""));
}

#[test]
fn small_documents_have_every_section() {
    let mut one = sample::erp();
    one.services.truncate(1);
    one.conservation.services.truncate(1);
    one.edges.clear();
    one.conservation.edges.clear();
    let mut no_edges = sample::erp();
    no_edges.edges.clear();
    for (what, document) in [
        ("empty", sample::empty()),
        ("one service", one),
        ("no edges", no_edges),
    ] {
        let html = render(&document);
        assert_safe(&html, what);
        // As the page is read: what it costs, where, what to change, what changed, and how far to trust it.
        let mut at = 0;
        for id in [
            "findings",
            "origins",
            "map",
            "edges",
            "entities",
            "memory",
            "services",
            "capacity",
            "recommendations",
            "what-if",
            "change",
            "predictions",
            "conservation",
            "quality",
            "method",
            "glossary",
            "data",
        ] {
            let section = format!("<section id=\"{id}\"");
            let here = html[at..].find(&section);
            at += here.unwrap_or_else(|| panic!("{what}: {id} is missing or out of its place"));
        }
        // Range, coverage and the agent's own cost come before all of them.
        let tiles = html.find("<dt>Coverage</dt>").expect("the tile");
        let own = html.find("<dt>Agent’s own cost</dt>").expect("the tile");
        assert!(
            html.find("<time").expect("the range") < tiles
                && tiles < own
                && own < html.find("<section id").expect("one"),
            "{what}"
        );
    }
    assert!(render(&sample::empty()).contains("No service reported in this range"));
}

#[test]
fn every_link_has_its_target_and_every_identifier_is_used_once() {
    for document in [sample::erp(), sample::many(30), sample::empty()] {
        let html = render(&document);
        let found = tags(&html);
        let values = |key: &str| -> Vec<&str> {
            found
                .iter()
                .flat_map(|(_, a)| a)
                .filter(|(k, _)| k == key)
                .map(|(_, v)| v.as_str())
                .collect()
        };
        let mut ids = values("id");
        ids.sort_unstable();
        let count = ids.len();
        ids.dedup();
        assert_eq!(count, ids.len());
        for to in values("href") {
            assert!(
                ids.binary_search(&to.trim_start_matches('#')).is_ok(),
                "{to}"
            );
        }
    }
}

#[test]
fn every_row_of_the_document_can_be_linked_to() {
    let document = sample::erp();
    let html = render(&document);
    let links: Vec<String> = tags(&html)
        .into_iter()
        .flat_map(|(_, attributes)| attributes)
        .filter(|(key, _)| key == "id")
        .map(|(_, value)| value)
        .collect();
    let has = |start: &str| links.iter().filter(|id| id.starts_with(start)).count();
    assert_eq!(has("service-"), document.services.len());
    assert_eq!(
        has("operation-"),
        document
            .services
            .iter()
            .map(|s| s.operations.len())
            .sum::<usize>()
    );
    assert_eq!(
        has("owner-"),
        document
            .services
            .iter()
            .map(|s| s.owners.len())
            .sum::<usize>()
    );
    assert_eq!(
        has("instance-"),
        document
            .services
            .iter()
            .map(|s| s.instances.len())
            .sum::<usize>()
    );
    assert_eq!(has("origin-"), document.origins.len());
    assert_eq!(has("edge-"), document.edges.len());
    assert_eq!(has("entity-"), document.entities.len());
    assert_eq!(
        has("place-"),
        document
            .entities
            .iter()
            .map(|e| e.places.len())
            .sum::<usize>()
    );
    assert_eq!(
        has("capacity-"),
        document.capacity.services.len() + 1,
        "each service, and the heading"
    );
    assert_eq!(
        has("conservation-"),
        document.conservation.services.len() + 1,
        "each service, and the heading"
    );
    let cuts = &document.topologies.as_ref().expect("cuts").proposals;
    assert_eq!(has("topology-"), cuts.len());
    assert_eq!(
        has("deployable-"),
        cuts.iter().map(|cut| cut.deployables.len()).sum::<usize>()
    );
    // Each card has its own and that of its heading.
    assert_eq!(has("rec-"), document.recommendations.len() * 2);
}

#[test]
fn unknown_figures_are_said_and_explained() {
    let mut document = sample::erp();
    document.services[0].rss = sample::unknown(
        "/proc cannot be read here",
        weighbridge_reports::document::FigureUnit::Bytes,
    );
    let html = render(&document);
    assert!(html.contains("not known<sup>"));
    assert!(html.contains("<li>/proc cannot be read here</li>"));
}

#[test]
fn broken_sums_are_said_first_and_shown() {
    let mut document = sample::erp();
    document.conservation.cpu_exact = false;
    document.conservation.services[0].difference_ns = Some(-1_234);
    let html = render(&document);
    assert!(html.contains("The figures do not all add up"));
    assert!(unmarked(&html).contains("differs by −1,234 ns"));
    assert!(html.contains("Does not hold"));
    assert!(!html.contains("The figures add up"));
}

#[test]
fn figures_from_a_nanosecond_to_years_and_odd_ones() {
    for value in [1.0, -1.0, 1e-12, 1e18, 3.2e25, 1e300, f64::MIN_POSITIVE] {
        let mut document = sample::erp();
        document.origins[0].unit_cost.total.value = Some(value);
        document.origins[0].unit_cost.handler.value = Some(value);
        document.services[0].cpu_cores.value = Some(value);
        document.edges[0].work.value = Some(value);
        document.capacity.services[0].points[2].cores.value = Some(value);
        document.services[0].operations[0].peak_live_max.value = Some(value);
        assert_safe(&render(&document), &value.to_string());
    }
}

#[test]
fn at_most_five_findings() {
    let mut document = sample::erp();
    for n in 0..20 {
        let mut more = document.recommendations[0].clone();
        more.id = format!("rec:{n}");
        document.recommendations.push(more);
    }
    let html = render(&document);
    let list = html
        .split_once("<ol class=\"findings\">")
        .and_then(|(_, rest)| rest.split_once("</ol>"))
        .expect("findings")
        .0;
    assert_eq!(list.matches("<li>").count(), 5);
}
