//! Flame graphs of an origin: CPU and allocation over services.

use std::collections::BTreeMap;

use crate::chart::{Caption, Flame, FlameFrame, Ink, flame};
use crate::document::{Document, Figure, FigureUnit, OriginPath, OriginReport};
use crate::html::anchors::{Anchors, operation_name};
use crate::html::figure::{self, Show};
use crate::html::markup::Markup;
use crate::html::picture;
use crate::html::text::{self, escape_text, name};

/// Origins with flame graphs: the dearest. The tables beside them hold the figures of all.
pub(super) const FLAMES_SHOWN: usize = 8;

/// What the frames need of the document: services and labels by row id.
pub(super) struct Labels<'a>(BTreeMap<&'a str, (&'a str, String)>);

impl<'a> Labels<'a> {
    pub(super) fn of(document: &'a Document) -> Self {
        let mut labels = BTreeMap::new();
        for service in &document.services {
            labels.insert(
                service.id.as_str(),
                (
                    service.service.as_str(),
                    format!("{}: pools, connections, brokers", name(&service.service)),
                ),
            );
            for operation in &service.operations {
                labels.insert(
                    operation.id.as_str(),
                    (
                        service.service.as_str(),
                        operation_name(&operation.operation, &operation.class),
                    ),
                );
            }
        }
        Self(labels)
    }
}

/// The own cost of a way, in the parts that its frames have.
type Parts = for<'a> fn(&'a OriginPath) -> Vec<(Ink, &'a str, &'a Figure)>;

/// Both graphs of an origin; in words where one is not drawn.
pub(super) fn flames(
    index: usize,
    origin: &OriginReport,
    labels: &Labels<'_>,
    anchors: &Anchors,
) -> Markup {
    if index >= FLAMES_SHOWN {
        return Markup::composed(format!(
            "<p class=small>Flame graphs are drawn for the {FLAMES_SHOWN} dearest origins; report.json has the ways of all.</p>"
        ));
    }
    let cpu: Parts = |path| {
        path.cpu
            .each()
            .into_iter()
            .map(|(class, figure)| (Ink::of_class(class), class, figure))
            .collect()
    };
    let bytes: Parts = |path| vec![(Ink::Other, "allocated", &path.alloc_bytes)];
    let mut out = String::new();
    let about = name(&origin.operation);
    for (what, title, description, legend, unit, parts) in [
        (
            "cpu",
            format!("CPU of one {about}, over all services"),
            "Each box is an operation, as wide as its CPU and that of all it calls; coloured ends are its own work, by \
             class. The tables by service and by operation below hold the same, in the columns of CPU.",
            picture::class_legend(),
            FigureUnit::NsPerRequest,
            cpu,
        ),
        (
            "alloc",
            format!("Bytes that one {about} allocates, over all services"),
            "Each box is an operation, as wide as what it and all that it calls allocate; grey ends are its own. The \
             tables by service and by operation below hold the same, in the column Allocated.",
            String::new(),
            FigureUnit::BytesPerRequest,
            bytes,
        ),
    ] {
        let frames = frames(origin, labels, anchors, unit, parts);
        if frames.iter().all(|frame| frame.own <= 0.0) {
            out.push_str(&format!(
                "<p class=small>{}: not drawn: {}.</p>",
                escape_text(&title),
                escape_text(&text::sentence(nothing_to_draw(origin, parts)))
            ));
            continue;
        }
        let id = format!("flame-{index}-{what}");
        let graph = Flame {
            caption: Caption {
                id: &id,
                title: &title,
                description,
            },
            frames,
        };
        out.push_str(&format!(
            "<figure id=\"{id}\" aria-details=\"to{index}o\"><figcaption>{}</figcaption>{legend}<div class=\"flame-box\">{}</div></figure>",
            escape_text(&title),
            flame(&graph),
        ));
    }
    Markup::composed(out)
}

/// Why no box of a graph would be seen. What is not known is not nothing.
fn nothing_to_draw(origin: &OriginReport, parts: Parts) -> &str {
    if origin.paths.is_empty() {
        return "the ways of its requests through the services are not known";
    }
    let unknown = origin
        .paths
        .iter()
        .flat_map(parts)
        .map(|(_, _, figure)| figure)
        .find(|figure| figure.value.is_none());
    match unknown {
        Some(figure) => figure::why_unknown(figure),
        None => "all of it is 0",
    }
}

/// One frame for each way, and under it one for each part of its own cost.
fn frames<'a>(
    origin: &'a OriginReport,
    labels: &Labels<'_>,
    anchors: &Anchors,
    unit: FigureUnit,
    parts: Parts,
) -> Vec<FlameFrame> {
    let shown = |value: f64| figure::quantity(value, unit, Show::Plain);
    let own = |path: &'a OriginPath| -> f64 {
        parts(path)
            .iter()
            .filter_map(|(_, _, figure)| figure.value)
            .filter(|value| value.is_finite())
            .map(|value| value.max(0.0))
            .sum()
    };
    let all: f64 = origin.paths.iter().map(own).sum();
    // What a way costs with everything behind it.
    let mut with_calls: BTreeMap<&[String], f64> = BTreeMap::new();
    for path in &origin.paths {
        for length in 1..=path.rows.len() {
            *with_calls.entry(&path.rows[..length]).or_default() += own(path);
        }
    }
    let mut frames = vec![FlameFrame {
        parent: None,
        label: format!("{} of {}", name(&origin.operation), name(&origin.service)),
        short: name(&origin.operation),
        own: 0.0,
        description: format!("one {}: {}", name(&origin.operation), shown(all)),
        ink: None,
        anchor: None,
    }];
    let mut index: BTreeMap<&[String], usize> = BTreeMap::new();
    for path in &origin.paths {
        let Some(row) = path.rows.last() else {
            continue;
        };
        let (service, label) = labels
            .0
            .get(row.as_str())
            .map_or((String::new(), row.clone()), |(service, label)| {
                (name(service), label.clone())
            });
        let total = with_calls.get(path.rows.as_slice()).copied().unwrap_or(0.0);
        let parent = index
            .get(&path.rows[..path.rows.len() - 1])
            .copied()
            .unwrap_or(0);
        let at = frames.len();
        frames.push(FlameFrame {
            parent: Some(parent),
            label: if label.starts_with(&service) {
                label.clone()
            } else {
                format!("{service} {label}")
            },
            short: service.clone(),
            own: 0.0,
            description: format!(
                "{service} {label}: {} with what it calls, {} itself",
                shown(total),
                shown(own(path))
            ),
            ink: None,
            anchor: Some(anchors.slug(row).to_owned()).filter(|slug| !slug.is_empty()),
        });
        index.insert(&path.rows, at);
        for (ink, word, figure) in parts(path) {
            let value = figure.value.unwrap_or(0.0);
            if value > 0.0 {
                frames.push(FlameFrame {
                    parent: Some(at),
                    label: word.to_owned(),
                    short: String::new(),
                    own: value,
                    description: format!("{service} {label}, {word}: {}", shown(value)),
                    ink: Some(ink),
                    anchor: None,
                });
            }
        }
    }
    frames
}
