//! The edges and what their messages cost.

use askama::Template;

use super::rendered;
use crate::build::MANY_CALLS;
use crate::chart::{Bar, BarChart, Caption, Ink, Scale, Segment, stacked_bars};
use crate::decide::say::and_more;
use crate::document::{Document, EdgeEnd, EdgeReport, EdgeSideCpu, Figure, RecommendationKind};
use crate::html::anchors::Anchors;
use crate::html::figure::{Notes, Show};
use crate::html::format;
use crate::html::markup::Markup;
use crate::html::picture::{self, BARS_SHOWN};
use crate::html::shown::{self, left_out};
use crate::html::table::{Row, Table, figures, words};
use crate::html::text::{self, escape_text, name};

/// Edges whose two ends are set side by side: the dearest, and as many more whose ends differ. All of them stand in
/// `report.json`.
const ENDS_SHOWN: usize = 20;
/// Edges whose sides and prices are told apart: the dearest.
const SIDES_SHOWN: usize = 60;
/// From this share of its calls on, an edge is marked with how they ran.
const MOST_CALLS: f64 = 0.5;

#[derive(Template)]
#[template(path = "edges.html")]
struct Edges {
    chart: Markup,
    table: Markup,
    ends: Markup,
    times: Markup,
    shapes: Markup,
    sides: Markup,
    prices: Markup,
    notes: Vec<Markup>,
    merge: Markup,
    any: bool,
    few: bool,
    left_out: String,
}

/// The section.
pub(crate) fn section(document: &Document, anchors: &Anchors) -> Markup {
    let edges = &document.edges;
    rendered(&Edges {
        chart: chart(edges),
        table: table(shown::edges(document), anchors),
        left_out: left_out(
            edges.len(),
            shown::edges(document).len(),
            "edges, the dearest",
        ),
        ends: ends(edges, anchors),
        times: times(edges, anchors),
        shapes: super::shapes::table(document, anchors),
        sides: sides(dearest(edges), anchors),
        prices: prices(dearest(edges), anchors),
        notes: notes(edges, anchors),
        merge: merge(document, anchors),
        any: !edges.is_empty(),
        few: edges.len() > SIDES_SHOWN,
    })
}

/// Where it stands what a merge saves in all: at the first that is judged.
fn merge(document: &Document, anchors: &Anchors) -> Markup {
    let judged = document
        .recommendations
        .iter()
        .find(|r| r.kind == RecommendationKind::Merge);
    match judged {
        Some(merge) => Markup::composed(format!(
            "What it comes to: {}",
            anchors.link_sentence(&merge.id, &merge.title)
        )),
        None => Markup::default(),
    }
}

/// What is said of edges, each sentence once with the edges that it is said of.
fn notes(edges: &[EdgeReport], anchors: &Anchors) -> Vec<Markup> {
    let mut said: Vec<(&str, Vec<&EdgeReport>)> = Vec::new();
    for edge in edges {
        for note in &edge.notes {
            match said.iter_mut().find(|(other, _)| *other == note.as_str()) {
                Some((_, of)) => of.push(edge),
                None => said.push((note, vec![edge])),
            }
        }
    }
    said.into_iter()
        .map(|(note, of)| {
            let links: Vec<String> = of
                .iter()
                .take(ENDS_SHOWN)
                .map(|edge| anchors.link_as(&edge.id, &short_name(edge)).to_string())
                .collect();
            let more = and_more(of.len() - links.len());
            Markup::composed(format!(
                "{} <span class=\"rows\">{}{more}</span>",
                escape_text(&text::sentence(note)),
                links.join(" · ")
            ))
        })
        .collect()
}

/// Edges stand dearest first; all of them are in `report.json`.
fn dearest(edges: &[EdgeReport]) -> &[EdgeReport] {
    &edges[..edges.len().min(SIDES_SHOWN)]
}

fn end_name(end: &EdgeEnd) -> String {
    if end.operation.is_empty() {
        name(&end.service)
    } else {
        format!("{} {}", name(&end.service), name(&end.operation))
    }
}

/// Both ends in one line.
pub(super) fn short_name(edge: &EdgeReport) -> String {
    format!("{} → {}", end_name(&edge.from), end_name(&edge.to))
}

fn chart(edges: &[EdgeReport]) -> Markup {
    let known = || edges.iter().filter(|edge| edge.overhead.value.is_some());
    // What comes from outside is work that somebody asked for: its bars would hide those of the messages between
    // services. Where there is nothing else they are shown.
    let between: Vec<&EdgeReport> = known().filter(|edge| edge.from.instrumented).collect();
    let mut shown = if between.is_empty() {
        known().collect()
    } else {
        between
    };
    shown.truncate(BARS_SHOWN);
    if shown.is_empty() {
        return Markup::default();
    }
    let description = format!(
        "One bar for each edge: the callee’s work for one call, then what carrying it costs on both sides by class, \
         pools and the broker.{}",
        picture::shown_of(edges.len())
    );
    let bars: Vec<Bar> = shown
        .iter()
        .map(|edge| Bar {
            label: format!("{} → {}", name(&edge.from.service), end_name(&edge.to)),
            segments: edge_segments(edge),
            interval: None,
            value_text: edge.overhead_share.value.map_or_else(
                || "share not known".to_owned(),
                |s| format!("{} of it messages", format::percent(s)),
            ),
        })
        .collect();
    let max = bars
        .iter()
        .map(|bar| bar.segments.iter().map(|s| s.value).sum::<f64>())
        .fold(0.0, f64::max);
    let chart = BarChart {
        caption: Caption {
            id: "chart-edges",
            title: "One call: the work it causes and what carrying it costs",
            description: &description,
        },
        bars,
        scale: Scale::nanoseconds(max),
        axis_label: "CPU for each call",
    };
    let legend = picture::legend(&[
        (Ink::Handler, "work at the callee"),
        (Ink::Encode, "encode"),
        (Ink::Decode, "decode"),
        (Ink::Protocol, "protocol"),
        (Ink::Io, "io"),
        (Ink::Other, "pools and broker"),
    ]);
    picture::of_bars(
        &chart.caption,
        "t-edges",
        &legend,
        shown.iter().map(|edge| &edge.overhead_share),
        |layout| stacked_bars(&chart, layout),
    )
}

fn edge_segments(edge: &EdgeReport) -> Vec<Segment> {
    let both = |pick: fn(&EdgeSideCpu) -> &Figure| {
        pick(&edge.caller_cpu).value.unwrap_or(0.0) + pick(&edge.callee_cpu).value.unwrap_or(0.0)
    };
    let broker = edge
        .broker_cpu
        .as_ref()
        .and_then(|f| f.value)
        .unwrap_or(0.0);
    [
        (Ink::Handler, edge.work.value.unwrap_or(0.0)),
        (Ink::Encode, both(|side| &side.encode)),
        (Ink::Decode, both(|side| &side.decode)),
        (Ink::Protocol, both(|side| &side.protocol)),
        (Ink::Io, both(|side| &side.io)),
        (Ink::Other, both(|side| &side.pool) + broker),
    ]
    .into_iter()
    .map(|(ink, value)| Segment { ink, value })
    .collect()
}

/// Names of both ends, with links, and how they talk.
fn head(edge: &EdgeReport, anchors: &Anchors) -> Markup {
    let end = |end: &EdgeEnd| {
        let label = if end.operation.is_empty() {
            "(background)"
        } else {
            &end.operation
        };
        let operation = if end.instrumented {
            anchors.link_as(&end.row, label)
        } else {
            Markup::composed("<em>uninstrumented</em>".to_owned())
        };
        format!("<b>{}</b> {operation}", escape_text(&name(&end.service)))
    };
    let via = edge
        .broker
        .as_ref()
        .map(|broker| format!(" via {}", escape_text(&name(broker))))
        .unwrap_or_default();
    // Of what comes from outside nobody says how its sender calls it.
    let target = if edge.target.is_empty() {
        String::new()
    } else {
        format!(": {}", escape_text(&name(&edge.target)))
    };
    let marks = marks(edge);
    Markup::composed(format!(
        "{}<br>→ {}<small>{} {}{via}{target}{marks}</small>",
        end(&edge.from),
        end(&edge.to),
        escape_text(&name(&edge.mode)),
        escape_text(&name(&edge.transport)),
    ))
}

/// How the calls of a request run, where most of them do.
fn marks(edge: &EdgeReport) -> String {
    let many = edge.calls_per_request.value.unwrap_or(0.0) >= MANY_CALLS;
    let most = |share: &Figure| share.value.is_some_and(|share| share >= MOST_CALLS);
    let shape = &edge.shape;
    [
        (many, "chatty"),
        (many && most(&shape.serial), "one by one"),
        (most(&shape.parallel), "parallel"),
        (most(&shape.detached), "not waited for"),
    ]
    .into_iter()
    .filter(|(marked, _)| *marked)
    .map(|(_, word)| format!(" <mark>{word}</mark>"))
    .collect()
}

fn table(edges: &[EdgeReport], anchors: &Anchors) -> Markup {
    let mut notes = Notes::default();
    let columns = vec![
        words("Edge", "Caller operation → callee operation"),
        figures("Per request", "Calls for each ended request of the caller"),
        figures(
            "Overhead",
            "Message overhead of one call: both sides, pools, broker",
        ),
        figures(
            "Work",
            "What one call causes at the callee, messages left out",
        ),
        figures(
            "Of the call messages",
            "Message overhead of one call ÷ all that one call costs (overhead + work)",
        ),
        figures("Caller", "Overhead of one call on the calling side"),
        figures("Callee", "Overhead of one call on the answering side"),
        figures("Broker", "The broker’s CPU for one message"),
        figures("Cores", "Overhead of all calls"),
    ];
    let rows = edges
        .iter()
        .map(|edge| {
            let row = Row::new(anchors.slug(&edge.id))
                .head(&head(edge, anchors))
                .figure(&edge.calls_per_request, Show::Plain, &mut notes)
                .interval(&edge.overhead, Show::Plain, &mut notes)
                .figure(&edge.work, Show::Plain, &mut notes)
                .figure(&edge.overhead_share, Show::Plain, &mut notes)
                .figure(&edge.caller_cpu.total, Show::Plain, &mut notes)
                .figure(&edge.callee_cpu.total, Show::Plain, &mut notes);
            let row = match &edge.broker_cpu {
                Some(broker) => row.figure(broker, Show::Plain, &mut notes),
                None => row.cell(Markup::composed("<td class=k>no broker".to_owned())),
            };
            row.figure(&edge.overhead_cores, Show::Bare, &mut notes)
        })
        .collect();
    Table::new(
        "t-edges",
        "Edges, dearest messages first",
        columns,
        rows,
        notes,
    )
    .wide_head()
    .markup()
}

/// The edges whose both ends are set side by side.
fn compared(edges: &[EdgeReport]) -> impl Iterator<Item = &EdgeReport> {
    let differs = |edge: &&EdgeReport| {
        let ends = &edge.ends;
        [
            &ends.request_messages,
            &ends.request_body_bytes,
            &ends.response_messages,
        ]
        .iter()
        .any(|difference| difference.value.is_some_and(|n| n != 0.0))
    };
    let (dearest, others) = edges.split_at(edges.len().min(ENDS_SHOWN));
    dearest
        .iter()
        .chain(others.iter().filter(differs).take(ENDS_SHOWN))
}

/// What both ends counted of a call, and where they differ.
fn ends(edges: &[EdgeReport], anchors: &Anchors) -> Markup {
    let mut notes = Notes::default();
    let columns = vec![
        words("Edge", ""),
        figures("Requests sent", "Request messages, as the caller counted"),
        figures(
            "Requests received",
            "Request messages, as the callee counted",
        ),
        figures(
            "Difference",
            "Sent − received, over all operations that answer the call",
        ),
        figures("in bytes", "Bodies of requests, sent − received"),
        figures("Responses: difference", "Sent − received"),
        figures("in bytes", "Bodies of responses, sent − received"),
    ];
    let rows = compared(edges)
        .map(|edge| {
            let ends = &edge.ends;
            let mut row = Row::new("").head(&anchors.link_as(&edge.id, &short_name(edge)));
            for figure in [
                &edge.traffic.request_messages_sent,
                &edge.traffic.request_messages_received,
                &ends.request_messages,
                &ends.request_body_bytes,
                &ends.response_messages,
                &ends.response_body_bytes,
            ] {
                row = row.figure(figure, Show::Plain, &mut notes);
            }
            row
        })
        .collect();
    Table::new(
        "t-edge-ends",
        if edges.len() > ENDS_SHOWN {
            "What both ends counted, of the dearest edges and of those that differ"
        } else {
            "What both ends of each edge counted"
        },
        columns,
        rows,
        notes,
    )
    .markup()
}

/// How long a call takes, and where.
fn times(edges: &[EdgeReport], anchors: &Anchors) -> Markup {
    let mut notes = Notes::default();
    let columns = vec![
        words("Edge", ""),
        figures("Wait", "From the send to the end of the response"),
        figures("Callee’s wall", "What the answering request took"),
        figures("On the wire", "The difference of both"),
        figures(
            "Critical",
            "Of the wait, what lay on the critical path; of a message through a broker, of its publication",
        ),
        figures(
            "of its caller",
            "The same as a share of the caller’s wall time",
        ),
        figures("Parallel", "Share of the calls that ran beside others"),
        figures("Not waited for", "Share of the calls"),
    ];
    let rows = compared(edges)
        .map(|edge| {
            let (ends, shape) = (&edge.ends, &edge.shape);
            let mut row = Row::new("").head(&anchors.link_as(&edge.id, &short_name(edge)));
            for figure in [
                &edge.wait,
                &ends.answer_wall,
                &ends.wire,
                &shape.critical,
                &shape.critical_share,
                &shape.parallel,
                &shape.detached,
            ] {
                row = row.figure(figure, Show::Plain, &mut notes);
            }
            row
        })
        .collect();
    Table::new(
        "t-edge-times",
        "How long a call takes, and where",
        columns,
        rows,
        notes,
    )
    .markup()
}

fn sides(edges: &[EdgeReport], anchors: &Anchors) -> Markup {
    let mut notes = Notes::default();
    let columns = vec![
        words("Edge", ""),
        words("Side", ""),
        figures("encode", "Serialisation"),
        figures("decode", "Deserialisation"),
        figures("protocol", "Parsing, framing, TLS"),
        figures("io", "Socket calls"),
        figures(
            "pools, drivers",
            "Share of the side’s pools and drivers that the classes do not hold",
        ),
        figures("Together", ""),
    ];
    let rows = edges
        .iter()
        .flat_map(|edge| {
            [
                (Some(edge), "caller", &edge.caller_cpu),
                (None, "callee", &edge.callee_cpu),
            ]
        })
        .map(|(edge, side, cpu)| {
            let row = match edge {
                Some(edge) => {
                    Row::new("").group_head(&anchors.link_as(&edge.id, &short_name(edge)), 2)
                }
                None => Row::new(""),
            };
            row.words(side)
                .figure(&cpu.encode, Show::Plain, &mut notes)
                .figure(&cpu.decode, Show::Plain, &mut notes)
                .figure(&cpu.protocol, Show::Plain, &mut notes)
                .figure(&cpu.io, Show::Plain, &mut notes)
                .figure(&cpu.pool, Show::Plain, &mut notes)
                .figure(&cpu.total, Show::Plain, &mut notes)
        })
        .collect();
    Table::new(
        "t-edge-sides",
        "What one call costs on each side",
        columns,
        rows,
        notes,
    )
    .fixed()
    .markup()
}

fn prices(edges: &[EdgeReport], anchors: &Anchors) -> Markup {
    let mut notes = Notes::default();
    let columns = vec![
        words("Edge", ""),
        words("Side", ""),
        words("Direction", ""),
        figures("Messages", "In the size classes"),
        figures("Per message", ""),
        figures("Per byte", ""),
        words("How", ""),
    ];
    let rows: Vec<Row> = edges
        .iter()
        .flat_map(|edge| edge.prices.iter().map(move |price| (edge, price)))
        .map(|(edge, price)| {
            Row::new("")
                .head(&anchors.link_as(&edge.id, &short_name(edge)))
                .text(&price.side)
                .text(&price.direction)
                .number(price.messages)
                .interval(&price.per_message, Show::Plain, &mut notes)
                .interval(&price.per_byte, Show::Plain, &mut notes)
                .words(&text::sentence(&price.note))
        })
        .collect();
    if rows.is_empty() {
        return Markup::default();
    }
    Table::new(
        "t-edge-prices",
        "CPU = per message + per byte × body bytes",
        columns,
        rows,
        notes,
    )
    .markup()
}
