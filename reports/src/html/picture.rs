//! Charts in the page: both drawings, a caption and the legend.

use super::figure::exact;
use super::markup::Markup;
use super::text::escape_text;
use crate::chart::{Caption, Ink, Layout, Segment};
use crate::document::{ClassFigures, Figure};

/// Most bars in one chart; the table beside it holds all rows.
pub(crate) const BARS_SHOWN: usize = 12;

/// A figure with both drawings of a chart, tied to the table that holds the same in figures.
pub(crate) fn figure(
    caption: &Caption<'_>,
    table: &str,
    legend: &str,
    draw: impl Fn(Layout) -> String,
) -> Markup {
    drawn(caption, table, legend, "", draw)
}

/// The same as [`figure`] of bars, with the exact values of what stands beside them, from top to bottom; `-` where one is
/// not known.
pub(crate) fn of_bars<'f>(
    caption: &Caption<'_>,
    table: &str,
    legend: &str,
    values: impl Iterator<Item = &'f Figure>,
    draw: impl Fn(Layout) -> String,
) -> Markup {
    let values: Vec<String> = values
        .map(|figure| figure.value.map_or_else(|| "-".to_owned(), exact))
        .collect();
    let values = format!(" data-values=\"{}\"", values.join(" "));
    drawn(caption, table, legend, &values, draw)
}

fn drawn(
    caption: &Caption<'_>,
    table: &str,
    legend: &str,
    attribute: &str,
    draw: impl Fn(Layout) -> String,
) -> Markup {
    Markup::composed(format!(
        "<figure id=\"{}\" aria-details=\"{}\"{attribute}><figcaption>{}</figcaption>{legend}{}{}</figure>",
        escape_text(caption.id),
        escape_text(table),
        escape_text(caption.title),
        draw(Layout::Wide),
        draw(Layout::Narrow),
    ))
}

/// What follows a chart that does not show all rows.
pub(crate) fn shown_of(all: usize) -> String {
    if all > BARS_SHOWN {
        format!(" The first {BARS_SHOWN} of {all}; the table has all.")
    } else {
        String::new()
    }
}

/// A legend of colours and words.
pub(crate) fn legend(entries: &[(Ink, &str)]) -> String {
    let mut out = "<ul class=\"legend\">".to_owned();
    for (ink, word) in entries {
        out.push_str(&format!(
            "<li><svg class=\"key\" viewBox=\"0 0 10 10\" aria-hidden=\"true\">\
             <rect width=\"10\" height=\"10\" rx=\"2\" class=\"f-{}\"/></svg>{}</li>",
            ink.name(),
            escape_text(word),
        ));
    }
    out.push_str("</ul>");
    out
}

/// The legend of the classes of work.
pub(crate) fn class_legend() -> String {
    class_legend_and(&[])
}

/// The legend of the classes of work, and what else a chart shows.
pub(crate) fn class_legend_and(more: &[(Ink, &str)]) -> String {
    let mut entries = vec![
        (Ink::Handler, "handler"),
        (Ink::Store, "store class (database client)"),
        (Ink::Encode, "encode"),
        (Ink::Decode, "decode"),
        (Ink::Protocol, "protocol"),
        (Ink::Io, "io"),
    ];
    entries.extend_from_slice(more);
    legend(&entries)
}

/// The classes as parts of a bar: the work first, then what carries messages. Unknown classes are no part.
pub(crate) fn class_segments(figures: &ClassFigures) -> Vec<Segment> {
    let mut parts: Vec<Segment> = figures
        .each()
        .into_iter()
        .filter_map(|(class, figure)| {
            figure.value.map(|value| Segment {
                ink: Ink::of_class(class),
                value,
            })
        })
        .collect();
    parts.sort_by_key(|part| part.ink);
    parts
}

/// The interval of a figure, if it has one.
pub(crate) fn interval(figure: &Figure) -> Option<(f64, f64)> {
    Some((figure.low?, figure.high?))
}
