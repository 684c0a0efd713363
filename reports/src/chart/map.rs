//! The service map.

use std::collections::{BTreeMap, BTreeSet};

use super::map_boundary::{Boundary, Frame, boundary};
use super::map_labels::{Area, Labels, Stroke};
use super::map_layout::{Placement, Point, Room, place};
use super::svg::{Caption, Layout, open};
use super::width::fit;
use crate::html::text::{clip, escape_text};

/// A node of the map.
#[derive(Clone, Debug, PartialEq)]
pub struct MapNode {
    /// Its name.
    pub name: String,
    /// Lines under the name.
    pub lines: Vec<String>,
    /// Identifier of the row that the node leads to; none for what has no row.
    pub anchor: Option<String>,
    /// How it is drawn: `service`, `broker`, `outside`.
    pub kind: &'static str,
}

/// An edge of the map.
#[derive(Clone, Debug, PartialEq)]
pub struct MapEdge {
    /// Index of the calling node.
    pub from: usize,
    /// Index of the called node.
    pub to: usize,
    /// The figures on it, at most three lines.
    pub label: Vec<String>,
    /// Those of them that a narrow map has room for, at most two lines.
    pub short_label: Vec<String>,
    /// What it is, for who rests on it and who does not see it.
    pub description: String,
    /// How thick, 0 to 1.
    pub weight: f64,
    /// Drawn dashed: the caller does not wait.
    pub is_async: bool,
    /// Identifier of the row that the edge leads to.
    pub anchor: Option<String>,
}

/// A map of services.
#[derive(Clone, Debug)]
pub struct ServiceMap<'a> {
    /// Title and description.
    pub caption: Caption<'a>,
    /// The nodes; ties in the layout go to the earlier one.
    pub nodes: Vec<MapNode>,
    /// The edges.
    pub edges: Vec<MapEdge>,
    /// Boundaries that are proposed: marks on the nodes that they are about.
    pub proposals: Vec<MapProposal>,
}

/// A proposed boundary.
#[derive(Clone, Debug, PartialEq)]
pub struct MapProposal {
    /// Its number, as in the list under the map.
    pub mark: String,
    /// What it is, for who rests on it and who does not see it.
    pub description: String,
    /// The nodes that it is about.
    pub nodes: Vec<usize>,
}

/// Sizes of one of the two drawings.
struct Sizes {
    layout: Layout,
    node_width: f64,
    node_height: f64,
    /// From the start of one layer to the start of the next.
    step: f64,
}

impl Sizes {
    fn new(layout: Layout, layers: usize) -> Self {
        match layout {
            Layout::Wide => {
                let node_width = 120.0;
                let steps = layers.saturating_sub(1).max(1) as f64;
                let free = (f64::from(layout.width()) - 2.0 * MARGIN - node_width) / steps;
                Self {
                    layout,
                    node_width,
                    node_height: 66.0,
                    step: free.clamp(204.0, 300.0),
                }
            }
            Layout::Narrow => Self {
                layout,
                node_width: 106.0,
                node_height: 64.0,
                // Between two layers there is room for two labels.
                step: 136.0,
            },
        }
    }

    /// A node's length along the layers.
    fn along(&self) -> f64 {
        match self.layout {
            Layout::Wide => self.node_width,
            Layout::Narrow => self.node_height,
        }
    }

    /// From layers and places to pixels.
    fn pixel(&self, along: f64, across: f64) -> (f64, f64) {
        match self.layout {
            Layout::Wide => (along, across),
            Layout::Narrow => (across, along),
        }
    }

    fn room(layout: Layout) -> Room {
        match layout {
            Layout::Wide => Room {
                node: 66.0,
                passing: 42.0,
                // Room for the labels of lines that part.
                gap: 52.0,
                widest: 7,
            },
            Layout::Narrow => Room {
                node: 106.0,
                passing: 58.0,
                gap: 6.0,
                widest: 3,
            },
        }
    }
}

/// Around the drawing.
const MARGIN: f64 = 7.0;

/// Above the nodes, for marks and labels.
const HEAD: f64 = 18.0;

/// Below nodes that call themselves, and for the last labels.
const FOOT: f64 = 26.0;

/// Draws the map: wide from left to right, narrow from top to bottom.
#[must_use]
pub fn service_map(map: &ServiceMap<'_>, layout: Layout) -> String {
    let pairs: Vec<(usize, usize)> = map.edges.iter().map(|e| (e.from, e.to)).collect();
    let placed = place(map.nodes.len(), &pairs, Sizes::room(layout));
    let sizes = Sizes::new(layout, placed.layers);
    let length = sizes.step * placed.layers.saturating_sub(1) as f64 + sizes.along();
    let (width, height) = sizes.pixel(length, placed.across);
    let frame = f64::from(layout.width()).max(width + 2.0 * MARGIN);
    // A narrow map stands in the middle of its column.
    let shift = match layout {
        Layout::Wide => MARGIN,
        Layout::Narrow => (frame - width) / 2.0,
    };
    let mut out = open(
        &map.caption,
        layout,
        "group",
        // Both are positive and some thousand at most.
        frame.ceil() as u32,
        (height + 2.0 * MARGIN + HEAD + FOOT).ceil() as u32,
    );
    let arrow = format!("{}-{}-arrow", escape_text(map.caption.id), layout.class());
    out.push_str(&format!(
        "<defs><marker id=\"{arrow}\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"8\" \
         markerHeight=\"8\" markerUnits=\"userSpaceOnUse\" orient=\"auto\">\
         <path d=\"M0 0L8 4L0 8z\" class=\"f-muted\"/></marker></defs>\
         <g transform=\"translate({shift:.0} {:.0})\">",
        MARGIN + HEAD
    ));
    let boxes: Vec<Frame> = placed
        .nodes
        .iter()
        .map(|point| Frame::around(corner(*point, &sizes), sizes.node_width, sizes.node_height))
        .collect();
    let boundaries = boundaries(map, &boxes);
    let mut labels = Labels::new(Area {
        left: -shift,
        top: -MARGIN - HEAD,
        right: frame - shift,
        bottom: height + MARGIN + FOOT,
    });
    // Between a node and a label a boundary may run, where there is room for it.
    let beside = match layout {
        Layout::Wide => 7.0,
        Layout::Narrow => 1.0,
    };
    for point in &placed.nodes {
        let (x, y) = corner(*point, &sizes);
        labels.take(Area {
            left: x - beside,
            top: y - beside,
            right: x + sizes.node_width + beside,
            bottom: y + sizes.node_height + beside,
        });
    }
    for (_, boundary) in &boundaries {
        for point in &boundary.points {
            labels.draw(Stroke::of_none(*point));
        }
    }
    let ports = ports(&pairs, &placed, &sizes);
    let mut wanted = Vec::new();
    for (index, edge) in map.edges.iter().enumerate() {
        let (Some(from), Some(to)) = (placed.nodes.get(edge.from), placed.nodes.get(edge.to))
        else {
            continue;
        };
        let passing = placed.passing.get(index).map_or(&[][..], Vec::as_slice);
        let Route {
            path,
            middle,
            points,
        } = route(*from, *to, passing, ports[index], &sizes);
        // Between 1 and 7 pixels.
        let weight = if edge.weight.is_finite() {
            edge.weight.clamp(0.0, 1.0)
        } else {
            0.0
        };
        for point in points {
            labels.draw(Stroke {
                at: point,
                half: 0.5 + 3.0 * weight,
                edge: Some(index),
            });
        }
        wanted.push((index, edge, middle));
        let dash = if edge.is_async {
            " stroke-dasharray=\"6 5\""
        } else {
            ""
        };
        out.push_str(&format!(
            "<path d=\"{path}\" class=\"edge\" stroke-width=\"{:.1}\"{dash} marker-end=\"url(#{arrow})\">\
             <title>{}</title></path>",
            1.0 + 6.0 * weight,
            escape_text(&clip(&edge.description, 200)),
        ));
    }
    // Once all lines are known: a label stands beside them, not on one.
    for (index, edge, middle) in wanted {
        out.push_str(&labels.text(index, edge, middle, layout));
    }
    for (node, point) in map.nodes.iter().zip(&placed.nodes) {
        out.push_str(&draw_node(node, corner(*point, &sizes), &sizes));
    }
    // Marks of a node stand side by side on its upper edge.
    let mut marks = vec![0.0; map.nodes.len()];
    for (proposal, boundary) in &boundaries {
        let mut circles = String::new();
        for node in &boundary.marked {
            let (Some(point), Some(at)) = (placed.nodes.get(*node), marks.get_mut(*node)) else {
                continue;
            };
            circles.push_str(&draw_mark(&proposal.mark, corner(*point, &sizes), *at));
            *at += 20.0;
        }
        out.push_str(&format!(
            "<g><title>{}</title>{}{circles}</g>",
            escape_text(&clip(&proposal.description, 200)),
            boundary.path,
        ));
    }
    out.push_str("</g></svg>");
    out
}

/// The boundaries that are proposed. A node that has one of its own already gets no second line around it alone.
fn boundaries<'m>(map: &'m ServiceMap<'_>, boxes: &[Frame]) -> Vec<(&'m MapProposal, Boundary)> {
    let mut framed = BTreeSet::new();
    let mut out = Vec::new();
    for proposal in &map.proposals {
        let nodes: Vec<usize> = proposal
            .nodes
            .iter()
            .copied()
            .filter(|node| *node < boxes.len())
            .collect();
        let Some(first) = nodes.first().copied() else {
            continue;
        };
        let mut found = boundary(&nodes, boxes);
        if nodes.len() == 1 && framed.contains(&first) {
            found.path.clear();
            found.points.clear();
        }
        framed.extend(found.marked.iter().copied());
        out.push((proposal, found));
    }
    out
}

/// A proposal's number on a node.
fn draw_mark(mark: &str, (x, y): (f64, f64), at: f64) -> String {
    let centre = x + 10.0 + at;
    format!(
        "<circle cx=\"{centre:.0}\" cy=\"{:.0}\" r=\"9\" class=\"f-accent\"/>\
         <text x=\"{centre:.0}\" y=\"{:.0}\" text-anchor=\"middle\" font-size=\"12\" class=\"f-page\">{}</text>",
        y - 3.0,
        y + 1.0,
        escape_text(&clip(mark, 3)),
    )
}

/// The upper left corner of a node.
fn corner(point: Point, sizes: &Sizes) -> (f64, f64) {
    let (x, y) = sizes.pixel(sizes.step * point.layer as f64, point.across);
    match sizes.layout {
        Layout::Wide => (x, y - sizes.node_height / 2.0),
        Layout::Narrow => (x - sizes.node_width / 2.0, y),
    }
}

/// Where an edge meets a node.
struct Port {
    /// Where it goes from here, across the layers.
    toward: f64,
    edge: usize,
    /// The edge's end; else its start.
    is_end: bool,
}

/// How far from the middle of its side each edge leaves its start and reaches its end, so that several at one side
/// do not lie on each other: in the order of where they go.
fn ports(edges: &[(usize, usize)], placed: &Placement, sizes: &Sizes) -> Vec<(f64, f64)> {
    // By node and side.
    let mut sides: BTreeMap<(usize, bool), Vec<Port>> = BTreeMap::new();
    for (index, (from, to)) in edges.iter().enumerate() {
        let (Some(start), Some(end)) = (placed.nodes.get(*from), placed.nodes.get(*to)) else {
            continue;
        };
        let passing = &placed.passing[index];
        let forward = end.layer > start.layer;
        let next = passing.first().unwrap_or(end).across;
        let before = passing.last().unwrap_or(start).across;
        sides.entry((*from, forward)).or_default().push(Port {
            toward: next,
            edge: index,
            is_end: false,
        });
        sides.entry((*to, !forward)).or_default().push(Port {
            toward: before,
            edge: index,
            is_end: true,
        });
    }
    let side = match sizes.layout {
        Layout::Wide => sizes.node_height,
        Layout::Narrow => sizes.node_width,
    };
    let mut out = vec![(0.0, 0.0); edges.len()];
    for ends in sides.values_mut() {
        ends.sort_by(|a, b| {
            let tie = (a.edge, a.is_end).cmp(&(b.edge, b.is_end));
            a.toward.total_cmp(&b.toward).then(tie)
        });
        let step = ((side - 16.0) / ends.len() as f64).min(18.0);
        let first = -step * (ends.len() as f64 - 1.0) / 2.0;
        for (at, port) in ends.iter().enumerate() {
            let offset = first + step * at as f64;
            if port.is_end {
                out[port.edge].1 = offset;
            } else {
                out[port.edge].0 = offset;
            }
        }
    }
    out
}

/// The way of an edge.
struct Route {
    path: String,
    /// The point its label wants to be near to.
    middle: (f64, f64),
    /// Points along it, close enough that no label slips between two.
    points: Vec<(f64, f64)>,
}

/// Points of a cubic curve from `a` to `b`.
fn curve(ends: [(f64, f64); 4], points: &mut Vec<(f64, f64)>) {
    const STEPS: u32 = 16;
    for step in 0..=STEPS {
        let t = f64::from(step) / f64::from(STEPS);
        let weights = [
            (1.0 - t) * (1.0 - t) * (1.0 - t),
            3.0 * t * (1.0 - t) * (1.0 - t),
            3.0 * t * t * (1.0 - t),
            t * t * t,
        ];
        let sum = |of: fn(&(f64, f64)) -> f64| -> f64 {
            ends.iter().zip(weights).map(|(end, w)| of(end) * w).sum()
        };
        points.push((sum(|p| p.0), sum(|p| p.1)));
    }
}

/// The way of an edge over the places that it passes.
fn route(
    from: Point,
    to: Point,
    passing: &[Point],
    (start_offset, end_offset): (f64, f64),
    sizes: &Sizes,
) -> Route {
    let along = |layer: usize| sizes.step * layer as f64;
    let shown = |(x, y): (f64, f64)| format!("{x:.0} {y:.0}");
    let mut points = Vec::new();
    let mut cubic = |ends: [(f64, f64); 4]| {
        let ends = ends.map(|(a, b)| sizes.pixel(a, b));
        curve(ends, &mut points);
        format!("C{} {} {}", shown(ends[1]), shown(ends[2]), shown(ends[3]))
    };
    if from.layer == to.layer {
        // Within a layer, or to itself: a bow on the far side.
        let base = along(from.layer) + sizes.along();
        let (a, b) = (
            from.across + start_offset,
            to.across + end_offset + if from == to { 12.0 } else { 0.0 },
        );
        let bow = cubic([(base, a), (base + 44.0, a), (base + 44.0, b), (base, b)]);
        return Route {
            path: format!("M{}{bow}", shown(sizes.pixel(base, a))),
            middle: sizes.pixel(base + 33.0, f64::midpoint(a, b)),
            points,
        };
    }
    let forward = to.layer > from.layer;
    // Where an edge leaves a layer, and where it enters one.
    let leaves = |layer: usize| along(layer) + if forward { sizes.along() } else { 0.0 };
    let enters = |layer: usize| along(layer) + if forward { 0.0 } else { sizes.along() };
    let mut at = (leaves(from.layer), from.across + start_offset);
    let mut path = format!("M{}", shown(sizes.pixel(at.0, at.1)));
    let mut middle = None;
    let ends = passing.iter().map(|p| (p.layer, p.across, true)).chain([(
        to.layer,
        to.across + end_offset,
        false,
    )]);
    for (layer, across, passes) in ends {
        let end = (enters(layer), across);
        let half = f64::midpoint(at.0, end.0);
        path.push_str(&cubic([at, (half, at.1), (half, end.1), end]));
        at = end;
        if passes {
            let beyond = leaves(layer);
            // A passing place is as long as a node: the best place for a label.
            middle.get_or_insert((f64::midpoint(end.0, beyond), across));
            let third = (beyond - end.0) / 3.0;
            let straight = [
                end,
                (end.0 + third, across),
                (beyond - third, across),
                (beyond, across),
            ];
            path.push_str(&cubic(straight));
            at = (beyond, across);
        } else if middle.is_none() {
            middle = Some((half, f64::midpoint(from.across + start_offset, across)));
        }
    }
    let (a, b) = middle.unwrap_or(at);
    Route {
        path,
        middle: sizes.pixel(a, b),
        points,
    }
}

pub(super) fn link(anchor: Option<&str>, label: &str, inner: &str) -> String {
    match anchor {
        Some(anchor) => format!(
            "<a href=\"#{}\" aria-label=\"{}\">{inner}</a>",
            escape_text(anchor),
            escape_text(&clip(label, 200)),
        ),
        None => inner.to_owned(),
    }
}

fn draw_node(node: &MapNode, (x, y): (f64, f64), sizes: &Sizes) -> String {
    let middle = x + sizes.node_width / 2.0;
    let mut inner = format!(
        "<rect x=\"{x:.0}\" y=\"{y:.0}\" width=\"{:.0}\" height=\"{:.0}\" rx=\"6\" class=\"node {}\"/>",
        sizes.node_width, sizes.node_height, node.kind,
    );
    let lines: Vec<String> = node
        .lines
        .iter()
        .take(2)
        .map(|line| fit(line, 11.0, sizes.node_width - 4.0))
        .collect();
    let first = y + (sizes.node_height - 16.0 * lines.len() as f64) / 2.0 + 5.0;
    // Bold letters are an eighth broader.
    let shown = fit(&node.name, 13.0 * 1.125, sizes.node_width - 6.0);
    inner.push_str(&format!(
        "<text x=\"{middle:.0}\" y=\"{first:.0}\" text-anchor=\"middle\" font-size=\"13\" font-weight=\"600\" \
         class=\"f-text\">{}</text> ",
        escape_text(&shown),
    ));
    for (index, line) in lines.iter().enumerate() {
        inner.push_str(&format!(
            "<text x=\"{middle:.0}\" y=\"{:.0}\" text-anchor=\"middle\" font-size=\"11\" class=\"f-muted\">{}</text> ",
            first + 16.0 * (index + 1) as f64,
            escape_text(line),
        ));
    }
    // What is read out begins with what is seen, as it is seen; what was cut comes whole behind it.
    let mut read = format!("{shown} {}", lines.join(" "));
    let cut = node
        .lines
        .iter()
        .zip(&lines)
        .filter(|(whole, line)| whole != line);
    let whole: Vec<&str> = (shown != node.name)
        .then_some(&node.name)
        .into_iter()
        .chain(cut.map(|(whole, _)| whole))
        .map(String::as_str)
        .collect();
    if !whole.is_empty() {
        read.push_str(&format!(" ({})", whole.join(", ")));
    }
    link(node.anchor.as_deref(), &read, &inner)
}

#[cfg(test)]
mod tests;
